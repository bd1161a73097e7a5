//! An echo service in a main context of GLib, beside sources of the program.
//!
//! `cargo run -p lws-loop-external --features glib --example on_glib`; the end of standard input ends it.

mod common;

use lws_loop_external::hosts::OnGlib;
use lws_loop_external::hosts::glib::MainContext;
use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

fn main() -> io::Result<()> {
    let context = MainContext::new()?;
    let service = common::service()?;
    let handle = service.handle();
    let echo = OnGlib::new(service, &context)?;

    let _tick = context.every(common::TICK, common::tick)?;
    // Kept here until the input has ended.
    let input = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&input);
    let watch = context.watch(io::stdin().as_fd(), move || {
        if !common::own_input(&handle).unwrap_or(false) {
            kept.take();
        }
    })?;
    input.replace(Some(watch));

    while !echo.is_done() {
        context.iteration(true);
    }
    Ok(())
}
