//! The project's engine, as server and as client: sends what the plan contains, and records what it receives.

use super::plan::{Bounds, Exchange, Message, NAMES, Part, Plan, Reset};
use super::{End, ReceivedMessage};
use crate::application::{Application, NO_FIELDS};
use crate::endpoint::{Endpoint, limits};
use crate::transcript::{Fields, Seen, Transcript};
use lws_proto::http::Status;
use lws_proto::{Cause, Config, Event, ExchangePermit, Payload, Request, StreamKey};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The application of one side.
#[derive(Debug)]
pub(super) struct Ours<'a> {
    plan: &'a Plan,
    speeches: BTreeMap<StreamKey, Speech>,
    paused: Vec<StreamKey>,
}

/// What is being intended on one stream.
#[derive(Clone, Copy, Debug)]
struct Speech {
    exchange: usize,
    /// Parts of the message that have been sent.
    sent: usize,
}

/// The limits of our side.
fn config(bounds: Bounds) -> Arc<Config> {
    limits(|limits| {
        limits.head_bytes_max = 40_000;
        limits.h2_stream_window = bounds.window();
        limits.h2_connection_window = bounds.connection_window();
        limits.h2_table_bytes_max = bounds.table();
        limits.h2_streams_max = bounds.streams();
        limits.send_queue_bytes_max = bounds.queue();
    })
}

/// The server.
pub(super) fn server(plan: &Plan) -> Endpoint<Ours<'_>> {
    let mut server = Endpoint::http2_server(config(plan.ours), Ours::new(plan));
    server.step = plan.travel.step();
    server
}

/// The client. It has asked nothing yet.
pub(super) fn client(plan: &Plan) -> Endpoint<Ours<'_>> {
    let mut client = Endpoint::http2_client(config(plan.ours), Ours::new(plan));
    client.step = plan.travel.step();
    client
}

/// The client begins all exchanges. Returns their streams.
pub(super) fn ask(client: &mut Endpoint<Ours<'_>>) -> Vec<StreamKey> {
    let Endpoint { connection, app, now, .. } = client;
    let plan = app.plan;
    let begin = |(index, exchange): (usize, &Exchange)| {
        let request = Request { method: exchange.method, target: &format!("/{index}"), host: "a" };
        let (content, end) = exchange.request.parts[0].with_head();
        let fields = exchange.request.fields.iter().map(|(name, value)| (name, &value.0));
        let sent = connection.request(*now, &request, fields, Payload::Own(content), end);
        let sent = sent.expect("a request");
        let key = sent.key();
        app.speeches.insert(key, Speech { exchange: index, sent: 1 });
        app.go_on(sent.into_stream());
        key
    };
    plan.exchanges.iter().enumerate().map(begin).collect()
}

/// Takes input again where it was paused.
pub(super) fn resume(endpoint: &mut Endpoint<Ours<'_>>) -> bool {
    let paused = std::mem::take(&mut endpoint.app.paused);
    for key in &paused {
        if let Some(mut stream) = endpoint.connection.exchange(*key) {
            stream.resume();
        }
    }
    !paused.is_empty()
}

