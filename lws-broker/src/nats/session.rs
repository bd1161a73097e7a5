//! One connection to a server of NATS. Owns no socket and no clock.
//!
//! The server speaks first, with `INFO`. After `CONNECT` a `PONG` says that we were accepted. From then on everything is confirmed in the
//! same manner: a `PONG` says that the server has read what stands before the `PING` that it answers. With JetStream, publications are
//! confirmed by the stream instead, which is looked for, or made, before anything else.

mod jetstream;

use super::command;
use super::complaint::Complaint;
use super::history::Histories;
use super::info::{ServerInfo, connect_options};
use super::operation::{Delivery, Operation, OperationReader};
use super::{NatsOptions, SubjectPrefix, Tls, server_endpoints};
use crate::session::{Features, Session, SessionEvent};
use crate::transmit::TransmitBuffer;
use crate::{Cause, Position, Receipt, Topic};
use bytes::Bytes;
use jetstream::StreamWatch;
use lws_proto::Time;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// No further publication is taken while so many octets wait to be sent.
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// No further publication is taken while so many have not been confirmed by a `PONG`.
const UNCONFIRMED_MAX: usize = 4_096;
/// A `PING` asks for their confirmation after so many.
const CONFIRMED_TOGETHER: usize = 512;

/// Answers to `PING` that wait at the most. A server sends one in two minutes.
const UNSENT_PONGS_MAX: usize = 1_024;

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct NatsSession {
    options: Arc<NatsOptions>,
    /// That of the subjects that are subscribed to.
    subjects: SubjectPrefix,
    /// Answers of JetStream come below this subject.
    inbox: String,
    /// Of the stream, once it is known.
    histories: Option<Histories>,
    /// Whether the stream is still the one that it was.
    stream_watch: StreamWatch,
    reader: OperationReader,
    phase: SessionPhase,
    /// What the server takes in one message. Zero before `INFO`.
    max_payload: u64,
    /// Whether what is published here comes back, as of a server before 1.2.
    echo: bool,
    output: TransmitBuffer,
    /// Answers to `PING` since the transport has last taken anything.
    unsent_pongs: usize,
    /// A mark for each `PING` that was not answered.
    pings: VecDeque<Mark>,
    subscriptions: Numbered,
    publications: Unconfirmed,
    events: VecDeque<SessionEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionPhase {
    /// `INFO` has not come.
    Introduction,
    /// `CONNECT` and a `PING` are sent.
    Greeting,
    /// The stream is looked for.
    Opening,
    /// It was missing, and is being made.
    Making,
    Ready,
    Failed,
}

/// What a `PONG` confirms: everything up to these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    subscription: u64,
    receipt: Receipt,
}

impl NatsSession {
    pub(crate) fn new(options: Arc<NatsOptions>) -> Self {
        let (subjects, headers_bytes) = match options.history {
            Some(_) => (options.prefix.live(), jetstream::HEADERS_BYTES_MAX),
            None => (options.prefix.clone(), 0),
        };
        Self {
            reader: OperationReader::new(options.message_bytes_max.saturating_add(headers_bytes)),
            options,
            subjects,
            inbox: String::new(),
            histories: None,
            stream_watch: StreamWatch::default(),
            phase: SessionPhase::Introduction,
            max_payload: 0,
            echo: false,
            output: TransmitBuffer::default(),
            unsent_pongs: 0,
            pings: VecDeque::new(),
            subscriptions: Numbered::default(),
            publications: Unconfirmed::default(),
            events: VecDeque::new(),
        }
    }

    /// Acts on the next operation of the input. Gives whether there was one.
    fn advance(&mut self, now: Time, reader: &mut OperationReader, input: &mut &[u8]) -> Result<bool, Cause> {
        let next = reader.next(input).map_err(|violation| Cause::Violation(violation.rule()))?;
        let Some(operation) = next else { return Ok(false) };
        let begins_tls = self.phase == SessionPhase::Introduction && self.options.tls == Tls::Required;
        self.on_operation(now, operation)?;
        // What is there already was sent in clear, be it by the server or by somebody on the way.
        if begins_tls && !input.is_empty() {
            return Err(Cause::Violation("nothing comes between INFO and TLS"));
        }
        Ok(true)
    }

