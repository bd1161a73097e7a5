//! Frames of a mesh, the wire floor: octets to frames and back. Knows no connection.
//!
//! Each side sends the octet [`VERSION`] first. Then come frames: the number of the octets that follow (32 bits), the type (8 bits) and
//! what the type has. All numbers are in network byte order.
//!
//! | type | sent by | holds |
//! |---|---|---|
//! | 1 hello | the one that connects | its name |
//! | 2 subscribe | the one that connects | number (64 bits), topic |
//! | 3 unsubscribe | the one that connects | number |
//! | 4 synced | the one that connects | nothing: everything that it is subscribed to was sent |
//! | 5 subscribed | the one that accepts | number, and 1 if it has published anything before, otherwise 0 |
//! | 6 message | the one that accepts | number, payload |
//! | 7 lost | the one that accepts | nothing: it had to drop messages here |
//! | 8 leave | the one that accepts | nothing: it has sent everything, and ends |

/// What each side sends first. Sides of different versions share nothing.
pub(super) const VERSION: u8 = 1;
/// Octets of a frame before its type.
const LENGTH_BYTES: usize = 4;
/// Octets of a frame that is not a message, type included, at the most: a number and a topic.
const CONTROL_BYTES_MAX: usize = 1 + 8 + crate::TOPIC_BYTES_MAX;
/// Octets of a message before its payload, at the most: length, type and number.
pub(super) const MESSAGE_OVERHEAD_BYTES: usize = LENGTH_BYTES + 1 + 8;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Hello(&'a str),
    Subscribe { number: u64, topic: &'a str },
    Unsubscribe { number: u64 },
    Synced,
    Subscribed { number: u64, has_published: bool },
    Message { number: u64, payload: &'a [u8] },
    Lost,
    Leave,
}

impl Frame<'_> {
    /// Writes it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        match *self {
            Self::Hello(name) => body(out, 1, None, name.as_bytes()),
            Self::Subscribe { number, topic } => body(out, 2, Some(number), topic.as_bytes()),
            Self::Unsubscribe { number } => body(out, 3, Some(number), &[]),
            Self::Synced => body(out, 4, None, &[]),
            Self::Subscribed { number, has_published } => body(out, 5, Some(number), &[has_published.into()]),
            Self::Message { number, payload } => body(out, 6, Some(number), payload),
            Self::Lost => body(out, 7, None, &[]),
            Self::Leave => body(out, 8, None, &[]),
        }
        // Payloads are limited to far less: `Limits::payload_bytes_max` of this side is checked against `PAYLOAD_BYTES_MAX`.
        let len = u32::try_from(out.len() - at - LENGTH_BYTES).unwrap_or(u32::MAX);
        out[at..at + LENGTH_BYTES].copy_from_slice(&len.to_be_bytes());
    }
}

/// The largest payload that a frame has room for.
pub(super) const PAYLOAD_BYTES_MAX: usize = (1 << 30) - MESSAGE_OVERHEAD_BYTES;

fn body(out: &mut Vec<u8>, kind: u8, number: Option<u64>, rest: &[u8]) {
    out.push(kind);
    if let Some(number) = number {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(rest);
}

/// What is found in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(
    /// The rule that was broken.
    pub(super) &'static str,
);

/// Reads frames. However the input is cut, the frames are the same.
#[derive(Debug)]
pub(super) struct FrameReader {
    payload_bytes_max: usize,
    /// The beginning of a frame that is cut by the end of the input; the last one lent stays until the next call.
    held: Vec<u8>,
    lent: bool,
    /// Whether the version was read.
    versioned: bool,
}

/// Above this capacity a buffer is given back when it is empty.
const KEPT_BYTES: usize = 16 << 10;

impl FrameReader {
    pub(super) fn new(payload_bytes_max: usize) -> Self {
        Self { payload_bytes_max, held: Vec::new(), lent: false, versioned: false }
    }

    /// Takes the next frame from the front of `input`. `None` if more is needed; all of the input has then been taken.
    ///
    /// # Errors
    /// These are no frames of this version. There is nothing that can be read behind it.
    pub(super) fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'a>>, Malformed> {
        if std::mem::take(&mut self.lent) {
            self.held.clear();
            self.held.shrink_to(KEPT_BYTES);
        }
        if !self.versioned {
            let Some((version, rest)) = input.split_first() else { return Ok(None) };
            if *version != VERSION {
                return Err(Malformed("all processes of a mesh speak the same version of its protocol"));
            }
            (self.versioned, *input) = (true, rest);
        }
        if self.held.is_empty()
            && let Some(len) = self.extent(input)?
            && let Some((frame, rest)) = input.split_at_checked(len)
        {
            *input = rest;
            return parse(&frame[LENGTH_BYTES..]).map(Some);
        }
        loop {
            // The length first; it says what else is needed.
            let needed = self.extent(&self.held)?.unwrap_or(LENGTH_BYTES + 1) - self.held.len();
            let (part, rest) = input.split_at(needed.min(input.len()));
            self.held.extend_from_slice(part);
            *input = rest;
            match self.extent(&self.held)? {
                Some(len) if len == self.held.len() => break,
                Some(len) => self.held.reserve_exact(len - self.held.len()),
                None => {}
            }
            if input.is_empty() {
                return Ok(None);
            }
        }
        self.lent = true;
        parse(&self.held[LENGTH_BYTES..]).map(Some)
    }

    /// The octets of the frame that `bytes` begin with, once its length and type are there.
    fn extent(&self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let Some((length, [kind, ..])) = bytes.split_first_chunk() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let max = if *kind == 6 { 1 + 8 + self.payload_bytes_max } else { CONTROL_BYTES_MAX };
        if (1..=max).contains(&len) {
            Ok(Some(LENGTH_BYTES + len))
        } else {
            Err(Malformed("a frame is not longer than its content may be: see payload_bytes_max"))
        }
    }
}

