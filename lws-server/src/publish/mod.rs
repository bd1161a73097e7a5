//! Publishing to routes and topics, and subscribing to them.

#[cfg(feature = "broker")]
pub mod broker;
pub(crate) mod topics;
pub(crate) mod watches;

use crate::Context;
use crate::SubscribeError;
use crate::id::{RouteId, StreamId};
use crate::publish::topics::{Destination, Publication};
use crate::server::group::{Group, Published};
use crate::thread::command::Command;
use crate::ws::Broadcast;
use std::fmt;
use std::sync::Arc;

/// Why a message was not published everywhere.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// There is no route of that path.
    NoRoute,
    /// No message can be published to a topic of this name: it is empty, longer than 256 bytes, or has a wildcard.
    TopicName,
    /// Some threads of the server have too much on its way already: their WebSockets do not get the message, and those of
    /// all others do. [`Handle::publish_again`](crate::Handle::publish_again) tries the former only, so that no WebSocket gets it
    /// twice.
    Missed(Missed),
    /// The broker that has the topic takes no more at the moment, or not a message as large: nothing of it is kept.
    #[cfg(feature = "broker")]
    Broker(lws_broker::Full),
    /// The server has gone.
    Gone,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute => f.write_str("there is no such route"),
            Self::TopicName => f.write_str("nothing can be published to a topic of this name"),
            Self::Missed(missed) => {
                write!(f, "{} threads have too much on its way already", missed.threads.len())
            }
            #[cfg(feature = "broker")]
            Self::Broker(full) => write!(f, "for the broker of the topic: {full}"),
            Self::Gone => f.write_str("the server has gone"),
        }
    }
}

impl std::error::Error for PublishError {}

/// The threads that have not got a message.
#[derive(Clone, Debug)]
pub struct Missed {
    publication: Arc<Publication>,
    threads: Vec<u16>,
}

impl Missed {
    /// Their numbers: see [`Context::thread`].
    pub fn threads(&self) -> impl ExactSizeIterator<Item = usize> {
        self.threads.iter().map(|thread| usize::from(*thread))
    }
}

impl Group<Command> {
    /// Publishes on all threads, or at the broker that has the topic.
    pub(crate) fn publish_everywhere(&self, publication: Publication) -> Result<(), PublishError> {
        #[cfg(feature = "broker")]
        let publication = match self.publish_upstream(publication) {
            Ok(published) => return published,
            Err(publication) => publication,
        };
        self.publish(publication, None)
    }

    /// Publishes on all threads but `here`.
    pub(crate) fn publish(&self, publication: Publication, here: Option<u16>) -> Result<(), PublishError> {
        if self.shards.count() == 1 && here.is_some() {
            return Ok(());
        }
        self.publish_on(&Arc::new(publication), self.others(here))
    }

    /// Publishes on the threads that have missed a message.
    pub(crate) fn publish_again(&self, missed: &Missed) -> Result<(), PublishError> {
        self.publish_on(&missed.publication, missed.threads.iter().copied())
    }

    pub(crate) fn publish_on(
        &self,
        publication: &Arc<Publication>,
        threads: impl Iterator<Item = u16>,
    ) -> Result<(), PublishError> {
        let (mut asked, mut gone, mut missed) = (0, 0, Vec::new());
        let bytes = publication.message.bytes().len();
        for shard in threads {
            asked += 1;
            match self.publish_at(shard, bytes, Command::Publish(Arc::clone(publication))) {
                Published::Sent => {}
                Published::Full => missed.push(shard),
                Published::Gone => gone += 1,
            }
        }
        if !missed.is_empty() {
            let publication = Arc::clone(publication);
            return Err(PublishError::Missed(Missed { publication, threads: missed }));
        }
        // What has gone has no WebSockets any more.
        if asked > 0 && gone == asked { Err(PublishError::Gone) } else { Ok(()) }
    }
}

impl Publication {
    /// A message to the WebSockets of a route.
    pub(crate) fn to_route(route: RouteId, message: &Broadcast) -> Self {
        Self { to: Destination::Route(route), message: message.clone(), except: None, key: None }
    }

    /// A message to the subscribers of a topic.
    ///
    /// # Errors
    /// No message can be published to a topic of this name.
    pub(crate) fn to_topic(
        topic: &str,
        message: &Broadcast,
        except: Option<StreamId>,
        key: Option<&str>,
    ) -> Result<Self, PublishError> {
        if !topics::is_destination(topic) {
            return Err(PublishError::TopicName);
        }
        let to = Destination::Topic(topic.into());
        Ok(Self { to, message: message.clone(), except, key: key.map(Into::into) })
    }
}

