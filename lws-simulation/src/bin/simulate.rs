//! Runs seeds until one fails, or with `--survey` all of them: `simulate [--survey] [SEEDS] [FIRST]`.

use lws_simulation::{ExchangeResult, Outcome, Plan};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

/// The totals over the seeds that passed.
#[derive(Default)]
struct Sum {
    exchanges: usize,
    clean: usize,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        let is_clean = |exchange: &&ExchangeResult| exchange.cause.is_some_and(|cause| cause.is_clean());
        self.exchanges += outcome.exchanges.len();
        self.clean += outcome.exchanges.iter().filter(is_clean).count();
    }
}

fn main() -> ExitCode {
    let (options, numbers): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|it| it.starts_with("--"));
    let mut numbers = numbers.iter().map(|number| number.parse::<u64>());
    let surveys = options.iter().any(|option| option == "--survey");
    let (Ok(seeds), Ok(first)) = (numbers.next().unwrap_or(Ok(1_000)), numbers.next().unwrap_or(Ok(0)))
    else {
        eprintln!("simulate [--survey] [SEEDS] [FIRST]: two numbers, 1000 and 0 if they are left out");
        return ExitCode::FAILURE;
    };
    let begun = Instant::now();
    let mut sum = Sum::default();
    let mut findings: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    if surveys {
        // Panics are counted as findings, so they are not printed here.
        std::panic::set_hook(Box::new(|_| {}));
    }
    for seed in first..first.saturating_add(seeds) {
        let plan = Plan::draw(seed);
        if surveys {
            match plan.try_once() {
                Ok(outcome) => sum.add(&outcome),
                Err(finding) => findings.entry(finding.kind()).or_insert((seed, 0)).1 += 1,
            }
        } else {
            match plan.run() {
                Ok(outcome) => sum.add(&outcome),
                Err(failure) => {
                    println!("{failure}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    for (kind, (seed, count)) in &findings {
        println!("{count:>7} × {kind} (first seed {seed})");
    }
    let millis = begun.elapsed().as_secs_f64() * 1_000.0;
    println!(
        "{seeds} seeds from {first} on, {:.2} ms each; {} of {} exchanges ended cleanly",
        millis / seeds.max(1) as f64,
        sum.clean,
        sum.exchanges
    );
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
