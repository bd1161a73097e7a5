//! What an application does with events: the few kinds that the tests need.

use lws_proto::http::{Method, Status};
use lws_proto::ws::{Accept, Deflate, is_opening};
use lws_proto::{
    ByProtocol, Bytes, Event, Exchange, MessageKind, Payload, Sent, Stream, StreamKey, Writable,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// What an application does with an event.
pub trait Application {
    /// Takes one event.
    fn event(&mut self, event: Event<'_>);
}

/// An application that is a closure.
impl<F: FnMut(Event<'_>)> Application for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// Does nothing at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Application for Silent {
    fn event(&mut self, _event: Event<'_>) {}
}

/// Accepts every opening handshake, and then only listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listen;

impl Application for Listen {
    fn event(&mut self, event: Event<'_>) {
        let Event::Request { stream, head, .. } = event else { return };
        if let Err(misuse) = stream.accept_websocket(&head, &Accept::new()) {
            panic!("an opening was not taken: {misuse}");
        }
    }
}

/// Answers a request with its own content when that is complete, accepts every WebSocket and tunnel that it may, and sends
/// messages and bytes back, messages when they are complete. What it sends does not depend on how its input was cut.
#[derive(Debug, Default)]
pub struct Echo {
    streamed: bool,
    protocol: Option<&'static str>,
    deflate: Option<Deflate>,
    collected: Vec<u8>,
    owed: VecDeque<Owed>,
}

#[derive(Debug)]
enum Owed {
    Response(Vec<u8>),
    Message(MessageKind, Vec<u8>),
    Bytes(Vec<u8>, bool),
}

impl Echo {
    /// One that takes messages as they come, or whole ones.
    #[must_use]
    pub fn new(streamed: bool) -> Self {
        Self { streamed, ..Self::default() }
    }

    /// The same, speaking a subprotocol.
    #[must_use]
    pub fn speaking(self, protocol: &'static str) -> Self {
        Self { protocol: Some(protocol), ..self }
    }

    /// The same, which agrees on permessage-deflate.
    #[must_use]
    pub fn deflating(self, deflate: &Deflate) -> Self {
        Self { deflate: Some(deflate.clone()), ..self }
    }

    /// Answers now, or when there is a permit.
    fn owe<P>(&mut self, stream: Stream<'_, P>, owed: Owed) {
        self.owed.push_back(owed);
        match stream.into_any().permit() {
            Ok(permit) => self.spend(permit),
            Err(mut stream) => stream.want_write(),
        }
    }

    fn spend(&mut self, permit: Writable<'_>) {
        let Some(owed) = self.owed.pop_front() else { return };
        let sent = match (permit.by_protocol(), owed) {
            (Ok(ByProtocol::Exchange(permit)), Owed::Response(content)) => {
                permit.respond(Status::OK, NO_FIELDS, Payload::Own(content.into()), true).map(Sent::into_any)
            }
            (Ok(ByProtocol::WebSocket(permit)), Owed::Message(kind, content)) => {
                permit.message(kind, Payload::Own(content.into()), true).map(Sent::into_any)
            }
            (Ok(ByProtocol::Raw(permit)), Owed::Bytes(content, end)) => {
                permit.data(Payload::Own(content.into()), end).map(Sent::into_any)
            }
            (permit, owed) => panic!("{owed:?} is not for {permit:?}"),
        };
        match sent {
            Ok(sent) if !self.owed.is_empty() => sent.again(),
            Ok(sent) => sent.throttle(),
            Err(misuse) => panic!("an answer was not taken: {misuse}"),
        }
    }

    fn request(&mut self, stream: Exchange<'_>, head: &lws_proto::http::Head<'_>, end: bool) {
        self.collected.clear();
        if is_opening(head) {
            let mut accept = Accept::new();
            if self.streamed {
                accept = accept.streamed();
            }
            if let Some(deflate) = &self.deflate {
                accept = accept.deflate(deflate);
            }
            if let Some(protocol) = self.protocol {
                accept = accept.protocol(protocol);
            }
            // A misuse here is the peer's: the engine has answered it.
            let _ = stream.accept_websocket(head, &accept);
        } else if head.method() == Method::Connect {
            if let Err(misuse) = stream.accept_tunnel() {
                panic!("a tunnel was not taken: {misuse}");
            }
        } else if end {
            self.owe(stream, Owed::Response(Vec::new()));
        }
    }
}

/// No field lines, with a type.
pub const NO_FIELDS: [(&str, &str); 0] = [];

impl Application for Echo {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Request { stream, head, end } => self.request(stream, &head, end),
            Event::Body { stream, chunk, end } => {
                self.collected.extend_from_slice(chunk);
                if end {
                    let content = std::mem::take(&mut self.collected);
                    self.owe(stream, Owed::Response(content));
                }
            }
            Event::Message { stream, kind, chunk, end, .. } => {
                self.collected.extend_from_slice(chunk);
                if end {
                    let content = std::mem::take(&mut self.collected);
                    self.owe(stream, Owed::Message(kind, content));
                }
            }
            Event::Raw { stream, chunk, end } => self.owe(stream, Owed::Bytes(chunk.to_vec(), end)),
            Event::Writable(permit) => self.spend(permit),
            Event::Closed { .. } => {
                self.collected.clear();
                self.owed.clear();
            }
            _ => {}
        }
    }
}

/// An application of its own for each stream.
pub struct Each<A> {
    make: Box<dyn Fn() -> A>,
    /// Those of the open streams.
    pub streams: BTreeMap<StreamKey, A>,
}

impl<A> Each<A> {
    /// One that makes them so.
    pub fn of(make: impl Fn() -> A + 'static) -> Self {
        Self { make: Box::new(make), streams: BTreeMap::new() }
    }
}

impl Each<Echo> {
    /// [`Echo`] for each stream.
    #[must_use]
    pub fn echo() -> Self {
        Self::of(Echo::default)
    }
}

impl<A: fmt::Debug> fmt::Debug for Each<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Each").field("streams", &self.streams).finish_non_exhaustive()
    }
}

