//! Records as JSON. RFC 8259.

use super::line::Line;
use super::{AccessRecord, version};
use crate::Peer;
use std::fmt::{self, Write as _};

/// Writes a record as an object in one line.
pub(super) struct Json<'a>(pub(super) &'a AccessRecord<'a>);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Line::display(f, |line| self.write(line))
    }
}

impl Json<'_> {
    pub(super) fn write(&self, f: &mut Line<'_>) -> fmt::Result {
        let record = self.0;
        f.write_str("{\"time\":")?;
        write_time(f, record.unix_seconds, record.millis)?;
        write_peer(f, &record.peer)?;
        write_request(f, record)?;
        write_member(f, "bytes_in", |f| f.number(record.bytes_in, 1))?;
        write_member(f, "bytes_out", |f| f.number(record.bytes, 1))?;
        write_member(f, "duration_ms", |f| f.millis(record.duration))?;
        if let Some(first_byte) = record.first_byte {
            write_member(f, "first_byte_ms", |f| f.millis(first_byte))?;
        }
        write_text(f, "cause", record.cause.as_bytes())?;
        write_fields(f, record)?;
        if let Some(websocket) = &record.websocket {
            write_member(f, "messages_in", |f| f.number(websocket.messages_in, 1))?;
            write_member(f, "messages_out", |f| f.number(websocket.messages_out, 1))?;
            if let Some(code) = websocket.close_code {
                write_member(f, "close_code", |f| f.number(code.into(), 1))?;
            }
        }
        f.write_str("}")
    }
}

/// What was asked for, and the status of the answer.
fn write_request(f: &mut Line<'_>, record: &AccessRecord<'_>) -> fmt::Result {
    if let Some(host) = record.host {
        write_text(f, "host", host)?;
    }
    if !record.method.is_empty() {
        write_text(f, "method", record.method.as_bytes())?;
        write_text(f, "target", record.target.as_bytes())?;
        write_text(f, "proto", version(record.version).as_bytes())?;
    }
    if let Some(tls) = record.tls {
        write_text(f, "tls", tls.as_bytes())?;
    }
    if record.status == 0 { Ok(()) } else { write_member(f, "status", |f| f.number(record.status.into(), 1)) }
}

/// What fields of the request say, and the names of the request.
fn write_fields(f: &mut Line<'_>, record: &AccessRecord<'_>) -> fmt::Result {
    if let Some(referer) = record.referer {
        write_text(f, "referer", referer)?;
    }
    if let Some(user_agent) = record.user_agent {
        write_text(f, "user_agent", user_agent)?;
    }
    if let Some(trace) = &record.trace {
        write_member(f, "trace_id", |f| write!(f, "\"{}\"", trace.trace_text()))?;
        write_member(f, "parent_id", |f| write!(f, "\"{}\"", trace.parent_text()))?;
    }
    match &record.stream {
        Some(stream) => write_member(f, "request_id", |f| write!(f, "\"{stream}\"")),
        None => Ok(()),
    }
}

/// `"1994-11-06T08:49:37.007Z"`, or `null` if it is unknown. RFC 3339 §5.6.
fn write_time(f: &mut Line<'_>, unix_seconds: u32, millis: u16) -> fmt::Result {
    if unix_seconds == 0 {
        return f.write_str("null");
    }
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    f.write_str("\"")?;
    f.number(year.into(), 4)?;
    for (mark, number) in
        [("-", month), ("-", day), ("T", second / 3_600), (":", second / 60 % 60), (":", second % 60)]
    {
        f.write_str(mark)?;
        f.number(number.into(), 2)?;
    }
    f.write_str(".")?;
    f.number(millis.min(999).into(), 3)?;
    f.write_str("Z\"")
}

/// Year, month and day of the proleptic Gregorian calendar, by days since the first of January 1970.
fn civil(days: u32) -> (u32, u32, u32) {
    // Years that begin in March end with the day that some have and others have not.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u32::from(month <= 2), month, day)
}

fn write_peer(f: &mut Line<'_>, peer: &Peer) -> fmt::Result {
    match (peer, peer.ip()) {
        (_, Some(ip)) => write!(f, ",\"peer\":\"{ip}\""),
        (Peer::Local, None) => f.write_str(",\"peer\":\"local\""),
        (_, None) => Ok(()),
    }
}

fn write_member(
    f: &mut Line<'_>,
    name: &str,
    value: impl FnOnce(&mut Line<'_>) -> fmt::Result,
) -> fmt::Result {
    f.write_str(",\"")?;
    f.write_str(name)?;
    f.write_str("\":")?;
    value(f)
}

fn write_text(f: &mut Line<'_>, name: &str, octets: &[u8]) -> fmt::Result {
    write_member(f, name, |f| {
        f.write_str("\"")?;
        for chunk in octets.utf8_chunks() {
            write_string(f, chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        f.write_str("\"")
    })
}

/// Quotes, backslashes and control characters escaped: those behind ASCII, too, as terminals heed them.
fn write_string(f: &mut Line<'_>, text: &str) -> fmt::Result {
    if text.chars().any(|char| ('\u{80}'..'\u{a0}').contains(&char)) {
        return text.chars().try_for_each(|char| match char {
            '\u{80}'..'\u{a0}' => write!(f, "\\u{:04x}", u32::from(char)),
            char => write_string(f, char.encode_utf8(&mut [0; 4])),
        });
    }
    let special = |octet| octet < b' ' || matches!(octet, b'"' | b'\\' | 0x7f);
    f.escaped(text.as_bytes(), special, |f, octet| match octet {
        b'"' => f.write_str("\\\""),
        b'\\' => f.write_str("\\\\"),
        _ => write!(f, "\\u{octet:04x}"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::super::{AccessRecord, WebSocketRecord};
    use super::civil;
    use crate::Peer;

    #[test]
    fn a_record_is_an_object_in_one_line_whatever_a_peer_writes() {
        assert_eq!(
            record().json().to_string(),
            "{\"time\":\"1994-11-06T08:49:37.007Z\",\"peer\":\"127.0.0.1\",\"host\":\"example.org\",\
             \"method\":\"GET\",\"target\":\"/a?b=\\\"\",\"proto\":\"HTTP/1.1\",\"tls\":\"TLSv1.3\",\"status\":200,\
             \"bytes_in\":5,\"bytes_out\":13,\"duration_ms\":1.050,\"first_byte_ms\":1.000,\"cause\":\"complete\",\
             \"user_agent\":\"x\\u000a\\u001b[2J\\\\\u{fffd}\",\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\
             \"parent_id\":\"b7ad6b7169203331\"}"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out_and_a_websocket_says_more() {
        let websocket = Some(WebSocketRecord { messages_in: 2, messages_out: 3, close_code: Some(1_001) });
        let record = AccessRecord {
            peer: Peer::Unknown,
            unix_seconds: 0,
            method: "",
            host: None,
            tls: None,
            status: 0,
            first_byte: None,
            user_agent: None,
            trace: None,
            cause: "closed",
            websocket,
            ..record()
        };
        assert_eq!(
            record.json().to_string(),
            "{\"time\":null,\"bytes_in\":5,\"bytes_out\":13,\"duration_ms\":1.050,\"cause\":\"closed\",\
             \"messages_in\":2,\"messages_out\":3,\"close_code\":1001}"
        );
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (789, (1972, 2, 29)),
            (11_016, (2000, 2, 29)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
            (20_786, (2026, 11, 29)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
    }
}
