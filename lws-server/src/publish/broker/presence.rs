//! Who is in which topic, over all processes: what all threads know of it, and what is announced by way of the broker.

use super::bridge::Bridge;
use crate::Context;
use crate::id::StreamId;
use lws_broker::presence::{Presence, PresenceError, PresenceOptions};
use lws_broker::{Event, Topic};
use lws_proto::{StreamKey, Time};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What topics begin with that carry announcements: no handler subscribes to or publishes to one at the broker.
pub(super) const TOPIC_PREFIX: &str = "$presence/";
/// Topics that one WebSocket can be present in: as many as it can subscribe to by default.
const PRESENCES_MAX: usize = 256;

/// Presence as all threads see it.
pub(crate) struct SharedPresence {
    topic: Topic,
    known: Mutex<Known>,
}

pub(super) struct Known {
    pub(super) presence: Presence,
    /// The time of the thread that has the broker: the others have clocks of their own.
    now: Time,
}

impl SharedPresence {
    /// `prefix` is that of the topics that are shared, so that applications with different ones do not meet. `None` if it is too long.
    pub(super) fn new(options: &PresenceOptions, prefix: &str, process: u64) -> Option<Self> {
        let presence = Presence::new(Time::ZERO, options.clone(), process);
        let topic = Topic::new(&format!("{TOPIC_PREFIX}{prefix}")).ok()?;
        Some(Self { topic, known: Mutex::new(Known { presence, now: Time::ZERO }) })
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere leaves at most one change out.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is due, and gives what is to be announced.
    pub(super) fn advance(&self, now: Time) -> Vec<lws_broker::Bytes> {
        let mut known = self.lock();
        known.now = now;
        known.presence.handle_timeout(now);
        std::iter::from_fn(|| known.presence.poll()).collect()
    }

    /// Takes an event of the broker, if it is about announcements.
    pub(super) fn take(&self, now: Time, event: Event) -> Option<Event> {
        match event {
            Event::Message { topic, payload, .. } if topic == self.topic => {
                self.lock().presence.receive(now, &payload);
                None
            }
            Event::Subscribed { topic } | Event::Gap { topic } if topic == self.topic => {
                self.lock().presence.connected(now);
                None
            }
            other => Some(other),
        }
    }
}

/// Who is in a topic, as this process knows it: see [`Context::presence`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// How many WebSockets, in all processes.
    pub count: u64,
    /// Their texts, each once, sorted.
    pub members: Vec<Arc<str>>,
}

