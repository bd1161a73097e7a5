//! What hosts do differently, and may: each says so in one place, with the reason.

use std::fmt;
use std::time::Duration;

/// Runs a loop once more inside a handler that it has called.
pub type RunAgain = Box<dyn Fn(Duration) -> Reentry>;

/// What becomes of a handler that runs the loop which has called it, as a dialog of the program does.
pub enum Nesting {
    /// A handler can have the loop. The function runs it once, for at most about the time that it is given: the loop sleeps if it has
    /// nothing to do but for the service. It also tries to call the service by what the program has of it.
    Runs(RunAgain),
    /// No handler can have the loop, for this reason: a sentence for the author of a program.
    No(&'static str),
}

/// What has come of a loop that was run inside a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reentry {
    /// The loop has had a turn, and did not call the service.
    Ran,
    /// The loop does not run inside itself, and has said so at once.
    Refused,
    /// The service could be called inside its own handler: a failure.
    Entered,
}

/// What a host does in the child of a fork(2), where the loop of the parent is a copy and what the system watches for it is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InChild {
    /// It gives the service back as always, and lets go of nothing that is the parent's.
    GivesBack,
    /// The child must not use the host any more, not even to drop it, for this reason: a sentence for the author of a program. The child
    /// abandons the service alone.
    IsForgotten(&'static str),
}

impl fmt::Debug for Nesting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs(_) => f.debug_tuple("Runs").finish_non_exhaustive(),
            Self::No(reason) => f.debug_tuple("No").field(reason).finish(),
        }
    }
}
