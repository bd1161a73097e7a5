//! Services on libuv: what is reported to them, when the loop ends, and what remains after they are
//! detached.

use crate::support::sys::Program;
use crate::support::{
    Call, Echo, PATIENCE, Probe, What, connect, driver, listen, listening, peer, run_until,
};
use lws_loop_external::{Driver, Interest, Readiness, Wait};
use lws_loop_uv::{Attached, Busy, Liveness, LoopRef, Outcome, UvLoop};
use lws_proto::Time;
use rustix::event::{EventfdFlags, eventfd};
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

type Server = Attached<Driver<Echo>>;

/// A value that is made after the handler that uses it.
type Later<T> = Rc<RefCell<Option<T>>>;

fn later<T>() -> Later<T> {
    Rc::default()
}

fn counter() -> Rc<Cell<usize>> {
    Rc::default()
}

fn bump(counter: &Cell<usize>) {
    counter.set(counter.get() + 1);
}

/// A descriptor that is readable, and has no other readiness.
fn readable() -> OwnedFd {
    eventfd(1, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("a descriptor")
}

/// A descriptor that is never readable.
fn silent() -> OwnedFd {
    eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("a descriptor")
}

/// The readiness of such a descriptor, exactly.
const READABLE: Readiness = Readiness::READABLE;

// What is reported.

#[test]
fn bytes_of_many_peers_come_back() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let closed = counter();
    let count = Rc::clone(&closed);
    let (driver, address) = listening(move |what, _| {
        if what == What::Closed {
            bump(&count);
        }
    });
    let attached = uv_loop.attach(driver).expect("attached");
    let peers: Vec<_> = (0..16).map(|_| peer(address, 20, 5_000)).collect();
    let large = peer(address, 2, 8 << 20);
    run_until(&mut uv_loop, || closed.get() == 17);
    peers.into_iter().chain([large]).for_each(|peer| peer.join().expect("no panic"));
    let stats = attached.with(|driver| driver.stats().clone()).expect("not in a call");
    assert_eq!((stats.accepted_total, stats.connections), (17, 0));
}

#[test]
fn readiness_is_reported_as_long_as_it_lasts_and_interest_is_followed() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let mut probe = Probe::default();
    let token = probe.add(1, readable(), Interest::READ);
    let attached = uv_loop.attach(probe).expect("attached");
    let was_reported = |attached: &Attached<Probe>| {
        attached
            .with(|probe| std::mem::take(&mut probe.log))
            .expect("not in a call")
            .contains(&Call::Ready(token, READABLE))
    };
    for _ in 0..3 {
        uv_loop.dispatch().expect("a turn");
        assert!(was_reported(&attached));
    }
    attached.with(|probe| probe.modify(token, Interest::NONE)).expect("not in a call");
    uv_loop.dispatch().expect("a turn");
    assert!(!was_reported(&attached));
    attached.with(|probe| probe.modify(token, Interest::READ)).expect("not in a call");
    uv_loop.dispatch().expect("a turn");
    assert!(was_reported(&attached));
}

#[test]
fn the_end_of_a_peer_and_room_for_output_are_reported() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let mut probe = Probe::default();
    let token = probe.add(1, ours.into(), Interest::BOTH);
    let attached = uv_loop.attach(probe).expect("attached");
    uv_loop.dispatch().expect("a turn");
    theirs.shutdown(Shutdown::Write).expect("it is open");
    uv_loop.dispatch().expect("a turn");
    let calls = attached.with(|probe| probe.calls()).expect("not in a call");
    let end = Readiness::READABLE | Readiness::WRITABLE | Readiness::HANG_UP;
    assert_eq!(calls, [Call::Attach, Call::Ready(token, Readiness::WRITABLE), Call::Ready(token, end)]);
}

#[test]
fn an_error_is_reported_as_everything_and_again_as_long_as_the_service_wants_it() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    drop(reader);
    let mut probe = Probe::default();
    let token = probe.add(1, writer, Interest::WRITE);
    let attached = uv_loop.attach(probe).expect("attached");
    // libuv itself stops to watch after the first report.
    uv_loop.dispatch().expect("a turn");
    uv_loop.dispatch().expect("a turn");
    let calls = attached.with(|probe| probe.calls()).expect("not in a call");
    let all = Readiness::READABLE | Readiness::WRITABLE | Readiness::HANG_UP | Readiness::ERROR;
    assert_eq!(calls, [Call::Attach, Call::Ready(token, all), Call::Ready(token, all)]);
}

