//! The closing handshake. RFC 6455 §7.1.

use crate::Time;

/// Where the closing handshake stands, seen from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// No Close frame has been sent or received.
    Open,
    /// Ours is sent; the peer has until `give_up` to answer.
    Sent { give_up: Time },
    /// Both are sent.
    Done,
}

/// What makes it move.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    /// This side wants to close, and waits until then.
    Close { give_up: Time },
    /// The peer's Close frame has come.
    Received,
}

/// What this side has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Nothing,
    Close,
}

impl Closing {
    /// The next state, and what is to be sent now.
    pub(crate) fn on(self, input: Input) -> (Self, Reply) {
        match (self, input) {
            (Self::Open, Input::Close { give_up }) => (Self::Sent { give_up }, Reply::Close),
            (Self::Open, Input::Received) => (Self::Done, Reply::Close),
            (Self::Sent { .. }, Input::Received) => (Self::Done, Reply::Nothing),
            (state @ (Self::Sent { .. } | Self::Done), _) => (state, Reply::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_sends_one_close_frame() {
        let give_up = Time::from_micros(5);
        let later = Time::from_micros(9);
        let sent = Closing::Sent { give_up };
        for (state, input, expected) in [
            (Closing::Open, Input::Close { give_up }, (sent, Reply::Close)),
            (Closing::Open, Input::Received, (Closing::Done, Reply::Close)),
            (sent, Input::Close { give_up: later }, (sent, Reply::Nothing)),
            (sent, Input::Received, (Closing::Done, Reply::Nothing)),
            (Closing::Done, Input::Close { give_up }, (Closing::Done, Reply::Nothing)),
            (Closing::Done, Input::Received, (Closing::Done, Reply::Nothing)),
        ] {
            assert_eq!(state.on(input), expected, "{state:?} on {input:?}");
        }
    }
}
