//! Error codes, and how far an error reaches. RFC 9113 §5.4 and §7.

use crate::{Deadline, Limit, Violation};
use core::fmt;

/// The reason in a RST_STREAM or GOAWAY frame. RFC 9113 §7.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(u32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// What RFC 9113 calls it; `UNKNOWN` if it does not.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self.0 { $($code => $text,)* _ => "UNKNOWN" }
            }
        }
    };
}

codes! {
    /// No error: an end that was meant.
    NO_ERROR = 0, "NO_ERROR";
    /// A rule was broken that has no code of its own.
    PROTOCOL_ERROR = 1, "PROTOCOL_ERROR";
    /// The sender's own fault.
    INTERNAL_ERROR = 2, "INTERNAL_ERROR";
    /// More was sent than a window allowed.
    FLOW_CONTROL_ERROR = 3, "FLOW_CONTROL_ERROR";
    /// SETTINGS were not acknowledged in time.
    SETTINGS_TIMEOUT = 4, "SETTINGS_TIMEOUT";
    /// A frame for a stream that is half-closed or closed.
    STREAM_CLOSED = 5, "STREAM_CLOSED";
    /// A frame of a wrong size.
    FRAME_SIZE_ERROR = 6, "FRAME_SIZE_ERROR";
    /// The stream was not processed at all: the request may be sent again.
    REFUSED_STREAM = 7, "REFUSED_STREAM";
    /// The stream is not wanted any more.
    CANCEL = 8, "CANCEL";
    /// The field compression state cannot be kept.
    COMPRESSION_ERROR = 9, "COMPRESSION_ERROR";
    /// The connection behind a CONNECT request was reset or closed abnormally.
    CONNECT_ERROR = 10, "CONNECT_ERROR";
    /// The peer does what might be an attack.
    ENHANCE_YOUR_CALM = 11, "ENHANCE_YOUR_CALM";
    /// The transport does not meet the minimum of security.
    INADEQUATE_SECURITY = 12, "INADEQUATE_SECURITY";
    /// HTTP/1.1 is wanted instead.
    HTTP_1_1_REQUIRED = 13, "HTTP_1_1_REQUIRED";
}

impl ErrorCode {
    /// The code `code`; unknown ones are no error. RFC 9113 §7.
    #[must_use]
    pub const fn new(code: u32) -> Self {
        Self(code)
    }

    /// Whether RFC 9113 has a name for it.
    pub(crate) fn is_known(self) -> bool {
        self.name() != "UNKNOWN"
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "UNKNOWN" => write!(f, "error code {:#x}", self.0),
            name => f.write_str(name),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How far an error reaches. RFC 9113 §5.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The rest of the input means nothing any more.
    Connection,
    /// One stream ends, the others go on.
    Stream,
}

/// What a peer did wrong, or which limit it met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Violation(Violation),
    Limit(Limit),
}

/// An error of the peer, before it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) wrong: Wrong,
    pub(crate) scope: Scope,
}

impl Fault {
    pub(crate) const fn connection(violation: Violation) -> Self {
        Self { wrong: Wrong::Violation(violation), scope: Scope::Connection }
    }

    pub(crate) const fn stream(violation: Violation) -> Self {
        Self { wrong: Wrong::Violation(violation), scope: Scope::Stream }
    }

    /// A limit that ends the connection.
    pub(crate) const fn limit(limit: Limit) -> Self {
        Self { wrong: Wrong::Limit(limit), scope: Scope::Connection }
    }

    /// A limit that ends the stream.
    pub(crate) const fn stream_limit(limit: Limit) -> Self {
        Self { wrong: Wrong::Limit(limit), scope: Scope::Stream }
    }

    pub(crate) fn cause(self) -> crate::Cause {
        match self.wrong {
            Wrong::Violation(violation) => crate::Cause::Violation(violation),
            Wrong::Limit(limit) => crate::Cause::Limit(limit),
        }
    }
}

/// The code that tells the peer of a cause. NO_ERROR stands for ends that leave nothing incomplete, and for no other: clients take
/// it for success.
pub(crate) fn code_of(cause: crate::Cause) -> ErrorCode {
    match cause {
        crate::Cause::Complete | crate::Cause::Closed { .. } => ErrorCode::NO_ERROR,
        crate::Cause::Violation(violation) => match violation {
            Violation::FrameSize => ErrorCode::FRAME_SIZE_ERROR,
            Violation::FlowControl => ErrorCode::FLOW_CONTROL_ERROR,
            Violation::StreamClosed => ErrorCode::STREAM_CLOSED,
            Violation::Compression => ErrorCode::COMPRESSION_ERROR,
            Violation::InitialWindow => ErrorCode::FLOW_CONTROL_ERROR,
            _ => ErrorCode::PROTOCOL_ERROR,
        },
        crate::Cause::Limit(Limit::Streams) => ErrorCode::REFUSED_STREAM,
        crate::Cause::Limit(_) => ErrorCode::ENHANCE_YOUR_CALM,
        crate::Cause::Timeout(Deadline::Settings) => ErrorCode::SETTINGS_TIMEOUT,
        // The preface or a field block has not come whole: RFC 9113 has no code for that alone.
        crate::Cause::Timeout(Deadline::Head) => ErrorCode::PROTOCOL_ERROR,
        // It holds what it does not take.
        crate::Cause::Timeout(Deadline::Stalled) => ErrorCode::ENHANCE_YOUR_CALM,
        // An idle connection has no stream that could be incomplete.
        crate::Cause::Timeout(Deadline::Idle) => ErrorCode::NO_ERROR,
        crate::Cause::Timeout(_) => ErrorCode::INTERNAL_ERROR,
        crate::Cause::Aborted | crate::Cause::Handshake(_) => ErrorCode::CANCEL,
        _ => ErrorCode::INTERNAL_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cause;

    #[test]
    fn no_cause_of_an_incomplete_end_is_called_no_error() {
        let timeouts = Deadline::ALL.iter().filter(|deadline| **deadline != Deadline::Idle);
        let incomplete = Violation::ALL
            .iter()
            .map(|violation| Cause::Violation(*violation))
            .chain(Limit::ALL.iter().map(|limit| Cause::Limit(*limit)))
            .chain(timeouts.map(|deadline| Cause::Timeout(*deadline)))
            .chain([
                Cause::Disconnected,
                Cause::Truncated,
                Cause::Aborted,
                Cause::Reset(ErrorCode::NO_ERROR),
            ]);
        for cause in incomplete {
            assert_ne!(code_of(cause), ErrorCode::NO_ERROR, "{cause:?}");
        }
        for cause in [Cause::Complete, Cause::Timeout(Deadline::Idle)] {
            assert_eq!(code_of(cause), ErrorCode::NO_ERROR, "{cause:?}");
        }
    }
}