    fn on_operation(&mut self, now: Time, operation: Operation<'_>) -> Result<(), Cause> {
        match (self.phase, operation) {
            (SessionPhase::Introduction, Operation::Info(json)) => self.on_introduction(json),
            (SessionPhase::Introduction, Operation::Error(text)) => self.on_complaint(text),
            (SessionPhase::Introduction, _) => {
                Err(Cause::Violation("INFO comes first: is this a server of NATS?"))
            }
            (_, Operation::Info(json)) => self.on_info(json).map(drop),
            (_, Operation::Message(delivery)) if delivery.subscription == jetstream::INBOX => {
                self.on_answer(now, &delivery)
            }
            (_, Operation::TooLarge { subject, subscription: jetstream::INBOX }) => {
                self.on_large_answer(subject);
                Ok(())
            }
            (_, Operation::Message(delivery)) => self.on_message(now, &delivery),
            (_, Operation::TooLarge { subscription, .. }) => {
                self.on_too_large(subscription);
                Ok(())
            }
            (_, Operation::Ping) => self.on_ping(),
            (_, Operation::Pong) => self.on_pong(),
            (_, Operation::Ok) => Ok(()),
            (_, Operation::Error(text)) => self.on_complaint(text),
        }
    }

    /// The first `INFO`: it decides about TLS, and `CONNECT` answers it.
    fn on_introduction(&mut self, json: &[u8]) -> Result<(), Cause> {
        let info = self.on_info(json)?;
        let tls = match (self.options.tls, info.tls_required, info.tls_required || info.tls_available) {
            (Tls::Required, _, true) | (Tls::First, _, _) => true,
            (Tls::Off, false, _) => false,
            (Tls::Required, _, false) => {
                return Err(refused(
                    "the server offers no TLS",
                    "configure TLS in the server, or switch it off here",
                ));
            }
            (Tls::Off, true, _) => {
                return Err(refused("the server requires TLS", Complaint::TlsRequired.advice()));
            }
        };
        let is_stored = self.options.history.is_some();
        // What is stored comes from the stream, which knows no connection that it came from.
        self.echo = self.options.echo || !info.knows_echo || is_stored;
        if is_stored {
            self.inbox = info.inbox().filter(|_| info.headers).ok_or_else(jetstream::unsupported)?;
        }
        if self.options.tls == Tls::Required {
            self.events.push_back(SessionEvent::StartTls);
        }
        let NatsOptions { credentials, name, echo, .. } = &*self.options;
        let options = connect_options(credentials, name, tls, *echo, is_stored);
        self.output.push(|out| command::connect(out, &options));
        self.phase = SessionPhase::Greeting;
        self.ping();
        Ok(())
    }

    fn on_info(&mut self, json: &[u8]) -> Result<ServerInfo, Cause> {
        let info = ServerInfo::parse(json).map_err(|violation| Cause::Violation(violation.rule()))?;
        self.max_payload = info.max_payload;
        if !info.connect_urls.is_empty() {
            let endpoints = server_endpoints(&info.connect_urls, self.options.tls);
            self.events.push_back(SessionEvent::Endpoints(endpoints));
        }
        Ok(info)
    }

    fn on_message(&mut self, now: Time, delivery: &Delivery<'_>) -> Result<(), Cause> {
        let link = self.link(now, delivery.headers);
        if self.is_too_large(delivery.payload) {
            self.on_too_large(delivery.subscription);
            return Ok(());
        }
        // One that was on its way when its subscription ended is dropped.
        let Some(topic) = self.confirm(delivery.subscription) else { return Ok(()) };
        let payload = Bytes::copy_from_slice(delivery.payload);
        self.events.push_back(match link {
            Some((position, previous)) => SessionEvent::Linked { topic, payload, position, previous },
            None => SessionEvent::Message { topic, payload, position: None },
        });
        Ok(())
    }

    fn on_too_large(&mut self, subscription: u64) {
        if let Some(topic) = self.confirm(subscription) {
            self.events.push_back(SessionEvent::Lost(Some(topic)));
        }
    }

    /// The topic of a subscription, which exists as the server has mentioned it, be it before the `PONG` that says so.
    fn confirm(&mut self, subscription: u64) -> Option<Topic> {
        let (topic, is_new) = self.subscriptions.confirm(subscription)?;
        if is_new {
            self.events.push_back(SessionEvent::Subscribed(topic.clone()));
        }
        Some(topic)
    }

    fn on_ping(&mut self) -> Result<(), Cause> {
        if self.unsent_pongs == UNSENT_PONGS_MAX {
            return Err(Cause::Limit("answers to PING that the server does not read"));
        }
        self.unsent_pongs += 1;
        self.output.push(|out| out.extend_from_slice(command::PONG));
        Ok(())
    }

