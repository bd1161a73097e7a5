//! User instructions, counted by valgrind's callgrind.
//!
//! The cost of one operation is the difference between a long and a short run, divided by the difference of
//! their lengths: whatever happens once cancels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::client::{Fleet, Plan, Span};
use crate::process::Server;

/// callgrind counts every round of a `rep movsb` as an instruction, and glibc prefers those for long copies:
/// with these settings it uses vector loops, as many instructions as the processor really fetches.
const ENVIRONMENT: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.cpu.x86_rep_movsb_threshold=0x7ffffff0:glibc.cpu.x86_rep_stosb_threshold=0x7ffffff0",
);

/// Two run lengths.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// Operations of the short run.
    pub short: u64,
    /// Operations of the long run.
    pub long: u64,
}

impl Lengths {
    fn per_operation(self, short: u64, long: u64) -> f64 {
        long.saturating_sub(short) as f64 / (self.long - self.short) as f64
    }
}

/// Instructions for each operation of a program that takes `arguments` and a count as its last argument.
///
/// # Errors
/// When valgrind is not installed or the program fails.
pub fn program(program: &Path, arguments: &[&str], lengths: Lengths) -> Result<f64> {
    let count = |operations: u64| -> Result<u64> {
        let out = out_file();
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(program)
            .args(arguments)
            .arg(operations.to_string())
            .env(ENVIRONMENT.0, ENVIRONMENT.1)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("valgrind cannot be started ({error}): is it installed?"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} failed: {}", program.display(), said.trim()).into());
        }
        instructions(&out)
    };
    Ok(lengths.per_operation(count(lengths.short)?, count(lengths.long)?))
}

/// Instructions of a server for each message of `plan`. The server runs on core 0.
///
/// # Errors
/// When valgrind is not installed, the server does not start or does not end after SIGTERM, or a reply is wrong.
pub fn server(template: &str, plan: &Plan, lengths: Lengths) -> Result<f64> {
    let count = |messages: u64| -> Result<u64> {
        let out = out_file();
        let command =
            format!("valgrind --tool=callgrind --quiet --callgrind-out-file={} {template}", out.display());
        let server = Server::start_with(&command, plan.port, 0, &[ENVIRONMENT])?;
        let mut fleet = Fleet::open(plan)?;
        let outcome = fleet.run(Span::Messages(messages), None)?;
        if outcome.tally.bad > 0 {
            return Err(format!("{} replies were wrong", outcome.tally.bad).into());
        }
        drop(fleet);
        server.stop()?;
        instructions(&out)
    };
    Ok(lengths.per_operation(count(lengths.short)?, count(lengths.long)?))
}

fn out_file() -> PathBuf {
    std::env::temp_dir().join(format!("callgrind.out.{}", std::process::id()))
}

/// The total of a callgrind output file, which is removed.
fn instructions(out: &Path) -> Result<u64> {
    let text =
        fs::read_to_string(out).map_err(|error| format!("callgrind left no {}: {error}", out.display()))?;
    fs::remove_file(out)?;
    total(&text).ok_or_else(|| "callgrind's output has no total".into())
}

/// The line `totals: N`, or `summary: N` where a version writes only that.
fn total(text: &str) -> Option<u64> {
    let line = |name| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line("totals:").or_else(|| line("summary:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        assert_eq!(total("events: Ir\nfn=(0)\n1 2\ntotals: 123456\n"), Some(123_456));
        assert_eq!(total("summary: 42\n"), Some(42));
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn what_happens_once_cancels() {
        assert_eq!(Lengths { short: 1_000, long: 3_000 }.per_operation(5_000_000, 5_800_000), 400.0);
    }
}
