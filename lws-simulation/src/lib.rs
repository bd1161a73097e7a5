//! A simulation of whole services: the real driver, server, TLS and client on a simulated network, clock and source of
//! randomness, all determined by one seed, with oracles that detect violations.
//!
//! A [`Plan`] is a run as plain data. [`Plan::draw`] makes one from a seed, [`Plan::run`] runs it, and a plan that
//! fails is shrunk and printed as a test. `docs/simulation.md` shows how to run your own server.
//!
//! ```
//! use lws_server::http::Response;
//! use lws_simulation::plan::*;
//!
//! // Two clients on a slow network with short writes, and your own server.
//! let get = |path: &str| Exchange { begins: 0, asks: Ask::Get(octets(path)), reads: Reading::Steady, urgency: 3 };
//! let mut plan = Plan::calm(7);
//! plan.weather.short_writes = 500;
//! plan.weather.latency = 40_000;
//! plan.clients = list([
//!     Client { begins: 0, speaks: Speaks::Http1, exchanges: list([get("/"), get("/")]), keeps: 0 },
//!     Client { begins: 5, speaks: Speaks::Http2Tls, exchanges: list([get("/nowhere")]), keeps: 100 },
//! ]);
//! let outcome = plan.run_with(&|server| server.get("/", |_: &_| Response::text("Hello, world!")))?;
//! assert_eq!(outcome.exchanges[0].octets, 13);
//! # Ok::<(), Box<lws_simulation::Failure>>(())
//! ```
//!
//! # What is real and what is not
//!
//! Everything above system calls is the code that runs in a program: driver, handshakes, engine, server, handlers. The
//! network, the kernel's buffers, readiness, the clock and random bytes are simulated. Random bytes inside TLS come
//! from the cryptography library, so a trace depends on the lengths of records and not on their content.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../../docs/simulation.md")]
mod howto {}

mod client;
mod host;
mod hostile;
mod ledger;
mod peer;
pub mod plan;
mod random;
mod run;
mod scenes;
mod secrets;
mod server;
mod shrink;
mod tap;
mod weather;
mod work;
mod world;

pub use plan::Plan;
pub use random::Random;
pub use run::{Describe, ExchangeResult, Finding, Oracle, Outcome};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
pub use weather::Weather;

/// A plan that fails, the smallest one that was found to fail likewise, and the finding.
#[derive(Debug)]
pub struct Failure {
    /// The plan as it was run.
    pub plan: Plan,
    /// The smallest plan that was found to fail likewise.
    pub smallest: Plan,
    /// The finding of the smallest plan.
    pub finding: Finding,
}

/// The most runs that are spent on shrinking a plan.
const SHRINKING_RUNS: u32 = 400;
/// The most lines of the log that are printed.
const LINES: usize = 60;

impl Plan {
    /// Runs the plan with the built-in server.
    ///
    /// # Errors
    /// The finding, with the smallest plan that was found for it.
    pub fn run(&self) -> Result<Outcome, Box<Failure>> {
        self.check(None)
    }

    /// Runs the plan with a server of your own, whose routes `describe` adds. Its clients use
    /// [`Ask::Get`](plan::Ask::Get).
    ///
    /// # Errors
    /// The finding, with the smallest plan that was found for it.
    pub fn run_with(&self, describe: &Describe<'_>) -> Result<Outcome, Box<Failure>> {
        self.check(Some(describe))
    }

    /// Runs the plan as [`run`](Self::run) does, without shrinking a plan that fails.
    ///
    /// # Errors
    /// The finding.
    pub fn try_once(&self) -> Result<Outcome, Finding> {
        once(self, None, false)
    }

    fn check(&self, describe: Option<&Describe<'_>>) -> Result<Outcome, Box<Failure>> {
        let finding = match once(self, describe, false) {
            Ok(outcome) => return Ok(outcome),
            Err(finding) => finding,
        };
        let fails = |plan: &Plan| once(plan, describe, false).is_err_and(|it| it.kind() == finding.kind());
        let smallest = shrink::shrink(self, SHRINKING_RUNS, &fails);
        let finding = once(&smallest, describe, true).err().unwrap_or(finding);
        Err(Box::new(Failure { plan: self.clone(), smallest, finding }))
    }
}

/// Runs a plan; a panic is a finding.
fn once(plan: &Plan, describe: Option<&Describe<'_>>, keeps_log: bool) -> Result<Outcome, Finding> {
    match catch_unwind(AssertUnwindSafe(|| run::run(plan, describe, keeps_log))) {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Err(Finding { oracle: Oracle::Panic, text: text.to_owned(), log: Vec::new() })
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.plan.seed;
        writeln!(f, "seed {seed}: {}", self.finding)?;
        let from = self.finding.log.len().saturating_sub(LINES);
        for line in &self.finding.log[from..] {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "As a test, with `use lws_simulation::{{Weather, plan::*}};`:")?;
        writeln!(f, "#[test]\nfn seed_{seed}() {{")?;
        writeln!(f, "    let plan = {};", code(&self.smallest))?;
        writeln!(f, "    plan.run().unwrap_or_else(|failure| panic!(\"{{failure}}\"));\n}}")
    }
}

impl std::error::Error for Failure {}

/// A plan as Rust code: its `Debug` output, with the enums' names before their variants.
fn code(plan: &Plan) -> String {
    let mut text = format!("{plan:#?}");
    let names: &[(&str, &str)] = &[
        ("Delivery", "Level Edge OneShot"),
        ("Speaks", "Http1Tls Http2Tls Http1 Http2"),
        ("Framing", "Length Streamed"),
        ("Ends", "Whole Aborts Stalls"),
        ("Reading", "Steady Slow Stops Leaves Vanishes"),
        ("Ask", "Hello Get Head Bytes Wait Silence Echo Collect File Chat Push Idle Refused"),
        ("Step", "Says Trickles Repeats Requests Grants Waits Reads Finishes Stays Resets"),
    ];
    // This variant name exists in two enums.
    text = text.replace(" Vanishes,", " Step::Vanishes,");
    for (name, variants) in names {
        for variant in variants.split(' ') {
            for end in [",", "("] {
                let from = format!(" {variant}{end}");
                text = text.replace(&from, &format!(" {name}::{variant}{end}"));
            }
        }
    }
    text
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
