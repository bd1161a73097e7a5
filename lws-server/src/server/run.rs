//! A server on the built-in loop, or on one on each of its threads.

use crate::server::shard::Shard;
use crate::server::{Server, ServerService};
#[cfg(feature = "signals")]
use lws_loop_poll::Signals;
use lws_loop_poll::{Outcome, PollLoop, Threads};
use std::io;
use std::sync::Arc;

impl Server {
    /// Runs on the built-in loop, or on one on each of its threads, until the server has been drained or stopped.
    ///
    /// With the feature `signals`, which is on by default, SIGTERM and SIGINT drain it, as [`Handle::drain`](crate::Handle::drain) does; a
    /// second one does what it does by default, and ends the process at once. They are caught as long as this runs.
    ///
    /// # Errors
    /// Those of a loop: no descriptor left, mostly. If one of several threads fails the others end.
    pub fn run(self) -> io::Result<()> {
        run(self, true)
    }

    /// As [`run`](Self::run), and leaves signals to the program.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_without_signals(self) -> io::Result<()> {
        run(self, false)
    }
}

/// Runs the first part here, and each of the others on a thread of its own, until all have ended.
fn run(server: Server, signals: bool) -> io::Result<()> {
    let Server { service: first, others } = server;
    let group = Arc::clone(&first.driver.application().state.group);
    let mut poll_loop = PollLoop::new()?;
    poll_loop.add(first)?;
    #[cfg(feature = "signals")]
    if signals {
        poll_loop.watch_signals(Signals::to_end()?)?;
    }
    #[cfg(not(feature = "signals"))]
    let _ = signals;
    let start =
        |shard: Shard| move |poll_loop: &mut PollLoop<ServerService>| poll_loop.add(shard.build()?).map(drop);
    let threads = Threads::start(poll_loop.stopper(), others.into_iter().map(start))?;
    let ran = loop {
        match poll_loop.run() {
            Ok(Outcome::Signal(_)) => {
                #[cfg(feature = "signals")]
                poll_loop.unwatch_signals();
                group.drain();
            }
            ran => break ran.map(drop),
        }
    };
    if ran.is_err() {
        group.drain();
    }
    drop(poll_loop);
    threads.join().and(ran)
}
