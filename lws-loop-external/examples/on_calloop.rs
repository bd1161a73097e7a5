//! An echo service as an event source of calloop, beside sources of the program.
//!
//! `cargo run -p lws-loop-external --features calloop --example on_calloop`; the end of standard input ends it.

mod common;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, Mode, PostAction};
use lws_loop_external::hosts::OnCalloop;
use std::error::Error;
use std::io;

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop = EventLoop::<bool>::try_new()?;
    let handle = event_loop.handle();

    let service = common::service()?;
    let echo = service.handle();
    handle.insert_source(OnCalloop::new(service)?, |(), _, done| *done = true)?;

    handle.insert_source(Timer::from_duration(common::TICK), |_, (), _| {
        common::tick();
        TimeoutAction::ToDuration(common::TICK)
    })?;
    let input = Generic::new(io::stdin(), Interest::READ, Mode::Level);
    handle.insert_source(input, move |_, _, _| {
        let more = common::own_input(&echo)?;
        Ok(if more { PostAction::Continue } else { PostAction::Remove })
    })?;

    let mut done = false;
    while !done {
        event_loop.dispatch(None, &mut done)?;
    }
    Ok(())
}
