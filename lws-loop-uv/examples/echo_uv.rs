//! A WebSocket echo on the bare loop, on libuv or on the built-in one with the same handler: to be compared.
//!
//! `cargo run --release -p lws-loop-uv --example echo_uv -- 127.0.0.1:7681 [uv|poll]`

use lws_loop_external::{
    Accepted, Address, Application, Context, Driver, DriverOptions, ListenOptions, ListenerId, Peer,
};
use lws_loop_poll::PollLoop;
use lws_loop_uv::UvLoop;
use lws_proto::http::Status;
use lws_proto::{Config, Event, Payload, Time, ws};
use std::sync::Arc;

struct Echo(Arc<Config>);

impl Application for Echo {
    type State = ();
    type Message = ();

    fn accepted(&mut self, _: &mut Context<'_, Self>, _: ListenerId, _: &Peer) -> Option<Accepted<Self>> {
        Some(Accepted { config: Arc::clone(&self.0), state: () })
    }

    fn event(&mut self, _: &mut Context<'_, Self>, (): &mut (), event: Event<'_>) {
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
                    // The fields are fields: this cannot fail.
                    let _ = permit.respond(Status::OK, fields, Payload::Static(b"Hello, world!"), true);
                }
            }
            Event::Request { stream, head, .. } => {
                // A request that is no opening handshake has been answered already.
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
    let mut arguments = std::env::args().skip(1);
    let address: Address = arguments.next().as_deref().unwrap_or("127.0.0.1:7681").parse()?;
    let mut service = Driver::new(Echo(Arc::default()), DriverOptions::default())?;
    service.with(Time::ZERO, |_, cx| cx.listen(&address, &ListenOptions::default()))?;
    match arguments.next().as_deref() {
        None | Some("uv") => {
            let mut uv_loop = UvLoop::new()?;
            let _attached = uv_loop.attach(service)?;
            uv_loop.run()?;
        }
        Some("poll") => {
            let mut poll_loop = PollLoop::new()?;
            poll_loop.add(service)?;
            poll_loop.run()?;
        }
        Some(other) => return Err(format!("there is no loop called {other}").into()),
    }
    Ok(())
}
