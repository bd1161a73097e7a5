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

/// Signals that ask for a reload or an upgrade, from the moment at which this was made on: what comes before somebody acts on them is
/// acted upon then.
pub(crate) struct Requests {
    reload: UnixStream,
    upgrade: UnixStream,
}

impl Requests {
    /// Begins to collect them. No other signal ends the program from here on that asks for something which a server may not have: those
    /// that other servers open their logs or change their programs with.
    pub(crate) fn collect() -> io::Result<Self> {
        // Never read: an early SIGUSR1 is about a log that is being opened now.
        let unheard = Arc::new(AtomicBool::new(false));
        for signal in [SIGUSR1, SIGWINCH] {
            flag::register(signal, Arc::clone(&unheard))?;
        }
        Ok(Self { reload: bell(SIGHUP)?, upgrade: bell(SIGUSR2)? })
    }

    /// Begins to act: each kind on a thread of its own, so that the server waits for nothing.
    pub(crate) fn obey(
        self,
        reload: impl FnMut() + Send + 'static,
        upgrade: impl FnMut() + Send + 'static,
    ) -> io::Result<()> {
        obey(self.reload, "reload", reload)?;
        obey(self.upgrade, "upgrade", upgrade)
    }
}

/// What an octet comes to for each signal.
fn bell(signal: i32) -> io::Result<UnixStream> {
    let (rung, bell) = UnixStream::pair()?;
    pipe::register(signal, bell)?;
    Ok(rung)
}

/// Has something done for each signal. What comes meanwhile is done once afterwards.
fn obey(mut rung: UnixStream, name: &str, mut duty: impl FnMut() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(move || {
        while let Ok(1..) = rung.read(&mut [0; 64]) {
            duty();
        }
    })?;
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
