//! Running out of descriptors, in processes that run one scenario.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;

/// A limit on the descriptors that the process can open, until it is dropped.
pub(crate) struct Scarcity {
    before: Rlimit,
    fillers: Vec<File>,
}

impl Scarcity {
    /// Lets the process open `free` more descriptors.
    pub(crate) fn leaving(free: usize) -> io::Result<Self> {
        let before = getrlimit(Resource::Nofile);
        let highest = open_descriptors()?.into_iter().max().unwrap_or(0);
        let mut this = Self { before, fillers: Vec::new() };
        let current = Some(u64::from(highest) + 1 + free as u64);
        setrlimit(Resource::Nofile, Rlimit { current, ..this.before })?;
        // Free numbers below the limit are taken first.
        while let Ok(filler) = File::open("/dev/null") {
            this.fillers.push(filler);
        }
        this.fillers.truncate(this.fillers.len().saturating_sub(free));
        Ok(this)
    }
}

impl Drop for Scarcity {
    fn drop(&mut self) {
        // Restoring an earlier soft limit cannot fail.
        let _ = setrlimit(Resource::Nofile, self.before);
    }
}

/// Takes every free number below the highest one, so that [`Scarcity::leaving`] has few to take each time.
pub(crate) fn fill_gaps() -> io::Result<Vec<File>> {
    let highest = open_descriptors()?.into_iter().max().unwrap_or(0);
    let mut fillers = Vec::new();
    loop {
        let filler = File::open("/dev/null")?;
        if filler.as_raw_fd() as u32 > highest {
            return Ok(fillers);
        }
        fillers.push(filler);
    }
}

/// The numbers of the open descriptors of this process.
pub(crate) fn open_descriptors() -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/dev/fd")? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(numbers)
}
