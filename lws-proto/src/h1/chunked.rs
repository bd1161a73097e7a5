//! The chunked transfer coding. RFC 9112 §7.1.
//!
//! Finds the content in the octets of a message body and never holds any. The trailer section is a section of field
//! lines, which `head` reads.

use crate::http::{is_field_byte, is_tchar};
use crate::{Cause, Limit, Limits, Violation};
use core::ops::Range;

/// Decodes one chunked message body, up to its trailer section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dechunker {
    state: ChunkState,
    /// Bytes of chunk extensions so far, in the whole message.
    extension_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum ChunkState {
    /// Inside `chunk-size`, of which so many digits have come.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind `chunk-size`, inside `chunk-ext`.
    Extension {
        size: u64,
        at: Extension,
    },
    /// Behind the CR that ends the size line.
    SizeLf {
        size: u64,
    },
    /// Inside `chunk-data`. At least one byte is left.
    Data {
        left: u64,
    },
    /// Behind `chunk-data`.
    DataCr,
    DataLf,
    /// Behind the last chunk.
    Trailers,
}

/// Where in `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`. RFC 9112 §7.1.1.
///
/// Recipients "MUST ignore unrecognized chunk extensions", and none is recognised here. They are read by the grammar so that
/// this side and one that knows them see the same end of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// In white space that only a semicolon may follow.
    Space,
    /// Behind the semicolon, where a name has to begin.
    NameStart,
    Name,
    /// In white space behind a name: a value may follow, or the next extension.
    NameEnd,
    /// Behind the equals sign, where a value has to begin.
    ValueStart,
    Token,
    Quoted,
    /// Behind the backslash of a `quoted-pair`.
    Escaped,
    /// Behind the closing quote.
    ValueEnd,
}

impl Extension {
    /// The place behind one more byte; `None` if it may not stand there.
    fn on(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::NameStart | Self::ValueStart, b' ' | b'\t') => self,
            (Self::NameStart | Self::Name, _) if is_tchar(byte) => Self::Name,
            (Self::ValueStart | Self::Token, _) if is_tchar(byte) => Self::Token,
            (Self::ValueStart, b'"') => Self::Quoted,
            (Self::Name | Self::NameEnd, b' ' | b'\t') => Self::NameEnd,
            (Self::Name | Self::NameEnd, b'=') => Self::ValueStart,
            (Self::Space | Self::Token | Self::ValueEnd, b' ' | b'\t') => Self::Space,
            (Self::Space | Self::Name | Self::NameEnd | Self::Token | Self::ValueEnd, b';') => {
                Self::NameStart
            }
            (Self::Quoted, b'"') => Self::ValueEnd,
            (Self::Quoted, b'\\') => Self::Escaped,
            // `qdtext` and `quoted-pair`: no control but HTAB. RFC 9110 §5.6.4.
            (Self::Quoted | Self::Escaped, _) if is_field_byte(byte) => Self::Quoted,
            _ => return None,
        })
    }

    /// Whether the line may end here.
    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Token | Self::ValueEnd)
    }
}

/// The result of decoding some input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dechunked {
    /// Bytes taken from the front of the input.
    pub(crate) consumed: usize,
    /// The range of them that is content, which may be empty.
    pub(crate) content: Range<usize>,
    /// Whether the trailer section comes next.
    pub(crate) last: bool,
}

impl Dechunker {
    pub(crate) fn new() -> Self {
        Self { state: ChunkState::SIZE, extension_bytes: 0 }
    }

