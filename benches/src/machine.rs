//! The machine under the measurement: cores, the descriptor limit, the own CPU clock.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Keeps the calling thread on `core`. A machine without that core is left as it is: the
/// utilisation in the report then shows that client and server shared one.
pub fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    if let Err(error) = sched_setaffinity(None, &cores) {
        eprintln!("core {core} cannot be used ({error}); going on unpinned");
    }
}

/// Runs `start`, whose child processes inherit `core`, and goes back to the core it came from.
pub fn with_children_on<T>(core: usize, start: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None);
    pin(core);
    let started = start();
    if let Ok(before) = before {
        // The set came from the kernel a moment ago; refusing it now changes only the figures' noise.
        let _ = sched_setaffinity(None, &before);
    }
    started
}

/// CPU time of this process so far, user and system.
pub fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Allows this process as many descriptors as the hard limit does. Children inherit it.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // When this fails, opening the connection that is one too many says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
