//! `instructions`: user instructions per operation, counted by callgrind, beside a checked-in baseline.
//!
//! The engine alone is counted through the program `engine`, the whole server over loopback.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::baseline::{self, Counts};
use benches::callgrind::{self, Lengths};
use benches::client::{Plan, Traffic};
use benches::process::OWN_SERVER_COUNTED;
use benches::{Result, machine, report};
use clap::{Parser, Subcommand};

/// Counts user instructions per operation with valgrind's callgrind.
#[derive(Parser)]
#[command(name = "instructions")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Only the operations whose name starts so, such as `engine` or `server-echo`.
    #[arg(long, global = true, default_value = "")]
    only: String,
    /// Where the accepted counts are.
    #[arg(long, global = true, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.toml"))]
    baseline: PathBuf,
    /// The command of the server; `{port}` becomes the port and `{bin}` the directory of this program.
    #[arg(long, global = true, default_value = OWN_SERVER_COUNTED)]
    server: String,
    /// Where the server listens.
    #[arg(long, global = true, default_value_t = 9100)]
    port: u16,
}

#[derive(Subcommand, Clone, Copy, PartialEq)]
enum Command {
    /// Count and print
    Show,
    /// Count, and fail if an operation costs more than 2 % over its accepted count, or has none
    Check,
    /// Count, and accept the counts
    Update,
}

/// Something that is counted.
struct Operation {
    name: &'static str,
    /// The most instructions it may cost, where a release promises so.
    target: Option<f64>,
    subject: Subject,
}

enum Subject {
    /// Arguments of the program `engine`.
    Engine(&'static [&'static str]),
    /// WebSocket messages of so many bytes, so many in flight on each connection.
    Echo { size: usize, depth: usize },
    /// HTTP/1.1 requests, so many in flight on each connection.
    Hello { depth: usize },
    /// WebSocket messages of 128 bytes, so many in flight on each connection, of a program beside this one: the same echo on one descriptor
    /// through the C interface and in Rust.
    Embedded { program: &'static str, depth: usize },
}

/// The targets were set beside peers whose parsers were handed 64 KiB at a time, so they belong to `batch`.
#[rustfmt::skip]
const OPERATIONS: [Operation; 27] = [
    Operation { name: "engine-echo-16", target: None, subject: Subject::Engine(&["echo", "16"]) },
    Operation { name: "engine-echo-128", target: None, subject: Subject::Engine(&["echo", "128"]) },
    Operation { name: "engine-echo-1024", target: None, subject: Subject::Engine(&["echo", "1024"]) },
    Operation { name: "engine-echo-16384", target: None, subject: Subject::Engine(&["echo", "16384"]) },
    Operation { name: "engine-batch-16", target: Some(350.0), subject: Subject::Engine(&["batch", "16"]) },
    Operation { name: "engine-batch-128", target: Some(400.0), subject: Subject::Engine(&["batch", "128"]) },
    Operation { name: "engine-batch-1024", target: Some(650.0), subject: Subject::Engine(&["batch", "1024"]) },
    Operation { name: "engine-batch-16384", target: Some(4_500.0), subject: Subject::Engine(&["batch", "16384"]) },
    Operation { name: "engine-hello", target: Some(2_500.0), subject: Subject::Engine(&["hello", "1"]) },
    Operation { name: "engine-hello-new", target: Some(2_500.0), subject: Subject::Engine(&["hello", "2"]) },
    Operation { name: "engine-h2-load", target: Some(7_000.0), subject: Subject::Engine(&["h2", "load"]) },
    Operation { name: "engine-h2-browser", target: Some(14_000.0), subject: Subject::Engine(&["h2", "browser"]) },
    Operation { name: "hpack-decode-load", target: Some(800.0), subject: Subject::Engine(&["hpack-decode", "load"]) },
    Operation { name: "hpack-decode-browser", target: Some(3_500.0), subject: Subject::Engine(&["hpack-decode", "browser"]) },
    Operation { name: "hpack-encode-response", target: Some(1_300.0), subject: Subject::Engine(&["hpack-encode", "response"]) },
    Operation { name: "hpack-encode-browser", target: None, subject: Subject::Engine(&["hpack-encode", "browser"]) },
    Operation { name: "server-echo-20", target: None, subject: Subject::Echo { size: 20, depth: 1 } },
    Operation { name: "server-echo-128", target: Some(1_100.0), subject: Subject::Echo { size: 128, depth: 1 } },
    Operation { name: "server-echo-128-depth-16", target: None, subject: Subject::Echo { size: 128, depth: 16 } },
    Operation { name: "server-echo-1024", target: None, subject: Subject::Echo { size: 1024, depth: 1 } },
    Operation { name: "server-echo-16384", target: None, subject: Subject::Echo { size: 16_384, depth: 1 } },
    Operation { name: "server-hello", target: Some(3_600.0), subject: Subject::Hello { depth: 1 } },
    Operation { name: "server-hello-depth-16", target: None, subject: Subject::Hello { depth: 16 } },
    Operation { name: "embedded-rust-128", target: None, subject: Subject::Embedded { program: "echo", depth: 1 } },
    Operation { name: "embedded-rust-128-depth-16", target: None, subject: Subject::Embedded { program: "echo", depth: 16 } },
    Operation { name: "embedded-c-128", target: None, subject: Subject::Embedded { program: "echo_c", depth: 1 } },
    Operation { name: "embedded-c-128-depth-16", target: None, subject: Subject::Embedded { program: "echo_c", depth: 16 } },
];

