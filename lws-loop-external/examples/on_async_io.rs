//! An echo service in a task on `async-io` and smol's executor, beside tasks of the program.
//!
//! `cargo run -p lws-loop-external --features async-io --example on_async_io`; the end of standard input ends it.

mod common;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use lws_loop_external::DriverHandle;
use lws_loop_external::hosts::OnAsyncIo;
use std::io;

async fn ticks() {
    loop {
        Timer::after(common::TICK).await;
        common::tick();
    }
}

/// Other tasks reach the service through its handle.
async fn input(echo: DriverHandle<()>) -> io::Result<()> {
    let input = Async::new(io::stdin())?;
    while input.read_with(|_| common::own_input(&echo)).await? {}
    Ok(())
}

fn main() -> io::Result<()> {
    let service = common::service()?;
    let executor = LocalExecutor::new();
    executor.spawn(ticks()).detach();
    executor.spawn(input(service.handle())).detach();
    async_io::block_on(executor.run(async { OnAsyncIo::new(service)?.run().await }))
}
