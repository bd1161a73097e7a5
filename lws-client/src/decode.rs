//! Content codings of responses. RFC 9110 §8.4.1. Octets in, octets out, with a bound on how much they grow.

use std::fmt;

/// Why the content of a response could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not what its `Content-Encoding` says.
    Malformed,
    /// It ends early.
    Truncated,
    /// Something stands behind its end.
    Trailing,
    /// It grows more than [`Limits::decoded_ratio_max`](crate::Limits::decoded_ratio_max) allows.
    Ratio,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the compressed content is malformed",
            Self::Truncated => "the compressed content ends early",
            Self::Trailing => "something stands behind the compressed content",
            Self::Ratio => "the content grows too much when it is decompressed",
        })
    }
}

impl std::error::Error for DecodeError {}

/// What to say in `Accept-Encoding`: only what is decoded here.
pub(crate) const ACCEPTED: &str = "gzip, deflate";

#[cfg(feature = "decompress")]
pub(crate) use inflate::Decoder;

#[cfg(not(feature = "decompress"))]
pub(crate) use without::Decoder;

#[cfg(not(feature = "decompress"))]
mod without {
    use super::DecodeError;

    /// There is no coding that is decoded.
    pub(crate) enum Decoder {}

    impl Decoder {
        pub(crate) fn new(_: &[u8], _: u32) -> Option<Self> {
            None
        }

        pub(crate) fn decode(&mut self, _: &[u8], _: &mut [u8]) -> Result<(usize, usize), DecodeError> {
            match *self {}
        }

        pub(crate) fn finish(&self) -> Result<(), DecodeError> {
            match *self {}
        }
    }
}

#[cfg(feature = "decompress")]
mod inflate {
    use super::DecodeError;
    use zlib_rs::{Inflate, InflateFlush, Status};

    /// Content may grow as it likes up to here, so that a short one is never taken for an attack.
    const FREE_BYTES: u64 = 64 << 10;
    /// The first octet of a gzip member. RFC 1952 §2.3.1.
    const GZIP_ID1: u8 = 0x1f;
    /// The largest window of DEFLATE.
    const WINDOW_BITS: u8 = 15;
    /// What zlib adds to it for a gzip header.
    const GZIP: u8 = 16;

    /// Decompresses one content.
    pub(crate) struct Decoder {
        coding: Coding,
        inflate: Option<Box<Inflate>>,
        /// A member has come to its end, and no other has begun.
        ended: bool,
        taken: u64,
        made: u64,
        ratio_max: u32,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Coding {
        Gzip,
        /// zlib, or without its header as some servers send it. RFC 9110 §8.4.1.2.
        Deflate,
    }

    impl Decoder {
        /// The decoder for a `Content-Encoding`, if it is one that was asked for.
        pub(crate) fn new(coding: &[u8], ratio_max: u32) -> Option<Self> {
            let coding = match coding {
                coding if coding.eq_ignore_ascii_case(b"gzip") => Coding::Gzip,
                coding if coding.eq_ignore_ascii_case(b"x-gzip") => Coding::Gzip,
                coding if coding.eq_ignore_ascii_case(b"deflate") => Coding::Deflate,
                _ => return None,
            };
            Some(Self { coding, inflate: None, ended: false, taken: 0, made: 0, ratio_max })
        }

        /// Decompresses some of `input` into `output`: how much was taken, and how much was made. Nothing of either only if
        /// there is no input, or no room.
        pub(crate) fn decode(
            &mut self,
            input: &[u8],
            output: &mut [u8],
        ) -> Result<(usize, usize), DecodeError> {
            let Some(&first) = input.first() else { return self.step(input, output) };
            if self.ended {
                // RFC 1952 §2.2: a file is a series of members.
                if self.coding != Coding::Gzip || first != GZIP_ID1 {
                    return Err(DecodeError::Trailing);
                }
                self.inflate = None;
                self.ended = false;
            }
            let coding = self.coding;
            self.inflate.get_or_insert_with(|| {
                Box::new(match coding {
                    Coding::Gzip => Inflate::new(true, GZIP + WINDOW_BITS),
                    // RFC 1950 §2.2: the low half of the first octet of zlib's header is 8. No raw block begins so that is
                    // not reserved.
                    Coding::Deflate => Inflate::new(first & 0x0f == 8, WINDOW_BITS),
                })
            });
            self.step(input, output)
        }

        fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), DecodeError> {
            let Some(inflate) = &mut self.inflate else { return Ok((0, 0)) };
            if self.ended {
                return Ok((0, 0));
            }
            let before = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress(input, output, InflateFlush::NoFlush)
                .map_err(|_| DecodeError::Malformed)?;
            let (taken, made) = (inflate.total_in() - before.0, inflate.total_out() - before.1);
            self.ended = status == Status::StreamEnd;
            self.taken += taken;
            self.made += made;
            if self.made > FREE_BYTES && self.made > self.taken.saturating_mul(self.ratio_max.into()) {
                return Err(DecodeError::Ratio);
            }
            if taken == 0 && made == 0 && !self.ended && !input.is_empty() && !output.is_empty() {
                return Err(DecodeError::Malformed);
            }
            // Both are lengths of slices.
            Ok((taken as usize, made as usize))
        }

        /// There is no more input.
        pub(crate) fn finish(&self) -> Result<(), DecodeError> {
            // No content at all is none that is cut: some servers send it with 204-like answers.
            if self.ended || self.taken == 0 { Ok(()) } else { Err(DecodeError::Truncated) }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use zlib_rs::{Deflate, DeflateFlush};

        fn compressed(content: &[u8], header: bool, window: u8) -> Vec<u8> {
            let mut deflate = Deflate::new(6, header, window);
            let mut out = vec![0; content.len() + 1_024];
            deflate.compress(content, &mut out, DeflateFlush::Finish).expect("it is compressed");
            out.truncate(usize::try_from(deflate.total_out()).expect("a length"));
            out
        }

        fn gzip(content: &[u8]) -> Vec<u8> {
            let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
            out.extend(compressed(content, false, 15));
            out.extend(zlib_rs::crc32::crc32(0, content).to_le_bytes());
            out.extend(u32::try_from(content.len()).expect("a length").to_le_bytes());
            out
        }

        fn decoded(coding: &str, input: &[u8], step: usize, room: usize) -> Result<Vec<u8>, DecodeError> {
            let mut decoder = Decoder::new(coding.as_bytes(), 100).expect("a coding");
            let mut content = Vec::new();
            let mut output = vec![0; room];
            for mut part in input.chunks(step) {
                loop {
                    let (taken, made) = decoder.decode(part, &mut output)?;
                    content.extend_from_slice(&output[..made]);
                    part = &part[taken..];
                    if part.is_empty() && made < room {
                        break;
                    }
                }
            }
            decoder.finish().map(|()| content)
        }

        #[test]
        fn every_coding_is_decoded_however_it_is_cut() {
            let content = b"she sells sea shells, she sells sea shells, she sells sea shells".repeat(3);
            let two = [gzip(&content), gzip(b"more")].concat();
            let both = [&content[..], b"more"].concat();
            for (coding, input, expected) in [
                ("gzip", gzip(&content), &content[..]),
                ("GZIP", two, &both),
                ("deflate", compressed(&content, true, 15), &content),
                ("deflate", compressed(&content, false, 15), &content),
                ("gzip", gzip(b""), b""),
                ("gzip", Vec::new(), b""),
            ] {
                for step in [1, 2, 7, 1_000] {
                    for room in [1, 5, 4_096] {
                        let result = decoded(coding, &input, step, room);
                        assert_eq!(result.as_deref(), Ok(expected), "{coding} by {step} into {room}");
                    }
                }
            }
            assert!(Decoder::new(b"br", 100).is_none() && Decoder::new(b"gzip, gzip", 100).is_none());
        }

        #[test]
        fn what_is_cut_changed_or_followed_by_something_is_an_error() {
            let whole = gzip(b"content");
            for end in 1..whole.len() {
                assert_eq!(decoded("gzip", &whole[..end], 3, 64), Err(DecodeError::Truncated), "{end}");
            }
            let mut changed = whole.clone();
            changed[13] ^= 1;
            assert!(decoded("gzip", &changed, 100, 64).is_err());
            let longer = [&whole[..], b"x"].concat();
            assert_eq!(decoded("gzip", &longer, 100, 64), Err(DecodeError::Trailing));
            assert_eq!(decoded("gzip", b"hello", 100, 64), Err(DecodeError::Malformed));
        }

        #[test]
        fn content_that_grows_too_much_is_stopped() {
            let bomb = gzip(&vec![0; 10 << 20]);
            assert_eq!(decoded("gzip", &bomb, 4_096, 16 << 10), Err(DecodeError::Ratio));
            let mild = gzip(&vec![0; 60 << 10]);
            assert!(decoded("gzip", &mild, 4_096, 16 << 10).is_ok());
        }
    }
}
