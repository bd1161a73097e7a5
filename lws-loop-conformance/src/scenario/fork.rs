//! A child by fork(2) of the process that serves. It finds out what it is, can neither drain the service nor take it from its host, and
//! abandons it; the parent goes on with every descriptor.

use crate::bench::{Bench, Role, Script, ScriptedApplication, Side, driver, host_until_done, outcome};
use crate::checked_service::Exit;
use crate::setup::{SETUPS, Setup};
use crate::sys;
use crate::watchdog::Watchdog;
use crate::{Host, InChild};
use lws_loop_external::{
    Address, Change, Driver, DriverOptions, Readiness, Service, Token, Trigger, Wait, hosts,
};
use lws_proto::{Connection, Payload, Stream, Time};
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

/// From the end of the child to the first thing that happens again: until then the loop falls asleep, and no timer is set that would make
/// it look at its descriptors, or register one anew, as libevent does.
const PAUSE: Duration = Duration::from_millis(30);

/// With raw streams over TCP and over Unix sockets, whose files are the parent's.
pub(super) fn a_child_by_fork_leaves_what_its_parent_serves<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    if host.in_child() == InChild::IsForgotten("") {
        return Err("the host gives no reason why a child has to forget it".to_owned());
    }
    let plain = SETUPS.iter().filter(|setup| setup.takes_plain_peers());
    plain
        .copied()
        .try_for_each(|setup| fork_once(watchdog, host, setup).map_err(|what| format!("{setup}: {what}")))
}

fn fork_once<H: Host>(watchdog: &Watchdog, host: &mut H, setup: Setup) -> Result<(), String> {
    let report = Rc::new(Report::default());
    let make = || driver(watchdog, setup, DriverOptions::default(), AroundFork::new(&report));
    let exit = Exit::default();
    let forking = Forking {
        spare: Some(make()?),
        driver: make()?,
        report: Rc::clone(&report),
        exit: exit.clone(),
        in_child: host.in_child(),
    };
    let given_back = host_until_done(host, forking, &exit);
    if report.is_child.get() {
        let Ok(forking) = given_back else { sys::end(Verdict::HostBrokeARule as i32) };
        forking.driver.abandon_after_fork();
        sys::end(Verdict::Fine as i32);
    }
    let forking = given_back?;
    match report.failure.take() {
        Some(failure) => Err(failure),
        None => outcome(forking.driver).map(drop),
    }
}

/// The code with which the child ends. Not zero, with which a process also ends whose only thread has panicked.
#[derive(Clone, Copy)]
enum Verdict {
    Fine = 70,
    IsNotForked,
    Drains,
    LetsGo,
    HostBrokeARule,
}

impl Verdict {
    /// What the parent says of a child that ended with this code; `None` is a signal.
    fn of(code: Option<i32>) -> Result<(), String> {
        let is = |verdict: Self| code == Some(verdict as i32);
        Err(match code {
            _ if is(Self::Fine) => return Ok(()),
            _ if is(Self::IsNotForked) => "the service does not find out that it is in a child".to_owned(),
            _ if is(Self::Drains) => "a child could drain the service of its parent".to_owned(),
            _ if is(Self::LetsGo) => "a child let go of descriptors of its parent".to_owned(),
            _ if is(Self::HostBrokeARule) => "in a child the host broke a rule".to_owned(),
            Some(code) => format!("the child did not get to its end, and panicked perhaps: code {code}"),
            None => format!("the child did not get to its end in {} s", sys::CHILD_SECONDS),
        })
    }
}

/// What script, service and scenario know together.
#[derive(Default)]
struct Report {
    /// Set by the script when a child is to be made.
    fork: Cell<bool>,
    is_child: Cell<bool>,
    /// What a child did wrong.
    failure: RefCell<Option<String>>,
}

/// A service that forks between two calls of its host.
struct Forking {
    driver: Driver<ScriptedApplication<AroundFork>>,
    /// Takes the place of the service that a child has abandoned.
    spare: Option<Driver<ScriptedApplication<AroundFork>>>,
    report: Rc<Report>,
    exit: Exit,
    in_child: InChild,
}

