//! An echo service in a loop of libev, beside watchers of the program.
//!
//! `cargo run -p lws-loop-external --features libev --example on_libev`; the end of standard input ends it.

mod common;

use lws_loop_external::hosts::OnLibev;
use lws_loop_external::hosts::libev::Loop;
use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

fn main() -> io::Result<()> {
    let ev_loop = Loop::new()?;
    let service = common::service()?;
    let handle = service.handle();
    let echo = OnLibev::new(service, &ev_loop)?;

    let _tick = ev_loop.every(common::TICK, common::tick);
    // Kept here until the input has ended.
    let input = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&input);
    let watch = ev_loop.watch(io::stdin().as_fd(), move || {
        if !common::own_input(&handle).unwrap_or(false) {
            kept.take();
        }
    });
    input.replace(Some(watch));

    while !echo.is_done() {
        ev_loop.run_once();
    }
    Ok(())
}
