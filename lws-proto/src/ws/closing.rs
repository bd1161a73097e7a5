//! The closing handshake. RFC 6455 §7.1.

/// The state of the closing handshake, as this endpoint sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// No Close frame has been sent or received.
    Open,
    /// This endpoint has sent its Close frame, and the peer has to answer.
    Sent,
    /// Both Close frames have been sent.
    Done,
}

/// The events that change the state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    /// This endpoint wants to close.
    Close,
    /// The Close frame of the peer has been received.
    Received,
}

/// The Close frame that this endpoint has to send, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Nothing,
    Close,
}

impl Closing {
    /// Returns the next state, and what has to be sent now.
    pub(crate) fn on(self, input: Input) -> (Self, Reply) {
        match (self, input) {
            (Self::Open, Input::Close) => (Self::Sent, Reply::Close),
            (Self::Open, Input::Received) => (Self::Done, Reply::Close),
            (Self::Sent, Input::Received) => (Self::Done, Reply::Nothing),
            (state @ (Self::Sent | Self::Done), _) => (state, Reply::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_sends_one_close_frame() {
        for (state, input, expected) in [
            (Closing::Open, Input::Close, (Closing::Sent, Reply::Close)),
            (Closing::Open, Input::Received, (Closing::Done, Reply::Close)),
            (Closing::Sent, Input::Close, (Closing::Sent, Reply::Nothing)),
            (Closing::Sent, Input::Received, (Closing::Done, Reply::Nothing)),
            (Closing::Done, Input::Close, (Closing::Done, Reply::Nothing)),
            (Closing::Done, Input::Received, (Closing::Done, Reply::Nothing)),
        ] {
            assert_eq!(state.on(input), expected, "{state:?} on {input:?}");
        }
    }
}
