//! What layers attach to an exchange: a deadline, a content coding, what is kept until its end.

use super::compression::Compression;
use lws_proto::Time;
use std::any::Any;
use std::fmt;

/// What layers have attached to an exchange. Most have nothing.
#[derive(Default)]
pub(crate) struct Attached {
    /// When the response must have begun.
    pub(crate) deadline: Option<Time>,
    /// When the handler wants its timer.
    pub(crate) timer: Option<Time>,
    pub(crate) compression: Option<Compression>,
    /// What is dropped with the exchange: a place that it has, mostly.
    pub(crate) kept: Vec<Box<dyn Any>>,
}

impl Attached {
    /// The next moment to look at the exchange. `begun` says that its response has begun.
    pub(crate) fn next_timeout(&self, begun: bool) -> Option<Time> {
        let deadline = self.deadline.filter(|_| !begun);
        deadline.into_iter().chain(self.timer).min()
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deadline, timer, .. } = self;
        f.debug_struct("Attached").field("deadline", deadline).field("timer", timer).finish_non_exhaustive()
    }
}
