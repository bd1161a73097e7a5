//! A program with a loop of libuv, a timer and standard input on it, and an echo service beside them for as long as standard
//! input lasts.
//!
//! `cargo run -p lws-loop-uv --example embed -- 127.0.0.1:7681`, and connect with any TCP client.

mod sys;

use lws_loop_external::{
    Accepted, Address, Application, Driver, DriverContext, ListenOptions, ListenerId, Peer,
};
use lws_loop_uv::Attached;
use lws_proto::{Config, Event, Expect, Payload, Time};
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

struct Echo(Arc<Config>);

impl Application for Echo {
    type State = ();
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        Some(Accepted { config: Arc::clone(&self.0), state: () })
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: Event<'_>) {
        if let Event::Raw { stream, chunk, end } = event
            && let Ok(permit) = stream.permit()
            && let Ok(sent) = permit.data(Payload::Copy(chunk), end)
        {
            sent.throttle();
        }
    }
}

fn say(line: &str) {
    // A peer that has ended the connection is no error here.
    let _ = writeln!(io::stdout(), "{line}");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: Address = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:7681").parse()?;
    // The program's own part: its loop, a timer, standard input.
    let program = sys::Program::new()?;
    let ticks = Rc::new(Cell::new(0_u64));
    let count = Rc::clone(&ticks);
    let timer = program.every(10, move || count.set(count.get() + 1))?;
    let server: Rc<RefCell<Option<Attached<Driver<Echo>>>>> = Rc::default();
    let (ends, seen) = (Rc::clone(&server), Rc::clone(&ticks));
    let mut input = Some(timer);
    program.on_input(move |line| match line {
        Some(_) => {
            let stats = |driver: &mut Driver<Echo>| driver.stats().received_bytes_total;
            let bytes = ends.borrow().as_ref().and_then(|attached| attached.with(stats).ok());
            say(&format!("{} bytes received, {} ticks", bytes.unwrap_or(0), seen.get()));
        }
        None => {
            // libuv closes the handles of the service in its next turn, and then nothing keeps the
            // loop running.
            let detaching = ends.borrow_mut().take().map(Attached::detach);
            if let Some(detaching) = detaching {
                detaching.then(|_service| say("let go"));
            }
            drop(input.take());
        }
    })?;

    // The service on that loop.
    let config = Config { expect: Expect::Raw, ..Config::default() };
    let mut service = Driver::new(Echo(config.into()), Default::default())?;
    let address = service.with(Time::ZERO, |_, cx| {
        let id = cx.listen(&address, &ListenOptions::default())?;
        cx.listening_on(id)
    })?;
    server.replace(Some(program.reference().attach(service)?));
    say(&format!("listening on {address}"));

    program.run();
    say(&format!("closed: {}", program.close()));
    Ok(())
}
