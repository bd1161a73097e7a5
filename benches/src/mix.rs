//! What idle connections cost the busy ones beside them.
//!
//! Two processes of the same server run, one of them with idle WebSockets, and the same load is measured on both in
//! turn.

use std::time::Duration;

use crate::client::{Fleet, Plan};
use crate::process::Server;
use crate::rounds::{Shuffle, Turn};
use crate::verdict::{self, Round};
use crate::{Result, idle, report, rounds};

/// The most that busy connections may cost beside idle ones, as a multiple of what they cost alone.
pub const TARGET: f64 = 1.05;

/// What to measure.
pub struct Mix {
    /// The server's command.
    pub server: String,
    /// The first of two ports.
    pub port: u16,
    /// The core of the servers.
    pub core: usize,
    /// Where the server echoes.
    pub path: String,
    /// The busy connections; its port does not count.
    pub busy: Plan,
    /// How many WebSockets idle.
    pub idle: usize,
    /// Clean rounds wanted.
    pub rounds: usize,
    /// Rounds after which it ends with the clean ones it has.
    pub rounds_max: usize,
    /// How long each of the two is measured in a round.
    pub measure: Duration,
}

/// Measures and prints the ratio of the server's CPU time per message. True when the target is met.
///
/// # Errors
/// When a server does not start, a connection fails, or a reply is wrong.
pub fn run(mix: &Mix) -> Result<bool> {
    let alone = Server::start(&mix.server, mix.port, mix.core)?;
    let beside = Server::start(&mix.server, mix.port + 1, mix.core)?;
    let _idle = Fleet::open(&idle::plan(beside.port, &mix.path, mix.idle))?;
    let turn =
        |server: &Server| Turn { plan: Plan { port: server.port, ..mix.busy.clone() }, server: server.id() };
    let turns = [turn(&alone), turn(&beside)];
    let mut shuffle = Shuffle::seeded_by_time();
    let mut rounds = Vec::new();
    while rounds.len() < mix.rounds_max && verdict::clean(&rounds).len() < mix.rounds {
        let mut figures = rounds::round(&turns, mix.measure, &mut shuffle).into_iter();
        let (Some(alone), Some(beside)) = (figures.next(), figures.next()) else { break };
        let (alone, beside) = (alone?, beside?);
        eprintln!(
            "round {}: alone {:.0} ns, beside idle ones {:.0} ns",
            rounds.len() + 1,
            alone.ns,
            beside.ns
        );
        rounds.push(Round { ceiling: alone, server: beside });
    }
    let clean = verdict::clean(&rounds);
    let share =
        verdict::share(&clean).or_else(|| verdict::share(&rounds)).ok_or("at least one round is needed")?;
    let ratio = 100.0 / share.median;
    let met = ratio <= TARGET && !clean.is_empty();
    println!(
        "{} busy connections: {} ns of server CPU per message alone, {} ns beside {} idle WebSockets; \
         ratio {ratio:.3}, at most {TARGET}: {} ({} clean rounds of {})",
        mix.busy.connections,
        report::grouped(share.ceiling_ns),
        report::grouped(share.server_ns),
        report::grouped(mix.idle as f64),
        match (clean.is_empty(), met) {
            (true, _) => "disturbed",
            (false, true) => "met",
            (false, false) => "missed",
        },
        clean.len(),
        rounds.len()
    );
    Ok(met)
}
