//! One connection to a Redis server.
//!
//! Answers come in the order of the commands. What a subscription says comes as pushes between them, also its confirmation; a
//! subscription that is refused is answered by an error in the order of the commands. [`Pending`] is what is owed.

#[cfg(test)]
mod tests;

use super::advice::{self, Severity};
use super::parser::{RespError, RespParser};
use super::value::RespValue;
use super::{RecoveryLimits, RedisOptions, command, lineage, scripts, slot};
use crate::{
    Bytes, Cause, Endpoint, Features, History, Position, Receipt, Session, SessionEvent, Time, Topic,
};
use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// The rule of an answer to `SCRIPT LOAD`.
const NO_SCRIPT: &str = "the name of a script that is no text";

/// Octets of output above which no publication is taken.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// Answers that may be owed before no publication is taken.
const PENDING_MAX: usize = 4_096;

/// What is said of a server that calls itself a replica, in the words that it has for a command that writes.
const REPLICA: &[u8] = b"READONLY it calls itself a replica";

/// One connection.
pub(super) struct RedisSession {
    options: Rc<RedisOptions>,
    /// The server that this connection is to.
    here: Endpoint,
    recovery: RecoveryLimits,
    parser: RespParser,
    output: BytesMut,
    pending: VecDeque<Pending>,
    events: VecDeque<SessionEvent>,
    /// What the server calls the scripts that publish and that fetch history.
    publish_script: Bytes,
    history_script: Bytes,
    /// What became of the server's data before it was the primary: see [`lineage`].
    lineage: String,
    failed: bool,
}

/// What the server owes an answer to.
enum Pending {
    Hello,
    Select,
    Lineage,
    LoadPublish,
    /// The last answer of the greeting if there is history.
    LoadHistory,
    /// Confirmations that are owed, in their order.
    Subscribe(VecDeque<Topic>),
    Unsubscribe(VecDeque<Topic>),
    Publish(Receipt, Topic),
    Recover(Topic),
    Ping,
}

impl RedisSession {
    pub(super) fn new(options: Rc<RedisOptions>, here: Endpoint, recovery: RecoveryLimits) -> Self {
        let mut session = Self {
            parser: RespParser::new(options.limits.clone()),
            options,
            here,
            recovery,
            output: BytesMut::new(),
            pending: VecDeque::new(),
            events: VecDeque::new(),
            publish_script: Bytes::new(),
            history_script: Bytes::new(),
            lineage: String::new(),
            failed: false,
        };
        session.greet();
        session
    }

    /// All of the greeting is sent at once: a server that refuses the first command refuses the others.
    fn greet(&mut self) {
        let options = Rc::clone(&self.options);
        let RedisOptions { user, password, client_name, .. } = &*options;
        command::hello(&mut self.output, user.as_deref(), password.as_deref(), client_name);
        self.pending.push_back(Pending::Hello);
        if options.history.is_some() {
            if options.database != 0 {
                self.command(&[b"SELECT", options.database.to_string().as_bytes()], Pending::Select);
            }
            self.command(&[b"INFO", b"replication"], Pending::Lineage);
            self.command(&[b"SCRIPT", b"LOAD", scripts::PUBLISH.as_bytes()], Pending::LoadPublish);
            self.command(&[b"SCRIPT", b"LOAD", scripts::HISTORY.as_bytes()], Pending::LoadHistory);
        }
    }

    fn command(&mut self, words: &[&[u8]], pending: Pending) {
        command::write(&mut self.output, words);
        self.pending.push_back(pending);
    }

    fn name(&self, kind: &str, topic: &Topic) -> String {
        [&self.options.prefix, kind, topic.as_str()].concat()
    }

    /// The topic of a channel. `None` if it is none of ours.
    fn topic(&self, channel: &RespValue) -> Option<Topic> {
        let name = channel.octets()?.strip_prefix(self.options.prefix.as_bytes())?;
        Topic::new(std::str::from_utf8(name).ok()?).ok()
    }

    /// One command for all; but of sharded channels one for each, as those of one command have to be in one slot.
    fn commands(&mut self, verb: &[u8], topics: &[Topic], pending: fn(VecDeque<Topic>) -> Pending) {
        let size = if self.options.sharded { 1 } else { topics.len().max(1) };
        for topics in topics.chunks(size) {
            let names: Vec<String> = topics.iter().map(|topic| self.name("", topic)).collect();
            let mut words = vec![verb];
            words.extend(names.iter().map(String::as_bytes));
            self.command(&words, pending(topics.iter().cloned().collect()));
        }
    }

    fn fail(&mut self, cause: Cause) {
        self.failed = true;
        self.events.push_back(SessionEvent::Failed(cause));
    }

    fn on_value(&mut self, value: RespValue) {
        match value {
            RespValue::Push(parts) => self.on_push(&parts),
            value => match self.pending.pop_front() {
                Some(pending) => self.on_answer(pending, value),
                None => self.fail(Cause::Violation("an answer to no command")),
            },
        }
    }

