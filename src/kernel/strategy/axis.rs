//! What an axis is: an enumeration whose values have names and manual entries.

/// A value of an axis: its name on the command line and in JSON, and its manual entry.
#[derive(Clone, Copy, Debug)]
pub struct AxisValue {
    /// The name, in kebab case.
    pub name: &'static str,
    /// The doc comment of the variant.
    pub doc: &'static str,
}

/// An axis as lists and help show it.
#[derive(Clone, Copy, Debug)]
pub struct AxisInfo {
    /// The flag without dashes.
    pub flag: &'static str,
    /// What it asks.
    pub doc: &'static str,
    /// Its values.
    pub values: &'static [AxisValue],
}

/// An axis or value that does not exist, with what there is instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown {
    /// The axis asked for.
    pub flag: String,
    /// The value asked for; none if the axis itself does not exist.
    pub value: Option<String>,
    /// The names that exist.
    pub known: Vec<&'static str>,
}

impl Unknown {
    /// No axis of this name.
    pub fn axis(flag: &str) -> Unknown {
        let known = super::Strategy::AXES.iter().map(|a| a.flag).collect();
        Unknown { flag: flag.to_string(), value: None, known }
    }
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            None => write!(f, "unknown strategy axis '{}'", self.flag)?,
            Some(value) => write!(f, "unknown value '{value}' of --{}", self.flag)?,
        }
        write!(f, "; there are: {}", self.known.join(", "))
    }
}

impl std::error::Error for Unknown {}

/// Defines the enumeration of one axis together with its table of names and manual entries.
macro_rules! axis {
    ($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $vdoc:literal])+ $variant:ident = $label:literal,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[doc = $vdoc])+ $variant,)+ }

        impl $name {
            /// Every value with its name and manual entry.
            pub const VALUES: &[$crate::kernel::strategy::AxisValue] = &[
                $($crate::kernel::strategy::AxisValue {
                    name: $label,
                    doc: concat!($($vdoc, "\n",)+),
                },)+
            ];

            /// Every value, in order.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// The name on the command line and in JSON.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $label,)+ }
            }

            /// The value of this name.
            ///
            /// # Errors
            /// If there is none; the error says which there are.
            pub fn parse(
                flag: &str,
                value: &str,
            ) -> Result<$name, $crate::kernel::strategy::axis::Unknown> {
                match value {
                    $($label => Ok($name::$variant),)+
                    _ => Err($crate::kernel::strategy::axis::Unknown {
                        flag: flag.to_string(),
                        value: Some(value.to_string()),
                        known: vec![$($label,)+],
                    }),
                }
            }
        }
    };
}
pub(crate) use axis;
