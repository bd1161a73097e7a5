//! A chat with rooms that several processes share by a Redis server:
//! `cargo run -p lws-server --features broker --example rooms_broker -- 127.0.0.1:7681 redis://127.0.0.1 2`,
//! or by servers of NATS: `nats://127.0.0.1:4222`, several with a comma between; or by nothing but a folder: `mesh:/tmp/rooms`.
//!
//! What somebody says at `/rooms/NAME` everybody in that room gets, in whichever process, the one who said it too. Lines that begin with
//! `*` are the server's own.

use lws_server::broker::{BrokerOptions, Event};
use lws_server::ws::{Broadcast, Handler, Message};
use lws_server::{Builder, Context, MessageKind, Server, WebSocket};
use std::time::Duration;

struct Member {
    room: String,
}

impl Handler for Member {
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        let subscribed = cx.subscribe(&self.room);
        let greeting = subscribed.map_or_else(|error| error.to_string(), |()| "welcome".to_owned());
        if let Ok(permit) = stream.permit() {
            let _ = permit.text(&format!("* {greeting}"));
        }
    }

    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        let Some(text) = message.text() else { return };
        let said = Broadcast::new(MessageKind::Text, text.to_owned());
        // The broker is slow or away, and as much as may wait for it waits.
        if let Err(error) = cx.publish_topic(&self.room, &said)
            && let Ok(permit) = stream.permit()
        {
            let _ = permit.text(&format!("* not sent: {error}"));
        }
    }
}

/// What becomes of a room at the broker is said in it.
fn on_event(cx: &mut Context<'_>, event: &Event) {
    let (topic, text) = match event {
        Event::Subscribed { topic } => (topic, "* shared"),
        // An application with a state sends it again here.
        Event::Gap { topic } => (topic, "* messages may be missing"),
        Event::Down { cause, .. } => return eprintln!("{cause}"),
        Event::Up => return eprintln!("the broker is there"),
        other => return eprintln!("{other:?}"),
    };
    let _ = cx.publish_local(topic.as_str(), &Broadcast::new(MessageKind::Text, text));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let url = arguments.next().unwrap_or_else(|| "redis://127.0.0.1".to_owned());
    let threads = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1);
    let mut broker = BrokerOptions::from_url("room/", &url)?.on_event(on_event);
    broker.options.retry_min = Duration::from_millis(100);
    let describe = move |server: Builder| {
        let room = |name: Option<&str>| format!("room/{}", name.unwrap_or_default());
        server.ws("/rooms/{room}", move |it| Member { room: room(it.parameter("room")) })
    };
    Server::builder().listen(&address).broker(broker).threads(threads, describe).build()?.run()?;
    Ok(())
}
