//! A WebSocket echo on the driver alone, without `lws-server`: the smallest program above the engine.
//!
//! `cargo run --release -p lws-loop-poll --example echo_poll -- 127.0.0.1:7681`

use lws_loop_external::{
    Accepted, Address, Application, Driver, DriverContext, DriverOptions, ListenOptions, ListenerId, Peer,
};
use lws_loop_poll::{Outcome, PollLoop, Signals};
use lws_proto::http::Status;
use lws_proto::{Config, Event, Payload, ws};
use std::sync::Arc;
use std::time::Duration;

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
        match event {
            Event::Message { stream, kind, chunk, end, .. } => {
                if let Ok(permit) = stream.permit()
                    && let Ok(sent) = permit.message(kind, Payload::Copy(chunk), end)
                {
                    sent.throttle();
                }
            }
            Event::Request { stream, head, .. } if head.path() == "/hello" => {
                if let Ok(permit) = stream.permit() {
                    let fields = [("content-type", "text/plain")];
                    // The fields are valid, so this cannot fail.
                    let _ = permit.respond(Status::OK, fields, Payload::Static(b"Hello, world!"), true);
                }
            }
            Event::Request { stream, head, .. } => {
                // A request that is not a valid opening handshake is answered by the call.
                let _ = stream.accept_websocket(&head, &ws::Accept::new().streamed());
            }
            _ => {}
        }
    }

    fn clock(&mut self, unix_seconds: u32) {
        self.0.wall_clock.set(unix_seconds);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: Address = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:7681").parse()?;
    let mut service = Driver::new(Echo(Arc::default()), DriverOptions::default())?;
    let mut poll_loop = PollLoop::new()?;
    service.with(poll_loop.now(), |_, cx| cx.listen(&address, &ListenOptions::default()))?;
    let id = poll_loop.add(service)?;
    poll_loop.watch_signals(Signals::to_end()?)?;
    while let Outcome::Signal(_) = poll_loop.run()? {
        if let Some(service) = poll_loop.service_mut(id) {
            service.drain(Duration::from_secs(5));
        }
    }
    Ok(())
}
