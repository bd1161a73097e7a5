//! What is said to JetStream and what it answers: JSON, and the headers of messages. Knows no connection.
//!
//! All topics of a prefix are in one stream. The server publishes what it has stored once more, to a subject of its own for each topic,
//! with its place in the stream and that of the message before it in the same topic (`republish`): that is what is subscribed to.

use super::operation::WireViolation;
use super::subject::SubjectPrefix;
use serde_json::{Value, json};
use std::time::Duration;

/// What JetStream keeps of each topic, where the stream does not exist yet. The first process makes it; an operator may make it before,
/// with limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Messages of each topic. Default 256: what is published while a connection is away, at most. From 1 on; zero counts as 1.
    pub messages: u32,
    /// How long they are kept. Default 24 h. A process that comes back after that has a gap in topics that were silent for longer.
    pub ttl: Duration,
    /// Octets of the whole stream on disk, at most. Default 1 GiB. Above them the oldest messages of all topics are dropped.
    pub bytes: u64,
    /// How many servers of a cluster keep it. Default 1.
    pub replicas: u8,
    /// Octets of messages that are recovered at once, of all topics. Default 16 MiB. With more there is a gap.
    pub recovery_bytes_max: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            messages: 256,
            ttl: Duration::from_secs(86_400),
            bytes: 1 << 30,
            replicas: 1,
            recovery_bytes_max: 16 << 20,
        }
    }
}

/// The name of the stream of a prefix, in which only letters, digits, `-` and `_` are surely allowed.
pub(super) fn name(prefix: &SubjectPrefix) -> String {
    let allowed = |octet: char| octet.is_ascii_alphanumeric() || octet == '-' || octet == '_';
    prefix.as_str().chars().map(|octet| if allowed(octet) { octet } else { '_' }).collect()
}

/// The configuration of a stream that is to be made.
pub(super) fn configuration(prefix: &SubjectPrefix, options: &StreamOptions) -> String {
    let (stored, live) = (format!("{}.>", prefix.as_str()), format!("{}.>", prefix.live().as_str()));
    let nanoseconds = u64::try_from(options.ttl.as_nanos()).unwrap_or(u64::MAX).min(i64::MAX as u64);
    json!({
        "name": name(prefix),
        "subjects": [stored],
        "retention": "limits",
        "discard": "old",
        "storage": "file",
        // One more than are recovered: the last one that a subscriber had shows that nothing is missing behind it.
        "max_msgs_per_subject": u64::from(options.messages.max(1)) + 1,
        "max_age": nanoseconds,
        "max_bytes": options.bytes,
        "max_msgs": -1,
        "max_consumers": -1,
        "num_replicas": options.replicas.max(1),
        "allow_direct": true,
        "republish": { "src": stored, "dest": live },
    })
    .to_string()
}

/// A stream as it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FoundStream {
    /// Another one for another stream of the same name.
    pub(super) epoch: u64,
    /// The offset of the oldest message of all topics, or where it would be.
    pub(super) first: u64,
    /// That of the newest.
    pub(super) last: u64,
    /// Messages that it keeps of each topic.
    pub(super) kept: u64,
}

/// An answer to a question about the stream, or to the order to make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StreamAnswer {
    Found(FoundStream),
    /// It does not exist.
    Missing,
    /// It exists, and is no stream of ours: what it lacks.
    Other(&'static str),
    /// The server's own words.
    Refused(String),
}

/// The error by which a stream does not exist: its number in `server/errors.json` of the server.
const STREAM_NOT_FOUND: u64 = 10_059;

