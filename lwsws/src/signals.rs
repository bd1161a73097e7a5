//! SIGTERM and SIGINT: the first drains the server, the second ends the program. SIGHUP: the configuration and certificates are
//! read again, if there are any. SIGUSR1: the file of the log is opened again. SIGUSR2: another process serves in place of this one. SIGWINCH
//! does nothing.

use crate::log::Log;
use crate::readiness::Readiness;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::pipe;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

/// Keeps signals from ending the program that ask for something which a server may not have: SIGHUP without certificates, and
/// those that other servers open their logs or change their programs with. The flags that are set here are never read.
pub(crate) fn survive() -> io::Result<()> {
    let unheard = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH] {
        flag::register(signal, Arc::clone(&unheard))?;
    }
    Ok(())
}

/// Begins to listen for signals, on a thread of its own: a server that is busy hears them too.
pub(crate) fn listen(readiness: Readiness, log: Option<Log>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut drains = false;
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => log.iter().for_each(Log::reopen),
                _ if drains => process::exit(1),
                _ => {
                    drains = true;
                    readiness.drain();
                }
            }
        }
    })?;
    Ok(())
}

/// Begins to listen for the signal that files have changed.
pub(crate) fn reload_on_signal(reload: impl FnMut() + Send + 'static) -> io::Result<()> {
    on_signal(SIGHUP, "reload", reload)
}

/// Begins to listen for the signal that another process is to serve.
pub(crate) fn upgrade_on_signal(upgrade: impl FnMut() + Send + 'static) -> io::Result<()> {
    on_signal(SIGUSR2, "upgrade", upgrade)
}

/// Has something done for a signal on a thread of its own, so that the server waits for nothing. What comes meanwhile is done once
/// afterwards.
fn on_signal(signal: i32, name: &str, mut duty: impl FnMut() + Send + 'static) -> io::Result<()> {
    let (mut signals, bell) = UnixStream::pair()?;
    pipe::register(signal, bell)?;
    thread::Builder::new().name(name.into()).spawn(move || {
        while let Ok(1..) = signals.read(&mut [0; 64]) {
            duty();
        }
    })?;
    Ok(())
}
