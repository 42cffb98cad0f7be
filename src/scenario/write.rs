//! A scenario as text that reads as if it had been written by hand: what fits on a line stands
//! on one.

use super::types::Scenario;
use indexmap::IndexMap;
use serde::Deserialize;

/// Columns of a line.
const WIDTH: usize = 100;

/// JSON that keeps the order of members, which is the order of threads.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(untagged)]
pub enum Node {
    /// `null`
    Null(()),
    /// `true` or `false`
    Flag(bool),
    /// A number.
    Number(serde_json::Number),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// An object.
    Object(IndexMap<String, Node>),
}

/// The text of a scenario, with a newline at its end.
pub fn text(scenario: &Scenario) -> String {
    let mut out = String::new();
    Node::of(scenario).write(&mut out, 0, 0, true);
    out.push('\n');
    out
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Node {
    /// A scenario as it is written: without what has its default.
    pub fn of(scenario: &Scenario) -> Node {
        // The types of the format have string keys and finite numbers only: neither step can fail.
        let plain = serde_json::to_string(scenario).unwrap_or_default();
        serde_json::from_str(&plain).unwrap_or(Node::Null(()))
    }

    /// The scenario that is written so, if it is one; no name in it is resolved.
    pub fn scenario(&self) -> Option<Scenario> {
        serde_json::from_str(&self.flat()).ok()
    }

    /// The node on one line.
    pub fn flat(&self) -> String {
        let join = |items: Vec<String>| items.join(", ");
        match self {
            Node::Null(()) => "null".into(),
            Node::Flag(flag) => flag.to_string(),
            Node::Number(number) => number.to_string(),
            Node::Text(text) => quoted(text),
            Node::List(list) => format!("[{}]", join(list.iter().map(Node::flat).collect())),
            Node::Object(map) if map.is_empty() => "{}".into(),
            Node::Object(map) => {
                let member = |(k, v): (&String, &Node)| format!("{}: {}", quoted(k), v.flat());
                format!("{{ {} }}", join(map.iter().map(member).collect()))
            }
        }
    }

    /// Appends the node, which begins `used` columns into its line; `after` it comes at most a
    /// comma. The outermost object is never on one line.
    fn write(&self, out: &mut String, indent: usize, used: usize, outermost: bool) {
        let flat = self.flat();
        if !outermost && used + flat.chars().count() < WIDTH {
            out.push_str(&flat);
            return;
        }
        let inner = " ".repeat(indent + 2);
        let (open, close, keys): (_, _, Vec<(String, &Node)>) = match self {
            Node::List(list) => ('[', ']', list.iter().map(|n| (String::new(), n)).collect()),
            Node::Object(map) => {
                ('{', '}', map.iter().map(|(k, n)| (format!("{}: ", quoted(k)), n)).collect())
            }
            _ => return out.push_str(&flat),
        };
        out.push(open);
        for (i, (key, node)) in keys.iter().enumerate() {
            out.push_str(if i > 0 { ",\n" } else { "\n" });
            out.push_str(&inner);
            out.push_str(key);
            node.write(out, indent + 2, indent + 2 + key.chars().count(), false);
        }
        out.push('\n');
        out.push_str(&" ".repeat(indent));
        out.push(close);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{bundled, load};

    #[test]
    fn every_bundled_scenario_is_read_back_as_it_was() {
        for (name, text) in bundled() {
            let scenario = load::text(name, text).unwrap().scenario;
            let written = super::text(&scenario);
            assert_eq!(load::text(name, &written).unwrap().scenario, scenario, "{name}");
            let threads: Vec<&String> = scenario.threads.keys().collect();
            let again = load::text(name, &written).unwrap().scenario;
            assert_eq!(again.threads.keys().collect::<Vec<_>>(), threads, "{name}");
        }
    }
}
