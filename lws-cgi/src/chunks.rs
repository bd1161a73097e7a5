//! Takes the chunked coding out of what a script writes. RFC 9112 §7.1.
//!
//! Framing is the server's, and on HTTP/2 there is no such coding: what a script has put into chunks by itself is content again.

/// Digits of the size of a chunk.
const SIZE_DIGITS_MAX: u8 = 8;
/// Octets of a line of sizes or trailers.
const LINE_BYTES_MAX: u16 = 4096;

/// The coding is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotChunked;

/// Decodes in place, however the octets are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dechunker(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { size: u64, digits: u8 },
    Extension { size: u64, octets: u16 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { octets: u16 },
    TrailerLf { octets: u16 },
    Ended,
}

impl Dechunker {
    pub(crate) fn new() -> Self {
        Self(State::Size { size: 0, digits: 0 })
    }

    /// Whether the last chunk and the trailer section have come.
    pub(crate) fn has_ended(self) -> bool {
        self.0 == State::Ended
    }

    /// Moves the content in `octets` to their beginning, and returns its length.
    pub(crate) fn decode(&mut self, octets: &mut [u8]) -> Result<usize, NotChunked> {
        let (mut content, mut at) = (0, 0);
        while at < octets.len() {
            if let State::Data { left } = self.0 {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(octets.len() - at);
                octets.copy_within(at..at + len, content);
                (content, at) = (content + len, at + len);
                let left = left - len as u64;
                self.0 = if left == 0 { State::DataCr } else { State::Data { left } };
            } else {
                self.0 = self.0.next(octets[at])?;
                at += 1;
            }
        }
        Ok(content)
    }
}

impl State {
    /// What follows an octet that is no content.
    fn next(self, octet: u8) -> Result<Self, NotChunked> {
        Ok(match (self, octet) {
            (Self::Size { size, digits }, _) if digits < SIZE_DIGITS_MAX && octet.is_ascii_hexdigit() => {
                let digit = char::from(octet).to_digit(16).ok_or(NotChunked)?;
                Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { size, digits: 1.. } | Self::Extension { size, .. }, b'\r') => Self::SizeLf { size },
            (Self::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Self::Extension { size, octets: 0 },
            (Self::Extension { size, octets }, octet) if octets < LINE_BYTES_MAX && octet != b'\n' => {
                Self::Extension { size, octets: octets + 1 }
            }
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer { octets: 0 },
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { size: 0, digits: 0 },
            (Self::Trailer { octets }, b'\r') => Self::TrailerLf { octets },
            (Self::Trailer { octets }, octet) if octets < LINE_BYTES_MAX && octet != b'\n' => {
                Self::Trailer { octets: octets + 1 }
            }
            (Self::TrailerLf { octets: 0 }, b'\n') => Self::Ended,
            (Self::TrailerLf { .. }, b'\n') => Self::Trailer { octets: 0 },
            _ => return Err(NotChunked),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(octets: &str, cut: usize) -> Result<(String, bool), NotChunked> {
        let (mut dechunker, mut content) = (Dechunker::new(), String::new());
        for piece in octets.as_bytes().chunks(cut) {
            let mut piece = piece.to_vec();
            let len = dechunker.decode(&mut piece)?;
            content.push_str(std::str::from_utf8(&piece[..len]).expect("ASCII"));
        }
        Ok((content, dechunker.has_ended()))
    }

    #[test]
    fn chunks_become_content_however_they_are_cut() {
        for (octets, content, ended) in [
            ("5\r\nhello\r\n0\r\n\r\n", "hello", true),
            ("5;a=b\r\nhello\r\n00A \r\n0123456789\r\n0\r\nX: 1\r\nY: 2\r\n\r\n", "hello0123456789", true),
            ("0\r\n\r\n", "", true),
            ("5\r\nhel", "hel", false),
            ("5\r\nhello\r\n", "hello", false),
        ] {
            for cut in 1..=octets.len() {
                assert_eq!(decode(octets, cut), Ok((content.to_owned(), ended)), "{octets:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_not_chunked_is_refused() {
        let (long_line, long_trailer) =
            (format!("1;{}\r\n", "a".repeat(5000)), format!("0\r\n{}\r\n\r\n", "a".repeat(5000)));
        for octets in [
            "\r\n",
            "x\r\n",
            "5\nhello\r\n",
            "5\r\nhellox\r\n",
            "5\r\nhello\n",
            "123456789\r\n",
            ";\r\n",
            "0\r\n\r\nmore",
            "0\r\nX: 1\n\r\n",
            &long_line,
            &long_trailer,
        ] {
            for cut in [1, 2, octets.len()] {
                assert_eq!(decode(octets, cut), Err(NotChunked), "{octets:?} cut at {cut}");
            }
        }
    }
}
