//! Whether the server wants new work, and the one door through which it ends.
//!
//! A balancer asks `/readyz` and sends no more requests some time after the answer was no. So the answer changes first, and the
//! listeners close after a delay that the operator names.

use crate::manager::Manager;
use lws_server::{Context, Handle};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How far the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not every listener is open.
    Starting,
    Ready,
    /// It ends.
    Draining,
}

impl Phase {
    /// For a person.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// Ends the server, and knows whether it does.
#[derive(Clone)]
pub(crate) struct Readiness {
    phase: Arc<AtomicU8>,
    handle: Handle,
    manager: Manager,
    /// Between the first no of `/readyz` and the closing of the listeners.
    drain_delay: Duration,
}

impl Readiness {
    pub(crate) fn new(handle: Handle, manager: Manager, drain_delay: Duration) -> Self {
        Self { phase: Arc::new(AtomicU8::new(Phase::Starting as u8)), handle, manager, drain_delay }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Every listener is open. One that drains already is not ready any more.
    pub(crate) fn ready(&self) {
        let (from, to) = (Phase::Starting as u8, Phase::Ready as u8);
        let _ = self.phase.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Begins the end. Asked once more it does not wait for the delay any longer.
    pub(crate) fn drain(&self) {
        if self.phase.swap(Phase::Draining as u8, Ordering::AcqRel) == Phase::Draining as u8 {
            self.handle.drain();
            return;
        }
        self.manager.stopping();
        let delay = self.drain_delay;
        let drain_later = move |cx: &mut Context<'_>| {
            cx.after(delay, |cx| cx.drain());
        };
        if delay.is_zero() || !self.handle.post(drain_later) {
            self.handle.drain();
        }
    }
}
