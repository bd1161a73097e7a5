//! HTTP/2: frames as they come off the wire, to both roles; and a client and a server that do anything on several streams.

use super::http2_pieces::{Ids, Piece};
use super::split_off_cuts;
use crate::Delivered;
use crate::application::{Application, Each, NO_FIELDS, Silent};
use crate::endpoint::{Buffer, Endpoint, limits};
use crate::h2::{self, Reader};
use crate::random::Random;
use arbitrary::{Arbitrary, Unstructured};
use lws_proto::http::Head;
use lws_proto::http::Status;
use lws_proto::ws::{Accept, CloseCode, Connect, is_opening};
use lws_proto::{
    ByProtocol, Config, Event, Exchange, ExchangePermit, MessageKind, Payload, Request, Sent, Stream,
    StreamKey, Writable, WriteTicket,
};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that may be queued.
const SEND_QUEUE: usize = 4_000;
/// What the engine queues past that: the answers to what came in one call, which `h2_control_frames_max` bounds.
const OVERHEAD: usize = 4_000;

/// Limits that short inputs can meet.
fn small() -> Arc<Config> {
    limits(|limits| {
        limits.head_bytes_max = 1_000;
        limits.target_bytes_max = 64;
        limits.field_lines_max = 10;
        limits.trailer_bytes_max = 100;
        limits.discard_bytes_max = 100;
        limits.content_bytes_max = Some(5_000);
        limits.message_bytes_max = 2_000;
        limits.look_ahead_bytes_max = 1_000;
        limits.send_queue_bytes_max = SEND_QUEUE;
        limits.h2_streams_max = 4;
        limits.h2_stream_window = 500;
        limits.h2_stream_window_max = 2_000;
        limits.h2_continuations_max = 2;
        limits.h2_resets.burst = 10;
        limits.h2_glitches.burst = 30;
        limits.h2_control_frames_max = 5;
        limits.h2_requests_queued_max = 3;
    })
}

/// Frames to both roles, whole and cut.
pub fn http2_frames(input: &[u8]) {
    let (input, cuts) = split_off_cuts(input);
    for client in [false, true] {
        let mut pieces = Unstructured::new(input);
        let mut ids = if client { Ids::answering(11) } else { Ids::asking() };
        let mut bytes = if client { h2::server_begins(&[]) } else { h2::client_begins(&[]) };
        while !pieces.is_empty() && bytes.len() < 20_000 {
            let Ok(piece) = pieces.arbitrary::<Piece>() else { break };
            bytes.extend(piece.bytes(!client, &mut ids));
        }
        if client {
            run(requester, &bytes, cuts);
        } else {
            run(|| Endpoint::http2_server(small(), Each::echo()), &bytes, cuts);
        }
    }
}

fn run<A: Application>(make: impl Fn() -> Endpoint<A>, bytes: &[u8], cuts: &[u8]) {
    same(&make, bytes, cuts);
    // A peer that takes nothing makes this side keep no more than the limits say.
    let mut stuck = make();
    stuck.room = 0;
    stuck.receive(bytes, Buffer::Lent);
    stuck.room = usize::MAX;
    stuck.drain();
    assert!(stuck.sent.len() <= SEND_QUEUE + OVERHEAD, "{} bytes were queued", stuck.sent.len());
    // Pauses and gaps between the parts change nothing about the contract.
    let mut slow = make();
    for part in bytes.chunks(1 + usize::from(cuts.first().copied().unwrap_or_default())) {
        if !slow.connection.interest().read {
            break;
        }
        slow.receive(part, Buffer::Own);
        slow.wait(Duration::from_millis(900));
    }
    slow.wait(Duration::from_secs(300));
    assert!(slow.is_over() || slow.connection.interest().deadline.is_some(), "it waits for nothing");
}

/// A client with a few requests on their way.
fn requester() -> Endpoint<Silent> {
    let mut client = Endpoint::http2_client(small(), Silent);
    for (method, end) in [("GET", true), ("POST", false), ("HEAD", true), ("GET", true)] {
        let request = Request { method, target: "/", host: "a" };
        let sent = client.connection.request(client.now, &request, NO_FIELDS, Payload::Static(b""), end);
        assert!(sent.is_ok(), "a request that can be written");
    }
    assert!(client.connection.connect_websocket(client.now, &Connect::new("a", "/")).is_ok());
    client.settle();
    client
}

