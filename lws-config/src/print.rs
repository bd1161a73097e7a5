//! A configuration as JSON, without secrets.

use crate::model::Config;
use serde_json::Value;

/// What stands for a value that is not shown.
pub(crate) const REDACTED: &str = "(redacted)";

/// Parts of names whose values are not shown.
const SECRET: [&str; 6] = ["password", "passwd", "secret", "token", "authorization", "cookie"];

impl Config {
    /// The configuration as JSON, as it was understood: with what was left out filled in, and with the values of options,
    /// environments and fields whose names sound like secrets taken out.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        redact(&mut value);
        format!("{value:#}")
    }
}

/// The depth of a file bounds that of the recursion.
fn redact(value: &mut Value) {
    match value {
        Value::Array(elements) => {
            // A named value of an ordered list.
            if let [Value::String(name), value] = elements.as_mut_slice()
                && is_secret(name)
            {
                *value = REDACTED.into();
                return;
            }
            elements.iter_mut().for_each(redact);
        }
        Value::Object(members) => members.iter_mut().for_each(|(_, value)| redact(value)),
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}
