//! How descriptors of a service come and go, by a service that has nothing else.

use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use lws_loop_uring::{ServiceId, UringLoop};
use lws_proto::Time;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Pipes to be watched, and what the host says about them.
#[derive(Default)]
struct Pipes {
    open: HashMap<Token, OwnedFd>,
    changes: VecDeque<Change>,
    /// Reports since a test has looked.
    ready: Vec<(Token, Readiness)>,
    removed: Vec<Token>,
    /// The writing end of a pipe whose reading end is going to be removed, and what writing there says right afterwards.
    probe: Option<OwnedFd>,
    probed: Vec<Result<usize, Errno>>,
    refused: Vec<(Token, Option<i32>)>,
    /// The limits of its turns, as the host has set them.
    limits: Vec<Option<Duration>>,
}

impl Service for Pipes {
    fn attach(&mut self, _: Trigger) {
        for (token, fd) in &self.open {
            let change = Change::Add { token: *token, fd: fd.as_raw_fd(), interest: Interest::READ };
            self.changes.push_back(change);
        }
    }

    fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.open.get(&token).map(AsFd::as_fd)
    }

    fn handle_ready(&mut self, _: Time, token: Token, ready: Readiness) {
        self.ready.push((token, ready));
    }

    fn removed(&mut self, token: Token) {
        self.removed.push(token);
        self.open.remove(&token);
        self.probed.extend(self.probe.as_ref().map(|writer| rustix::io::write(writer, b"a")));
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        self.refused.push((token, error.raw_os_error()));
    }

    fn settle(&mut self, _: Time) -> Wait {
        Wait::Forever
    }

    fn limit_turn(&mut self, time: Option<Duration>) {
        self.limits.push(time);
    }
}

impl Pipes {
    /// Opens a pipe, has its reading end watched, and returns the writing end.
    fn open(&mut self, token: Token, interest: Interest) -> OwnedFd {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
        self.changes.push_back(Change::Add { token, fd: reader.as_raw_fd(), interest });
        self.open.insert(token, reader);
        writer
    }

    fn modify(&mut self, token: Token, interest: Interest) {
        let fd = self.open[&token].as_raw_fd();
        self.changes.push_back(Change::Modify { token, fd, interest });
    }

    fn remove(&mut self, token: Token) {
        let fd = self.open[&token].as_raw_fd();
        self.changes.push_back(Change::Remove { token, fd });
    }
}

struct Hosted {
    uring_loop: UringLoop<Pipes>,
    id: ServiceId,
}

impl Hosted {
    fn new(completions: u32) -> Self {
        let completions = NonZeroU32::new(completions).expect("room for one");
        let mut uring_loop = UringLoop::with_completions(completions).expect("a ring");
        let id = uring_loop.add(Pipes::default()).expect("room");
        Self { uring_loop, id }
    }

    fn pipes(&mut self) -> &mut Pipes {
        self.uring_loop.service_mut(self.id).expect("the service")
    }

    /// Runs turns that do not sleep: several, as requests are handed over in one and their completions are fetched in the next.
    fn look(&mut self) {
        for _ in 0..4 {
            assert_eq!(self.uring_loop.dispatch().expect("a look"), None);
        }
    }

    /// The reports since the last call, after some turns.
    fn reports(&mut self) -> Vec<(Token, Readiness)> {
        self.look();
        std::mem::take(&mut self.pipes().ready)
    }
}

const FIRST: Token = Token::from_u64(1);
const SECOND: Token = Token::from_u64(1 << 28 | 1);

fn write(writer: &OwnedFd) {
    assert_eq!(rustix::io::write(writer, b"a"), Ok(1));
}

#[test]
fn readiness_is_reported_when_it_begins_and_after_each_change_of_interest() {
    let mut hosted = Hosted::new(64);
    let writer = hosted.pipes().open(FIRST, Interest::READ);
    assert_eq!(hosted.reports(), []);
    for _ in 0..3 {
        write(&writer);
        assert_eq!(hosted.reports(), [(FIRST, Readiness::READABLE)]);
        assert_eq!(hosted.reports(), [], "it is reported once");
    }
    hosted.pipes().modify(FIRST, Interest::NONE);
    hosted.look();
    write(&writer);
    assert_eq!(hosted.reports(), [], "it is not watched");
    hosted.pipes().modify(FIRST, Interest::READ);
    assert_eq!(hosted.reports(), [(FIRST, Readiness::READABLE)], "what came meanwhile is reported");
    drop(writer);
    assert_eq!(hosted.reports(), [(FIRST, Readiness::READABLE | Readiness::HANG_UP)]);
}

#[test]
fn a_descriptor_is_closed_in_the_kernel_when_the_service_is_informed_and_its_number_may_live_again() {
    let mut hosted = Hosted::new(64);
    let writer = hosted.pipes().open(FIRST, Interest::READ);
    hosted.look();
    let number = hosted.pipes().open[&FIRST].as_raw_fd();
    // A report is under way when the request is cancelled.
    write(&writer);
    hosted.pipes().remove(FIRST);
    hosted.pipes().probe = Some(writer);
    hosted.look();
    assert_eq!(hosted.pipes().removed, [FIRST]);
    // Another reference of the kernel to the reading end would keep this from failing.
    assert_eq!(hosted.pipes().probed, [Err(Errno::PIPE)]);
    hosted.pipes().probe = None;
    hosted.pipes().ready.clear();
    let mut others = Vec::new();
    let second = loop {
        let writer = hosted.pipes().open(SECOND, Interest::READ);
        if hosted.pipes().open[&SECOND].as_raw_fd() == number {
            break writer;
        }
        // The number went to the other end, or to another test.
        let pipes = hosted.pipes();
        pipes.changes.clear();
        others.push((writer, pipes.open.remove(&SECOND)));
        assert!(others.len() < 64, "the number is free");
    };
    assert_eq!(hosted.reports(), []);
    write(&second);
    assert_eq!(hosted.reports(), [(SECOND, Readiness::READABLE)]);
}

