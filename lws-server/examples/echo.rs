//! Sends every WebSocket message back: `cargo run -p lws-server --example echo -- 127.0.0.1:7681`.

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
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    Server::builder().listen(&address).ws("/", |_| Echo).build()?.run()
}
