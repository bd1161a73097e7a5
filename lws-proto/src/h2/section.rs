//! The meaning of a field section: the control data of a request or response, and its validity. RFC 9113 §8.2 and §8.3.
//!
//! Works on decoded field lines. Knows no frame and no stream.

use super::priority::Priority;
use crate::Violation;
use crate::hpack::{FieldFlags, NameId, Section};
use crate::http::{
    Authority, ContentLength, Expectation, FieldSpan, Head, Method, StartLine, Status, Target, TrailerField,
    Version, is_scheme, received_trailer,
};

/// The control data of a section, and other facts for HTTP/2 itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SectionFacts {
    pub(crate) start: StartLine,
    /// Where the fields begin that are not pseudo-header fields.
    pub(crate) fields_from: usize,
    pub(crate) content_length: Option<u64>,
    pub(crate) priority: Option<Priority>,
    pub(crate) expect: Expectation,
}

impl SectionFacts {
    /// Nothing yet.
    pub(crate) const NONE: Self = Self {
        start: StartLine::Trailers,
        fields_from: 0,
        content_length: None,
        priority: None,
        expect: Expectation::Nothing,
    };

    /// Lends the section.
    #[inline]
    pub(crate) fn head<'a>(&'a self, section: &'a Section) -> Head<'a> {
        Head {
            bytes: &section.bytes,
            start: &self.start,
            fields: section.spans.get(self.fields_from..).unwrap_or_default(),
        }
    }
}

/// Pseudo-header fields, where they stand: a length of zero with a place of zero is none.
#[derive(Clone, Copy, Debug, Default)]
struct Pseudo {
    method: Option<FieldSpan>,
    scheme: Option<FieldSpan>,
    authority: Option<FieldSpan>,
    path: Option<FieldSpan>,
    protocol: Option<FieldSpan>,
    status: Option<FieldSpan>,
}

/// What a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Request,
    Response,
    Trailers,
}

/// Reads a section, and converts it to the form of an HTTP/1.1 head: with a `Host` field and one `Cookie` field.
/// Removes fields that are not allowed in trailers.
#[inline]
pub(crate) fn read(section: &mut Section, kind: SectionKind) -> Result<SectionFacts, Violation> {
    let mut facts = SectionFacts::NONE;
    let pseudo = split_pseudo(section, &mut facts)?;
    let noted = note_fields(section, &mut facts, kind)?;
    match kind {
        SectionKind::Request => {
            read_request(section, &mut facts, &pseudo, &noted)?;
            facts.content_length = noted.content_length.of_request()?;
        }
        SectionKind::Response => {
            read_response(section, &mut facts, &pseudo)?;
            facts.content_length = noted.content_length.of_response()?;
        }
        SectionKind::Trailers if facts.fields_from > 0 => return Err(Violation::PseudoHeader),
        SectionKind::Trailers => section.retain(|name| received_trailer(name) == TrailerField::Allowed),
    }
    if noted.cookies > 1 {
        join_cookies(section, facts.fields_from);
    }
    Ok(facts)
}

/// "All pseudo-header fields MUST appear in a field block before all regular field lines", each once. RFC 9113 §8.3.
#[inline]
fn split_pseudo(section: &Section, facts: &mut SectionFacts) -> Result<Pseudo, Violation> {
    let mut pseudo = Pseudo::default();
    for (span, mark) in section.spans.iter().zip(&section.marks) {
        if !mark.id.is_pseudo() {
            break;
        }
        let place = match mark.id {
            NameId::METHOD => &mut pseudo.method,
            NameId::SCHEME => &mut pseudo.scheme,
            NameId::AUTHORITY => &mut pseudo.authority,
            NameId::PATH => &mut pseudo.path,
            NameId::PROTOCOL => &mut pseudo.protocol,
            _ => &mut pseudo.status,
        };
        if place.replace(*span).is_some() || !mark.flags.has(FieldFlags::VALUE_VALID) {
            return Err(Violation::PseudoHeader);
        }
        facts.fields_from += 1;
    }
    Ok(pseudo)
}

/// Facts in the regular fields that the reader needs.
#[derive(Clone, Copy, Debug, Default)]
struct NotedFields {
    cookies: usize,
    host: Option<FieldSpan>,
    content_length: ContentLength,
}

#[inline]
fn note_fields(
    section: &Section,
    facts: &mut SectionFacts,
    kind: SectionKind,
) -> Result<NotedFields, Violation> {
    let mut noted = NotedFields::default();
    let regular = section.spans.iter().zip(&section.marks).skip(facts.fields_from);
    for (span, mark) in regular {
        if !mark.flags.has(FieldFlags::VALID) {
            return Err(if mark.id.is_pseudo() { Violation::PseudoHeader } else { Violation::Field });
        }
        let value = || part(section, span.value, span.value_len);
        if mark.id.is_pseudo() {
            return Err(Violation::PseudoHeader);
        }
        if kind == SectionKind::Trailers
            && received_trailer(part(section, span.name, span.name_len)) == TrailerField::Refused
        {
            return Err(Violation::Trailer);
        }
        match mark.id {
            // RFC 9113 §8.2.2: fields of HTTP/1.1 connections.
            NameId::TRANSFER_ENCODING
            | NameId::CONNECTION
            | NameId::KEEP_ALIVE
            | NameId::PROXY_CONNECTION
            | NameId::UPGRADE => return Err(Violation::Field),
            NameId::TE if !value().eq_ignore_ascii_case(b"trailers") => return Err(Violation::Field),
            NameId::COOKIE => noted.cookies += 1,
            NameId::HOST if noted.host.is_some() => return Err(Violation::Host),
            NameId::HOST => noted.host = Some(*span),
            NameId::CONTENT_LENGTH => noted.content_length.note(value()),
            NameId::EXPECT => facts.expect.note(value()),
            NameId::PRIORITY => facts.priority = Some(Priority::parse(value())),
            _ => {}
        }
    }
    Ok(noted)
}

