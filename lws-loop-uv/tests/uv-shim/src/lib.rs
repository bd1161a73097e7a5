//! A server that gives raw bytes back, for a C program with a loop of libuv. What C sees of it is in `sys`.

mod sys;

use lws_loop_external::{
    Accepted, Address, Application, Driver, DriverContext, DriverOptions, ListenOptions, ListenerId, Peer,
};
use lws_loop_uv::{Attached, LoopRef};
use lws_proto::{Config, Event, Expect, Payload, Time};
use std::io;
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

/// What the program holds.
struct Server {
    attached: Attached<Driver<Echo>>,
    port: u16,
}

fn begin(at: &LoopRef) -> io::Result<Server> {
    let config = Config { expect: Expect::Raw, ..Config::default() };
    let options = DriverOptions { connections_max: Some(1_000), ..DriverOptions::default() };
    let mut driver = Driver::new(Echo(config.into()), options)?;
    let port = driver.with(Time::ZERO, |_, cx| {
        let listener = cx.listen(&Address::Tcp(([127, 0, 0, 1], 0).into()), &ListenOptions::default())?;
        match cx.listening_on(listener)? {
            Address::Tcp(address) => Ok(address.port()),
            _ => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        }
    })?;
    let attached = at.attach(driver).map_err(|error| error.error)?;
    Ok(Server { attached, port })
}

impl Server {
    fn end(self, done: impl FnOnce() + 'static) {
        self.attached.detach().then(move |service| {
            drop(service);
            done();
        });
    }
}
