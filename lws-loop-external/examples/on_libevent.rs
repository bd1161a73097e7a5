//! An echo service in an event base of libevent, beside events of the program.
//!
//! `cargo run -p lws-loop-external --features libevent --example on_libevent`; the end of standard input ends it.

mod common;

use lws_loop_external::hosts::OnLibevent;
use lws_loop_external::hosts::libevent::Base;
use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

fn main() -> io::Result<()> {
    let base = Base::new()?;
    let service = common::service()?;
    let handle = service.handle();
    let echo = OnLibevent::new(service, &base)?;

    let _tick = base.every(common::TICK, common::tick)?;
    // Kept here until the input has ended.
    let input = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&input);
    let watch = base.watch(io::stdin().as_fd(), move || {
        if !common::own_input(&handle).unwrap_or(false) {
            kept.take();
        }
    })?;
    input.replace(Some(watch));

    while !echo.is_done() {
        base.run_once()?;
    }
    Ok(())
}
