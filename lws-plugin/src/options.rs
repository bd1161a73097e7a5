//! The options of a protocol at one site, as its configuration says them. Knows no protocol.

use serde_json::{Map, Value};
use std::fmt;
use std::ops::RangeInclusive;

/// Edits that a slip of the pen is away from what was meant, at most.
const EDITS_MAX: usize = 3;

/// The options of a protocol at one site: names and JSON values.
///
/// A file of libwebsockets' kind has numbers and switches as text, and so each may stand in either form: `"50"` and `50`, `"1"` and `true`.
///
/// ```
/// use lws_plugin::Options;
///
/// let options = Options::from_json(r#"{ "update-ms": "50", "status": "ok" }"#)?;
/// assert_eq!(options.number("update-ms", 10..=1_000)?, Some(50));
/// let error = options.number("update-ms", 100..=1_000).expect_err("it is less");
/// assert_eq!(error.to_string(), r#""update-ms": 50 is not within 100 to 1000"#);
/// # Ok::<(), lws_plugin::OptionError>(())
/// ```
#[doc(alias = "lws_protocol_vhost_options")]
#[doc(alias = "pvo")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(Map<String, Value>);

/// What is wrong with an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    key: String,
    problem: String,
}

impl OptionError {
    /// Something is wrong with the option of this name: `problem` is what stands behind the name and a colon.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }

    /// The name of the option.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}", self.key, self.problem)
    }
}

impl std::error::Error for OptionError {}

impl Options {
    /// Options that every protocol may have, as the server or a convention knows them: which connections it gets, who may come in, and that
    /// it is there at all.
    pub const COMMON: [&str; 4] = ["basic-auth", "default", "raw", "status"];

    /// These options.
    #[must_use]
    pub fn new(values: Map<String, Value>) -> Self {
        Self(values)
    }

    /// The options of a JSON object.
    ///
    /// # Errors
    /// The text is no JSON, or no object; the error names no option.
    pub fn from_json(text: &str) -> Result<Self, OptionError> {
        match serde_json::from_str(text) {
            Ok(Value::Object(values)) => Ok(Self(values)),
            Ok(_) => Err(OptionError::new("", "options are an object")),
            Err(error) => Err(OptionError::new("", error.to_string())),
        }
    }

    /// The options as a JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// An option as it stands, for one that is a list or an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// An option as text: that of a number, `1` for `true`, `0` for `false`, nothing for `null`.
    ///
    /// # Errors
    /// It is a list or an object.
    pub fn text(&self, name: &str) -> Result<Option<String>, OptionError> {
        self.get(name).map(|value| text_of(name, value)).transpose()
    }

    /// An option that is a whole number.
    ///
    /// # Errors
    /// It is none, or not within `range`.
    pub fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, OptionError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        let number: u64 = number.ok_or_else(|| OptionError::new(name, format!("\"{text}\" is no number")))?;
        if range.contains(&number) {
            return Ok(Some(number));
        }
        let problem = format!("{number} is not within {} to {}", range.start(), range.end());
        Err(OptionError::new(name, problem))
    }

    /// An option that is on or off: `1`, `on`, `yes`, `true` or their opposites, in whatever case.
    ///
    /// # Errors
    /// It is neither.
    pub fn switch(&self, name: &str) -> Result<Option<bool>, OptionError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "1" | "on" | "yes" | "true" => Ok(Some(true)),
            "0" | "off" | "no" | "false" => Ok(Some(false)),
            _ => Err(OptionError::new(name, format!("\"{text}\" is neither on nor off"))),
        }
    }

    /// The options that are neither among these names nor common to all protocols, each with what it may have been meant to be.
    #[must_use]
    pub fn unknown(&self, known: &[&str]) -> Vec<OptionError> {
        let is_known = |name: &str| known.contains(&name) || Self::COMMON.contains(&name);
        let unknown = self.0.keys().filter(|name| !is_known(name));
        let problem = |name: &String| match nearest(name, known.iter().copied().chain(Self::COMMON)) {
            Some(meant) => format!("unknown option; did you mean \"{meant}\"?"),
            None => "unknown option".to_owned(),
        };
        unknown.map(|name| OptionError::new(name, problem(name))).collect()
    }

    /// Names and texts, with lists and objects as JSON.
    #[cfg(feature = "load")]
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), text_of(name, value).unwrap_or_else(|_| value.to_string())))
    }
}

