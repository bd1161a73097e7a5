//! How a WebSocket over HTTP/2 ends: every order of Close, END_STREAM, padding and RST_STREAM, in both roles. RFC 8441 §5, RFC 6455 §7.

use super::*;
use lws_proto::ws::Accept;
use std::time::Duration;

/// How the peer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Close and END_STREAM in one frame.
    Together,
    /// The same with padding behind the Close.
    Padded,
    /// The same with octets behind the Close, which are ignored.
    WithRest,
    /// END_STREAM in a frame of its own, that is empty.
    Apart,
    /// The same with nothing but padding in it.
    ApartPadded,
    /// A message, Close and END_STREAM in one frame.
    WithMessage,
    /// RST_STREAM behind the Close.
    Reset,
    /// RST_STREAM behind both.
    ResetBehind,
    /// END_STREAM without a Close.
    EndOnly,
}

const ORDERS: [Order; 9] = [
    Order::Together,
    Order::Padded,
    Order::WithRest,
    Order::Apart,
    Order::ApartPadded,
    Order::WithMessage,
    Order::Reset,
    Order::ResetBehind,
    Order::EndOnly,
];

impl Order {
    /// The frames of the peer, whose WebSocket frames are made by `frame`.
    fn frames(self, id: u32, frame: fn(u8, &[u8]) -> Vec<u8>) -> Vec<u8> {
        let close = frame(CLOSE, &close_payload(1000, ""));
        let together = h2::data(id, &close, true);
        match self {
            Self::Together => together,
            Self::Padded => h2::padded(id, &close, 9, true),
            Self::WithRest => h2::data(id, [&close[..], b"rest"].concat(), true),
            Self::Apart => [h2::data(id, &close, false), h2::data(id, b"", true)].concat(),
            Self::ApartPadded => [h2::data(id, &close, false), h2::padded(id, b"", 9, true)].concat(),
            Self::WithMessage => h2::data(id, [frame(TEXT, b"last"), close].concat(), true),
            Self::Reset => [h2::data(id, &close, false), h2::rst_stream(id, 8)].concat(),
            Self::ResetBehind => [together, h2::rst_stream(id, 8)].concat(),
            Self::EndOnly => h2::data(id, b"", true),
        }
    }

    fn cause(self, by_peer: bool) -> Cause {
        match self {
            Self::EndOnly => Cause::Disconnected,
            _ => Cause::Closed { code: CloseCode::NORMAL, by_peer },
        }
    }
}

/// Takes every opening, and closes first if the test says so.
#[derive(Clone, Copy, Debug)]
struct Closing {
    first: bool,
    paused: bool,
}

impl Application for Closing {
    fn event(&mut self, event: Event<'_>) {
        let Event::Request { stream, head, .. } = event else { return };
        let mut stream = stream.accept_websocket(&head, &Accept::new()).expect("an opening");
        if self.paused {
            stream.pause();
        }
        if self.first {
            stream.close(CloseCode::NORMAL, "").expect("a close");
        }
    }
}

/// Nothing is reset that both sides have ended, neither at once nor when time has passed, and the connection goes on.
fn ended_in_order<A: Application>(
    endpoint: &mut Endpoint<A>,
    reader: &mut Reader,
    order: Order,
    shown: &str,
) {
    let mut sent_frames = reader.read(&endpoint.take_sent());
    // The peer is there, and says so.
    endpoint.wait(Duration::from_secs(20));
    sent_frames.extend(reader.read(&endpoint.take_sent()));
    assert!(
        !sent_frames.iter().any(|frame| matches!(frame, SentFrame::Reset { .. })),
        "{shown}: {sent_frames:?}"
    );
    assert!(h2::go_aways(&sent_frames).is_empty(), "{shown}: {sent_frames:?}");
    let reset = matches!(order, Order::Reset | Order::ResetBehind);
    assert!(reset || h2::ended(&sent_frames, 1), "{shown}: {sent_frames:?}");
    assert!(endpoint.connection.interest().read && !endpoint.connection.interest().shutdown, "{shown}");
}

#[test]
fn every_order_of_an_end_is_an_end_in_order_for_a_server() {
    for order in ORDERS {
        for first in [false, true] {
            for paused in [false, true] {
                for parts in [usize::MAX, 1, 5] {
                    let shown =
                        format!("{order:?}, closes first: {first}, paused: {paused}, in parts of {parts}");
                    let (mut server, mut reader) = server(&defaults(), &[], Closing { first, paused });
                    server.receive(&opening(1, &[]), Buffer::Lent);
                    let key = server.key();
                    let frames = order.frames(1, masked);
                    frames
                        .chunks(parts.min(frames.len()))
                        .for_each(|part| server.receive(part, Buffer::Lent));
                    if let Some(mut stream) = server.connection.stream(key) {
                        stream.resume();
                    }
                    server.settle();
                    let cut = paused && matches!(order, Order::Reset | Order::ResetBehind);
                    let expected = if cut { Cause::Reset(ErrorCode::CANCEL) } else { order.cause(!first) };
                    assert_eq!(server.of(key).causes(), [expected], "{shown}");
                    ended_in_order(&mut server, &mut reader, order, &shown);
                }
            }
        }
    }
}

