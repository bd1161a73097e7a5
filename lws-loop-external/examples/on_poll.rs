//! An echo service in a loop on plain poll(2) that has a descriptor and a timer of its own.
//!
//! `cargo run -p lws-loop-external --example on_poll -- 127.0.0.1:7681`; the end of standard input ends it.

mod common;

use lws_loop_external::hosts::{OnPoll, PollFd, poll};
use lws_loop_external::{Clock, Interest, Service, Wait};
use std::io;
use std::os::fd::AsRawFd;

fn main() -> io::Result<()> {
    let clock = Clock::new();
    let service = common::service()?;
    let handle = service.handle();
    let mut echo = OnPoll::new(service);
    let mut fds = vec![PollFd::new(io::stdin().as_raw_fd(), Interest::READ)];
    let mut tick = clock.now() + common::TICK;
    loop {
        let wait = echo.settle(&mut fds, clock.now());
        if echo.service().is_done() {
            return Ok(());
        }
        poll(&mut fds, wait.earliest(Wait::Until(tick)).timeout(clock.now()))?;
        let now = clock.now();
        if now >= tick {
            common::tick();
            tick = now + common::TICK;
        }
        for fd in &mut fds {
            if !echo.service_fd(fd, now) && fd.revents != 0 && !common::own_input(&handle)? {
                fd.fd = -1;
            }
        }
    }
}