#[test]
fn a_refused_connect_is_reported_and_a_peer_that_resets_ends_its_connection_only() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let seen: Rc<RefCell<Vec<String>>> = Rc::default();
    let note = Rc::clone(&seen);
    let (mut driver, address) = listening(move |what, _| {
        if matches!(what, What::ConnectFailed(_) | What::Closed) {
            note.borrow_mut().push(format!("{what:?}"));
        }
    });
    let unused = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    connect(&mut driver, uv_loop.now(), unused);
    let attached = uv_loop.attach(driver).expect("attached");
    run_until(&mut uv_loop, || !seen.borrow().is_empty());
    assert_eq!(*seen.borrow(), ["ConnectFailed(ConnectionRefused)"]);

    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"abc").expect("it is taken");
    run_until(&mut uv_loop, || {
        attached.with(|driver| driver.stats().received_bytes_total).expect("free") == 3
    });
    // The echo is not read, so closing resets the connection.
    drop(stream);
    run_until(&mut uv_loop, || seen.borrow().len() == 2);
    let survivor = peer(address, 1, 10);
    run_until(&mut uv_loop, || seen.borrow().len() == 3);
    survivor.join().expect("no panic");
}

#[test]
fn what_cannot_be_watched_is_refused_and_nothing_else() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let mut probe = Probe::default();
    let file = std::fs::File::open("/proc/self/exe").expect("a file");
    let refused = probe.add(1, file.into(), Interest::READ);
    let token = probe.add(2, readable(), Interest::READ);
    let attached = uv_loop.attach(probe).expect("attached");
    uv_loop.dispatch().expect("a turn");
    let calls = attached.with(|probe| probe.calls()).expect("not in a call");
    assert_eq!(
        calls,
        [Call::Attach, Call::Refused(refused, io::ErrorKind::PermissionDenied), Call::Ready(token, READABLE)]
    );
}

// Before the loop sleeps.

#[test]
fn work_that_no_descriptor_announces_keeps_the_loop_from_sleeping() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let mut probe = Probe { wait: Some(Wait::Now), ..Probe::default() };
    probe.add(1, silent(), Interest::READ);
    let attached = uv_loop.attach(probe).expect("attached");
    let begin = Instant::now();
    for _ in 0..1_000 {
        uv_loop.run_once(None).expect("a turn");
    }
    let settled = attached.with(|probe| probe.settled()).expect("not in a call");
    assert!(settled >= 1_000, "{settled} turns");
    assert!(begin.elapsed() < PATIENCE);
}

#[test]
fn services_of_one_loop_share_the_time_of_a_dispatch() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let services = [0; 2].map(|_| uv_loop.attach(Probe::default()).expect("attached"));
    uv_loop.dispatch_within(Duration::from_millis(4)).expect("no service is in a call");
    uv_loop.dispatch().expect("no service is in a call");
    for service in &services {
        let limits = service.with(|probe| probe.limits.clone()).expect("not in a call");
        assert_eq!(limits, [Some(Duration::from_millis(2)), None], "and not after it");
    }
}

#[test]
fn a_timer_set_from_outside_is_noticed_and_never_early() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let fired: Rc<Cell<Option<Time>>> = Rc::default();
    let note = Rc::clone(&fired);
    let timer = driver(move |what, cx| {
        if what == What::Timer {
            note.set(Some(cx.now()));
        }
    });
    let attached = uv_loop.attach(timer).expect("attached");
    // The cached time of a loop is that of the start of its turn.
    thread::sleep(Duration::from_millis(30));
    for micros in [1, 999, 5_300, 20_000] {
        fired.set(None);
        let set = |driver: &mut Driver<Echo>| {
            driver.with(uv_loop.now(), |_, cx| {
                let due = cx.now() + Duration::from_micros(micros);
                cx.set_timer(Some(due));
                due
            })
        };
        let due = attached.with(set).expect("not in a call");
        // Only the timer keeps the loop running.
        assert_eq!(uv_loop.run(), Ok(Outcome::Done));
        let at = fired.get().expect("it went off");
        assert!(at >= due && at - due < PATIENCE, "{at:?}, and not {due:?}");
    }
}

