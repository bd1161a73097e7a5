//! A host to begin with: copy this file to your tests, and put your loop in the place of `YourLoop`. The numbers are those of `CONTRACT.md`.
//!
//! Here the loop is epoll(7), in each of its three ways to report readiness; yours has one of them, and the others go.

use lws_loop_conformance::{Host, Nesting};
use lws_loop_external::{Change, Clock, Interest, Readiness, Service, Token, Trigger, Wait};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::collections::HashSet;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// What the loop under test can do. Everything below it stays as it is, whatever the loop.
struct YourLoop {
    epoll: OwnedFd,
    trigger: Trigger,
}

impl YourLoop {
    fn new(trigger: Trigger) -> Self {
        Self { epoll: epoll::create(CreateFlags::CLOEXEC).expect("a descriptor"), trigger }
    }

    /// How your loop names what is to be watched. The end of a peer and errors come unasked with all of them.
    fn flags(&self, interest: Interest) -> EventFlags {
        let mut flags = match self.trigger {
            Trigger::Level => EventFlags::empty(),
            Trigger::Edge => EventFlags::ET,
            Trigger::OneShot => EventFlags::ONESHOT,
        };
        flags.set(EventFlags::IN | EventFlags::RDHUP, interest.contains(Interest::READ));
        flags.set(EventFlags::OUT, interest.contains(Interest::WRITE));
        flags
    }

    fn add(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let data = EventData::new_u64(token.as_u64());
        Ok(epoll::add(&self.epoll, fd, data, self.flags(interest))?)
    }

    fn modify(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let data = EventData::new_u64(token.as_u64());
        Ok(epoll::modify(&self.epoll, fd, data, self.flags(interest))?)
    }

    fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits. `None` is for ever.
    fn wait(&self, events: &mut Vec<Event>, timeout: Option<Duration>) {
        let timeout = timeout.and_then(|timeout| timeout.try_into().ok());
        // A signal ends the wait with nothing, as a spurious wake-up does.
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("a wait: {error}"),
        }
    }
}

/// What your loop reports, as the service has it. To say too much does no harm.
fn readiness(flags: EventFlags) -> Readiness {
    Readiness::READABLE.when(flags.contains(EventFlags::IN))
        | Readiness::WRITABLE.when(flags.contains(EventFlags::OUT))
        | Readiness::HANG_UP.when(flags.intersects(EventFlags::RDHUP | EventFlags::HUP))
        | Readiness::ERROR.when(flags.contains(EventFlags::ERR))
}

/// A service in the loop.
struct Hosted<'l, S> {
    at: &'l YourLoop,
    service: S,
    clock: Clock,
    /// What the loop watches. A descriptor without interest is not among it (5).
    watched: HashSet<Token>,
}

impl<'l, S: Service> Hosted<'l, S> {
    fn new(at: &'l YourLoop, mut service: S) -> Self {
        // (1)
        service.attach(at.trigger);
        Self { at, service, clock: Clock::new(), watched: HashSet::new() }
    }

    /// What comes before each sleep: (2), (3). Answers how long that may be.
    fn settle(&mut self) -> Wait {
        let wait = self.service.settle(self.clock.now());
        let mut again = false;
        while let Some(change) = self.service.poll_change() {
            again |= self.apply(change);
        }
        // (4): what has gone, or cannot be watched, may have given it more to do.
        if again { Wait::Now } else { wait }
    }

    /// Does what a change says. True if the service was given something to do by it.
    fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Add { token, interest, .. } | Change::Modify { token, interest, .. } => {
                let Err(error) = self.watch(token, interest) else { return false };
                // (6)
                self.watched.remove(&token);
                self.service.refused(token, error);
                true
            }
            Change::Remove { token, .. } => {
                // (7): the loop lets go, then the service is notified, then the descriptor is closed. A loop that lets go later, as libuv
                // does, says `removed` later.
                self.forget(token);
                self.service.removed(token);
                true
            }
        }
    }

    fn watch(&mut self, token: Token, interest: Interest) -> io::Result<()> {
        if interest.is_empty() {
            self.forget(token);
            return Ok(());
        }
        let Some(descriptor) = self.service.descriptor(token) else { return Ok(()) };
        if self.watched.insert(token) {
            self.at.add(descriptor, token, interest)
        } else {
            self.at.modify(descriptor, token, interest)
        }
    }

    fn forget(&mut self, token: Token) {
        if self.watched.remove(&token)
            && let Some(descriptor) = self.service.descriptor(token)
        {
            // It fails only for a descriptor that the loop does not have.
            let _ = self.at.remove(descriptor);
        }
    }

    /// Sleeps, and hands over what is ready: (8).
    fn turn(&mut self, wait: Wait, events: &mut Vec<Event>) {
        self.at.wait(events, wait.timeout(self.clock.now()));
        for event in events {
            let (token, flags) = (Token::from_u64(event.data.u64()), event.flags);
            self.service.handle_ready(self.clock.now(), token, readiness(flags));
        }
    }

    /// Lets go of everything, and gives the service back: (9).
    fn detach(mut self) -> S {
        let at = self.at;
        lws_loop_external::hosts::detach(&mut self.service, |descriptor| {
            let _ = at.remove(descriptor);
        });
        self.service
    }
}

impl Host for YourLoop {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let mut events = Vec::with_capacity(64);
        let mut hosted = Hosted::new(self, service);
        loop {
            let wait = hosted.settle();
            if hosted.service.is_done() {
                return hosted.detach();
            }
            hosted.turn(wait, &mut events);
        }
    }

    /// If your loop calls back, a handler can run it, as a dialog does: answer `Nesting::Runs`, with how.
    fn nesting(&mut self) -> Nesting {
        Nesting::No("the loop is `host`, which has the service borrowed while a handler runs")
    }

    fn name(&self) -> String {
        format!("the template, {:?}", self.trigger)
    }
}

mod level {
    use super::{Trigger, YourLoop};
    lws_loop_conformance::suite!(YourLoop::new(Trigger::Level));
}

mod edge {
    use super::{Trigger, YourLoop};
    lws_loop_conformance::suite!(YourLoop::new(Trigger::Edge));
}

mod one_shot {
    use super::{Trigger, YourLoop};
    lws_loop_conformance::suite!(YourLoop::new(Trigger::OneShot));
}

#[test]
fn the_template_is_short() {
    assert!(include_str!("template.rs").lines().count() < 300);
}
