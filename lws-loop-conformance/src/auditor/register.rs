//! What the service has told about its descriptors, held to the rules of [`Change`].

use lws_loop_external::{Change, Interest, Service, Token, Trigger};
use rustix::fs::fstat;
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// One descriptor that was announced.
pub(super) struct Watched {
    fd: RawFd,
    pub(super) interest: Interest,
    /// Of a one-shot host: nothing was reported since the last change.
    pub(super) armed: bool,
    /// Which open file it is: a number may live again as another.
    file: File,
    /// The service wants to be let go of it.
    leaving: bool,
}

/// What tells an open file from another.
type File = (u64, u64);

pub(super) struct Register {
    trigger: Trigger,
    watched: HashMap<Token, Watched>,
    /// Tokens of this flush: several changes of one descriptor come as one.
    told: HashSet<Token>,
    /// Tokens that have gone.
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
            told: HashSet::new(),
            gone: Vec::new(),
            ever: HashSet::new(),
        }
    }

    /// Calls in between may make more changes of the same descriptors.
    pub(super) fn begin_flush(&mut self) {
        self.told.clear();
    }

    pub(super) fn apply(&mut self, service: &impl Service, change: Change) {
        let (Change::Add { token, .. } | Change::Modify { token, .. } | Change::Remove { token, .. }) =
            change;
        assert!(self.told.insert(token), "{token:?} has two changes where one would do");
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

    /// The descriptor is open, and the same, until the host has let go of it.
    pub(super) fn before_release(&self, service: &impl Service, token: Token) {
        let Some(watched) = self.watched.get(&token) else { return };
        let descriptor = service.descriptor(token);
        let open = descriptor.as_ref().map(AsFd::as_fd).and_then(file);
        assert_eq!(open, Some(watched.file), "descriptor {} was closed before its host let go", watched.fd);
    }

    /// And then it is closed. Its number may live again already, in another thread.
    pub(super) fn after_release(&mut self, service: &impl Service, token: Token) {
        self.watched.remove(&token);
        self.gone.push(token);
        assert!(service.descriptor(token).is_none(), "{token:?} has a descriptor after its host let go");
    }

    /// One-shot: it is not reported again until the next change.
    pub(super) fn reported(&mut self, token: Token) {
        if let Some(watched) = self.watched.get_mut(&token) {
            watched.armed = false;
        }
    }

    /// What is to be watched now, and for what.
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
        // The order of a map is of no seed.
        live.sort_unstable();
        live
    }

    pub(super) fn gone(&self) -> &[Token] {
        &self.gone
    }
}
