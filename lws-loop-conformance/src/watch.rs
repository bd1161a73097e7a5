//! Runs a scenario on a thread of its own, so that a loop which sleeps too long fails instead of hanging the test.

use crate::Host;
use crate::scenario::scenarios;
use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Many times what the slowest scenario takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a loop may take to hear that it is over.
const LAST_WORD: Duration = Duration::from_secs(15);

type GiveUp = Box<dyn Fn(Duration) + Send>;

/// What a scenario leaves with its watch: how to end it from another thread.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Option<GiveUp>>>);

impl Watch {
    /// Says how the service that runs now is ended.
    pub(crate) fn on_give_up(&self, give_up: impl Fn(Duration) + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(give_up));
    }

    fn give_up(&self) {
        if let Some(give_up) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            give_up(PATIENCE);
        }
    }
}

/// A scenario that a loop has not passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its name.
    pub scenario: &'static str,
    /// What has failed, in a sentence.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.scenario, self.what)
    }
}

impl std::error::Error for Failure {}

/// Runs every scenario, each on a host of its own and on a thread of its own, and returns those that failed: for callers
/// without a test runner. `make` is called on that thread.
pub fn run_all<H: Host + 'static>(make: impl Fn() -> H + Clone + Send + 'static) -> Vec<Failure> {
    scenarios::<H>().into_iter().filter_map(|(name, _)| run(name, make.clone()).err()).collect()
}

/// Runs one scenario of [`suite!`](crate::suite).
///
/// # Errors
/// The failure, or that there is no scenario of this name.
pub fn run<H: Host + 'static>(
    name: &'static str,
    make: impl FnOnce() -> H + Send + 'static,
) -> Result<(), Failure> {
    let failure = |what: String| Failure { scenario: name, what };
    let scenario = scenarios::<H>().into_iter().find(|(other, _)| *other == name);
    let (_, scenario) = scenario.ok_or_else(|| failure("there is no such scenario".to_owned()))?;
    let watch = Watch::default();
    let watched = watch.clone();
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut host = make();
        let result = scenario(&watched, &mut host).map_err(|what| format!("{}: {what}", host.name()));
        // Nobody listens any more if it took too long.
        let _ = tell.send(result);
    });
    let result = told.recv_timeout(PATIENCE).or_else(|error| match error {
        RecvTimeoutError::Timeout => {
            watch.give_up();
            told.recv_timeout(LAST_WORD)
        }
        RecvTimeoutError::Disconnected => Err(error),
    });
    match result {
        Ok(result) => result.map_err(failure),
        Err(RecvTimeoutError::Timeout) => {
            Err(failure("the loop sleeps, and even a message of another thread does not end it".to_owned()))
        }
        Err(RecvTimeoutError::Disconnected) => Err(failure(panic_of(thread))),
    }
}

/// What a thread has said that ended without a result.
fn panic_of(thread: thread::JoinHandle<()>) -> String {
    let Err(panic) = thread.join() else { return "it ended without a result".to_owned() };
    let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", said.unwrap_or("of another kind"))
}
