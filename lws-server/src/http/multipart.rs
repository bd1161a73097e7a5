//! Forms with files: `multipart/form-data`, piece by piece. RFC 7578.
//!
//! No crate reads it without an asynchronous stream, so that this is our own. It holds the head of a part and what may be the beginning
//! of a boundary, and nothing of the content of parts.

use super::{Rejection, Request};
use std::fmt;
use std::mem;

/// What a form with files may cost. What all of it may have is the limit of the request:
/// [`Exchange::limit_content`](super::Exchange::limit_content).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Parts of a form. Default 256. Past it: 413.
    pub parts_max: usize,
    /// Bytes of the head of one part, which are held until it is complete. Default 8 KiB. Past it: 413.
    pub head_bytes_max: usize,
    /// Bytes of the content of one part. Default: no limit but that of the request. Past it: 413.
    pub part_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parts_max: 256, head_bytes_max: 8 << 10, part_bytes_max: u64::MAX }
    }
}

/// What a part is: the fields of its head. RFC 7578 §4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartHead {
    /// The name of the form's field.
    pub name: String,
    /// What the file was called where it comes from, if the part is a file. It is the peer's word and no path: what is stored under a
    /// name of the peer's choice may be anywhere.
    pub file_name: Option<String>,
    /// The media type of the content. RFC 7578 §4.4: `text/plain` if it is not said.
    pub content_type: Option<String>,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A part begins.
    Part(PartHead),
    /// Content of the part that has begun.
    Content(&'a [u8]),
    /// The part is complete.
    PartEnd,
}

