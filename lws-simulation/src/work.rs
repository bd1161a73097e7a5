//! The clock by which services measure their turns. Only their own system calls advance it, so that a turn ends at the
//! same point on every machine.

use lws_loop_external::{DriverOptions, TurnLimits};
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static ELAPSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The approximate time of a short system call.
const CALL: Duration = Duration::from_micros(2);

/// Advances the clock by one system call.
pub(crate) fn call() {
    ELAPSED.set(ELAPSED.get() + CALL);
}

/// The options of services that measure their turns by this clock.
pub(crate) fn driver_options() -> DriverOptions {
    let turn = TurnLimits { clock: || ELAPSED.get(), ..TurnLimits::default() };
    DriverOptions { turn, ..DriverOptions::default() }
}
