//! WebSocket frames, in both roles, streamed and whole.

use super::split_off_cuts;
use crate::application::Echo;
use crate::endpoint::{Buffer, Endpoint, limits};
use crate::wire;
use crate::{Delivered, Seen};
use lws_proto::ws::Connect;
use lws_proto::{Config, Limits};
use std::sync::Arc;

/// Limits that short inputs can meet.
fn small() -> Arc<Config> {
    limits(|limits: &mut Limits| {
        limits.message_bytes_max = 200;
        limits.message_fragments_max = 5;
        limits.send_queue_bytes_max = 512;
        limits.pongs_per_second_max = 3;
    })
}

/// Frames as they come off the wire, to both roles.
pub fn frames(input: &[u8]) {
    let (input, cuts) = split_off_cuts(input);
    for client in [false, true] {
        let [whole, streamed] = [false, true].map(|streamed| same(client, streamed, input, cuts));
        check_output(client, &whole);
        check_output(client, &streamed);
        // Both see the same messages, up to the limits of those that are put together.
        let (whole, streamed) = (messages(&whole), messages(&streamed));
        assert!(streamed.starts_with(&whole), "{whole:?} but streamed {streamed:?}");
    }
}

/// The complete messages. Control frames may stand between the parts of one.
fn messages(delivered: &Delivered) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut begun = Vec::new();
    for seen in &delivered.seen.0 {
        if let Seen::Message { content, end, .. } = seen {
            begun.extend_from_slice(&content.0);
            if *end {
                messages.push(std::mem::take(&mut begun));
            }
        }
    }
    messages
}

fn make(client: bool, streamed: bool) -> Endpoint<Echo> {
    let app = Echo::new(streamed);
    if client {
        let connect = Connect::new("server.example.com", "/chat");
        Endpoint::websocket_client(small(), if streamed { connect.streamed() } else { connect }, app)
    } else {
        Endpoint::websocket_server(small(), app)
    }
}

/// Delivers `input` whole and cut; both must come to the same.
fn same(client: bool, streamed: bool, input: &[u8], cuts: &[u8]) -> Delivered {
    let mut whole = make(client, streamed);
    whole.receive(input, Buffer::Lent);
    let mut cut = make(client, streamed);
    cut.step = 3;
    let mut rest = input;
    for len in cuts.iter().cycle() {
        if rest.is_empty() || cuts.is_empty() {
            break;
        }
        let (part, after) = rest.split_at(rest.len().min(1 + usize::from(len % 16)));
        cut.receive(part, if len % 2 == 0 { Buffer::Lent } else { Buffer::Own });
        rest = after;
    }
    cut.receive(rest, Buffer::Lent);
    assert_eq!(Delivered::of(&cut), Delivered::of(&whole), "cut, not whole (right)");
    whole.receive_eof();
    cut.receive_eof();
    assert_eq!(Delivered::of(&cut), Delivered::of(&whole), "and then the end");
    Delivered::of(&whole)
}

/// What is sent are frames, and a Close frame is the last of them.
fn check_output(client: bool, delivered: &Delivered) {
    let frames = match wire::frames(&delivered.sent.0) {
        Ok(frames) => frames,
        Err(error) => panic!("{error}: {:?}", delivered.sent),
    };
    assert!(frames.iter().all(|frame| frame.key.is_some() == client), "{frames:?}");
    let close = frames.iter().position(|frame| frame.first == wire::CLOSE);
    assert!(close.is_none_or(|at| at + 1 == frames.len()), "a frame behind Close: {frames:?}");
}