/// Reads a form with files as it comes.
///
/// ```
/// use lws_server::http::multipart::{Event, Limits, Multipart};
///
/// let form = b"--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a.png\"\r\n\r\n...\r\n--x--\r\n";
/// let mut multipart = Multipart::new("x", Limits::default())?;
/// let mut seen = Vec::new();
/// for piece in form.chunks(7) {
///     multipart.feed(piece, |event| {
///         seen.push(format!("{event:?}"));
///         Ok(())
///     })?;
/// }
/// multipart.finish()?;
/// assert!(seen[0].contains("photo") && seen.last().is_some_and(|last| last == "PartEnd"));
/// # Ok::<(), lws_server::http::Rejection>(())
/// ```
pub struct Multipart {
    /// What stands before each part but the first, and behind the last one: a line break, two hyphens and the boundary.
    delimiter: Vec<u8>,
    limits: Limits,
    phase: ParserPhase,
    /// Input that could not be decided yet.
    kept: Vec<u8>,
    parts: usize,
    part_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParserPhase {
    /// Before the first boundary. RFC 2046 §5.1.1 calls it the preamble.
    Before,
    /// Behind a boundary: a line break follows, or two hyphens.
    Boundary,
    Head,
    Content,
    /// Behind the last boundary.
    Over,
}

/// Spaces that may stand behind a boundary.
const PADDING_MAX: usize = 64;

impl Multipart {
    /// With the boundary of the `Content-Type`.
    ///
    /// # Errors
    /// 400: it is no boundary. RFC 2046 §5.1.1.
    pub fn new(boundary: &str, limits: Limits) -> Result<Self, Rejection> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        let is_whole = (1..=70).contains(&boundary.len()) && boundary.bytes().all(is_allowed);
        if !is_whole || boundary.ends_with(' ') {
            return Err(Rejection::bad_request("the boundary of the form is none"));
        }
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            limits,
            phase: ParserPhase::Before,
            // The first boundary may stand at the very beginning, without the line break that the others have.
            kept: b"\r\n".to_vec(),
            parts: 0,
            part_bytes: 0,
        })
    }

    /// Reads what has come, and calls `event` for all of it.
    ///
    /// # Errors
    /// 400: it is malformed; 413: it is past a limit; or what `event` has answered. Nothing more is read then.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut event: impl FnMut(Event<'_>) -> Result<(), Rejection>,
    ) -> Result<(), Rejection> {
        if self.kept.is_empty() {
            let read = self.read(bytes, &mut event)?;
            self.kept.extend_from_slice(&bytes[read..]);
            return Ok(());
        }
        let mut input = mem::take(&mut self.kept);
        input.extend_from_slice(bytes);
        let read = self.read(&input, &mut event)?;
        input.drain(..read);
        self.kept = input;
        Ok(())
    }

    /// The content has ended.
    ///
    /// # Errors
    /// 400: the form has not.
    pub fn finish(self) -> Result<(), Rejection> {
        let is_over = self.phase == ParserPhase::Over;
        is_over.then_some(()).ok_or_else(|| Rejection::bad_request("the form ends before its last boundary"))
    }

    /// Reads as much as can be decided. Returns how much that is.
    fn read(
        &mut self,
        input: &[u8],
        event: &mut dyn FnMut(Event<'_>) -> Result<(), Rejection>,
    ) -> Result<usize, Rejection> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            let (read, goes_on) = match self.phase {
                ParserPhase::Before => self.before(rest),
                ParserPhase::Boundary => self.boundary(rest)?,
                ParserPhase::Head => self.head(rest, event)?,
                ParserPhase::Content => self.content(rest, event)?,
                ParserPhase::Over => (rest.len(), false),
            };
            at += read;
            if !goes_on {
                return Ok(at);
            }
        }
    }

    fn before(&mut self, rest: &[u8]) -> (usize, bool) {
        match find(rest, &self.delimiter) {
            Ok(at) => {
                self.phase = ParserPhase::Boundary;
                (at + self.delimiter.len(), true)
            }
            Err(decided) => (decided, false),
        }
    }

    fn boundary(&mut self, rest: &[u8]) -> Result<(usize, bool), Rejection> {
        if rest.starts_with(b"--") {
            self.phase = ParserPhase::Over;
            return Ok((2, true));
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match &rest[padding..] {
            _ if padding > PADDING_MAX => {
                Err(Rejection::bad_request("too much white space stands behind a boundary of the form"))
            }
            [b'\r', b'\n', ..] => {
                self.phase = ParserPhase::Head;
                Ok((padding + 2, true))
            }
            [] | [b'\r'] => Ok((0, false)),
            [b'-'] if padding == 0 => Ok((0, false)),
            _ => Err(Rejection::bad_request("something stands behind a boundary of the form")),
        }
    }

    fn head(
        &mut self,
        rest: &[u8],
        event: &mut dyn FnMut(Event<'_>) -> Result<(), Rejection>,
    ) -> Result<(usize, bool), Rejection> {
        let too_large = || Rejection::too_large("the head of a part of the form is too long");
        let end =
            if rest.starts_with(b"\r\n") { Some(0) } else { position(rest, b"\r\n\r\n").map(|at| at + 2) };
        let Some(end) = end else {
            // All of its end but the last octet may be there.
            let may_end = rest.len() <= self.limits.head_bytes_max.saturating_add(1);
            return if may_end { Ok((0, false)) } else { Err(too_large()) };
        };
        if end > self.limits.head_bytes_max {
            return Err(too_large());
        }
        if self.parts == self.limits.parts_max {
            return Err(Rejection::too_large("the form has too many parts"));
        }
        self.parts += 1;
        self.part_bytes = 0;
        self.phase = ParserPhase::Content;
        event(Event::Part(PartHead::parse(&rest[..end])?))?;
        // With the empty line.
        Ok((end + 2, true))
    }

    fn content(
        &mut self,
        rest: &[u8],
        event: &mut dyn FnMut(Event<'_>) -> Result<(), Rejection>,
    ) -> Result<(usize, bool), Rejection> {
        let (len, read, ends) = match find(rest, &self.delimiter) {
            Ok(at) => (at, at + self.delimiter.len(), true),
            Err(decided) => (decided, decided, false),
        };
        self.part_bytes += len as u64;
        if self.part_bytes > self.limits.part_bytes_max {
            return Err(Rejection::too_large("a part of the form is too long"));
        }
        if len > 0 {
            event(Event::Content(&rest[..len]))?;
        }
        if ends {
            self.phase = ParserPhase::Boundary;
            event(Event::PartEnd)?;
        }
        Ok((read, ends))
    }
}

impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, parts, part_bytes, .. } = self;
        let mut debug = f.debug_struct("Multipart");
        debug
            .field("phase", phase)
            .field("parts", parts)
            .field("part_bytes", part_bytes)
            .finish_non_exhaustive()
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    find(bytes, wanted).ok()
}

