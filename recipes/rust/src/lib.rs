//! What the recipes in Rust serve: WebSockets at `/echo`, a page at `/`, and an end at `POST /stop`.

use lws_server::http::{Request, Response};
use lws_server::ws::{Handler, Message};
use lws_server::{Context, Handle, Payload, Sent, Server, ServerService, WebSocket};
use std::io;
use std::sync::OnceLock;

struct Echo;

impl Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
        }
    }
}

static HANDLE: OnceLock<Handle> = OnceLock::new();

fn page(_: &Request<'_>) -> Response {
    Response::ok("text/plain", "WebSockets at /echo send back what they receive.\n")
}

fn stop(_: &Request<'_>) -> Response {
    if let Some(handle) = HANDLE.get() {
        handle.drain();
    }
    Response::new(lws_server::http::Status::ACCEPTED)
}

/// Listens where the first argument says, and prints where that is.
///
/// # Errors
/// The address is none, or in use.
pub fn service() -> io::Result<ServerService> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let builder = Server::builder().listen(&address).ws("/echo", |_| Echo);
    let server = builder.get("/", page).post("/stop", stop).build()?;
    for at in server.addresses() {
        println!("listening on {at}");
    }
    let _ = HANDLE.set(server.handle());
    Ok(server.into_service())
}
