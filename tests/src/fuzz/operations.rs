//! Operations on a connection in any order: the caller's side is fuzzed as much as the peer's.

use crate::application::NO_FIELDS;
use crate::random::SampleNonce;
use arbitrary::{Arbitrary, Unstructured};
use lws_proto::http::Status;
use lws_proto::ws::{Accept, CloseCode, Connect, Deflate};
use lws_proto::{
    ByProtocol, Bytes, Config, Connection, Event, ExchangePermit, Expect, MessageKind, Payload, Request,
    StreamKey, Time, WebSocket, Writable, WriteTicket,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// What a driver or an application does.
#[derive(Arbitrary, Debug)]
enum Operation {
    Feed { bytes: Input, own: bool },
    DropFeed { bytes: Input, events: u8 },
    Events(u8),
    Wait { millis: u16 },
    Timeout,
    Drain { bytes: u16 },
    Fill { bytes: u16, end: bool },
    Respond { status: u8, len: u16, end: bool },
    Interim,
    Data { len: u16, end: bool, owned: bool },
    Message { len: u16, end: bool, owned: bool },
    Queue { len: u16 },
    Ping { len: u8 },
    Trailers,
    WantWrite,
    DropPermit,
    KeepTicket,
    Redeem,
    Pause,
    Resume,
    SetTimeout { millis: Option<u16> },
    Close { code: u16 },
    Abort,
    DrainConnection,
    Eof,
    Failed,
    Request { end: bool },
    Connect,
    Lend,
    Reclaim,
    StaleKey,
}

/// Bytes of a peer: any, or such as lead deeper.
#[derive(Arbitrary, Debug)]
enum Input {
    Any(Vec<u8>),
    Get,
    Post { len: u8, come: u8 },
    Chunk(u8),
    LastChunk,
    Opening,
    Accepted,
    Tunnel,
    Response { status: u8, len: u8 },
    Frame { first: u8, masked: bool, len: u8 },
    Preface,
    OpeningDeflate,
    AcceptedDeflate,
    Compressed { first: u8, masked: bool, len: u16, cut: u8 },
}

impl Input {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Any(bytes) => bytes.clone(),
            Self::Get => b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            Self::Post { len, come } => {
                let body = "x".repeat(usize::from(*come));
                format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {len}\r\n\r\n{body}").into()
            }
            Self::Chunk(len) => format!("{len:x}\r\n{}\r\n", "x".repeat(usize::from(*len))).into(),
            Self::LastChunk => {
                b"0\r\nX: y\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()
            }
            Self::Opening => crate::endpoint::OPENING.into(),
            Self::Accepted => crate::endpoint::ACCEPTED.into(),
            Self::Tunnel => b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            Self::Response { status, len } => {
                let status = 100 + u16::from(*status) * 2;
                format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {len}\r\n\r\n{}",
                    "x".repeat(usize::from(*len))
                )
                .into()
            }
            Self::Frame { first, masked, len } => {
                let key = masked.then_some([1, 2, 3, 4]);
                crate::wire::frame(*first, key, &vec![b'x'; usize::from(*len)])
            }
            Self::OpeningDeflate => {
                crate::deflate::opening("permessage-deflate; client_max_window_bits").into()
            }
            Self::AcceptedDeflate => {
                let field = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
                crate::endpoint::ACCEPTED.replace("\r\n\r\n", field).into()
            }
            Self::Compressed { first, masked, len, cut } => {
                let mut payload = crate::deflate::compressed(&vec![b'x'; usize::from(*len)]);
                payload.truncate(usize::from(*cut).max(1));
                crate::wire::frame(*first | crate::deflate::RSV1, masked.then_some([1, 2, 3, 4]), &payload)
            }
            Self::Preface => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        }
    }
}

/// Bytes that may be queued without a permit, and how much a permit may add to them.
const SEND_QUEUE: usize = 4_000;
/// The most that one operation sends.
const PAYLOAD_MAX: usize = 2_000;
/// What the engine adds by itself: heads, refusals, control frames.
const OVERHEAD: usize = 2_000;
const LOOK_AHEAD: usize = 1_000;