/// Where `wanted`, which begins with a carriage return, stands in `bytes`.
///
/// # Errors
/// How many bytes cannot be its beginning, if it is not there.
fn find(bytes: &[u8], wanted: &[u8]) -> Result<usize, usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == b'\r') {
        let rest = &bytes[from + at..];
        if rest.starts_with(wanted) {
            return Ok(from + at);
        }
        if wanted.starts_with(rest) {
            return Err(from + at);
        }
        from += at + 1;
    }
    Err(bytes.len())
}

impl PartHead {
    /// Reads field lines, each with its line break.
    fn parse(bytes: &[u8]) -> Result<Self, Rejection> {
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| Rejection::bad_request("the head of a part of the form is no UTF-8"))?;
        let malformed = || Rejection::bad_request("the head of a part of the form has a malformed field");
        let mut disposition = None;
        let mut content_type = None;
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(malformed)?;
            let value = value.trim_matches([' ', '\t']);
            if name.eq_ignore_ascii_case("Content-Disposition") {
                // Of two the next one who reads the form may take the other.
                if disposition.replace(disposition_of(value)?).is_some() {
                    return Err(malformed());
                }
            } else if name.eq_ignore_ascii_case("Content-Type") {
                content_type = Some(value.to_owned());
            }
        }
        let nameless = || Rejection::bad_request("a part of the form has no name");
        let (name, file_name) = disposition.ok_or_else(nameless)?;
        Ok(Self { name: name.ok_or_else(nameless)?, file_name, content_type })
    }
}

/// The name of a part, and that of its file. RFC 7578 §4.2.
fn disposition_of(value: &str) -> Result<(Option<String>, Option<String>), Rejection> {
    let malformed = || Rejection::bad_request("a part of the form has a malformed Content-Disposition field");
    let (kind, mut rest) = value.split_at(value.find(';').unwrap_or(value.len()));
    if !kind.trim_end_matches([' ', '\t']).eq_ignore_ascii_case("form-data") {
        return Err(Rejection::bad_request("a part of the form is no form-data"));
    }
    let (mut name, mut file_name) = (None, None);
    while let Some(text) = rest.strip_prefix(';') {
        let text = text.trim_start_matches([' ', '\t']);
        if text.is_empty() || text.starts_with(';') {
            rest = text;
            continue;
        }
        let (parameter, value, left) = parameter(text).ok_or_else(malformed)?;
        rest = left;
        let place = match parameter {
            parameter if parameter.eq_ignore_ascii_case("name") => &mut name,
            parameter if parameter.eq_ignore_ascii_case("filename") => &mut file_name,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(malformed());
        }
    }
    if rest.is_empty() { Ok((name, file_name)) } else { Err(malformed()) }
}

/// The first parameter of a `Content-Disposition` as browsers write it, with what follows it: a quote in a value is `%22`, a line break
/// `%0D%0A`, and a backslash is itself unless a quote or another one follows it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let is_bare = |text: &str| !text.is_empty() && !text.contains([' ', '\t', '"', ';', '=']);
    let (name, rest) = text.split_once('=')?;
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let (value, rest) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
            let value = value.trim_end_matches([' ', '\t']);
            (is_bare(value).then(|| value.to_owned())?, rest)
        }
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    let ends = rest.is_empty() || rest.starts_with(';');
    (ends && is_bare(name)).then_some((name, value, rest))
}

/// The value behind its first quote, and what follows its last one, if there is one.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let at = rest.find(['"', '\\', '%'])?;
        value.push_str(&rest[..at]);
        let special = &rest[at..];
        let (meant, read) = match special.as_bytes() {
            [b'"', ..] => return Some((value, &special[1..])),
            [b'\\', b'"', ..] | [b'%', b'2', b'2', ..] => ('"', if special.starts_with('%') { 3 } else { 2 }),
            [b'\\', b'\\', ..] => ('\\', 2),
            [b'%', b'0', b'D' | b'd', ..] => ('\r', 3),
            [b'%', b'0', b'A' | b'a', ..] => ('\n', 3),
            [b'\\', ..] => ('\\', 1),
            _ => ('%', 1),
        };
        value.push(meant);
        rest = &special[read..];
    }
}

