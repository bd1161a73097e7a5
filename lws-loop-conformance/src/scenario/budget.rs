//! More work than the budget of a turn. It must go on although no descriptor announces it, and other connections
//! must get their turns.

use super::on_each;
use super::transfer::Transfer;
use crate::Host;
use crate::bench::run_script_with;
use crate::watchdog::Watchdog;
use lws_loop_external::DriverOptions;

/// The bytes in each direction of each connection.
const TOTAL: u64 = 1 << 20;

pub(super) fn work_beyond_the_budget_of_a_turn_is_done<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    let options = DriverOptions {
        receive_buffer_bytes: 1 << 10,
        read_bytes_per_turn: 3_000,
        write_bytes_per_turn: 3_000,
        events_per_turn: 3,
        accepts_per_turn: 1,
        ..DriverOptions::default()
    };
    on_each(host, |host, setup| {
        run_script_with(watchdog, host, setup, options.clone(), Transfer::of(TOTAL, 6)).map(drop)
    })
}
