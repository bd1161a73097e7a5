//! What the kernel counts about a process, read from `/proc`. Knows nothing of what the process does.

use std::fs;
use std::time::Duration;

use crate::Result;

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// All of it.
    pub resident: u64,
    /// What does not come from files: heap and stacks.
    pub anonymous: u64,
}

/// How a process got on with the scheduler since it started, over all threads that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Schedule {
    /// On a core.
    pub ran: Duration,
    /// Ready to run, while something else had the core.
    pub waited: Duration,
}

impl Schedule {
    /// What came after `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self { ran: self.ran.saturating_sub(earlier.ran), waited: self.waited.saturating_sub(earlier.waited) }
    }
}

/// What the scheduler has counted for `process`.
///
/// From `schedstat`, which counts nanoseconds; `stat` counts ticks of 10 ms. A thread that is on a core is accounted
/// for at the last tick.
pub fn schedule(process: u32) -> Result<Schedule> {
    let mut schedule = Schedule::default();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let mut fields = text.split_whitespace().filter_map(|field| field.parse().ok());
        schedule.ran += Duration::from_nanos(fields.next().unwrap_or(0));
        schedule.waited += Duration::from_nanos(fields.next().unwrap_or(0));
    }
    Ok(schedule)
}

/// The resident memory of `process`.
pub fn memory(process: u32) -> Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let bytes = |name| field_kib(&text, name).map(|kib| kib * 1024);
    match (bytes("VmRSS:"), bytes("RssAnon:")) {
        (Some(resident), Some(anonymous)) => Ok(Memory { resident, anonymous }),
        _ => Err(format!("/proc/{process}/status tells no memory").into()),
    }
}

/// The value of a line such as `VmRSS:  5242 kB`.
fn field_kib(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix("kB")?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_line_is_read_in_kibibytes() {
        let status = "Name:\tcat\nVmRSS:\t    5242 kB\nRssAnon:\t     100 kB\n";
        assert_eq!(field_kib(status, "VmRSS:"), Some(5242));
        assert_eq!(field_kib(status, "VmSwap:"), None);
    }

    #[test]
    fn the_own_process_has_memory_and_has_used_a_core() {
        let own = std::process::id();
        assert!(memory(own).is_ok_and(|memory| memory.resident >= memory.anonymous));
        assert!(schedule(own).is_ok_and(|schedule| schedule.ran > Duration::ZERO));
    }
}
