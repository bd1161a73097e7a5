//! The loops of C pass the suite that every loop passes: each scenario's service is behind the functions that a program in C calls, on each
//! level that `lwx.h` offers.
//!
//! | module | what the program calls |
//! |---|---|
//! | `lwx_dispatch` | `lwx_service_fd`, `_timeout_ms`, `_dispatch` |
//! | `lwx_frames` | `lwx_service_fd`, `_deadline`, `_dispatch_within`, as a program that draws |
//! | `lwx_pollfd` | `lwx_service_set_host`, `_pollfd`, on an array of poll(2) |
//! | `lwx_ready` | `lwx_service_set_host`, `_ready`, with tokens |
//! | `lwx_run` | `lwx_service_run` |
//! | `lwx_uv` | `lwx_service_attach_uv`, `_detach_uv` |
//!
//! Two things cannot be asked through C, and each host says so to the suite with its reason. A handler can run neither `lwx_service_run` nor
//! libuv's loop again: in `a_loop_inside_a_handler_sleeps_and_goes_on_after_it` they refuse. And in a child by fork(2) a loop of libuv is to be
//! forgotten: `a_child_by_fork_leaves_what_its_parent_serves` abandons the service there.

use lws_loop_conformance::{Host, InChild, Nesting, Reentry};
use lws_loop_external::hosts::{PollFd, poll};
use lws_loop_external::{Interest, Readiness, Service};
use lws_loop_uv::{Outcome, UvLoop};
use lwx::conformance::Guest;
use lwx::error::Error;
use lwx::service::handlers::Handler;
use lwx::service::host::*;
use lwx::service::plan::{lwx_listen, lwx_route};
use lwx::service::streams::lwx_respond;
use lwx::service::{
    Service as LwxService, ServiceStats, lwx_now_us, lwx_service_address, lwx_service_drain,
    lwx_service_free, lwx_service_get_stats, lwx_service_new, lwx_service_start,
};
use lwx::sys::{Counted, In, InOut, Out, Ref, User, lend_uv, zeroed};
use lwx::types::Key;
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

/// What `lwx.h` calls `LWX_READ` and so on.
const READ: u32 = 1;
const WRITE: u32 = 2;
const HANG_UP: u32 = 4;
const ERROR: u32 = 8;

const OK: i32 = 0;
const RECURSIVE: i32 = Error::Recursive as i32;

/// What a call answered that has to be good.
fn good(code: i32) -> i32 {
    assert!(code >= OK, "code {code}");
    code
}

/// Waits as a program does, which a signal may wake with nothing.
fn wait(fds: &mut [PollFd], timeout: Option<Duration>) {
    if let Err(error) = poll(fds, timeout) {
        assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{error}");
    }
}

/// What a program has of its service and of its array, for handlers that wait inside a callback, as a dialog does.
#[derive(Clone, Default)]
struct Program(Rc<State>);

#[derive(Default)]
struct State {
    guest: RefCell<Option<Rc<Guest>>>,
    /// What the program watches. With one descriptor it is that one, whose token is zero.
    watched: RefCell<Vec<Watched>>,
    /// The program leaves the service out of its array, because a callback waits inside itself.
    paused: Cell<bool>,
}

struct Watched {
    fd: PollFd,
    token: u64,
}

