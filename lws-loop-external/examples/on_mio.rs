//! An echo service in a loop on mio that has a descriptor and a timer of its own.
//!
//! `cargo run -p lws-loop-external --features mio --example on_mio`; the end of standard input ends it.

mod common;

use lws_loop_external::hosts::OnMio;
use lws_loop_external::{Clock, Service, Wait};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::AsRawFd;

/// The eight highest bits of the service's tokens. In the program's own tokens they are zero.
const ECHO: u8 = 1;
const INPUT: Token = Token(0);

fn main() -> io::Result<()> {
    let clock = Clock::new();
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let input = io::stdin().as_raw_fd();
    poll.registry().register(&mut SourceFd(&input), INPUT, Interest::READABLE)?;
    let service = common::service()?;
    let handle = service.handle();
    let mut echo = OnMio::new(service, ECHO);
    let mut tick = clock.now() + common::TICK;
    loop {
        let wait = echo.settle(poll.registry(), clock.now());
        if echo.service().is_done() {
            return Ok(());
        }
        poll.poll(&mut events, wait.earliest(Wait::Until(tick)).timeout(clock.now()))?;
        let now = clock.now();
        if now >= tick {
            common::tick();
            tick = now + common::TICK;
        }
        for event in &events {
            if echo.handle(event, now) {
                continue;
            }
            if common::own_input(&handle)? {
                // mio is edge-triggered: registering again reports input that is still unread.
                poll.registry().reregister(&mut SourceFd(&input), INPUT, Interest::READABLE)?;
            } else {
                poll.registry().deregister(&mut SourceFd(&input))?;
            }
        }
    }
}