fn text_of(name: &str, value: &Value) -> Result<String, OptionError> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(on) => Ok(u8::from(*on).to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(_) | Value::Object(_) => Err(OptionError::new(name, "one value is wanted here")),
    }
}

/// The name of these that another one was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let name = plain(name);
    // A third of a short name makes any other of it.
    let edits_max = EDITS_MAX.min(name.len() / 3);
    let distances = names.into_iter().map(|other| (strsim::damerau_levenshtein(&name, &plain(other)), other));
    let nearest = distances.min_by_key(|(edits, _)| *edits)?;
    (nearest.0 <= edits_max).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: PartialEq + fmt::Debug>(
        json: &str,
        read: impl Fn(&Options) -> Result<Option<T>, OptionError>,
        expected: Result<Option<T>, &str>,
    ) {
        let options = Options::from_json(json).expect("an object");
        let expected = expected.map_err(str::to_owned);
        assert_eq!(read(&options).map_err(|error| error.to_string()), expected, "{json}");
    }

    #[test]
    fn a_number_is_digits_within_its_range_as_a_number_or_as_text() {
        for (json, expected) in [
            ("{}", Ok(None)),
            (r#"{"n": 5}"#, Ok(Some(5))),
            (r#"{"n": "9"}"#, Ok(Some(9))),
            (r#"{"n": "10"}"#, Err(r#""n": 10 is not within 5 to 9"#)),
            (r#"{"n": 4}"#, Err(r#""n": 4 is not within 5 to 9"#)),
            (r#"{"n": "5s"}"#, Err(r#""n": "5s" is no number"#)),
            (r#"{"n": "+5"}"#, Err(r#""n": "+5" is no number"#)),
            (r#"{"n": ""}"#, Err(r#""n": "" is no number"#)),
            (r#"{"n": -5}"#, Err(r#""n": "-5" is no number"#)),
            (r#"{"n": "99999999999999999999"}"#, Err(r#""n": "99999999999999999999" is no number"#)),
            (r#"{"n": [5]}"#, Err(r#""n": one value is wanted here"#)),
        ] {
            check(json, |options| options.number("n", 5..=9), expected);
        }
    }

    #[test]
    fn a_switch_is_on_or_off_and_nothing_between() {
        for (json, expected) in [
            ("{}", Ok(None)),
            (r#"{"s": true}"#, Ok(Some(true))),
            (r#"{"s": "Yes"}"#, Ok(Some(true))),
            (r#"{"s": 0}"#, Ok(Some(false))),
            (r#"{"s": "off"}"#, Ok(Some(false))),
            (r#"{"s": 2}"#, Err(r#""s": "2" is neither on nor off"#)),
            (r#"{"s": null}"#, Err(r#""s": "" is neither on nor off"#)),
        ] {
            check(json, |options| options.switch("s"), expected);
        }
    }

    #[test]
    fn an_unknown_option_is_named_with_what_was_meant() {
        let options = Options::from_json(r#"{"update_ms": 1, "status": "ok", "raw": 1, "colour": "red"}"#);
        let unknown = options.expect("an object").unknown(&["update-ms"]);
        let unknown: Vec<_> = unknown.iter().map(OptionError::to_string).collect();
        assert_eq!(
            unknown,
            [r#""colour": unknown option"#, r#""update_ms": unknown option; did you mean "update-ms"?"#]
        );
    }

    #[test]
    fn options_are_an_object() {
        for text in ["", "[]", "1", "{"] {
            assert!(Options::from_json(text).is_err(), "{text:?}");
        }
    }
}
