//! Records of FastCGI 1.0, the wire floor: octets to records and back. Knows no connection.

use std::fmt;
use std::ops::Range;

/// Octets of a header. FastCGI §3.3.
const HEADER_BYTES: usize = 8;
/// The longest content of a record that is written: a multiple of eight, so that it needs no padding.
pub(crate) const CONTENT_BYTES_MAX: usize = 65_528;
const VERSION: u8 = 1;
/// The one request of a connection: servers do not multiplex.
const REQUEST: u16 = 1;
const RESPONDER: u16 = 1;
const KEEP_CONNECTION: u8 = 1;

const BEGIN_REQUEST: u8 = 1;
const ABORT_REQUEST: u8 = 2;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;

/// What a server sends that is not FastCGI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another version than 1.
    Version,
    /// A record of a type that only the other side sends, or of none.
    Type,
    /// A record of a request that was not made.
    Request,
    /// The end of a request without what it has to say.
    End,
}

impl Fault {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Version => "it speaks another version of FastCGI",
            Self::Type => "it has sent a FastCGI record of a type that is none",
            Self::Request => "it has answered a FastCGI request that was not made",
            Self::End => "the end of its FastCGI request is malformed",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// How a request has ended. FastCGI §5.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Complete {
        exit: u32,
    },
    /// It multiplexes no requests, which were none.
    CannotMultiplex,
    Overloaded,
    UnknownRole,
}

/// What is found in the input, by its position there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Output(Range<usize>),
    Messages(Range<usize>),
    End(Status),
}

