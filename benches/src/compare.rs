//! Servers beside their ceilings, in alternating rounds of one call.
//!
//! CPU time per message repeats within a few percent where messages per second do not, and its ratio
//! to a bare server that ran a moment before repeats better still. A round is several short bursts in turn, so
//! that a machine which speeds up or slows down does so for all; a round that other work has disturbed is
//! thrown away and measured again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::ceiling;
use crate::cells::Cell;
use crate::client::{Fleet, Outcome, Plan, Span};
use crate::process::Server;
use crate::procfs::Schedule;
use crate::report;
use crate::verdict::{self, Figure, Round, Share};

/// What to compare, and how thoroughly.
pub struct Comparison {
    /// Names and commands of the servers under test.
    pub servers: Vec<(String, String)>,
    /// The loads.
    pub cells: Vec<Cell>,
    /// Clean rounds wanted for each cell.
    pub rounds: usize,
    /// Rounds after which a cell is left as it is.
    pub rounds_max: usize,
    /// How long each server is measured in a round, in all its bursts.
    pub measure: Duration,
    /// The first of the ports to use: two for the ceilings, one for each server.
    pub port: u16,
    /// The core of the servers.
    pub core: usize,
}

/// Bursts of a round. In each the servers take turns in another order.
const BURSTS: u32 = 5;

/// A server and the rounds it was measured in, for one cell.
struct Contender<'a> {
    name: &'a str,
    server: &'a Server,
    rounds: Vec<Round>,
    /// Why the server cannot do this load.
    failure: Option<String>,
}

/// What the bursts of a round have cost one server.
#[derive(Default)]
struct Cost {
    messages: u64,
    elapsed: Duration,
    server: Schedule,
    client: Schedule,
}

/// Measures and prints a table. True when every target was met.
///
/// # Errors
/// When a ceiling or a server does not start. A server that fails in a cell is reported in the table.
pub fn run(comparison: &Comparison) -> Result<bool> {
    let own = format!("{{bin}}/{}", own_name()?);
    let start = |kind: &str, port| {
        Server::start(&format!("{own} ceiling {kind} --port {{port}}"), port, comparison.core)
    };
    let raw = start("raw", comparison.port)?;
    let http = start("http", comparison.port + 1)?;
    let servers = comparison
        .servers
        .iter()
        .zip(comparison.port + 2..)
        .map(|((name, command), port)| Ok((name.as_str(), Server::start(command, port, comparison.core)?)))
        .collect::<Result<Vec<_>>>()?;

    let mut shuffle = Shuffle::seeded_by_time();
    let mut rows = Vec::new();
    let mut all_met = true;
    for cell in &comparison.cells {
        let ceiling = match cell.ceiling() {
            ceiling::Kind::Raw => &raw,
            ceiling::Kind::Http => &http,
        };
        let mut contenders: Vec<_> = servers
            .iter()
            .map(|(name, server)| Contender { name, server, rounds: Vec::new(), failure: None })
            .collect();
        let tried = measure(comparison, cell, ceiling, &mut contenders, &mut shuffle)?;
        for contender in &contenders {
            let clean = verdict::clean(&contender.rounds);
            all_met &= verdict::share(&clean).is_some_and(|share| met(cell, share));
            rows.push(row(cell, contender, &clean, tried));
        }
    }
    let headings = [
        "load",
        "server",
        "ceiling ns",
        "server ns",
        "share",
        "min/min",
        "target",
        "verdict",
        "clean rounds",
    ];
    println!("{}", report::table(&headings, &rows));
    println!(
        "CPU nanoseconds of the server per message, medians; share: median of ceiling / server within a round."
    );
    Ok(all_met)
}

