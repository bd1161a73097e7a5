//! What the system counts of this process, by the names that every collector knows. Files of `/proc` are no files of a disk: reading them
//! does not wait.

use lws_server::metrics::{Exposition, Kind};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::time::Duration;

pub(super) fn write(text: &mut Exposition) {
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // The one that lists them is not counted.
        let open = descriptors.count().saturating_sub(1) as u64;
        text.family("process_open_fds", Kind::Gauge, "Descriptors that are open.").sample(&[], open);
    }
    let max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    text.family("process_max_fds", Kind::Gauge, "Descriptors that may be open.").sample(&[], max);
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        write_stat(text, &stat);
    }
}

fn write_stat(text: &mut Exposition, stat: &Stat) {
    let ticks = clock_ticks_per_second().max(1);
    let seconds = |count: u64| Duration::from_millis(count.saturating_mul(1_000) / ticks);
    let resident = stat.resident_pages.saturating_mul(page_size() as u64);
    text.family("process_cpu_seconds", Kind::Counter, "Time of processors, of the user and the system.")
        .seconds(&[], seconds(stat.cpu_ticks));
    text.family("process_resident_memory_bytes", Kind::Gauge, "Memory that is resident.")
        .sample(&[], resident);
    text.family("process_virtual_memory_bytes", Kind::Gauge, "Memory that is mapped.")
        .sample(&[], stat.virtual_bytes);
    text.family("process_threads", Kind::Gauge, "Threads of the process.").sample(&[], stat.threads);
    if let Some(booted) = booted() {
        let started = Duration::from_secs(booted) + seconds(stat.started_ticks);
        let help = "When the process was started, since the first of January 1970, UTC.";
        text.family("process_start_time_seconds", Kind::Gauge, help).seconds(&[], started);
    }
}

/// When the system was started, in seconds since 1970. proc(5), `/proc/stat`.
fn booted() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// What `/proc/self/stat` says. proc(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program stands in parentheses and may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        // The state, which is the third field of the manual, is the first here.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text =
            "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 5 0 4711 1000 250 18446744073709551615 1";
        let stat = Stat {
            cpu_ticks: 42,
            threads: 5,
            started_ticks: 4_711,
            virtual_bytes: 1_000,
            resident_pages: 250,
        };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (a"), None);
    }
}
