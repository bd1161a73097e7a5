//! A JSON schema of the files, for editors. It is made from the tables that read them.

use crate::keys::{Action, Key, Shape, acme, global, limits, mount, vhost};
use serde_json::{Map, Value, json};

/// The schema of one file as JSON (JSON Schema 2020-12).
///
/// An editor that knows it completes keys and shows what they mean. Keys that the files may repeat within one object are
/// outside of what a schema can say.
#[must_use]
pub fn schema() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A file of a configuration of lwsws",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "global": object(global::KEYS),
            "vhosts": { "type": "array", "items": object(vhost::KEYS) },
        },
    });
    format!("{schema:#}")
}

fn object<T>(keys: &'static [Key<T>]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property<T>(key: &Key<T>) -> Value {
    let text = ["string", "number", "boolean", "null"];
    let pairs = json!({ "type": "object", "additionalProperties": { "type": text } });
    let mut property = match key.shape {
        Shape::Text => json!({ "type": text }),
        Shape::Number => json!({ "type": ["string", "number"] }),
        Shape::Switch => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Pairs => json!({ "anyOf": [pairs, { "type": "array", "items": pairs }] }),
        Shape::Mounts => json!({ "type": "array", "items": object(mount::KEYS) }),
        Shape::Protocols => json!({
            "type": "array",
            "items": { "type": "object", "additionalProperties": { "type": "object" } },
        }),
        Shape::Texts => {
            json!({ "anyOf": [{ "type": text }, { "type": "array", "items": { "type": text } }] })
        }
        Shape::Limits => object(limits::LIMITS),
        Shape::Budgets => object(limits::BUDGETS),
        Shape::Peers => object(limits::PEERS),
        Shape::Acme => object(acme::KEYS),
        Shape::Any => json!({}),
    };
    property["description"] = match key.action {
        Action::Read(_) => key.meaning.into(),
        Action::Ignored(reason) => format!("has no effect: {reason}").into(),
        Action::Refused(reason) => format!("cannot be had: {reason}").into(),
    };
    if matches!(key.action, Action::Ignored(_) | Action::Refused(_)) {
        property["deprecated"] = true.into();
    }
    property
}