/// Long enough that what happens once is far below the tolerance.
const ENGINE: Lengths = Lengths { short: 2_000, long: 12_000 };
const SERVER: Lengths = Lengths { short: 10_000, long: 40_000 };
const CONNECTIONS: usize = 100;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    if cfg!(debug_assertions) {
        return Err("only counts of a release build mean anything: build with --release".into());
    }
    machine::raise_descriptor_limit();
    let mut accepted = baseline::read(&cli.baseline)?;
    let mut counts = Counts::new();
    for operation in OPERATIONS.iter().filter(|operation| operation.name.starts_with(&cli.only)) {
        let count = count(cli, &operation.subject).map_err(|error| format!("{}: {error}", operation.name))?;
        eprintln!("{}: {}", operation.name, report::grouped(count));
        counts.insert(operation.name.into(), count);
    }
    print!("{}", table(&counts, &accepted));
    let worse = |(name, count): (&String, &f64)| {
        accepted.get(name).is_none_or(|accepted| baseline::regressed(*count, *accepted))
    };
    match cli.command {
        Command::Show => Ok(true),
        Command::Check => Ok(!counts.iter().any(worse)),
        Command::Update => {
            accepted.extend(counts);
            baseline::write(&cli.baseline, &accepted)?;
            Ok(true)
        }
    }
}

fn count(cli: &Cli, subject: &Subject) -> Result<f64> {
    let plan = |traffic, size, depth| Plan {
        port: cli.port,
        traffic,
        connections: CONNECTIONS,
        size,
        depth,
        sources: 1,
    };
    match *subject {
        Subject::Engine(arguments) => callgrind::program(&beside("engine")?, arguments, ENGINE),
        Subject::Echo { size, depth } => {
            let traffic = Traffic::WebSocket { path: "/echo".into() };
            callgrind::server(&cli.server, &plan(traffic, size, depth), SERVER)
        }
        Subject::Embedded { program, depth } => {
            let traffic = Traffic::WebSocket { path: "/echo".into() };
            let command = format!("{} {{port}}", beside(program)?.display());
            callgrind::server(&command, &plan(traffic, 128, depth), SERVER)
        }
        Subject::Hello { depth } => {
            let traffic = Traffic::Http { path: "/hello".into(), content: "Hello, world!".into() };
            callgrind::server(&cli.server, &plan(traffic, 1, depth), SERVER)
        }
    }
}

/// A program that cargo, or `scripts/build-echo-c`, has put beside this one.
fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.parent().unwrap_or(Path::new(".")).join(name);
    if program.exists() {
        Ok(program)
    } else {
        Err(format!("{} is not built: benches/README.md says how", program.display()).into())
    }
}

fn table(counts: &Counts, accepted: &Counts) -> String {
    let rows: Vec<_> = OPERATIONS
        .iter()
        .filter_map(|operation| {
            let count = *counts.get(operation.name)?;
            let accepted = accepted.get(operation.name).copied();
            let change = accepted.map(|accepted| (count / accepted - 1.0) * 100.0);
            Some(vec![
                operation.name.to_string(),
                report::grouped(count),
                accepted.map_or("-".into(), report::grouped),
                change.map_or("-".into(), |change| format!("{change:+.1} %")),
                operation.target.map_or("-".into(), report::grouped),
                verdict(count, operation.target, accepted).into(),
            ])
        })
        .collect();
    report::table(&["operation", "instructions", "accepted", "change", "at most", "verdict"], &rows)
}

fn verdict(count: f64, target: Option<f64>, accepted: Option<f64>) -> &'static str {
    match (target, accepted) {
        (_, Some(accepted)) if baseline::regressed(count, accepted) => "regression",
        (Some(target), _) if count > target => "above target",
        (Some(_), _) => "met",
        (None, _) => "-",
    }
}
