//! The service that every host of the kit gets. It records violations by its host, and can leave the host before it is
//! done.
//!
//! Nothing here panics, as a loop may not be able to unwind.

use lws_loop_external::{Change, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;

/// Makes a service leave its host.
#[derive(Clone, Default)]
pub(crate) struct Exit(Rc<Cell<bool>>);

impl Exit {
    /// Makes the host give the service back after this turn.
    pub(crate) fn leave(&self) {
        self.0.set(true);
    }
}

/// The registration of one descriptor with the host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Watched,
    /// The host was asked to let go of it.
    Leaving,
    Gone,
}

/// A service that checks its host.
pub(crate) struct CheckedService<S> {
    service: S,
    exit: Exit,
    attached: bool,
    known: HashMap<Token, Known>,
    now: Time,
    /// Whether it was settled, and its changes were not taken since.
    unflushed: bool,
    complaint: Option<String>,
}

impl<S: Service> CheckedService<S> {
    pub(crate) fn new(service: S, exit: &Exit) -> Self {
        exit.0.set(false);
        Self {
            service,
            exit: exit.clone(),
            attached: false,
            known: HashMap::new(),
            now: Time::ZERO,
            unflushed: false,
            complaint: None,
        }
    }

    /// Returns the service, or the violation of its host.
    pub(crate) fn leave(mut self) -> Result<S, String> {
        if !self.attached {
            self.complain(|| "the host did not attach the service".to_owned());
        }
        if let Some((token, _)) = self.known.iter().find(|(_, known)| **known == Known::Leaving) {
            let token = *token;
            self.complain(|| format!("the host never said that it had let go of {token:?}"));
        }
        match self.complaint {
            None => Ok(self.service),
            Some(complaint) => Err(complaint),
        }
    }

    fn complain(&mut self, complaint: impl FnOnce() -> String) {
        self.complaint.get_or_insert_with(complaint);
    }

    fn tick(&mut self, now: Time) {
        let before = self.now;
        if !self.attached {
            self.complain(|| "the host did not attach the service before anything else".to_owned());
        }
        if now < before {
            self.complain(|| format!("the host turned time back by {:?}", before - now));
        }
        self.now = now;
    }
}

impl<S: Service> Service for CheckedService<S> {
    fn attach(&mut self, trigger: Trigger) {
        // Hosts attach when they take the service over. Some attach again when they detach it, in order to list
        // every descriptor.
        self.attached = true;
        self.known.clear();
        self.service.attach(trigger);
    }

    fn poll_change(&mut self) -> Option<Change> {
        let change = self.service.poll_change();
        match change {
            None => self.unflushed = false,
            Some(Change::Add { token, .. } | Change::Modify { token, .. }) => {
                self.known.insert(token, Known::Watched);
            }
            Some(Change::Remove { token, .. }) => {
                self.known.insert(token, Known::Leaving);
            }
        }
        change
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.service.descriptor(token)
    }

    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness) {
        self.tick(now);
        if self.unflushed {
            self.complain(|| "the host waited without asking for the changes after `settle`".to_owned());
        }
        if !self.known.contains_key(&token) {
            self.complain(|| format!("the host reported {token:?}, which was never announced to it"));
        }
        self.service.handle_ready(now, token, ready);
    }

    fn removed(&mut self, token: Token) {
        match self.known.insert(token, Known::Gone) {
            Some(Known::Leaving) => {}
            Some(Known::Watched) | None => {
                self.complain(|| format!("the host let go of {token:?}, and was not asked to"));
            }
            Some(Known::Gone) => self.complain(|| format!("the host let go of {token:?} twice")),
        }
        self.service.removed(token);
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        let fd = self.service.descriptor(token).map(|descriptor| descriptor.as_raw_fd());
        self.complain(|| {
            format!("the host refused descriptor {fd:?}, a socket or an event counter: {error}")
        });
        self.known.insert(token, Known::Gone);
        self.service.refused(token, error);
    }

    fn settle(&mut self, now: Time) -> Wait {
        self.tick(now);
        self.unflushed = true;
        let wait = self.service.settle(now);
        if self.exit.0.get() { Wait::Now } else { wait }
    }

    fn is_forked(&self) -> bool {
        self.service.is_forked()
    }

    fn is_done(&self) -> bool {
        self.exit.0.get() || self.service.is_done()
    }
}
