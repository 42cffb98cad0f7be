//! Error numbers, as return values of operations carry them (negative) and reports print them.

macro_rules! errnos {
    ($($name:ident = $value:literal,)+) => {
        $(
            #[doc = concat!("The error ", stringify!($name), ".")]
            pub const $name: i32 = $value;
        )+

        /// The name of an error number; `OK` for 0.
        pub fn name(errno: i32) -> &'static str {
            match errno.abs() {
                0 => "OK",
                $($value => stringify!($name),)+
                _ => "E?",
            }
        }

        /// The error number of this name (`OK` is 0).
        pub fn parse(name: &str) -> Option<i32> {
            match name {
                "OK" => Some(0),
                $(stringify!($name) => Some($value),)+
                _ => None,
            }
        }

        /// Every name, for messages.
        pub const NAMES: &[&str] = &["OK", $(stringify!($name),)+];
    };
}

errnos! {
    EPERM = 1,
    ENOENT = 2,
    ESRCH = 3,
    EINTR = 4,
    EIO = 5,
    ENXIO = 6,
    E2BIG = 7,
    EBADF = 9,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EBUSY = 16,
    EEXIST = 17,
    ENODEV = 19,
    EINVAL = 22,
    ETXTBSY = 26,
    ENOSPC = 28,
    EDEADLK = 35,
    EOVERFLOW = 75,
    EOPNOTSUPP = 95,
    ETIMEDOUT = 110,
    EREMOTEIO = 121,
    ECANCELED = 125,
    EHWPOISON = 133,
}
