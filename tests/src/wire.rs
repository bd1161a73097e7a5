//! What stands on the wire, written and read without the engine.
//!
//! The frames and responses here are the tests' own, so that a fault of the engine cannot hide in both directions.

use crate::Octets;

/// A WebSocket frame as it stands on the wire. RFC 6455 §5.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    /// The masking key, if the frame is masked.
    pub key: Option<[u8; 4]>,
    /// The payload, not masked.
    pub payload: Octets,
}

/// The first byte of a whole text message.
pub const TEXT: u8 = 0x81;
/// The first byte of a whole binary message.
pub const BINARY: u8 = 0x82;
/// The first byte of a Close frame.
pub const CLOSE: u8 = 0x88;
/// The first byte of a Ping frame.
pub const PING: u8 = 0x89;
/// The first byte of a Pong frame.
pub const PONG: u8 = 0x8a;
/// The first byte of a fragment that begins a text message.
pub const TEXT_BEGINS: u8 = 0x01;
/// The first byte of a fragment that begins a binary message.
pub const BINARY_BEGINS: u8 = 0x02;
/// The first byte of a fragment that goes on with a message.
pub const GOES_ON: u8 = 0x00;
/// The first byte of a fragment that ends a message.
pub const ENDS: u8 = 0x80;

/// The masking key of every frame that the tests send as a client.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame from a client: masked.
#[must_use]
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, Some(KEY), payload)
}

/// A frame from a server: not masked.
#[must_use]
pub fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, None, payload)
}

/// A frame with the shortest form of its length.
#[must_use]
pub fn frame(first: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, key.is_some(), payload.len() as u64);
    bytes.extend(key.iter().flatten());
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key.map_or(0, |key| key[at % 4])));
    bytes
}

/// The header of a frame up to its masking key.
#[must_use]
pub fn header(first: u8, is_masked: bool, len: u64) -> Vec<u8> {
    let mask = u8::from(is_masked) << 7;
    let mut bytes = vec![first];
    match len {
        0..=125 => bytes.push(mask | len as u8),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes
}

/// The payload of a Close frame.
#[must_use]
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// Reads frames to the end of `bytes`; what is incomplete or not in its shortest form is an error.
///
/// # Errors
/// What is wrong, for a person.
pub fn frames(mut bytes: &[u8]) -> Result<Vec<Frame>, String> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let [first, second, rest @ ..] = bytes else { return Err("half a header".into()) };
        let (len, rest) = match second & 0x7f {
            126 => rest
                .split_first_chunk::<2>()
                .map(|(len, rest)| (u64::from(u16::from_be_bytes(*len)), rest))
                .ok_or("half a length")?,
            127 => rest
                .split_first_chunk::<8>()
                .map(|(len, rest)| (u64::from_be_bytes(*len), rest))
                .ok_or("half a length")?,
            len => (u64::from(len), rest),
        };
        if header(*first, second & 0x80 != 0, len)[..] != bytes[..bytes.len() - rest.len()] {
            return Err("a length that is not in its shortest form".into());
        }
        let (key, rest) = if second & 0x80 == 0 {
            (None, rest)
        } else {
            rest.split_first_chunk::<4>().map(|(key, rest)| (Some(*key), rest)).ok_or("half a key")?
        };
        let len = usize::try_from(len).map_err(|_| "a length beyond memory")?;
        let (payload, rest) = rest.split_at_checked(len).ok_or("half a payload")?;
        let unmask = |(at, byte): (usize, &u8)| byte ^ key.map_or(0, |key| key[at % 4]);
        let payload = Octets(payload.iter().enumerate().map(unmask).collect());
        frames.push(Frame { first: *first, key, payload });
        bytes = rest;
    }
    Ok(frames)
}

/// A response as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Everything up to the end of the empty line.
    pub head: String,
    /// The content, without its framing.
    pub content: Octets,
}

impl Response {
    /// The values of the fields called `name`.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The value of the one field called `name`; panics if there are more, which no field that is asked for here may.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} more than once: {}", self.head);
        all.first().copied()
    }
}

/// Reads the responses to `methods`, one each, after any number of interim ones. What follows the last is returned too:
/// the bytes of another protocol, or none.
///
/// # Errors
/// What is wrong, for a person.
pub fn responses<'a>(mut bytes: &'a [u8], methods: &[&str]) -> Result<(Vec<Response>, &'a [u8]), String> {
    let mut responses = Vec::new();
    let mut finals = 0;
    while finals < methods.len() && !bytes.is_empty() {
        let (response, rest) = response(bytes, methods[finals])?;
        finals += usize::from(response.status >= 200 || response.status == 101);
        responses.push(response);
        bytes = rest;
    }
    Ok((responses, bytes))
}

/// Reads all of `bytes` as responses to requests with content.
///
/// # Errors
/// What is wrong, for a person.
pub fn all_responses(mut bytes: &[u8]) -> Result<Vec<Response>, String> {
    let mut responses = Vec::new();
    while !bytes.is_empty() {
        let (response, rest) = response(bytes, "GET")?;
        responses.push(response);
        bytes = rest;
    }
    Ok(responses)
}

fn response<'a>(bytes: &'a [u8], method: &str) -> Result<(Response, &'a [u8]), String> {
    let at =
        find(bytes, b"\r\n\r\n").ok_or_else(|| format!("no end of a head in {}", bytes.escape_ascii()))? + 4;
    let head = std::str::from_utf8(&bytes[..at]).map_err(|error| error.to_string())?.to_owned();
    let status =
        head.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3)).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("not a status line: {head}"))?;
    let mut response = Response { status, head, content: Octets::default() };
    let rest = &bytes[at..];
    if status < 200
        || status == 204
        || status == 304
        || method == "HEAD"
        || method == "CONNECT" && status < 300
    {
        return Ok((response, rest));
    }
    let (content, rest) = match (response.field("content-length"), response.field("transfer-encoding")) {
        (Some(length), None) => {
            let length = length.parse().map_err(|_| "a Content-Length that is no number")?;
            let (content, rest) = rest.split_at_checked(length).ok_or("half of the content")?;
            (content.to_vec(), rest)
        }
        (None, Some("chunked")) => chunked(rest)?,
        (None, None) => (rest.to_vec(), &rest[rest.len()..]),
        (length, coding) => return Err(format!("framed by {length:?} and {coding:?}")),
    };
    response.content = Octets(content);
    Ok((response, rest))
}

/// Content in chunks, and what follows it. Extensions and trailers are errors: use it where there are none.
fn chunked(mut bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut content = Vec::new();
    loop {
        let at = find(bytes, b"\r\n").ok_or("half a chunk size")?;
        let digits = std::str::from_utf8(&bytes[..at]).map_err(|error| error.to_string())?;
        let size = usize::from_str_radix(digits, 16).map_err(|_| format!("not a chunk size: {digits:?}"))?;
        let (chunk, rest) = bytes[at + 2..].split_at_checked(size).ok_or("half a chunk")?;
        content.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n").ok_or("no CR LF behind a chunk")?;
        if size == 0 {
            return Ok((content, bytes));
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