impl Context<'_> {
    /// Sends a message to every open WebSocket of the route that the call is about, the caller's own too, on all threads:
    /// see [`Handle::publish`](crate::Handle::publish).
    #[doc(alias = "lws_ring")]
    ///
    /// # Errors
    /// Those of [`Handle::publish`](crate::Handle::publish). The WebSockets of this thread have got the message all the same.
    pub fn publish(&mut self, message: &Broadcast) -> Result<(), PublishError> {
        self.publish_everywhere(Publication::to_route(self.subject.route, message))
    }

    /// Sends a message to every open WebSocket of the route called `path`: see [`Handle::publish`](crate::Handle::publish).
    ///
    /// # Errors
    /// Those of [`Handle::publish`](crate::Handle::publish). The WebSockets of this thread have got the message all the same, if
    /// there is such a route.
    pub fn publish_to(&mut self, path: &str, message: &Broadcast) -> Result<(), PublishError> {
        let route = self.state.group.route_named(path).ok_or(PublishError::NoRoute)?;
        self.publish_everywhere(Publication::to_route(route, message))
    }

    /// Sends a message to all subscribers of a topic in this process, on all threads, also if the topic is shared by a broker: what they
    /// missed by a gap, for example.
    ///
    /// # Errors
    /// Those of [`Handle::publish_topic`](crate::Handle::publish_topic).
    pub fn publish_local(&mut self, topic: &str, message: &Broadcast) -> Result<(), PublishError> {
        self.publish_in_process(Publication::to_topic(topic, message, None, None)?)
    }

    fn publish_everywhere(&mut self, publication: Publication) -> Result<(), PublishError> {
        #[cfg(feature = "broker")]
        let publication = match self.state.group.publish_upstream(publication) {
            Ok(published) => return published,
            Err(publication) => publication,
        };
        self.publish_in_process(publication)
    }

    fn publish_in_process(&mut self, publication: Publication) -> Result<(), PublishError> {
        self.publish_here(&publication);
        self.state.group.publish(publication, Some(self.state.shard))
    }

    /// Puts a message where the WebSockets of this thread find it, and notifies those that do not know yet.
    pub(crate) fn publish_here(&mut self, publication: &Publication) {
        let notified = self.state.topics.publish(publication);
        for (id, subscription) in notified.subscribers {
            self.driver.deliver(id.connection, id.key, subscription);
        }
        if notified.rushed {
            self.driver.pace_messages();
        }
        self.call_watches(publication);
    }

    /// There is no broker to report them to.
    #[cfg(not(feature = "broker"))]
    pub(crate) fn report_topics(&mut self) {}

    /// There is no broker to announce it by.
    #[cfg(not(feature = "broker"))]
    pub(crate) fn end_presences(&mut self, _: Option<lws_proto::StreamKey>) {}

    /// There is no broker to leave.
    #[cfg(not(feature = "broker"))]
    pub(crate) fn end_broker(&mut self) {}

    /// Subscribes the WebSocket that the call is about to a topic: from now on it gets what is published there, on whichever
    /// thread. Subscribing again changes nothing. The subscription ends with [`unsubscribe`](Self::unsubscribe) or the WebSocket.
    ///
    /// A name has up to 256 bytes; `/` divides it into segments. A segment `+` stands for any one segment, and `#` as the last one for
    /// all that follow: `room/+` gets what is published to `room/a`. A WebSocket that has subscribed to both gets it twice.
    ///
    /// # Errors
    /// No topic can have this name, the WebSocket has too many subscriptions, or the call is not about a WebSocket.
    pub fn subscribe(&mut self, topic: &str) -> Result<(), SubscribeError> {
        let id = self.id().ok_or(SubscribeError::NoWebSocket)?;
        let subscriptions = self.subscriptions.as_deref_mut().ok_or(SubscribeError::NoWebSocket)?;
        let subscribed = self.state.topics.subscribe(topic, id, subscriptions);
        self.report_topics();
        subscribed
    }

    /// Ends the subscription of the WebSocket that the call is about to the topic of this name. Answers whether there was one.
    /// What was published before and has not been sent is not sent any more.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        let subscriptions = self.subscriptions.as_deref_mut();
        let ended =
            subscriptions.is_some_and(|subscriptions| self.state.topics.unsubscribe(topic, subscriptions));
        self.report_topics();
        ended
    }

    /// Sends a message to all subscribers of a topic, on all threads. Without subscribers it goes nowhere. Messages of one thread
    /// to one topic arrive in their order.
    ///
    /// # Errors
    /// Those of [`Handle::publish_topic`](crate::Handle::publish_topic). The subscribers of this thread have got the message all
    /// the same, if there can be such a topic.
    pub fn publish_topic(&mut self, topic: &str, message: &Broadcast) -> Result<(), PublishError> {
        self.publish_everywhere(Publication::to_topic(topic, message, None, None)?)
    }

    /// Sends a message to all subscribers of a topic but the WebSocket that the call is about.
    ///
    /// # Errors
    /// As [`publish_topic`](Self::publish_topic).
    pub fn publish_others(&mut self, topic: &str, message: &Broadcast) -> Result<(), PublishError> {
        let except = self.id();
        self.publish_everywhere(Publication::to_topic(topic, message, except, None)?)
    }

    /// Sends a message to all subscribers of a topic, in place of an earlier one with the same `key`: a subscriber that has not
    /// been sent that one yet gets the newest only. For values of which the last counts, such as positions and prices.
    ///
    /// # Errors
    /// As [`publish_topic`](Self::publish_topic).
    pub fn publish_latest(
        &mut self,
        topic: &str,
        key: &str,
        message: &Broadcast,
    ) -> Result<(), PublishError> {
        self.publish_everywhere(Publication::to_topic(topic, message, None, Some(key))?)
    }

    /// How many WebSockets have subscribed to the topic of this name, on this thread.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> usize {
        self.state.topics.count(topic)
    }
}