/// A wait until a time that has passed.
#[test]
fn a_moment_that_has_passed_does_not_hold_up_the_loop() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let past = Some(Wait::Until(Time::from_micros(1)));
    let attached = uv_loop.attach(Probe { wait: past, ..Probe::default() }).expect("attached");
    for _ in 0..3 {
        assert_eq!(uv_loop.run_once(None), Ok(None));
    }
    assert!(attached.with(|probe| probe.settled()).expect("not in a call") >= 3);
}

#[test]
fn a_message_from_another_thread_ends_the_sleep() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let at = LoopRef::clone(&uv_loop);
    let attached = uv_loop
        .attach(driver(move |what, _| {
            if what == What::Message(7) {
                at.stop();
            }
        }))
        .expect("attached");
    attached.set_liveness(Liveness::UntilDone);
    let handle = attached.with(|driver| driver.handle()).expect("not in a call");
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        handle.send(7).expect("room");
    });
    assert_eq!(uv_loop.run(), Ok(Outcome::Stopped));
    sender.join().expect("no panic");
}

#[test]
fn the_host_goes_on_while_a_service_is_busy() {
    let program = Rc::new(Program::new());
    let (ticks, closed) = (counter(), counter());
    let count = Rc::clone(&closed);
    let (driver, address) = listening(move |what, _| {
        if what == What::Closed {
            bump(&count);
        }
    });
    let attached = program.reference().attach(driver).expect("attached");
    let (timer_ticks, timer_closed) = (Rc::clone(&ticks), Rc::clone(&closed));
    let stopper = Rc::clone(&program);
    program.every(1, move || {
        bump(&timer_ticks);
        let goes_on = timer_closed.get() < 4;
        if !goes_on {
            stopper.reference().stop();
        }
        goes_on
    });
    let peers: Vec<_> = (0..4).map(|_| peer(address, 8, 4 << 20)).collect();
    assert!(program.run());
    peers.into_iter().for_each(|peer| peer.join().expect("no panic"));
    assert!(ticks.get() >= 5, "{} ticks", ticks.get());
    drop(attached);
    program.turn();
    assert_eq!(program.handles(), 0);
    assert_eq!(Rc::into_inner(program).expect("the only one").close(), 0);
}

#[test]
fn a_host_that_sleeps_elsewhere_finds_everything_settled_after_its_turn() {
    let program = Program::new();
    let (probe_end, mut other_end) = UnixStream::pair().expect("a pair");
    let mut probe = Probe::default();
    let token = probe.add(1, probe_end.into(), Interest::READ);
    let attached = program.reference().attach(probe).expect("attached");
    other_end.write_all(b"x").expect("it is taken");
    attached.with(|probe| probe.log.clear()).expect("not in a call");
    program.turn();
    let log = attached.with(|probe| std::mem::take(&mut probe.log)).expect("not in a call");
    let last = log.iter().rposition(|call| matches!(call, Call::Ready(..))).expect("it was ready");
    assert_eq!(log[last], Call::Ready(token, READABLE));
    assert!(log[last..].contains(&Call::Settle), "{log:?}");
    drop(attached);
    program.turn();
    assert_eq!(program.close(), 0);
}

// How long the loop runs.

#[test]
fn idle_internals_keep_nothing_alive() {
    let program = Program::new();
    let at = program.reference();
    let attached = at.attach(driver(|_, _| {})).expect("attached");
    assert!(program.handles() > 0);
    assert!(!program.run(), "it returns, as nothing is left to wait for");
    attached.with(|driver| listen(driver, at.now())).expect("not in a call");
    assert!(program.turn(), "a listener keeps it alive");
    attached.set_liveness(Liveness::Never);
    assert!(!program.run());
    attached.set_liveness(Liveness::UntilDone);
    assert!(program.turn());
    attached.with(|driver| driver.drain(Duration::ZERO)).expect("not in a call");
    assert!(!program.run(), "the service is done");
    drop(attached);
    program.turn();
    assert_eq!(program.close(), 0);
}

