//! One call of a plugin, and what the plugin asks of the server meanwhile. Knows no pointer.
//!
//! The orders of a call are kept and carried out when it has returned: so no handle of the engine is lent to a library that may keep it,
//! and a key that is used at the wrong time finds nothing.

use crate::codes::{E_AGAIN, E_ARGUMENT, E_FIELD, E_STALE, E_STATE, END, TEXT};
use crate::plugin::SessionKind;
use lws_server::http::Status;
use lws_server::ws::CloseCode;
use std::cell::RefCell;
use std::time::Duration;

/// Bytes of the reason of a Close frame. RFC 6455 §5.5.
const REASON_BYTES_MAX: usize = 123;

/// What a plugin has asked for in one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// When to call it again; `Some(None)` for never.
    pub(crate) timer: Option<Option<Duration>>,
    pub(crate) pause: Option<bool>,
    /// Bytes of a request's content.
    pub(crate) limit_content: Option<u64>,
    /// The head of a response, with which `write` goes.
    pub(crate) head: Option<ResponseHead>,
    pub(crate) write: Option<OutboundBytes>,
    pub(crate) want_write: bool,
    pub(crate) want_write_all: bool,
    pub(crate) close: Option<ClosingWords>,
}

/// The names and values of field lines.
pub(crate) type FieldLines = Vec<(Box<str>, Box<[u8]>)>;

/// The head of a response that can be written, but for a `Content-Length` that its content does not keep.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub(crate) status: Status,
    pub(crate) fields: FieldLines,
}

/// How far the response of an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponsePhase {
    /// Its head is due.
    Due,
    /// More content is due.
    Begun,
    /// All of it is said, or nothing more comes.
    Over,
}

/// A message, or bytes of a raw stream or of a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutboundBytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) flags: u32,
}

/// A close code and its reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClosingWords {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
}

/// A call that runs: of which session, and what it may do.
#[derive(Debug)]
pub(crate) struct CallFrame {
    session: u64,
    kind: SessionKind,
    budget: usize,
    /// Of an exchange.
    response: ResponsePhase,
    /// The field lines of a request, in the call that it begins with.
    request: Option<FieldLines>,
    orders: Orders,
}

impl CallFrame {
    /// A call of a WebSocket or raw stream, which may write so many bytes, none without a permit.
    pub(crate) fn new(session: u64, kind: SessionKind, budget: usize) -> Self {
        let response = ResponsePhase::Over;
        Self { session, kind, budget, response, request: None, orders: Orders::default() }
    }

    /// A call of an exchange.
    pub(crate) fn of_exchange(session: u64, budget: usize, response: ResponsePhase) -> Self {
        Self { response, ..Self::new(session, SessionKind::Http, budget) }
    }

