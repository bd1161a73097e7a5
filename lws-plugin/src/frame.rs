//! One call of a plugin, and what the plugin asks of the server meanwhile. Knows no pointer.
//!
//! The orders of a call are kept and carried out when it has returned: so no handle of the engine is lent to a library that may keep it,
//! and a key that is used at the wrong time finds nothing.

use crate::codes::{E_AGAIN, E_ARGUMENT, E_FIELD, E_STALE, E_STATE, END, TEXT};
use crate::plugin::SessionKind;
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
    pub(crate) write: Option<OutboundBytes>,
    pub(crate) want_write: bool,
    pub(crate) want_write_all: bool,
    pub(crate) close: Option<ClosingWords>,
}

/// A message, or bytes of a raw stream.
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
    orders: Orders,
}

thread_local! {
    static CURRENT: RefCell<Option<CallFrame>> = const { RefCell::new(None) };
    static OPTIONS: RefCell<Option<Vec<(String, String)>>> = const { RefCell::new(None) };
}

/// Makes a call of a session, which may write so many bytes, none without a permit. Answers what the call answers, and what it has asked
/// for.
pub(crate) fn during<R>(
    session: u64,
    kind: SessionKind,
    budget: usize,
    call: impl FnOnce() -> R,
) -> (R, Orders) {
    let frame = CallFrame { session, kind, budget, orders: Orders::default() };
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
        let allowed = if frame.kind == SessionKind::Raw { END } else { END | TEXT };
        if flags & !allowed != 0 {
            return E_ARGUMENT;
        }
        if flags & TEXT != 0 && std::str::from_utf8(bytes).is_err() {
            return E_FIELD;
        }
        // One write for each permit, as everywhere.
        if frame.budget == 0 || frame.orders.write.is_some() {
            return E_AGAIN;
        }
        frame.orders.write = Some(OutboundBytes { bytes: bytes.to_vec(), flags });
        0
    })
}

pub(crate) fn want_write(session: u64, all: bool) -> i32 {
    with(session, E_STALE, |frame| {
        if all && frame.kind == SessionKind::Raw {
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
        // A raw stream says no code, so that none is asked of the plugin.
        let code = if frame.kind == SessionKind::Raw { Some(CloseCode::NORMAL) } else { sendable(code) };
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
        during(7, kind, budget, act)
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
}
