//! One descriptor in the ring: how it should be watched, and how far the request is that watches it. Knows no ring.

use lws_loop_external::Interest;
use std::os::fd::RawFd;

/// A descriptor of a service. There is at most one request for it at a time, so that one key names both.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) fd: RawFd,
    /// What it should be watched for.
    wanted: Interest,
    request: RequestPhase,
    /// Whether the service has asked to let go of it.
    leaving: bool,
}

/// The progress of the request that watches a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestPhase {
    /// There is none.
    None,
    /// It was made, with this interest.
    Made(Interest),
    /// It was cancelled, and has not completed for the last time.
    Cancelled,
}

/// What the host has to do about a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    /// Make a request with this interest.
    Make(Interest),
    /// Cancel the request.
    Cancel,
    /// The kernel has nothing to do with the descriptor any more: let go of it.
    Forget,
}

impl Watch {
    pub(crate) fn new(fd: RawFd) -> Self {
        Self { fd, wanted: Interest::NONE, request: RequestPhase::None, leaving: false }
    }

    /// Whether the service has asked to let go of it.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether its request was cancelled, and an error says only that.
    pub(crate) fn is_ending(&self) -> bool {
        self.request == RequestPhase::Cancelled
    }

    /// The service wants it watched for `interest`.
    pub(crate) fn want(&mut self, interest: Interest) -> Step {
        self.wanted = interest;
        self.next()
    }

    /// The service wants the host to let go of it.
    pub(crate) fn leave(&mut self) -> Step {
        self.leaving = true;
        self.next()
    }

    /// The host has to let go of it, though the service did not ask.
    pub(crate) fn retreat(&mut self) -> Step {
        match self.want(Interest::NONE) {
            Step::Nothing if self.request == RequestPhase::None => Step::Forget,
            step => step,
        }
    }

    /// The request has completed for the last time: after it was cancelled, or because the kernel ended it, as it does when its queue of
    /// completions is full. A new one reports what the descriptor is ready for then, so nothing is missed in between.
    pub(crate) fn ended(&mut self) -> Step {
        self.request = RequestPhase::None;
        self.next()
    }

    fn next(&mut self) -> Step {
        let (request, step) = match self.request {
            RequestPhase::None if self.leaving => (RequestPhase::None, Step::Forget),
            RequestPhase::None if self.wanted.is_empty() => (RequestPhase::None, Step::Nothing),
            RequestPhase::None => (RequestPhase::Made(self.wanted), Step::Make(self.wanted)),
            RequestPhase::Made(with) if with == self.wanted && !self.leaving => (self.request, Step::Nothing),
            RequestPhase::Made(_) => (RequestPhase::Cancelled, Step::Cancel),
            RequestPhase::Cancelled => (self.request, Step::Nothing),
        };
        self.request = request;
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to a watch.
    #[derive(Clone, Copy, Debug)]
    enum Input {
        Want(Interest),
        Leave,
        Retreat,
        Ended,
    }

    fn check(inputs: &[(Input, Step)]) {
        let mut watch = Watch::new(7);
        for (at, (input, expected)) in inputs.iter().enumerate() {
            let step = match *input {
                Input::Want(interest) => watch.want(interest),
                Input::Leave => watch.leave(),
                Input::Retreat => watch.retreat(),
                Input::Ended => watch.ended(),
            };
            assert_eq!(step, *expected, "{at} of {inputs:?}");
        }
    }

    const READ: Interest = Interest::READ;
    const BOTH: Interest = Interest::BOTH;

    #[test]
    fn a_request_is_made_once_and_again_when_the_kernel_ends_it() {
        check(&[
            (Input::Want(READ), Step::Make(READ)),
            (Input::Want(READ), Step::Nothing),
            (Input::Ended, Step::Make(READ)),
        ]);
        check(&[(Input::Want(Interest::NONE), Step::Nothing), (Input::Want(BOTH), Step::Make(BOTH))]);
    }

    #[test]
    fn another_interest_takes_the_place_of_the_first_when_that_has_ended() {
        check(&[
            (Input::Want(READ), Step::Make(READ)),
            (Input::Want(BOTH), Step::Cancel),
            (Input::Want(Interest::WRITE), Step::Nothing),
            (Input::Ended, Step::Make(Interest::WRITE)),
        ]);
        check(&[
            (Input::Want(READ), Step::Make(READ)),
            (Input::Want(Interest::NONE), Step::Cancel),
            (Input::Ended, Step::Nothing),
            (Input::Want(READ), Step::Make(READ)),
        ]);
    }

    #[test]
    fn a_descriptor_is_let_go_of_after_the_last_completion_and_not_before() {
        check(&[
            (Input::Want(READ), Step::Make(READ)),
            (Input::Leave, Step::Cancel),
            (Input::Ended, Step::Forget),
        ]);
        check(&[
            (Input::Want(READ), Step::Make(READ)),
            (Input::Want(BOTH), Step::Cancel),
            (Input::Leave, Step::Nothing),
            (Input::Ended, Step::Forget),
        ]);
        check(&[(Input::Want(Interest::NONE), Step::Nothing), (Input::Leave, Step::Forget)]);
    }

    #[test]
    fn a_host_that_retreats_cancels_once_and_waits_only_for_what_there_is() {
        check(&[(Input::Want(Interest::NONE), Step::Nothing), (Input::Retreat, Step::Forget)]);
        check(&[(Input::Want(READ), Step::Make(READ)), (Input::Retreat, Step::Cancel)]);
        check(&[
            (Input::Want(READ), Step::Make(READ)),
            (Input::Leave, Step::Cancel),
            (Input::Retreat, Step::Nothing),
            (Input::Ended, Step::Forget),
        ]);
    }
}
