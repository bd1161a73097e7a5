//! The same echo on every loop, each as a ratio to the built-in loop in the same rounds.

pub mod server;
pub mod turns;

use std::time::Duration;

use clap::ValueEnum;

use crate::client::{Plan, Traffic};
use crate::process::Server;
use crate::rounds::{self, Shuffle, Turn};
use crate::verdict::{Figure, median};
use crate::{Result, compare, report};
use server::Kind;

/// How many connections, with one message in flight on each.
const CONNECTIONS: [usize; 3] = [1, 100, 1_000];

/// What to measure.
pub struct Loops {
    /// Names and commands of further servers, which echo WebSocket messages.
    pub also: Vec<(String, String)>,
    /// Payload bytes of a message.
    pub size: usize,
    /// Rounds of each number of connections.
    pub rounds: usize,
    /// How long each server is measured in a round, in all its bursts.
    pub measure: Duration,
    /// The first of the ports to use.
    pub port: u16,
    /// The core of the servers.
    pub core: usize,
}

/// Measures and prints a table.
///
/// # Errors
/// When a server does not start or cannot do its load.
pub fn run(loops: &Loops) -> Result<()> {
    let program = compare::own_name()?;
    let own = |kind: &Kind| {
        let name = kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let command = format!("{{bin}}/{program} loop-server {name} --port {{port}}");
        (name, command)
    };
    let servers: Vec<_> = Kind::value_variants().iter().map(own).chain(loops.also.iter().cloned()).collect();
    let started = servers
        .iter()
        .zip(loops.port..)
        .map(|((_, command), port)| Server::start(command, port, loops.core))
        .collect::<Result<Vec<_>>>()?;
    let mut rows: Vec<_> = servers.iter().map(|(name, _)| vec![name.clone()]).collect();
    let mut shuffle = Shuffle::seeded_by_time();
    for connections in CONNECTIONS {
        let turn = |server: &Server| {
            let traffic = Traffic::WebSocket { path: "/echo".into() };
            let plan =
                Plan { port: server.port, traffic, connections, size: loops.size, depth: 1, sources: 1 };
            Turn { plan, server: server.id() }
        };
        let turns: Vec<_> = started.iter().map(turn).collect();
        let mut all = Vec::new();
        for round in 1..=loops.rounds {
            let figures = rounds::round(&turns, loops.measure, &mut shuffle);
            all.push(figures.into_iter().collect::<Result<Vec<Figure>>>()?);
            eprintln!("{connections} connections, round {round} of {}", loops.rounds);
        }
        for (server, row) in rows.iter_mut().enumerate() {
            let of = |figure: fn(&Figure) -> f64| {
                let ratios = all.iter().map(|round| figure(&round[server]) / figure(&round[0]));
                median(ratios.collect()).unwrap_or(f64::NAN)
            };
            let ns = median(all.iter().map(|round| round[server].ns).collect()).unwrap_or(f64::NAN);
            row.push(report::grouped(ns));
            row.push(format!("{:.2}", of(|figure| figure.ns)));
            row.push(format!("{:.2}", of(|figure| figure.wall)));
        }
    }
    let columns = CONNECTIONS.map(|connections| {
        [format!("{connections}: ns"), format!("{connections}: CPU"), format!("{connections}: wall")]
    });
    let headings: Vec<&str> =
        ["loop"].into_iter().chain(columns.iter().flatten().map(String::as_str)).collect();
    println!("{}", report::table(&headings, &rows));
    println!(
        "WebSocket echo of {}, one in flight on each connection. ns: CPU nanoseconds of the server per message, user and \
         system. CPU, wall: CPU time and elapsed time per message, as a ratio to the built-in loop in the same round. \
         Medians of {} rounds.",
        report::bytes(loops.size),
        loops.rounds
    );
    Ok(())
}
