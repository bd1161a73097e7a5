//! Running out of descriptors, for processes that are alone.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;

/// While it lives, the process can open only a few more descriptors.
pub(crate) struct Scarcity {
    before: Rlimit,
    fillers: Vec<File>,
}

impl Scarcity {
    /// Leaves this many to be opened.
    pub(crate) fn leaving(free: usize) -> io::Result<Self> {
        let before = getrlimit(Resource::Nofile);
        let highest = open_descriptors()?.into_iter().max().unwrap_or(0);
        let mut this = Self { before, fillers: Vec::new() };
        let current = Some(u64::from(highest) + 1 + free as u64);
        setrlimit(Resource::Nofile, Rlimit { current, ..this.before })?;
        // Whatever is free below is taken first.
        while let Ok(filler) = File::open("/dev/null") {
            this.fillers.push(filler);
        }
        this.fillers.truncate(this.fillers.len().saturating_sub(free));
        Ok(this)
    }
}

impl Drop for Scarcity {
    fn drop(&mut self) {
        // A soft limit that it had before is one that it may have again.
        let _ = setrlimit(Resource::Nofile, self.before);
    }
}

/// Takes every number that is free below the highest one: to run out of descriptors often then costs little.
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

/// The numbers of this process's descriptors.
pub(crate) fn open_descriptors() -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/dev/fd")? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(numbers)
}