#[test]
fn a_descriptor_that_is_not_watched_at_the_moment_keeps_the_loop_alive() {
    let program = Program::new();
    let mut probe = Probe::default();
    let token = probe.add(1, silent(), Interest::NONE);
    let attached = program.reference().attach(probe).expect("attached");
    assert!(program.turn());
    attached.with(|probe| probe.remove(token)).expect("not in a call");
    assert!(!program.run(), "it has gone");
    assert_eq!(attached.with(|probe| probe.calls()), Ok(vec![Call::Attach, Call::Removed(token)]));
    drop(attached);
    program.turn();
    assert_eq!(program.close(), 0);
}

#[test]
fn a_drained_service_ends_the_loop() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let (driver, address) = listening(|what, cx| {
        if what == What::Accepted {
            cx.drain(PATIENCE);
        }
    });
    let attached = uv_loop.attach(driver).expect("attached");
    let begin = Instant::now();
    let peer = peer(address, 0, 0);
    assert_eq!(uv_loop.run(), Ok(Outcome::Done));
    assert!(begin.elapsed() < PATIENCE, "the time to drain did not have to pass");
    peer.join().expect("no panic");
    assert_eq!(attached.with(|driver| driver.stats().connections), Ok(0));
}

// Detaching.

#[test]
fn a_descriptor_is_let_go_of_in_the_close_callback_and_not_before() {
    let program = Program::new();
    let mut probe = Probe::default();
    let token = probe.add(1, silent(), Interest::READ);
    let attached = program.reference().attach(probe).expect("attached");
    attached.with(|probe| probe.remove(token)).expect("not in a call");
    assert_eq!(attached.with(|probe| probe.calls()), Ok(vec![Call::Attach]));
    program.turn();
    assert_eq!(attached.with(|probe| probe.calls()), Ok(vec![Call::Attach, Call::Removed(token)]));
    drop(attached);
    program.turn();
    assert_eq!(program.close(), 0);
}

#[test]
fn a_descriptor_that_leaves_with_its_service_is_still_reported_as_removed() {
    let program = Program::new();
    let mut probe = Probe::default();
    let token = probe.add(1, silent(), Interest::READ);
    let attached = program.reference().attach(probe).expect("attached");
    attached.with(|probe| probe.remove(token)).expect("not in a call");
    let detaching = attached.detach();
    assert!(!detaching.is_done());
    program.turn();
    let probe = detaching.try_take().expect("it is let go of");
    assert_eq!(probe.calls(), [Call::Attach, Call::Removed(token)]);
    assert_eq!(program.close(), 0);
}

#[test]
fn a_number_that_lives_again_is_another_descriptor() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let closed = counter();
    let count = Rc::clone(&closed);
    let (driver, address) = listening(move |what, cx| match what {
        // The next connection gets the number of this one.
        What::Bytes(b"end") => cx.abort(cx.connection().expect("a connection")),
        What::Closed => bump(&count),
        _ => {}
    });
    let attached = uv_loop.attach(driver).expect("attached");
    for round in 1..=50 {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(b"end").expect("it is taken");
        run_until(&mut uv_loop, || closed.get() == 2 * round - 1);
        let again = peer(address, 2, 100);
        run_until(&mut uv_loop, || closed.get() == 2 * round);
        again.join().expect("no panic");
    }
    assert_eq!(attached.with(|driver| driver.stats().accepted_total), Ok(100));
}

#[test]
fn a_service_is_handed_over_with_its_connections_and_goes_on_elsewhere() {
    let program = Program::new();
    let (driver, address) = listening(|_, _| {});
    let attached = program.reference().attach(driver).expect("attached");
    let mut stream = TcpStream::connect(address).expect("a connection");
    while attached.with(|driver| driver.stats().connections) == Ok(0) {
        program.turn();
    }
    let taken = later();
    let place = Rc::clone(&taken);
    attached.detach().then(move |service| *place.borrow_mut() = Some(service));
    assert!(taken.borrow().is_none(), "libuv closes handles in a turn");
    assert!(!program.run());
    assert_eq!(program.handles(), 0);
    assert_eq!(program.close(), 0);

    let mut uv_loop = UvLoop::new().expect("a loop");
    let driver = taken.borrow_mut().take().expect("it was handed over");
    let attached = uv_loop.attach(driver).expect("attached");
    stream.write_all(b"still here").expect("it is taken");
    let reader = thread::spawn(move || {
        let mut back = [0; 10];
        stream.read_exact(&mut back).map(|()| back)
    });
    run_until(&mut uv_loop, || attached.with(|driver| driver.stats().sent_bytes_total) == Ok(10));
    assert_eq!(reader.join().expect("no panic").expect("it comes back"), *b"still here");
}

