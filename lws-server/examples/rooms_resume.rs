//! Rooms whose members come back where they were: with history of a Redis server, which several processes may share.
//! `cargo run -p lws-server --features broker --example rooms_resume -- 127.0.0.1:7681 'redis://127.0.0.1?history=256' 2`
//!
//! A client says `<` at `/rooms/NAME` to enter, and learns where the room is: `* EPOCH-OFFSET complete 0`. Each message begins with its
//! position: `EPOCH-OFFSET text`. After its connection was lost the client says `< EPOCH-OFFSET`, of the last message that it has, and
//! receives what it has missed; or `gap` in place of `complete`, and then it has to ask elsewhere for the state of the room.

use lws_server::broker::{BrokerOptions, Position, RecentLimits, Recovered, Topic};
use lws_server::ws::{Broadcast, Handler, Message};
use lws_server::{Builder, Context, MessageKind, Server, WebSocket};
use std::time::Duration;

struct Member {
    room: String,
}

fn say(stream: WebSocket<'_>, text: &str) {
    if let Ok(permit) = stream.permit() {
        let _ = permit.text(text);
    }
}

impl Handler for Member {
    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        let Some(text) = message.text() else { return };
        let done = match text.strip_prefix('<') {
            Some(position) => {
                let after = parse(position.trim());
                cx.subscribe_from(&self.room, after).map_err(|error| error.to_string())
            }
            None => {
                let said = Broadcast::new(MessageKind::Text, text.to_owned());
                cx.publish_topic(&self.room, &said).map_err(|error| error.to_string())
            }
        };
        if let Err(error) = done {
            say(stream, &format!("* {error}"));
        }
    }

    fn recovered(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, recovered: &Recovered) {
        let position = recovered.position.map(write).unwrap_or_default();
        let word = if recovered.is_complete { "complete" } else { "gap" };
        say(stream, &format!("* {position} {word} {}", recovered.messages));
    }
}

fn write(position: Position) -> String {
    format!("{}-{}", position.epoch, position.offset)
}

fn parse(position: &str) -> Option<Position> {
    let (epoch, offset) = position.split_once('-')?;
    Some(Position { epoch: epoch.parse().ok()?, offset: offset.parse().ok()? })
}

/// A message as members receive it.
fn show(_: &Topic, position: Position, message: &Broadcast) -> Broadcast {
    let text = String::from_utf8_lossy(message.bytes());
    Broadcast::new(MessageKind::Text, format!("{} {text}", write(position)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let url = arguments.next().unwrap_or_else(|| "redis://127.0.0.1?history=256".to_owned());
    let threads = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1);
    let mut broker = BrokerOptions::from_url("room/", &url)?.recover(RecentLimits::default(), show);
    broker.options.retry_min = Duration::from_millis(100);
    let describe = move |server: Builder| {
        let room = |name: Option<&str>| format!("room/{}", name.unwrap_or_default());
        server.ws("/rooms/{room}", move |it| Member { room: room(it.parameter("room")) })
    };
    Server::builder().listen(&address).broker(broker).threads(threads, describe).build()?.run()?;
    Ok(())
}