/// Delivers `input` whole and cut; both must come to the same.
fn same<A: Application>(make: impl Fn() -> Endpoint<A>, input: &[u8], cuts: &[u8]) {
    let mut whole = make();
    whole.receive(input, Buffer::Lent);
    let mut cut = make();
    let mut rest = input;
    for len in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (part, after) = rest.split_at(rest.len().min(1 + usize::from(len % 64)));
        cut.receive(part, if len % 2 == 0 { Buffer::Lent } else { Buffer::Own });
        rest = after;
    }
    if !rest.is_empty() {
        // There are no cuts.
        cut.receive(rest, Buffer::Own);
    }
    agree(&cut, &whole);
    whole.receive_eof();
    cut.receive_eof();
    agree(&cut, &whole);
}

/// Both have come to the same, as far as that does not depend on when the transport took what there was.
fn agree<A: Application>(cut: &Endpoint<A>, whole: &Endpoint<A>) {
    let sent_frames = [cut, whole].map(|endpoint| Reader::default().read(&endpoint.sent));
    let ends = sent_frames.each_ref().map(|sent_frames| h2::go_aways(sent_frames));
    if ends.iter().flatten().any(|(_, code)| *code == STREAM_CLOSED) {
        // Frames on a stream that has ended are an error of the connection if our own end had left, and of the stream if not.
        return;
    }
    if let ([first, ..], [other, ..]) = (&ends[0][..], &ends[1][..])
        && first == other
        && first.1 == ENHANCE_YOUR_CALM
        && ends[0].len() != ends[1].len()
    {
        // Such an end lets streams end that run. What comes meanwhile is read, and may be an error, until the transport has taken all
        // and this direction has ended; behind that it is discarded.
        let ended = if ends[0].len() < ends[1].len() { cut } else { whole };
        assert!(ended.connection.interest().shutdown, "it goes on, and finds no error: {ends:?}");
        return;
    }
    assert_eq!(ends[0], ends[1], "the ends, cut and whole");
    let [cut, whole] = [cut, whole].map(Delivered::of);
    assert_eq!(cut.streams, whole.streams, "cut, not whole (right)");
    assert_eq!(
        (cut.reads, cut.fin, cut.over),
        (whole.reads, whole.fin, whole.over),
        "cut, not whole (right)"
    );
    // What a stream had queued is lost with the connection, if its turn had not come.
    if !whole.fin && !whole.over {
        let answers = sent_frames.map(|sent_frames| {
            // And with a stream that is reset.
            let whole = |id| (h2::answer(&sent_frames, id), h2::ended(&sent_frames, id));
            let answer = |id| h2::reset(&sent_frames, id).map_or_else(|| Ok(whole(id)), Err);
            (0..64).map(answer).collect::<Vec<_>>()
        });
        assert_eq!(answers[0], answers[1], "cut, not whole (right)");
    }
}

/// RFC 9113 §7.
const STREAM_CLOSED: u32 = 5;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What a driver or an application does, on one of two sides.
#[derive(Arbitrary, Debug)]
enum Operation {
    /// Bytes reach the other side.
    Move {
        bytes: u16,
        own: bool,
    },
    Wait {
        millis: u16,
    },
    Timeout,
    /// The transport takes so much more.
    Room {
        bytes: u16,
    },
    Request {
        head: bool,
        len: u16,
        end: bool,
    },
    Tunnel,
    Connect,
    Respond {
        status: u8,
        len: u16,
        end: bool,
    },
    Interim,
    Data {
        len: u16,
        end: bool,
    },
    Fill {
        len: u16,
        end: bool,
    },
    Trailers,
    Message {
        len: u16,
        end: bool,
    },
    Ping,
    WantWrite,
    Pause,
    Resume,
    DropPermit,
    KeepTicket,
    Redeem,
    SetTimeout {
        millis: u16,
    },
    Close,
    Abort,
    Drain,
    Eof,
    Stale,
}

/// Remembers the streams, and takes what opens a tunnel or not.
#[derive(Debug)]
struct Actor {
    open: Vec<StreamKey>,
    closed: Vec<StreamKey>,
    random: Random,
}

impl Actor {
    fn new(seed: u64) -> Self {
        Self { open: Vec::new(), closed: Vec::new(), random: Random::new(seed) }
    }

    fn begin(&mut self, exchange: Exchange<'_>, head: &Head<'_>) {
        if is_opening(head) && !self.random.one_in(4) {
            drop(exchange.accept_websocket(head, &Accept::new()));
        } else if head.target() == "a:80" && !self.random.one_in(4) {
            drop(exchange.accept_tunnel());
        } else {
            self.act(exchange.into_any());
        }
    }

