//! A server on the built-in loop, or on one on each of its threads.

use crate::server::shard::Shard;
use crate::server::{Server, ServerService};
use lws_loop_poll::{PollLoop, Threads};
use std::io;
use std::sync::Arc;

impl Server {
    /// Runs on the built-in loop, or on one on each of its threads, until the server has been drained or stopped.
    ///
    /// # Errors
    /// Those of a loop: no descriptor left, mostly. If one of several threads fails the others end.
    pub fn run(self) -> io::Result<()> {
        run(self.service, self.others)
    }
}

/// Runs the first part here, and each of the others on a thread of its own, until all have ended.
fn run(first: ServerService, others: Vec<Shard>) -> io::Result<()> {
    let group = Arc::clone(&first.driver.application().state.group);
    let mut poll_loop = PollLoop::new()?;
    poll_loop.add(first)?;
    let start =
        |shard: Shard| move |poll_loop: &mut PollLoop<ServerService>| poll_loop.add(shard.build()?).map(drop);
    let threads = Threads::start(poll_loop.stopper(), others.into_iter().map(start))?;
    let ran = poll_loop.run().map(drop);
    if ran.is_err() {
        group.drain();
    }
    drop(poll_loop);
    threads.join().and(ran)
}
