//! The host loop alone, with a service, and alone again, a thousand times, with a start that fails at each step.
//!
//! Runs in a process of its own: no other test opens and closes descriptors there, and the limit can be
//! lowered.

use crate::support::sys::Program;
use crate::support::{Echo, PATIENCE};
use lws_loop_external::{Address, Driver, DriverOptions, ListenOptions};
use lws_loop_uv::{Attached, LoopRef, UvLoop};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

type Server = Attached<Driver<Echo>>;

const ROUNDS: usize = 1_000;
/// More descriptors than a start takes.
const STEPS: usize = 4;
/// The environment variable that marks that process.
const MARK: &str = "LWS_LOOP_UV_LIFETIME";

/// Runs a test again in a process of its own. Returns true in that process.
fn in_a_process_of_its_own(test: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let itself = std::env::current_exe().expect("this program");
    let output = Command::new(itself)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    false
}

fn descriptors() -> BTreeSet<u64> {
    let number = |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let mut all: BTreeSet<u64> =
        std::fs::read_dir("/proc/self/fd").expect("a list of descriptors").filter_map(number).collect();
    // The list itself was open; its number is free again.
    all.retain(|number| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok());
    all
}

/// Limits how many more descriptors this process can open, until the result is dropped.
fn limit_to(more: usize) -> Limited {
    let before = getrlimit(Resource::Nofile);
    let open = descriptors();
    let free = (0..).filter(|number| !open.contains(number)).nth(more);
    setrlimit(Resource::Nofile, Rlimit { current: free, maximum: before.maximum }).expect("it is lower");
    Limited(before)
}

struct Limited(Rlimit);

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: self.0.current, maximum: self.0.maximum });
    }
}

fn peer(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("a connection");
    stream.write_all(&[7; 1_000]).expect("it is taken");
    stream.set_nonblocking(true).expect("it is open");
    stream
}

/// The loop of a program with nothing of ours on it.
fn run_alone(program: &Program) {
    program.every(1, || false);
    assert!(!program.run());
    assert_eq!(program.handles(), 0);
}

/// Whether some bytes of the answer have arrived. Does not wait for them.
fn has_answer(stream: &mut TcpStream) -> bool {
    let mut back = [0; 1_000];
    match stream.read(&mut back) {
        Ok(n) => n > 0,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

fn is_out_of_descriptors(error: &io::Error) {
    assert_eq!(error.kind(), io::Error::from(Errno::MFILE).kind(), "{error}");
    assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw_os_error()), "{error}");
}

/// Attaches a service that listens, on a loop of our own or the program's. Any step may fail because descriptors have
/// run out.
fn start(at: &LoopRef) -> io::Result<(Server, SocketAddr)> {
    // The default depends on the limit of descriptors, which is low at this moment.
    let options = DriverOptions { connections_max: Some(100), ..DriverOptions::default() };
    let driver = Driver::new(Echo::new(|_, _| {}), options)?;
    let attached = at.attach(driver).map_err(|error| error.error)?;
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let now = attached.now();
    let listening = attached.with(|driver| {
        driver.with(now, |_, cx| {
            let id = cx.listen(&any, &ListenOptions::default())?;
            cx.listening_on(id)
        })
    });
    match listening.expect("not in a call")? {
        Address::Tcp(address) => Ok((attached, address)),
        _ => Err(ErrorKind::AddrNotAvailable.into()),
    }
}

/// Serves some load, and ends while bytes are in flight.
fn serve(program: &Program, (attached, address): (Server, SocketAddr), round: usize) {
    let mut peers: Vec<_> = (0..3).map(|_| peer(address)).collect();
    let begin = Instant::now();
    for peer in &mut peers {
        while !has_answer(peer) {
            program.turn();
            assert!(begin.elapsed() < PATIENCE, "no answer");
        }
    }
    // One connection that has ended, and one that has not been accepted.
    peers.pop();
    let _waiting = peer(address);
    if round.is_multiple_of(2) {
        drop(attached.detach());
    } else {
        let mut attached = Some(attached);
        program.every(1, move || {
            drop(attached.take());
            false
        });
    }
    assert!(!program.run(), "nothing of ours keeps it alive");
    assert_eq!(program.handles(), 0);
}

#[test]
fn a_service_comes_and_goes_a_thousand_times_and_nothing_is_left() {
    if !in_a_process_of_its_own("lifetime::a_service_comes_and_goes_a_thousand_times_and_nothing_is_left") {
        return;
    }
    // libuv itself opens some with its first loop, for ever.
    assert_eq!(Program::new().close(), 0);
    let before = descriptors();
    let mut failed = [0; STEPS];
    for round in 0..ROUNDS {
        let steps = round % STEPS;
        let program = Program::new();
        run_alone(&program);
        let limited = limit_to(steps);
        let started = start(&program.reference());
        drop(limited);
        match started {
            Ok(server) => serve(&program, server, round),
            Err(error) => {
                is_out_of_descriptors(&error);
                failed[steps] += 1;
            }
        }
        run_alone(&program);
        assert_eq!(program.close(), 0);
        assert_eq!(descriptors(), before, "in round {round}");
    }
    let each = ROUNDS / STEPS;
    assert_eq!(failed, [each, each, 0, 0], "it takes a waker and a listener");
}

#[test]
fn a_loop_of_our_own_starts_or_says_why_not() {
    if !in_a_process_of_its_own("lifetime::a_loop_of_our_own_starts_or_says_why_not") {
        return;
    }
    drop(UvLoop::new().expect("a loop"));
    let mut failed = Vec::new();
    for steps in 0..8 {
        let before = descriptors();
        let limited = limit_to(steps);
        let made = UvLoop::new();
        let started = made.as_ref().map(|uv_loop| start(uv_loop));
        drop(limited);
        match started {
            Ok(Ok(server)) => drop(server),
            Ok(Err(error)) => {
                is_out_of_descriptors(&error);
                failed.push("service");
            }
            Err(error) => {
                is_out_of_descriptors(error);
                failed.push("loop");
            }
        }
        if made.is_ok() {
            drop(made);
            assert_eq!(descriptors(), before);
        } // Otherwise libuv itself forgets to close a descriptor.
    }
    assert!(failed.starts_with(&["loop"]) && failed.ends_with(&["loop", "service", "service"]), "{failed:?}");
}

#[test]
fn a_listener_without_descriptors_pauses_and_the_loop_sleeps() {
    if !in_a_process_of_its_own("lifetime::a_listener_without_descriptors_pauses_and_the_loop_sleeps") {
        return;
    }
    let program = Program::new();
    let (attached, address) = start(&program.reference()).expect("a server");
    let mut stream = peer(address);
    let limited = limit_to(0);
    let pauses = || attached.with(|driver| driver.stats().accept_pauses_total).expect("not in a call");
    while pauses() == 0 {
        program.turn();
    }
    drop(limited);
    let begin = Instant::now();
    while !has_answer(&mut stream) {
        program.turn();
        assert!(begin.elapsed() < PATIENCE, "no answer");
    }
    assert_eq!(pauses(), 1);
    drop(attached);
    program.turn();
    assert_eq!(program.close(), 0);
}
