//! Requests that wait for a reload. The reload itself is that of SIGHUP: the admin listener raises the signal, and answers with what came
//! of it.

use lws_server::http::{Promise, Response, Status};
use rustix::process::{Signal, getpid, kill_process};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who waits for a reload that begins from now on, and for the one that runs.
#[derive(Clone, Default)]
pub(crate) struct Reloads(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    next: Vec<Promise>,
    running: Vec<Promise>,
}

impl Reloads {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a reload.
    pub(crate) fn ask(&self, promise: Promise) {
        self.waiting().next.push(promise);
        if kill_process(getpid(), Signal::HUP).is_err() {
            // A process may always signal itself.
            self.waiting().next.clear();
        }
    }

    /// A reload begins: files that were changed before are read.
    pub(crate) fn begin(&self) {
        let mut waiting = self.waiting();
        let next = std::mem::take(&mut waiting.next);
        waiting.running.extend(next);
    }

    /// It is over: how things stand, or why nothing has changed.
    pub(crate) fn end(&self, result: Result<&str, &str>) {
        let running = std::mem::take(&mut self.waiting().running);
        for promise in running {
            let response = match result {
                Ok(status) => Response::text(format!("{status}\n")),
                Err(why) => Response::text(format!("{why}\n")).status(Status::UNPROCESSABLE_CONTENT),
            };
            // A client that has left meanwhile gets nothing.
            let _ = promise.answer(response);
        }
    }
}
