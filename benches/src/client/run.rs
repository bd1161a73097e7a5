//! One measured run of a fleet: warm-up, measurement, and an end with nothing in flight.

use std::time::{Duration, Instant};

use rustix::event::epoll::Event;

use super::connection::Calls;
use super::{Fleet, MAX_EVENTS, Tally};
use crate::histogram::Histogram;
use crate::procfs::{self, Schedule};
use crate::{Result, machine};

/// Without a reply for this long, a run is given up.
const STALL: Duration = Duration::from_secs(10);

/// How long a run is.
#[derive(Clone, Copy, Debug)]
pub enum Span {
    /// Measure for a time after a warm-up.
    Time {
        /// Not measured.
        warm_up: Duration,
        /// Measured.
        measure: Duration,
    },
    /// Exactly so many messages, all measured.
    Messages(u64),
    /// Send for a time and measure until the last reply is in. The kernel accounts for a thread when it leaves its
    /// core, so a short run is exact only from idle to idle.
    Burst(Duration),
}

/// What a run measured.
pub struct Outcome {
    /// Messages that were answered while measuring.
    pub messages: u64,
    /// How long was measured.
    pub elapsed: Duration,
    /// From sending a request to reading its reply, in nanoseconds.
    pub latency: Histogram,
    /// The server process while measuring, if its id is known.
    pub server: Option<Schedule>,
    /// This process while measuring.
    pub client: Schedule,
    /// System calls of the client while measuring.
    pub calls: Calls,
    /// What was checked, from the first message of the fleet on.
    pub tally: Tally,
}

impl Outcome {
    /// CPU nanoseconds of the server for each message.
    pub fn server_ns(&self) -> Option<f64> {
        self.server.map(|server| server.ran.as_nanos() as f64 / self.messages.max(1) as f64)
    }

    /// The share of the time that the server was on a core.
    pub fn server_busy(&self) -> Option<f64> {
        self.server.map(|server| server.ran.as_secs_f64() / self.elapsed.as_secs_f64())
    }

    /// The share of the time that the client was on a core.
    pub fn client_busy(&self) -> f64 {
        self.client.ran.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// Messages in a second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }
}

/// Counters at one moment.
struct Mark {
    at: u64,
    replies: u64,
    calls: Calls,
    client: Schedule,
    server: Option<Schedule>,
}

enum Phase {
    WarmUp {
        until: u64,
    },
    /// Measures until then, or, with `None`, until nothing is in flight.
    Measure {
        since: Mark,
        until: Option<u64>,
    },
    Drain,
}

impl Fleet {
    /// Runs the load, measuring the server process `server` if it is known.
    ///
    /// # Errors
    /// When the server closes a connection, stops answering, or its process cannot be read.
    pub fn run(&mut self, span: Span, server: Option<u32>) -> Result<Outcome> {
        let mut run = Run::start(self, span, server)?;
        let mut events = Vec::with_capacity(MAX_EVENTS);
        while !run.step(&mut events)? {}
        run.outcome.ok_or_else(|| "the run ended before it measured".into())
    }
}

struct Run<'f> {
    fleet: &'f mut Fleet,
    span: Span,
    server: Option<u32>,
    epoch: Instant,
    phase: Phase,
    latency: Histogram,
    /// Requests that may still be sent.
    left: u64,
    in_flight: u64,
    last_reply: u64,
    outcome: Option<Outcome>,
}

impl<'f> Run<'f> {
    fn start(fleet: &'f mut Fleet, span: Span, server: Option<u32>) -> Result<Self> {
        let (left, phase) = match span {
            Span::Time { warm_up, .. } => (u64::MAX, Phase::WarmUp { until: nanoseconds(warm_up) }),
            Span::Messages(count) => (count, Phase::Measure { since: mark(fleet, 0, server)?, until: None }),
            Span::Burst(_) => (u64::MAX, Phase::Measure { since: mark(fleet, 0, server)?, until: None }),
        };
        let epoch = Instant::now();
        let mut run = Self {
            fleet,
            span,
            server,
            epoch,
            phase,
            latency: Histogram::default(),
            left,
            in_flight: 0,
            last_reply: 0,
            outcome: None,
        };
        for index in 0..run.fleet.connections.len() {
            run.send(index, run.fleet.depth(), 0)?;
        }
        Ok(run)
    }