impl Forking {
    fn fork(&mut self, now: Time) {
        let verdict = match sys::fork() {
            Ok(None) => return self.be_a_child(now),
            Ok(Some(child)) => {
                child.wait().map_err(|error| format!("the child: {error}")).and_then(Verdict::of)
            }
            Err(error) => Err(format!("no child could be made: {error}")),
        };
        match verdict {
            Ok(()) => self.driver.application().common.address.clone().into_iter().for_each(speak_later),
            Err(what) => {
                self.report.failure.replace(Some(what));
                self.exit.leave();
            }
        }
    }

    fn be_a_child(&mut self, now: Time) {
        self.report.is_child.set(true);
        if !self.driver.is_forked() {
            sys::end(Verdict::IsNotForked as i32);
        }
        self.driver.drain(Duration::ZERO);
        let drains = self.driver.with(now, |_, cx| {
            cx.drain(Duration::ZERO);
            cx.is_draining()
        });
        if drains {
            sys::end(Verdict::Drains as i32);
        }
        let mut let_go = false;
        hosts::detach(&mut self.driver, |_| let_go = true);
        if let_go {
            sys::end(Verdict::LetsGo as i32);
        }
        match (self.in_child, self.spare.take()) {
            // The host finds the service done, and lets go of it.
            (InChild::GivesBack, _) | (_, None) => self.exit.leave(),
            (InChild::IsForgotten(_), Some(spare)) => {
                mem::replace(&mut self.driver, spare).abandon_after_fork();
                sys::end(Verdict::Fine as i32);
            }
        }
    }
}

impl Service for Forking {
    fn attach(&mut self, trigger: Trigger) {
        self.driver.attach(trigger);
    }

    fn poll_change(&mut self) -> Option<Change> {
        self.driver.poll_change()
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.driver.descriptor(token)
    }

    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness) {
        self.driver.handle_ready(now, token, ready);
    }

    fn removed(&mut self, token: Token) {
        self.driver.removed(token);
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        self.driver.refused(token, error);
    }

    fn settle(&mut self, now: Time) -> Wait {
        let wait = self.driver.settle(now);
        if self.report.fork.take() {
            self.fork(now);
        }
        wait
    }

    fn is_forked(&self) -> bool {
        self.driver.is_forked()
    }

    fn is_done(&self) -> bool {
        self.driver.is_done()
    }
}

/// What a plain peer says while the loop sleeps.
const LATER: &[u8] = b"later";

/// Speaks on a connection of its own, from another thread: only a descriptor that is still watched tells the loop.
fn speak_later(address: Address) {
    fn speak(mut peer: impl Read + Write) -> io::Result<usize> {
        peer.write_all(LATER)?;
        peer.read_to_end(&mut Vec::new())
    }
    thread::spawn(move || {
        thread::sleep(PAUSE);
        // A peer that cannot speak is one that the service waits for in vain, which is the failure.
        match address {
            Address::Tcp(address) => TcpStream::connect(address).and_then(speak),
            Address::Unix(path) => UnixStream::connect(path).and_then(speak),
            _ => Ok(0),
        }
    });
}

/// A client speaks before and after the fork, a plain peer and another client come after it.
struct AroundFork {
    report: Rc<Report>,
    answers: [usize; 2],
}

/// The answers that each client waits for.
const ANSWERS: [usize; 2] = [2, 1];

impl AroundFork {
    fn new(report: &Rc<Report>) -> Self {
        Self { report: Rc::clone(report), answers: [0, 0] }
    }
}

impl Script for AroundFork {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        bench.listen();
        bench.connect(0);
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<()>, stream: Stream<'_>) {
        if !side.is_server() {
            bench.say(stream, b"?");
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<()>,
        stream: Stream<'_>,
        chunk: &[u8],
    ) {
        let Role::Client(number) = side.role else {
            if chunk == LATER {
                bench.common.clients().into_iter().for_each(|first| {
                    bench.cx.wake(first);
                });
                return bench.connect(1);
            }
            if let Ok(permit) = stream.permit() {
                bench.send(permit, Payload::Copy(chunk));
            }
            return;
        };
        self.answers[number] += 1;
        if self.answers == [1, 0] {
            self.report.fork.set(true);
        } else if self.answers == ANSWERS {
            bench.finish();
        }
    }

    fn woken(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<()>, connection: &mut Connection) {
        match side.key.and_then(|key| connection.stream(key)) {
            Some(stream) => bench.say(stream, b"!"),
            None => bench.fail("the connection of before the fork has gone"),
        }
    }

    fn progress(&self) -> String {
        format!("{:?} of {ANSWERS:?} answers around a fork", self.answers)
    }
}
