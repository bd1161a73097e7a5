//! `echo PORT`: the server of `benches/echo.c` in Rust, on the same one descriptor. What that costs more for a message is what the C
//! interface costs.

#![forbid(unsafe_code)]

use std::os::fd::AsRawFd;
use std::time::Duration;

use benches::Result;
use lws_loop_external::hosts::{PollFd, poll};
use lws_loop_external::{Clock, Interest, OneDescriptor};
use lws_server::ws::{self, Accepted};
use lws_server::{Context, Payload, Server, WebSocket};

/// A turn does not end by the clock, which runs fifty times as fast as a program under valgrind.
const TURN: Duration = Duration::from_secs(60);

/// Sends each message back.
struct Echo;

impl ws::Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: ws::Message<'_>) {
        match stream.permit() {
            Ok(permit) => {
                let _ = permit.message(message.kind, Payload::Copy(message.chunk), message.end);
            }
            Err(stream) => stream.abort(),
        }
    }
}

fn main() -> Result<()> {
    let port = std::env::args().nth(1).ok_or("a port is missing: echo PORT")?;
    let server =
        Server::builder().listen(&format!("127.0.0.1:{port}")).ws("/echo", |_: &_| Accepted::new(Echo));
    let clock = Clock::new();
    let mut one = OneDescriptor::new(server.build()?.into_service())?;
    // Until a signal ends the process: callgrind writes its counts then, too.
    while !one.is_done() {
        let wait = one.dispatch_within(clock.now(), TURN);
        poll(&mut [PollFd::new(one.as_raw_fd(), Interest::READ)], wait.timeout(clock.now()))?;
    }
    Ok(())
}
