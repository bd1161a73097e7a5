//! The budget of one connection in its turn, and how its turn is charged to the service's budget.

use crate::budget::TurnBudget;
use crate::options::DriverOptions;

/// The rest of a connection's budget in this turn.
pub(crate) struct ConnectionBudget {
    pub(crate) read: usize,
    pub(crate) write: usize,
    pub(crate) events: usize,
}

/// The cost of a connection's turn beside its events, in steps: a read, a write, and the work around them.
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

    /// Counts an event, also as a step of the service's turn. Returns false if that was the last one that either
    /// budget allows.
    #[inline(always)]
    pub(crate) fn count(&mut self, turn: &mut TurnBudget) -> bool {
        self.events = self.events.saturating_sub(1);
        if turn.use_step() {
            self.events = 0;
        }
        self.events > 0
    }

    /// Charges the connection's turn to the budget of the service.
    #[inline]
    pub(crate) fn charge(&self, options: &DriverOptions, turn: &mut TurnBudget) {
        turn.use_steps(TURN_STEPS);
        turn.use_bytes(options.read_bytes_per_turn - self.read + options.write_bytes_per_turn - self.write);
    }
}
