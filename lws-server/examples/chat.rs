//! Whatever one says, everybody hears, on however many threads: `cargo run -p lws-server --example chat -- 127.0.0.1:7681 4`.

use lws_server::ws::{Backlog, Broadcast, Handler, LagPolicy, Message};
use lws_server::{Context, MessageKind, Server, WebSocket};

struct Guest;

impl Handler for Guest {
    fn message(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, message: Message<'_>) {
        if let Some(text) = message.text() {
            // Made once, however many hear it. False if a thread has too much on its way: its guests miss this one.
            let _ = cx.publish(&Broadcast::new(MessageKind::Text, text.to_owned()));
        }
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let threads = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1);
    // Who is 64 messages behind is asked to come back later.
    let backlog = Backlog { messages_max: 64, lag: LagPolicy::Close, ..Backlog::default() };
    let server = Server::builder().listen(&address).backlog(backlog);
    server.threads(threads, |server| server.ws("/", |_| Guest)).build()?.run()
}
