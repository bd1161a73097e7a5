//! An echo service in a loop on the `polling` crate that has a descriptor and a timer of its own.
//!
//! `cargo run -p lws-loop-external --features polling --example on_polling`; the end of standard input ends it.

#[path = "../common/mod.rs"]
mod common;
mod sys;

use lws_loop_external::hosts::OnPolling;
use lws_loop_external::{Clock, Service, Trigger, Wait};
use polling::{Events, Poller};
use std::io;
use std::sync::Arc;

/// The eight highest bits of the service's keys. In the program's own keys they are zero.
const ECHO: u8 = 1;
const INPUT: usize = 0;

fn main() -> io::Result<()> {
    let clock = Clock::new();
    let poller = Arc::new(Poller::new()?);
    let mut events = Events::new();
    sys::watch_input(&poller, INPUT)?;
    let service = common::service()?;
    let handle = service.handle();
    let mut echo = OnPolling::new(service, Arc::clone(&poller), Trigger::Edge, ECHO)?;
    let mut tick = clock.now() + common::TICK;
    loop {
        let wait = echo.settle(clock.now());
        if echo.service().is_done() {
            return Ok(());
        }
        events.clear();
        poller.wait(&mut events, wait.earliest(Wait::Until(tick)).timeout(clock.now()))?;
        let now = clock.now();
        if now >= tick {
            common::tick();
            tick = now + common::TICK;
        }
        for event in events.iter() {
            if !echo.handle(&event, now) && !common::own_input(&handle)? {
                poller.delete(io::stdin())?;
            }
        }
    }
}