    fn on_push(&mut self, parts: &[RespValue]) {
        let [kind, channel, content, ..] = parts else { return };
        let Some(topic) = self.topic(channel) else { return };
        match kind.octets().map_or(&b""[..], |kind| &kind[..]) {
            b"message" | b"smessage" => {
                let Some(message) = content.octets() else {
                    return self.fail(Cause::Violation("a message that is no text"));
                };
                let (payload, position) = match self.options.history {
                    Some(_) => scripts::unframe(message),
                    None => (message.clone(), None),
                };
                self.events.push_back(SessionEvent::Message { topic, payload, position });
            }
            b"subscribe" | b"ssubscribe" => {
                let asked = self.settles(&topic, |pending| match pending {
                    Pending::Subscribe(owed) => Some(owed),
                    _ => None,
                });
                self.events.extend(asked.then_some(SessionEvent::Subscribed(topic)));
            }
            b"unsubscribe" | b"sunsubscribe" => {
                let asked = self.settles(&topic, |pending| match pending {
                    Pending::Unsubscribe(owed) => Some(owed),
                    _ => None,
                });
                // A slot has moved, or an operator has ended it.
                if !asked {
                    self.events.push_back(SessionEvent::Unsubscribed(topic));
                }
            }
            _ => {}
        }
    }

    /// Whether a push is what a command is owed: the first of its kind that waits for this topic.
    fn settles(&mut self, topic: &Topic, owed: fn(&mut Pending) -> Option<&mut VecDeque<Topic>>) -> bool {
        for index in 0..self.pending.len() {
            let Some(owed) = self.pending.get_mut(index).and_then(owed) else { continue };
            // Confirmations come in the order of the command.
            let Some(at) = owed.iter().position(|waiting| waiting == topic) else { continue };
            owed.remove(at);
            if owed.is_empty() {
                self.pending.remove(index);
            }
            return true;
        }
        false
    }

    fn on_answer(&mut self, pending: Pending, value: RespValue) {
        if let RespValue::Error(error) = &value {
            return self.on_error(pending, error);
        }
        match pending {
            // It takes publications without history, too, but they reach no other server.
            Pending::Hello if is_replica(&value) => self.fail(advice::judge(REPLICA).1),
            Pending::Hello if self.options.history.is_none() => self.events.push_back(SessionEvent::Ready),
            Pending::Lineage => match value.octets().map(|info| lineage::parse(info)) {
                Some(lineage) => self.lineage = lineage,
                None => self.fail(Cause::Violation("INFO that is no text")),
            },
            Pending::LoadPublish => match value.octets() {
                Some(name) => self.publish_script = name.clone(),
                None => self.fail(Cause::Violation(NO_SCRIPT)),
            },
            Pending::LoadHistory => match value.octets() {
                Some(name) => {
                    self.history_script = name.clone();
                    self.events.push_back(SessionEvent::Ready);
                }
                None => self.fail(Cause::Violation(NO_SCRIPT)),
            },
            Pending::Recover(topic) => match scripts::history(topic, &value) {
                Some(history) => self.events.push_back(SessionEvent::History(history)),
                None => self.fail(Cause::Violation("a history of another form")),
            },
            Pending::Subscribe(_) | Pending::Unsubscribe(_) => {
                self.fail(Cause::Violation("a subscription is confirmed by a push"));
            }
            Pending::Hello | Pending::Select | Pending::Publish(..) | Pending::Ping => {}
        }
    }

    fn on_error(&mut self, pending: Pending, error: &[u8]) {
        let (severity, cause) = advice::judge(error);
        if let Pending::Publish(receipt, topic) = &pending {
            let (topic, receipt) = (topic.clone(), Some(*receipt));
            self.events.push_back(SessionEvent::Refused { topic, receipt, cause: cause.clone() });
        }
        if severity == Severity::Connection {
            self.events.extend(moved_to(error, &self.here).map(SessionEvent::Directed));
            return self.fail(cause);
        }
        match pending {
            Pending::Publish(..) => {}
            Pending::Recover(topic) => {
                let history = History { topic, newest: None, entries: Vec::new(), whole_after: None };
                self.events.push_back(SessionEvent::History(history));
            }
            // The whole command is refused if the user lacks one channel: each by itself shows which.
            Pending::Subscribe(topics) if topics.len() > 1 => {
                for topic in topics {
                    self.subscribe(&[topic]);
                }
            }
            Pending::Subscribe(topics) => {
                let refused = |topic| SessionEvent::Refused { topic, receipt: None, cause: cause.clone() };
                self.events.extend(topics.into_iter().map(refused));
            }
            Pending::Hello
            | Pending::Select
            | Pending::Lineage
            | Pending::LoadPublish
            | Pending::LoadHistory
            | Pending::Unsubscribe(_)
            | Pending::Ping => self.fail(cause),
        }
    }
}

impl Session for RedisSession {
    fn features(&self) -> Features {
        Features {
            echo: true,
            history: self.options.history.is_some(),
            // With room for the frame.
            payload_bytes_max: self.options.limits.bulk_bytes_max.saturating_sub(64),
        }
    }

