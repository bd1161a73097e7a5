//! System calls of a server for each message, counted by strace.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Fleet, Plan, Span};
use crate::{Result, report};

/// Messages before strace looks, so that the server's first-time work is over.
const WARM_UP_ROUNDS: u64 = 20;

/// Sends `messages` over the connections of `plan` and prints how often the process `server` called the
/// kernel for each of them. Connections are open before counting starts.
///
/// # Errors
/// When strace is not installed or may not attach, or the load fails.
pub fn run(plan: &Plan, messages: u64, server: u32) -> Result<()> {
    let mut fleet = Fleet::open(plan)?;
    let in_flight = (plan.connections * plan.depth) as u64;
    fleet.run(Span::Messages(in_flight * WARM_UP_ROUNDS), None)?;
    let trace = Trace::attach(server)?;
    let outcome = fleet.run(Span::Messages(messages), None)?;
    let summary = trace.detach()?;
    if outcome.tally.bad > 0 {
        return Err(format!("{} replies were wrong", outcome.tally.bad).into());
    }
    let rows: Vec<_> = calls(&summary)
        .into_iter()
        .map(|(name, count, errors)| {
            let per_message = count as f64 / messages as f64;
            vec![
                name,
                report::grouped(count as f64),
                report::grouped(errors as f64),
                format!("{per_message:.4}"),
            ]
        })
        .collect();
    println!(
        "{} messages over {} connections, depth {}:",
        report::grouped(messages as f64),
        plan.connections,
        plan.depth
    );
    print!("{}", report::table(&["system call", "calls", "errors", "per message"], &rows));
    Ok(())
}

/// A running `strace -c`.
struct Trace {
    child: Child,
    summary: PathBuf,
}

impl Trace {
    fn attach(process: u32) -> Result<Self> {
        let summary = std::env::temp_dir().join(format!("load-strace-{}", std::process::id()));
        let mut child = Command::new("strace")
            .args(["-c", "-f", "-U", "name,calls,errors", "-p", &process.to_string(), "-o"])
            .arg(&summary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("strace cannot be started ({error}): is it installed?"))?;
        let stderr = child.stderr.take().ok_or("strace has no standard error")?;
        // The first line says that it is attached, or why it cannot be.
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line)?;
        if !line.contains("attached") {
            let _ = child.wait();
            return Err(line.trim().to_string().into());
        }
        Ok(Self { child, summary })
    }

    fn detach(mut self) -> Result<String> {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(id, Signal::INT)?;
        }
        self.child.wait()?;
        let text = fs::read_to_string(&self.summary)?;
        fs::remove_file(&self.summary)?;
        Ok(text)
    }
}

/// Name, calls and errors of each line of strace's summary. The column of errors may be empty.
fn calls(summary: &str) -> Vec<(String, u64, u64)> {
    summary
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (name, count) = (fields.next()?, fields.next()?.parse().ok()?);
            let errors = fields.next().and_then(|errors| errors.parse().ok()).unwrap_or(0);
            (name != "total").then(|| (name.to_string(), count, errors))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_with_and_without_errors() {
        let summary = "syscall              calls    errors\n---------------- --------- ---------\n\
                       sendto               10000\nrecvfrom             10001         1\n\
                       ---------------- --------- ---------\ntotal                20001         1\n";
        assert_eq!(calls(summary), [("sendto".into(), 10_000, 0), ("recvfrom".into(), 10_001, 1)]);
    }
}
