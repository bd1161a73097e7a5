//! An eventfd as a model: a counter that a read empties, and a sleep that ends when it is not empty.

use loom::sync::Mutex;
use loom::thread;
use std::sync::PoisonError;

pub(crate) struct Notifier {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: u64,
    notices: u64,
}

impl Notifier {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()) }
    }

    fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn notify(&self) {
        self.with(|state| {
            state.count += 1;
            state.notices += 1;
        });
    }

    pub(crate) fn acknowledge(&self) {
        self.with(|state| state.count = 0);
    }

    /// What a host does: it waits until the descriptor is readable. If no thread rings any more, loom reports a deadlock.
    pub(crate) fn sleep(&self) {
        while self.with(|state| state.count == 0) {
            thread::yield_now();
        }
    }

    pub(crate) fn notices(&self) -> u64 {
        self.with(|state| state.notices)
    }
}
