//! Ends a scenario that takes too long, from another thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type GiveUp = Box<dyn Fn(Duration) + Send>;

/// The way in which a running scenario is ended from another thread.
#[derive(Clone, Default)]
pub(crate) struct Watchdog(Arc<Mutex<Option<GiveUp>>>);

impl Watchdog {
    /// Registers how the running service is ended.
    pub(crate) fn on_give_up(&self, give_up: impl Fn(Duration) + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(give_up));
    }

    /// Drops the handle of the service, which holds a descriptor open.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Ends the running service, as it has taken `patience`.
    pub(crate) fn give_up(&self, patience: Duration) {
        if let Some(give_up) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            give_up(patience);
        }
    }
}
