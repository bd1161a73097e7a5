//! Conditional and range requests, and what is to be answered to them. RFC 9110 §13 and §14.
//!
//! Decides from what was asked and from the validators of a representation; opens nothing and sends nothing.

use crate::validator::{Listed, listed};
use crate::{Accepted, Coding, EntityTag, Part, RangeSet, Satisfied};
use lws_proto::http::{HttpDate, Method};

/// A selected representation, without its bytes. RFC 9110 §3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    /// Bytes; `None` for what is compressed on the way.
    pub len: Option<u64>,
    /// Of these very bytes, coding included.
    pub tag: Option<EntityTag>,
    /// When the file was changed last.
    pub modified: Option<HttpDate>,
    /// The coding that it is in.
    pub coding: Coding,
    /// Whether parts of it can be sent.
    pub ranges: bool,
}

/// What is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// 200.
    Whole,
    /// 206 with one part.
    Part(Part),
    /// 206 with several parts, as `multipart/byteranges`. RFC 9110 §15.3.7.2.
    Parts(Vec<Part>),
    /// 304.
    NotModified,
    /// 406: the client refuses the coding of whatever there is.
    NotAcceptable,
    /// 412.
    PreconditionFailed,
    /// 416.
    RangeNotSatisfiable,
}

/// The preconditions of a request and its ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    if_match: Option<TagList>,
    if_unmodified_since: Option<HttpDate>,
    if_none_match: Option<TagList>,
    if_modified_since: Option<HttpDate>,
    if_range: Option<IfRange>,
    range: Option<RangeSet>,
}

/// The values of the field lines that make one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TagList(Vec<Box<[u8]>>);

impl TagList {
    fn has(&self, matches: impl Fn(Listed<'_>) -> bool) -> bool {
        listed(&self.0).any(matches)
    }
}

/// RFC 9110 §13.1.5.
#[derive(Clone, Debug, PartialEq, Eq)]
enum IfRange {
    Tag(Box<[u8]>),
    Date(HttpDate),
    /// Neither: it cannot be true.
    Unreadable,
}

impl Conditions {
    /// Reads the fields of a request. `now` says which century a year of two digits belongs to.
    #[must_use]
    pub fn parse<'a>(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>, now: HttpDate) -> Self {
        let mut reading = Reading::default();
        fields.into_iter().for_each(|(name, value)| reading.note(name.as_bytes(), value, now));
        reading.conditions
    }

    /// What is to be answered to a GET or HEAD for `representation`. RFC 9110 §13.2.2 fixes the order.
    ///
    /// The coding comes first: preconditions are evaluated "after it has successfully performed its normal request checks and just
    /// before it would process the request content", RFC 9110 §13.2.1.
    #[must_use]
    pub fn decide(
        &self,
        method: Method,
        accepted: &Accepted,
        representation: &Representation,
        now: HttpDate,
    ) -> Decision {
        if !accepted.allows(representation.coding) {
            return Decision::NotAcceptable;
        }
        if self.is_failed(representation) {
            return Decision::PreconditionFailed;
        }
        if self.is_not_modified(representation) {
            return Decision::NotModified;
        }
        // RFC 9110 §14.2: "A server MUST ignore a Range header field received with a request method that is unrecognized or for
        // which range handling is not defined", and only that of GET is.
        let (Method::Get, Some(range), Some(len), true) =
            (method, &self.range, representation.len, representation.ranges)
        else {
            return Decision::Whole;
        };
        if !self.if_range_holds(representation, now) {
            return Decision::Whole;
        }
        match range.satisfy(len) {
            Satisfied::Whole => Decision::Whole,
            Satisfied::Nothing => Decision::RangeNotSatisfiable,
            Satisfied::Parts(parts) => match parts[..] {
                [part] => Decision::Part(part),
                _ => Decision::Parts(parts),
            },
        }
    }

    fn is_failed(&self, representation: &Representation) -> bool {
        match (&self.if_match, self.if_unmodified_since) {
            // The same version in another coding, made on the way, is not what If-Match protects from. RFC 9110 §13.1.1: "prevent
            // accidental overwrites".
            (Some(list), _) => !list.has(|listed| {
                listed == Listed::Any
                    || representation.tag.as_ref().is_some_and(|tag| listed.is_version_of(tag))
            }),
            (None, Some(date)) => representation.modified.is_some_and(|modified| modified > date),
            (None, None) => false,
        }
    }

    fn is_not_modified(&self, representation: &Representation) -> bool {
        match (&self.if_none_match, self.if_modified_since) {
            (Some(list), _) => list.has(|listed| {
                listed == Listed::Any
                    || representation.tag.as_ref().is_some_and(|tag| listed.matches_weakly(tag))
            }),
            (None, Some(date)) => representation.modified.is_some_and(|modified| modified <= date),
            (None, None) => false,
        }
    }

