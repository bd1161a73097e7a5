//! The states of a stream. RFC 9113 §5.1.
//!
//! One total table: what each frame does in each state. Knows no bytes and no windows.

/// The state of a stream. Reserved states do not occur: this side never pushes, and pushes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Open,
    HalfClosedLocal,
    HalfClosedRemote,
    Closed,
}

/// A frame that is sent or received, as far as it moves a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    Send(Frame),
    Receive(Frame),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Headers { end: bool },
    Data { end: bool },
    Reset,
    WindowUpdate,
}

/// Why a frame is not allowed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The stream has not begun: PROTOCOL_ERROR for the connection.
    Idle,
    /// The peer has ended its direction: STREAM_CLOSED.
    Closed,
    /// This side may not send it.
    Ours,
}

impl State {
    /// The state after `step`.
    #[inline]
    pub(crate) fn on(self, step: Transition) -> Result<Self, Refusal> {
        use Frame::{Data, Headers, Reset, WindowUpdate};
        match step {
            Transition::Send(Headers { end } | Data { end }) => match self {
                Self::Idle if matches!(step, Transition::Send(Data { .. })) => Err(Refusal::Ours),
                Self::Idle | Self::Open if end => Ok(Self::HalfClosedLocal),
                Self::Idle | Self::Open => Ok(Self::Open),
                Self::HalfClosedRemote if end => Ok(Self::Closed),
                Self::HalfClosedRemote => Ok(Self::HalfClosedRemote),
                Self::HalfClosedLocal | Self::Closed => Err(Refusal::Ours),
            },
            Transition::Send(Reset) => match self {
                Self::Idle => Err(Refusal::Ours),
                _ => Ok(Self::Closed),
            },
            Transition::Send(WindowUpdate) => match self {
                Self::Open | Self::HalfClosedLocal => Ok(self),
                _ => Err(Refusal::Ours),
            },
            Transition::Receive(Headers { end } | Data { end }) => match self {
                Self::Idle if matches!(step, Transition::Receive(Data { .. })) => Err(Refusal::Idle),
                Self::Idle | Self::Open if end => Ok(Self::HalfClosedRemote),
                Self::Idle | Self::Open => Ok(Self::Open),
                Self::HalfClosedLocal if end => Ok(Self::Closed),
                Self::HalfClosedLocal => Ok(Self::HalfClosedLocal),
                Self::HalfClosedRemote | Self::Closed => Err(Refusal::Closed),
            },
            Transition::Receive(Reset) => match self {
                Self::Idle => Err(Refusal::Idle),
                _ => Ok(Self::Closed),
            },
            // It may arrive late, when the stream has ended on this side.
            Transition::Receive(WindowUpdate) => match self {
                Self::Idle => Err(Refusal::Idle),
                _ => Ok(self),
            },
        }
    }

    /// The state after the end of the peer's direction, for ends that are not tied to a frame at that moment.
    #[inline]
    pub(crate) fn peer_ended(self) -> Self {
        match self {
            Self::Open | Self::HalfClosedRemote => Self::HalfClosedRemote,
            Self::HalfClosedLocal | Self::Closed => Self::Closed,
            Self::Idle => Self::Idle,
        }
    }

    /// Whether this side may still send content.
    #[inline]
    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedRemote)
    }

    /// Whether the peer may still send content.
    #[inline]
    pub(crate) fn receives(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedLocal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9113 Figure 2 and the text below it, every state by every frame.
    #[test]
    fn every_state_answers_every_frame() {
        use State::{Closed, HalfClosedLocal, HalfClosedRemote, Idle, Open};
        let ours = Err(Refusal::Ours);
        let idle = Err(Refusal::Idle);
        let closed = Err(Refusal::Closed);
        let states = [Idle, Open, HalfClosedLocal, HalfClosedRemote, Closed];
        let headers = |end| Frame::Headers { end };
        let data = |end| Frame::Data { end };
        type Row = [Result<State, Refusal>; 5];
        let check = |step: Transition, expected: Row| {
            for (state, expected) in states.into_iter().zip(expected) {
                assert_eq!(state.on(step), expected, "{state:?} {step:?}");
            }
        };
        check(Transition::Send(headers(false)), [Ok(Open), Ok(Open), ours, Ok(HalfClosedRemote), ours]);
        check(
            Transition::Send(headers(true)),
            [Ok(HalfClosedLocal), Ok(HalfClosedLocal), ours, Ok(Closed), ours],
        );
        check(Transition::Send(data(false)), [ours, Ok(Open), ours, Ok(HalfClosedRemote), ours]);
        check(Transition::Send(data(true)), [ours, Ok(HalfClosedLocal), ours, Ok(Closed), ours]);
        check(Transition::Send(Frame::Reset), [ours, Ok(Closed), Ok(Closed), Ok(Closed), Ok(Closed)]);
        check(Transition::Send(Frame::WindowUpdate), [ours, Ok(Open), Ok(HalfClosedLocal), ours, ours]);
        check(Transition::Receive(headers(false)), [Ok(Open), Ok(Open), Ok(HalfClosedLocal), closed, closed]);
        check(
            Transition::Receive(headers(true)),
            [Ok(HalfClosedRemote), Ok(HalfClosedRemote), Ok(Closed), closed, closed],
        );
        check(Transition::Receive(data(false)), [idle, Ok(Open), Ok(HalfClosedLocal), closed, closed]);
        check(Transition::Receive(data(true)), [idle, Ok(HalfClosedRemote), Ok(Closed), closed, closed]);
        check(Transition::Receive(Frame::Reset), [idle, Ok(Closed), Ok(Closed), Ok(Closed), Ok(Closed)]);
        check(
            Transition::Receive(Frame::WindowUpdate),
            [idle, Ok(Open), Ok(HalfClosedLocal), Ok(HalfClosedRemote), Ok(Closed)],
        );
        for state in states {
            assert_eq!(state.sends(), state.on(Transition::Send(data(false))).is_ok(), "{state:?}");
            assert_eq!(state.receives(), state.on(Transition::Receive(data(false))).is_ok(), "{state:?}");
        }
    }
}
