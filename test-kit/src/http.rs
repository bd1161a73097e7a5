//! Reading responses in tests whose clients send and receive plain octets.

use std::io::{ErrorKind, Read};

/// Reads up to the end of the connection, or up to its reset: everything that the peer received.
///
/// # Panics
/// The read timeout of the stream has passed.
#[track_caller]
pub fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut octets = Vec::new();
    match stream.read_to_end(&mut octets) {
        Ok(_) => octets,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => octets,
        Err(error) => panic!("no end after {} octets: {error}", octets.len()),
    }
}

/// Reads up to an empty line, which is included, or up to the end of the connection. Nothing behind the line is
/// read.
pub fn read_head(stream: &mut impl Read) -> Vec<u8> {
    let (mut head, mut octet) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut octet).is_ok_and(|count| count == 1) {
        head.push(octet[0]);
    }
    head
}

/// A received response of HTTP/1.1.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Status line and fields, with the empty line behind them.
    pub head: String,
    /// Everything behind the head, whatever its coding.
    pub content: Vec<u8>,
}

impl Answer {
    /// Parses a response.
    ///
    /// # Panics
    /// The octets have no head, or it has no status.
    #[must_use]
    #[track_caller]
    pub fn parse(octets: &[u8]) -> Self {
        let end = octets.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {:?}", octets.escape_ascii().to_string())) + 4;
        let head = String::from_utf8(octets[..end].to_vec()).expect("a head is ASCII");
        let status = head.get(9..12).and_then(|code| code.parse().ok()).expect("a status code");
        Self { status, head, content: octets[end..].to_vec() }
    }

    /// The value of the first field line of that name, in any case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The content as text.
    ///
    /// # Panics
    /// It is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.content).expect("UTF-8")
    }

    /// Whether the content is as long as the head says, or ends with its last chunk.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match self.field("content-length") {
            Some(length) => length.parse() == Ok(self.content.len()),
            None => self.content.ends_with(b"0\r\n\r\n"),
        }
    }
}
