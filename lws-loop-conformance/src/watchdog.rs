//! Ends a scenario that takes too long, from another thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type GiveUp = Box<dyn Fn(Duration) + Send>;

/// What a scenario leaves with its watchdog: how it is ended from another thread.
#[derive(Clone, Default)]
pub(crate) struct Watchdog(Arc<Mutex<Option<GiveUp>>>);

impl Watchdog {
    /// Says how the service that runs now is ended.
    pub(crate) fn on_give_up(&self, give_up: impl Fn(Duration) + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(give_up));
    }

    /// Forgets the service, of which a handle was kept, and with it a descriptor.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Ends the service that runs now, as it has taken `patience`.
    pub(crate) fn give_up(&self, patience: Duration) {
        if let Some(give_up) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            give_up(patience);
        }
    }
}
