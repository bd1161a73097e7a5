//! An eventfd as a model: a counter that a read empties, and a sleep that ends when it is not empty.

use loom::sync::Mutex;
use loom::thread;
use std::sync::PoisonError;

pub(crate) struct Bell {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: u64,
    rings: u64,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()) }
    }

    fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn ring(&self) {
        self.with(|state| {
            state.count += 1;
            state.rings += 1;
        });
    }

    pub(crate) fn hush(&self) {
        self.with(|state| state.count = 0);
    }

    /// What a host does: it waits until the descriptor is readable. If no thread rings any more, loom reports a deadlock.
    pub(crate) fn sleep(&self) {
        while self.with(|state| state.count == 0) {
            thread::yield_now();
        }
    }

    pub(crate) fn rings(&self) -> u64 {
        self.with(|state| state.rings)
    }
}