impl<'a> Ours<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self { plan, speeches: BTreeMap::new(), paused: Vec::new() }
    }

    fn exchange(&self, key: StreamKey) -> Option<&'a Exchange> {
        self.speeches.get(&key).map(|speech| &self.plan.exchanges[speech.exchange])
    }

    /// Our message of an exchange, and after how many parts we give up.
    fn message(&self, exchange: &'a Exchange) -> (&'a Message, Option<usize>) {
        match exchange.reset {
            Reset::Client(after) if self.plan.answers => (&exchange.request, Some(after)),
            _ if self.plan.answers => (&exchange.request, None),
            Reset::Server(after) => (&exchange.response, Some(after)),
            _ => (&exchange.response, None),
        }
    }

    /// A request has begun.
    fn begin(&mut self, mut stream: lws_proto::Exchange<'_>, target: &str, end: bool) {
        let index = target.trim_start_matches('/').parse().expect("a target of the plan");
        self.speeches.insert(stream.key(), Speech { exchange: index, sent: 0 });
        let exchange = &self.plan.exchanges[index];
        for _ in 0..exchange.interim {
            stream.interim(Status::EARLY_HINTS, NO_FIELDS).expect("an interim response");
        }
        if end || exchange.early {
            self.go_on(stream);
        }
    }

    /// Content was received.
    fn receive(&mut self, mut stream: lws_proto::Exchange<'_>, end: bool) {
        let key = stream.key();
        let Some(exchange) = self.exchange(key) else { return };
        // One that answers while paused does not listen any more, not even to trailers.
        if exchange.pauses && !end {
            stream.pause();
            self.paused.push(key);
        }
        if end && !self.plan.answers && !exchange.early {
            self.go_on(stream);
        }
    }

    /// Whatever is next.
    fn go_on(&mut self, mut stream: lws_proto::Exchange<'_>) {
        let Some(speech) = self.speeches.get(&stream.key()) else { return };
        let (message, give_up) = self.message(&self.plan.exchanges[speech.exchange]);
        if give_up == Some(speech.sent) {
            stream.abort();
        } else if speech.sent < message.parts.len() {
            stream.want_write();
        }
    }

    fn speak(&mut self, permit: ExchangePermit<'_>) {
        let Some(speech) = self.speeches.get(&permit.key()).copied() else { return };
        let exchange = &self.plan.exchanges[speech.exchange];
        let (message, _) = self.message(exchange);
        let sent = match (&message.parts[speech.sent], speech.sent) {
            (part, 0) => {
                let (content, end) = part.with_head();
                let status = Status::new(exchange.status).expect("a status");
                let fields = message.fields.iter().map(|(name, value)| (name, &value.0));
                permit.respond(status, fields, Payload::Own(content), end)
            }
            (Part::Content(content, end), _) => permit.data(Payload::Copy(content), *end),
            (Part::Trailers, _) => {
                let fields = message.trailers.iter().flatten();
                permit.trailers(fields.map(|(name, value)| (name, &value.0)))
            }
        };
        let sent = sent.unwrap_or_else(|misuse| panic!("{misuse}: {:?}", message.parts[speech.sent]));
        self.speeches.insert(sent.key(), Speech { sent: speech.sent + 1, ..speech });
        self.go_on(sent.into_stream());
    }
}

impl Application for Ours<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Request { stream, head, end } => self.begin(stream, head.target(), end),
            Event::Response { stream, end, .. } | Event::Body { stream, end, .. } => {
                self.receive(stream, end)
            }
            Event::Writable(permit) => self.speak(permit.into_exchange().expect("an exchange")),
            Event::Closed { key, .. } => drop(self.speeches.remove(&key)),
            _ => {}
        }
    }
}

/// What was received of the exchange that has this index, if its request was received.
pub(super) fn received_exchange(server: &Endpoint<Ours<'_>>, index: usize) -> Option<ReceivedMessage> {
    let wanted = format!("/{index}");
    let begins = |transcript: &Transcript| matches!(&transcript.0[..], [Seen::Request { target, .. }, ..] if *target == wanted);
    server
        .streams
        .iter()
        .find(|(_, transcript)| begins(transcript))
        .map(|(_, transcript)| received(transcript))
}

/// What was received on one stream.
pub(super) fn received(transcript: &Transcript) -> ReceivedMessage {
    let mut received = ReceivedMessage::default();
    for seen in &transcript.0 {
        match seen {
            Seen::Request { method, fields, .. } => {
                received.begin.clone_from(method);
                received.fields = compared(fields);
            }
            Seen::Response { status: 103, .. } => received.interim += 1,
            Seen::Response { status, fields, .. } => {
                received.begin = status.to_string();
                received.fields = compared(fields);
            }
            Seen::Body { content, .. } => received.content.0.extend_from_slice(&content.0),
            Seen::Trailers { fields } => received.trailers = Some(compared(fields)),
            Seen::Closed(Cause::Complete) => received.end = End::Whole,
            Seen::Closed(Cause::Reset(code)) => received.end = End::Reset(code.code()),
            Seen::Closed(Cause::Aborted) => received.end = End::GaveUp,
            Seen::Closed(cause) => panic!("{cause}: {transcript:?}"),
            _ => {}
        }
    }
    received
}

/// Those that are compared, by name.
fn compared(fields: &Fields) -> Fields {
    let fields = fields.iter().filter(|(name, _)| NAMES.contains(&name.as_str()));
    crate::h2::by_name(fields.cloned())
}