/// In small parts, so that many events come up without input.
fn deflate() -> Deflate {
    Deflate::default().context_takeover(true).threshold(100).rx_buf_size(10)
}

struct Machine {
    connection: Connection,
    now: Time,
    ticket: Option<WriteTicket>,
    spare: Vec<u8>,
    open: Option<StreamKey>,
    closed: HashSet<StreamKey>,
    wanted: bool,
    accept: bool,
}

/// A list of operations on a connection in one of the roles.
pub fn operations(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok((role, accept)) = input.arbitrary::<(u8, bool)>() else { return };
    let mut machine = Machine::new(role, accept);
    for _ in 0..200 {
        let Ok(operation) = input.arbitrary::<Operation>() else { break };
        machine.perform(operation);
        machine.check();
        if input.is_empty() {
            break;
        }
    }
    machine.finish();
}

impl Machine {
    fn new(role: u8, accept: bool) -> Self {
        let mut config = Config {
            expect: [Expect::Http, Expect::HttpOrRaw, Expect::Raw][usize::from(role % 3)],
            ..Config::default()
        };
        config.limits.send_queue_bytes_max = SEND_QUEUE;
        config.limits.look_ahead_bytes_max = LOOK_AHEAD;
        config.limits.message_bytes_max = 2_000;
        config.limits.keep_alive_requests_max = 20;
        let config = Arc::new(config);
        let connection = match role / 3 % 3 {
            0 => Connection::server(Time::ZERO, config),
            1 => Connection::client(Time::ZERO, config, Box::new(SampleNonce::new(1))),
            _ => Connection::client_raw(Time::ZERO, config),
        };
        Self {
            connection,
            now: Time::ZERO,
            ticket: None,
            spare: Vec::new(),
            open: None,
            closed: HashSet::new(),
            wanted: false,
            accept,
        }
    }

    fn perform(&mut self, operation: Operation) {
        let now = self.now;
        match operation {
            Operation::Feed { bytes, own } => self.feed(&bytes.bytes(), own),
            Operation::DropFeed { bytes, events } => self.drop_feed(&bytes.bytes(), events),
            Operation::Events(count) => self.take_events(usize::from(count)),
            Operation::Wait { millis } => self.now = now + Duration::from_millis(millis.into()),
            Operation::Timeout => {
                if let Some(due) = self.connection.next_timeout() {
                    self.now = now.max(due);
                }
                self.connection.handle_timeout(self.now);
            }
            Operation::Drain { bytes } => self.drain(usize::from(bytes)),
            Operation::Redeem => self.redeem(),
            Operation::DrainConnection => self.connection.drain(now),
            Operation::Eof => self.connection.received_eof(now),
            Operation::Failed => self.connection.transport_failed(now),
            Operation::Request { end } => {
                let request = Request { method: "POST", target: "/", host: "a" };
                let sent = self.connection.request(now, &request, NO_FIELDS, Payload::Static(b"x"), end);
                let key = sent.ok().map(|sent| sent.key());
                self.opened(key);
            }
            Operation::Connect => {
                let key =
                    self.connection.connect_websocket(now, &Connect::new("a", "/").deflate(&deflate())).ok();
                self.opened(key);
            }
            Operation::Lend => self.connection.lend(&mut self.spare),
            Operation::Reclaim => self.connection.reclaim(&mut self.spare),
            Operation::StaleKey => {
                for key in &self.closed {
                    assert!(self.connection.stream(*key).is_none(), "a stale key finds a stream");
                }
            }
            on_stream => self.on_stream(&on_stream),
        }
    }

    fn opened(&mut self, key: Option<StreamKey>) {
        if key.is_some() {
            assert!(self.open.is_none(), "a stream begins before the last has been closed");
            self.open = key;
        }
    }