    /// Whether the range may be applied. RFC 9110 §13.1.5.
    fn if_range_holds(&self, representation: &Representation, now: HttpDate) -> bool {
        match &self.if_range {
            None => true,
            Some(IfRange::Tag(value)) => representation.tag.as_ref().is_some_and(|tag| {
                Listed::parse(value).is_some_and(|(listed, _)| listed.matches_strongly(tag))
            }),
            // A date is a strong validator only if the file cannot have changed again in the second that it names.
            // RFC 9110 §8.8.2.2.
            Some(IfRange::Date(date)) => {
                representation.modified == Some(*date) && now.unix_seconds() - date.unix_seconds() > 1
            }
            Some(IfRange::Unreadable) => false,
        }
    }
}

/// Conditions while the fields of a request are read.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) conditions: Conditions,
    has_range: bool,
}

impl Reading {
    /// Reads one field line, whatever it is called.
    pub(crate) fn note(&mut self, name: &[u8], value: &[u8], now: HttpDate) {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let push = |list: &mut Option<TagList>| list.get_or_insert_default().0.push(value.into());
        let date = |slot: &mut Option<HttpDate>| *slot = slot.or_else(|| HttpDate::parse(value, now));
        let conditions = &mut self.conditions;
        if is("if-match") {
            push(&mut conditions.if_match);
        } else if is("if-none-match") {
            push(&mut conditions.if_none_match);
        } else if is("if-unmodified-since") {
            date(&mut conditions.if_unmodified_since);
        } else if is("if-modified-since") {
            date(&mut conditions.if_modified_since);
        } else if is("if-range") && conditions.if_range.is_none() {
            conditions.if_range = Some(IfRange::parse(value, now));
        } else if is("range") {
            // A field that is no list stands in one line. In several it says nothing that could be relied on.
            conditions.range = if self.has_range { None } else { RangeSet::parse(value) };
            self.has_range = true;
        }
    }
}

