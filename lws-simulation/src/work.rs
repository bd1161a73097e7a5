//! What services measure their turns by: a clock that only their own system calls move, so that a turn ends at the same place on every
//! machine.

use lws_loop_external::{DriverOptions, TurnLimits};
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static ELAPSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// What a short system call takes, about.
const CALL: Duration = Duration::from_micros(2);

/// A service makes a system call.
pub(crate) fn call() {
    ELAPSED.set(ELAPSED.get() + CALL);
}

/// The options of services whose turns are measured so.
pub(crate) fn driver_options() -> DriverOptions {
    let turn = TurnLimits { clock: || ELAPSED.get(), ..TurnLimits::default() };
    DriverOptions { turn, ..DriverOptions::default() }
}
