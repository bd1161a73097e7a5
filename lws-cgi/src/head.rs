//! The header of what a script answers. RFC 3875 §6.
//!
//! Octets in, a head or a fault out, however they are cut. Knows no process and no exchange.

use lws_server::http::Status;
use std::fmt;

/// Field lines that a script may write.
const FIELDS_MAX: usize = 100;

/// Fields about the connection, which is not the script's. RFC 3875 §6.3.4, RFC 9110 §7.6.1.
const OF_THE_CONNECTION: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is wrong with the header of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadFault {
    /// The output ended before the empty line that ends the header.
    Cut,
    /// More octets than [`Limits::head_bytes_max`](crate::Limits::head_bytes_max).
    TooLong,
    /// More than 100 field lines.
    TooManyFields,
    /// A line that is no field: without a colon, with a name that is no token, or folded.
    Line,
    /// A value with a control character.
    Value,
    /// `Status` is no three digits from 200 to 599, or is there twice.
    Status,
    /// `Content-Length` is no number, or is there twice.
    ContentLength,
    /// `Transfer-Encoding` is something else than `chunked`.
    TransferEncoding,
    /// `Location` is there twice, or empty.
    Location,
    /// None of `Content-Type`, `Location` and `Status` is there. RFC 3875 §6.2.
    NotCgi,
}

impl fmt::Display for HeadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "its output ended within the header",
            Self::TooLong => "its header is too long",
            Self::TooManyFields => "its header has too many fields",
            Self::Line => "a line of its header is no field",
            Self::Value => "a field of its header has a control character",
            Self::Status => "its Status is none",
            Self::ContentLength => "its Content-Length is none",
            Self::TransferEncoding => "its Transfer-Encoding is not known",
            Self::Location => "its Location is none",
            Self::NotCgi => "its header has no Content-Type, Location or Status",
        })
    }
}

/// Collects the header of a script.
#[derive(Debug)]
pub(crate) struct HeadReader {
    octets: Vec<u8>,
    /// Where the line begins that has not ended yet.
    line: usize,
    max: usize,
}

/// A whole header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptHead {
    pub(crate) status: Status,
    /// What goes to the client.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// The octets of content that there will be.
    pub(crate) length: Option<u64>,
    /// The content has the chunked coding, which is taken out. RFC 9112 §7.1.
    pub(crate) chunked: bool,
}

/// What a header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A document, or a redirect that the client follows. RFC 3875 §6.2.1, §6.2.3, §6.2.4.
    Document(ScriptHead),
    /// What another path of this server answers. RFC 3875 §6.2.2.
    Elsewhere(String),
}

impl HeadReader {
    /// Reads a header of at most `max` octets.
    pub(crate) fn new(max: usize) -> Self {
        Self { octets: Vec::new(), line: 0, max }
    }

    /// Takes octets of output. Once the header is whole, returns it with the number of `octets` that belong to it; content follows.
    pub(crate) fn push(&mut self, octets: &[u8]) -> Result<Option<(Answer, usize)>, HeadFault> {
        let before = self.octets.len();
        let mut seen = self.octets.len();
        let taken = octets.len().min(self.max - before);
        self.octets.extend_from_slice(&octets[..taken]);
        while let Some(len) = self.octets[seen..].iter().position(|octet| *octet == b'\n') {
            let end = seen + len;
            let line = without_cr(&self.octets[self.line..end]);
            seen = end + 1;
            if line.is_empty() {
                let answer = parse(&self.octets[..self.line])?;
                return Ok(Some((answer, seen - before)));
            }
            self.line = seen;
        }
        if taken < octets.len() { Err(HeadFault::TooLong) } else { Ok(None) }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What the fields say that are for the server.
#[derive(Default)]
struct Facts {
    status: Option<Status>,
    location: Option<String>,
    content_type: bool,
    length: Option<u64>,
    chunked: bool,
}

fn parse(lines: &[u8]) -> Result<Answer, HeadFault> {
    let (mut facts, mut fields) = (Facts::default(), Vec::new());
    for (index, line) in lines.split(|octet| *octet == b'\n').map(without_cr).enumerate() {
        if line.is_empty() {
            continue;
        }
        if index == 0 && line.starts_with(b"HTTP/") {
            // What a script for a server that hands its output on unread would write.
            facts.status = Some(status(line.splitn(2, |octet| *octet == b' ').nth(1).unwrap_or_default())?);
            continue;
        }
        let (name, value) = field(line)?;
        if facts.note(name, value)? {
            if fields.len() == FIELDS_MAX {
                return Err(HeadFault::TooManyFields);
            }
            fields.push((name.to_owned(), value.to_vec()));
        }
    }
    facts.answer(fields)
}

/// A name and its value.
fn field(line: &[u8]) -> Result<(&str, &[u8]), HeadFault> {
    let colon = line.iter().position(|octet| *octet == b':').ok_or(HeadFault::Line)?;
    let name = std::str::from_utf8(&line[..colon]).map_err(|_| HeadFault::Line)?;
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(HeadFault::Line);
    }
    let value = line[colon + 1..].trim_ascii();
    if value.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') {
        return Err(HeadFault::Value);
    }
    Ok((name, value))
}

