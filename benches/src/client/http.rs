//! HTTP/1.1 as a measuring client speaks it: one kind of request, responses with a known length.
//!
//! The first response of a connection is read field by field. Later ones are expected to have its
//! length, its status and its end; whatever differs is read field by field again. A server may say
//! `Connection: close` in any of them: RFC 9112 §9.6.

use super::Tally;
use crate::Result;

const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Appends one request without a body.
pub(crate) fn request(out: &mut Vec<u8>, path: &str, port: u16) {
    out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").as_bytes());
}

/// Reads the responses of one connection.
pub(crate) struct Replies {
    /// How a good response ends: the empty line and the content.
    ending: Vec<u8>,
    /// The length of the last response that was read field by field.
    usual_len: Option<usize>,
    verified: bool,
    ended: bool,
}

impl Replies {
    pub(crate) fn new(content: &str) -> Self {
        Self {
            ending: [b"\r\n\r\n", content.as_bytes()].concat(),
            usual_len: None,
            verified: false,
            ended: false,
        }
    }

    pub(crate) fn read(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.ended {
            let len = match self.usual(rest) {
                Some(len) => len,
                None => match response(rest)? {
                    Some(response) => self.unusual(&rest[..response.len], response.close, tally),
                    None => return Ok(bytes.len() - rest.len()),
                },
            };
            tally.replies += 1;
            rest = &rest[len..];
        }
        Ok(bytes.len())
    }

    /// Whether the server has said that no more responses follow on this connection.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    fn unusual(&mut self, response: &[u8], close: bool, tally: &mut Tally) -> usize {
        let right = self.right(response);
        tally.bad += u64::from(!right);
        tally.verified += u64::from(right && !self.verified);
        self.verified |= right;
        self.usual_len = right.then_some(response.len());
        self.ended = close;
        response.len()
    }

    /// The length of the response at the start of `bytes`, if it is like the one before.
    fn usual(&self, bytes: &[u8]) -> Option<usize> {
        let response = bytes.get(..self.usual_len?)?;
        self.right(response).then_some(response.len())
    }

    fn right(&self, response: &[u8]) -> bool {
        response.starts_with(b"HTTP/1.1 200") && response.ends_with(&self.ending)
    }
}

/// A response, as far as a measuring client looks at it.
struct Response {
    /// Of head and content, in bytes.
    len: usize,
    /// Whether it is the last of its connection.
    close: bool,
}

/// The response at the start of `bytes`. `None` asks for more of them.
fn response(bytes: &[u8]) -> Result<Option<Response>> {
    let Some(head_len) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err("the head of a response is too long".into());
        }
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..head_len])?;
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let content_len =
        field("content-length").ok_or_else(|| format!("a response without Content-Length: {head}"))?;
    let len = head_len + 4 + content_len.parse::<usize>()?;
    let close = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok((bytes.len() >= len).then_some(Response { len, close }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> Tally {
        let (mut replies, mut tally, mut kept) = (Replies::new("hi"), Tally::default(), Vec::new());
        for part in bytes.chunks(piece) {
            kept.extend_from_slice(part);
            let used = replies.read(&kept, &mut tally).expect("responses with a length");
            kept.drain(..used);
        }
        assert!(kept.is_empty());
        tally
    }

    #[test]
    fn responses_are_counted_however_they_are_cut_and_when_their_length_changes() {
        let short = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        let long = b"HTTP/1.1 200 OK\r\nContent-Length:  2\r\nDate: today\r\n\r\nhi";
        let bytes = [&short[..], short, long, long, short].concat();
        for piece in 1..=bytes.len() {
            let tally = read(&bytes, piece);
            assert_eq!((tally.replies, tally.verified, tally.bad), (5, 1, 0), "in pieces of {piece}");
        }
    }

    #[test]
    fn another_status_and_other_content_are_bad() {
        for response in [
            "HTTP/1.1 404 Not\r\nContent-Length: 2\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nho",
        ] {
            assert_eq!(read(response.as_bytes(), 1).bad, 1, "{response}");
        }
    }

    #[test]
    fn nothing_is_read_behind_a_response_that_closes() {
        let mut tally = Tally::default();
        let mut replies = Replies::new("hi");
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi".repeat(2);
        assert!(replies.read(&bytes, &mut tally).is_ok_and(|used| used == bytes.len()));
        assert!(replies.ended());
        assert_eq!((tally.replies, tally.bad), (1, 0));
    }

    #[test]
    fn a_response_without_a_length_ends_the_run() {
        let mut tally = Tally::default();
        assert!(Replies::new("").read(b"HTTP/1.1 200 OK\r\n\r\n", &mut tally).is_err());
    }
}