    /// One wait and what came of it. True when the run is over.
    fn step(&mut self, events: &mut Vec<Event>) -> Result<bool> {
        self.fleet.wait(events)?;
        let now = nanoseconds(self.epoch.elapsed());
        if now.saturating_sub(self.last_reply) > nanoseconds(STALL) {
            return Err(format!("no reply for {} s; {} in flight", STALL.as_secs(), self.in_flight).into());
        }
        self.advance(now)?;
        for event in events.iter() {
            let (index, replies) = self.fleet.serve(*event)?;
            if replies > 0 {
                self.on_replies(index, replies)?;
            }
        }
        if self.in_flight > 0 {
            return Ok(false);
        }
        self.measured()?;
        if let Some(outcome) = &mut self.outcome {
            // Replies that came after the measurement were checked too.
            outcome.tally = self.fleet.tally;
        }
        Ok(true)
    }

    /// From warm-up to measurement and from there to the end, when it is time.
    fn advance(&mut self, now: u64) -> Result<()> {
        match (&self.phase, self.span) {
            (Phase::WarmUp { until }, Span::Time { measure, .. }) if now >= *until => {
                let since = mark(self.fleet, now, self.server)?;
                self.phase = Phase::Measure { since, until: Some(now + nanoseconds(measure)) };
            }
            (Phase::Measure { until: Some(until), .. }, _) if now >= *until => self.measured()?,
            (Phase::Measure { .. }, Span::Burst(time)) if now >= nanoseconds(time) => self.left = 0,
            _ => {}
        }
        Ok(())
    }

    fn on_replies(&mut self, index: usize, replies: u64) -> Result<()> {
        let now = nanoseconds(self.epoch.elapsed());
        let measuring = matches!(self.phase, Phase::Measure { .. });
        for _ in 0..replies {
            let sent_at = self.fleet.connections[index].answered();
            let sent_at = sent_at.ok_or("the server has sent more replies than there were requests")?;
            if measuring {
                self.latency.add(now - sent_at);
            }
        }
        self.last_reply = now;
        self.in_flight -= replies;
        self.fleet.reopen_if_ended(index)?;
        self.send(index, replies as usize, now)
    }

    fn send(&mut self, index: usize, count: usize, now: u64) -> Result<()> {
        let count = count.min(usize::try_from(self.left).unwrap_or(count));
        if count > 0 {
            self.left -= count as u64;
            self.in_flight += count as u64;
            self.fleet.send(index, count, now)?;
        }
        Ok(())
    }

    /// Takes the measurement, once, and sends nothing more.
    fn measured(&mut self) -> Result<()> {
        self.left = 0;
        let Phase::Measure { since, .. } = std::mem::replace(&mut self.phase, Phase::Drain) else {
            return Ok(());
        };
        let end = mark(self.fleet, nanoseconds(self.epoch.elapsed()), self.server)?;
        self.outcome = Some(Outcome {
            messages: end.replies - since.replies,
            elapsed: Duration::from_nanos(end.at - since.at),
            latency: std::mem::take(&mut self.latency),
            server: end.server.zip(since.server).map(|(end, since)| end.since(since)),
            client: end.client.since(since.client),
            calls: Calls {
                reads: end.calls.reads - since.calls.reads,
                writes: end.calls.writes - since.calls.writes,
            },
            tally: self.fleet.tally,
        });
        Ok(())
    }
}

fn mark(fleet: &Fleet, at: u64, server: Option<u32>) -> Result<Mark> {
    Ok(Mark {
        at,
        replies: fleet.tally.replies,
        calls: fleet.calls,
        client: Schedule {
            // Exact, where the scheduler's own count waits for the next tick.
            ran: machine::own_cpu_time(),
            ..procfs::schedule(std::process::id())?
        },
        server: server.map(procfs::schedule).transpose()?,
    })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
