//! Conditional requests. RFC 9110 §13.
//!
//! Decides from the fields of a request and the validators of a representation; opens nothing.

use super::entity::Entity;
use super::range::{self, Asked, Part};
use crate::http::{HttpDate, Method, Request};

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evaluation {
    /// 200.
    Whole,
    /// 206.
    Part(Part),
    /// 304.
    NotModified,
    /// 412.
    Failed,
    /// 416.
    Unsatisfiable,
}

/// Evaluates the preconditions in the order of RFC 9110 §13.2.2. The method is GET or HEAD.
pub(super) fn evaluate(request: &Request<'_>, entity: &Entity, now: Option<HttpDate>) -> Evaluation {
    let date = |name| request.get(name).and_then(|value| parse_date(value, now));
    let modified_after = |date| entity.last_modified.is_some_and(|modified| modified > date);

    if request.get("if-match").is_some() {
        if !any_tag(request, "if-match", |tag| tag.matches_strongly(&entity.etag)) {
            return Evaluation::Failed;
        }
    } else if date("if-unmodified-since").is_some_and(modified_after) {
        return Evaluation::Failed;
    }

    if request.get("if-none-match").is_some() {
        if any_tag(request, "if-none-match", |tag| tag.matches_weakly(&entity.etag)) {
            return Evaluation::NotModified;
        }
    } else if entity.last_modified.is_some()
        && date("if-modified-since").is_some_and(|date| !modified_after(date))
    {
        return Evaluation::NotModified;
    }

    // RFC 9110 §14.2: "A server MUST ignore a Range header field received with a request method that is unrecognized or for
    // which range handling is not defined", and only that of GET is.
    let mut ranges = request.get_all("range");
    match (ranges.next(), ranges.next()) {
        (Some(value), None) if request.method() == Method::Get && if_range_holds(request, entity, now) => {
            match range::parse(value, entity.len) {
                Asked::Ignored => Evaluation::Whole,
                Asked::Part(part) => Evaluation::Part(part),
                Asked::Unsatisfiable => Evaluation::Unsatisfiable,
            }
        }
        _ => Evaluation::Whole,
    }
}

/// Whether the range may be applied. RFC 9110 §13.1.5.
fn if_range_holds(request: &Request<'_>, entity: &Entity, now: Option<HttpDate>) -> bool {
    let Some(value) = request.get("if-range") else { return true };
    if let Some((tag, _)) = Tag::parse(value) {
        return tag.matches_strongly(&entity.etag);
    }
    // A date is a strong validator only if the file cannot have changed again in the second that it names.
    // RFC 9110 §8.8.2.2.
    let is_strong = |date: HttpDate| now.is_some_and(|now| now.unix_seconds() - date.unix_seconds() > 1);
    parse_date(value, now).is_some_and(|date| entity.last_modified == Some(date) && is_strong(date))
}

fn parse_date(value: &[u8], now: Option<HttpDate>) -> Option<HttpDate> {
    HttpDate::parse(value, now.unwrap_or(HttpDate::from_unix(0)))
}

/// A member of a list of entity tags. RFC 9110 §8.8.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag<'a> {
    /// `*`
    Any,
    /// `opaque-tag`, with its quotes.
    Strong(&'a [u8]),
    /// `weak opaque-tag`, likewise.
    Weak(&'a [u8]),
}

impl<'a> Tag<'a> {
    /// The first tag of `value`, and what follows it. `None` if there is none.
    fn parse(value: &'a [u8]) -> Option<(Self, &'a [u8])> {
        if let Some(rest) = value.strip_prefix(b"*") {
            return Some((Self::Any, rest));
        }
        let (weak, opaque) = match value.strip_prefix(b"W/") {
            Some(opaque) => (true, opaque),
            None => (false, value),
        };
        let inner = opaque.strip_prefix(b"\"")?;
        let end = inner.iter().position(|&byte| byte == b'"')? + 2;
        let (tag, rest) = opaque.split_at(end);
        Some((if weak { Self::Weak(tag) } else { Self::Strong(tag) }, rest))
    }

    /// RFC 9110 §8.8.3.2.
    fn matches_strongly(self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Strong(tag) => tag == etag.as_bytes(),
            Self::Weak(_) => false,
        }
    }

    /// RFC 9110 §8.8.3.2.
    fn matches_weakly(self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Strong(tag) | Self::Weak(tag) => tag == etag.as_bytes(),
        }
    }
}

/// Whether `matches` holds for a member of the list that all field lines called `name` make. What follows a member that
/// is no tag is not looked at.
fn any_tag(request: &Request<'_>, name: &str, matches: impl Fn(Tag<'_>) -> bool) -> bool {
    request.get_all(name).any(|mut value| {
        loop {
            let skipped = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b',')).count();
            match Tag::parse(&value[skipped..]) {
                Some((tag, _)) if matches(tag) => return true,
                Some((_, rest)) => value = rest,
                None => return false,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_ends_with_its_second_quote() {
        for (value, tag, rest) in [
            ("\"a,b\", \"c\"", Tag::Strong(b"\"a,b\""), ", \"c\""),
            ("W/\"\"x", Tag::Weak(b"\"\""), "x"),
            ("*", Tag::Any, ""),
        ] {
            assert_eq!(Tag::parse(value.as_bytes()), Some((tag, rest.as_bytes())), "{value}");
        }
        for value in ["", "a", "\"a", "w/\"a\"", "W/", "W/*"] {
            assert_eq!(Tag::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_weak_tag_never_matches_strongly() {
        assert!(Tag::Weak(b"\"a\"").matches_weakly("\"a\""));
        assert!(!Tag::Weak(b"\"a\"").matches_strongly("\"a\""));
        assert!(Tag::Strong(b"\"a\"").matches_strongly("\"a\""));
    }
}
