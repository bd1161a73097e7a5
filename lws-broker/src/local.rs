//! The broker of a process alone.

use crate::outgoing::Outgoing;
use crate::{Broker, Event, Full, Limits, Receipt, Time, Topic};
use bytes::Bytes;
use std::collections::{HashSet, VecDeque};

/// Topics within one process: what is published comes back at once, and nothing is lost.
///
/// ```
/// use lws_broker::{Broker, Bytes, Event, Local, Time, Topic};
///
/// let (mut broker, now) = (Local::default(), Time::ZERO);
/// let room = Topic::new("room/a")?;
/// broker.subscribe(now, &room);
/// broker.publish(now, &room, Bytes::from("hello"))?;
/// assert_eq!(broker.poll(), Some(Event::Up));
/// assert_eq!(broker.poll(), Some(Event::Subscribed { topic: room.clone() }));
/// let message = Event::Message { topic: room, payload: Bytes::from("hello"), position: None };
/// assert_eq!(broker.poll(), Some(message));
/// assert_eq!(broker.poll(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Local {
    topics: HashSet<Topic>,
    topics_max: usize,
    /// Messages that have not been polled.
    messages: Outgoing,
    /// What has happened, in order; messages are in `messages`.
    events: VecDeque<LocalEvent>,
}

enum LocalEvent {
    Message,
    Other(Event),
}

impl Local {
    /// With limits of its own: those of publications bound what waits for [`Broker::poll`].
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            topics: HashSet::new(),
            topics_max: limits.topics_max,
            messages: Outgoing::new(limits),
            events: [LocalEvent::Other(Event::Up)].into(),
        }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl Broker for Local {
    fn subscribe(&mut self, _now: Time, topic: &Topic) {
        if self.topics.contains(topic) {
            return;
        }
        let topic = topic.clone();
        self.events.push_back(LocalEvent::Other(if self.topics.len() < self.topics_max {
            self.topics.insert(topic.clone());
            Event::Subscribed { topic }
        } else {
            Event::Refused { topic, receipt: None, cause: crate::Cause::Limit("topics_max") }
        }));
    }

    fn unsubscribe(&mut self, _now: Time, topic: &Topic) {
        self.topics.remove(topic);
    }

    fn publish(&mut self, _now: Time, topic: &Topic, payload: Bytes) -> Result<Receipt, Full> {
        let receipt = self.messages.push(topic, payload)?;
        self.events.push_back(LocalEvent::Message);
        Ok(receipt)
    }

    fn poll(&mut self) -> Option<Event> {
        loop {
            match self.events.pop_front()? {
                LocalEvent::Other(event) => return Some(event),
                LocalEvent::Message => {
                    let (_, topic, payload) = self.messages.pop()?;
                    if self.topics.contains(&topic) {
                        return Some(Event::Message { topic, payload, position: None });
                    }
                }
            }
        }
    }
}