    /// Takes framing from the front of `input` and at most one run of content. A chunk of more than `room` bytes is too
    /// much content as soon as it is announced.
    pub(crate) fn decode(&mut self, input: &[u8], limits: &Limits, room: u64) -> Result<Dechunked, Cause> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if let ChunkState::Data { left } = self.state {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                let left = left - len as u64;
                self.state = if left == 0 { ChunkState::DataCr } else { ChunkState::Data { left } };
                return Ok(Dechunked { consumed: at + len, content: at..at + len, last: false });
            }
            at += 1;
            self.state = self.state.on(byte).ok_or(Cause::Violation(Violation::Chunk))?;
            match self.state {
                ChunkState::Extension { .. } => {
                    self.extension_bytes += 1;
                    if self.extension_bytes > limits.chunk_extension_bytes_max {
                        return Err(Cause::Limit(Limit::ChunkExtensionBytes));
                    }
                }
                ChunkState::Data { left } if left > room => return Err(Cause::Limit(Limit::ContentBytes)),
                ChunkState::Trailers => return Ok(Dechunked { consumed: at, content: at..at, last: true }),
                _ => {}
            }
        }
        Ok(Dechunked { consumed: at, content: at..at, last: false })
    }

    /// Whether the data of a chunk has been taken, and not the line end behind it.
    pub(crate) fn is_behind_data(&self) -> bool {
        matches!(self.state, ChunkState::DataCr)
    }
}

impl ChunkState {
    const SIZE: Self = Self::Size { size: 0, digits: 0 };

