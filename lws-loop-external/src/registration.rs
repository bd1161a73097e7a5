//! The registration of one descriptor with the host: the state that the host has, and the one that it should have.

use crate::service::{Change, Interest, Token, Trigger};
use std::collections::VecDeque;
use std::os::fd::RawFd;

/// Descriptors whose registration may differ from what the host knows.
pub(crate) type Changes = VecDeque<Token>;

/// The registration of one descriptor. However often it changes in a turn, the host gets one change, to the last
/// state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Registration {
    /// Whether the host has the registration.
    announced: bool,
    /// Whether it is in the list of changes.
    listed: bool,
    removal: Removal,
    /// The interest that the host has.
    watched: Interest,
    /// The interest that the host should have.
    wanted: Interest,
}

/// The progress of a removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Removal {
    #[default]
    No,
    /// The host should let go of the descriptor, and has not been asked yet.
    Wanted,
    /// The host was asked to let go. Until it does, it may still report readiness.
    Requested,
}

/// The next step for a registration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing.
    Same,
    /// The host should make this change.
    Change(Change),
    /// The host does not have it and will not get it: the descriptor may be closed.
    Free,
}

impl Registration {
    /// Sets what the descriptor should be watched for.
    #[inline]
    pub(crate) fn want(&mut self, interest: Interest, token: Token, changes: &mut Changes) {
        self.wanted = interest;
        if self.wanted != self.watched || !self.announced {
            self.list(token, changes);
        }
    }

    /// Begins a removal.
    pub(crate) fn remove(&mut self, token: Token, changes: &mut Changes) {
        if self.removal == Removal::No {
            self.removal = Removal::Wanted;
            self.list(token, changes);
        }
    }

    /// Notes that another host has taken over, which has no registrations.
    pub(crate) fn forget(&mut self, token: Token, changes: &mut Changes) {
        self.announced = false;
        self.watched = Interest::NONE;
        self.list(token, changes);
    }

    /// Notes that the host has reported readiness.
    #[inline]
    pub(crate) fn reported(&mut self, trigger: Trigger, token: Token, changes: &mut Changes) {
        if trigger == Trigger::OneShot && self.removal == Removal::No {
            self.watched = Interest::NONE;
            self.list(token, changes);
        }
    }

    /// Notes that the host has refused the registration.
    pub(crate) fn refused(&mut self) {
        self.announced = false;
    }

    /// Whether a removal has begun.
    pub(crate) fn is_removing(&self) -> bool {
        self.removal != Removal::No
    }

    fn list(&mut self, token: Token, changes: &mut Changes) {
        if !self.listed {
            self.listed = true;
            changes.push_back(token);
        }
    }

    /// The next step, once the registration has been taken off the list.
    pub(crate) fn next(&mut self, token: Token, fd: RawFd) -> Next {
        self.listed = false;
        let interest = self.wanted;
        match (self.announced, self.removal) {
            (false, Removal::Wanted | Removal::Requested) => return Next::Free,
            (true, Removal::Wanted) => {
                self.removal = Removal::Requested;
                return Next::Change(Change::Remove { token, fd });
            }
            (true, Removal::Requested) => return Next::Same,
            (true, Removal::No) if self.watched == interest => return Next::Same,
            (true, Removal::No) => {}
            (false, Removal::No) => {
                self.announced = true;
                self.watched = interest;
                return Next::Change(Change::Add { token, fd, interest });
            }
        }
        self.watched = interest;
        debug_assert!(self.announced && self.removal == Removal::No);
        Next::Change(Change::Modify { token, fd, interest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = Token::WAKER;

    fn next(registration: &mut Registration, changes: &mut Changes) -> Option<Next> {
        let token = changes.pop_front()?;
        assert_eq!(changes.pop_front(), None, "listed once");
        Some(registration.next(token, 7))
    }

    #[test]
    fn changes_of_one_turn_are_one_change() {
        let (mut registration, mut changes) = (Registration::default(), Changes::new());
        let (token, fd) = (TOKEN, 7);
        registration.want(Interest::READ, token, &mut changes);
        registration.want(Interest::BOTH, token, &mut changes);
        let add = Change::Add { token, fd, interest: Interest::BOTH };
        assert_eq!(next(&mut registration, &mut changes), Some(Next::Change(add)));
        registration.want(Interest::READ, token, &mut changes);
        registration.want(Interest::BOTH, token, &mut changes);
        assert_eq!(next(&mut registration, &mut changes), Some(Next::Same));
        registration.want(Interest::BOTH, token, &mut changes);
        assert_eq!(next(&mut registration, &mut changes), None);
        registration.want(Interest::WRITE, token, &mut changes);
        let modify = Change::Modify { token, fd, interest: Interest::WRITE };
        assert_eq!(next(&mut registration, &mut changes), Some(Next::Change(modify)));
        registration.want(Interest::READ, token, &mut changes);
        registration.remove(token, &mut changes);
        let remove = Change::Remove { token, fd };
        assert_eq!(next(&mut registration, &mut changes), Some(Next::Change(remove)));
    }

    #[test]
    fn what_the_host_never_had_is_free_at_once() {
        let (mut registration, mut changes) = (Registration::default(), Changes::new());
        registration.want(Interest::READ, TOKEN, &mut changes);
        registration.remove(TOKEN, &mut changes);
        assert_eq!(next(&mut registration, &mut changes), Some(Next::Free));
    }

    #[test]
    fn a_one_shot_host_gets_a_change_after_each_report() {
        let (mut registration, mut changes) = (Registration::default(), Changes::new());
        let (token, fd, interest) = (TOKEN, 7, Interest::READ);
        registration.want(interest, token, &mut changes);
        let add = Change::Add { token, fd, interest };
        assert_eq!(next(&mut registration, &mut changes), Some(Next::Change(add)));
        registration.reported(Trigger::Level, token, &mut changes);
        assert_eq!(next(&mut registration, &mut changes), None);
        registration.reported(Trigger::OneShot, token, &mut changes);
        let modify = Change::Modify { token, fd, interest };
        assert_eq!(next(&mut registration, &mut changes), Some(Next::Change(modify)));
    }

    #[test]
    fn a_host_is_asked_once_to_let_go_however_long_it_takes() {
        let (mut registration, mut changes) = (Registration::default(), Changes::new());
        registration.want(Interest::READ, TOKEN, &mut changes);
        assert!(matches!(next(&mut registration, &mut changes), Some(Next::Change(Change::Add { .. }))));
        registration.remove(TOKEN, &mut changes);
        assert!(matches!(next(&mut registration, &mut changes), Some(Next::Change(Change::Remove { .. }))));
        registration.remove(TOKEN, &mut changes);
        registration.reported(Trigger::OneShot, TOKEN, &mut changes);
        assert_eq!(next(&mut registration, &mut changes), None);
        registration.forget(TOKEN, &mut changes);
        assert_eq!(next(&mut registration, &mut changes), Some(Next::Free), "another host never had it");
    }
}