impl Program {
    /// Has a service for as long as `serve` runs, and gives it back.
    fn host<S: Service + 'static>(&self, service: S, serve: impl FnOnce(&Self, Ref<'_, LwxService>)) -> S {
        let guest = Rc::new(Guest::new(service).expect("two descriptors"));
        self.0.guest.replace(Some(Rc::clone(&guest)));
        serve(self, guest.lend());
        self.0.guest.take();
        let guest = Rc::into_inner(guest).expect("the only handle");
        let service: S = guest.take().expect("the service that was brought");
        // In a child the array is a copy, which nothing waits for: the removals belong to the parent.
        assert!(self.0.watched.borrow().is_empty() || service.is_forked(), "descriptors are still watched");
        self.0.watched.take();
        service
    }

    /// Waits for what is watched, and answers what is ready: of each entry its place in the array.
    fn wait(&self, timeout: Option<Duration>) -> Vec<usize> {
        let mut watched = self.0.watched.borrow_mut();
        let mut fds: Vec<_> = watched.iter().map(|entry| entry.fd).collect();
        if self.0.paused.get() {
            fds.clear();
        }
        wait(&mut fds, timeout);
        let mut ready = Vec::new();
        for (place, fd) in fds.iter().enumerate().filter(|(_, fd)| fd.revents != 0) {
            watched[place].fd.revents = fd.revents;
            ready.push(place);
        }
        ready
    }

    fn entry(&self, place: usize) -> (PollFd, u64) {
        let watched = &self.0.watched.borrow()[place];
        (watched.fd, watched.token)
    }

    /// The program's loop inside a callback: it waits as always, finds that it cannot serve, and leaves the service out until it is back.
    fn runs_again(&self) -> Nesting {
        let program = self.clone();
        Nesting::Runs(Box::new(move |time| {
            let ready = program.wait(Some(time));
            let guest = program.0.guest.borrow().clone();
            let Some(guest) = guest else { return Reentry::Refused };
            let refuses = |code: i32| code == RECURSIVE;
            let mut refused = refuses(lwx_service_dispatch(guest.lend()))
                && refuses(lwx_service_dispatch_within(guest.lend(), 1_000))
                && refuses(lwx_service_run(guest.lend()))
                && refuses(lwx_service_set_host(guest.lend(), In::null()))
                // It has no code to answer with: a program finds out with its next dispatch.
                && lwx_service_timeout_ms(guest.lend()) == 0;
            for place in ready {
                let (mut fd, token) = program.entry(place);
                refused &= refuses(lwx_service_ready(guest.lend(), token, READ))
                    && refuses(lwx_service_pollfd(guest.lend(), InOut::from(&mut fd)));
                program.0.paused.set(true);
            }
            if refused { Reentry::Ran } else { Reentry::Entered }
        }))
    }
}

/// One descriptor.
struct Dispatch(Program);

impl Host for Dispatch {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        self.0.host(service, |program, it| {
            program.watch_one(it);
            while good(lwx_service_dispatch(it)) != 0 {
                program.0.paused.set(false);
                let timeout = u64::try_from(lwx_service_timeout_ms(it)).ok();
                program.wait(timeout.map(Duration::from_millis));
            }
            program.0.watched.take();
        })
    }

    fn nesting(&mut self) -> Nesting {
        self.0.runs_again()
    }
}

impl Program {
    fn watch_one(&self, it: Ref<'_, LwxService>) {
        let fd = PollFd::new(good(lwx_service_fd(it)), Interest::READ);
        self.0.watched.replace(vec![Watched { fd, token: 0 }]);
    }
}

/// One descriptor in a program that draws: it gives what is left of a frame, and heeds nothing but readiness and the deadline.
struct Frames(Program);

/// What is left of a frame.
const LEFT_US: u64 = 200;

impl Host for Frames {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        self.0.host(service, |program, it| {
            program.watch_one(it);
            let mut due = true;
            let mut deadline = 0;
            loop {
                if due && good(lwx_service_dispatch_within(it, LEFT_US)) == 0 {
                    break;
                }
                program.0.paused.set(false);
                good(lwx_service_deadline(it, Out::from(&mut deadline)));
                let left = deadline.saturating_sub(lwx_now_us());
                let timeout = (deadline != u64::MAX).then(|| Duration::from_micros(left));
                due = !program.wait(timeout).is_empty() || deadline <= lwx_now_us();
            }
            program.0.watched.take();
        })
    }

    fn nesting(&mut self) -> Nesting {
        self.0.runs_again()
    }
}

thread_local! {
    /// The program whose array the callbacks of `lwx_host` keep. Each scenario has a thread of its own.
    static PROGRAM: RefCell<Program> = RefCell::default();
}

/// An entry of poll(2). One without any interest is left out, as poll(2) does with negative descriptors.
fn entry(fd: RawFd, events: u32) -> PollFd {
    let interest = Interest::READ.when(events & READ != 0) | Interest::WRITE.when(events & WRITE != 0);
    let shown = PollFd::new(fd, interest);
    if events == 0 { PollFd { fd: -fd - 1, ..shown } } else { shown }
}

