//! Runs a scenario on a thread of its own, so that a loop which sleeps too long fails instead of hanging the test.

use crate::Host;
use crate::scenario::{Process, scenarios};
use crate::watchdog::Watchdog;
use std::env;
use std::fmt;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The time limit of a scenario: many times what the slowest one takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The time in which a loop has to return once its scenario was ended.
const GRACE: Duration = Duration::from_secs(15);

/// The failure of a loop in a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of the scenario.
    pub scenario: &'static str,
    /// The failure as a sentence.
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
///
/// Run it in a process without other work: some scenarios lower the limit of open files for a while, and count
/// descriptors.
pub fn run_all<H: Host + 'static>(make: impl Fn() -> H + Clone + Send + 'static) -> Vec<Failure> {
    scenarios::<H>().into_iter().filter_map(|scenario| run(scenario.name, make.clone()).err()).collect()
}

/// Runs one scenario of [`suite!`](crate::suite), in this process.
///
/// # Errors
/// The failure, or that there is no scenario of this name.
pub fn run<H: Host + 'static>(
    name: &'static str,
    make: impl FnOnce() -> H + Send + 'static,
) -> Result<(), Failure> {
    let failure = |what: String| Failure { scenario: name, what };
    let scenario = scenarios::<H>().into_iter().find(|scenario| scenario.name == name);
    let run = scenario.ok_or_else(|| failure("there is no such scenario".to_owned()))?.run;
    let watchdog = Watchdog::default();
    let watched = watchdog.clone();
    let (sender, results) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut host = make();
        let result = run(&watched, &mut host).map_err(|what| format!("{}: {what}", host.name()));
        // Sending fails if the scenario took too long and the receiver has given up.
        let _ = sender.send(result);
    });
    let result = results.recv_timeout(PATIENCE).or_else(|error| match error {
        RecvTimeoutError::Timeout => {
            watchdog.give_up(PATIENCE);
            results.recv_timeout(GRACE)
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

/// The panic message of a thread that ended without a result.
fn panic_of(thread: thread::JoinHandle<()>) -> String {
    let Err(panic) = thread.join() else { return "it ended without a result".to_owned() };
    let message =
        panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", message.unwrap_or("of another kind"))
}

/// The environment variable that marks processes which the kit has started for one scenario.
const ALONE: &str = "LWS_CONFORMANCE_ALONE";

/// Runs one scenario as the test of this name in this module, in a process of its own if it needs one.
#[doc(hidden)]
pub fn test<H: Host + 'static>(module: &str, name: &'static str, make: impl FnOnce() -> H + Send + 'static) {
    let needs_own = |process| process == Process::Own && env::var_os(ALONE).is_none();
    let own = scenarios::<H>().iter().any(|it| it.name == name && needs_own(it.process));
    let result = if own { in_own_process(module, name) } else { run(name, make) };
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// Runs the test of this name in this module again, alone in another process.
fn in_own_process(module: &str, name: &'static str) -> Result<(), Failure> {
    let failure = |what: String| Failure { scenario: name, what };
    // The test runner's name of a test is its path below the crate.
    let test = match module.split_once("::") {
        Some((_, module)) => format!("{module}::{name}"),
        None => name.to_owned(),
    };
    let program = env::current_exe().map_err(|error| failure(format!("this program: {error}")))?;
    let output = Command::new(program).args([&test, "--exact"]).env(ALONE, "1").output();
    let output = output.map_err(|error| failure(format!("a process of its own: {error}")))?;
    let output_text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && output_text.contains(" 1 passed") {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(failure(format!("in a process of its own, {}: {output_text}{errors}", output.status)))
}
