//! A service that leaves its host before it is done, to go on at another.

use lws_loop_external::{Change, Readiness, Service, Token, Trigger, Wait};
use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

/// Says when to leave.
#[derive(Clone, Default)]
pub(crate) struct Door(Rc<Cell<bool>>);

impl Door {
    /// The host gives the service back after this turn.
    pub(crate) fn leave(&self) {
        self.0.set(true);
    }
}

/// A service with a door: its host is told that it is done as soon as it is to leave.
pub(crate) struct Leaving<S> {
    service: S,
    door: Door,
}

impl<S> Leaving<S> {
    pub(crate) fn new(service: S, door: &Door) -> Self {
        door.0.set(false);
        Self { service, door: door.clone() }
    }

    pub(crate) fn into_inner(self) -> S {
        self.service
    }
}

impl<S: Service> Service for Leaving<S> {
    fn attach(&mut self, trigger: Trigger) {
        self.service.attach(trigger);
    }

    fn poll_change(&mut self) -> Option<Change> {
        self.service.poll_change()
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.service.descriptor(token)
    }

    fn handle_ready(&mut self, now: lws_proto::Time, token: Token, ready: Readiness) {
        self.service.handle_ready(now, token, ready);
    }

    fn removed(&mut self, token: Token) {
        self.service.removed(token);
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        self.service.refused(token, error);
    }

    fn settle(&mut self, now: lws_proto::Time) -> Wait {
        let wait = self.service.settle(now);
        if self.door.0.get() { Wait::Now } else { wait }
    }

    fn is_done(&self) -> bool {
        self.door.0.get() || self.service.is_done()
    }
}
