//! What a second thread of a server wins.
//!
//! Two processes of the same server run, with one thread and with two, and the same load is measured on both in turn. The
//! load is made so that the client does little for each message: pipelined frames that were made before, as many in one
//! system call as fit, and replies of which it looks at the headers.

use std::time::Duration;

use crate::client::{Fleet, Outcome, Plan, Span};
use crate::process::Server;
use crate::{Result, report};

/// The least that two threads should do in the time in which one does 1.
pub const TARGET: f64 = 1.7;

/// What to measure.
pub struct Comparison {
    /// The server's command, to which `--threads 1` and `--threads 2` are added.
    pub server: String,
    /// The first of two ports.
    pub port: u16,
    /// The load; its port does not count.
    pub plan: Plan,
    /// How often each is measured.
    pub rounds: usize,
    /// How long each is measured in a round.
    pub measure: Duration,
}

/// One round: what one thread did, and what two did.
struct Round {
    one: Outcome,
    two: Outcome,
}

/// Measures and prints. True when the target is met where the client takes nothing from the server.
///
/// # Errors
/// When a server does not start, a connection fails, or a reply is wrong.
pub fn run(comparison: &Comparison) -> Result<bool> {
    let start = |threads: u16| {
        let command = format!("{} --threads {threads}", comparison.server);
        Server::start_on_all(&command, comparison.port + threads - 1)
    };
    let (one, two) = (start(1)?, start(2)?);
    let mut rounds = Vec::new();
    for number in 0..comparison.rounds {
        // Taking turns: what else the machine does is not always the disadvantage of the same one.
        let round = if number % 2 == 0 {
            let one = measure(comparison, &one)?;
            Round { one, two: measure(comparison, &two)? }
        } else {
            let two = measure(comparison, &two)?;
            Round { one: measure(comparison, &one)?, two }
        };
        print_round(number + 1, &round);
        rounds.push(round);
    }
    let cost = median(&rounds, |round| server_ns(&round.two) / server_ns(&round.one));
    let rate = median(&rounds, |round| round.two.rate() / round.one.rate());
    // Client and server need more than two cores, so on two the rate says more of the client than of the server. With a
    // core for each, it grows by what the second thread does not spend on the first.
    let apart = (2.0 / cost).min(2.0);
    let met = apart >= TARGET;
    println!(
        "two threads beside one: {cost:.3} times the CPU time per message, so {apart:.2} times the rate where each has a core, \
         at least {TARGET}: {}; here {rate:.2} times, with the server on {:.2} cores and the client on {:.2}",
        if met { "met" } else { "missed" },
        median(&rounds, |round| round.two.server_busy().unwrap_or(f64::NAN)),
        median(&rounds, |round| round.two.client_busy()),
    );
    Ok(met)
}

fn measure(comparison: &Comparison, server: &Server) -> Result<Outcome> {
    let plan = Plan { port: server.port, ..comparison.plan.clone() };
    let span = Span::Time { warm_up: comparison.measure / 4, measure: comparison.measure };
    let outcome = Fleet::open(&plan)?.run(span, Some(server.id()))?;
    match outcome.tally.bad {
        0 => Ok(outcome),
        bad => Err(format!("{bad} replies were wrong").into()),
    }
}

fn print_round(number: usize, round: &Round) {
    let figures = |outcome: &Outcome| {
        format!(
            "{} messages/s, server {:.1} ns and client {:.1} ns each, server on {:.2} cores",
            report::grouped(outcome.rate()),
            server_ns(outcome),
            client_ns(outcome),
            outcome.server_busy().unwrap_or(0.0)
        )
    };
    eprintln!("round {number}: one thread {}", figures(&round.one));
    eprintln!("round {number}: two threads {}", figures(&round.two));
}

fn server_ns(outcome: &Outcome) -> f64 {
    outcome.server_ns().unwrap_or(f64::NAN)
}

fn client_ns(outcome: &Outcome) -> f64 {
    outcome.client.ran.as_nanos() as f64 / outcome.messages.max(1) as f64
}

fn median(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    let mut figures: Vec<_> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