impl<A: Application> Application for Each<A> {
    fn event(&mut self, event: Event<'_>) {
        let key = event.key();
        if matches!(event, Event::Closed { .. }) {
            if let Some(mut app) = self.streams.remove(&key) {
                app.event(event);
            }
            return;
        }
        self.streams.entry(key).or_insert_with(&self.make).event(event);
    }
}

/// Answers every request when its head has come, before its content, and drops the content.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: Status,
    /// The field lines.
    pub fields: Vec<(&'static str, &'static str)>,
    /// The content.
    pub content: Bytes,
    /// Whether the first send says that the content ends there; otherwise a second one does.
    pub at_once: bool,
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: Status::OK, fields: Vec::new(), content: Bytes::new(), at_once: true }
    }
}

impl Answer {
    /// 200 with this content.
    #[must_use]
    pub fn with(content: &'static str) -> Self {
        Self { content: Bytes::from_static(content.as_bytes()), ..Self::default() }
    }
}

impl Application for Answer {
    fn event(&mut self, event: Event<'_>) {
        let Event::Request { stream, .. } = event else { return };
        let Ok(permit) = stream.permit() else { panic!("a request without a permit") };
        let content = Payload::Own(self.content.clone());
        let sent = permit.respond(self.status, self.fields.iter().copied(), content, self.at_once);
        let sent = match sent {
            Ok(sent) => sent,
            Err(misuse) => panic!("the answer was not taken: {misuse}"),
        };
        if !self.at_once {
            // What ends with its head has ended already.
            let Ok(permit) = sent.into_stream().permit() else { return };
            if let Err(misuse) = permit.data(Payload::Static(b""), true) {
                panic!("the end was not taken: {misuse}");
            }
        }
    }
}