    fn on_pong(&mut self) -> Result<(), Cause> {
        let mark = self.pings.pop_front().ok_or(Cause::Violation("a PONG answers a PING"))?;
        if self.phase == SessionPhase::Greeting {
            if self.options.history.is_some() {
                self.open_stream();
            } else {
                self.phase = SessionPhase::Ready;
                self.events.push_back(SessionEvent::Ready);
            }
        }
        while let Some(subscription) = self.subscriptions.next_awaited(mark.subscription) {
            self.confirm(subscription);
        }
        if self.histories.is_none() {
            self.publications.confirm(mark.receipt);
        }
        Ok(())
    }

    fn on_complaint(&mut self, text: &[u8]) -> Result<(), Cause> {
        let complaint = Complaint::parse(text);
        let cause = refused(Cause::words(text).trim_matches('\''), complaint.advice());
        match &complaint {
            Complaint::SubscriptionPermission(subject) | Complaint::PublishPermission(subject)
                if jetstream::is_vital(subject) =>
            {
                return Err(refused(Cause::words(text).trim_matches('\''), jetstream::PERMISSIONS));
            }
            Complaint::SubscriptionPermission(subject) => self.on_subscription_refused(subject, cause),
            Complaint::PublishPermission(subject) => {
                let topic = self.options.prefix.topic(subject);
                if let Some((receipt, topic)) = topic.and_then(|topic| self.publications.take(&topic)) {
                    self.events.push_back(SessionEvent::Refused { topic, receipt: Some(receipt), cause });
                }
            }
            other if other.ends_connection() => return Err(cause),
            // It names no call: a message that was published to us, or by us, may be lost.
            _ => self.events.push_back(SessionEvent::Lost(None)),
        }
        Ok(())
    }

    fn on_subscription_refused(&mut self, subject: &str, cause: Cause) {
        let topic = self.subjects.topic(subject);
        let Some((topic, was_confirmed)) = topic.and_then(|topic| self.subscriptions.remove(&topic)) else {
            return;
        };
        self.events.push_back(if was_confirmed {
            // The permission was taken away meanwhile.
            SessionEvent::Unsubscribed(topic)
        } else {
            SessionEvent::Refused { topic, receipt: None, cause }
        });
    }

    fn fail(&mut self, cause: Cause) {
        self.phase = SessionPhase::Failed;
        self.events.push_back(SessionEvent::Failed(cause));
    }

    fn payload_bytes_max(&self) -> usize {
        usize::try_from(self.max_payload).unwrap_or(usize::MAX).min(self.options.message_bytes_max)
    }
}

impl Session for NatsSession {
    fn features(&self) -> Features {
        let history = self.options.history.is_some();
        Features { echo: self.echo, history, payload_bytes_max: self.payload_bytes_max() }
    }

    fn receive(&mut self, now: Time, octets: &[u8]) {
        // Taken out, as what it lends is acted on by all of the session.
        let mut reader = std::mem::replace(&mut self.reader, OperationReader::new(0));
        let mut rest = octets;
        while self.phase != SessionPhase::Failed {
            match self.advance(now, &mut reader, &mut rest) {
                Ok(true) => {}
                Ok(false) => break,
                Err(cause) => self.fail(cause),
            }
        }
        self.reader = reader;
    }

    fn transmit(&self) -> &[u8] {
        self.output.octets()
    }

    fn transmitted(&mut self, count: usize) {
        self.output.consume(count);
        if count > 0 {
            self.unsent_pongs = 0;
        }
    }

    fn subscribe(&mut self, topics: &[Topic]) {
        for topic in topics {
            let subscription = self.subscriptions.insert(topic);
            let subject = self.subjects.subject(topic);
            self.output.push(|out| command::subscribe(out, &subject, subscription));
        }
        self.ping();
    }

    fn unsubscribe(&mut self, topics: &[Topic]) {
        for topic in topics {
            if let Some(subscription) = self.subscriptions.end(topic) {
                self.output.push(|out| command::unsubscribe(out, subscription));
            }
        }
    }

    fn can_publish(&self) -> bool {
        self.phase == SessionPhase::Ready
            && self.output.octets().len() < OUTPUT_BYTES_MAX
            && self.publications.count() < UNCONFIRMED_MAX
    }

