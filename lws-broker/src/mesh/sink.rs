//! A connection that another process has made to this one: it subscribes here, and is sent what is published here.

use super::frame::{Frame, FrameReader, MESSAGE_OVERHEAD_BYTES, Malformed, VERSION};
use super::name::SocketName;
use crate::transmit::TransmitBuffer;
use crate::{Time, Topic};
use std::collections::HashMap;

/// What a connection of another process reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SinkEvent {
    /// It has said who it is.
    Hello(SocketName),
    /// Everything that it is subscribed to is known.
    Synced,
}

/// A connection of another process.
#[derive(Debug)]
pub(super) struct Sink {
    /// `None` before it has said who it is.
    pub(super) name: Option<SocketName>,
    pub(super) synced: bool,
    /// By when it has to say who it is.
    hello_by: Time,
    reader: FrameReader,
    output: TransmitBuffer,
    numbers: HashMap<Topic, u64>,
    topics: HashMap<u64, Topic>,
    topics_max: usize,
    /// Octets of messages that may wait for it.
    queue_bytes_max: usize,
    /// Messages are dropped until half of the queue has left.
    drops: bool,
    /// Nothing is published to it any more.
    leaving: bool,
}

impl Sink {
    pub(super) fn new(hello_by: Time, topics_max: usize, queue_bytes_max: usize) -> Self {
        let mut output = TransmitBuffer::default();
        output.push(|out| out.push(VERSION));
        Self {
            name: None,
            synced: false,
            hello_by,
            // It sends no messages.
            reader: FrameReader::new(0),
            output,
            numbers: HashMap::new(),
            topics: HashMap::new(),
            topics_max,
            queue_bytes_max,
            drops: false,
            leaving: false,
        }
    }

    /// By when it has to say who it is, if it has not.
    pub(super) fn hello_by(&self) -> Option<Time> {
        self.name.is_none().then_some(self.hello_by)
    }

    /// Publishes, if it is subscribed. Gives false if the message was dropped, as it does not read fast enough.
    pub(super) fn publish(&mut self, topic: &Topic, payload: &[u8]) -> bool {
        let Some(&number) = self.numbers.get(topic) else { return true };
        let len = self.output.octets().len() + MESSAGE_OVERHEAD_BYTES + payload.len();
        // One message always has room, however large it is.
        if self.drops || len > self.queue_bytes_max && !self.output.octets().is_empty() {
            self.drops = true;
            return false;
        }
        self.output.push(|out| Frame::Message { number, payload }.write(out));
        true
    }

    /// Nothing more is published: behind what waits it is informed of the end.
    pub(super) fn leave(&mut self) {
        if !std::mem::replace(&mut self.leaving, true) {
            self.admit_drops();
            self.output.push(|out| Frame::Leave.write(out));
        }
    }

    /// The hole stands where the messages would have stood.
    fn admit_drops(&mut self) {
        if std::mem::take(&mut self.drops) {
            self.output.push(|out| Frame::Lost.write(out));
        }
    }

    pub(super) fn transmit(&self) -> &[u8] {
        self.output.octets()
    }

    pub(super) fn transmitted(&mut self, count: usize) {
        self.output.consume(count);
        if self.output.octets().len() <= self.queue_bytes_max / 2 {
            self.admit_drops();
        }
    }

    /// Whether more may be read from it: false while it does not read what it is sent, as each subscription is answered.
    pub(super) fn wants_read(&self) -> bool {
        self.output.octets().len() <= self.queue_bytes_max
    }

    /// Takes the next event from the front of `input`. `None` if more is needed. `has_published` is whether this process has published
    /// anything.
    ///
    /// # Errors
    /// The other process does not speak this protocol, or has more subscriptions than it may have.
    pub(super) fn receive(
        &mut self,
        input: &mut &[u8],
        has_published: bool,
    ) -> Result<Option<SinkEvent>, Malformed> {
        while let Some(frame) = self.reader.next(input)? {
            match (&self.name, frame) {
                (None, Frame::Hello(name)) => {
                    let name = SocketName::parse(name)
                        .map_err(|_| Malformed("a process says its own name first"))?;
                    self.name = Some(name.clone());
                    return Ok(Some(SinkEvent::Hello(name)));
                }
                (None, _) => return Err(Malformed("a process says its own name first")),
                (Some(_), Frame::Subscribe { number, topic }) => {
                    let topic = Topic::new(topic).map_err(|_| Malformed("a topic has a name that is one"))?;
                    if self.topics.len() >= self.topics_max {
                        return Err(Malformed("a process is not subscribed to more than topics_max"));
                    }
                    let is_new = self.topics.insert(number, topic.clone()).is_none();
                    if self.numbers.insert(topic, number).is_some() || !is_new {
                        return Err(Malformed("a process subscribes once to a topic"));
                    }
                    self.output.push(|out| Frame::Subscribed { number, has_published }.write(out));
                }
                (Some(_), Frame::Unsubscribe { number }) => {
                    if let Some(topic) = self.topics.remove(&number) {
                        self.numbers.remove(&topic);
                    }
                }
                (Some(_), Frame::Synced) => {
                    self.synced = true;
                    return Ok(Some(SinkEvent::Synced));
                }
                (Some(_), _) => {
                    return Err(Malformed("the one that makes a connection publishes nothing on it"));
                }
            }
        }
        Ok(None)
    }
}