/// Three digits, and perhaps a reason behind them. An interim response is none that a script could give: the final one would follow.
fn status(value: &[u8]) -> Result<Status, HeadFault> {
    let digits = value.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let follows = value.get(3).is_none_or(|octet| *octet == b' ');
    let code = digits.filter(|_| follows).and_then(number).and_then(|code| u16::try_from(code).ok());
    let status = code.filter(|code| (200..600).contains(code)).and_then(Status::new);
    status.ok_or(HeadFault::Status)
}

fn number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Facts {
    /// Notes what a field says to the server. Answers whether the client gets it.
    fn note(&mut self, name: &str, value: &[u8]) -> Result<bool, HeadFault> {
        let lower = name.to_ascii_lowercase();
        match &*lower {
            "status" if self.status.is_some() => return Err(HeadFault::Status),
            "status" => self.status = Some(status(value)?),
            "location" if self.location.is_some() || value.is_empty() => return Err(HeadFault::Location),
            "location" => {
                let location = std::str::from_utf8(value).map_err(|_| HeadFault::Location)?;
                self.location = Some(location.to_owned());
                return Ok(true);
            }
            "content-length" if self.length.is_some() => return Err(HeadFault::ContentLength),
            "content-length" => {
                self.length = Some(number(value).ok_or(HeadFault::ContentLength)?);
                return Ok(true);
            }
            "transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") => self.chunked = true,
            "transfer-encoding" => return Err(HeadFault::TransferEncoding),
            "content-type" => {
                self.content_type = true;
                return Ok(true);
            }
            other => return Ok(!OF_THE_CONNECTION.contains(&other)),
        }
        Ok(false)
    }

    fn answer(self, mut fields: Vec<(String, Vec<u8>)>) -> Result<Answer, HeadFault> {
        let Self { status, location, content_type, mut length, chunked } = self;
        // Two slashes begin the name of another server.
        let is_local = |location: &&String| location.starts_with('/') && !location.starts_with("//");
        if let (None, Some(path)) = (status, location.as_ref().filter(is_local)) {
            return Ok(Answer::Elsewhere(path.clone()));
        }
        if status.is_none() && location.is_none() && !content_type {
            return Err(HeadFault::NotCgi);
        }
        let usual = if location.is_some() { Status::FOUND } else { Status::OK };
        let status = status.unwrap_or(usual);
        if chunked || status.is_without_content() {
            // RFC 9112 §6.3: the coding counts, and not the length. RFC 9110 §8.6: some have none.
            length = None;
            fields.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        }
        Ok(Answer::Document(ScriptHead { status, fields, length, chunked }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 200;

    /// What comes of `output`, with the content behind it.
    fn read(output: &[u8], cut: usize) -> Result<Option<(Answer, Vec<u8>)>, HeadFault> {
        let mut reader = HeadReader::new(MAX);
        for at in (0..output.len()).step_by(cut) {
            let piece = &output[at..output.len().min(at + cut)];
            if let Some((answer, len)) = reader.push(piece)? {
                return Ok(Some((answer, output[at + len..].to_vec())));
            }
        }
        Ok(None)
    }

    /// The same whatever the cut.
    fn check(output: &str, wanted: &Result<Option<(Answer, Vec<u8>)>, HeadFault>) {
        for cut in 1..=output.len() {
            assert_eq!(&read(output.as_bytes(), cut), wanted, "{output:?} cut at {cut}");
        }
    }

    fn document(status: u16, fields: &[(&str, &str)], length: Option<u64>, chunked: bool) -> Answer {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let status = Status::new(status).expect("a status");
        Answer::Document(ScriptHead { status, fields: fields.collect(), length, chunked })
    }

    #[test]
    fn a_header_says_what_is_answered() {
        let text = [("Content-Type", "text/plain")];
        for (output, answer, content) in [
            ("Content-Type: text/plain\n\nhello", document(200, &text, None, false), "hello"),
            ("Content-Type: text/plain\r\n\r\nhello", document(200, &text, None, false), "hello"),
            ("Content-Type: text/plain\r\n\nhello\n\n", document(200, &text, None, false), "hello\n\n"),
            ("Content-Type:text/plain\n\r\n", document(200, &text, None, false), ""),
            ("Status: 404 Not here\nContent-Type: text/plain\n\n", document(404, &text, None, false), ""),
            ("Status: 204\n\n", document(204, &[], None, false), ""),
            ("HTTP/1.1 500 Oh\nContent-Type: text/plain\n\n", document(500, &text, None, false), ""),
            (
                "Content-Type: text/plain\nContent-Length: 5\n\nhello",
                document(200, &[text[0], ("Content-Length", "5")], Some(5), false),
                "hello",
            ),
            (
                "Content-Type: text/plain\nTransfer-Encoding: chunked\nConnection: close\n\n",
                document(200, &text, None, true),
                "",
            ),
            (
                "content-type: text/plain\nX-A: 1\nX-A: 2\n\n",
                document(200, &[("content-type", "text/plain"), ("X-A", "1"), ("X-A", "2")], None, false),
                "",
            ),
            ("Status: 304\nContent-Length: 7\n\n", document(304, &[], None, false), ""),
        ] {
            check(output, &Ok(Some((answer, content.into()))));
        }
    }

    #[test]
    fn a_location_is_followed_here_or_by_the_client() {
        let absolute = [("Location", "https://a.example/")];
        let other = [("Location", "//a.example/x")];
        let local = [("Location", "/x")];
        for (output, answer) in [
            ("Location: https://a.example/\n\n", document(302, &absolute, None, false)),
            ("Location: https://a.example/\nStatus: 301\n\n", document(301, &absolute, None, false)),
            ("Location: //a.example/x\n\n", document(302, &other, None, false)),
            ("Location: /x\nStatus: 303 See\n\n", document(303, &local, None, false)),
            ("Location: /x?y\n\n", Answer::Elsewhere("/x?y".into())),
            ("Content-Type: a/b\nLocation: /x?y\n\n", Answer::Elsewhere("/x?y".into())),
        ] {
            check(output, &Ok(Some((answer, Vec::new()))));
        }
    }

    #[test]
    fn what_is_no_header_is_a_fault() {
        for (output, fault) in [
            ("\n", HeadFault::NotCgi),
            ("hello\n\n", HeadFault::Line),
            ("X-Other: 1\n\n", HeadFault::NotCgi),
            ("Content-Type: a/b\n folded\n\n", HeadFault::Line),
            ("Content Type: a/b\n\n", HeadFault::Line),
            (": a\n\n", HeadFault::Line),
            ("Content-Type: a\rb\n\n", HeadFault::Value),
            ("Content-Type: a\0b\n\n", HeadFault::Value),
            ("Status: 100\n\n", HeadFault::Status),
            ("Status: 2000\n\n", HeadFault::Status),
            ("Status: ok\n\n", HeadFault::Status),
            ("Status: 200\nStatus: 200\n\n", HeadFault::Status),
            ("HTTP/1.1\n\n", HeadFault::Status),
            ("Content-Type: a/b\nContent-Length: +5\n\n", HeadFault::ContentLength),
            ("Content-Type: a/b\nContent-Length: \n\n", HeadFault::ContentLength),
            ("Content-Type: a/b\nContent-Length: 5\nContent-Length: 5\n\n", HeadFault::ContentLength),
            ("Content-Type: a/b\nTransfer-Encoding: gzip\n\n", HeadFault::TransferEncoding),
            ("Location: \n\n", HeadFault::Location),
            ("Location: /a\nLocation: /b\n\n", HeadFault::Location),
        ] {
            check(output, &Err(fault));
        }
    }

    #[test]
    fn a_header_has_a_longest_length_and_a_largest_number_of_fields() {
        let with = |len: usize| {
            let start = "Content-Type: ";
            format!("{start}{}\n\n", "a".repeat(len - start.len() - 2))
        };
        assert!(matches!(read(with(MAX).as_bytes(), 7), Ok(Some(_))));
        check(&with(MAX + 1)[..MAX], &Ok(None));
        check(&with(MAX + 1), &Err(HeadFault::TooLong));

        let many = |count: usize| {
            let output = format!("Status: 200\n{}\n", "a:\n".repeat(count));
            HeadReader::new(usize::MAX).push(output.as_bytes())
        };
        assert!(many(FIELDS_MAX).is_ok_and(|head| head.is_some()));
        assert_eq!(many(FIELDS_MAX + 1), Err(HeadFault::TooManyFields));
    }
}
