//! An echo service whose descriptors are all in the program's own epoll (level B), with a descriptor and a timer of its own beside them.
//!
//! `cargo run -p lws-loop-external --example on_epoll -- 127.0.0.1:7681 level`; or `edge`, or `one-shot`. The end of standard input ends it.

mod common;

use lws_loop_external::hosts::settle;
use lws_loop_external::{Change, Clock, Interest, Readiness, Service, Token, Trigger, Wait};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::collections::HashSet;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The number of our own descriptor, which no token of a service has.
const INPUT: u64 = u64::MAX;

/// The program's epoll, and what of the service is in it.
struct Watched {
    epoll: OwnedFd,
    trigger: EventFlags,
    tokens: HashSet<Token>,
}

impl Watched {
    fn watch(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        // What has no interest is left out: epoll reports a hang-up unasked, and would not stop.
        if interest.is_empty() {
            return self.forget(fd, token);
        }
        let mut flags = self.trigger;
        flags.set(EventFlags::IN | EventFlags::RDHUP, interest.contains(Interest::READ));
        flags.set(EventFlags::OUT, interest.contains(Interest::WRITE));
        let data = EventData::new_u64(token.as_u64());
        if self.tokens.insert(token) {
            epoll::add(&self.epoll, fd, data, flags)?;
        } else {
            epoll::modify(&self.epoll, fd, data, flags)?;
        }
        Ok(())
    }

    fn forget(&mut self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        if self.tokens.remove(&token) {
            epoll::delete(&self.epoll, fd)?;
        }
        Ok(())
    }

    fn apply(&mut self, change: Change, fd: BorrowedFd<'_>) -> io::Result<()> {
        match change {
            Change::Add { token, interest, .. } | Change::Modify { token, interest, .. } => {
                self.watch(fd, token, interest)
            }
            Change::Remove { token, .. } => self.forget(fd, token),
        }
    }
}

fn readiness(flags: EventFlags) -> Readiness {
    Readiness::READABLE.when(flags.contains(EventFlags::IN))
        | Readiness::WRITABLE.when(flags.contains(EventFlags::OUT))
        | Readiness::HANG_UP.when(flags.intersects(EventFlags::RDHUP | EventFlags::HUP))
        | Readiness::ERROR.when(flags.contains(EventFlags::ERR))
}

fn main() -> io::Result<()> {
    let (kind, trigger) = match std::env::args().nth(2).as_deref() {
        Some("edge") => (Trigger::Edge, EventFlags::ET),
        Some("one-shot") => (Trigger::OneShot, EventFlags::ONESHOT),
        _ => (Trigger::Level, EventFlags::empty()),
    };
    let clock = Clock::new();
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, io::stdin(), EventData::new_u64(INPUT), EventFlags::IN)?;
    let mut watched = Watched { epoll, trigger, tokens: HashSet::new() };
    let mut echo = common::service()?;
    let handle = echo.handle();
    echo.attach(kind);
    let mut tick = clock.now() + common::TICK;
    let mut events = Vec::with_capacity(64);
    loop {
        let wait = settle(&mut echo, clock.now(), |change, fd| watched.apply(change, fd));
        if echo.is_done() {
            return Ok(());
        }
        let timeout = wait.earliest(Wait::Until(tick)).timeout(clock.now());
        let timeout = timeout.and_then(|timeout| timeout.try_into().ok());
        events.clear();
        epoll::wait(&watched.epoll, spare_capacity(&mut events), timeout.as_ref())?;
        let now = clock.now();
        if now >= tick {
            common::tick();
            tick = now + common::TICK;
        }
        for event in &events {
            let (number, flags) = (event.data.u64(), event.flags);
            if number != INPUT {
                echo.handle_ready(now, Token::from_u64(number), readiness(flags));
            } else if !common::own_input(&handle)? {
                epoll::delete(&watched.epoll, io::stdin())?;
            }
        }
    }
}