/// A frame without its length.
fn parse(frame: &[u8]) -> Result<Frame<'_>, Malformed> {
    const CONTENT: Malformed = Malformed("a frame has the content of its type");
    let (&kind, rest) = frame.split_first().ok_or(CONTENT)?;
    let numbered = || {
        let (number, rest) = rest.split_first_chunk().ok_or(CONTENT)?;
        Ok((u64::from_be_bytes(*number), rest))
    };
    let text = |octets| std::str::from_utf8(octets).map_err(|_| CONTENT);
    Ok(match (kind, rest) {
        (1, name) => Frame::Hello(text(name)?),
        (2, _) => {
            let (number, topic) = numbered()?;
            Frame::Subscribe { number, topic: text(topic)? }
        }
        (3, _) => match numbered()? {
            (number, []) => Frame::Unsubscribe { number },
            _ => return Err(CONTENT),
        },
        (5, _) => match numbered()? {
            (number, [flag @ (0 | 1)]) => Frame::Subscribed { number, has_published: *flag == 1 },
            _ => return Err(CONTENT),
        },
        (6, _) => {
            let (number, payload) = numbered()?;
            Frame::Message { number, payload }
        }
        (4, []) => Frame::Synced,
        (7, []) => Frame::Lost,
        (8, []) => Frame::Leave,
        _ => return Err(CONTENT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD_MAX: usize = 300;

    fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Option<Malformed>) {
        let (mut reader, mut seen) = (FrameReader::new(PAYLOAD_MAX), Vec::new());
        for mut part in parts {
            loop {
                match reader.next(&mut part) {
                    Ok(Some(frame)) => seen.push(format!("{frame:?}")),
                    Ok(None) => break assert!(part.is_empty(), "all of it is taken"),
                    Err(malformed) => return (seen, Some(malformed)),
                }
            }
        }
        (seen, None)
    }

    /// Reads `input` as a whole, cut in two at every octet, and octet by octet: all come to the same.
    fn check(input: &[u8], frames: &[Frame<'_>], is_malformed: bool) {
        let expected: Vec<_> = frames.iter().map(|it| format!("{it:?}")).collect();
        let mut cuts: Vec<Vec<&[u8]>> =
            (0..input.len()).map(|cut| <[&[u8]; 2]>::from(input.split_at(cut)).into()).collect();
        cuts.extend([vec![input], input.chunks(1).collect()]);
        for parts in cuts {
            let (seen, malformed) = read(parts.iter().copied());
            assert_eq!((seen, malformed.is_some()), (expected.clone(), is_malformed), "{parts:?}");
        }
    }

    fn written(frames: &[Frame<'_>]) -> Vec<u8> {
        let mut out = vec![VERSION];
        frames.iter().for_each(|frame| frame.write(&mut out));
        out
    }

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let (topic, payload) = ("t".repeat(crate::TOPIC_BYTES_MAX), [7; PAYLOAD_MAX]);
        let frames = [
            Frame::Hello("a.sock"),
            Frame::Subscribe { number: 1, topic: &topic },
            Frame::Unsubscribe { number: u64::MAX },
            Frame::Synced,
            Frame::Subscribed { number: 2, has_published: true },
            Frame::Subscribed { number: 3, has_published: false },
            Frame::Message { number: 4, payload: &payload },
            Frame::Message { number: 5, payload: b"" },
            Frame::Lost,
            Frame::Leave,
        ];
        check(&written(&frames), &frames, false);
        assert_eq!(
            written(&[Frame::Message { number: 258, payload: b"ab" }]),
            b"\x01\0\0\0\x0b\x06\0\0\0\0\0\0\x01\x02ab"
        );
    }

    #[test]
    fn what_is_no_frame_ends_it() {
        check(b"\x02", &[], true);
        check(b"GET / HTTP/1.1\r\n", &[], true);
        let longer = [0; PAYLOAD_MAX + 1];
        let too_long = "t".repeat(crate::TOPIC_BYTES_MAX + 1);
        for frame in
            [Frame::Message { number: 1, payload: &longer }, Frame::Subscribe { number: 1, topic: &too_long }]
        {
            let whole = written(&[Frame::Synced, frame]);
            check(&whole, &[Frame::Synced], true);
            // The length alone is enough to refuse it.
            check(&whole[..11], &[Frame::Synced], true);
        }
        for bad in [
            &b"\0\0\0\0\x01"[..],
            b"\xff\xff\xff\xff\x01",
            b"\0\0\0\x01\x09",
            b"\0\0\0\x01\0",
            b"\0\0\0\x02\x04\0",
            b"\0\0\0\x05\x03\0\0\0\0",
            b"\0\0\0\x0a\x05\0\0\0\0\0\0\0\x01\x02",
            b"\0\0\0\x09\x05\0\0\0\0\0\0\0\x01",
            b"\0\0\0\x02\x01\xff",
        ] {
            check(&[&[VERSION], bad].concat(), &[], true);
        }
    }
}
