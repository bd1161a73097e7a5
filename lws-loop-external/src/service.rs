//! The seam between services, which own descriptors, and hosts, which wait for them.
//!
//! A service owns sockets, connections and timers, and never waits. A host owns the waiting, and knows none of them.

use lws_proto::Time;
use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

pub use crate::token::Token;

/// Something with descriptors that a loop can host.
///
/// A host calls [`attach`](Self::attach) once, and then, in each turn:
/// 1. [`settle`](Self::settle), whose answer is how long it may sleep;
/// 2. [`poll_change`](Self::poll_change) until `None`, applying each [`Change`];
/// 3. its own waiting;
/// 4. [`handle_ready`](Self::handle_ready) for each descriptor that is ready, with the time after the wait.
///
/// After any other call that may give the service work, for example one of its application, 1 and 2 come again
/// before the next sleep. No call blocks.
pub trait Service {
    /// A host takes the service over, as the first one or from another host: every descriptor is announced again with
    /// [`Change::Add`], and `trigger` says how readiness will be reported. Without this call it is [`Trigger::Level`].
    /// Each host may count time from a moment of its own: a timer that is due in a second at one host is due in a
    /// second at the next.
    fn attach(&mut self, trigger: Trigger);

    /// The next change that the host has to apply, or `None`. Several changes of one descriptor come as one.
    fn poll_change(&mut self) -> Option<Change>;

    /// The descriptor behind a token, from its [`Change::Add`] until [`removed`](Self::removed): for hosts whose calls
    /// want a borrow instead of a number.
    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>>;

    /// A descriptor is ready. The token of something that has ended is ignored, and readiness that has passed does no
    /// harm.
    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness);

    /// The host has let go of the descriptor of a [`Change::Remove`]: it may be closed.
    fn removed(&mut self, token: Token);

    /// The host cannot watch the descriptor of a [`Change::Add`] or [`Change::Modify`]. Its connection or listener
    /// ends; no [`Change::Remove`] follows.
    fn refused(&mut self, token: Token, error: io::Error);

    /// Does the work that is due, timers and work that no descriptor announces, within a budget. Returns how long the
    /// host may sleep, provided that it applies the changes first.
    fn settle(&mut self, now: Time) -> Wait;

    /// Limits the time of one turn, which is everything that the service does between two polls of its host, in place
    /// of the service's own options. `None` restores those. A service without such a limit ignores the call.
    fn limit_turn(&mut self, time: Option<Duration>) {
        let _ = time;
    }

    /// Whether this process is a child, by fork(2), of the one whose host called [`attach`](Self::attach). Most systems
    /// share the list of watched descriptors between parent and child, so a host must not deregister any here.
    fn is_forked(&self) -> bool {
        false
    }

    /// Whether nothing will ever happen again: the service was drained and has no descriptor of a peer left. Ask when
    /// the changes have been applied, before the sleep.
    fn is_done(&self) -> bool {
        false
    }

    /// Whether a descriptor should keep a loop alive, asked at its [`Change::Add`]. Loops such as libuv's end when
    /// nothing is left to wait for; for them the descriptor of the waker, by which other threads end the wait, does not
    /// count.
    fn keeps_alive(&self, _token: Token) -> bool {
        true
    }
}

impl<S: Service + ?Sized> Service for Box<S> {
    fn attach(&mut self, trigger: Trigger) {
        (**self).attach(trigger);
    }

    fn poll_change(&mut self) -> Option<Change> {
        (**self).poll_change()
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        (**self).descriptor(token)
    }

    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness) {
        (**self).handle_ready(now, token, ready);
    }

    fn removed(&mut self, token: Token) {
        (**self).removed(token);
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        (**self).refused(token, error);
    }

    fn settle(&mut self, now: Time) -> Wait {
        (**self).settle(now)
    }

    fn limit_turn(&mut self, time: Option<Duration>) {
        (**self).limit_turn(time);
    }

    fn is_forked(&self) -> bool {
        (**self).is_forked()
    }

    fn is_done(&self) -> bool {
        (**self).is_done()
    }

    fn keeps_alive(&self, token: Token) -> bool {
        (**self).keeps_alive(token)
    }
}

/// A change that a host has to apply to one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Watch it.
    Add {
        /// The token of the descriptor. No other descriptor has it until its `Remove`.
        token: Token,
        /// The descriptor.
        fd: RawFd,
        /// What to watch for.
        interest: Interest,
    },
    /// Watch it for something else.
    Modify {
        /// Its name.
        token: Token,
        /// The descriptor.
        fd: RawFd,
        /// What to watch for.
        interest: Interest,
    },
    /// Let go of it, and then call [`Service::removed`]. Only after that call is the descriptor closed, and its
    /// number free for another one.
    Remove {
        /// Its name.
        token: Token,
        /// The descriptor.
        fd: RawFd,
    },
}

