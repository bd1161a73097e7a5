//! An echo service in a task on tokio, beside tasks of the program: on the current-thread runtime, or on the multi-thread
//! one if the second argument is `multi`.
//!
//! `cargo run -p lws-loop-external --features tokio --example on_tokio < a pipe`; the end of standard input ends it.

mod common;

use lws_loop_external::DriverHandle;
use lws_loop_external::hosts::OnTokio;
use std::io;
use std::os::fd::AsFd;
use tokio::net::unix::pipe;
use tokio::runtime::Builder;

async fn ticks() {
    let mut interval = tokio::time::interval(common::TICK);
    loop {
        interval.tick().await;
        common::tick();
    }
}

/// Other tasks, on other threads too, reach the service through its handle.
async fn input(echo: DriverHandle<()>) -> io::Result<()> {
    let input = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    loop {
        input.readable().await?;
        match input.try_io(|| common::own_input(&echo)) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn main() -> io::Result<()> {
    let multi = std::env::args().nth(2).is_some_and(|kind| kind == "multi");
    let mut builder = if multi { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build()?.block_on(async {
        let service = common::service()?;
        tokio::spawn(ticks());
        tokio::spawn(input(service.handle()));
        OnTokio::new(service)?.run().await
    })
}
