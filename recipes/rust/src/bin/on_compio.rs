//! The echo server on compio, which completes operations (io_uring where the system has it) and reports no readiness: one operation polls the
//! service's descriptor once, and is submitted again for every turn.

use compio::driver::op::{Interest, PollOnce};
use compio::runtime::{Runtime, spawn, submit};
use lws_loop_external::{Clock, OneDescriptor, Service};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(10);

/// Serves until the service is done. The future may be dropped at any time, and the service with it.
async fn serve<S: Service>(service: S) -> io::Result<S> {
    let clock = Clock::new();
    let mut one = OneDescriptor::new(service)?;
    // An operation owns what it works on: a duplicate of the descriptor stays until the operation is over, whatever becomes of the service.
    let descriptor: Arc<OwnedFd> = Arc::new(one.as_fd().try_clone_to_owned()?);
    while !one.is_done() {
        let readable = submit(PollOnce::new(Arc::clone(&descriptor), Interest::Readable));
        match one.wait().deadline() {
            // An operation that is given up is cancelled by compio.
            Some(at) => drop(compio::time::timeout(at - clock.now(), readable).await),
            None => drop(readable.await),
        }
        one.dispatch(clock.now());
        one.check()?;
    }
    Ok(one.detach())
}

fn main() -> io::Result<()> {
    let ticks = Rc::new(Cell::new(0_u32));
    let counted = Rc::clone(&ticks);
    Runtime::new()?.block_on(async move {
        spawn(async move {
            loop {
                compio::time::sleep(TICK).await;
                counted.set(counted.get() + 1);
            }
        })
        .detach();
        serve(recipes::service()?).await.map(drop)
    })?;
    println!("ticks {}", ticks.get());
    Ok(())
}