    /// The state behind one byte of framing; `None` if it may not stand there.
    fn on(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size { size, digits: digits @ ..16 }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // A letter's low four bits count from 1.
                let digit = (byte & 0xf) + if byte > b'9' { 9 } else { 0 };
                Some(Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Some(Self::SizeLf { size }),
            (Self::Size { size, digits: 1.. }, _) => {
                Some(Self::Extension { size, at: Extension::Space.on(byte)? })
            }
            (Self::Extension { size, at }, b'\r') if at.may_end() => Some(Self::SizeLf { size }),
            (Self::Extension { size, at }, _) => Some(Self::Extension { size, at: at.on(byte)? }),
            (Self::SizeLf { size: 0 }, b'\n') => Some(Self::Trailers),
            (Self::SizeLf { size }, b'\n') => Some(Self::Data { left: size }),
            (Self::DataCr, b'\r') => Some(Self::DataLf),
            (Self::DataLf, b'\n') => Some(Self::SIZE),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;

    /// Decodes `body` in pieces of `step` bytes, up to the trailer section. Returns the content and what was taken.
    fn decode(body: &[u8], step: usize, limits: &Limits) -> Result<Option<(Vec<u8>, usize)>, Cause> {
        let mut dechunker = Dechunker::new();
        let mut content = Vec::new();
        let mut at = 0;
        while at < body.len() {
            let input = &body[at..(at + step).min(body.len())];
            let found = dechunker.decode(input, limits, u64::MAX)?;
            content.extend_from_slice(&input[found.content.clone()]);
            at += found.consumed;
            if found.last {
                return Ok(Some((content, at)));
            }
            assert!(found.consumed > 0, "nothing was taken");
        }
        Ok(None)
    }

    fn check(body: &str, expected: Result<&str, Violation>) {
        let limits = Limits::default();
        let body = body.as_bytes();
        let longer = [body, b"next"].concat();
        for step in 1..=longer.len() {
            let decoded = decode(&longer, step, &limits);
            let expected = expected.map(|content| Some((content.as_bytes().to_vec(), body.len())));
            assert_eq!(decoded, expected.map_err(Cause::Violation), "{} by {step}", body.escape_ascii());
        }
        if expected.is_ok() {
            for cut in 0..body.len() {
                assert_eq!(decode(&body[..cut], cut.max(1), &limits), Ok(None), "{cut} bytes");
            }
        }
    }

    #[test]
    fn content_is_found_between_the_framing_however_it_is_cut() {
        check("0\r\n", Ok(""));
        check("000\r\n", Ok(""));
        check("5\r\nhello\r\n0\r\n", Ok("hello"));
        check("5\r\nhello\r\n7\r\n, world\r\n0\r\n", Ok("hello, world"));
        check("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n", Ok("01234567890123456789"));
        check("2\r\n\r\n\r\n0\r\n", Ok("\r\n"));
        check("0000000000000001\r\nx\r\n0\r\n", Ok("x"));
    }

    #[test]
    fn extensions_are_ignored() {
        check("1;b\r\nx\r\n0;a\r\n", Ok("x"));
        check("1;a=b;c=\"d;\\\"\"\r\nx\r\n0\r\n", Ok("x"));
        check("1 \t;a\r\nx\r\n0\t;\ta\r\n", Ok("x"));
        check("1;a = b ; c\t=\t\"\" ;d\r\nx\r\n0\r\n", Ok("x"));
        check("1;a=\"\u{e9}\\\u{e9}\t\"\r\nx\r\n0\r\n", Ok("x"));
        check("1;a;a;a=0x1\r\nx\r\n0\r\n", Ok("x"));
    }

    #[test]
    fn an_extension_is_a_name_and_perhaps_a_value() {
        for extension in [
            ";",
            ";;",
            "; ",
            ";a;",
            ";a ",
            ";a=",
            ";a= ",
            ";a=b ",
            ";a==b",
            ";=b",
            ";a b",
            ";a=b c",
            ";a=b=c",
            ";a,b",
            ";a=b,c",
            ";(a)",
            ";\"a\"",
            ";a=\"b",
            ";a=\"b\"c",
            ";a=\"b\" ",
            ";a=b\"c\"",
            ";a=\"b\\",
            ";\u{e9}",
            ";a=\u{e9}",
            ";a=\"\x08\"",
            ";a=\"\x7f\"",
            ";a=\"\\\x01\"",
            ";a:b",
            ";a=b\\",
        ] {
            check(&format!("1{extension}\r\nx\r\n0\r\n"), Err(Violation::Chunk));
        }
        for extension in [";a=\"b\nc\"", ";a=\"b\r\nc\"", ";a\n", ";a=\"\\\r\n\""] {
            check(&format!("1{extension}\r\nx\r\n0\r\n"), Err(Violation::Chunk));
        }
    }

    #[test]
    fn nothing_else_is_a_chunk() {
        for body in [
            "\r\n",
            ";a\r\n",
            " 1\r\nx",
            "+1\r\nx",
            "-1\r\nx",
            "0x1\r\nx",
            "g\r\n",
            "1 \r\nx",
            "1\nx",
            "1\rx",
            "1\r\rx",
            "1;a\nx",
            "1;a\r;\nx",
            "1;\0\r\nx",
            "1;\x7f\r\nx",
            "1\r\nxx\r\n",
            "1\r\nx\n0\r\n",
            "1\r\nx\r0\r\n",
            "1\r\nx0\r\n",
            "00000000000000001\r\nx",
            "10000000000000000\r\n",
            "1,\r\nx",
            "1\r\nx\r\n\r\n",
            "1 a\r\nx",
        ] {
            check(body, Err(Violation::Chunk));
        }
    }

    #[test]
    fn a_chunk_of_sixteen_digits_is_a_number() {
        let mut dechunker = Dechunker::new();
        let found = dechunker.decode(b"FFFFFFFFFFFFFFFF\r\nx", &Limits::default(), u64::MAX);
        assert_eq!(found, Ok(Dechunked { consumed: 19, content: 18..19, last: false }));
        assert!(matches!(dechunker.state, ChunkState::Data { left } if left == u64::MAX - 1));
    }

    #[test]
    fn a_chunk_is_too_much_as_soon_as_it_is_announced() {
        for (body, room, expected) in [
            (&b"A\r\n"[..], 10, Ok(Dechunked { consumed: 3, content: 3..3, last: false })),
            (b"B\r\n", 10, Err(Cause::Limit(Limit::ContentBytes))),
            (b"0\r\n", 0, Ok(Dechunked { consumed: 3, content: 3..3, last: true })),
        ] {
            assert_eq!(Dechunker::new().decode(body, &Limits::default(), room), expected);
        }
    }

    #[test]
    fn extensions_are_limited_over_the_whole_message() {
        let limits = Limits { chunk_extension_bytes_max: 6, ..Limits::default() };
        let at = b"1;ab\r\nx\r\n1;ab\r\ny\r\n0\r\n";
        let past = b"1;ab\r\nx\r\n1;ab\r\ny\r\n0;a\r\n";
        for step in 1..at.len() {
            assert_eq!(decode(at, step, &limits), Ok(Some((b"xy".to_vec(), at.len()))));
            assert_eq!(decode(past, step, &limits), Err(Cause::Limit(Limit::ChunkExtensionBytes)));
        }
    }
}
