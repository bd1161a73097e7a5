//! What cannot be said without `unsafe`: that a descriptor is ours which another process has opened, what a new process does before it runs
//! a program, and that no other thread reads the environment yet.

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::setsid;
use std::env;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Takes a descriptor that this process was started with, by its number. To be called once for each.
///
/// # Errors
/// It is not open.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    fs::symlink_metadata(format!("/proc/self/fd/{number}"))?;
    // SAFETY: it is open, and was handed over by who has started this process: nothing else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Has a command pass these descriptors on under their numbers, which are open until it was started, and perhaps begin a session of its own.
pub(crate) fn pass_on(command: &mut Command, descriptors: Vec<RawFd>, new_session: bool) {
    let before = move || -> io::Result<()> {
        if new_session {
            setsid()?;
        }
        for number in &descriptors {
            // SAFETY: the caller keeps it open until the command was started.
            fcntl_setfd(unsafe { BorrowedFd::borrow_raw(*number) }, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls alone: it neither allocates nor locks.
    unsafe { command.pre_exec(before) };
}

/// Takes a variable out of the environment, so that no program which this one starts gets it. To be called while there is one thread.
pub(crate) fn take_variable(name: &str) -> Option<String> {
    let value = env::var(name).ok();
    // SAFETY: no other thread is there that could read the environment.
    unsafe { env::remove_var(name) };
    value
}