/// Why a WebSocket could not be noted in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// There is no broker, or [`BrokerOptions::presence`](super::BrokerOptions::presence) is `None`.
    NoPresence,
    /// The call is not about a WebSocket.
    NoWebSocket,
    /// No topic can have this name.
    Name,
    /// The WebSocket is in 256 topics already.
    TooMany,
    /// A limit, or the text of the member.
    Presence(PresenceError),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPresence => f.write_str("the server has no broker with presence"),
            Self::NoWebSocket => f.write_str("only a WebSocket can be present"),
            Self::Name => f.write_str("no topic can have this name"),
            Self::TooMany => f.write_str("the WebSocket is in as many topics as it may be"),
            Self::Presence(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JoinError {}

/// Where the WebSockets of one thread are, and by which texts.
#[derive(Debug, Default)]
pub(crate) struct StreamPresences(HashMap<StreamId, Vec<Membership>>);

/// A topic, and the text by which a stream is present in it.
type Membership = (Topic, Option<Box<str>>);

impl Context<'_> {
    /// Notes that the WebSocket that the call is about is in a topic, with a text that says who it is to the others, or only to be counted.
    /// That ends with [`leave_presence`](Self::leave_presence) or the WebSocket. Joining again with another text takes the place of the one
    /// before. It subscribes to nothing.
    ///
    /// # Errors
    /// There is no presence, the call is about no WebSocket, or a limit is reached.
    pub fn join_presence(&mut self, topic: &str, member: Option<&str>) -> Result<(), JoinError> {
        let group = Arc::clone(&self.state.group);
        let shared =
            group.broker.as_ref().and_then(|broker| broker.presence()).ok_or(JoinError::NoPresence)?;
        let id = self.id().filter(|_| self.subscriptions.is_some()).ok_or(JoinError::NoWebSocket)?;
        let topic = Topic::new(topic).map_err(|_| JoinError::Name)?;
        let presences = self.state.presences.0.get(&id).map(Vec::as_slice).unwrap_or_default();
        let is_there = presences.iter().any(|(known, _)| *known == topic);
        if !is_there && presences.len() >= PRESENCES_MAX {
            return Err(JoinError::TooMany);
        }
        {
            let mut known = shared.lock();
            let now = known.now;
            known.presence.join(now, &topic, member).map_err(JoinError::Presence)?;
        }
        // Behind it, so that someone who stays is not gone between.
        self.leave_presence(topic.as_str());
        let presences = self.state.presences.0.entry(id).or_default();
        presences.push((topic, member.map(Into::into)));
        self.announce_soon();
        Ok(())
    }

    /// The WebSocket that the call is about is in a topic no more. Answers whether it was.
    pub fn leave_presence(&mut self, topic: &str) -> bool {
        let Some(id) = self.id() else { return false };
        let Some(presences) = self.state.presences.0.get_mut(&id) else { return false };
        let Some(at) = presences.iter().position(|(known, _)| known.as_str() == topic) else { return false };
        let left = presences.swap_remove(at);
        if presences.is_empty() {
            self.state.presences.0.remove(&id);
        }
        self.left_presences(&[left]);
        true
    }

    /// Who is in a topic, in all processes, as this process knows it: others learn of a change within half a second, and of the end of a
    /// process that crashed within a minute. See [`PresenceOptions`]. Empty without presence.
    #[must_use]
    pub fn presence(&self, topic: &str) -> Present {
        let shared = self.state.group.broker.as_ref().and_then(|broker| broker.presence());
        let (Some(shared), Ok(topic)) = (shared, Topic::new(topic)) else { return Present::default() };
        let known = shared.lock();
        Present { count: known.presence.count(&topic), members: known.presence.members(&topic) }
    }

    /// A WebSocket of the connection that is looked at is over.
    pub(crate) fn end_presences(&mut self, key: Option<StreamKey>) {
        if self.state.presences.0.is_empty() {
            return;
        }
        let (Some(connection), Some(key)) = (self.driver.connection(), key) else { return };
        let id = StreamId { shard: self.state.shard, connection, key };
        if let Some(presences) = self.state.presences.0.remove(&id) {
            self.left_presences(&presences);
        }
    }

    fn left_presences(&mut self, presences: &[Membership]) {
        let group = Arc::clone(&self.state.group);
        let Some(shared) = group.broker.as_ref().and_then(|broker| broker.presence()) else { return };
        {
            let mut known = shared.lock();
            let now = known.now;
            presences.iter().for_each(|(topic, member)| known.presence.leave(now, topic, member.as_deref()));
        }
        self.announce_soon();
    }

    /// Has the thread with the broker announce what has changed, when that is due.
    fn announce_soon(&mut self) {
        let group = Arc::clone(&self.state.group);
        let is_first = group.broker.as_ref().is_some_and(|broker| broker.wants_announcement());
        if is_first {
            let call = |cx: &mut Context<'_>| {
                if let Some(broker) = &cx.state.group.broker {
                    broker.announces();
                }
                cx.drive_broker();
            };
            // With no room there, it is announced with everything else, later.
            if group.try_send(0, crate::thread::command::Command::Call(Box::new(call))).is_err()
                && let Some(broker) = &group.broker
            {
                broker.announces();
            }
        }
    }

    /// The process ends: it has no one any more.
    pub(super) fn end_presence(&mut self, bridge: &Rc<RefCell<Bridge>>) {
        let group = Arc::clone(&self.state.group);
        if let Some(shared) = group.broker.as_ref().and_then(|broker| broker.presence()) {
            shared.lock().presence.end();
            bridge.borrow_mut().announce(self.now(), shared);
            self.drive_broker();
        }
    }
}
