//! The same frames to our server and to that of `h2`, frame by frame: both take a frame, and have received the same then, or both refuse
//! it. Where they may differ stands in `differences.rs`.
//!
//! Neither answers, so that a stream ends where the client ends it. How messages are carried once they are taken is the other
//! target's part.

mod differences;
mod sides;

use super::http2_pieces::{Ids, Piece};
use crate::h2;
use crate::transcript::{Fields, Octets};
use arbitrary::{Arbitrary, Unstructured};
use differences::Case;
use sides::{Ours, Theirs};

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    /// The server itself answered the request, with this status code of an error.
    Answered(u16),
    /// The stream was refused, with this code.
    Stream(u32),
    /// The connection was.
    Connection(u32),
    /// The connection has ended without an error.
    Over,
}

/// What has been received of one request.
#[derive(Clone, Debug, Default, PartialEq)]
struct ReceivedRequest {
    method: String,
    /// The authority and the path.
    target: (String, String),
    fields: Fields,
    content: Octets,
    /// None, if the section was empty.
    trailers: Fields,
    ended: bool,
}

/// A field section: what is in it is mostly right.
#[derive(Arbitrary, Debug)]
struct Head {
    stream: u8,
    /// Bits of what is left out, doubled, and behind the other fields.
    spoilt: u8,
    method: u8,
    scheme: u8,
    authority: u8,
    path: u8,
    protocol: u8,
    lines: Vec<Line>,
    end: bool,
}

#[derive(Arbitrary, Debug)]
struct Line {
    name: u8,
    value: u8,
    octet: u8,
}

/// What a client sends.
#[derive(Arbitrary, Debug)]
enum Sent {
    Head(Head),
    Trailers { stream: u8, lines: Vec<Line> },
    Piece(Piece),
}

const METHODS: [&str; 8] = ["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "M-SEARCH", "", "G T"];
const SCHEMES: [&str; 6] = ["http", "https", "ftp", "HTTP", "", "h ttp"];
const AUTHORITIES: [&str; 10] = ["a", "a:80", "[::1]:80", "", "a:", "u@a", "a b", "a:x", "a/b", "\u{e4}"];
const PATHS: [&str; 12] =
    ["/", "/b?c=d", "*", "", "b", "/a b", "/#f", "http://a/", "/%zz", "/\u{e4}", "/\"<>", "/?\u{7f}"];
const PROTOCOLS: [&str; 2] = ["websocket", ""];
const NAMES: [&str; 24] = [
    "x-a",
    "x-b",
    "cookie",
    "content-length",
    "te",
    "host",
    "connection",
    "transfer-encoding",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "X-A",
    "",
    "x a",
    "x:",
    ":x",
    ":path",
    ":status",
    ":method",
    "expect",
    "priority",
    "trailer",
    "x\u{e4}",
    "x\0",
];
const VALUES: [&str; 16] = [
    "b", "5", "0", "trailers", "a", " b", "b ", "\tb", "", "05", "+5", "5, 5", "b\r", "b\n", "b\0", "\u{e4}",
];

fn pick(choices: &[&'static str], which: u8) -> &'static str {
    // Most are right, and the right ones come first.
    let which = usize::from(which);
    choices[if which < 128 { which % choices.len().min(2) } else { which % choices.len() }]
}

impl Line {
    fn field(&self) -> (String, Vec<u8>) {
        let name = pick(&NAMES, self.name);
        let value = match self.value {
            255 => vec![b'b', self.octet],
            value => pick(&VALUES, value).into(),
        };
        (name.into(), value)
    }
}

impl Head {
    fn block(&self) -> Vec<u8> {
        let mut lines: Vec<(String, Vec<u8>)> = Vec::new();
        let mut control = |bit: u8, name: &str, value: &str| {
            if self.spoilt & 128 == 0 || self.spoilt & bit == 0 {
                lines.push((name.into(), value.into()));
            }
        };
        let method = pick(&METHODS, self.method);
        let plain_connect = method == "CONNECT" && self.protocol < 128;
        control(1, ":method", method);
        if !plain_connect || self.spoilt & 64 != 0 {
            control(2, ":scheme", pick(&SCHEMES, self.scheme));
            control(4, ":path", pick(&PATHS, self.path));
        }
        control(8, ":authority", pick(&AUTHORITIES, self.authority));
        if self.protocol >= 128 && (method == "CONNECT" || self.protocol > 250) {
            control(16, ":protocol", pick(&PROTOCOLS, self.protocol));
        }
        lines.extend(self.lines.iter().map(Line::field));
        if self.spoilt & 0xa0 == 0xa0 && !lines.is_empty() {
            lines.rotate_left(1);
        }
        block(&lines)
    }
}

fn block(lines: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        h2::literal(&mut block, name.as_bytes(), value);
    }
    block
}

impl Sent {
    fn bytes(&self, ids: &mut Ids) -> Vec<u8> {
        let headers = |stream, block: &[u8], end| {
            let end = u8::from(end) * h2::flag::END_STREAM;
            h2::frame(h2::kind::HEADERS, h2::flag::END_HEADERS | end, stream, block)
        };
        match self {
            Self::Head(head) => headers(ids.opened(head.stream), &head.block(), head.end),
            Self::Trailers { stream, lines } => {
                let lines: Vec<_> = lines.iter().map(Line::field).collect();
                headers(ids.any(*stream), &block(&lines), true)
            }
            Self::Piece(piece) => piece.bytes(true, ids),
        }
    }
}

/// An input is what a client sends.
pub fn http2_acceptance(input: &[u8]) {
    const BYTES_MAX: usize = 10_000;
    let mut input = Unstructured::new(input);
    let (mut ours, mut theirs) = (Ours::new(), Theirs::new());
    let mut ids = Ids::asking();
    let mut bytes = h2::client_begins(&[]);
    while !input.is_empty() && bytes.len() < BYTES_MAX {
        let Ok(sent) = input.arbitrary::<Sent>() else { break };
        bytes.extend(sent.bytes(&mut ids));
    }
    let mut case = Case::new();
    for frame in frames(&bytes) {
        case.note(frame);
        let verdicts = (ours.take(frame), theirs.take(frame));
        if !case.agree(&ours, &theirs, verdicts) {
            return;
        }
    }
}

/// The client's preface, and then frame by frame. One that is cut is left out: when its header is judged is each side's own choice.
fn frames(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut begun = false;
    std::iter::from_fn(move || {
        let len = match rest {
            _ if !begun => h2::PREFACE.len(),
            [a, b, c, ..] => 9 + u32::from_be_bytes([0, *a, *b, *c]) as usize,
            _ => return None,
        };
        begun = true;
        let (frame, after) = rest.split_at_checked(len)?;
        rest = after;
        Some(frame)
    })
}