/// Rounds until every contender has enough clean ones. Returns how many there were.
fn measure(
    comparison: &Comparison,
    cell: &Cell,
    ceiling: &Server,
    contenders: &mut [Contender<'_>],
    shuffle: &mut Shuffle,
) -> Result<usize> {
    for round in 0..comparison.rounds_max {
        let wanting = contenders.iter().any(|contender| {
            contender.failure.is_none() && verdict::clean(&contender.rounds).len() < comparison.rounds
        });
        if !wanting {
            return Ok(round);
        }
        let mut turns = vec![(cell.ceiling_plan(ceiling.port), ceiling)];
        turns.extend(contenders.iter().map(|contender| (cell.plan(contender.server.port), contender.server)));
        let mut figures = bursts(&turns, comparison.measure / BURSTS, shuffle).into_iter();
        let ceiling = figures.next().unwrap_or_else(|| Err("the ceiling was not measured".into()))?;
        for (contender, figure) in contenders.iter_mut().zip(figures) {
            match figure {
                Ok(server) => contender.rounds.push(Round { ceiling, server }),
                Err(error) => contender.failure = Some(error.to_string()),
            }
            if let Some(Round { ceiling, server }) = contender.rounds.last() {
                eprintln!(
                    "{}, round {}: ceiling {:.0} ns, {} {:.0} ns, {:.1} %; busy {:.0} and {:.0} %, waited {:.0} and {:.0} %",
                    cell.title,
                    round + 1,
                    ceiling.ns,
                    contender.name,
                    server.ns,
                    ceiling.ns / server.ns * 100.0,
                    ceiling.busy * 100.0,
                    server.busy * 100.0,
                    ceiling.waited * 100.0,
                    server.waited * 100.0,
                );
            }
        }
    }
    Ok(comparison.rounds_max)
}

/// One round: every turn's server in [`BURSTS`] bursts of `time`.
fn bursts(turns: &[(Plan, &Server)], time: Duration, shuffle: &mut Shuffle) -> Vec<Result<Figure>> {
    let mut loads: Vec<Result<(Fleet, Cost)>> =
        turns.iter().map(|(plan, _)| Ok((Fleet::open(plan)?, Cost::default()))).collect();
    let mut order: Vec<usize> = (0..turns.len()).collect();
    // The first burst warms caches and buffers up and does not count.
    for burst in 0..=BURSTS {
        shuffle.apply(&mut order);
        for &index in &order {
            let Ok((fleet, cost)) = &mut loads[index] else { continue };
            match fleet.run(Span::Burst(time), Some(turns[index].1.id())) {
                Ok(outcome) if burst > 0 => cost.add(&outcome),
                Ok(_) => {}
                Err(error) => loads[index] = Err(error),
            }
        }
    }
    loads.into_iter().map(|load| load.and_then(|(fleet, cost)| cost.figure(fleet.bad()))).collect()
}

impl Cost {
    fn add(&mut self, outcome: &Outcome) {
        let server = outcome.server.unwrap_or_default();
        self.messages += outcome.messages;
        self.elapsed += outcome.elapsed;
        self.server.ran += server.ran;
        self.server.waited += server.waited;
        self.client.ran += outcome.client.ran;
        self.client.waited += outcome.client.waited;
    }

    fn figure(&self, bad: u64) -> Result<Figure> {
        if bad > 0 {
            return Err(format!("{bad} replies were wrong").into());
        }
        let share = |time: Duration| time.as_secs_f64() / self.elapsed.as_secs_f64();
        Ok(Figure {
            ns: self.server.ran.as_nanos() as f64 / self.messages.max(1) as f64,
            busy: share(self.server.ran.max(self.client.ran)),
            waited: share(self.server.waited.max(self.client.waited)),
        })
    }
}

fn met(cell: &Cell, share: Share) -> bool {
    share.median >= f64::from(cell.target)
}

fn row(cell: &Cell, contender: &Contender<'_>, clean: &[Round], tried: usize) -> Vec<String> {
    // Without clean rounds the others still say something, but decide nothing.
    let (share, decides) = match verdict::share(clean) {
        Some(share) => (Some(share), true),
        None => (verdict::share(&contender.rounds), false),
    };
    let verdict = match (&contender.failure, share) {
        (Some(failure), _) => format!("failed: {failure}"),
        (None, Some(share)) if decides && met(cell, share) => "met".into(),
        (None, Some(_)) if decides => "missed".into(),
        (None, _) => "disturbed".into(),
    };
    let figure = |text: fn(Share) -> String| share.map_or("-".into(), text);
    vec![
        cell.title.into(),
        contender.name.into(),
        figure(|share| report::grouped(share.ceiling_ns)),
        figure(|share| report::grouped(share.server_ns)),
        figure(|share| format!("{:.1} %", share.median)),
        figure(|share| format!("{:.1} %", share.best)),
        format!("{} %", cell.target),
        verdict,
        format!("{} of {tried}", clean.len()),
    ]
}

/// The file name of this program.
fn own_name() -> Result<String> {
    let own = std::env::current_exe()?;
    Ok(own.file_name().ok_or("this program has no name")?.to_string_lossy().into_owned())
}

/// Puts turns into another order each round. Quality does not matter, only variety.
struct Shuffle(u64);

impl Shuffle {
    fn seeded_by_time() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // xorshift stays at zero for ever.
        Self(now.as_nanos() as u64 | 1)
    }

    fn apply<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            // xorshift64
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            items.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}