    fn publish(&mut self, receipt: Receipt, topic: &Topic, payload: &Bytes) {
        if payload.len() > self.payload_bytes_max() {
            // The server takes less than it did when the connection began. It would end the connection.
            let cause = Cause::Limit("max_payload of the server, which was lowered");
            self.events.push_back(SessionEvent::Refused {
                topic: topic.clone(),
                receipt: Some(receipt),
                cause,
            });
            return;
        }
        let subject = self.options.prefix.subject(topic);
        let is_due = self.publications.push(receipt, topic);
        if self.histories.is_some() {
            return self.ask(&subject, format_args!("{}{}", jetstream::PUBLICATION, receipt.0), payload);
        }
        self.output.push(|out| command::publish(out, &subject, payload));
        if is_due {
            self.ping();
        }
    }

    fn recover(&mut self, topic: &Topic, after: Option<Position>) {
        self.begin_history(topic, after);
    }

    fn ping(&mut self) {
        self.output.push(|out| out.extend_from_slice(command::PING));
        let mark = Mark { subscription: self.subscriptions.last(), receipt: self.publications.mark() };
        self.pings.push_back(mark);
    }

    fn poll(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }
}

fn refused(error: &str, advice: &'static str) -> Cause {
    Cause::Refused { error: error.to_owned(), advice }
}

/// The subscriptions of a connection, by topic and by number.
#[derive(Debug, Default)]
struct Numbered {
    /// Topics by the numbers of their subscriptions, and whether the server has confirmed them.
    by_number: HashMap<u64, (Topic, bool)>,
    numbers: HashMap<Topic, u64>,
    /// Numbers in the order of their `SUB`, of which the server was not yet asked or has not answered.
    awaited: VecDeque<u64>,
    /// The last number that was given. Numbers are not used again, so that a late message meets no other topic.
    last: u64,
}

impl Numbered {
    fn insert(&mut self, topic: &Topic) -> u64 {
        self.last += 1;
        self.by_number.insert(self.last, (topic.clone(), false));
        self.numbers.insert(topic.clone(), self.last);
        self.awaited.push_back(self.last);
        self.last
    }

    fn last(&self) -> u64 {
        self.last
    }

    /// The next number up to `last` that has been awaited; it is awaited no more.
    fn next_awaited(&mut self, last: u64) -> Option<u64> {
        let next = *self.awaited.front().filter(|number| **number <= last)?;
        self.awaited.pop_front();
        Some(next)
    }

    /// The topic of a number, and whether this is its confirmation.
    fn confirm(&mut self, number: u64) -> Option<(Topic, bool)> {
        let (topic, confirmed) = self.by_number.get_mut(&number)?;
        Some((topic.clone(), !std::mem::replace(confirmed, true)))
    }

    /// Forgets a subscription. Gives its number.
    fn end(&mut self, topic: &Topic) -> Option<u64> {
        let number = self.numbers.remove(topic)?;
        self.by_number.remove(&number);
        Some(number)
    }

    /// Forgets a subscription that the server has ended or refused. Gives its topic, and whether it was confirmed before.
    fn remove(&mut self, topic: &Topic) -> Option<(Topic, bool)> {
        let number = self.numbers.remove(topic)?;
        self.by_number.remove(&number)
    }
}

/// Publications that the server has perhaps not read, so that one which it refuses is known by its receipt.
#[derive(Debug, Default)]
struct Unconfirmed {
    waiting: VecDeque<(Receipt, Topic)>,
    /// How many of them stand behind the last `PING`.
    unmarked: usize,
}

impl Unconfirmed {
    /// Whether it is time for a `PING`.
    fn push(&mut self, receipt: Receipt, topic: &Topic) -> bool {
        self.waiting.push_back((receipt, topic.clone()));
        self.unmarked += 1;
        self.unmarked >= CONFIRMED_TOGETHER
    }

    fn count(&self) -> usize {
        self.waiting.len()
    }

    /// The last receipt, which the next `PING` stands behind.
    fn mark(&mut self) -> Receipt {
        self.unmarked = 0;
        self.waiting.back().map_or(Receipt(0), |(receipt, _)| *receipt)
    }

    fn confirm(&mut self, last: Receipt) {
        while self.waiting.front().is_some_and(|(receipt, _)| *receipt <= last) {
            self.waiting.pop_front();
        }
    }

    /// The one with a receipt, which is mostly the first. `None` if it is known to be confirmed.
    fn settle(&mut self, receipt: Receipt) -> Option<(Receipt, Topic)> {
        let index = self.waiting.binary_search_by_key(&receipt, |(receipt, _)| *receipt).ok()?;
        self.waiting.remove(index)
    }

    /// The first one to a topic. Refusals come in the order of the publications.
    fn take(&mut self, topic: &Topic) -> Option<(Receipt, Topic)> {
        let index = self.waiting.iter().position(|(_, other)| other == topic)?;
        self.waiting.remove(index)
    }
}
