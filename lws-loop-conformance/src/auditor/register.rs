//! The registrations of the service, checked against the rules of [`Change`].

use lws_loop_external::{Change, Interest, Service, Token, Trigger};
use rustix::fs::fstat;
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// One registered descriptor.
pub(super) struct Watched {
    fd: RawFd,
    pub(super) interest: Interest,
    /// For a one-shot host: whether nothing was reported since the last change.
    pub(super) armed: bool,
    /// The identity of the open file, as a descriptor number may be reused for another one.
    file: File,
    /// Whether the service has removed it, and the host has not let go yet.
    leaving: bool,
}

/// The identity of an open file: device and inode.
type File = (u64, u64);

pub(super) struct Register {
    trigger: Trigger,
    watched: HashMap<Token, Watched>,
    /// Tokens of the changes since `begin_flush`, as several changes of one descriptor must come as one.
    changed: HashSet<Token>,
    /// Tokens that have been released.
    gone: Vec<Token>,
    ever: HashSet<Token>,
}

fn file(descriptor: BorrowedFd<'_>) -> Option<File> {
    fstat(descriptor).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

impl Register {
    pub(super) fn new(trigger: Trigger) -> Self {
        Self {
            trigger,
            watched: HashMap::new(),
            changed: HashSet::new(),
            gone: Vec::new(),
            ever: HashSet::new(),
        }
    }

    /// Begins to count changes anew: calls in between may lead to more changes of the same descriptors.
    pub(super) fn begin_flush(&mut self) {
        self.changed.clear();
    }

    pub(super) fn apply(&mut self, service: &impl Service, change: Change) {
        let (Change::Add { token, .. } | Change::Modify { token, .. } | Change::Remove { token, .. }) =
            change;
        assert!(self.changed.insert(token), "{token:?} has two changes where one would do");
        match change {
            Change::Add { token, fd, interest } => self.add(service, token, fd, interest),
            Change::Modify { token, fd, interest } => self.modify(token, fd, interest),
            Change::Remove { token, fd } => {
                let Some(watched) = self.watched.get_mut(&token) else {
                    panic!("Remove of {token:?}, which was not added")
                };
                assert!(!watched.leaving, "Remove of {token:?}, twice");
                assert_eq!(watched.fd, fd, "Remove of {token:?} names another descriptor than its Add");
                watched.leaving = true;
            }
        }
    }

    fn add(&mut self, service: &impl Service, token: Token, fd: RawFd, interest: Interest) {
        assert!(!self.watched.contains_key(&token), "Add of {token:?}, which was added already");
        assert!(self.ever.insert(token), "{token:?} is the name of something else now");
        let taken = self.watched.iter().find(|(_, watched)| watched.fd == fd);
        assert!(taken.is_none(), "Add of descriptor {fd}, which {:?} has", taken.map(|(token, _)| token));
        let Some(descriptor) = service.descriptor(token) else { panic!("{token:?} has no descriptor") };
        assert_eq!(descriptor.as_raw_fd(), fd, "Add of {token:?} names another descriptor than the service");
        let Some(file) = file(descriptor) else { panic!("Add of descriptor {fd}, which is closed") };
        self.watched.insert(token, Watched { fd, interest, armed: true, file, leaving: false });
    }

    fn modify(&mut self, token: Token, fd: RawFd, interest: Interest) {
        assert_ne!(self.trigger, Trigger::Edge, "Modify of {token:?}, where an edge is added once");
        let Some(watched) = self.watched.get_mut(&token) else {
            panic!("Modify of {token:?}, which was not added")
        };
        assert!(!watched.leaving, "Modify of {token:?} after its Remove");
        assert_eq!(watched.fd, fd, "Modify of {token:?} names another descriptor than its Add");
        let changes = watched.interest != interest || self.trigger == Trigger::OneShot;
        assert!(changes, "Modify of {token:?} to the interest that it has");
        (watched.interest, watched.armed) = (interest, true);
    }

    pub(super) fn refused(&mut self, token: Token) {
        self.watched.remove(&token);
    }

    /// Checks that the descriptor is still open, and the same, before the host lets go of it.
    pub(super) fn before_release(&self, service: &impl Service, token: Token) {
        let Some(watched) = self.watched.get(&token) else { return };
        let descriptor = service.descriptor(token);
        let open = descriptor.as_ref().map(AsFd::as_fd).and_then(file);
        assert_eq!(open, Some(watched.file), "descriptor {} was closed before its host let go", watched.fd);
    }

    /// Checks that the service has closed the descriptor. Its number may have been reused by another thread
    /// already.
    pub(super) fn after_release(&mut self, service: &impl Service, token: Token) {
        self.watched.remove(&token);
        self.gone.push(token);
        assert!(service.descriptor(token).is_none(), "{token:?} has a descriptor after its host let go");
    }

    /// Notes a report: a one-shot host makes no further one until the next change.
    pub(super) fn reported(&mut self, token: Token) {
        if let Some(watched) = self.watched.get_mut(&token) {
            watched.armed = false;
        }
    }

    /// The descriptors to watch, with their interest.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (Token, Interest)> {
        let one_shot = self.trigger == Trigger::OneShot;
        let wanted = move |(token, watched): (&Token, &Watched)| {
            let listens = !watched.leaving && !watched.interest.is_empty() && (watched.armed || !one_shot);
            listens.then_some((*token, watched.interest))
        };
        self.watched.iter().filter_map(wanted)
    }

    pub(super) fn live(&self) -> Vec<Token> {
        let mut live: Vec<_> = self.watched.keys().copied().collect();
        // The iteration order of a map does not depend on the seed, so the result is sorted.
        live.sort_unstable();
        live
    }

    pub(super) fn gone(&self) -> &[Token] {
        &self.gone
    }
}