fn part(section: &Section, at: u32, len: u32) -> &[u8] {
    section.bytes.get(at as usize..at as usize + len as usize).unwrap_or_default()
}

fn value(section: &Section, span: FieldSpan) -> &[u8] {
    part(section, span.value, span.value_len)
}

/// RFC 9113 §8.3.1 and §8.5, RFC 8441 §4.
#[inline]
fn read_request(
    section: &mut Section,
    facts: &mut SectionFacts,
    pseudo: &Pseudo,
    noted: &NotedFields,
) -> Result<(), Violation> {
    let missing = Violation::PseudoHeader;
    let method_span = pseudo.method.ok_or(missing)?;
    let name = value(section, method_span);
    if pseudo.status.is_some() || !crate::http::is_token(name) {
        return Err(missing);
    }
    let method = Method::from_bytes(name);
    let connect = method == Method::Connect;
    let target = if connect && pseudo.protocol.is_none() {
        if pseudo.scheme.is_some() || pseudo.path.is_some() {
            return Err(missing);
        }
        pseudo.authority.ok_or(missing)?
    } else {
        if pseudo.protocol.is_some() && (!connect || pseudo.authority.is_none()) {
            return Err(missing);
        }
        if !is_scheme(value(section, pseudo.scheme.ok_or(missing)?)) {
            return Err(missing);
        }
        pseudo.path.ok_or(missing)?
    };
    let form = if pseudo.protocol.is_some() { Method::Get } else { method };
    let path = value(section, target);
    // An absolute form is for HTTP/1.1 proxies.
    let origin = connect && pseudo.protocol.is_none() || path.starts_with(b"/") || path == b"*";
    if !origin || !Target::is_valid(form, path) {
        return Err(Violation::Target);
    }
    let host = read_authority(section, pseudo.authority, noted.host)?;
    facts.start = StartLine::Request {
        method,
        method_span: (method_span.value, method_span.value_len),
        target: (target.value, target.value_len),
        version: Version::Http2,
        protocol: pseudo.protocol.map_or((0, 0), |span| (span.value, span.value_len)),
        host: Some(host),
        upgrade: pseudo.protocol.is_some(),
    };
    Ok(())
}

/// Makes `:authority` a `Host` field, as HTTP/1.1 has it, and answers where its value stands; where both are there they must agree. RFC 9113 §8.3.1. An empty one names no
/// server. RFC 9110 §4.2.1.
#[inline]
fn read_authority(
    section: &mut Section,
    authority: Option<FieldSpan>,
    host: Option<FieldSpan>,
) -> Result<(u32, u32), Violation> {
    let Some(authority) = authority else {
        let host = host.ok_or(Violation::Host)?;
        let valid = host.value_len > 0 && Authority::is_valid(part(section, host.value, host.value_len));
        return if valid { Ok((host.value, host.value_len)) } else { Err(Violation::Host) };
    };
    let value = part(section, authority.value, authority.value_len);
    if value.is_empty() || !Authority::is_valid(value) {
        return Err(Violation::Host);
    }
    if let Some(host) = host {
        let agrees = value.eq_ignore_ascii_case(part(section, host.value, host.value_len));
        return if agrees { Ok((host.value, host.value_len)) } else { Err(Violation::Host) };
    }
    let name = section.bytes.len() as u32;
    section.bytes.extend_from_slice(b"host");
    section.spans.push(FieldSpan { name, name_len: 4, ..authority });
    Ok((authority.value, authority.value_len))
}

/// RFC 9113 §8.3.2.
fn read_response(section: &Section, facts: &mut SectionFacts, pseudo: &Pseudo) -> Result<(), Violation> {
    let missing = Violation::PseudoHeader;
    if facts.fields_from != 1 {
        return Err(missing);
    }
    let status = pseudo.status.map(|span| part(section, span.value, span.value_len)).ok_or(missing)?;
    let status = match *status {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err(missing),
    };
    let status = Status::new(status).ok_or(missing)?;
    facts.start = StartLine::Response { status, reason: (0, 0), version: Version::Http2 };
    Ok(())
}

/// Joins cookie crumbs: "these MUST be concatenated into a single byte string using the two-byte delimiter of 0x3b, 0x20".
/// RFC 9113 §8.2.3.
#[cold]
fn join_cookies(section: &mut Section, fields_from: usize) {
    let Section { bytes, spans, marks, .. } = section;
    let is_cookie = |index: usize| marks.get(index).is_some_and(|mark| mark.id == NameId::COOKIE);
    let start = bytes.len();
    let mut first = None;
    for (index, span) in spans.iter().enumerate().skip(fields_from).filter(|(index, _)| is_cookie(*index)) {
        if first.is_some() {
            bytes.extend_from_slice(b"; ");
        }
        first.get_or_insert(index);
        bytes.extend_from_within(span.value as usize..(span.value + span.value_len) as usize);
    }
    let joined = (start as u32, (bytes.len() - start) as u32);
    if let Some(span) = first.and_then(|first| spans.get_mut(first)) {
        (span.value, span.value_len) = joined;
    }
    let mut index = 0;
    spans.retain(|_| {
        let keep = index < fields_from || !is_cookie(index) || first == Some(index);
        index += 1;
        keep
    });
}
