//! A server on a libuv loop of its own: sends every WebSocket message back.
//!
//! `cargo run -p lws-loop-uv --example echo_uv -- 127.0.0.1:7681`

use lws_loop_uv::UvLoop;
use lws_server::ws::{Handler, Message};
use lws_server::{Context, Payload, Sent, Server, WebSocket};
use std::error::Error;

struct Echo;

impl Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let server = Server::builder().listen(&address).ws("/", |_| Echo).build()?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    let mut uv_loop = UvLoop::new()?;
    let _attached = uv_loop.attach(server.into_service())?;
    uv_loop.run()?;
    Ok(())
}