    fn on_stream(&mut self, operation: &Operation) {
        let now = self.now;
        let Some(mut stream) = self.open.and_then(|key| self.connection.stream(key)) else { return };
        match operation {
            Operation::WantWrite => {
                stream.want_write();
                self.wanted = true;
            }
            Operation::Pause => stream.pause(),
            Operation::Resume => stream.resume(),
            Operation::SetTimeout { millis } => {
                stream.set_timeout(millis.map(|millis| now + Duration::from_millis(millis.into())));
            }
            Operation::Abort => stream.abort(),
            Operation::Interim => {
                if let Ok(mut exchange) = stream.into_exchange() {
                    let _ = exchange.interim(Status::CONTINUE, NO_FIELDS);
                }
            }
            Operation::Queue { .. } | Operation::Close { .. } => {
                if let Ok(websocket) = stream.into_websocket() {
                    queue_or_close(websocket, operation);
                }
            }
            _ => {
                if let Ok(permit) = stream.permit() {
                    self.ticket = spend(permit, operation).or(self.ticket.take());
                }
            }
        }
    }

    fn redeem(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        match self.connection.redeem(ticket) {
            Ok(permit) => drop(spend(permit, &Operation::Message { len: 10, end: true, owned: false })),
            Err(ticket) => self.ticket = Some(ticket),
        }
    }

    fn feed(&mut self, bytes: &[u8], own: bool) {
        let reads = self.connection.interest().read;
        if own {
            // A driver that has its own buffer asks before it reads.
            if !reads {
                return;
            }
            let room = self.connection.recv_buf();
            let len = room.len().min(bytes.len());
            room[..len].copy_from_slice(&bytes[..len]);
            self.connection.received(self.now, len);
        } else if reads {
            self.drop_feed(bytes, u8::MAX);
        }
    }

    fn drop_feed(&mut self, bytes: &[u8], events: u8) {
        if !self.connection.interest().read {
            return;
        }
        let mut bytes = bytes.to_vec();
        let mut feed = self.connection.receive(self.now, &mut bytes);
        for _ in 0..events {
            let Some(event) = feed.next_event() else { break };
            note(&mut self.open, &mut self.closed, &mut self.wanted, self.accept, event);
        }
    }

    fn take_events(&mut self, max: usize) {
        for _ in 0..max {
            let service = self.connection.needs_service();
            let Some(event) = self.connection.next_event() else { break };
            assert!(service, "an event, although no service was asked for: {event:?}");
            note(&mut self.open, &mut self.closed, &mut self.wanted, self.accept, event);
        }
    }

    fn drain(&mut self, max: usize) {
        if let Some(transmit) = self.connection.transmit(self.now) {
            let len = transmit.first().len().min(max);
            transmit.commit(len);
        }
    }

    fn check(&mut self) {
        let interest = self.connection.interest();
        assert_eq!(interest.service, self.connection.needs_service());
        let mut queued = 0;
        if let Some(transmit) = self.connection.transmit(self.now) {
            let mut slices = [&[][..]; 64];
            let count = transmit.slices(&mut slices);
            queued = slices[..count].iter().map(|slice| slice.len()).sum();
            assert!(queued > 0);
        }
        assert_eq!(queued > 0, interest.write);
        assert!(queued <= SEND_QUEUE + PAYLOAD_MAX + OVERHEAD, "{queued} bytes are queued");
        if interest.close {
            assert!(self.open.is_none(), "the transport may close before the stream has been closed");
        }
    }

