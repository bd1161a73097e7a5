//! What one connection may do in its turn, and what the turn of the service is charged for that.

use crate::budget::TurnBudget;
use crate::options::DriverOptions;

/// What a connection may still do in this turn.
pub(crate) struct ConnectionBudget {
    pub(crate) read: usize,
    pub(crate) write: usize,
    pub(crate) events: usize,
}

/// What a turn of a connection costs beside its events, in steps: a read, a write, and what goes around them.
const TURN_STEPS: usize = 4;

impl ConnectionBudget {
    /// None of the options is zero: they were validated.
    #[inline]
    pub(crate) fn new(options: &DriverOptions) -> Self {
        Self {
            read: options.read_bytes_per_turn,
            write: options.write_bytes_per_turn,
            events: options.events_per_turn,
        }
    }

    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.read == 0 || self.write == 0 || self.events == 0
    }

    /// Counts an event, also as a step of the service's turn. False if it was the last one of either.
    #[inline(always)]
    pub(crate) fn count(&mut self, turn: &mut TurnBudget) -> bool {
        self.events = self.events.saturating_sub(1);
        if turn.use_step() {
            self.events = 0;
        }
        self.events > 0
    }

    /// Charges the turn of the service with that of the connection.
    #[inline]
    pub(crate) fn charge(&self, options: &DriverOptions, turn: &mut TurnBudget) {
        turn.use_steps(TURN_STEPS);
        turn.use_bytes(options.read_bytes_per_turn - self.read + options.write_bytes_per_turn - self.write);
    }
}
