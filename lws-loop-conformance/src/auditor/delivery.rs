//! The auditor's waiting: with poll(2) for level-triggered and one-shot reports, and with epoll(7) for edges, which
//! only the kernel can detect.

use super::register::Register;
use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub(super) enum Delivery {
    Poll { one_shot: bool },
    Edge { epoll: OwnedFd },
}

impl Delivery {
    pub(super) fn new(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Level => Self::Poll { one_shot: false },
            Trigger::OneShot => Self::Poll { one_shot: true },
            Trigger::Edge => {
                let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
                Self::Edge { epoll: epoll.expect("a descriptor for the auditor") }
            }
        }
    }

    pub(super) fn apply(&self, service: &impl Service, change: Change) -> io::Result<()> {
        let Self::Edge { epoll } = self else { return Ok(()) };
        match change {
            Change::Add { token, interest, .. } => {
                let Some(descriptor) = service.descriptor(token) else { return Ok(()) };
                let mut flags = EventFlags::ET;
                flags.set(EventFlags::IN | EventFlags::RDHUP, interest.contains(Interest::READ));
                flags.set(EventFlags::OUT, interest.contains(Interest::WRITE));
                Ok(epoll::add(epoll, descriptor, EventData::new_u64(token.as_u64()), flags)?)
            }
            Change::Modify { .. } => Ok(()),
            Change::Remove { token, .. } => {
                let Some(descriptor) = service.descriptor(token) else { return Ok(()) };
                Ok(epoll::delete(epoll, descriptor)?)
            }
        }
    }

    /// Waits, and adds ready descriptors to `found`.
    pub(super) fn wait(
        &self,
        service: &impl Service,
        register: &mut Register,
        timeout: Option<Duration>,
        found: &mut Vec<(Token, Readiness)>,
    ) {
        let timeout: Option<Timespec> = timeout.and_then(|timeout| timeout.try_into().ok());
        match self {
            Self::Poll { one_shot } => {
                let ready = wait_with_poll(service, register, timeout.as_ref());
                for (token, ready) in ready {
                    if *one_shot {
                        register.reported(token);
                    } else if found.iter().any(|(other, _)| *other == token) {
                        continue;
                    }
                    found.push((token, ready));
                }
            }
            Self::Edge { epoll } => {
                let mut events = Vec::with_capacity(256);
                match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => panic!("the auditor cannot wait: {error}"),
                }
                let to_readiness = |event: &epoll::Event| {
                    (Token::from_u64(event.data.u64()), readiness_of_edge(event.flags))
                };
                found.extend(events.iter().map(to_readiness));
            }
        }
    }
}

fn wait_with_poll(
    service: &impl Service,
    register: &Register,
    timeout: Option<&Timespec>,
) -> Vec<(Token, Readiness)> {
    let (tokens, mut descriptors): (Vec<_>, Vec<_>) = register
        .wanted()
        .filter_map(|(token, interest)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, interest.contains(Interest::READ));
            flags.set(PollFlags::OUT, interest.contains(Interest::WRITE));
            Some((token, PollFd::from_borrowed_fd(service.descriptor(token)?, flags)))
        })
        .unzip();
    match poll(&mut descriptors, timeout) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => panic!("the auditor cannot wait: {error}"),
    }
    let ready = |(token, descriptor): (Token, &PollFd<'_>)| {
        let flags = descriptor.revents();
        assert!(!flags.contains(PollFlags::NVAL), "{token:?} is watched, and its descriptor is closed");
        let ready = Readiness::READABLE.when(flags.contains(PollFlags::IN))
            | Readiness::WRITABLE.when(flags.contains(PollFlags::OUT))
            | Readiness::HANG_UP.when(flags.contains(PollFlags::HUP))
            | Readiness::ERROR.when(flags.contains(PollFlags::ERR));
        (!ready.is_empty()).then_some((token, ready))
    };
    let mut ready: Vec<_> = tokens.into_iter().zip(&descriptors).filter_map(ready).collect();
    // The iteration order of a map does not depend on the seed, so the result is sorted.
    ready.sort_unstable_by_key(|(token, _)| *token);
    ready
}

fn readiness_of_edge(flags: EventFlags) -> Readiness {
    Readiness::READABLE.when(flags.contains(EventFlags::IN))
        | Readiness::WRITABLE.when(flags.contains(EventFlags::OUT))
        | Readiness::HANG_UP.when(flags.intersects(EventFlags::RDHUP | EventFlags::HUP))
        | Readiness::ERROR.when(flags.contains(EventFlags::ERR))
}
