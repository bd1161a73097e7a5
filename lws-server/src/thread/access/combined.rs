//! The combined log format, with the duration and the cause behind it.

use super::line::Line;
use super::{AccessRecord, version};
use crate::Peer;
use lws_proto::http::HttpDate;
use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

impl fmt::Display for AccessRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Line::display(f, |line| self.write_combined(line))
    }
}

impl AccessRecord<'_> {
    pub(super) fn write_combined(&self, f: &mut Line<'_>) -> fmt::Result {
        write_peer(f, &self.peer)?;
        write_date(f, self.unix_seconds)?;
        if self.method.is_empty() {
            f.write_str("-")?;
        } else {
            escape(f, self.method.as_bytes())?;
            f.write_str(" ")?;
            escape(f, self.target.as_bytes())?;
            f.write_str(" ")?;
            f.write_str(version(self.version))?;
        }
        match self.status {
            0 => f.write_str("\" - ")?,
            status => {
                f.write_str("\" ")?;
                f.number(status.into(), 1)?;
                f.write_str(" ")?;
            }
        }
        f.number(self.bytes, 1)?;
        match (self.referer, self.user_agent) {
            (None, None) => f.write_str(" \"-\" \"-\" ")?,
            (referer, user_agent) => {
                f.write_str(" \"")?;
                escape(f, referer.unwrap_or(b"-"))?;
                f.write_str("\" \"")?;
                escape(f, user_agent.unwrap_or(b"-"))?;
                f.write_str("\" ")?;
            }
        }
        f.millis(self.duration)?;
        f.write_str("ms ")?;
        f.write_str(self.cause)?;
        match &self.websocket {
            None => Ok(()),
            Some(websocket) => {
                write!(
                    f,
                    " in={}/{} out={}/{}",
                    websocket.messages_in, self.bytes_in, websocket.messages_out, self.bytes
                )
            }
        }
    }
}

/// Who asked: an address, or what is known in its place.
fn write_peer(f: &mut Line<'_>, peer: &Peer) -> fmt::Result {
    match (peer, peer.ip()) {
        (_, Some(IpAddr::V4(ip))) => {
            let (mut text, mut at) = ([0; 16], 0);
            for octet in ip.octets() {
                at += write_octet(&mut text[at..], octet);
            }
            // All but the point behind the last one.
            f.push(&text[..at - 1]);
            Ok(())
        }
        (_, Some(ip)) => write!(f, "{ip}"),
        (Peer::Local, None) => f.write_str("local"),
        (_, None) => f.write_str("-"),
    }
}

/// Writes a number of an address and a point, and answers how many octets these are.
fn write_octet(text: &mut [u8], number: u8) -> usize {
    let [hundreds, tens, ones] = [number / 100, number / 10 % 10, number % 10].map(|digit| b'0' + digit);
    let digits: &[u8] = match number {
        0..10 => &[ones, b'.'],
        10..100 => &[tens, ones, b'.'],
        100.. => &[hundreds, tens, ones, b'.'],
    };
    text[..digits.len()].copy_from_slice(digits);
    digits.len()
}

/// ` - - [06/Nov/1994:08:49:37 +0000] "`
fn write_date(f: &mut Line<'_>, unix_seconds: u32) -> fmt::Result {
    if unix_seconds == 0 {
        return f.write_str(" - - [-] \"");
    }
    let (second, mut text) = DATE.get();
    if second != unix_seconds {
        text = date(unix_seconds);
        DATE.set((unix_seconds, text));
    }
    f.push(&text);
    Ok(())
}

type DateText = [u8; 35];

thread_local! {
    /// The last date that was written, as many records have the same one.
    static DATE: Cell<(u32, DateText)> = const { Cell::new((0, [b' '; 35])) };
}

fn date(unix_seconds: u32) -> DateText {
    let date = HttpDate::from_unix(unix_seconds.into()).to_bytes();
    let mut text = *b" - - [dd/Mmm/yyyy:hh:mm:ss +0000] \"";
    for (to, from) in [(6, 5..7), (9, 8..11), (13, 12..16), (18, 17..25)] {
        let part = &date[from];
        text[to..to + part.len()].copy_from_slice(part);
    }
    text
}

/// Quotes, backslashes, control characters and everything that is not ASCII as `\xhh`, as nginx does.
fn escape(f: &mut Line<'_>, octets: &[u8]) -> fmt::Result {
    let special = |octet| !matches!(octet, b' '..=b'~') || matches!(octet, b'"' | b'\\');
    f.escaped(octets, special, |f, octet| write!(f, "\\x{octet:02X}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::super::{AccessRecord, WebSocketRecord};
    use crate::Peer;
    use std::time::Duration;

    #[test]
    fn a_record_is_one_line_in_the_combined_format() {
        assert_eq!(
            record().to_string(),
            "127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b=\\x22 HTTP/1.1\" 200 13 \"-\" \
             \"x\\x0A\\x1B[2J\\x5C\\xFF\" 1.050ms complete"
        );
    }

    #[test]
    fn each_number_of_an_address_has_its_digits() {
        for number in 0..=u8::MAX {
            let peer = Peer::Tcp(([number, 0, 255, number], 1).into());
            let expected = format!("{number}.0.255.{number} - - [");
            let record = AccessRecord { peer, ..record() };
            assert!(record.to_string().starts_with(&expected), "{record}");
        }
    }

    #[test]
    fn a_request_that_was_not_understood_has_dashes() {
        let record = AccessRecord {
            peer: Peer::Local,
            unix_seconds: 0,
            method: "",
            status: 0,
            bytes: 0,
            duration: Duration::ZERO,
            user_agent: None,
            cause: "head_timeout",
            ..record()
        };
        assert_eq!(record.to_string(), "local - - [-] \"-\" - 0 \"-\" \"-\" 0.000ms head_timeout");
    }

    #[test]
    fn the_end_of_a_websocket_says_what_came_and_went() {
        let websocket = Some(WebSocketRecord { messages_in: 2, messages_out: 3, close_code: Some(1_001) });
        let record = AccessRecord { websocket, status: 101, cause: "closed", ..record() };
        assert!(record.to_string().ends_with(" 1.050ms closed in=2/5 out=3/13"), "{record}");
    }
}
