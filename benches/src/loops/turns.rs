//! What a turn of a flooded service takes on each loop, and how often a service that has nothing to do is woken.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use std::{io, thread::sleep};

use clap::ValueEnum;
use lws_loop_external::{Change, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use rustix::time::{ClockId, clock_gettime};

use super::server::{self, Kind};
use crate::client::{Fleet, Plan, Span, Traffic};
use crate::{Result, report};

/// WebSockets that wait for nothing.
const IDLE: usize = 8;
/// Until handshakes are over.
const SETTLE: Duration = Duration::from_secs(2);

/// What to measure.
pub struct Turns {
    /// WebSockets that flood.
    pub connections: usize,
    /// Messages of 16 B that each keeps on its way.
    pub depth: usize,
    /// How long they do.
    pub measure: Duration,
    /// How long the idle ones idle.
    pub idle: Duration,
    /// The first of the ports to use.
    pub port: u16,
    /// The core of the servers.
    pub core: usize,
}

/// Measures each loop, in a thread of this process, and prints a table.
///
/// # Errors
/// When a port is taken or a load fails.
pub fn run(turns: &Turns) -> Result<()> {
    let mut rows = Vec::new();
    for (&kind, port) in Kind::value_variants().iter().zip(turns.port..) {
        let name = kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let taken = serve(kind, port, turns.core);
        let plan = |connections, depth| Plan {
            port,
            traffic: Traffic::WebSocket { path: "/echo".into() },
            connections,
            size: 16,
            depth,
            sources: 1,
        };
        let idle = Fleet::open(&plan(IDLE, 1))?;
        sleep(SETTLE);
        taken.begin();
        sleep(turns.idle);
        let wakes = taken.end().len();
        drop(idle);
        let mut fleet = Fleet::open(&plan(turns.connections, turns.depth))?;
        taken.begin();
        let span = Span::Time { warm_up: Duration::from_millis(200), measure: turns.measure };
        let outcome = fleet.run(span, None)?;
        let mut took = taken.end();
        took.sort_unstable();
        let at = |permille: usize| {
            let index = took.len().saturating_sub(1) * permille / 1_000;
            took.get(index).map_or_else(String::new, |took| format!("{:.2} ms", took.as_secs_f64() * 1e3))
        };
        rows.push(vec![
            name,
            wakes.to_string(),
            report::grouped(took.len() as f64),
            at(500),
            at(990),
            at(1_000),
            outcome.tally.bad.to_string(),
        ]);
    }
    let headings = ["loop", "wakes when idle", "turns", "median", "p99", "longest", "bad"];
    println!("{}", report::table(&headings, &rows));
    println!(
        "wakes when idle: turns of a service with {IDLE} idle WebSockets in {:?}. The rest: {} WebSockets that each keep {} messages of \
         16 B on their way, for {:?}; a turn is what the service does between two sleeps or looks of its host, as processor time of \
         the thread.",
        turns.idle, turns.connections, turns.depth, turns.measure
    );
    Ok(())
}

/// Serves on a thread of its own, for as long as the process lives.
fn serve(kind: Kind, port: u16, core: usize) -> Taken {
    let taken = Taken::default();
    let noted = taken.clone();
    thread::spawn(move || {
        crate::machine::pin(core);
        let served = server::service(port)
            .and_then(|service| server::serve(kind, Timed { service, began: None, taken: noted }));
        if let Err(error) = served {
            eprintln!("{kind:?}: {error}");
        }
    });
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        sleep(Duration::from_millis(10));
    }
    taken
}

/// What turns took, while somebody wants to know.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Option<Vec<Duration>>>>);

impl Taken {
    fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    fn end(&self) -> Vec<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    fn note(&self, took: Duration) {
        if let Some(all) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            all.push(took);
        }
    }
}

/// A service whose turns are timed.
struct Timed<S> {
    service: S,
    /// The processor time of the thread at the begin of the turn.
    began: Option<Duration>,
    taken: Taken,
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl<S: Service> Service for Timed<S> {
    fn attach(&mut self, trigger: Trigger) {
        self.service.attach(trigger);
    }

    fn poll_change(&mut self) -> Option<Change> {
        self.service.poll_change()
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.service.descriptor(token)
    }

    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness) {
        self.began.get_or_insert_with(processor_time);
        self.service.handle_ready(now, token, ready);
    }

    fn removed(&mut self, token: Token) {
        self.service.removed(token);
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        self.service.refused(token, error);
    }

    fn settle(&mut self, now: Time) -> Wait {
        let began = self.began.take().unwrap_or_else(processor_time);
        let wait = self.service.settle(now);
        self.taken.note(processor_time() - began);
        wait
    }

    fn limit_turn(&mut self, time: Option<Duration>) {
        self.service.limit_turn(time);
    }

    fn is_forked(&self) -> bool {
        self.service.is_forked()
    }

    fn is_done(&self) -> bool {
        self.service.is_done()
    }

    fn keeps_alive(&self, token: Token) -> bool {
        self.service.keeps_alive(token)
    }
}