    /// The same call with the field lines of the request.
    pub(crate) fn with_request(self, fields: FieldLines) -> Self {
        Self { request: Some(fields), ..self }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<CallFrame>> = const { RefCell::new(None) };
    static OPTIONS: RefCell<Option<Vec<(String, String)>>> = const { RefCell::new(None) };
}

/// Makes a call of a session. Answers what the call answers, and what it has asked for.
pub(crate) fn during<R>(frame: CallFrame, call: impl FnOnce() -> R) -> (R, Orders) {
    let outer = CURRENT.replace(Some(frame));
    let answer = call();
    let frame = CURRENT.replace(outer);
    (answer, frame.map(|frame| frame.orders).unwrap_or_default())
}

/// Makes the call that begins a site, with the texts of its options.
pub(crate) fn with_options<R>(options: Vec<(String, String)>, call: impl FnOnce() -> R) -> R {
    let outer = OPTIONS.replace(Some(options));
    let answer = call();
    OPTIONS.set(outer);
    answer
}

/// Finds an option of the site that begins. What `found` gets stays where it is until the call has ended.
pub(crate) fn option(name: &[u8], found: impl FnOnce(&str)) -> i32 {
    OPTIONS.with_borrow(|options| {
        let Some(options) = options else { return E_STATE };
        match options.iter().find(|(option, _)| option.as_bytes() == name) {
            None => 0,
            Some((_, text)) => {
                found(text);
                1
            }
        }
    })
}

/// The call of a session, if that is the one which runs on this thread.
fn with<R>(session: u64, stale: R, act: impl FnOnce(&mut CallFrame) -> R) -> R {
    CURRENT.with_borrow_mut(|current| match current {
        Some(frame) if frame.session == session => act(frame),
        _ => stale,
    })
}

pub(crate) fn budget(session: u64) -> usize {
    with(session, 0, |frame| if frame.orders.write.is_some() { 0 } else { frame.budget })
}

pub(crate) fn write(session: u64, bytes: &[u8], flags: u32) -> i32 {
    with(session, E_STALE, |frame| {
        let allowed = if frame.kind == SessionKind::WebSocket { END | TEXT } else { END };
        if flags & !allowed != 0 {
            return E_ARGUMENT;
        }
        if flags & TEXT != 0 && std::str::from_utf8(bytes).is_err() {
            return E_FIELD;
        }
        let answers_in_this_call = frame.orders.head.is_some();
        if frame.kind == SessionKind::Http && frame.response != ResponsePhase::Begun && !answers_in_this_call
        {
            return E_STATE;
        }
        frame.take_write(bytes, flags)
    })
}

impl CallFrame {
    fn take_write(&mut self, bytes: &[u8], flags: u32) -> i32 {
        // One write for each permit, as everywhere.
        if self.budget == 0 || self.orders.write.is_some() {
            return E_AGAIN;
        }
        self.orders.write = Some(OutboundBytes { bytes: bytes.to_vec(), flags });
        0
    }
}

/// Answers a request, with content that may be the first of more. `fields` are names and values as the library has them.
pub(crate) fn respond(session: u64, status: u32, fields: &[(&[u8], &[u8])], bytes: &[u8], flags: u32) -> i32 {
    with(session, E_STALE, |frame| {
        if flags & !END != 0 {
            return E_ARGUMENT;
        }
        if frame.kind != SessionKind::Http
            || frame.response != ResponsePhase::Due
            || frame.orders.head.is_some()
        {
            return E_STATE;
        }
        let status = u16::try_from(status).ok().and_then(Status::new);
        let lines = fields.iter().map(|(name, value)| field_line(name, value)).collect::<Option<_>>();
        let (Some(status), Some(fields)) = (status.filter(|status| is_final(*status)), lines) else {
            return E_FIELD;
        };
        let answer = frame.take_write(bytes, flags);
        if answer == 0 {
            frame.orders.head = Some(ResponseHead { status, fields });
        }
        answer
    })
}

/// A status that is an answer: no interim one, and within what HTTP has classes for. RFC 9110 §15.
fn is_final(status: Status) -> bool {
    (200..600).contains(&status.code())
}

/// A field line that can be written and that the engine does not write itself. RFC 9110 §5.5, §5.6.2.
fn field_line(name: &[u8], value: &[u8]) -> Option<(Box<str>, Box<[u8]>)> {
    const OF_THE_ENGINE: [&str; 4] = ["connection", "keep-alive", "transfer-encoding", "host"];
    let name = std::str::from_utf8(name).ok().filter(|name| is_token(name))?;
    let is_ours = OF_THE_ENGINE.iter().any(|ours| name.eq_ignore_ascii_case(ours));
    let is_value = !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0'));
    (is_value && !is_ours).then(|| (name.into(), value.into()))
}

/// `token = 1*tchar`, RFC 9110 §5.6.2.
pub(crate) fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

/// Finds a field line of the request that begins. What `found` gets stays where it is until the call has ended.
pub(crate) fn field(session: u64, name: &[u8], nth: usize, found: impl FnOnce(&[u8])) -> i32 {
    with(session, E_STALE, |frame| {
        let Some(fields) = &frame.request else { return E_STATE };
        let of_name = fields.iter().filter(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        match of_name.map(|(_, value)| value).nth(nth) {
            None => 0,
            Some(value) => {
                found(value);
                1
            }
        }
    })
}

pub(crate) fn limit_content(session: u64, bytes: u64) -> i32 {
    with(session, E_STALE, |frame| {
        if frame.kind != SessionKind::Http {
            return E_STATE;
        }
        frame.orders.limit_content = Some(bytes);
        0
    })
}

pub(crate) fn want_write(session: u64, all: bool) -> i32 {
    with(session, E_STALE, |frame| {
        if all && frame.kind != SessionKind::WebSocket {
            return E_STATE;
        }
        frame.orders.want_write_all |= all;
        frame.orders.want_write |= !all;
        0
    })
}

pub(crate) fn pause(session: u64, paused: bool) -> i32 {
    with(session, E_STALE, |frame| {
        frame.orders.pause = Some(paused);
        0
    })
}

pub(crate) fn set_timer(session: u64, milliseconds: u64) -> i32 {
    with(session, E_STALE, |frame| {
        let after = (milliseconds != u64::MAX).then(|| Duration::from_millis(milliseconds));
        frame.orders.timer = Some(after);
        0
    })
}

pub(crate) fn close(session: u64, code: u16, reason: &[u8]) -> i32 {
    with(session, E_STALE, |frame| {
        let reason = std::str::from_utf8(reason).ok().filter(|reason| reason.len() <= REASON_BYTES_MAX);
        // Only a WebSocket says a code: none is asked of the plugin for others.
        let is_said = frame.kind == SessionKind::WebSocket;
        let code = if is_said { sendable(code) } else { Some(CloseCode::NORMAL) };
        match (code, reason) {
            (Some(code), Some(reason)) => {
                frame.orders.close = Some(ClosingWords { code, reason: reason.to_owned() });
                0
            }
            _ => E_FIELD,
        }
    })
}

/// A code that may be on the wire. RFC 6455 §7.4.
fn sendable(code: u16) -> Option<CloseCode> {
    CloseCode::new(code).filter(|code| code.may_be_sent())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: SessionKind, budget: usize, act: impl FnOnce() -> i32) -> (i32, Orders) {
        during(CallFrame::new(7, kind, budget), act)
    }

    #[test]
    fn a_key_is_good_in_a_call_of_its_own_session_alone() {
        let acts: [fn(u64) -> i32; 6] = [
            |key| write(key, b"a", 0),
            |key| want_write(key, false),
            |key| want_write(key, true),
            |key| pause(key, true),
            |key| set_timer(key, 1),
            |key| close(key, 1_000, b""),
        ];
        for (index, act) in acts.into_iter().enumerate() {
            assert_eq!(act(7), E_STALE, "{index}: no call runs");
            let (answer, orders) = call(SessionKind::WebSocket, 1, || act(8));
            assert_eq!((answer, orders), (E_STALE, Orders::default()), "{index}: another session");
            let (answer, orders) = call(SessionKind::WebSocket, 1, || act(7));
            assert!(answer == 0 && orders != Orders::default(), "{index}: {answer}");
            assert_eq!(act(7), E_STALE, "{index}: it has returned");
        }
    }

    #[test]
    fn one_write_in_a_call_with_a_permit_and_none_without() {
        let (answer, orders) = call(SessionKind::WebSocket, 0, || write(7, b"a", TEXT));
        assert_eq!((answer, orders.write), (E_AGAIN, None));
        let (answer, orders) = call(SessionKind::WebSocket, 9, || {
            assert_eq!((budget(7), write(7, b"a", TEXT), budget(7)), (9, 0, 0));
            write(7, b"b", TEXT)
        });
        let written = OutboundBytes { bytes: b"a".to_vec(), flags: TEXT };
        assert_eq!((answer, orders.write), (E_AGAIN, Some(written)));
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        for (kind, bytes, flags, expected) in [
            (SessionKind::WebSocket, &b"\xff"[..], TEXT, E_FIELD),
            (SessionKind::WebSocket, b"\xff", 0, 0),
            (SessionKind::WebSocket, b"a", 2, E_ARGUMENT),
            (SessionKind::Raw, b"\xff", END, 0),
            (SessionKind::Raw, b"a", TEXT, E_ARGUMENT),
        ] {
            assert_eq!(call(kind, 1, || write(7, bytes, flags)).0, expected, "{kind} {bytes:?} {flags}");
        }
    }

    #[test]
    fn a_close_says_what_may_be_on_the_wire() {
        let (just, over) = ([b'a'; REASON_BYTES_MAX], [b'a'; REASON_BYTES_MAX + 1]);
        for (kind, code, reason, expected) in [
            (SessionKind::WebSocket, 1_000, &just[..], 0),
            (SessionKind::WebSocket, 4_999, b"", 0),
            (SessionKind::WebSocket, 1_000, &over, E_FIELD),
            (SessionKind::WebSocket, 1_000, b"\xff", E_FIELD),
            (SessionKind::WebSocket, 999, b"", E_FIELD),
            (SessionKind::WebSocket, 1_005, b"", E_FIELD),
            (SessionKind::WebSocket, 1_006, b"", E_FIELD),
            (SessionKind::WebSocket, 5_000, b"", E_FIELD),
            (SessionKind::Raw, 0, b"", 0),
            (SessionKind::Http, 0, b"", 0),
        ] {
            assert_eq!(call(kind, 0, || close(7, code, reason)).0, expected, "{kind} {code}");
        }
    }

    #[test]
    fn options_are_there_while_a_site_begins() {
        let mut seen = String::new();
        assert_eq!(option(b"a", |_| ()), E_STATE);
        let answers = with_options(vec![("a".into(), "1".into())], || {
            (option(b"a", |text| seen.push_str(text)), option(b"b", |_| ()))
        });
        assert_eq!((answers, seen.as_str()), ((1, 0), "1"));
        assert_eq!(option(b"a", |_| ()), E_STATE);
    }

    fn exchange(response: ResponsePhase, act: impl FnOnce() -> i32) -> (i32, Orders) {
        let fields =
            vec![("Accept".into(), b"a".as_slice().into()), ("accept".into(), b"b".as_slice().into())];
        during(CallFrame::of_exchange(7, 1, response).with_request(fields), act)
    }

    #[test]
    fn a_request_is_answered_once_and_its_content_follows() {
        use ResponsePhase::{Begun, Due, Over};
        let answer = |flags| respond(7, 200, &[(b"A", b"b")], b"c", flags);
        for (phase, act, expected) in [
            (Due, &|| answer(0), 0),
            (Due, &|| answer(END), 0),
            (Due, &|| answer(TEXT), E_ARGUMENT),
            (Due, &|| write(7, b"a", END), E_STATE),
            (Due, &|| answer(0) + answer(0), E_STATE),
            (Due, &|| answer(0) + write(7, b"a", 0), E_AGAIN),
            (Begun, &|| answer(0), E_STATE),
            (Begun, &|| write(7, b"a", 0), 0),
            (Begun, &|| write(7, b"a", TEXT), E_ARGUMENT),
            (Over, &|| write(7, b"a", 0), E_STATE),
            (Over, &|| want_write(7, true), E_STATE),
            (Due, &|| limit_content(7, 1), 0),
        ] as [(_, &dyn Fn() -> i32, _); 12]
        {
            assert_eq!(exchange(phase, act).0, expected, "{phase:?}");
        }
        let (_, orders) = exchange(Due, || answer(END));
        let fields = vec![("A".into(), b"b".as_slice().into())];
        assert_eq!(orders.head, Some(ResponseHead { status: Status::OK, fields }));
        assert_eq!(orders.write, Some(OutboundBytes { bytes: b"c".to_vec(), flags: END }));
        // Without a permit nothing of it is kept.
        let (answer, orders) = during(CallFrame::of_exchange(7, 0, Due), || answer(END));
        assert_eq!((answer, orders), (E_AGAIN, Orders::default()));
        assert_eq!(call(SessionKind::WebSocket, 1, || respond(7, 200, &[], b"", 0)).0, E_STATE);
        assert_eq!(call(SessionKind::Raw, 1, || limit_content(7, 1)).0, E_STATE);
    }

    #[test]
    fn a_head_that_cannot_be_written_is_refused() {
        for (status, name, value, expected) in [
            (200, &b"Content-Type"[..], &b"text/plain"[..], 0),
            (599, b"x", b"", 0),
            (100, b"x", b"", E_FIELD),
            (199, b"x", b"", E_FIELD),
            (600, b"x", b"", E_FIELD),
            (65_736, b"x", b"", E_FIELD),
            (200, b"", b"", E_FIELD),
            (200, b"a b", b"", E_FIELD),
            (200, b"x", b"a\r\nb: c", E_FIELD),
            (200, b"x", b"a\0", E_FIELD),
            (200, b"Transfer-Encoding", b"chunked", E_FIELD),
            (200, b"connection", b"close", E_FIELD),
        ] {
            let (answer, _) = exchange(ResponsePhase::Due, || respond(7, status, &[(name, value)], b"", END));
            assert_eq!(answer, expected, "{status} {name:?} {value:?}");
        }
    }

    #[test]
    fn the_fields_of_a_request_are_there_while_it_begins() {
        let value = |name: &[u8], nth| {
            let mut seen = None;
            (field(7, name, nth, |value| seen = Some(value.to_vec())), seen)
        };
        let mut seen = Vec::new();
        exchange(ResponsePhase::Due, || {
            seen.extend([value(b"ACCEPT", 0), value(b"accept", 1), value(b"accept", 2), value(b"b", 0)]);
            0
        });
        let expected = [(1, Some(b"a".to_vec())), (1, Some(b"b".to_vec())), (0, None), (0, None)];
        assert_eq!(seen, expected);
        assert_eq!(call(SessionKind::WebSocket, 1, || value(b"accept", 0).0).0, E_STATE);
    }
}
