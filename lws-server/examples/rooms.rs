//! A chat with rooms, on any number of threads: `cargo run -p lws-server --example rooms -- 127.0.0.1:7681 4`.
//!
//! What somebody says at `/rooms/NAME` everybody else in that room gets.

use lws_server::ws::{Backlog, Broadcast, Handler, LagPolicy, Message};
use lws_server::{Builder, Context, MessageKind, Server, WebSocket};

struct Member {
    room: String,
}

impl Handler for Member {
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        let subscribed = cx.subscribe(&self.room);
        let greeting =
            subscribed.map_or_else(|error| error.to_string(), |()| format!("welcome to {}", self.room));
        // A stream that has just been opened may write.
        if let Ok(permit) = stream.permit() {
            let _ = permit.text(&greeting);
        }
    }

    fn message(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, message: Message<'_>) {
        if let Some(text) = message.text() {
            // Encoded once, however many get it. An error is a thread that has too much to deliver already.
            let _ = cx.publish_others(&self.room, &Broadcast::new(MessageKind::Text, text.to_owned()));
        }
    }
}

fn describe(server: Builder) -> Builder {
    // A member who is 1,024 messages behind is closed with 1013, and comes back when it can.
    let backlog = |_: &str| Backlog { messages_max: 1_024, lag: LagPolicy::Close, ..Backlog::default() };
    let room = |name: Option<&str>| name.unwrap_or_default().to_owned();
    server.topic_backlog(backlog).ws("/rooms/{room}", move |it| Member { room: room(it.parameter("room")) })
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let threads = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1);
    Server::builder().listen(&address).threads(threads, describe).build()?.run()
}
