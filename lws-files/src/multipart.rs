//! Several parts of a representation in one response. RFC 9110 §14.6.
//!
//! Knows no files: content and parts in, the pieces of a body out. Their lengths are known before the first byte is sent.

use crate::{Content, Part, Piece};
use bytes::Bytes;

/// The body of a `multipart/byteranges`, and what its `Content-Type` says.
pub(crate) struct Multipart {
    pub(crate) content_type: String,
    pub(crate) pieces: Vec<Piece>,
}

/// Frames `parts` of `content`, which is `len` bytes of `content_type`. `chance` makes a boundary that the content does not have
/// in it: 128 unpredictable bits.
pub(crate) fn frame(
    content: &Content,
    len: u64,
    content_type: Option<&str>,
    parts: &[Part],
    chance: &mut dyn FnMut() -> u64,
) -> Multipart {
    let boundary = format!("{:016x}{:016x}", chance(), chance());
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for part in parts {
        let kind = content_type.map_or_else(String::new, |kind| format!("Content-Type: {kind}\r\n"));
        let head = format!(
            "\r\n--{boundary}\r\n{kind}Content-Range: bytes {}-{}/{len}\r\n\r\n",
            part.first,
            part.last()
        );
        pieces.push(Piece::Bytes(head.into()));
        content.push_part(*part, &mut pieces);
    }
    pieces.push(Piece::Bytes(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    Multipart { content_type: format!("multipart/byteranges; boundary={boundary}"), pieces }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Progress};

    #[test]
    fn parts_stand_between_boundaries_with_their_positions() {
        let content = Content::from("0123456789");
        let parts = [Part { first: 8, len: 2 }, Part { first: 0, len: 3 }];
        let Multipart { content_type, pieces } =
            frame(&content, 10, Some("text/plain"), &parts, &mut || 0xab);
        let boundary = "00000000000000ab00000000000000ab";
        assert_eq!(content_type, format!("multipart/byteranges; boundary={boundary}"));
        let expected = format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
             \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-2/10\r\n\r\n012\
             \r\n--{boundary}--\r\n"
        );
        let mut body = Body::of_pieces(pieces);
        assert_eq!(body.len(), Some(expected.len() as u64));
        let mut out = vec![0; 1000];
        assert_eq!(body.read(&mut out).expect("memory"), Progress::Bytes(expected.len()));
        assert_eq!(&out[..expected.len()], expected.as_bytes());
    }
}