#[test]
fn every_order_of_an_end_is_an_end_in_order_for_a_client() {
    for order in ORDERS {
        for first in [false, true] {
            let shown = format!("{order:?}, closes first: {first}");
            let mut client = open_client(&defaults(), Silent);
            let key = client.key();
            if first {
                client.websocket().close(CloseCode::NORMAL, "").expect("a close");
                client.settle();
            }
            client.receive(&order.frames(1, plain), Buffer::Lent);
            assert_eq!(client.of(key).causes(), [order.cause(!first)], "{shown}");
            ended_in_order(&mut client, &mut Reader::default(), order, &shown);
        }
    }
}

/// The peer ends its side when our end has come to it: its time for that does not run while the end waits for the transport.
#[test]
fn the_time_to_end_begins_when_the_end_has_left() {
    let linger = defaults().limits.linger_timeout;
    let (mut server, mut reader) = server(&defaults(), &[], Closing { first: true, paused: false });
    server.receive(&opening(1, &[]), Buffer::Lent);
    server.room = 0;
    server.receive(&h2::data(1, masked(CLOSE, &close_payload(1000, "")), false), Buffer::Lent);
    server.wait(linger * 3);
    server.room = usize::MAX;
    server.settle();
    let sent_frames = reader.read(&server.take_sent());
    assert!(h2::ended(&sent_frames, 1) && h2::reset(&sent_frames, 1).is_none(), "{sent_frames:?}");
    server.wait(linger - Duration::from_millis(1));
    server.receive(&h2::data(1, b"", true), Buffer::Lent);
    server.wait(linger * 3);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::reset(&sent_frames, 1), None, "{sent_frames:?}");
}

/// The place of a WebSocket that has ended is free at once: the limit of streams is one of those that are open.
#[test]
fn the_place_of_a_closed_websocket_is_free_at_once() {
    for order in [Order::Together, Order::Padded, Order::WithMessage, Order::Apart] {
        let (mut server, mut reader) = server(&defaults(), &[], Each::echo());
        for at in 0..300 {
            let id = 1 + 2 * at;
            server.receive(&[opening(id, &[]), order.frames(id, masked)].concat(), Buffer::Lent);
        }
        let sent_frames = reader.read(&server.take_sent());
        assert!(
            !sent_frames
                .iter()
                .any(|frame| matches!(frame, SentFrame::Reset { .. } | SentFrame::GoAway { .. })),
            "{order:?}"
        );
        assert_eq!(server.seen.causes().len(), 300, "{order:?}");
        assert!(server.keys().is_empty());
    }
}

/// A front end that never ends its side of a WebSocket that is over, as nghttpx 1.52, may open one after the other: what is over
/// keeps neither a compression context nor the place of another. Its stream is reset for that with NO_ERROR, oldest first.
#[test]
fn a_peer_that_never_ends_its_side_opens_one_websocket_after_the_other() {
    const SOCKETS: usize = 300;
    let takeover = Deflate::default().context_takeover(true).threshold(0);
    let app = Each::of(move || Echo::new(false).deflating(&takeover));
    let streams_max = defaults().limits.h2_streams_max as usize;
    let (mut server, mut reader) = server(&defaults(), &[], app);
    let offer = [("sec-websocket-extensions", "permessage-deflate")];
    let mut most = 0;
    for at in 0..SOCKETS {
        let id = 1 + 2 * at as u32;
        let frames = [masked(TEXT, b"a message"), masked(CLOSE, &close_payload(1000, ""))].concat();
        server.receive(&[opening(id, &offer), h2::data(id, frames, false)].concat(), Buffer::Lent);
        most = most.max(server.connection.held_bytes());
    }
    assert!(most < 400 << 10, "{most} bytes are held for WebSockets of which one at a time is open");
    let sent_frames = reader.read(&server.take_sent());
    let resets: Vec<u32> = (0..SOCKETS as u32)
        .map(|at| 1 + 2 * at)
        .filter(|id| h2::reset(&sent_frames, *id).is_some())
        .collect();
    let oldest: Vec<u32> = (0..(SOCKETS - streams_max) as u32).map(|at| 1 + 2 * at).collect();
    assert_eq!(resets, oldest);
    for id in resets {
        assert!(h2::ended(&sent_frames, id), "{id}");
        assert_eq!(h2::reset(&sent_frames, id), Some(0), "{id}");
    }
    assert!(h2::go_aways(&sent_frames).is_empty(), "{sent_frames:?}");
    assert_eq!(server.seen.causes().len(), SOCKETS);
}
