//! Servers beside their ceilings, in alternating rounds of one call.
//!
//! CPU time per message repeats within a few percent where messages per second do not, and its ratio
//! to a bare server that ran a moment before repeats better still. A round that other work has disturbed
//! is thrown away and measured again.

use std::time::Duration;

use crate::cells::Cell;
use crate::process::Server;
use crate::rounds::{Shuffle, Turn};
use crate::verdict::{self, Round, Share};
use crate::{Result, ceiling, report, rounds};

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

/// A server and the rounds it was measured in, for one cell.
struct Contender<'a> {
    name: &'a str,
    server: &'a Server,
    rounds: Vec<Round>,
    /// Why the server cannot do this load.
    failure: Option<String>,
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
        let turn = |plan, server: &Server| Turn { plan, server: server.id() };
        let mut turns = vec![turn(cell.ceiling_plan(ceiling.port), ceiling)];
        turns.extend(contenders.iter().map(|one| turn(cell.plan(one.server.port), one.server)));
        let mut figures = rounds::round(&turns, comparison.measure, shuffle).into_iter();
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
pub(crate) fn own_name() -> Result<String> {
    let own = std::env::current_exe()?;
    Ok(own.file_name().ok_or("this program has no name")?.to_string_lossy().into_owned())
}