#[test]
fn a_service_may_be_detached_in_each_of_its_handlers() {
    for moment in [What::Accepted, What::Bytes(b"now"), What::Closed, What::Timer, What::Message(1)] {
        let program = Rc::new(Program::new());
        let server: Later<Server> = later();
        let (back, place) = (later(), Rc::clone(&server));
        let give_back = Rc::clone(&back);
        let (mut driver, address) = listening(move |what, _| {
            if what == moment
                && let Some(attached) = place.borrow_mut().take()
            {
                assert_eq!(attached.with(|_| ()), Err(Busy));
                let give_back = Rc::clone(&give_back);
                attached.detach().then(move |service| *give_back.borrow_mut() = Some(service));
            }
        });
        let handle = driver.handle();
        let at = program.reference();
        if moment == What::Timer {
            driver.with(Time::ZERO, |_, cx| cx.set_timer(Some(cx.now() + Duration::from_millis(20))));
        }
        let attached = at.attach(driver).expect("attached");
        server.replace(Some(attached));
        if moment == What::Message(1) {
            handle.send(1).expect("room");
        }
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(b"now").expect("it is taken");
        stream.shutdown(Shutdown::Write).expect("it is open");
        assert!(!program.run(), "{moment:?}");
        assert_eq!(program.handles(), 0, "{moment:?}");
        assert!(back.borrow().is_some() && server.borrow().is_none(), "{moment:?}");
        drop(back.take());
        assert_eq!(Rc::into_inner(program).expect("the only one").close(), 0, "{moment:?}");
    }
}

#[test]
fn services_come_and_go_in_callbacks_of_the_program() {
    let program = Rc::new(Program::new());
    let (served, rounds) = (counter(), counter());
    let (again, at) = (Rc::clone(&rounds), program.reference());
    let here: Later<Server> = later();
    let count = Rc::clone(&served);
    program.every(1, move || {
        let attached = here.borrow_mut().take();
        if let Some(attached) = attached {
            drop(attached.detach());
            return again.get() < 20;
        }
        bump(&again);
        let count = Rc::clone(&count);
        let (driver, address) = listening(move |what, _| {
            if what == What::Accepted {
                bump(&count);
            }
        });
        let _queued = TcpStream::connect(address).expect("a connection");
        here.replace(Some(at.attach(driver).expect("attached")));
        true
    });
    assert!(!program.run());
    assert_eq!((rounds.get(), served.get() > 0), (20, true));
    assert_eq!(program.handles(), 0);
    assert_eq!(Rc::into_inner(program).expect("the only one").close(), 0);
}

#[test]
fn a_service_may_be_attached_in_a_handler_of_another() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let second: Later<Server> = later();
    let bytes = counter();
    let (at, place, count) = (LoopRef::clone(&uv_loop), Rc::clone(&second), Rc::clone(&bytes));
    let (first, address) = listening(move |what, _| {
        if what == What::Accepted {
            let count = Rc::clone(&count);
            let (driver, address) = listening(move |what, _| {
                if matches!(what, What::Bytes(_)) {
                    bump(&count);
                }
            });
            place.replace(Some(at.attach(driver).expect("attached")));
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(b"hello").expect("it is taken");
        }
    });
    let _first = uv_loop.attach(first).expect("attached");
    let peer = peer(address, 1, 1);
    run_until(&mut uv_loop, || bytes.get() > 0);
    run_until(&mut uv_loop, || peer.is_finished());
    peer.join().expect("no panic");
}

// Attachments that fail.

