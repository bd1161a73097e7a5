//! How many threads a server has.

use std::io;
use std::thread;

/// As many as were asked for, or as there are processors.
pub(crate) fn count(asked: usize) -> io::Result<u16> {
    let count = if asked == 0 { thread::available_parallelism()?.get() } else { asked };
    let too_many = || io::Error::new(io::ErrorKind::InvalidInput, format!("{count} threads are too many"));
    u16::try_from(count).ok().filter(|count| *count <= THREADS_MAX).ok_or_else(too_many)
}

/// More than any machine has processors to gain from.
const THREADS_MAX: u16 = 1_024;