    /// Lets everything end: the connection comes to rest, and every stream has been closed.
    fn finish(mut self) {
        for round in 0..100_u32 {
            if let Some(mut stream) = self.open.and_then(|key| self.connection.stream(key)) {
                stream.resume();
            }
            for _ in 0..1_000 {
                self.take_events(100);
                if self.connection.transmit(self.now).is_none() && !self.connection.needs_service() {
                    break;
                }
                self.drain(usize::MAX);
            }
            assert!(!self.connection.needs_service(), "it does not come to rest");
            assert!(self.connection.next_event().is_none(), "an event, although no service was asked for");
            self.check();
            if self.connection.interest().close {
                break;
            }
            match round {
                0 => self.connection.received_eof(self.now),
                1.. => self.connection.abort(),
            }
        }
        assert!(self.connection.interest().close && self.open.is_none(), "it did not end");
        self.connection.abort();
        assert!(self.connection.next_timeout().is_none());
        if let Some(ticket) = self.ticket {
            assert!(self.connection.redeem(ticket).is_err());
        }
    }
}

/// Checks an event, and does a little about it.
fn note(
    open: &mut Option<StreamKey>,
    closed: &mut HashSet<StreamKey>,
    wanted: &mut bool,
    accept: bool,
    event: Event<'_>,
) {
    let mut enter = |key: StreamKey| {
        assert!(!closed.contains(&key), "an event of a stream that has been closed");
        assert!(open.is_none_or(|open| open == key), "a stream begins before the last has been closed");
        *open = Some(key);
    };
    match event {
        Event::Request { stream, head, .. } => {
            enter(stream.key());
            if accept {
                drop(stream.accept_websocket(&head, &Accept::new().deflate(&deflate()).streamed()));
            } else {
                drop(stream.accept_tunnel());
            }
        }
        Event::Writable(permit) => {
            assert!(core::mem::take(wanted), "a permit that was not asked for");
            drop(permit);
        }
        Event::Closed { key, .. } => {
            assert!(closed.insert(key), "closed twice");
            assert!(open.is_none_or(|open| open == key), "another stream was closed");
            *open = None;
            *wanted = false;
        }
        other => enter(other.key()),
    }
}

fn payload(len: u16, owned: bool) -> Payload<'static> {
    const BYTES: &[u8] = &[b'x'; PAYLOAD_MAX];
    let len = usize::from(len) % PAYLOAD_MAX;
    if owned { Payload::Own(Bytes::from(BYTES[..len].to_vec())) } else { Payload::Copy(&BYTES[..len]) }
}

fn queue_or_close(mut websocket: WebSocket<'_>, operation: &Operation) {
    match operation {
        Operation::Queue { len } => {
            let message = Bytes::from(vec![b'x'; usize::from(*len) % PAYLOAD_MAX]);
            let len = message.len();
            let queued = websocket.try_queue(MessageKind::Binary, message);
            assert!(queued.err().is_none_or(|back| back.len() == len));
        }
        Operation::Close { code } => {
            if let Some(code) = CloseCode::new(*code) {
                let _ = websocket.close(code, "why");
            }
        }
        _ => {}
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
            Operation::Message { len, end, owned } => {
                if let Ok(sent) = permit.message(MessageKind::Binary, payload(*len, *owned), *end) {
                    sent.throttle();
                }
            }
            Operation::Ping { len } => drop(permit.ping(&vec![0; usize::from(*len)])),
            _ => {}
        },
        Ok(ByProtocol::Raw(permit)) => match operation {
            Operation::Data { len, end, owned } => {
                if let Ok(sent) = permit.data(payload(*len, *owned), *end) {
                    sent.throttle();
                }
            }
            Operation::Fill { bytes, end } => drop(permit.fill(room(*bytes), |room| (room.len() / 2, *end))),
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
                drop(permit.respond(status, NO_FIELDS, payload(*len, false), *end));
            }
        }
        Operation::Data { len, end, owned } => {
            if let Ok(sent) = permit.data(payload(*len, *owned), *end) {
                sent.throttle();
            }
        }
        Operation::Fill { bytes, end } => drop(permit.fill(room(*bytes), |room| (room.len() / 2, *end))),
        Operation::Trailers => drop(permit.trailers([("X", "y")])),
        _ => {}
    }
}

fn room(bytes: u16) -> usize {
    usize::from(bytes) % PAYLOAD_MAX
}
