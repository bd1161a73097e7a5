//! A service in the poll(2) array that a program keeps for itself.

use super::each;
use crate::service::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use rustix::event::PollFlags;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsRawFd, RawFd};

/// An entry of a poll(2) array, laid out as the system's `pollfd`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "pollfd")]
pub struct PollFd {
    /// The descriptor. A negative number is left out by poll(2).
    pub fd: RawFd,
    /// The requested events: `POLLIN` and so on.
    pub events: i16,
    /// What it is ready for.
    pub revents: i16,
}

impl PollFd {
    /// Watches a descriptor.
    #[must_use]
    pub fn new(fd: RawFd, interest: Interest) -> Self {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, interest.contains(Interest::READ));
        flags.set(PollFlags::OUT, interest.contains(Interest::WRITE));
        // POLLIN and POLLOUT are below 16, so they fit an i16.
        Self { fd, events: flags.bits() as i16, revents: 0 }
    }

    /// What it is ready for.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let is = |flags| PollFlags::from_bits_retain(self.revents as _).intersects(flags);
        Readiness::READABLE.when(is(PollFlags::IN))
            | Readiness::WRITABLE.when(is(PollFlags::OUT))
            | Readiness::HANG_UP.when(is(PollFlags::HUP))
            | Readiness::ERROR.when(is(PollFlags::ERR | PollFlags::NVAL))
    }
}

/// Keeps the descriptors of a service in an array of [`PollFd`] beside those of the program.
///
/// In each turn: [`settle`](Self::settle), the wait, and [`service_fd`](Self::service_fd) for each entry. Entries of the
/// program are never changed or moved. The program must not move the service's entries, and may add its own behind
/// them.
#[derive(Debug)]
pub struct OnPoll<S> {
    service: S,
    ours: Entries,
}

/// The service's entries.
#[derive(Debug, Default)]
struct Entries {
    places: HashMap<RawFd, Place>,
    /// The indices of entries without a descriptor.
    holes: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    token: Token,
    index: usize,
}

/// An entry without a descriptor, which poll(2) skips.
const HOLE: PollFd = PollFd { fd: -1, events: 0, revents: 0 };

impl<S: Service> OnPoll<S> {
    /// Hosts a service.
    pub fn new(mut service: S) -> Self {
        service.attach(Trigger::Level);
        Self { service, ours: Entries::default() }
    }

    /// Settles the service, and updates its entries. Returns how long the program may sleep: not at all while there
    /// is work that no descriptor announces.
    #[doc(alias = "lws_service_adjust_timeout")]
    pub fn settle(&mut self, fds: &mut Vec<PollFd>, now: Time) -> Wait {
        each::settle(&mut self.service, now, |change, _| {
            self.ours.apply(change, fds);
            Ok(())
        })
    }

    /// Handles an entry of the service, and clears its returned events. Returns false, without any change, if the
    /// entry is the program's.
    #[doc(alias = "lws_service_fd")]
    pub fn service_fd(&mut self, fd: &mut PollFd, now: Time) -> bool {
        let Some(Place { token, .. }) = self.ours.places.get(&fd.fd) else { return false };
        if fd.revents != 0 {
            self.service.handle_ready(now, *token, fd.readiness());
            fd.revents = 0;
        }
        true
    }

    /// Removes the service, and returns it for another host. Its entries stay in the array as ones that poll(2)
    /// skips.
    pub fn detach(mut self, fds: &mut Vec<PollFd>) -> S {
        each::detach(&mut self.service, |descriptor| self.ours.remove(descriptor.as_raw_fd(), fds));
        self.service
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &S {
        &self.service
    }

    /// The service. Call [`settle`](Self::settle) afterwards, which carries out what the service was asked for.
    #[must_use]
    pub fn service_mut(&mut self) -> &mut S {
        &mut self.service
    }
}

impl Entries {
    fn apply(&mut self, change: Change, fds: &mut Vec<PollFd>) {
        match change {
            Change::Add { token, fd, interest } => {
                let index = self.occupy(fds);
                fds[index] = entry(fd, interest);
                self.places.insert(fd, Place { token, index });
            }
            Change::Modify { fd, interest, .. } => {
                let index = self.places.get(&fd).map(|place| place.index);
                if let Some(known) = index.and_then(|index| fds.get_mut(index)) {
                    *known = entry(fd, interest);
                }
            }
            Change::Remove { fd, .. } => self.remove(fd, fds),
        }
    }

    fn remove(&mut self, fd: RawFd, fds: &mut Vec<PollFd>) {
        if let Some(Place { index, .. }) = self.places.remove(&fd) {
            self.vacate(index, fds);
        }
    }

    /// The index of a free entry, which is added if there is none.
    fn occupy(&mut self, fds: &mut Vec<PollFd>) -> usize {
        match self.holes.pop_first() {
            Some(hole) if hole < fds.len() => hole,
            _ => {
                fds.push(HOLE);
                fds.len() - 1
            }
        }
    }

    fn vacate(&mut self, index: usize, fds: &mut Vec<PollFd>) {
        if let Some(entry) = fds.get_mut(index) {
            *entry = HOLE;
            self.holes.insert(index);
        }
        while fds.len().checked_sub(1).is_some_and(|last| self.holes.remove(&last)) {
            fds.pop();
        }
    }
}

/// The entry of a descriptor. One without interest is skipped, because poll(2) reports a hang-up even if no event
/// was requested.
fn entry(fd: RawFd, interest: Interest) -> PollFd {
    if interest.is_empty() { HOLE } else { PollFd::new(fd, interest) }
}
