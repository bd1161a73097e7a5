//! One standard stream of a process: read or written when the exchange can, watched only while it has to wait.

use lws_server::descriptor::{self, Descriptor, DescriptorEvent, Interest};
use lws_server::{Context, LinkId, StreamId};
use rustix::io::Errno;
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// An end of a pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    descriptor: OwnedFd,
    /// A duplicate of it, which the loop watches.
    link: LinkId,
    readiness: Rc<Cell<Readiness>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    /// As far as is known it is ready.
    Likely,
    /// It was not, and is watched.
    Awaited,
    /// The loop cannot watch it.
    Unwatched,
}

/// What is wanted of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// What came of reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Octets(usize),
    /// Nothing now: the exchange is woken when there is.
    Pending,
    /// The other side has closed it.
    Closed,
}

impl Pipe {
    /// Has the loop watch a pipe for an exchange.
    ///
    /// # Errors
    /// As for [`Context::adopt_descriptor`]; or there are no descriptors left.
    pub(crate) fn adopt(
        cx: &mut Context<'_>,
        descriptor: OwnedFd,
        direction: Direction,
        exchange: StreamId,
    ) -> io::Result<Self> {
        let readiness = Rc::new(Cell::new(Readiness::Likely));
        let watch = Watch { direction, exchange, readiness: Rc::clone(&readiness) };
        // This makes the descriptor itself non-blocking, too: it is the same open file.
        let link = cx.adopt_descriptor(descriptor.try_clone()?, Interest::NONE, watch)?;
        Ok(Self { descriptor, link, readiness })
    }

    pub(crate) fn read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Outcome {
        match self.attempt(cx, || rustix::io::read(&self.descriptor, &mut *room)) {
            Outcome::Octets(0) => Outcome::Closed,
            outcome => outcome,
        }
    }

    pub(crate) fn write(&self, cx: &mut Context<'_>, octets: &[u8]) -> Outcome {
        self.attempt(cx, || rustix::io::write(&self.descriptor, octets))
    }

    fn attempt(&self, cx: &mut Context<'_>, mut call: impl FnMut() -> Result<usize, Errno>) -> Outcome {
        match self.readiness.get() {
            Readiness::Likely => {}
            Readiness::Awaited => return Outcome::Pending,
            Readiness::Unwatched => return Outcome::Closed,
        }
        loop {
            match call() {
                Ok(octets) => return Outcome::Octets(octets),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.readiness.set(Readiness::Awaited);
                    cx.wake_link(self.link);
                    return Outcome::Pending;
                }
                Err(_) => return Outcome::Closed,
            }
        }
    }

    /// Reads what is there whether or not it is awaited: nothing more will be.
    pub(crate) fn read_rest(&self, room: &mut [u8]) -> Outcome {
        match rustix::io::read(&self.descriptor, room) {
            Ok(octets @ 1..) => Outcome::Octets(octets),
            _ => Outcome::Closed,
        }
    }

    /// Closes it, the duplicate as well.
    pub(crate) fn close(self, cx: &mut Context<'_>) {
        cx.close_link(self.link);
    }
}

/// Wakes the exchange when its pipe is ready.
struct Watch {
    direction: Direction,
    exchange: StreamId,
    readiness: Rc<Cell<Readiness>>,
}

impl descriptor::Handler for Watch {
    fn event(&mut self, cx: &mut Context<'_>, event: DescriptorEvent, descriptor: &mut Descriptor<'_>) {
        match event {
            // A request that has begun is answered.
            DescriptorEvent::Adopted => descriptor.outlast_drain(),
            DescriptorEvent::Woken if self.readiness.get() == Readiness::Awaited => match self.direction {
                Direction::Read => descriptor.resume(),
                Direction::Write => descriptor.want_write(),
            },
            DescriptorEvent::Readable | DescriptorEvent::Writable | DescriptorEvent::HangUp => {
                descriptor.pause();
                self.readiness.set(Readiness::Likely);
                cx.wake(self.exchange);
            }
            DescriptorEvent::Refused(_) => {
                self.readiness.set(Readiness::Unwatched);
                cx.wake(self.exchange);
            }
            _ => {}
        }
    }
}
