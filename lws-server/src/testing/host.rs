//! The host of the service in a test: it reports what is ready, and never sleeps.

use super::network::Memory;
use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

/// What is watched for a service.
#[derive(Default)]
pub(super) struct Host {
    watched: BTreeMap<Token, (RawFd, Interest)>,
}

impl Host {
    pub(super) fn new(service: &mut dyn Service) -> Self {
        service.attach(Trigger::Level);
        Self::default()
    }

    /// Lets the service do what is due, and reports what is ready. Answers how long it could sleep after that.
    pub(super) fn turn(&mut self, service: &mut dyn Service, memory: &RefCell<Memory>) -> Wait {
        let now = memory.borrow().now;
        let mut wait = service.settle(now);
        while let Some(change) = service.poll_change() {
            match change {
                Change::Add { token, fd, interest } | Change::Modify { token, fd, interest } => {
                    self.watched.insert(token, (fd, interest));
                }
                Change::Remove { token, .. } => {
                    self.watched.remove(&token);
                    service.removed(token);
                    wait = Wait::Now;
                }
            }
        }
        let ready = self.ready(service, memory);
        for (token, readiness) in ready {
            service.handle_ready(now, token, readiness);
            wait = Wait::Now;
        }
        wait
    }

    fn ready(&self, service: &dyn Service, memory: &RefCell<Memory>) -> Vec<(Token, Readiness)> {
        let memory = memory.borrow();
        let mut ready = Vec::new();
        for (token, (number, interest)) in &self.watched {
            let readiness = if memory.has(*number) {
                wanted(memory.readiness(*number), *interest)
            } else {
                // What is real: the waker, and descriptors that handlers have opened.
                service.descriptor(*token).map_or(Readiness::NONE, |real| poll_one(real, *interest))
            };
            if !readiness.is_empty() {
                ready.push((*token, readiness));
            }
        }
        ready
    }

    /// Waits in the time of the machine until something real is ready: a thread has answered, a process has written. Answers
    /// whether it was within `patience`.
    pub(super) fn wait_for_outside(
        &self,
        service: &dyn Service,
        memory: &RefCell<Memory>,
        patience: Duration,
    ) -> bool {
        let memory = memory.borrow();
        let outside = self.watched.iter().filter(|(_, (number, _))| !memory.has(*number));
        let mut polled: Vec<PollFd<'_>> = outside
            .filter_map(|(token, (_, interest))| {
                Some(PollFd::from_borrowed_fd(service.descriptor(*token)?, flags(*interest)))
            })
            .collect();
        poll_for(&mut polled, patience)
    }
}

/// What of `level` a host reports that watches for `interest`.
fn wanted(level: Readiness, interest: Interest) -> Readiness {
    if interest.is_empty() {
        return Readiness::NONE;
    }
    let reading = interest.contains(Interest::READ);
    Readiness::READABLE.when(reading && level.contains(Readiness::READABLE))
        | Readiness::WRITABLE.when(interest.contains(Interest::WRITE) && level.contains(Readiness::WRITABLE))
        | Readiness::HANG_UP.when(reading && level.contains(Readiness::HANG_UP))
}

fn flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.contains(Interest::READ));
    flags.set(PollFlags::OUT, interest.contains(Interest::WRITE));
    flags
}

/// What a real descriptor is ready for.
fn poll_one(descriptor: BorrowedFd<'_>, interest: Interest) -> Readiness {
    let mut polled = [PollFd::from_borrowed_fd(descriptor, flags(interest))];
    if interest.is_empty() || !poll_for(&mut polled, Duration::ZERO) {
        return Readiness::NONE;
    }
    let events = polled[0].revents();
    Readiness::READABLE.when(events.contains(PollFlags::IN))
        | Readiness::WRITABLE.when(events.contains(PollFlags::OUT))
        | Readiness::HANG_UP.when(events.contains(PollFlags::HUP))
        | Readiness::ERROR.when(events.contains(PollFlags::ERR))
}

fn poll_for(polled: &mut [PollFd<'_>], patience: Duration) -> bool {
    // A patience that no `timespec` can say is one without an end.
    let patience = Timespec::try_from(patience).ok();
    poll(polled, patience.as_ref()).is_ok_and(|count| count > 0)
}

/// The earlier one of two moments, of which either may be missing.
pub(super) fn earlier(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    a.into_iter().chain(b).min()
}
