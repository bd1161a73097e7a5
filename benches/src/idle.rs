//! What an idle WebSocket costs a server in resident memory.

use std::thread::sleep;
use std::time::Duration;

use crate::client::{Fleet, Plan, Span, Traffic};
use crate::procfs::{Memory, memory, schedule};
use crate::{Result, report};

/// The most that one idle WebSocket may cost, in bytes.
pub const TARGET_BYTES: f64 = 600.0;
/// Allocators and kernels give memory back, and servers finish their handshakes, within this.
const SETTLE: Duration = Duration::from_secs(1);
/// One source address has some 28,000 ports, of which other work takes some.
const CONNECTIONS_PER_SOURCE: usize = 2_500;

/// A load of WebSockets that mostly wait.
pub fn plan(port: u16, path: &str, connections: usize) -> Plan {
    Plan {
        port,
        traffic: Traffic::WebSocket { path: path.into() },
        connections,
        size: 128,
        depth: 1,
        sources: u8::try_from(connections.div_ceil(CONNECTIONS_PER_SOURCE)).unwrap_or(u8::MAX).clamp(1, 100),
    }
}

/// Opens the plan's WebSockets against the process `server`, lets them idle, sends one message on each,
/// lets them idle again, and prints the growth of the server's memory. True when the target is met.
///
/// # Errors
/// When a connection fails, a reply is wrong, or the server's process cannot be read.
pub fn run(plan: &Plan, server: u32) -> Result<bool> {
    sleep(SETTLE);
    let (before, start) = (memory(server)?, schedule(server)?);
    let mut fleet = Fleet::open(plan)?;
    let handshakes = schedule(server)?.since(start).ran;
    sleep(SETTLE);
    let idle = memory(server)?;
    let outcome = fleet.run(Span::Messages(plan.connections as u64), Some(server))?;
    sleep(SETTLE);
    let after = memory(server)?;

    let each = |memory: fn(Memory) -> u64, then: Memory| {
        memory(then).saturating_sub(memory(before)) as f64 / plan.connections as f64
    };
    let resident = each(|memory| memory.resident, idle);
    let met = resident <= TARGET_BYTES && outcome.tally.bad == 0;
    println!("{} idle WebSockets from {} addresses", report::grouped(plan.connections as f64), plan.sources);
    println!("  server at the start     {} KiB resident", before.resident / 1024);
    println!(
        "  each idle WebSocket     {resident:.0} bytes resident, {:.0} of them anonymous; at most {TARGET_BYTES:.0}: {}",
        each(|memory| memory.anonymous, idle),
        if met { "met" } else { "missed" }
    );
    println!("  after one echo on each  {:.0} bytes resident", each(|memory| memory.resident, after));
    println!(
        "  each handshake          {:.1} µs of the server's CPU time",
        handshakes.as_secs_f64() * 1e6 / plan.connections as f64
    );
    println!(
        "  checked                 {} echoes byte by byte; bad {}, fragments {}",
        outcome.tally.verified, outcome.tally.bad, outcome.tally.fragments
    );
    Ok(met)
}
