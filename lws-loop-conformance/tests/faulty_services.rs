//! Checks that the auditor detects a service that breaks a rule.

use lws_loop_conformance::{Auditor, Host};
use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The fault of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    SleepsOnWork,
    SleepsOnAChange,
    SleepsPastADeadline,
    WorksForEver,
    AddsTwice,
    AddsTheSameDescriptor,
    ModifiesTheUnknown,
    ModifiesForNothing,
    RemovesTwice,
    ClosesBeforeTheHostLetGo,
    KeepsWhatTheHostLetGo,
    TellsTwiceWhatWouldDoOnce,
}

/// A service with one descriptor, which it removes in its third turn.
struct Faulty {
    fault: Fault,
    descriptor: Option<UnixStream>,
    other: UnixStream,
    changes: VecDeque<Change>,
    settled: u32,
    removed: bool,
}

const TOKEN: Token = Token::from_u64(1);
const OTHER: Token = Token::from_u64(2);

impl Faulty {
    fn new(fault: Fault) -> Self {
        let (descriptor, other) = UnixStream::pair().expect("a pair");
        let changes = VecDeque::new();
        Self { fault, descriptor: Some(descriptor), other, changes, settled: 0, removed: false }
    }

    fn fd(&self) -> i32 {
        self.descriptor.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn first_turn(&mut self) {
        let (fd, interest, token) = (self.fd(), Interest::READ, TOKEN);
        self.changes.push_back(Change::Add { token, fd, interest });
        let more = match self.fault {
            Fault::AddsTheSameDescriptor => Change::Add { token: OTHER, fd, interest },
            Fault::ModifiesTheUnknown => Change::Modify { token: OTHER, fd, interest },
            Fault::TellsTwiceWhatWouldDoOnce => Change::Modify { token, fd, interest: Interest::BOTH },
            _ => return,
        };
        self.changes.push_back(more);
    }

    fn second_turn(&mut self) {
        let (fd, interest, token) = (self.fd(), Interest::READ, TOKEN);
        match self.fault {
            Fault::AddsTwice => self.changes.push_back(Change::Add { token, fd, interest }),
            Fault::ModifiesForNothing => self.changes.push_back(Change::Modify { token, fd, interest }),
            Fault::SleepsOnAChange => {
                self.changes.push_back(Change::Modify { token, fd, interest: Interest::BOTH });
            }
            _ => {}
        }
    }

    fn third_turn(&mut self) {
        self.changes.push_back(Change::Remove { token: TOKEN, fd: self.fd() });
    }
}

impl Service for Faulty {
    fn attach(&mut self, _: Trigger) {}

    fn poll_change(&mut self) -> Option<Change> {
        let change = self.changes.pop_front();
        if self.fault == Fault::ClosesBeforeTheHostLetGo && matches!(change, Some(Change::Remove { .. })) {
            self.descriptor = None;
        }
        change
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        match token {
            TOKEN => self.descriptor.as_ref().map(AsFd::as_fd),
            OTHER if self.fault == Fault::AddsTheSameDescriptor => self.descriptor.as_ref().map(AsFd::as_fd),
            OTHER => Some(self.other.as_fd()),
            _ => None,
        }
    }

    fn handle_ready(&mut self, _: Time, _: Token, _: Readiness) {}

    fn removed(&mut self, _: Token) {
        self.removed = true;
        if self.fault != Fault::KeepsWhatTheHostLetGo {
            self.descriptor = None;
        }
    }

    fn refused(&mut self, _: Token, _: io::Error) {}

    fn settle(&mut self, now: Time) -> Wait {
        self.settled += 1;
        match self.settled {
            1 => self.first_turn(),
            2 => self.second_turn(),
            3 => self.third_turn(),
            4 if self.fault == Fault::RemovesTwice => self.third_turn(),
            _ => {}
        }
        match (self.fault, self.settled) {
            // The second `settle` comes from the audit, after the service has reported that nothing is left to do.
            (Fault::SleepsOnWork, 1) => Wait::Until(now + std::time::Duration::from_secs(1)),
            (Fault::SleepsOnAChange, 1 | 2) => Wait::Forever,
            (Fault::SleepsPastADeadline, _) => Wait::Until(now),
            (Fault::WorksForEver, _) => Wait::Now,
            _ => Wait::Now,
        }
    }

    fn is_done(&self) -> bool {
        self.removed && self.fault != Fault::WorksForEver
    }
}

/// The failure that the auditor finds in a service.
fn verdict(fault: Fault, trigger: Trigger) -> Option<String> {
    let host = || drop(Auditor::new(trigger, 1).host(Faulty::new(fault)));
    let panic = catch_unwind(AssertUnwindSafe(host)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
}

#[test]
fn every_fault_of_a_service_is_named() {
    for (fault, sentence) in [
        (Fault::SleepsOnWork, "there was more to do"),
        (Fault::SleepsPastADeadline, "a moment that has passed"),
        (Fault::WorksForEver, "always has more to do"),
        (Fault::AddsTwice, "was added already"),
        (Fault::AddsTheSameDescriptor, "has"),
        (Fault::ModifiesTheUnknown, "was not added"),
        (Fault::ModifiesForNothing, "the interest that it has"),
        (Fault::RemovesTwice, "Remove of"),
        (Fault::ClosesBeforeTheHostLetGo, "closed before its host let go"),
        (Fault::KeepsWhatTheHostLetGo, "after its host let go"),
        (Fault::TellsTwiceWhatWouldDoOnce, "two changes where one would do"),
    ] {
        let verdict = verdict(fault, Trigger::Level).unwrap_or_default();
        assert!(verdict.contains(sentence), "{fault:?}: {verdict:?}");
    }
}

#[test]
fn a_change_that_is_pending_in_a_sleep_is_named() {
    // It has no change in its first turns, and makes one during the audit.
    let verdict = verdict(Fault::SleepsOnAChange, Trigger::Level).unwrap_or_default();
    assert!(verdict.contains("a change was pending"), "{verdict:?}");
}

#[test]
fn an_edge_is_never_modified() {
    let verdict = verdict(Fault::ModifiesForNothing, Trigger::Edge).unwrap_or_default();
    assert!(verdict.contains("an edge is added once"), "{verdict:?}");
}

#[test]
fn a_service_without_fault_passes() {
    for trigger in [Trigger::Level, Trigger::Edge, Trigger::OneShot] {
        assert_eq!(verdict(Fault::None, trigger), None, "{trigger:?}");
    }
}