extern "C" fn add(_: User, fd: i32, token: u64, events: u32) -> i32 {
    PROGRAM.with_borrow(|Program(state)| {
        state.watched.borrow_mut().push(Watched { fd: entry(fd, events), token });
    });
    OK
}

extern "C" fn modify(_: User, fd: i32, token: u64, events: u32) -> i32 {
    let found = PROGRAM.with_borrow(|Program(state)| {
        let mut watched = state.watched.borrow_mut();
        watched.iter_mut().find(|entry| entry.token == token).map(|found| found.fd = entry(fd, events))
    });
    if found.is_some() { OK } else { -1 }
}

extern "C" fn remove(_: User, _: i32, token: u64) {
    PROGRAM.with_borrow(|Program(state)| state.watched.borrow_mut().retain(|entry| entry.token != token));
}

/// Each descriptor, in an array of the program's, and `say` says of an entry that it is ready.
struct Each {
    program: Program,
    say: fn(Ref<'_, LwxService>, PollFd, u64),
}

impl Each {
    fn new(say: fn(Ref<'_, LwxService>, PollFd, u64)) -> Self {
        let program = Program::default();
        PROGRAM.set(program.clone());
        Self { program, say }
    }
}

impl Host for Each {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let callbacks = HostCallbacks {
            size: size_of::<HostCallbacks>(),
            add: Some(add),
            modify: Some(modify),
            remove: Some(remove),
            user: User::NULL,
        };
        let say = self.say;
        self.program.host(service, |program, it| {
            good(lwx_service_set_host(it, In::from(&callbacks)));
            while good(lwx_service_dispatch(it)) != 0 {
                program.0.paused.set(false);
                let timeout = u64::try_from(lwx_service_timeout_ms(it)).ok();
                for place in program.wait(timeout.map(Duration::from_millis)) {
                    let (fd, token) = program.entry(place);
                    say(it, fd, token);
                }
            }
        })
    }

    fn nesting(&mut self) -> Nesting {
        self.program.runs_again()
    }
}

/// As a program does that has more in its array than the service's entries.
fn by_entry(it: Ref<'_, LwxService>, mut fd: PollFd, _: u64) {
    let mut other = PollFd { fd: RawFd::MAX, ..fd };
    assert_eq!(good(lwx_service_pollfd(it, InOut::from(&mut other))), 0, "no descriptor of the service");
    assert_ne!(other.revents, 0);
    assert_eq!(good(lwx_service_pollfd(it, InOut::from(&mut fd))), 1, "a descriptor of the service");
    assert_eq!(fd.revents, 0);
}

fn by_token(it: Ref<'_, LwxService>, fd: PollFd, token: u64) {
    let ready = fd.readiness();
    let flags = [
        (Readiness::READABLE, READ),
        (Readiness::WRITABLE, WRITE),
        (Readiness::HANG_UP, HANG_UP),
        (Readiness::ERROR, ERROR),
    ];
    let events =
        flags.into_iter().filter(|(flag, _)| ready.contains(*flag)).fold(0, |all, (_, event)| all | event);
    good(lwx_service_ready(it, token, events));
}

/// No loop of the program's.
struct Run(Program);

impl Host for Run {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        self.0.host(service, |_, it| {
            assert_eq!(lwx_service_run(it), OK);
        })
    }

    fn nesting(&mut self) -> Nesting {
        let Program(state) = self.0.clone();
        Nesting::Runs(Box::new(move |_| {
            let guest = state.guest.borrow().clone();
            match guest.map(|guest| lwx_service_run(guest.lend())) {
                Some(RECURSIVE) | None => Reentry::Refused,
                Some(_) => Reentry::Entered,
            }
        }))
    }
}

/// A loop of libuv that the program owns.
struct Uv {
    uv_loop: UvLoop,
    program: Program,
}

thread_local! {
    static DETACHED: Cell<bool> = const { Cell::new(false) };
}

extern "C" fn detached(_: Ref<'_, LwxService>, _: User) {
    DETACHED.set(true);
}

