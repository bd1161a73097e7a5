//! Close codes and the payload of a Close frame. RFC 6455 §5.5.1, §7.4.
//!
//! This module knows neither frame headers nor masking, nor the state of the closing handshake.

use crate::Violation;
use core::fmt;
use core::ops::Deref;

/// The longest payload of any control frame. RFC 6455 §5.5.
const PAYLOAD_BYTES_MAX: usize = 125;

/// The status code of a Close frame: why a WebSocket is closed. RFC 6455 §7.4.
#[doc(alias = "lws_close_status")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

/// The codes with a name, as constants and for `Debug`.
macro_rules! registered {
    ($($(#[$doc:meta])* $constant:ident = $code:literal, $name:literal;)*) => {
        impl CloseCode {
            $($(#[$doc])* pub const $constant: Self = Self($code);)*

            /// The registered name, if there is one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

registered! {
    /// 1000: the purpose is fulfilled. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_NORMAL")]
    NORMAL = 1000, "normal closure";
    /// 1001: a server goes down, or a browser leaves the page. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_GOINGAWAY")]
    GOING_AWAY = 1001, "going away";
    /// 1002: the peer broke a rule of the protocol. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_PROTOCOL_ERR")]
    PROTOCOL_ERROR = 1002, "protocol error";
    /// 1003: a kind of data that this endpoint does not take. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE")]
    UNSUPPORTED_DATA = 1003, "unsupported data";
    /// 1005: the Close frame had no code. Never on the wire. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_NO_STATUS")]
    NO_STATUS = 1005, "no status received";
    /// 1006: the connection ended without a Close frame. Never on the wire. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_ABNORMAL_CLOSE")]
    ABNORMAL = 1006, "abnormal closure";
    /// 1007: data that does not fit its type, such as text that is not UTF-8. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_INVALID_PAYLOAD")]
    INVALID_PAYLOAD = 1007, "invalid frame payload data";
    /// 1008: a policy forbids it, and no other code fits. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_POLICY_VIOLATION")]
    POLICY = 1008, "policy violation";
    /// 1009: the message is too large. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE")]
    TOO_BIG = 1009, "message too big";
    /// 1010: a client misses an extension that it needs. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_EXTENSION_REQUIRED")]
    MANDATORY_EXTENSION = 1010, "mandatory extension";
    /// 1011: something unexpected keeps a server from going on. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_UNEXPECTED_CONDITION")]
    INTERNAL_ERROR = 1011, "internal error";
    /// 1012: the service restarts; come back after a while. Registered at IANA. RFC 6455 §11.7.
    SERVICE_RESTART = 1012, "service restart";
    /// 1013: the service is overloaded. Registered at IANA. RFC 6455 §11.7.
    TRY_AGAIN_LATER = 1013, "try again later";
    /// 1014: a gateway got an invalid response. Registered at IANA. RFC 6455 §11.7.
    BAD_GATEWAY = 1014, "bad gateway";
    /// 1015: the TLS handshake failed. Never on the wire. RFC 6455 §7.4.1.
    #[doc(alias = "LWS_CLOSE_STATUS_TLS_FAILURE")]
    TLS = 1015, "TLS handshake";
}

impl CloseCode {
    /// The code `code`, or `None` if it is outside 1000 to 4999, where no code is or will be. RFC 6455 §7.4.2.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 1000 && code <= 4999 { Some(Self(code)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether a Close frame may carry the code. It may carry the registered ones, except those that stand for the
    /// lack of a code, and 3000 to 4999, which are those of libraries and applications. RFC 6455 §7.4.2.
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Parses the payload of a received Close frame: its code, 1005 if there is none, and its reason. RFC 6455 §5.5.1.
pub(crate) fn parse(payload: &[u8]) -> Result<(CloseCode, &str), Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        // "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer".
        return if payload.is_empty() { Ok((CloseCode::NO_STATUS, "")) } else { Err(Violation::CloseFrame) };
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.may_be_sent() {
        return Err(Violation::CloseFrame);
    }
    let reason = core::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
    Ok((code, reason))
}

/// The payload of a Close frame that is to be sent. RFC 6455 §5.5.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosePayload {
    bytes: [u8; PAYLOAD_BYTES_MAX],
    /// Invariant: at most `PAYLOAD_BYTES_MAX`.
    len: usize,
}

impl ClosePayload {
    /// `code`, then `reason`; `None` if the code may not be sent or the reason has over 123 bytes. With 1005 and no
    /// reason the payload is empty, which is how a frame says "no code".
    pub(crate) fn new(code: CloseCode, reason: &str) -> Option<Self> {
        let mut bytes = [0; PAYLOAD_BYTES_MAX];
        if code == CloseCode::NO_STATUS && reason.is_empty() {
            return Some(Self { bytes, len: 0 });
        }
        let len = size_of_val(&code.0) + reason.len();
        let (place, rest) = bytes.get_mut(..len)?.split_first_chunk_mut()?;
        *place = code.0.to_be_bytes();
        rest.copy_from_slice(reason.as_bytes());
        code.may_be_sent().then_some(Self { bytes, len })
    }
}

/// The bytes, not masked.
impl Deref for ClosePayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;

    fn payload(code: u16, reason: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes(), reason].concat()
    }

    #[test]
    fn the_wire_carries_registered_and_private_codes_and_no_other() {
        let sendable = |code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        for code in 0..=u16::MAX {
            let received = payload(code, b"");
            let expected =
                if sendable(code) { Ok((CloseCode(code), "")) } else { Err(Violation::CloseFrame) };
            assert_eq!(parse(&received), expected, "{code}");
            assert_eq!(CloseCode::new(code).is_some_and(CloseCode::may_be_sent), sendable(code), "{code}");
            let built = ClosePayload::new(CloseCode(code), "x").map(|built| built.to_vec());
            assert_eq!(built, sendable(code).then(|| payload(code, b"x")), "{code}");
        }
    }

    #[test]
    fn a_received_payload_is_nothing_or_a_code_and_a_text() {
        let check = |received: &[u8], expected: Result<(u16, &str), Violation>| {
            assert_eq!(parse(received).map(|(code, text)| (code.get(), text)), expected, "{received:?}");
        };
        check(b"", Ok((1005, "")));
        check(b"\x03\xe8", Ok((1000, "")));
        check(b"\x03\xe8bye", Ok((1000, "bye")));
        check("\u{3}\u{7f}".as_bytes(), Err(Violation::CloseFrame));
        check(&payload(1000, "κόσμε".as_bytes()), Ok((1000, "κόσμε")));
        check(&payload(4999, &[b'x'; 123]), Ok((4999, core::str::from_utf8(&[b'x'; 123]).unwrap_or(""))));
        for first in 0..=u8::MAX {
            check(&[first], Err(Violation::CloseFrame));
        }
        for reason in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"ok\xe2\x82", b"\xf4\x90\x80\x80"] {
            check(&payload(1000, reason), Err(Violation::Utf8));
            // The code is checked before the reason: of two faults, 1002 is the graver answer.
            check(&payload(1005, reason), Err(Violation::CloseFrame));
        }
    }

    #[test]
    fn a_payload_that_is_sent_has_at_most_125_bytes_and_is_understood() {
        for len in 0..=130 {
            let reason = "x".repeat(len);
            match ClosePayload::new(CloseCode::NORMAL, &reason) {
                Some(built) => assert_eq!(parse(&built), Ok((CloseCode::NORMAL, &reason[..]))),
                None => assert!(len > 123, "{len}"),
            }
        }
        assert!(ClosePayload::new(CloseCode::NORMAL, &"x".repeat(124)).is_none());
        assert!(ClosePayload::new(CloseCode::NORMAL, &"é".repeat(62)).is_none());
        assert!(ClosePayload::new(CloseCode::NO_STATUS, "").is_some_and(|built| built.is_empty()));
        assert!(ClosePayload::new(CloseCode::NO_STATUS, "why").is_none());
    }

    #[test]
    fn a_code_is_between_1000_and_4999() {
        for (number, exists) in
            [(0, false), (999, false), (1000, true), (1005, true), (4999, true), (5000, false)]
        {
            assert_eq!(CloseCode::new(number).is_some(), exists, "{number}");
        }
    }

    #[test]
    fn a_code_shows_its_number_and_to_a_developer_its_name() {
        assert_eq!(format!("{}", CloseCode::GOING_AWAY), "1001");
        assert_eq!(format!("{:?}", CloseCode::GOING_AWAY), "1001 (going away)");
        assert_eq!(format!("{:?}", CloseCode(4000)), "4000");
        assert_eq!(format!("{:>6}", CloseCode::TLS), "  1015");
    }
}
