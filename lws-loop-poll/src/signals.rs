//! Signals as readable descriptors.

use signal_hook::SigId;
use signal_hook::flag::register_conditional_default;
use signal_hook::low_level::{pipe, unregister};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Caught signals for a loop: see [`PollLoop::watch_signals`](crate::PollLoop::watch_signals). They are caught from
/// the creation of this value on.
///
/// When the last of those for a signal is dropped, that signal does what it does by default: mostly, it ends the process,
/// also where the program catches it by other means. Such a program keeps one of these.
pub struct Signals {
    caught: Vec<Caught>,
}

struct Caught {
    signal: i32,
    id: SigId,
    descriptor: UnixStream,
}

impl Signals {
    /// SIGINT: Ctrl-C.
    pub const INTERRUPT: i32 = signal_hook::consts::SIGINT;
    /// SIGTERM: the polite request to end.
    pub const TERMINATE: i32 = signal_hook::consts::SIGTERM;
    /// SIGHUP: by custom, to read the configuration again.
    pub const HANG_UP: i32 = signal_hook::consts::SIGHUP;

    /// Catches each of `signals`.
    ///
    /// # Errors
    /// The system has no descriptor left, or one of them cannot be caught.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let caught = signals.iter().map(|signal| Caught::new(*signal)).collect::<io::Result<_>>()?;
        Ok(Self { caught })
    }

    /// Catches the signals that ask a server to end: SIGTERM and SIGINT.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn to_end() -> io::Result<Self> {
        Self::new(&[Self::TERMINATE, Self::INTERRUPT])
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.caught.iter().map(|caught| caught.descriptor.as_raw_fd())
    }

    /// Takes the signal of the descriptor at `index`, if it was caught.
    pub(crate) fn take(&self, index: usize) -> Option<i32> {
        let caught = self.caught.get(index)?;
        let mut came = false;
        while let Ok(1..) = (&caught.descriptor).read(&mut [0; 64]) {
            came = true;
        }
        came.then_some(caught.signal)
    }
}

impl Caught {
    fn new(signal: i32) -> io::Result<Self> {
        let (descriptor, other) = UnixStream::pair()?;
        descriptor.set_nonblocking(true)?;
        let mut catchers = catchers();
        if let Entry::Vacant(vacant) = catchers.entry(signal) {
            // From here on the signal comes to this handler, and until it is caught it does what it does by default.
            let nobody = Arc::new(AtomicBool::new(true));
            register_conditional_default(signal, Arc::clone(&nobody))?;
            vacant.insert(Catchers { count: 0, nobody });
        }
        let id = pipe::register(signal, other)?;
        if let Some(catchers) = catchers.get_mut(&signal) {
            catchers.change(1);
        }
        Ok(Self { signal, id, descriptor })
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        unregister(self.id);
        if let Some(catchers) = catchers().get_mut(&self.signal) {
            catchers.change(-1);
        }
    }
}

/// How often one signal is caught in this process.
struct Catchers {
    count: isize,
    /// Not at all: the signal does what it does by default. The handler that was registered first stays, and looks here.
    nobody: Arc<AtomicBool>,
}

impl Catchers {
    fn change(&mut self, by: isize) {
        self.count += by;
        debug_assert!(self.count >= 0, "each that ends has begun");
        self.nobody.store(self.count == 0, Ordering::SeqCst);
    }
}

fn catchers() -> MutexGuard<'static, BTreeMap<i32, Catchers>> {
    static CATCHERS: Mutex<BTreeMap<i32, Catchers>> = Mutex::new(BTreeMap::new());
    CATCHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.caught.iter().map(|caught| caught.signal)).finish()
    }
}
