//! A chat with rooms, on any number of threads: `cargo run -p lws-server --example rooms -- 127.0.0.1:7681 4`.
//!
//! What somebody says at `/rooms/NAME` everybody else in that room gets.

use lws_server::ws::{Backlog, Broadcast, Handler, LagPolicy, Message};
use lws_server::{Context, MessageKind, Server, WebSocket};

struct Member {
    room: String,
}

impl Handler for Member {
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        let greeting = match cx.subscribe(&self.room) {
            Ok(()) => format!("welcome to {}", self.room),
            Err(error) => error.to_string(),
        };
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

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let threads = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1);
    let describe = |server: lws_server::Builder| {
        // A member who is 1,024 messages behind is closed with 1013, and comes back when it can.
        let server = server.topic_backlog(|_| Backlog {
            messages_max: 1_024,
            lag: LagPolicy::Close,
            ..Backlog::default()
        });
        server.ws("/rooms/{room}", |request| Member {
            room: request.parameter("room").unwrap_or("").to_owned(),
        })
    };
    Server::builder().listen(&address).threads(threads, describe).build()?.run()
}
