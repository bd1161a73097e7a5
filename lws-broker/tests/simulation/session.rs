//! The session of the simulated broker: one line per command and answer.

use crate::world::Mode;
use lws_broker::{
    Bytes, Cause, Endpoint, Features, History, Position, Protocol, Receipt, Session, SessionEvent, Time,
    Topic,
};
use std::collections::VecDeque;

pub(crate) struct SimProtocol(pub(crate) Mode);

impl Protocol for SimProtocol {
    fn endpoint(&mut self) -> Endpoint {
        Endpoint::Unix("/sim".into())
    }

    fn session(&mut self, _now: Time) -> Box<dyn Session> {
        Box::new(SimSession {
            mode: self.0,
            input: Vec::new(),
            output: b"HELLO\n".to_vec(),
            events: VecDeque::new(),
        })
    }
}

struct SimSession {
    mode: Mode,
    input: Vec<u8>,
    output: Vec<u8>,
    events: VecDeque<SessionEvent>,
}

/// A line of the broker as an event.
fn event(line: &str, linked: bool) -> Option<SessionEvent> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    if kind == "READY" {
        return Some(SessionEvent::Ready);
    }
    if kind == "PONG" {
        return None;
    }
    let topic = Topic::new(words.next()?).ok()?;
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    Some(match kind {
        "SUBSCRIBED" => SessionEvent::Subscribed(topic),
        "LOST" => SessionEvent::Lost(Some(topic)),
        "ENDED" => SessionEvent::Unsubscribed(topic),
        "MESSAGE" => {
            let (epoch, offset, previous) = (number()?, number()?, number()?);
            let payload = Bytes::copy_from_slice(words.next()?.as_bytes());
            let position = Position { epoch, offset };
            if linked {
                SessionEvent::Linked { topic, payload, position, previous }
            } else {
                SessionEvent::Message { topic, payload, position: (epoch != 0).then_some(position) }
            }
        }
        "HISTORY" => {
            let newest = Some(Position { epoch: number()?, offset: number()? });
            let whole_after = number().filter(|_| linked);
            let entries = words.filter_map(|word| {
                let (offset, payload) = word.split_once('=')?;
                Some((offset.parse().ok()?, Bytes::copy_from_slice(payload.as_bytes())))
            });
            SessionEvent::History(History { topic, newest, entries: entries.collect(), whole_after })
        }
        _ => SessionEvent::Failed(Cause::Violation("no such line")),
    })
}

impl SimSession {
    fn line(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.push(b'\n');
    }
}

impl Session for SimSession {
    fn features(&self) -> Features {
        Features { echo: self.mode.echo, history: self.mode.history, payload_bytes_max: 1 << 20 }
    }

    fn receive(&mut self, _now: Time, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        while let Some(end) = self.input.iter().position(|octet| *octet == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            self.events.extend(event(String::from_utf8_lossy(&line).trim_end(), self.mode.linked));
        }
    }

    fn transmit(&self) -> &[u8] {
        &self.output
    }

    fn transmitted(&mut self, count: usize) {
        self.output.drain(..count);
    }

    fn subscribe(&mut self, topics: &[Topic]) {
        topics.iter().for_each(|topic| self.line(&format!("SUB {topic}")));
    }

    fn unsubscribe(&mut self, topics: &[Topic]) {
        topics.iter().for_each(|topic| self.line(&format!("UNSUB {topic}")));
    }

    fn can_publish(&self) -> bool {
        self.output.len() < 200
    }

    fn publish(&mut self, _receipt: Receipt, topic: &Topic, payload: &Bytes) {
        self.line(&format!("PUB {topic} {}", String::from_utf8_lossy(payload)));
    }

    fn recover(&mut self, topic: &Topic, after: Option<Position>) {
        let Position { epoch, offset } = after.unwrap_or(Position { epoch: 0, offset: 0 });
        self.line(&format!("HISTORY {topic} {epoch} {offset}"));
    }

    fn ping(&mut self) {
        self.line("PING");
    }

    fn poll(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }
}