    fn act(&mut self, mut stream: Stream<'_>) {
        match self.random.below(12) {
            0 => stream.pause(),
            1 => stream.want_write(),
            2 => stream.abort(),
            3 => stream.set_timeout(Some(stream.now() + Duration::from_millis(5))),
            4..=6 => {
                if let Ok(permit) = stream.permit() {
                    self.write(permit);
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, permit: Writable<'_>) {
        let content = vec![b'x'; self.random.below(1_500)];
        let (end, content) = (self.random.one_in(2), Payload::Copy(&content));
        let sent = match permit.by_protocol() {
            Ok(ByProtocol::Exchange(permit)) => match self.random.below(3) {
                0 => permit.data(content, end),
                1 => permit.respond(Status::OK, NO_FIELDS, content, end),
                _ => permit.trailers([("x", "y")]),
            }
            .map(Sent::into_any),
            Ok(ByProtocol::WebSocket(permit)) => {
                permit.message(MessageKind::Binary, content, end).map(Sent::into_any)
            }
            Ok(ByProtocol::Raw(permit)) => permit.data(content, end).map(Sent::into_any),
            Err(permit) => panic!("a permit of a stream that has ended: {permit:?}"),
        };
        if let Ok(sent) = sent {
            self.sent(sent);
        }
    }

    fn sent(&mut self, sent: Sent<'_>) {
        match self.random.below(3) {
            0 => sent.again(),
            1 => sent.throttle(),
            _ => {}
        }
    }
}

impl Application for Actor {
    fn event(&mut self, event: Event<'_>) {
        let key = event.key();
        if !self.open.contains(&key) && !matches!(event, Event::Closed { .. }) {
            self.open.push(key);
        }
        match event {
            Event::Request { stream, head, .. } => self.begin(stream, &head),
            Event::Writable(permit) => self.write(permit),
            Event::Closed { key, .. } => {
                self.open.retain(|open| *open != key);
                self.closed.push(key);
            }
            event => {
                if let Some(stream) = event.into_stream() {
                    self.act(stream);
                }
            }
        }
    }
}

/// One side, and what is on its way to the other.
struct Side {
    endpoint: Endpoint<Actor>,
    tickets: Vec<WriteTicket>,
    moved: usize,
}

/// A list of operations on a client and a server of HTTP/2 with a link between them.
pub fn http2_operations(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok(seed) = input.arbitrary::<u8>() else { return };
    let side = |endpoint: Endpoint<Actor>| Side { endpoint, tickets: Vec::new(), moved: 0 };
    let seed = u64::from(seed);
    let mut sides = [
        side(Endpoint::http2_client(small(), Actor::new(seed))),
        side(Endpoint::http2_server(small(), Actor::new(seed + 1_000))),
    ];
    for _ in 0..300 {
        let Ok((who, stream, operation)) = input.arbitrary::<(bool, u8, Operation)>() else { break };
        let [client, server] = &mut sides;
        let (one, other) = if who { (server, client) } else { (client, server) };
        one.perform(other, usize::from(stream), &operation);
        one.endpoint.settle();
        if input.is_empty() {
            break;
        }
    }
    finish(sides);
}

impl Side {
    fn perform(&mut self, other: &mut Self, stream: usize, operation: &Operation) {
        let endpoint = &mut self.endpoint;
        let now = endpoint.now;
        let connection = &mut endpoint.connection;
        match operation {
            Operation::Move { bytes, own } => self.bring(other, usize::from(*bytes), *own),
            Operation::Wait { millis } => endpoint.wait(Duration::from_millis((*millis).into())),
            Operation::Timeout => {
                if let Some(due) = connection.next_timeout() {
                    endpoint.now = now.max(due);
                }
                endpoint.connection.handle_timeout(endpoint.now);
            }
            Operation::Room { bytes } => endpoint.room = usize::from(*bytes),
            Operation::Request { head, len, end } => {
                let method = if *head { "HEAD" } else { "POST" };
                let request = Request { method, target: "/", host: "a" };
                let content = vec![b'x'; usize::from(*len) % 3_000];
                let sent = connection.request(now, &request, NO_FIELDS, Payload::Copy(&content), *end);
                let key = sent.ok().map(|sent| sent.key());
                endpoint.app.open.extend(key);
            }
            Operation::Tunnel => {
                let request = Request { method: "CONNECT", target: "a:80", host: "a:80" };
                let sent = connection.request(now, &request, NO_FIELDS, Payload::Static(b""), false);
                let key = sent.ok().map(|sent| sent.key());
                endpoint.app.open.extend(key);
            }
            Operation::Connect => {
                let key = connection.connect_websocket(now, &Connect::new("a", "/"));
                endpoint.app.open.extend(key.ok());
            }
            Operation::Redeem => {
                if let Some(ticket) = self.tickets.pop() {
                    match connection.redeem(ticket) {
                        Ok(permit) => endpoint.app.write(permit),
                        Err(ticket) => self.tickets.push(ticket),
                    }
                }
            }
            Operation::Drain => connection.drain(now),
            Operation::Eof => connection.received_eof(now),
            Operation::Stale => {
                for key in &endpoint.app.closed {
                    assert!(connection.stream(*key).is_none(), "a stale key finds a stream");
                }
            }
            _ => self.on_stream(stream, operation),
        }
    }

    /// Brings bytes to the other side, if it reads.
    fn bring(&mut self, other: &mut Self, max: usize, own: bool) {
        other.endpoint.now = other.endpoint.now.max(self.endpoint.now);
        if !other.endpoint.connection.interest().read {
            return;
        }
        let rest = &self.endpoint.sent[self.moved..];
        let part = rest[..rest.len().min(max)].to_vec();
        self.moved += part.len();
        other.endpoint.receive(&part, if own { Buffer::Own } else { Buffer::Lent });
    }

    fn on_stream(&mut self, index: usize, operation: &Operation) {
        let Endpoint { connection, app, now, .. } = &mut self.endpoint;
        let Some(key) = app.open.get(index % app.open.len().max(1)).copied() else { return };
        let Some(mut stream) = connection.stream(key) else { return };
        assert_eq!(stream.key(), key);
        match operation {
            Operation::WantWrite => stream.want_write(),
            Operation::Pause => stream.pause(),
            Operation::Resume => stream.resume(),
            Operation::SetTimeout { millis } => {
                stream.set_timeout(Some(*now + Duration::from_millis((*millis).into())));
            }
            Operation::Interim => {
                if let Ok(mut exchange) = stream.into_exchange() {
                    let _ = exchange.interim(Status::EARLY_HINTS, NO_FIELDS);
                }
            }
            Operation::Close => {
                if let Ok(websocket) = stream.into_websocket() {
                    let _ = websocket.close(CloseCode::NORMAL, "why");
                }
            }
            Operation::Abort => stream.abort(),
            _ => {
                if let Ok(permit) = stream.permit() {
                    self.tickets.extend(spend(permit, operation));
                }
            }
        }
    }
}

/// Does one thing with a permit, if its protocol has that. What is against the rules comes back as a misuse and has done nothing.
fn spend(permit: Writable<'_>, operation: &Operation) -> Option<WriteTicket> {
    assert!(permit.budget() > 0);
    if let Operation::KeepTicket = operation {
        return Some(permit.into_ticket());
    }
    match permit.by_protocol() {
        Ok(ByProtocol::Exchange(permit)) => spend_on_exchange(permit, operation),
        Ok(ByProtocol::WebSocket(permit)) => match operation {
            Operation::Message { len, end } => {
                drop(permit.message(MessageKind::Binary, Payload::Copy(&content(*len)), *end));
            }
            Operation::Ping => drop(permit.ping(b"x")),
            _ => {}
        },
        Ok(ByProtocol::Raw(permit)) => match operation {
            Operation::Data { len, end } => drop(permit.data(Payload::Own(content(*len).into()), *end)),
            Operation::Fill { len, end } => drop(permit.fill((*len).into(), |room| (room.len() / 2, *end))),
            _ => {}
        },
        Err(permit) => panic!("a permit of a stream that has ended: {permit:?}"),
    }
    None
}

fn spend_on_exchange(permit: ExchangePermit<'_>, operation: &Operation) {
    match operation {
        Operation::Respond { status, len, end } => {
            if let Some(status) = Status::new(200 + u16::from(*status)) {
                drop(permit.respond(status, NO_FIELDS, Payload::Own(content(*len).into()), *end));
            }
        }
        Operation::Data { len, end } => drop(permit.data(Payload::Own(content(*len).into()), *end)),
        Operation::Fill { len, end } => drop(permit.fill((*len).into(), |room| (room.len() / 2, *end))),
        Operation::Trailers => drop(permit.trailers([("x", "y")])),
        _ => {}
    }
}

fn content(len: u16) -> Vec<u8> {
    vec![b'x'; usize::from(len) % 3_000]
}

/// Lets everything go on and then end: both sides come to rest, and every stream has been closed.
fn finish(mut sides: [Side; 2]) {
    for _ in 0..200 {
        let [client, server] = &mut sides;
        for side in [&mut *client, &mut *server] {
            side.endpoint.room = usize::MAX;
            for key in side.endpoint.app.open.clone() {
                if let Some(mut stream) = side.endpoint.connection.stream(key) {
                    stream.resume();
                }
            }
            side.endpoint.settle();
        }
        client.bring(server, usize::MAX, false);
        server.bring(client, usize::MAX, true);
    }
    for side in &mut sides {
        side.endpoint.connection.abort();
        side.endpoint.settle();
        assert!(side.endpoint.is_over() && side.endpoint.app.open.is_empty(), "it did not end");
        assert!(side.endpoint.connection.next_timeout().is_none());
        for ticket in side.tickets.drain(..) {
            assert!(side.endpoint.connection.redeem(ticket).is_err());
        }
    }
}