#[test]
fn a_descriptor_that_cannot_be_watched_is_refused_and_a_removal_that_is_asked_for_meanwhile_is_done() {
    let mut hosted = Hosted::new(64);
    let bad = |hosted: &mut Hosted, token| {
        let writer = hosted.pipes().open(token, Interest::READ);
        let pipes = hosted.pipes();
        pipes.changes.clear();
        // No process has a descriptor with this number.
        pipes.changes.push_back(Change::Add { token, fd: i32::MAX, interest: Interest::READ });
        writer
    };
    let _first = bad(&mut hosted, FIRST);
    hosted.look();
    assert_eq!(hosted.pipes().refused, [(FIRST, Some(Errno::BADF.raw_os_error()))]);
    let _second = bad(&mut hosted, SECOND);
    hosted.pipes().remove(SECOND);
    hosted.look();
    assert_eq!((hosted.pipes().refused.len(), &hosted.pipes().removed[..]), (1, &[SECOND][..]));
}

#[test]
fn more_reports_than_the_ring_has_room_for_all_arrive_and_go_on_arriving() {
    const COUNT: u64 = 200;
    let mut hosted = Hosted::new(4);
    let token = |n| Token::from_u64(n);
    let writers: Vec<_> = (0..COUNT).map(|n| hosted.pipes().open(token(n), Interest::READ)).collect();
    for round in 0..3 {
        writers.iter().for_each(write);
        let mut missing: Vec<_> = (0..COUNT).map(token).collect();
        for _ in 0..COUNT {
            let reported = hosted.reports();
            missing.retain(|token| !reported.iter().any(|(it, _)| it == token));
        }
        assert_eq!(missing, [], "round {round}");
    }
    for n in 0..COUNT {
        hosted.pipes().remove(token(n));
    }
    for _ in 0..COUNT {
        hosted.look();
    }
    assert_eq!(hosted.pipes().removed.len(), usize::try_from(COUNT).expect("few"));
    for writer in writers {
        assert_eq!(rustix::io::write(&writer, b"a"), Err(Errno::PIPE));
    }
}

#[test]
fn a_service_that_leaves_takes_nothing_of_the_others_along() {
    let mut hosted = Hosted::new(64);
    let (mut other, second) = (Pipes::default(), SECOND);
    let theirs = other.open(second, Interest::READ);
    let leaving = hosted.uring_loop.add(other).expect("room");
    let ours = hosted.pipes().open(FIRST, Interest::READ);
    hosted.look();
    // Both are reported while the other service leaves; one of its descriptors was to be removed anyway.
    let service = hosted.uring_loop.service_mut(leaving).expect("the service");
    let last = service.open(FIRST, Interest::READ);
    hosted.look();
    hosted.uring_loop.service_mut(leaving).expect("the service").remove(FIRST);
    write(&ours);
    write(&theirs);
    let mut other = hosted.uring_loop.remove(leaving).expect("the service");
    assert_eq!((&other.removed[..], other.refused.len()), (&[FIRST][..], 0));
    assert_eq!(rustix::io::write(&last, b"a"), Err(Errno::PIPE));
    assert_eq!(hosted.reports(), [(FIRST, Readiness::READABLE)]);
    // Where it went its descriptor is still open, and the ring has none of it.
    write(&theirs);
    assert_eq!(hosted.reports(), []);
    drop(other.open.remove(&second));
    assert_eq!(rustix::io::write(&theirs, b"a"), Err(Errno::PIPE));
}

#[test]
fn a_loop_that_is_dropped_closes_what_its_services_had() {
    let mut hosted = Hosted::new(64);
    let writer = hosted.pipes().open(FIRST, Interest::READ);
    hosted.look();
    drop(hosted);
    assert_eq!(rustix::io::write(&writer, b"a"), Err(Errno::PIPE));
}

#[test]
fn services_share_the_rest_of_a_frame_and_get_their_own_limits_back() {
    let mut hosted = Hosted::new(64);
    let other = hosted.uring_loop.add(Pipes::default()).expect("room");
    assert_eq!(hosted.uring_loop.dispatch_within(Duration::from_millis(4)).expect("a look"), None);
    let expected = [Some(Duration::from_millis(2)), None];
    assert_eq!(hosted.pipes().limits, expected);
    assert_eq!(hosted.uring_loop.service(other).expect("the service").limits, expected);
}

#[test]
fn a_turn_without_anything_to_do_sleeps_as_long_as_it_may() {
    let mut hosted = Hosted::new(64);
    let begin = hosted.uring_loop.now();
    assert_eq!(hosted.uring_loop.run_once(Some(Duration::from_millis(20))).expect("a turn"), None);
    assert!(hosted.uring_loop.now() - begin >= Duration::from_millis(20));
}
