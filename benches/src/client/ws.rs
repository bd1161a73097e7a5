//! WebSocket as a measuring client speaks it: an opening handshake, masked binary messages, replies.
//!
//! Just enough of RFC 6455 to load a server and to check what it does: no extensions, no answers to
//! pings. Shares no code with the engine that it measures.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Tally;
use crate::Result;

/// The example of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const HEAD_BYTES_MAX: usize = 4096;

/// Opens a WebSocket on a blocking socket.
///
/// # Errors
/// When the server does not switch protocols or its accept value is wrong.
pub(crate) fn open(socket: &mut TcpStream, path: &str, port: u16) -> Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    // Nothing follows a 101 until a message is sent, so whole reads take nothing too much.
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match socket.read(&mut part)? {
            0 => return Err("the server closed during the opening handshake".into()),
            received => head.extend_from_slice(&part[..received]),
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err("the response to the opening handshake is too long".into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    if !head.starts_with("HTTP/1.1 101 ") {
        return Err(format!("not switched to WebSocket: {}", head.lines().next().unwrap_or("")).into());
    }
    if !head.contains(ACCEPT) {
        return Err("Sec-WebSocket-Accept is wrong".into());
    }
    Ok(())
}

/// Appends a masked binary message in one frame. RFC 6455 §5.2.
pub fn frame(out: &mut Vec<u8>, payload: &[u8], masking_key: [u8; 4]) {
    out.push(0x82);
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&masking_key);
    out.extend(payload.iter().zip(masking_key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// What a server's frame adds to its payload, in bytes. RFC 6455 §5.2.
pub(crate) fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// A frame header without a masking key. RFC 6455 §5.2.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Header {
    fin: bool,
    opcode: u8,
    payload_len: u64,
    /// Of the header itself, in bytes.
    len: usize,
}

/// `None` asks for more bytes.
fn header(bytes: &[u8]) -> Result<Option<Header>> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err("the server masks its frames".into());
    }
    let (payload_len, len) = match second {
        126 => match rest.first_chunk() {
            Some(len) => (u16::from_be_bytes(*len).into(), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(len) => (u64::from_be_bytes(*len), 10),
            None => return Ok(None),
        },
        len => (len.into(), 2),
    };
    Ok(Some(Header { fin: first & 0x80 != 0, opcode: first & 0x0f, payload_len, len }))
}

/// Reads the echoes of one connection.
#[derive(Default)]
pub(crate) struct Replies {
    frame: Option<Frame>,
    /// Payload bytes of the current message so far, over all its fragments.
    position: u64,
    first_read: bool,
    first_wrong: bool,
}

#[derive(Clone, Copy)]
struct Frame {
    fin: bool,
    control: bool,
    left: u64,
}

impl Replies {
    pub(crate) fn read(&mut self, bytes: &[u8], echoed: &[u8], tally: &mut Tally) -> Result<usize> {
        let mut rest = bytes;
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match header(rest)? {
                    Some(header) if header.opcode == 8 => return Err("the server sent a Close frame".into()),
                    Some(header) => {
                        rest = &rest[header.len..];
                        Frame { fin: header.fin, control: header.opcode > 8, left: header.payload_len }
                    }
                    None => return Ok(bytes.len() - rest.len()),
                },
            };
            let available = usize::try_from(frame.left).map_or(rest.len(), |left| left.min(rest.len()));
            let (part, after) = rest.split_at(available);
            rest = after;
            frame.left -= part.len() as u64;
            if !frame.control {
                self.payload(part, echoed);
            }
            if frame.left > 0 {
                self.frame = Some(frame);
                return Ok(bytes.len());
            }
            match frame {
                Frame { control: true, .. } => {}
                Frame { fin: false, .. } => tally.fragments += 1,
                Frame { fin: true, .. } => self.complete(echoed, tally),
            }
        }
    }

    fn payload(&mut self, part: &[u8], echoed: &[u8]) {
        if !self.first_read {
            let expected =
                usize::try_from(self.position).ok().and_then(|start| echoed.get(start..start + part.len()));
            self.first_wrong |= expected != Some(part);
        }
        self.position += part.len() as u64;
    }

    fn complete(&mut self, echoed: &[u8], tally: &mut Tally) {
        let wrong = self.first_wrong || self.position != echoed.len() as u64;
        tally.replies += 1;
        tally.bad += u64::from(wrong);
        if !self.first_read {
            tally.verified += u64::from(!wrong);
        }
        (self.position, self.first_read, self.first_wrong) = (0, true, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..=125 => frame.push(len as u8),
            len @ 126..=0xffff => frame.extend([&[126], &(len as u16).to_be_bytes()[..]].concat()),
            len => frame.extend([&[127], &(len as u64).to_be_bytes()[..]].concat()),
        }
        frame.extend_from_slice(payload);
        frame
    }

    /// Reads `bytes` in pieces of `piece` bytes, keeping what was not used, as a connection does.
    fn read(bytes: &[u8], piece: usize, echoed: &[u8]) -> Tally {
        let (mut replies, mut tally, mut kept) = (Replies::default(), Tally::default(), Vec::new());
        for part in bytes.chunks(piece) {
            kept.extend_from_slice(part);
            let used = replies.read(&kept, echoed, &mut tally).expect("no close, no mask");
            kept.drain(..used);
        }
        assert!(kept.is_empty());
        tally
    }

    #[test]
    fn echoes_are_counted_and_verified_however_they_are_cut() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let echoed = vec![b'x'; size];
            let three = server_frame(0x82, &echoed).repeat(3);
            for piece in [1, 2, 3, 7, 4096, three.len()] {
                let tally = read(&three, piece, &echoed);
                let seen = (tally.replies, tally.verified, tally.bad, tally.fragments);
                assert_eq!(seen, (3, 1, 0, 0), "{size} bytes in pieces of {piece}");
            }
        }
    }

    #[test]
    fn fragments_are_counted_and_pings_between_them_are_skipped() {
        let bytes =
            [server_frame(0x02, b"ab"), server_frame(0x89, b"ping"), server_frame(0x80, b"c")].concat();
        let tally = read(&bytes, 1, b"abc");
        assert_eq!((tally.replies, tally.verified, tally.bad, tally.fragments), (1, 1, 0, 1));
    }

    #[test]
    fn a_wrong_byte_and_a_wrong_length_are_bad() {
        for wrong in [&b"abd"[..], b"ab", b"abcd"] {
            assert_eq!(read(&server_frame(0x82, wrong), 1, b"abc").bad, 1, "{wrong:?}");
        }
    }

    #[test]
    fn a_close_and_a_masked_frame_end_the_run() {
        for frame in [&[0x88, 0][..], &[0x82, 0x81, 0, 0, 0, 0, 0]] {
            let mut tally = Tally::default();
            assert!(Replies::default().read(frame, b"x", &mut tally).is_err(), "{frame:?}");
        }
    }

    #[test]
    fn a_masked_frame_unmasks_to_its_payload() {
        let mut out = Vec::new();
        frame(&mut out, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        // RFC 6455 §5.7 gives this example as text.
        assert_eq!(out[1..], [0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}