/// Reads an answer about the stream of a prefix.
///
/// # Errors
/// It is none.
pub(super) fn answer(prefix: &SubjectPrefix, json: &[u8]) -> Result<StreamAnswer, WireViolation> {
    let answer: Value = serde_json::from_slice(json).map_err(|_| WireViolation::Stream)?;
    if let Some(error) = answer.get("error") {
        let is_missing = error.get("err_code").and_then(Value::as_u64) == Some(STREAM_NOT_FOUND);
        return Ok(if is_missing { StreamAnswer::Missing } else { StreamAnswer::Refused(words(error)) });
    }
    let part = |name: &str| answer.get(name).ok_or(WireViolation::Stream);
    let (configuration, state, created) = (part("config")?, part("state")?, part("created")?);
    let stored = format!("{}.>", prefix.as_str());
    let live = format!("{}.>", prefix.live().as_str());
    let republish =
        |name: &str| configuration.get("republish").and_then(|it| it.get(name)).and_then(Value::as_str);
    let subjects = configuration.get("subjects").and_then(Value::as_array);
    if !subjects.is_some_and(|subjects| subjects.iter().any(|it| it.as_str() == Some(&stored))) {
        return Ok(StreamAnswer::Other("subjects"));
    }
    if republish("src") != Some(&stored) || republish("dest") != Some(&live) {
        return Ok(StreamAnswer::Other("republish"));
    }
    if configuration.get("allow_direct") != Some(&Value::Bool(true)) {
        return Ok(StreamAnswer::Other("allow_direct"));
    }
    let number = |name: &str| state.get(name).and_then(Value::as_u64).ok_or(WireViolation::Stream);
    let (first, last) = (number("first_seq")?, number("last_seq")?);
    // Without a bound it is -1.
    let kept = configuration.get("max_msgs_per_subject").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let epoch = fingerprint(created.as_str().ok_or(WireViolation::Stream)?.as_bytes());
    Ok(StreamAnswer::Found(FoundStream { epoch, first, last, kept }))
}

/// The moment at which a stream was made, as a number: FNV-1a of 64 bits.
fn fingerprint(octets: &[u8]) -> u64 {
    octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}

/// Why the stream did not take a publication; `None` if it did.
///
/// # Errors
/// It is no answer to a publication.
pub(super) fn refusal(json: &[u8]) -> Result<Option<String>, WireViolation> {
    let answer: Value = serde_json::from_slice(json).map_err(|_| WireViolation::Stream)?;
    match answer.get("error") {
        Some(error) => Ok(Some(words(error))),
        None if answer.get("seq").is_some_and(Value::is_u64) => Ok(None),
        None => Err(WireViolation::Stream),
    }
}

fn words(error: &Value) -> String {
    let text = error.get("description").and_then(Value::as_str).unwrap_or("an error without a description");
    crate::Cause::words(text.as_bytes())
}

/// The question for the first message of a subject at `from` or behind it; or for its last one, if there is nothing to begin from.
pub(super) fn question(subject: &str, from: Option<u64>) -> String {
    match from {
        Some(from) => json!({ "seq": from, "next_by_subj": subject }),
        None => json!({ "last_by_subj": subject }),
    }
    .to_string()
}

