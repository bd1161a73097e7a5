//! A service in the ring: its changes become requests, and completions become readiness.

use crate::sys::{Completion, Key, Request, Ring};
use crate::watch::{Step, Watch};
use lws_loop_external::{Change, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use rustix::event::PollFlags;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io;

/// A service whose descriptors are watched by requests of a ring.
pub(crate) struct Hosted<S> {
    service: S,
    /// The tag of its requests' keys.
    tag: u8,
    watches: HashMap<Token, Watch>,
}

impl<S: Service> Hosted<S> {
    /// Hosts a service. No other one in the ring has the same tag.
    pub(crate) fn new(mut service: S, tag: u8) -> Self {
        // A request reports readiness as it is once, and from then on whenever it begins.
        service.attach(Trigger::Edge);
        Self { service, tag, watches: HashMap::new() }
    }

    pub(crate) fn service(&self) -> &S {
        &self.service
    }

    pub(crate) fn service_mut(&mut self) -> &mut S {
        &mut self.service
    }

    /// Settles the service, and queues requests for its changes. Returns how long the loop may sleep.
    pub(crate) fn settle(&mut self, ring: &mut Ring, now: Time) -> Wait {
        let wait = self.service.settle(now);
        if !self.flush(ring) {
            return wait;
        }
        // A descriptor that was let go of may have given the service more to do.
        let wait = self.service.settle(now);
        if self.flush(ring) { Wait::Now } else { wait }
    }

    /// Applies the changes of the service. Returns whether it may have more to do because of them.
    fn flush(&mut self, ring: &mut Ring) -> bool {
        let mut again = false;
        while let Some(change) = self.service.poll_change() {
            again |= match change {
                Change::Add { token, fd, interest } | Change::Modify { token, fd, interest } => {
                    let step = self.watches.entry(token).or_insert_with(|| Watch::new(fd)).want(interest);
                    self.take(ring, token, step)
                }
                Change::Remove { token, .. } => {
                    let step = self.watches.get_mut(&token).map_or(Step::Forget, Watch::leave);
                    self.take(ring, token, step)
                }
            };
        }
        again
    }

    /// Does the next step for a descriptor. Returns whether the service was informed that it has gone.
    fn take(&mut self, ring: &mut Ring, token: Token, step: Step) -> bool {
        let key = Key { tag: self.tag, token };
        match step {
            Step::Nothing => {}
            Step::Make(interest) => {
                if let Some(watch) = self.watches.get(&token) {
                    ring.request(Request::Watch { fd: watch.fd, interest, key });
                }
            }
            Step::Cancel => ring.request(Request::Cancel { key }),
            Step::Forget => {
                self.watches.remove(&token);
                self.service.removed(token);
                return true;
            }
        }
        false
    }

    /// Handles a completion with a key of this service.
    #[inline]
    pub(crate) fn complete(&mut self, ring: &mut Ring, completion: Completion, now: Time) {
        let Completion { key: Key { token, .. }, result, more } = completion;
        // First the request, as a handler may panic: its successor is queued then, and is handed over after this turn.
        if !more {
            self.ended(ring, token, result.err().map(io::Error::from));
        }
        if let Ok(events) = result {
            // A token that has ended meanwhile finds nothing in the service.
            self.service.handle_ready(now, token, readiness(events));
        }
    }

    /// Handles the last completion of a request.
    #[cold]
    fn ended(&mut self, ring: &mut Ring, token: Token, error: Option<io::Error>) {
        let Entry::Occupied(mut entry) = self.watches.entry(token) else { return };
        match error {
            Some(error) if !entry.get().is_ending() => {
                entry.remove();
                self.service.refused(token, error);
            }
            _ => {
                let step = entry.get_mut().ended();
                self.take(ring, token, step);
            }
        }
    }

    /// Removes the service from the ring, and returns it for another host: cancels its requests, and waits until the last has
    /// completed, as a request keeps its descriptor open. What completes meanwhile for others is left in `completed`.
    ///
    /// In the child of a fork(2) nothing is cancelled: the ring is the parent's.
    pub(crate) fn detach(mut self, ring: &mut Ring, completed: &mut VecDeque<Completion>) -> S {
        if self.service.is_forked() {
            return self.service;
        }
        while let Some(change) = self.service.poll_change() {
            // The next host is asked for the others again.
            if let Change::Remove { token, .. } = change {
                let step = self.watches.get_mut(&token).map_or(Step::Forget, Watch::leave);
                self.take(ring, token, step);
            }
        }
        let tokens: Vec<_> = self.watches.keys().copied().collect();
        for token in tokens {
            match self.watches.get_mut(&token).map(Watch::retreat) {
                Some(Step::Forget) => self.let_go(token),
                Some(step) => {
                    self.take(ring, token, step);
                }
                None => {}
            }
        }
        self.absorb(completed);
        while !self.watches.is_empty() {
            // It fails only if there is no ring any more, and then there are no requests either.
            if ring.enter(None).is_err() {
                break;
            }
            ring.collect(completed);
            self.absorb(completed);
        }
        self.service
    }

    /// Takes the completions of this service, which is being detached, out of `completed`.
    fn absorb(&mut self, completed: &mut VecDeque<Completion>) {
        completed.retain(|completion| {
            let ours = completion.key.tag == self.tag;
            if ours && !completion.more {
                self.let_go(completion.key.token);
            }
            !ours
        });
    }

    /// Forgets a descriptor, and informs the service if that has asked for it.
    fn let_go(&mut self, token: Token) {
        if self.watches.remove(&token).is_some_and(|watch| watch.is_leaving()) {
            self.service.removed(token);
        }
    }
}

fn readiness(events: PollFlags) -> Readiness {
    Readiness::READABLE.when(events.contains(PollFlags::IN))
        | Readiness::WRITABLE.when(events.contains(PollFlags::OUT))
        | Readiness::HANG_UP.when(events.intersects(PollFlags::RDHUP | PollFlags::HUP))
        | Readiness::ERROR.when(events.intersects(PollFlags::ERR | PollFlags::NVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_its_readiness() {
        let check = |events: PollFlags, ready: Readiness| assert_eq!(readiness(events), ready, "{events:?}");
        check(PollFlags::empty(), Readiness::NONE);
        check(PollFlags::IN, Readiness::READABLE);
        check(PollFlags::OUT, Readiness::WRITABLE);
        check(PollFlags::RDHUP, Readiness::HANG_UP);
        check(PollFlags::HUP, Readiness::HANG_UP);
        check(PollFlags::ERR, Readiness::ERROR);
        check(PollFlags::IN | PollFlags::RDHUP, Readiness::READABLE | Readiness::HANG_UP);
    }
}
