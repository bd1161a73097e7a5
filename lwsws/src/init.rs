//! As the first process of a container: the server is a process of its own, and this one does what the system expects of the first. It passes
//! signals on, waits for whatever is left without a parent, and ends with the server, whose place may have been taken by an upgrade.

use crate::launch::Launch;
use crate::sys;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

/// The descriptor at which the first process learns who has taken the server's place.
pub(crate) const VARIABLE: &str = "LWSWS_INIT";

/// In a server: that descriptor.
static SUCCESSORS: OnceLock<OwnedFd> = OnceLock::new();

/// Whether this is the first process, which is to start the server and not to be it.
pub(crate) fn is_first() -> bool {
    getpid() == Pid::INIT
}

/// Takes what the first process has handed over, if there is one. To be called at the start, before there is another thread.
pub(crate) fn note() -> io::Result<()> {
    let Some(number) = sys::take_variable(VARIABLE).and_then(|number| number.parse().ok()) else {
        return Ok(());
    };
    let descriptor = sys::inherited(number)?;
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
    let _ = SUCCESSORS.set(descriptor);
    Ok(())
}

/// The descriptor for who comes after this process.
pub(crate) fn descriptor() -> Option<RawFd> {
    SUCCESSORS.get().map(AsRawFd::as_raw_fd)
}

/// Says to the first process, if there is one, which process is the server now.
pub(crate) fn hand_over(id: u32) {
    if let Some(descriptor) = SUCCESSORS.get().and_then(|descriptor| descriptor.try_clone().ok()) {
        // The first process reads as long as there is one.
        let _ = writeln!(File::from(descriptor), "{id}");
    }
}

/// Does what the first process does, until the server has ended.
///
/// # Errors
/// The server did not become ready.
pub(crate) fn run(ready_timeout: Duration) -> io::Result<ExitCode> {
    let mut signals = Signals::new([SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH])?;
    let (mut successors, theirs) = std::io::pipe()?;
    rustix::io::ioctl_fionbio(&successors, true)?;
    // Of its own session: what a terminal sends to its group would reach the server twice.
    let launch = Launch { successors: Some(theirs.as_raw_fd()), new_session: true, ..Launch::default() };
    let mut server = launch.start()?;
    server.wait(ready_timeout)?;
    // The last one serves; those before it have connections yet.
    let mut servers = vec![server.id()];
    server.go();
    for signal in signals.forever() {
        servers.extend(successor(&mut successors));
        if signal != SIGCHLD {
            servers.iter().for_each(|id| pass_on(*id, signal));
            continue;
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            servers.extend(successor(&mut successors));
            let ended = pid.as_raw_nonzero().get().unsigned_abs();
            if servers.last() == Some(&ended) {
                return Ok(status.exit_status().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into());
            }
            servers.retain(|id| *id != ended);
        }
    }
    Ok(ExitCode::FAILURE)
}

/// The process that was named last as the server, if another one was since.
fn successor(successors: &mut impl Read) -> Option<u32> {
    let mut text = [0; 64];
    let count = successors.read(&mut text).ok()?;
    std::str::from_utf8(&text[..count]).ok()?.lines().last()?.parse().ok()
}

fn pass_on(id: u32, signal: i32) {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal)) {
        // A server that has ended gets none, and its end is seen next.
        let _ = kill_process(pid, signal);
    }
}
