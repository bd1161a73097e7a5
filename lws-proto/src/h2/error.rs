//! Errors of the peer: their scope and their code. RFC 9113 §5.4.

use super::code::ErrorCode;
use crate::{Deadline, Limit, Violation};

/// The scope of an error. RFC 9113 §5.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The connection ends; further input is ignored.
    Connection,
    /// One stream ends, the others go on.
    Stream,
}

/// The violation of a peer, or the limit that it reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Violation(Violation),
    Limit(Limit),
}

/// An error of the peer, before it is reported.
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

/// The error code for a cause. NO_ERROR is only for ends that leave nothing incomplete, because clients take it for
/// success.
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
        // A stalled peer makes this side hold its output.
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
