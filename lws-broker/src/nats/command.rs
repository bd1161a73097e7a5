//! What a client of NATS sends, the wire floor: operations to octets. Knows no connection.

use std::io::Write;

/// `PING`: the server answers with `PONG` when it has read everything before it.
pub(super) const PING: &[u8] = b"PING\r\n";
/// `PONG`, the answer to a `PING` of the server.
pub(super) const PONG: &[u8] = b"PONG\r\n";

/// Writes `SUB`: messages to `subject` arrive with this number.
pub(super) fn subscribe(out: &mut Vec<u8>, subject: &str, subscription: u64) {
    line(out, format_args!("SUB {subject} {subscription}"));
}

/// Writes `UNSUB`.
pub(super) fn unsubscribe(out: &mut Vec<u8>, subscription: u64) {
    line(out, format_args!("UNSUB {subscription}"));
}

/// Writes `PUB`.
pub(super) fn publish(out: &mut Vec<u8>, subject: &str, payload: &[u8]) {
    line(out, format_args!("PUB {subject} {}", payload.len()));
    end_payload(out, payload);
}

/// Writes `PUB` with the subject at which an answer is expected.
pub(super) fn request(out: &mut Vec<u8>, subject: &str, reply_to: &str, payload: &[u8]) {
    line(out, format_args!("PUB {subject} {reply_to} {}", payload.len()));
    end_payload(out, payload);
}

fn end_payload(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Writes `CONNECT` with a JSON object.
pub(super) fn connect(out: &mut Vec<u8>, options: &str) {
    line(out, format_args!("CONNECT {options}"));
}

fn line(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{text}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_lines_and_payloads_follow_them() {
        let check = |write: &dyn Fn(&mut Vec<u8>), expected: &str| {
            let mut out = b"before".to_vec();
            write(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("before{expected}"));
        };
        check(&|out| subscribe(out, "lws.a", 7), "SUB lws.a 7\r\n");
        check(&|out| unsubscribe(out, 7), "UNSUB 7\r\n");
        check(&|out| publish(out, "lws.a", b"a\r\nb"), "PUB lws.a 4\r\na\r\nb\r\n");
        check(&|out| publish(out, "lws.a", b""), "PUB lws.a 0\r\n\r\n");
        check(&|out| request(out, "lws.a", "_INBOX.1", b"ab"), "PUB lws.a _INBOX.1 2\r\nab\r\n");
        check(&|out| connect(out, "{}"), "CONNECT {}\r\n");
    }
}