/// How long a host may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: there is more to do, but descriptors may be looked at in between.
    Now,
    /// Until this time.
    Until(Time),
    /// Until a descriptor is ready.
    Forever,
}

impl Wait {
    /// The wait that ends first.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, _) | (_, Self::Now) => Self::Now,
            (Self::Until(a), Self::Until(b)) => Self::Until(a.min(b)),
            (Self::Until(at), Self::Forever) | (Self::Forever, Self::Until(at)) => Self::Until(at),
            (Self::Forever, Self::Forever) => Self::Forever,
        }
    }

    /// The time at which the sleep ends at the latest. `None` for `Now` and `Forever`.
    #[must_use]
    pub fn deadline(self) -> Option<Time> {
        match self {
            Self::Until(at) => Some(at),
            Self::Now | Self::Forever => None,
        }
    }

    /// The length of the sleep from `now` on; `None` is no limit.
    #[must_use]
    pub fn timeout(self, now: Time) -> Option<Duration> {
        match self {
            Self::Now => Some(Duration::ZERO),
            Self::Until(at) => Some(at - now),
            Self::Forever => None,
        }
    }
}

/// How a host reports readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// As long as it lasts: poll(2), epoll's default, libuv. The registered interest follows the wanted one.
    #[default]
    Level,
    /// When it begins: EPOLLET, EV_CLEAR. A connection is added once, for everything, and never modified.
    Edge,
    /// Once for each `Add` or `Modify`: EPOLLONESHOT. A `Modify` follows each report.
    OneShot,
}

/// What a descriptor is watched for.
///
/// Every watched descriptor is also watched for what poll(2) and epoll always report: an error, and the end of both
/// directions. [`FAILURE`](Self::FAILURE) alone means only those: a registration without events. [`NONE`](Self::NONE)
/// means that the host does not watch the descriptor until the next `Modify`, because those conditions would be
/// reported for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest(u8);

/// What a descriptor is ready for. A hint: a bit too many costs a system call, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Readiness(u8);

macro_rules! set {
    ($name:ident { $($(#[$doc:meta])* $constant:ident = $bit:literal;)* }) => {
        impl $name {
            /// Nothing.
            pub const NONE: Self = Self(0);
            $($(#[$doc])* pub const $constant: Self = Self($bit);)*

            /// Whether everything in `other` is in this.
            #[must_use]
            #[inline]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether nothing is in this.
            #[must_use]
            #[inline]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Returns this if `condition` is true, and otherwise `NONE`.
            #[must_use]
            #[inline]
            pub const fn when(self, condition: bool) -> Self {
                if condition { self } else { Self::NONE }
            }
        }

        impl BitOr for $name {
            type Output = Self;

            #[inline]
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl BitOrAssign for $name {
            #[inline]
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }
    };
}

set!(Interest {
    /// Input, a new connection, or the end of the peer.
    READ = 1;
    /// Room for output.
    WRITE = 2;
    /// Both.
    BOTH = 3;
    /// Only an error or the end of both directions: for a connection that takes no input at the moment, whose peer
    /// may still reset it.
    FAILURE = 4;
});

set!(Readiness {
    /// A read will not block.
    READABLE = 1;
    /// A write will not block.
    WRITABLE = 2;
    /// The peer has ended at least its direction: the end follows the input that is still to be read.
    HANG_UP = 4;
    /// The descriptor has a pending error.
    ERROR = 8;
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_waits_the_shorter_one_counts() {
        let at = |micros| Wait::Until(Time::from_micros(micros));
        let check = |a: Wait, b: Wait, expected: Wait| {
            assert_eq!(a.earliest(b), expected, "{a:?}, {b:?}");
            assert_eq!(b.earliest(a), expected, "{b:?}, {a:?}");
        };
        check(Wait::Now, Wait::Forever, Wait::Now);
        check(Wait::Now, at(1), Wait::Now);
        check(at(1), at(2), at(1));
        check(at(1), Wait::Forever, at(1));
        check(Wait::Forever, Wait::Forever, Wait::Forever);
        assert_eq!(at(5).timeout(Time::from_micros(2)), Some(Duration::from_micros(3)));
        assert_eq!(at(5).timeout(Time::from_micros(9)), Some(Duration::ZERO));
        assert_eq!(Wait::Forever.timeout(Time::ZERO), None);
    }
}
