//! Field lines that are sent with many responses, checked and made ready once.
//!
//! What is written of them is what [`ExchangePermit::respond`](crate::ExchangePermit::respond) would write: bytes that are copied over
//! HTTP/1.1, and over HTTP/2 the encoding as far as it does not depend on the dynamic table of the connection. Knows no exchange.

use crate::Misuse;
use crate::h1;
use crate::hpack::ReadyLines;
use crate::http::ExplicitFields;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// Field lines of responses, such as those that a file or a site always has: see
/// [`ExchangePermit::respond_prepared`](crate::ExchangePermit::respond_prepared). They can be written by construction, and cost little each
/// time. With a `Content-Length` among them they are for contents of that length.
///
/// ```
/// use lws_proto::{Misuse, PreparedFields};
///
/// let fields = PreparedFields::new([("Content-Type", "text/html"), ("ETag", "\"1f\"")])?;
/// assert_eq!(fields.lines().collect::<Vec<_>>(), [(&b"Content-Type"[..], &b"text/html"[..]), (b"ETag", b"\"1f\"")]);
/// // What manages a connection is the engine's.
/// assert_eq!(PreparedFields::new([("Connection", "close")]).unwrap_err(), Misuse::ManagedField);
/// assert_eq!(PreparedFields::new([("X", "a\r\nY: b")]).unwrap_err(), Misuse::Field);
/// # Ok::<(), Misuse>(())
/// ```
#[derive(Clone)]
pub struct PreparedFields {
    /// The lines as HTTP/1.1 writes them.
    pub(crate) text: Box<[u8]>,
    /// For each line the lengths of name and value.
    lengths: Box<[(u32, u32)]>,
    /// The lines as HTTP/2 writes them, without those that mean something to HTTP/1.1 connections only.
    pub(crate) ready: ReadyLines,
    pub(crate) explicit: ExplicitFields,
}

/// The field lines of a response: first those that were prepared.
pub(crate) struct ResponseFields<'p, I> {
    pub(crate) prepared: &'p [&'p PreparedFields],
    pub(crate) others: I,
}

impl<I> ResponseFields<'_, I> {
    /// Fields of which none was prepared.
    #[inline]
    pub(crate) fn plain(others: I) -> Self {
        Self { prepared: &[], others }
    }
}

/// What stands between name and value, and behind the value. RFC 9112 §5.
const SEPARATOR_LEN: usize = ": ".len();
const END_LEN: usize = "\r\n".len();

impl PreparedFields {
    /// Checks field lines, in the order in which they are sent.
    ///
    /// # Errors
    /// [`Misuse::Field`] if one cannot be written, [`Misuse::ManagedField`] if one is written by the engine, and
    /// [`Misuse::ContentLength`] if that is no number or there are two.
    pub fn new<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Misuse> {
        let (mut text, mut lengths) = (Vec::new(), Vec::new());
        for (name, value) in fields {
            let (name, value) = (name.as_ref(), value.as_ref());
            h1::encode_field(&mut text, name, value)?;
            let len = |octets: &[u8]| u32::try_from(octets.len()).map_err(|_| Misuse::Field);
            lengths.push((len(name)?, len(value)?));
        }
        let (mut explicit, mut sent) = (ExplicitFields::default(), Vec::new());
        for (name, value) in lines(&text, &lengths) {
            sent.extend(explicit.check(name, value)?.map(|line| (line.id, line.name, line.value)));
        }
        let ready = ReadyLines::new(sent).ok_or(Misuse::Field)?;
        Ok(Self { text: text.into(), lengths: lengths.into(), ready, explicit })
    }

    /// The lines: names as they were given, and values.
    pub fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        lines(&self.text, &self.lengths)
    }

    /// Bytes of memory that they take, for those who bound what they keep.
    #[must_use]
    pub fn held(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.lengths) + self.ready.held()
    }
}

/// The lines of a text, by the lengths of their names and values.
fn lines<'t>(text: &'t [u8], lengths: &'t [(u32, u32)]) -> impl Iterator<Item = (&'t [u8], &'t [u8])> {
    let mut at = 0;
    lengths.iter().map(move |&(name_len, value_len)| {
        let value = at + name_len as usize + SEPARATOR_LEN;
        let end = value + value_len as usize;
        let line = (
            text.get(at..at + name_len as usize).unwrap_or_default(),
            text.get(value..end).unwrap_or_default(),
        );
        at = end + END_LEN;
        line
    })
}

