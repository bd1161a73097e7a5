//! Why there is no certificate: for a person, and for the time of the next attempt.

use serde_json::Value;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Bytes of a text of an authority that are kept: it goes into logs.
const TEXT_BYTES_MAX: usize = 512;
/// Subproblems of a problem that are kept.
const SUBPROBLEMS_MAX: usize = 16;

/// An issuance has failed, or a question about a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What was being done: `new order`.
    pub during: &'static str,
    /// What went wrong.
    pub kind: FailureKind,
    /// How long the authority asks to wait before the next attempt. RFC 8555 §6.6.
    pub retry_after: Option<Duration>,
}

/// What went wrong in an issuance, or in a question about a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// There was no response, for this reason.
    Unanswered(String),
    /// The authority has refused a request.
    Refused {
        /// The status code of the response.
        status: u16,
        /// What it says about it.
        problem: Problem,
    },
    /// The authority has given up the order, or did not find what proves that a domain is ours.
    Invalid {
        /// The domain; empty if it was the order.
        domain: String,
        /// What it says about it.
        problem: Problem,
    },
    /// A response is none of this protocol.
    Malformed(String),
    /// The authority wants something that is not supported here.
    Unsupported(String),
    /// The terms of service, which are at this URL, are not agreed to.
    TermsNotAgreed(String),
    /// Nothing came of it in time.
    TooLate,
    /// A key could not be used.
    Key(String),
}

/// What an authority says about an error. RFC 7807 §3.1, RFC 8555 §6.7.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Its type: `urn:ietf:params:acme:error:rateLimited`. Empty if there was none.
    pub kind: String,
    /// What happened, in words.
    pub detail: String,
    /// Errors of single identifiers. RFC 8555 §6.7.1.
    pub subproblems: Vec<Subproblem>,
}

/// An error of one identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subproblem {
    /// The identifier: a domain.
    pub identifier: String,
    /// The type of the error.
    pub kind: String,
    /// What happened, in words.
    pub detail: String,
}

impl Problem {
    /// The prefix of the types in RFC 8555 §6.7.
    const PREFIX: &'static str = "urn:ietf:params:acme:error:";

    /// The problem document of a response. Of content that is none there is nothing.
    pub(crate) fn parse(body: &[u8]) -> Self {
        Self::of(&serde_json::from_slice(body).unwrap_or(Value::Null))
    }

    pub(crate) fn of(value: &Value) -> Self {
        let of_one = |value: &Value| Subproblem {
            identifier: text(&value["identifier"]["value"]),
            kind: text(&value["type"]),
            detail: text(&value["detail"]),
        };
        let subproblems = value["subproblems"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            kind: text(&value["type"]),
            detail: text(&value["detail"]),
            subproblems: subproblems.iter().take(SUBPROBLEMS_MAX).map(of_one).collect(),
        }
    }

    /// Whether it is of this type of RFC 8555 §6.7, such as `badNonce`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.kind.strip_prefix(Self::PREFIX) == Some(name)
    }
}

/// A text of an authority, as far as it is kept, without what a terminal or a log could take for something else.
pub(crate) fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    // A character that does not fit is left out whole.
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let kept = text.get(..end.unwrap_or_default()).unwrap_or_default();
    kept.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_one(f, &self.kind, &self.detail)?;
        for one in &self.subproblems {
            write!(f, "; {}: ", one.identifier)?;
            write_one(f, &one.kind, &one.detail)?;
        }
        Ok(())
    }
}

fn write_one(f: &mut fmt::Formatter<'_>, kind: &str, detail: &str) -> fmt::Result {
    match (kind.strip_prefix(Problem::PREFIX).unwrap_or(kind), detail) {
        ("", "") => f.write_str("it does not say why"),
        ("", detail) => f.write_str(detail),
        (kind, "") => f.write_str(kind),
        (kind, detail) => write!(f, "{kind}: {detail}"),
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered(why) => write!(f, "the authority was not reached: {why}"),
            Self::Refused { status, problem } => write!(f, "the authority answered {status}: {problem}"),
            Self::Invalid { domain, problem } if domain.is_empty() => {
                write!(f, "the authority has given up the order: {problem}")
            }
            Self::Invalid { domain, problem } => {
                write!(f, "the authority could not validate {domain}: {problem}")
            }
            Self::Malformed(what) => write!(f, "the authority's response is not ACME: {what}"),
            Self::Unsupported(what) => f.write_str(what),
            Self::TermsNotAgreed(url) => {
                write!(f, "the authority has terms of service that are not agreed to: {url}")
            }
            Self::TooLate => f.write_str("nothing came of it in time"),
            Self::Key(why) => write!(f, "a key cannot be used: {why}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.during, self.kind)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_words_of_bounded_length() {
        let check = |body: &str, expected: &str| {
            assert_eq!(Problem::parse(body.as_bytes()).to_string(), expected, "{body}")
        };
        check("", "it does not say why");
        check("<html>502</html>", "it does not say why");
        check(r#"{"type":"urn:ietf:params:acme:error:caa","detail":"CAA forbids"}"#, "caa: CAA forbids");
        check(r#"{"type":"about:blank"}"#, "about:blank");
        check(r#"{"detail":"a\u001b[2Jb\nc"}"#, "a [2Jb c");
        check(
            r#"{"type":"urn:ietf:params:acme:error:compound","subproblems":[{"identifier":{"value":"a.example"},"type":"x"}]}"#,
            "compound; a.example: x",
        );
        let long = format!(r#"{{"detail":"{}"}}"#, "é".repeat(1_000));
        assert_eq!(Problem::parse(long.as_bytes()).detail.len(), TEXT_BYTES_MAX);
        let many = format!(r#"{{"subproblems":[{}1]}}"#, "1,".repeat(1_000));
        assert_eq!(Problem::parse(many.as_bytes()).subproblems.len(), SUBPROBLEMS_MAX);
    }
}