/// The status of a message without content: 404 in `NATS/1.0 404 Message Not Found`.
pub(super) fn status(headers: &[u8]) -> Option<u16> {
    let line = headers.split(|octet| *octet == b'\r').next()?;
    let digits = line.strip_prefix(b"NATS/1.0 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The number in a header field, whose name is as the server writes it.
pub(super) fn number(headers: &[u8], name: &str) -> Option<u64> {
    let mut lines = headers.split(|octet| *octet == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> SubjectPrefix {
        SubjectPrefix::parse("app.lws").expect("a prefix")
    }

    /// As a server 2.9.10 answers.
    fn described(change: impl Fn(&mut Value)) -> Vec<u8> {
        let mut configuration: Value =
            serde_json::from_str(&configuration(&prefix(), &StreamOptions::default())).expect("JSON");
        change(&mut configuration);
        let state = json!({ "messages": 4, "first_seq": 3, "last_seq": 9, "num_subjects": 2 });
        let created = "2026-12-01T10:31:28.945620405Z";
        json!({ "type": "x", "config": configuration, "created": created, "state": state })
            .to_string()
            .into_bytes()
    }

    #[test]
    fn a_stream_of_ours_is_known_and_what_another_one_lacks_is_named() {
        let found = answer(&prefix(), &described(|_| {}));
        let Ok(StreamAnswer::Found(FoundStream { epoch, first: 3, last: 9, kept: 257 })) = found else {
            panic!("{found:?}")
        };
        assert_ne!(epoch, 0);
        type Change = fn(&mut Value);
        for (change, lacks) in [
            ((|it| it["subjects"] = json!(["app.>"])) as Change, "subjects"),
            (|it| it["republish"] = Value::Null, "republish"),
            (|it| it["republish"]["dest"] = "x.>".into(), "republish"),
            (|it| it["allow_direct"] = false.into(), "allow_direct"),
        ] {
            assert_eq!(answer(&prefix(), &described(change)), Ok(StreamAnswer::Other(lacks)));
        }
        let unbounded = answer(&prefix(), &described(|it| it["max_msgs_per_subject"] = (-1).into()));
        assert!(
            matches!(unbounded, Ok(StreamAnswer::Found(FoundStream { kept: u64::MAX, .. }))),
            "{unbounded:?}"
        );
    }

    #[test]
    fn errors_and_what_is_no_answer() {
        let missing = br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        assert_eq!(answer(&prefix(), missing), Ok(StreamAnswer::Missing));
        let other = br#"{"error":{"code":503,"err_code":10039,"description":"not enabled"}}"#;
        assert_eq!(answer(&prefix(), other), Ok(StreamAnswer::Refused("not enabled".into())));
        for json in ["", "[]", "{}", r#"{"config":{},"state":{}}"#] {
            let read = answer(&prefix(), json.as_bytes());
            assert!(matches!(read, Err(WireViolation::Stream)), "{json}: {read:?}");
        }
        for (json, expected) in [
            (r#"{"stream":"lws", "seq":1}"#, Ok(None)),
            (r#"{"stream":"lws", "seq":1, "duplicate":true}"#, Ok(None)),
            (r#"{"error":{"code":400,"description":"too large"},"seq":0}"#, Ok(Some("too large".to_owned()))),
            (r#"{"error":{}}"#, Ok(Some("an error without a description".to_owned()))),
            ("{}", Err(WireViolation::Stream)),
            ("+ACK", Err(WireViolation::Stream)),
        ] {
            assert_eq!(refusal(json.as_bytes()), expected, "{json}");
        }
    }

    #[test]
    fn another_stream_of_the_same_name_has_another_epoch() {
        assert_ne!(
            fingerprint(b"2026-12-01T10:31:28.945620405Z"),
            fingerprint(b"2026-12-01T10:31:28.945620406Z")
        );
        assert_eq!(fingerprint(b"a"), 0xaf63_dc4c_8601_ec8c, "FNV-1a");
    }

    #[test]
    fn headers_have_a_status_or_numbers() {
        let check = |headers: &str, expected: Option<u16>, sequence: Option<u64>| {
            assert_eq!(status(headers.as_bytes()), expected, "{headers:?}");
            assert_eq!(number(headers.as_bytes(), "Nats-Sequence"), sequence, "{headers:?}");
        };
        check("NATS/1.0 404 Message Not Found\r\n\r\n", Some(404), None);
        check("NATS/1.0 503\r\n\r\n", Some(503), None);
        check(
            "NATS/1.0\r\nNats-Stream: lws\r\nNats-Sequence: 7\r\nNats-Last-Sequence: 5\r\n\r\n",
            None,
            Some(7),
        );
        check("NATS/1.0\r\nNats-Sequence:7\r\n\r\n", None, Some(7));
        for value in ["", "+7", "7x", "99999999999999999999"] {
            check(&format!("NATS/1.0\r\nNats-Sequence: {value}\r\n\r\n"), None, None);
        }
        check("NATS/1.0 4\r\n\r\n", None, None);
        check("", None, None);
    }

    #[test]
    fn names_and_questions_are_what_a_server_takes() {
        assert_eq!(name(&prefix()), "app_lws");
        assert_eq!(question("lws.a\"b", Some(7)), r#"{"next_by_subj":"lws.a\"b","seq":7}"#);
        assert_eq!(question("lws.a", None), r#"{"last_by_subj":"lws.a"}"#);
    }
}