impl fmt::Debug for PreparedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        f.debug_struct("PreparedFields").field("lines", &self.lengths.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::PREFACE;
    use crate::http::Status;
    use crate::{Config, Connection, Event, Payload, Time};
    use alloc::vec;

    const FIELDS: [(&str, &str); 10] = [
        ("ETag", "W/\"5f3a-1c\""),
        ("Last-Modified", "Tue, 01 Dec 2026 10:00:00 GMT"),
        ("Cache-Control", "max-age=60"),
        ("Vary", "Accept-Encoding"),
        ("X-Application", " surrounded by spaces "),
        ("Upgrade", "h2c"),
        ("TE", "trailers"),
        ("Set-Cookie", "a=b"),
        ("Content-Type", "text/html"),
        ("Content-Length", "5"),
    ];

    /// What is sent for requests over HTTP/1.1 or HTTP/2, of which each is answered with so many prepared fields.
    fn sent(http2: bool, status: Status, prepared_counts: &[usize]) -> Vec<u8> {
        let mut server = Connection::server(Time::ZERO, Config::default().into());
        let mut sent = vec![];
        if http2 {
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            server.receive(Time::ZERO, &mut [PREFACE, &settings[..]].concat()).next_event();
        }
        for (round, count) in prepared_counts.iter().enumerate() {
            let mut input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
            if http2 {
                // GET, http, "/", and an authority of one letter.
                input = vec![0, 0, 6, 1, 5, 0, 0, 0, 2 * round as u8 + 1, 0x82, 0x86, 0x84, 0x01, 0x01, b'a'];
            }
            let (first, others) = FIELDS.split_at(*count);
            let prepared = PreparedFields::new(first.iter().copied()).expect("fields that can be written");
            let mut feed = server.receive(Time::ZERO, &mut input);
            while let Some(event) = feed.next_event() {
                if let Event::Request { stream, .. } = event {
                    let permit = stream.permit().expect("nothing is queued");
                    let others = others.iter().copied();
                    let content = Payload::Static(if status == Status::OK { b"hello" } else { b"" });
                    let answered = if first.is_empty() {
                        permit.respond(status, others, content, true)
                    } else {
                        permit.respond_prepared(status, &[&prepared], others, content, true)
                    };
                    answered.expect("fields that can be written");
                }
            }
            drop(feed);
            while let Some(transmit) = server.transmit(Time::ZERO) {
                let bytes = transmit.first().to_vec();
                transmit.commit(bytes.len());
                sent.extend(bytes);
            }
        }
        sent
    }

    #[test]
    fn what_was_prepared_is_sent_as_it_would_have_been_otherwise() {
        for http2 in [false, true] {
            for status in [Status::OK, Status::NOT_MODIFIED] {
                let expected = sent(http2, status, &[0; 4]);
                assert!(expected.len() > 200, "{expected:?}");
                for counts in [[1, 5, 9, 3], [10, 10, 9, 10], [0, 10, 0, 9], [9, 0, 0, 4], [6, 7, 8, 2]] {
                    assert_eq!(sent(http2, status, &counts), expected, "{http2} {status:?} {counts:?}");
                }
            }
        }
    }

    #[test]
    fn what_the_engine_writes_is_not_prepared() {
        for (name, value, expected) in [
            ("Content-Length", "five", Misuse::ContentLength),
            ("Transfer-Encoding", "chunked", Misuse::ManagedField),
            ("connection", "close", Misuse::ManagedField),
            ("Host", "a", Misuse::ManagedField),
            ("A b", "c", Misuse::Field),
            (":status", "200", Misuse::Field),
            ("a", "b\r\nc: d", Misuse::Field),
        ] {
            let made = PreparedFields::new([("A", "b"), (name, value)]);
            assert_eq!(made.expect_err("refused"), expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_length_is_said_once_and_is_that_of_the_content() {
        let length = PreparedFields::new([("Content-Length", "5")]).expect("a number");
        for (others, content, end, expected) in [
            (&[][..], &b"hello"[..], true, Ok(())),
            (&[], b"hell", false, Ok(())),
            (&[], b"hell", true, Err(Misuse::ContentLength)),
            (&[("content-length", "5")], b"hello", true, Err(Misuse::ContentLength)),
        ] {
            let mut server = Connection::server(Time::ZERO, Config::default().into());
            let mut input = *b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            let mut feed = server.receive(Time::ZERO, &mut input);
            let Some(Event::Request { stream, .. }) = feed.next_event() else { panic!("it is a request") };
            let permit = stream.permit().expect("nothing is queued");
            let others = others.iter().copied();
            let answered =
                permit.respond_prepared(Status::OK, &[&length], others, Payload::Copy(content), end);
            assert_eq!(answered.map(drop), expected, "{content:?} {end}");
        }
    }

    #[test]
    fn lines_are_those_that_were_given_and_values_are_no_debug_output() {
        let fields = PreparedFields::new(FIELDS).expect("fields that can be written");
        let lines = FIELDS.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert_eq!(fields.lines().collect::<Vec<_>>(), lines);
        assert!(fields.held() > fields.text.len());
        assert_eq!(alloc::format!("{fields:?}"), "PreparedFields { lines: 10, .. }");
    }
}
