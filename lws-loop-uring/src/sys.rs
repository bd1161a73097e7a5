//! The ring: requests in, completions out, one system call for both. Knows no services.

use crate::unavailable::Unavailable;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};
use lws_loop_external::{Interest, Token};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// The number of requests that one system call hands over. More of them go in several calls.
const SUBMISSIONS_MAX: u32 = 256;

/// Names a request in the ring: the tag of a service, and the token of the descriptor that the request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) tag: u8,
    pub(crate) token: Token,
}

impl Key {
    /// The name of requests whose completion says nothing.
    const NONE: Self = Self { tag: u8::MAX, token: Token::from_u64(u64::MAX) };

    fn to_u64(self) -> u64 {
        u64::from(self.tag) << Token::BITS | self.token.as_u64()
    }

    fn from_u64(bits: u64) -> Self {
        // The tag is the highest byte.
        Self { tag: (bits >> Token::BITS) as u8, token: Token::from_u64(bits) }
    }
}

/// A request to the kernel. None refers to memory of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// Report the readiness of a descriptor, first as it is and then whenever it begins.
    Watch { fd: RawFd, interest: Interest, key: Key },
    /// End a request. That request then completes for the last time.
    Cancel { key: Key },
}

impl Request {
    fn entry(self) -> Entry {
        match self {
            Self::Watch { fd, interest, key } => {
                let events = u32::from(events(interest).bits());
                opcode::PollAdd::new(Fd(fd), events).multi(true).build().user_data(key.to_u64())
            }
            // A cancellation, unlike the removal of a poll, also ends a request whose next report is under way.
            Self::Cancel { key } => opcode::AsyncCancel::new(key.to_u64())
                .build()
                .flags(Flags::SKIP_SUCCESS)
                .user_data(Key::NONE.to_u64()),
        }
    }
}

fn events(interest: Interest) -> PollFlags {
    let mut events = PollFlags::empty();
    events.set(PollFlags::IN | PollFlags::RDHUP, interest.contains(Interest::READ));
    events.set(PollFlags::OUT, interest.contains(Interest::WRITE));
    events
}

/// A report about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) key: Key,
    /// What the descriptor is ready for.
    pub(crate) result: Result<PollFlags, Errno>,
    /// Whether the request goes on. The last completion of a request has false.
    pub(crate) more: bool,
}

/// The queues that this thread shares with the kernel.
pub(crate) struct Ring {
    ring: IoUring,
    /// Requests that found no room in the queue: at most two for each descriptor.
    backlog: VecDeque<Request>,
}

impl Ring {
    /// A ring with room for `completions`. The kernel keeps those that find none.
    ///
    /// # Errors
    /// The system has no io_uring, has one that is too old, or forbids it.
    pub(crate) fn new(completions: u32) -> Result<Self, Unavailable> {
        let completions = completions.max(1);
        let ring = IoUring::builder()
            .setup_clamp()
            .setup_cqsize(completions)
            // One bad request must not hold up those behind it.
            .setup_submit_all()
            // Reports are made in our own system calls, and interrupt nothing; the flag says that there are some to be made.
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(completions.min(SUBMISSIONS_MAX))
            .map_err(Unavailable::of)?;
        let has = ring.params();
        if !has.is_feature_ext_arg() || !has.is_feature_nodrop() || !has.is_feature_skip_cqe_on_success() {
            return Err(Unavailable::too_old());
        }
        Ok(Self { ring, backlog: VecDeque::new() })
    }

    /// Queues a request. The next [`enter`](Self::enter) hands it over.
    pub(crate) fn request(&mut self, request: Request) {
        if !self.backlog.is_empty() || !self.push(request) {
            self.backlog.push_back(request);
        }
    }

    /// Puts a request into the queue. Returns false if there is no room.
    fn push(&mut self, request: Request) -> bool {
        let entry = request.entry();
        // SAFETY: what an entry points to has to live until its completion. Those of `Request::entry` point to nothing, and the
        // kernel checks descriptors and keys itself.
        unsafe { self.ring.submission().push(&entry) }.is_ok()
    }

    /// Moves requests of the backlog into the queue. Returns whether some are left.
    fn fill(&mut self) -> bool {
        while let Some(request) = self.backlog.front().copied() {
            if !self.push(request) {
                return true;
            }
            self.backlog.pop_front();
        }
        false
    }

    /// Hands requests over, and waits for a completion, for at most `timeout`. Does not wait with a timeout of zero, and makes no
    /// system call if there is nothing to hand over or to fetch either. An interrupted wait ends early.
    ///
    /// # Errors
    /// What io_uring_enter(2) says.
    pub(crate) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        while self.fill() {
            match self.ring.submit() {
                Ok(_) => {}
                // Room comes when completions have been collected, so the rest waits for the next call.
                Err(error) if is_passing(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let entered = match timeout {
            None => self.ring.submit_and_wait(1),
            Some(Duration::ZERO) if self.is_still() => return Ok(()),
            Some(Duration::ZERO) => self.ring.submit(),
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
        };
        match entered {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether a system call without a wait would change nothing.
    fn is_still(&mut self) -> bool {
        let requests = self.ring.submission();
        requests.is_empty() && !requests.taskrun() && !requests.cq_overflow()
    }

    /// Moves what has completed to the end of `completed`.
    pub(crate) fn collect(&mut self, completed: &mut VecDeque<Completion>) {
        completed.extend(self.ring.completion().map(|entry| {
            let result = match u32::try_from(entry.result()) {
                // What can be asked for here, and what is always reported, fits in 16 bits.
                Ok(events) => Ok(PollFlags::from_bits_retain(events as u16)),
                Err(_) => Err(Errno::from_raw_os_error(entry.result().wrapping_neg())),
            };
            Completion { key: Key::from_u64(entry.user_data()), result, more: cqueue::more(entry.flags()) }
        }));
    }
}

/// Whether an error of io_uring_enter(2) passes by itself: the time was up, a signal came, or completions have to be collected first.
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::TIME, Errno::INTR, Errno::AGAIN, Errno::BUSY];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}
