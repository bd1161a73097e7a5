//! What idle connections cost the busy ones beside them.

use crate::client::{Fleet, Outcome, Plan, Span};
use crate::verdict::median;
use crate::{Result, idle, report};

/// The most that busy connections may cost beside idle ones, as a multiple of what they cost alone.
pub const TARGET: f64 = 1.05;

/// Measures `busy` alone and beside `idle_connections` idle WebSockets, in turn, and prints the ratio of the
/// server's CPU time per message. True when the target is met.
///
/// # Errors
/// When a connection fails, a reply is wrong, or the process `server` cannot be read.
pub fn run(busy: &Plan, idle_connections: usize, rounds: usize, span: Span, server: u32) -> Result<bool> {
    let Some(path) = (match &busy.traffic {
        crate::client::Traffic::WebSocket { path } => Some(path.clone()),
        _ => None,
    }) else {
        return Err("only WebSocket connections can idle".into());
    };
    let waiting = idle::plan(busy.port, &path, idle_connections);
    let (mut alone, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let without = cost(&measured(busy, span, server)?)?;
        let with = {
            let _idle = Fleet::open(&waiting)?;
            cost(&measured(busy, span, server)?)?
        };
        eprintln!("round {}: alone {without:.0} ns, beside idle ones {with:.0} ns", round + 1);
        ratios.push(with / without);
        alone.push(without);
        beside.push(with);
    }
    let (Some(alone), Some(beside), Some(ratio)) = (median(alone), median(beside), median(ratios)) else {
        return Err("at least one round is needed".into());
    };
    let met = ratio <= TARGET;
    println!(
        "{} busy connections: {} ns of server CPU per message alone, {} ns beside {} idle WebSockets; \
         ratio {ratio:.3}, at most {TARGET}: {}",
        busy.connections,
        report::grouped(alone),
        report::grouped(beside),
        report::grouped(idle_connections as f64),
        if met { "met" } else { "missed" }
    );
    Ok(met)
}

fn measured(plan: &Plan, span: Span, server: u32) -> Result<Outcome> {
    Fleet::open(plan)?.run(span, Some(server))
}

fn cost(outcome: &Outcome) -> Result<f64> {
    match outcome.tally.bad {
        0 => outcome.server_ns().ok_or_else(|| "the server's CPU time is not known".into()),
        bad => Err(format!("{bad} replies were wrong").into()),
    }
}