    fn receive(&mut self, _now: Time, octets: &[u8]) {
        self.parser.feed(octets);
        while !self.failed {
            match self.parser.next() {
                Ok(Some(value)) => self.on_value(value),
                Ok(None) => return,
                Err(error) => self.fail(fault(error)),
            }
        }
    }

    fn transmit(&self) -> &[u8] {
        &self.output
    }

    fn transmitted(&mut self, count: usize) {
        self.output.advance(count.min(self.output.len()));
        if self.output.is_empty() {
            // An idle connection holds no buffer.
            self.output = BytesMut::new();
        }
    }

    fn subscribe(&mut self, topics: &[Topic]) {
        let verb: &[u8] = if self.options.sharded { b"SSUBSCRIBE" } else { b"SUBSCRIBE" };
        self.commands(verb, topics, Pending::Subscribe);
    }

    fn unsubscribe(&mut self, topics: &[Topic]) {
        let verb: &[u8] = if self.options.sharded { b"SUNSUBSCRIBE" } else { b"UNSUBSCRIBE" };
        self.commands(verb, topics, Pending::Unsubscribe);
    }

    fn can_publish(&self) -> bool {
        self.output.len() < OUTPUT_BYTES_MAX && self.pending.len() < PENDING_MAX
    }

    fn publish(&mut self, receipt: Receipt, topic: &Topic, payload: &Bytes) {
        let verb: &[u8] = if self.options.sharded { b"SPUBLISH" } else { b"PUBLISH" };
        let channel = self.name("", topic);
        let pending = Pending::Publish(receipt, topic.clone());
        let Some(history) = self.options.history else {
            return self.command(&[verb, channel.as_bytes(), payload], pending);
        };
        let (script, lineage) = (self.publish_script.clone(), self.lineage.clone());
        let (stream, epoch) = (self.name("history:", topic), self.name("epoch:", topic));
        let messages = history.messages.to_string();
        let (ttl, epoch_ttl) = (seconds(history.ttl), seconds(history.epoch_ttl.max(history.ttl)));
        let keys = [stream.as_bytes(), epoch.as_bytes()];
        let arguments: [&[u8]; 7] = [
            lineage.as_bytes(),
            verb,
            channel.as_bytes(),
            payload,
            messages.as_bytes(),
            ttl.as_bytes(),
            epoch_ttl.as_bytes(),
        ];
        let words: Vec<&[u8]> = [&[&b"EVALSHA"[..], &script, b"2"], &keys[..], &arguments[..]].concat();
        self.command(&words, pending);
    }

    fn recover(&mut self, topic: &Topic, after: Option<Position>) {
        let Some(history) = self.options.history else { return };
        let (script, lineage) = (self.history_script.clone(), self.lineage.clone());
        let (stream, epoch) = (self.name("history:", topic), self.name("epoch:", topic));
        let (from_epoch, from_offset) = match after {
            Some(Position { epoch, offset }) => (epoch.to_string(), offset.to_string()),
            None => (String::new(), String::new()),
        };
        let RecoveryLimits { messages_max, bytes_max } = self.recovery;
        let (messages, bytes) = (messages_max.to_string(), bytes_max.to_string());
        let entry_bytes = self.options.limits.bulk_bytes_max.to_string();
        let ttl = seconds(history.epoch_ttl.max(history.ttl));
        let keys = [&stream, &epoch];
        let arguments = [&lineage, &from_epoch, &from_offset, &messages, &bytes, &ttl, &entry_bytes];
        let mut words: Vec<&[u8]> = vec![b"EVALSHA", &script, b"2"];
        words.extend(keys.iter().chain(&arguments).map(|argument| argument.as_bytes()));
        self.command(&words, Pending::Recover(topic.clone()));
    }

    fn ping(&mut self) {
        self.command(&[b"PING"], Pending::Ping);
    }

    fn poll(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }
}

/// Whether the answer to `HELLO` is that of a replica.
fn is_replica(hello: &RespValue) -> bool {
    let RespValue::Map(pairs) = hello else { return false };
    let is = |value: &RespValue, text: &[u8]| value.octets().is_some_and(|octets| octets[..] == *text);
    pairs.iter().any(|(name, value)| is(name, b"role") && is(value, b"replica"))
}

/// The node that has the slot, by `MOVED slot host:port`.
fn moved_to(error: &[u8], here: &Endpoint) -> Option<Endpoint> {
    let text = std::str::from_utf8(error.strip_prefix(b"MOVED ")?).ok()?;
    let (host, port) = text.split_once(' ')?.1.rsplit_once(':')?;
    slot::endpoint(host.as_bytes(), port.parse().ok()?, here)
}

fn seconds(time: Duration) -> String {
    time.as_secs().max(1).to_string()
}

/// What the parser says, as the cause of an end.
pub(super) fn fault(error: RespError) -> Cause {
    if error.is_limit() { Cause::Limit(error.as_str()) } else { Cause::Violation(error.as_str()) }
}