#[test]
fn a_service_that_other_threads_could_not_reach_comes_back_and_leaves_nothing() {
    let program = Program::new();
    let mut probe = Probe { is_internal: true, ..Probe::default() };
    let ready = probe.add(1, readable(), Interest::READ);
    let file = std::fs::File::open("/proc/self/exe").expect("a file");
    let refused = probe.add(2, file.into(), Interest::READ);
    let error = program.reference().attach(probe).expect_err("it is refused");
    assert_eq!(error.error.kind(), io::ErrorKind::PermissionDenied);
    assert!(!error.service.is_done(), "half of it was on the loop");
    assert!(!program.run());
    let probe = error.service.try_take().expect("it is let go of");
    assert_eq!(probe.calls(), [Call::Attach, Call::Refused(refused, io::ErrorKind::PermissionDenied)]);
    assert_eq!(probe.descriptors[0].0, ready);
    assert_eq!((program.handles(), program.close()), (0, 0));
}

#[test]
fn a_loop_that_was_closed_takes_no_service_and_gives_it_back_at_once() {
    let at = LoopRef::clone(&UvLoop::new().expect("a loop"));
    assert!(at.as_raw().is_null());
    at.stop();
    let error = at.attach(Probe::default()).expect_err("it is refused");
    assert_eq!(error.error.kind(), io::ErrorKind::NotConnected);
    assert!(error.service.is_done());
    assert_eq!(error.service.try_take().expect("it was never there").calls(), [Call::Attach]);
}

#[test]
fn a_loop_that_goes_lets_go_of_what_is_attached() {
    let uv_loop = UvLoop::new().expect("a loop");
    let (driver, address) = listening(|_, _| {});
    let attached = uv_loop.attach(driver).expect("attached");
    uv_loop.stop();
    drop(uv_loop);
    assert!(TcpStream::connect(address).is_ok(), "the service is whole");
    attached.with(|driver| driver.drain(Duration::ZERO)).expect("not in a call");
    drop(attached.detach().try_take().expect("it is let go of"));
}

#[test]
fn nothing_comes_to_a_loop_that_is_going() {
    let uv_loop = UvLoop::new().expect("a loop");
    let refused: Later<io::ErrorKind> = later();
    let (place, at) = (Rc::clone(&refused), LoopRef::clone(&uv_loop));
    let detaching = uv_loop.attach(Probe::default()).expect("attached").detach();
    detaching.then(move |probe| *place.borrow_mut() = at.attach(probe).err().map(|error| error.error.kind()));
    drop(uv_loop);
    assert_eq!(*refused.borrow(), Some(io::ErrorKind::NotConnected));
}

/// The loop of a program has no `Busy`: what the service wants watched is silent while it is in a call.
#[test]
fn a_loop_that_a_handler_runs_by_mistake_sleeps_and_goes_on_after_it() {
    let program = Rc::new(Program::new());
    let (turns, closed) = (counter(), counter());
    let (inner, count, ends) = (Rc::clone(&program), Rc::clone(&turns), Rc::clone(&closed));
    let (driver, address) = listening(move |what, _| match what {
        What::Bytes(_) if count.get() == 0 => {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(80) {
                inner.once();
                bump(&count);
            }
        }
        What::Closed => bump(&ends),
        _ => {}
    });
    let attached = program.reference().attach(driver).expect("attached");
    // The program's own timer is all that wakes the inner loop.
    let (timer_closed, stopper) = (Rc::clone(&closed), Rc::clone(&program));
    program.every(10, move || {
        let goes_on = timer_closed.get() < 2;
        if !goes_on {
            stopper.reference().stop();
        }
        goes_on
    });
    let peers = [peer(address, 2, 100), peer(address, 2, 100)];
    assert!(program.run());
    peers.into_iter().for_each(|peer| peer.join().expect("no panic"));
    assert!(turns.get() < 100, "the loop inside the handler had {} turns", turns.get());
    drop(attached);
    program.turn();
}

#[test]
fn a_loop_does_not_run_inside_a_service() {
    let mut uv_loop = UvLoop::new().expect("a loop");
    let attached = uv_loop.attach(Probe::default()).expect("attached");
    attached
        .with(|_| {
            assert_eq!(uv_loop.run(), Err(Busy));
            assert_eq!(uv_loop.dispatch(), Err(Busy));
            assert_eq!(attached.with(|_| ()), Err(Busy));
        })
        .expect("not in a call");
    assert_eq!(uv_loop.dispatch(), Ok(Some(Outcome::Done)));
}
