//! Sends every WebSocket message back: `cargo run --example echo`.

use lws_server::ws::{Handler, Message};
use lws_server::{Context, Payload, Sent, Server, WebSocket};

struct Echo;

impl Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
        }
    }
}

fn main() -> std::io::Result<()> {
    Server::builder().listen("127.0.0.1:7681").ws("/", |_| Echo).build()?.run()
}