/// A part of a form that was gathered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// What it is.
    pub head: PartHead,
    /// All of its content.
    pub content: Vec<u8>,
}

impl Request<'_> {
    /// What reads the form with files that this request brings: for a [`Handler`](super::Handler) that gets it piece by piece.
    ///
    /// # Errors
    /// 415: the content is no `multipart/form-data`; 400: it has no boundary.
    pub fn multipart(&self, limits: Limits) -> Result<Multipart, Rejection> {
        let media_type = self.media_type()?.filter(|media_type| media_type.is("multipart/form-data"));
        let Some(media_type) = media_type else {
            return Err(Rejection::unsupported("the content is to be multipart/form-data"));
        };
        let boundary = media_type.parameter("boundary");
        let boundary = boundary.ok_or_else(|| Rejection::bad_request("the form has no boundary"))?;
        Multipart::new(&boundary, limits)
    }

    /// The parts of the form with files that this request brings, for a plain function: the content has been gathered, within
    /// [`RouteOptions::content_bytes_max`](crate::RouteOptions::content_bytes_max).
    ///
    /// # Errors
    /// Those of [`multipart`](Self::multipart), [`Multipart::feed`] and [`Multipart::finish`].
    pub fn parts(&self) -> Result<Vec<Part>, Rejection> {
        let mut parts: Vec<Part> = Vec::new();
        let mut multipart = self.multipart(Limits::default())?;
        multipart.feed(self.content(), |event| {
            match (event, parts.last_mut()) {
                (Event::Part(head), _) => parts.push(Part { head, content: Vec::new() }),
                (Event::Content(content), Some(part)) => part.content.extend_from_slice(content),
                _ => {}
            }
            Ok(())
        })?;
        multipart.finish()?;
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a form that comes in pieces of a size: names, contents, ends.
    fn read(form: &str, size: usize, limits: Limits) -> Result<Vec<String>, Rejection> {
        let mut multipart = Multipart::new("AaB", limits)?;
        let (mut seen, mut content) = (Vec::new(), Vec::new());
        for piece in form.as_bytes().chunks(size.max(1)) {
            multipart.feed(piece, |event| {
                match event {
                    Event::Part(PartHead { name, file_name, .. }) => {
                        seen.push(format!("{name} {}", file_name.unwrap_or_default()));
                    }
                    Event::Content(bytes) => content.extend_from_slice(bytes),
                    Event::PartEnd => {
                        seen.push(String::from_utf8_lossy(&mem::take(&mut content)).into_owned())
                    }
                }
                Ok(())
            })?;
        }
        multipart.finish()?;
        Ok(seen)
    }

    /// However a form is cut, the same is read of it.
    fn check(form: &str, expected: Result<&[&str], u16>) {
        for size in 1..=form.len().max(1) {
            let seen = read(form, size, Limits::default()).map_err(|rejection| rejection.status().code());
            let expected =
                expected.map(|expected| expected.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
            assert_eq!(seen, expected, "in pieces of {size}: {form:?}");
        }
    }

    const PART: &str = "Content-Disposition: form-data; name=";

    #[test]
    fn parts_are_read_however_they_are_cut() {
        check("--AaB--", Ok(&[]));
        check("--AaB--\r\nepilogue", Ok(&[]));
        check(&format!("--AaB\r\n{PART}\"a\"\r\n\r\n1\r\n--AaB--\r\n"), Ok(&["a ", "1"]));
        check(&format!("preamble\r\n--AaB \t\r\n{PART}a\r\n\r\n\r\n--AaB--"), Ok(&["a ", ""]));
        check(
            &format!(
                "--AaB\r\n{PART}\"a\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\n\r\n--Aa\r\n--AaC\r\r\n\
                 \r\n--AaB\r\nX: y\r\n{PART}b\r\n\r\n2\r\n--AaB--"
            ),
            Ok(&["a x.txt", "\r\n--Aa\r\n--AaC\r\r\n", "b ", "2"]),
        );
    }

    #[test]
    fn names_are_unescaped_as_browsers_escape_them() {
        let check = |written: &str, name: &str| {
            let head = PartHead::parse(format!("{PART}\"{written}\"\r\n").as_bytes()).expect(written);
            assert_eq!(head.name, name, "{written}");
        };
        check("a;b=c", "a;b=c");
        check("C:\\x", "C:\\x");
        check("a\\\"b", "a\"b");
        check("a\\\\b", "a\\b");
        check("%22%0D%0a%25", "\"\r\n%25");
        check("ö", "ö");
        for disposition in [" ;; name=\"a\" ; ", "filename*=UTF-8''b; name=a", "NAME=a;"] {
            let line = format!("Content-Disposition: form-data;{disposition}\r\n");
            let head = PartHead::parse(line.as_bytes()).expect(disposition);
            assert_eq!(head.name, "a", "{disposition}");
        }
    }

    #[test]
    fn what_is_malformed_is_a_400() {
        check("", Err(400));
        check("nothing", Err(400));
        check("--AaB\r\n", Err(400));
        check("--AaBx\r\n\r\n", Err(400));
        check(&format!("--AaB\r\n{PART}a\r\n\r\n1\r\n--AaB"), Err(400));
        check(&format!("--AaB\r\n{PART}a\r\n\r\n1"), Err(400));
        check("--AaB\r\n\r\n1\r\n--AaB--", Err(400));
        check("--AaB\r\nno field\r\n\r\n1\r\n--AaB--", Err(400));
        check("--AaB\r\nContent-Disposition: attachment\r\n\r\n1\r\n--AaB--", Err(400));
        for disposition in [
            "name=\"a",
            "name=\"a\\\"",
            "name=\"a\"x; filename=",
            "name=\"a\"x",
            "name=\"a\"; filename=",
            "name=\"a\"; filename=\"b",
            "name=a b",
            "name=a\"b\"",
            "name=a=b",
            "name=",
            "name",
            "=a",
            "na me=a",
            "name=\"a\"; name=\"b\"",
            "name=a; filename=b; FileName=c",
            "name=a\r\nContent-Disposition: form-data; name=b",
        ] {
            let form = format!("--AaB\r\nContent-Disposition: form-data; {disposition}\r\n\r\n1\r\n--AaB--");
            check(&form, Err(400));
        }
        for boundary in ["", "a ", "a\"b", &"a".repeat(71)] {
            assert!(Multipart::new(boundary, Limits::default()).is_err(), "{boundary}");
        }
    }

    #[test]
    fn each_limit_holds() {
        let form = format!("--AaB\r\n{PART}a\r\n\r\n1234\r\n--AaB\r\n{PART}b\r\n\r\n1\r\n--AaB--");
        let check = |limits: Limits, is_within: bool| {
            for size in [1, 5, form.len()] {
                let read = read(&form, size, limits.clone()).map_err(|rejection| rejection.status().code());
                assert_eq!(read.as_ref().err(), (!is_within).then_some(&413), "{limits:?}");
            }
        };
        let head = PART.len() + "a\r\n".len();
        check(Limits { parts_max: 2, head_bytes_max: head, part_bytes_max: 4 }, true);
        check(Limits { parts_max: 1, ..Limits::default() }, false);
        check(Limits { head_bytes_max: head - 1, ..Limits::default() }, false);
        check(Limits { part_bytes_max: 3, ..Limits::default() }, false);
    }

    #[test]
    fn a_head_without_an_end_is_not_kept_for_ever() {
        let mut multipart = Multipart::new("x", Limits::default()).expect("a boundary");
        let fed = multipart
            .feed(b"--x\r\n", |_| Ok(()))
            .and_then(|()| (0..100).try_for_each(|_| multipart.feed(&[b'a'; 1_000], |_| Ok(()))));
        assert_eq!(fed.map_err(|rejection| rejection.status().code()), Err(413));
        assert!(multipart.kept.len() < 10_000);
    }
}