/// Reads what a server sends. Holds no content.
#[derive(Debug)]
pub(crate) struct RecordReader {
    header: [u8; HEADER_BYTES],
    /// Octets of the header, or of the body of an END_REQUEST, that are there.
    have: usize,
    phase: ReadPhase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadPhase {
    Header,
    /// In the content of a record.
    Content {
        kind: Kind,
        left: u16,
        padding: u8,
    },
    Padding {
        left: u8,
        ended: Option<Status>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Output,
    Messages,
    End,
    /// About the server as a whole: passed over. FastCGI §4.
    Management,
}

impl RecordReader {
    pub(crate) fn new() -> Self {
        Self { header: [0; HEADER_BYTES], have: 0, phase: ReadPhase::Header }
    }

    /// Whether it stands between two records.
    pub(crate) fn is_between(&self) -> bool {
        self.phase == ReadPhase::Header && self.have == 0
    }

    /// Finds the next item in `input`, from `at` on, which is moved behind what was read. `None` if more is needed.
    pub(crate) fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Item>, Fault> {
        loop {
            let rest = &input[*at..];
            match self.phase {
                ReadPhase::Padding { left: 0, ended } => {
                    self.phase = ReadPhase::Header;
                    if let Some(status) = ended {
                        return Ok(Some(Item::End(status)));
                    }
                }
                _ if rest.is_empty() => return Ok(None),
                ReadPhase::Header => *at += self.read_header(rest)?,
                ReadPhase::Content { kind, left, padding } => {
                    if let Some(item) = self.read_content(rest, at, kind, left, padding)? {
                        return Ok(Some(item));
                    }
                }
                ReadPhase::Padding { left, ended } => {
                    let len = rest.len().min(left.into());
                    *at += len;
                    // It is no more than `left`.
                    self.phase = ReadPhase::Padding { left: left - u8::try_from(len).unwrap_or(left), ended };
                }
            }
        }
    }

    fn read_header(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let len = rest.len().min(HEADER_BYTES - self.have);
        self.header[self.have..][..len].copy_from_slice(&rest[..len]);
        self.have += len;
        if self.have == HEADER_BYTES {
            self.have = 0;
            self.phase = content_of(self.header)?;
        }
        Ok(len)
    }

    fn read_content(
        &mut self,
        rest: &[u8],
        at: &mut usize,
        kind: Kind,
        left: u16,
        padding: u8,
    ) -> Result<Option<Item>, Fault> {
        let len = rest.len().min(left.into());
        let (start, left) = (*at, left - u16::try_from(len).unwrap_or(left));
        let mut ended = None;
        if kind == Kind::End {
            self.header[self.have..][..len].copy_from_slice(&rest[..len]);
            self.have += len;
            if left == 0 {
                self.have = 0;
                ended = Some(status_of(self.header)?);
            }
        }
        *at += len;
        self.phase = match left {
            0 => ReadPhase::Padding { left: padding, ended },
            left => ReadPhase::Content { kind, left, padding },
        };
        Ok(match kind {
            Kind::Output => Some(Item::Output(start..start + len)),
            Kind::Messages => Some(Item::Messages(start..start + len)),
            Kind::End | Kind::Management => None,
        })
    }
}

/// What a header announces.
fn content_of([version, kind, id @ .., padding, _]: [u8; HEADER_BYTES]) -> Result<ReadPhase, Fault> {
    let [id_high, id_low, length_high, length_low] = id;
    let (id, left) = (u16::from_be_bytes([id_high, id_low]), u16::from_be_bytes([length_high, length_low]));
    if version != VERSION {
        return Err(Fault::Version);
    }
    let kind = match (kind, id) {
        (_, 0) => Kind::Management,
        (STDOUT, REQUEST) => Kind::Output,
        (STDERR, REQUEST) => Kind::Messages,
        (END_REQUEST, REQUEST) if usize::from(left) == HEADER_BYTES => Kind::End,
        (END_REQUEST, REQUEST) => return Err(Fault::End),
        (STDOUT | STDERR | END_REQUEST, _) => return Err(Fault::Request),
        _ => return Err(Fault::Type),
    };
    // The end of a stream is a record without content, and needs no mention: that of the request follows.
    Ok(if left == 0 {
        ReadPhase::Padding { left: padding, ended: None }
    } else {
        ReadPhase::Content { kind, left, padding }
    })
}

fn status_of([a, b, c, d, status, ..]: [u8; HEADER_BYTES]) -> Result<Status, Fault> {
    match status {
        0 => Ok(Status::Complete { exit: u32::from_be_bytes([a, b, c, d]) }),
        1 => Ok(Status::CannotMultiplex),
        2 => Ok(Status::Overloaded),
        3 => Ok(Status::UnknownRole),
        _ => Err(Fault::End),
    }
}

/// Writes the beginning of a request for a responder, with its parameters. FastCGI §5.1, §5.2.
pub(crate) fn begin<'a>(
    out: &mut Vec<u8>,
    keep_connection: bool,
    parameters: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) {
    let [high, low] = RESPONDER.to_be_bytes();
    let flags = if keep_connection { KEEP_CONNECTION } else { 0 };
    header(out, BEGIN_REQUEST, HEADER_BYTES);
    out.extend([high, low, flags, 0, 0, 0, 0, 0]);
    let mut pairs = Vec::new();
    for (name, value) in parameters {
        length(&mut pairs, name.len());
        length(&mut pairs, value.len());
        pairs.extend_from_slice(name);
        pairs.extend_from_slice(value);
    }
    stream(out, PARAMS, &pairs);
    header(out, PARAMS, 0);
}

/// Writes content of a request, in as many records as it needs.
pub(crate) fn content(out: &mut Vec<u8>, content: &[u8]) {
    stream(out, STDIN, content);
}

/// Writes the end of the content of a request.
pub(crate) fn content_end(out: &mut Vec<u8>) {
    header(out, STDIN, 0);
}

/// Writes that the answer is not needed any more. Some servers pass it over: what is sure is to close the connection.
pub(crate) fn abort(out: &mut Vec<u8>) {
    header(out, ABORT_REQUEST, 0);
}

fn stream(out: &mut Vec<u8>, kind: u8, octets: &[u8]) {
    for piece in octets.chunks(CONTENT_BYTES_MAX) {
        header(out, kind, piece.len());
        out.extend_from_slice(piece);
        // The header says so: it is what is missing to a multiple of eight.
        out.extend(std::iter::repeat_n(0, padding(piece.len())));
    }
}

fn header(out: &mut Vec<u8>, kind: u8, len: usize) {
    // No caller has more than `CONTENT_BYTES_MAX`.
    let [high, low] = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    let [id_high, id_low] = REQUEST.to_be_bytes();
    let padding = u8::try_from(padding(len)).unwrap_or_default();
    out.extend([VERSION, kind, id_high, id_low, high, low, padding, 0]);
}

fn padding(len: usize) -> usize {
    len.next_multiple_of(8) - len
}

/// A length of a name or value: one octet, or four. FastCGI §3.4.
fn length(out: &mut Vec<u8>, len: usize) {
    match u8::try_from(len) {
        Ok(short @ ..0x80) => out.push(short),
        // A head that the engine takes is far shorter than 2^31.
        _ => out.extend((u32::try_from(len).unwrap_or(u32::MAX) | 1 << 31).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as a server writes it.
    fn record(kind: u8, id: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).expect("a length").to_be_bytes();
        let header = [1, kind, 0, id, high, low, padding, 0];
        [&header[..], content, &vec![0xee; padding.into()]].concat()
    }

    /// What is read of `octets`: output, messages, the end.
    fn read(octets: &[u8], cut: usize) -> Result<(String, String, Option<Status>, bool), Fault> {
        let mut reader = RecordReader::new();
        let (mut output, mut messages, mut end) = (String::new(), String::new(), None);
        for piece in octets.chunks(cut) {
            let mut at = 0;
            while let Some(item) = reader.next(piece, &mut at)? {
                match item {
                    Item::Output(range) => output.push_str(std::str::from_utf8(&piece[range]).expect("text")),
                    Item::Messages(range) => {
                        messages.push_str(std::str::from_utf8(&piece[range]).expect("text"))
                    }
                    Item::End(status) => end = Some(status),
                }
            }
            assert_eq!(at, piece.len(), "all of it was looked at");
        }
        Ok((output, messages, end, reader.is_between()))
    }

    fn end(exit: u32, status: u8) -> Vec<u8> {
        [&exit.to_be_bytes()[..], &[status, 0, 0, 0]].concat()
    }

    #[test]
    fn records_are_read_however_they_are_cut() {
        let octets = [
            record(6, 1, b"hello", 3),
            record(7, 1, b"oh", 6),
            record(10, 0, b"FCGI_MPXS_CONNS", 1),
            record(6, 1, b", world", 0),
            record(6, 1, b"", 0),
            record(7, 1, b"", 8),
            record(3, 1, &end(7, 0), 5),
        ]
        .concat();
        for cut in 1..=octets.len() {
            let wanted = ("hello, world".into(), "oh".into(), Some(Status::Complete { exit: 7 }), true);
            assert_eq!(read(&octets, cut), Ok(wanted), "cut at {cut}");
        }
        for len in 1..octets.len() {
            let (_, _, ended, _) = read(&octets[..len], len).expect("it is a beginning");
            assert_eq!(ended, None, "the first {len} octets");
        }
    }

    #[test]
    fn a_request_ends_in_one_of_these_ways() {
        for (status, wanted) in [
            (0, Ok(Some(Status::Complete { exit: 0 }))),
            (1, Ok(Some(Status::CannotMultiplex))),
            (2, Ok(Some(Status::Overloaded))),
            (3, Ok(Some(Status::UnknownRole))),
            (4, Err(Fault::End)),
        ] {
            let octets = record(3, 1, &end(0, status), 0);
            assert_eq!(read(&octets, 3).map(|(_, _, end, _)| end), wanted, "{status}");
        }
    }

    #[test]
    fn what_is_not_fastcgi_is_a_fault() {
        for (octets, fault) in [
            (b"HTTP/1.1 400 Bad".to_vec(), Fault::Version),
            (record(6, 2, b"x", 0), Fault::Request),
            (record(3, 2, &end(0, 0), 0), Fault::Request),
            (record(5, 1, b"x", 0), Fault::Type),
            (record(99, 1, b"x", 0), Fault::Type),
            (record(3, 1, b"short", 0), Fault::End),
            (record(3, 1, &[0; 9], 0), Fault::End),
            (record(3, 1, b"", 0), Fault::End),
        ] {
            for cut in 1..=octets.len() {
                assert_eq!(read(&octets, cut).map(|_| ()), Err(fault), "{octets:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_request_is_written_as_the_specification_has_it() {
        let mut out = Vec::new();
        begin(&mut out, true, [(&b"A"[..], &b"bc"[..]), (b"LONG", &[b'x'; 200])]);
        content(&mut out, b"hello");
        content_end(&mut out);
        abort(&mut out);
        let pairs = [&[1, 2][..], b"Abc", &[4, 0x80, 0, 0, 200], b"LONG", &[b'x'; 200]].concat();
        assert_eq!(pairs.len(), 214);
        let wanted = [
            &[1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0][..],
            &[1, 4, 0, 1, 0, 214, 2, 0],
            &pairs,
            &[0, 0],
            &[1, 4, 0, 1, 0, 0, 0, 0],
            &[1, 5, 0, 1, 0, 5, 3, 0],
            b"hello",
            &[0, 0, 0],
            &[1, 5, 0, 1, 0, 0, 0, 0],
            &[1, 2, 0, 1, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(out, wanted);
    }

    #[test]
    fn long_content_takes_several_records() {
        for (len, records) in
            [(0, 0), (1, 1), (CONTENT_BYTES_MAX, 1), (CONTENT_BYTES_MAX + 1, 2), (200_000, 4)]
        {
            let mut out = Vec::new();
            content(&mut out, &vec![b'x'; len]);
            assert_eq!(out.len(), records * HEADER_BYTES + len + padding(len), "{len}");
            assert_eq!(out.iter().filter(|octet| **octet == b'x').count(), len);
        }
    }
}