impl IfRange {
    fn parse(value: &[u8], now: HttpDate) -> Self {
        match (Listed::parse(value), HttpDate::parse(value, now)) {
            (Some((Listed::Strong(_) | Listed::Weak(_), _)), _) => Self::Tag(value.into()),
            (None, Some(date)) => Self::Date(date),
            _ => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn now() -> HttpDate {
        HttpDate::from_unix(784_111_777 + 3600)
    }

    fn identity() -> Representation {
        Representation {
            len: Some(1000),
            tag: EntityTag::strong("v1"),
            modified: Some(HttpDate::from_unix(784_111_777)),
            coding: Coding::Identity,
            ranges: true,
        }
    }

    fn on_the_fly() -> Representation {
        let identity = identity();
        let tag = identity.tag.map(|tag| tag.coded(Coding::Gzip));
        Representation { len: None, tag, coding: Coding::Gzip, ranges: false, ..identity }
    }

    fn decide(method: Method, representation: &Representation, fields: &[(&str, &str)]) -> Decision {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let accepted = fields.iter().filter(|(name, _)| *name == "Accept-Encoding").map(|(_, value)| *value);
        let accepted = Accepted::parse(accepted);
        Conditions::parse(fields.iter().copied(), now()).decide(method, &accepted, representation, now())
    }

    fn check(representation: &Representation, rows: &[(&[(&str, &str)], Decision)]) {
        for (fields, expected) in rows {
            assert_eq!(&decide(Method::Get, representation, fields), expected, "{fields:?}");
        }
    }

    const FIRST: Decision = Decision::Part(Part { first: 0, len: 10 });

    #[test]
    fn preconditions_are_evaluated_in_the_order_of_the_rfc() {
        use Decision::{NotModified, PreconditionFailed, Whole};
        check(
            &identity(),
            &[
                (&[], Whole),
                (&[("If-Match", "\"v1\"")], Whole),
                (&[("If-Match", "\"v0\", \"v1\"")], Whole),
                (&[("If-Match", "\"v0\""), ("If-Match", "\"v1\"")], Whole),
                (&[("If-Match", "*")], Whole),
                (&[("If-Match", "W/\"v1\"")], PreconditionFailed),
                (&[("If-Match", "\"v0\"")], PreconditionFailed),
                (&[("If-Match", "")], PreconditionFailed),
                (&[("If-Match", "\"v1\""), ("If-Unmodified-Since", BEFORE)], Whole),
                (&[("If-Unmodified-Since", BEFORE)], PreconditionFailed),
                (&[("If-Unmodified-Since", MODIFIED)], Whole),
                (&[("If-Unmodified-Since", "yesterday")], Whole),
                (&[("If-None-Match", "\"v1\"")], NotModified),
                (&[("If-None-Match", "W/\"v1\"")], NotModified),
                (&[("If-None-Match", "*")], NotModified),
                (&[("If-None-Match", "\"v0\""), ("If-Modified-Since", AFTER)], Whole),
                (&[("If-Modified-Since", MODIFIED)], NotModified),
                (&[("If-Modified-Since", AFTER)], NotModified),
                (&[("If-Modified-Since", BEFORE)], Whole),
                (&[("If-Match", "\"v0\""), ("If-None-Match", "\"v1\"")], PreconditionFailed),
                (&[("If-Match", "\"v0\""), ("Range", "bytes=0-9")], PreconditionFailed),
                (&[("If-None-Match", "\"v1\""), ("Range", "bytes=0-9")], NotModified),
                (&[("If-Match", "\"v0\""), ("Range", "bytes=9999-")], PreconditionFailed),
            ],
        );
    }

    #[test]
    fn if_range_compares_strongly() {
        use Decision::Whole;
        let range = ("Range", "bytes=0-9");
        check(
            &identity(),
            &[
                (&[range], FIRST),
                (&[range, ("If-Range", "\"v1\"")], FIRST),
                (&[range, ("If-Range", "W/\"v1\"")], Whole),
                (&[range, ("If-Range", "\"v0\"")], Whole),
                (&[range, ("If-Range", "\"v1-gzip\"")], Whole),
                (&[range, ("If-Range", "*")], Whole),
                (&[range, ("If-Range", MODIFIED)], FIRST),
                (&[range, ("If-Range", AFTER)], Whole),
                (&[range, ("If-Range", BEFORE)], Whole),
                (&[range, ("If-Range", "v1")], Whole),
                (&[("Range", "bytes=9999-"), ("If-Range", "\"v0\"")], Whole),
                (&[("Range", "bytes=9999-"), ("If-Range", "\"v1\"")], Decision::RangeNotSatisfiable),
                (&[range, range], Whole),
            ],
        );
        let weak = Representation { tag: identity().tag.map(EntityTag::weakened), ..identity() };
        check(
            &weak,
            &[(&[range, ("If-Range", "W/\"v1\"")], Whole), (&[range, ("If-Range", "\"v1\"")], Whole)],
        );
        // Written in the last second: it may be written again in the same one.
        let fresh = Representation { modified: Some(now()), ..identity() };
        let date = now().to_string();
        check(&fresh, &[(&[range, ("If-Range", &date)], Whole)]);
    }

    #[test]
    fn what_is_compressed_on_the_way_has_conditions_of_its_own_and_no_ranges() {
        use Decision::{NotModified, PreconditionFailed, Whole};
        let gzip = ("Accept-Encoding", "gzip");
        check(
            &on_the_fly(),
            &[
                (&[gzip], Whole),
                (&[gzip, ("If-None-Match", "\"v1-gzip\"")], NotModified),
                (&[gzip, ("If-None-Match", "\"v1\"")], Whole),
                (&[gzip, ("If-None-Match", "\"v1\", \"v1-gzip\"")], NotModified),
                (&[gzip, ("If-Match", "\"v1-gzip\"")], Whole),
                (&[gzip, ("If-Match", "\"v1\"")], Whole),
                (&[gzip, ("If-Match", "\"v0-gzip\"")], PreconditionFailed),
                (&[gzip, ("Range", "bytes=0-9")], Whole),
                (&[gzip, ("Range", "bytes=0-9"), ("If-Range", "\"v1-gzip\"")], Whole),
                (&[gzip, ("If-Modified-Since", MODIFIED)], NotModified),
            ],
        );
        // The same client, resuming without the coding.
        check(&identity(), &[(&[("If-Match", "\"v1-gzip\""), ("If-None-Match", "\"v1-gzip\"")], Whole)]);
    }

    #[test]
    fn a_coding_that_the_client_refuses_is_not_acceptable_before_anything_else() {
        let refused = ("Accept-Encoding", "identity;q=0");
        check(
            &identity(),
            &[
                (&[refused], Decision::NotAcceptable),
                (&[refused, ("If-None-Match", "\"v1\"")], Decision::NotAcceptable),
                (&[("Accept-Encoding", "gzip")], Decision::Whole),
            ],
        );
    }

    #[test]
    fn head_ignores_ranges_and_evaluates_everything_else() {
        for (fields, expected) in [
            (&[("Range", "bytes=0-9")][..], Decision::Whole),
            (&[("Range", "bytes=9999-")], Decision::Whole),
            (&[("If-None-Match", "\"v1\"")], Decision::NotModified),
            (&[("If-Match", "\"v0\"")], Decision::PreconditionFailed),
            (&[("Accept-Encoding", "*;q=0")], Decision::NotAcceptable),
        ] {
            assert_eq!(decide(Method::Head, &identity(), fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn without_validators_nothing_is_known_to_be_unchanged() {
        let none = Representation { tag: None, modified: None, ..identity() };
        check(
            &none,
            &[
                (&[("If-None-Match", "\"v1\"")], Decision::Whole),
                (&[("If-None-Match", "*")], Decision::NotModified),
                (&[("If-Modified-Since", AFTER)], Decision::Whole),
                (&[("If-Match", "\"v1\"")], Decision::PreconditionFailed),
                (&[("If-Unmodified-Since", BEFORE)], Decision::Whole),
                (&[("Range", "bytes=0-9"), ("If-Range", "\"v1\"")], Decision::Whole),
            ],
        );
    }
}
