//! What a service manager is notified of, and what it hands over: the protocols of systemd, which others speak as well. Without one nothing
//! happens.
//!
//! sd_notify(3): datagrams to the socket that `NOTIFY_SOCKET` names. sd_listen_fds(3): sockets that listen already, from descriptor 3
//! on, if `LISTEN_PID` is this process.

use crate::sys;
use lws_server::{Handle, ListeningSocket};
use rustix::time::{ClockId, clock_gettime};
use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The first descriptor that is handed over. sd_listen_fds(3): SD_LISTEN_FDS_START.
const FIRST_DESCRIPTOR: RawFd = 3;

/// The service manager that has started this process, if there is one that wants to know.
#[derive(Clone, Default)]
pub(crate) struct Manager {
    socket: Option<Arc<UnixDatagram>>,
    /// How long the manager waits for a sign of life before it ends the process.
    watchdog: Option<Duration>,
    /// Another process serves: what becomes of this one is no matter of the manager any more.
    is_over: Arc<AtomicBool>,
}

impl Manager {
    /// What the environment says of one.
    ///
    /// # Errors
    /// It names a socket that cannot be reached.
    pub(crate) fn from_environment() -> io::Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Ok(Self::default()) };
        let socket = connect(&name).map_err(|error| {
            io::Error::new(error.kind(), format!("NOTIFY_SOCKET {}: {error}", name.display()))
        })?;
        let is_ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let micros = env::var("WATCHDOG_USEC").ok().and_then(|micros| micros.parse().ok());
        let watchdog = micros.filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
        Ok(Self { socket: Some(Arc::new(socket)), watchdog, is_over: Arc::default() })
    }

    /// Every listener is open.
    pub(crate) fn ready(&self, status: impl Display) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Files are read again: [`ready`](Self::ready) follows. systemd.service(5), `Type=notify-reload`.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The server ends in an orderly way.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=draining");
    }

    /// Another process serves from now on, and says everything else itself. Only the process that the manager knows may name it.
    pub(crate) fn hand_over(&self, id: u32) {
        self.send(&format!("MAINPID={id}"));
        self.is_over.store(true, Ordering::Release);
    }

    /// Has the loops of the server give a sign of life while each of them turns: one that hangs gives none.
    pub(crate) fn watch(&self, handle: &Handle) {
        let Some(timeout) = self.watchdog else { return };
        // Twice within the half of it that sd_watchdog_enabled(3) recommends, as the threads do not turn together.
        let period = timeout / 4;
        let turned: Arc<[AtomicBool]> = (0..handle.threads()).map(|_| AtomicBool::new(false)).collect();
        let manager = self.clone();
        handle.post_everywhere(move |cx| {
            let (turned, manager, thread) = (Arc::clone(&turned), manager.clone(), cx.thread());
            cx.every(period, move |_| {
                turned[thread].store(true, Ordering::Relaxed);
                if thread == 0 && turned.iter().all(|turned| turned.load(Ordering::Relaxed)) {
                    turned.iter().for_each(|turned| turned.store(false, Ordering::Relaxed));
                    manager.send("WATCHDOG=1");
                }
            });
        });
    }

    fn send(&self, state: &str) {
        if let Some(socket) = &self.socket
            && !self.is_over.load(Ordering::Acquire)
        {
            // A manager that takes nothing now does not stop the server.
            let _ = socket.send(state.as_bytes());
        }
    }
}

fn connect(name: &OsString) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        }
        _ => socket.connect(name)?,
    }
    Ok(socket)
}

/// The sockets that the manager has opened for this process. To be called once.
///
/// # Errors
/// One of them is no stream socket that listens.
pub(crate) fn sockets() -> io::Result<Vec<ListeningSocket>> {
    // Those of another process are not ours, though its variables may have come down to this one.
    if env::var("LISTEN_PID").ok() != Some(std::process::id().to_string()) {
        return Ok(Vec::new());
    }
    let count: RawFd = env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    let adopt = |number: RawFd| {
        let adopted = sys::inherited(number).and_then(ListeningSocket::adopt);
        adopted.map_err(|error| {
            io::Error::new(error.kind(), format!("LISTEN_FDS: descriptor {number}: {error}"))
        })
    };
    (FIRST_DESCRIPTOR..FIRST_DESCRIPTOR.saturating_add(count)).map(adopt).collect()
}
