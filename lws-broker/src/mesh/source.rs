//! A connection that this process has made to another one: it subscribes there, and receives what is published there.

use super::frame::{Frame, FrameReader, Malformed, VERSION};
use super::name::SocketName;
use crate::transmit::TransmitBuffer;
use crate::{Time, Topic};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};

/// Octets of subscriptions that are written ahead: the rest follows as they leave, so that a process with many topics does not write all of
/// them at once.
const AHEAD_BYTES: usize = 32 << 10;

/// What a connection to another process reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SourceEvent {
    /// It publishes to us from now on. It may have published before.
    Subscribed { topic: Topic, has_published: bool },
    /// It has published a message.
    Message { topic: Topic, payload: Bytes },
    /// It had to drop messages here.
    Lost,
    /// It has sent everything, and ends.
    Left,
}

/// A connection to another process.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: SocketName,
    reader: FrameReader,
    output: TransmitBuffer,
    topics: HashMap<u64, Topic>,
    numbers: HashMap<Topic, u64>,
    /// The last number that was given. Numbers are not used again, so that a late message meets no other topic.
    last: u64,
    /// Topics to subscribe to.
    waiting: VecDeque<Topic>,
    /// Whether everything was sent that was subscribed to when the connection began.
    synced: bool,
    /// The last number that it has confirmed: it does so in their order.
    confirmed: u64,
    /// By when it has to confirm the next one, if it owes that.
    pub(super) confirm_by: Option<Time>,
    /// It has not confirmed in time: no one waits for it until it does.
    pub(super) is_late: bool,
    /// Whether it has said that it ends.
    pub(super) left: bool,
}

impl Source {
    /// A connection that has just been made, by a process of the name `own` that is subscribed to `topics`. The first answer is late after
    /// `deadline`.
    pub(super) fn new(
        name: SocketName,
        own: &SocketName,
        topics: impl Iterator<Item = Topic>,
        payload_bytes_max: usize,
        deadline: Time,
    ) -> Self {
        let mut source = Self {
            name,
            reader: FrameReader::new(payload_bytes_max),
            output: TransmitBuffer::default(),
            topics: HashMap::new(),
            numbers: HashMap::new(),
            last: 0,
            waiting: topics.collect(),
            synced: false,
            confirmed: 0,
            confirm_by: None,
            is_late: false,
            left: false,
        };
        source.output.push(|out| {
            out.push(VERSION);
            Frame::Hello(own.as_str()).write(out);
        });
        source.fill();
        source.watch(false, deadline);
        source
    }

    /// Asks for a topic. The answer is late after `deadline`, unless there was one before that is awaited.
    pub(super) fn subscribe(&mut self, topic: &Topic, deadline: Time) {
        self.waiting.push_back(topic.clone());
        self.fill();
        self.watch(false, deadline);
    }

    /// Whether it has ever confirmed a subscription: it speaks this protocol.
    pub(super) fn has_confirmed(&self) -> bool {
        self.confirmed > 0
    }

    fn owes(&self) -> bool {
        self.confirmed < self.last || !self.waiting.is_empty()
    }

    /// The deadline has passed. Gives whether it is late: what it owed may have ended meanwhile.
    pub(super) fn expire(&mut self) -> bool {
        self.confirm_by = None;
        self.is_late = self.owes();
        self.is_late
    }

    /// Something was asked of it or, if it `answers`, confirmed: it has until `deadline` for the next confirmation, if it owes one.
    fn watch(&mut self, answers: bool, deadline: Time) {
        self.is_late &= !answers;
        if !self.owes() || self.is_late {
            self.confirm_by = None;
        } else if answers || self.confirm_by.is_none() {
            self.confirm_by = Some(deadline);
        }
    }

    pub(super) fn unsubscribe(&mut self, topic: &Topic) {
        if let Some(number) = self.numbers.remove(topic) {
            self.topics.remove(&number);
            self.output.push(|out| Frame::Unsubscribe { number }.write(out));
        } else {
            self.waiting.retain(|waiting| waiting != topic);
        }
    }

    /// Writes subscriptions that wait, a few ahead of what leaves.
    fn fill(&mut self) {
        while self.output.octets().len() < AHEAD_BYTES {
            let Some(topic) = self.waiting.pop_front() else {
                if !std::mem::replace(&mut self.synced, true) {
                    self.output.push(|out| Frame::Synced.write(out));
                }
                return;
            };
            self.last += 1;
            let number = self.last;
            self.output.push(|out| Frame::Subscribe { number, topic: topic.as_str() }.write(out));
            self.topics.insert(number, topic.clone());
            self.numbers.insert(topic, number);
        }
    }

    pub(super) fn transmit(&self) -> &[u8] {
        self.output.octets()
    }

    pub(super) fn transmitted(&mut self, count: usize) {
        self.output.consume(count);
        self.fill();
    }

    /// Takes the next event from the front of `input`. `None` if more is needed. Behind an answer, the next one is late after `deadline`.
    ///
    /// # Errors
    /// The other process does not speak this protocol.
    pub(super) fn receive(
        &mut self,
        input: &mut &[u8],
        deadline: Time,
    ) -> Result<Option<SourceEvent>, Malformed> {
        while let Some(frame) = self.reader.next(input)? {
            let event = match frame {
                Frame::Subscribed { number, has_published } => {
                    self.confirmed = self.confirmed.max(number.min(self.last));
                    self.watch(true, deadline);
                    // One that was ended meanwhile needs no confirmation.
                    self.topics
                        .get(&number)
                        .map(|topic| SourceEvent::Subscribed { topic: topic.clone(), has_published })
                }
                Frame::Message { number, payload } => self.topics.get(&number).map(|topic| {
                    SourceEvent::Message { topic: topic.clone(), payload: Bytes::copy_from_slice(payload) }
                }),
                Frame::Lost => Some(SourceEvent::Lost),
                Frame::Leave => {
                    self.left = true;
                    Some(SourceEvent::Left)
                }
                Frame::Hello(_) | Frame::Subscribe { .. } | Frame::Unsubscribe { .. } | Frame::Synced => {
                    return Err(Malformed("the one that accepts a connection subscribes to nothing on it"));
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }
}