impl Host for Uv {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let Self { uv_loop, program } = self;
        program.host(service, |Program(state), it| {
            good(lwx_service_attach_uv(it, lend_uv(uv_loop)));
            // A turn at a time, with a timer of the program's: services of the suite leave while they still have something to wait for, and
            // wait for other threads alone, for which libuv runs no loop.
            while !state.guest.borrow().as_ref().is_some_and(|guest| guest.is_done()) {
                uv_loop.run_once(Some(Duration::from_secs(1))).expect("no run inside a handler");
            }
            DETACHED.set(false);
            good(lwx_service_detach_uv(it, Some(detached), User::NULL));
            assert!(!DETACHED.get(), "libuv lets go in a turn of its loop");
            assert_eq!(uv_loop.run(), Ok(Outcome::Done));
            assert!(DETACHED.get(), "libuv has let go");
        })
    }

    fn nesting(&mut self) -> Nesting {
        let Program(state) = self.program.clone();
        // libuv's loop does not run inside itself, and the service cannot be called meanwhile.
        Nesting::Runs(Box::new(move |_| {
            let guest = state.guest.borrow().clone();
            let mut stats = ServiceStats { size: size_of::<ServiceStats>(), ..zeroed() };
            match guest.map(|guest| lwx_service_get_stats(guest.lend(), Out::from(&mut stats))) {
                Some(RECURSIVE) | None => Reentry::Refused,
                Some(_) => Reentry::Entered,
            }
        }))
    }

    fn in_child(&self) -> InChild {
        InChild::IsForgotten(
            "libuv deregisters descriptors from an epoll that is the parent's too, and a child may not touch a loop before uv_loop_fork",
        )
    }
}

extern "C" fn takes_the_host(service: Ref<'_, LwxService>, key: Key, _: u32, _: User) {
    let codes = [
        lwx_service_detach_uv(service, None, User::NULL),
        lwx_service_set_host(service, In::null()),
        lwx_service_run(service),
        lwx_service_dispatch(service),
    ];
    let refused = codes == [RECURSIVE; 4];
    let status = if refused { 204 } else { 500 };
    good(lwx_respond(service, key, status, In::null(), 0, In::null(), 0, 1));
    good(lwx_service_drain(service));
}

#[test]
fn a_callback_in_a_loop_of_libuv_cannot_take_the_service_from_it() {
    let mut service = Counted::null();
    good(lwx_service_new(In::null(), Out::from(&mut service)));
    let it = service.lend();
    let handler = Handler { size: size_of::<Handler<'_>>(), request: Some(takes_the_host), ..zeroed() };
    good(lwx_listen(it, In::c_text(c"127.0.0.1:0"), In::null(), Out::null()));
    good(lwx_route(it, 0, In::c_text(c"/"), In::from(&handler)));
    good(lwx_service_start(it));
    let mut address = [0; 64];
    good(lwx_service_address(it, 0, Out::start(&mut address), 64));
    let end = address.iter().position(|byte| *byte == 0).expect("its end");
    let address = std::str::from_utf8(&address[..end]).expect("text");
    let mut peer = TcpStream::connect(address).expect("a connection");
    peer.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
    let mut uv_loop = UvLoop::new().expect("a loop");
    good(lwx_service_attach_uv(it, lend_uv(&uv_loop)));
    assert_eq!(uv_loop.run(), Ok(Outcome::Done));
    let mut answer = String::new();
    peer.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    lwx_service_free(service);
    assert_eq!(uv_loop.run(), Ok(Outcome::Done));
}

mod lwx_dispatch {
    lws_loop_conformance::suite!(super::Dispatch(super::Program::default()));
}

mod lwx_frames {
    lws_loop_conformance::suite!(super::Frames(super::Program::default()));
}

mod lwx_pollfd {
    lws_loop_conformance::suite!(super::Each::new(super::by_entry));
}

mod lwx_ready {
    lws_loop_conformance::suite!(super::Each::new(super::by_token));
}

mod lwx_run {
    lws_loop_conformance::suite!(super::Run(super::Program::default()));
}

mod lwx_uv {
    lws_loop_conformance::suite!(super::Uv {
        uv_loop: super::UvLoop::new().expect("a loop"),
        program: super::Program::default(),
    });
}
