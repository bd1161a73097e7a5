//! What every call of a handler lends: the time, the other streams, the counters.

use crate::shared::Shared;
use crate::tls::Info;
use crate::topics::{self, Destination, Publication, Subscription, Subscriptions};
use crate::ws::Broadcast;
use crate::{Handle, Peer, PublishError, Stats, SubscribeError};
use lws_loop_external::ConnectionId;
use lws_proto::{StreamKey, Time};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Names one stream of a server, on whichever of its threads: an exchange, WebSocket or raw stream. It may be sent to
/// other threads, and that of a stream which has ended finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    pub(crate) shard: u16,
    pub(crate) connection: ConnectionId,
    pub(crate) key: StreamKey,
}

/// Lent to a handler with every call.
pub struct Context<'a> {
    pub(crate) driver: &'a mut (dyn Driver + 'a),
    pub(crate) shared: &'a mut Shared,
    pub(crate) place: Place,
    /// Those of the WebSocket that the call is about.
    pub(crate) subscriptions: Option<&'a mut Subscriptions>,
}

/// What the call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) route: u32,
    pub(crate) key: Option<StreamKey>,
}

impl Place {
    /// No stream in particular.
    pub(crate) const NOWHERE: Self = Self { route: u32::MAX, key: None };
}

impl<'a> Context<'a> {
    /// The same call, about a stream that can subscribe to topics.
    pub(crate) fn of_subscriber(self, subscriptions: &'a mut Subscriptions) -> Self {
        Self { subscriptions: Some(subscriptions), ..self }
    }
}

impl Context<'_> {
    /// The time that the loop told last.
    #[must_use]
    pub fn now(&self) -> Time {
        self.driver.now()
    }

    /// Whole seconds since the first of January 1970, UTC; zero before the loop has told them.
    #[must_use]
    pub fn unix_seconds(&self) -> u32 {
        self.shared.unix_seconds
    }

    /// How long the server has been there.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Who is at the other end. Asks the operating system, which forgets a peer that resets: that is [`Peer::Unknown`] then, unless the
    /// server keeps addresses, as it does for an access log and for who watches TLS.
    #[doc(alias = "lws_get_peer_simple")]
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.shared.peer(self.driver.connection(), || self.driver.peer())
    }

    /// What TLS has agreed on with the peer: version, name, protocol, certificate. `None` without TLS.
    #[doc(alias = "lws_tls_peer_cert_info")]
    #[must_use]
    pub fn tls(&self) -> Option<&Info> {
        self.driver.tls()
    }

    /// The name of the stream that the call is about. `None` in a [`post`](crate::Handle::post).
    #[must_use]
    pub fn id(&self) -> Option<StreamId> {
        Some(StreamId {
            shard: self.shared.shard,
            connection: self.driver.connection()?,
            key: self.place.key?,
        })
    }

    /// Has another handler's `wake` called, before the server sleeps. Several calls before that are one. That of another
    /// thread is called soon, or not at all if too many messages wait there.
    pub fn wake(&mut self, id: StreamId) {
        if id.shard == self.shared.shard {
            if self.driver.wake(id.connection) {
                self.shared.wake(id.connection, id.key);
            }
        } else {
            self.shared.group.wake(id);
        }
    }

    /// Asks for a permit on behalf of another handler, whose `writable` gets it.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self, id: StreamId) {
        if id.shard == self.shared.shard {
            self.driver.want_write(id.connection, id.key);
        } else {
            self.shared.group.want_write(id);
        }
    }

    /// Asks for a permit for every open WebSocket of the route that the call is about, the caller's own too, on all
    /// threads.
    #[doc(alias = "lws_callback_on_writable_all_protocol")]
    pub fn want_write_all(&mut self) {
        self.want_write_route(self.place.route);
    }

    /// Asks for a permit for every open WebSocket of the route called `path`.
    #[doc(alias = "lws_callback_on_writable_all_protocol_vhost")]
    pub fn want_write_all_of(&mut self, path: &str) {
        if let Some(route) = self.shared.group.route_named(path) {
            self.want_write_route(route);
        }
    }

    fn want_write_route(&mut self, route: u32) {
        for id in self.shared.topics.subscribers(route) {
            self.driver.want_write(id.connection, id.key);
        }
        self.shared.group.want_write_all(route, Some(self.shared.shard));
    }

    /// The same for the WebSockets of this thread.
    pub(crate) fn want_write_here(&mut self, route: u32) {
        for id in self.shared.topics.subscribers(route) {
            self.driver.want_write(id.connection, id.key);
        }
    }

    /// Sends a message to every open WebSocket of the route that the call is about, the caller's own too, on all threads:
    /// see [`Handle::publish`].
    #[doc(alias = "lws_ring")]
    ///
    /// # Errors
    /// Those of [`Handle::publish`]. The WebSockets of this thread have got the message all the same.
    pub fn publish(&mut self, message: &Broadcast) -> Result<(), PublishError> {
        self.publish_at(self.place.route, message)
    }

    /// Sends a message to every open WebSocket of the route called `path`: see [`Handle::publish`].
    ///
    /// # Errors
    /// Those of [`Handle::publish`]. The WebSockets of this thread have got the message all the same, if there is such a
    /// route.
    pub fn publish_to(&mut self, path: &str, message: &Broadcast) -> Result<(), PublishError> {
        let route = self.shared.group.route_named(path).ok_or(PublishError::NoRoute)?;
        self.publish_at(route, message)
    }

    fn publish_at(&mut self, route: u32, message: &Broadcast) -> Result<(), PublishError> {
        self.publish_everywhere(Publication {
            to: Destination::Route(route),
            message: message.clone(),
            except: None,
            key: None,
        })
    }

    fn publish_everywhere(&mut self, publication: Publication) -> Result<(), PublishError> {
        self.publish_here(&publication);
        self.shared.group.publish(publication, Some(self.shared.shard))
    }

    /// Puts a message where the WebSockets of this thread find it, and notifies those that do not know yet.
    pub(crate) fn publish_here(&mut self, publication: &Publication) {
        let notified = self.shared.topics.publish(publication);
        for (id, subscription) in notified.subscribers {
            self.driver.notify(id.connection, id.key, subscription);
        }
        if notified.rushed {
            self.driver.pace_messages();
        }
    }

    // Topics.

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
        self.shared.topics.subscribe(topic, id, subscriptions)
    }

    /// Ends the subscription of the WebSocket that the call is about to the topic of this name. Answers whether there was one.
    /// What was published before and has not been sent is not sent any more.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        let subscriptions = self.subscriptions.as_deref_mut();
        subscriptions.is_some_and(|subscriptions| self.shared.topics.unsubscribe(topic, subscriptions))
    }

    /// Sends a message to all subscribers of a topic, on all threads. To none if nobody has subscribed. Messages of one thread
    /// to one topic arrive in their order.
    ///
    /// # Errors
    /// Those of [`Handle::publish_topic`](crate::Handle::publish_topic). The subscribers of this thread have got the message all
    /// the same, if there can be such a topic.
    pub fn publish_topic(&mut self, topic: &str, message: &Broadcast) -> Result<(), PublishError> {
        self.publish_to_topic(topic, message, None, None)
    }

    /// Sends a message to all subscribers of a topic but the WebSocket that the call is about.
    ///
    /// # Errors
    /// As [`publish_topic`](Self::publish_topic).
    pub fn publish_others(&mut self, topic: &str, message: &Broadcast) -> Result<(), PublishError> {
        self.publish_to_topic(topic, message, self.id(), None)
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
        self.publish_to_topic(topic, message, None, Some(key.into()))
    }

    fn publish_to_topic(
        &mut self,
        topic: &str,
        message: &Broadcast,
        except: Option<StreamId>,
        key: Option<Arc<str>>,
    ) -> Result<(), PublishError> {
        if !topics::is_destination(topic) {
            return Err(PublishError::TopicName);
        }
        let to = Destination::Topic(topic.into());
        self.publish_everywhere(Publication { to, message: message.clone(), except, key })
    }

    /// How many WebSockets have subscribed to the topic of this name, on this thread.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> usize {
        self.shared.topics.count(topic)
    }

    /// What other threads may hold.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared.group))
    }

    /// The number of the thread that the call is on, from zero on.
    #[must_use]
    #[doc(alias = "lws_get_tsi")]
    pub fn thread(&self) -> usize {
        self.shared.shard.into()
    }

    /// How many WebSockets are open on the route that the call is about, on this thread.
    #[must_use]
    pub fn route_websockets(&self) -> usize {
        self.shared.topics.subscribers(self.place.route).count()
    }

    /// What is counted, on all threads: of the others as they said last, which is when a connection began or ended there or
    /// somebody asked this.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.shared.group.counted_elsewhere(self.shared.shard);
        stats.add(self.thread_stats().to_array());
        stats
    }

    /// What this thread has counted.
    #[must_use]
    pub fn thread_stats(&self) -> Stats {
        let driver = self.driver.stats();
        let counters = &self.shared.counters;
        Stats {
            websockets: counters.websockets,
            requests: counters.requests,
            messages: counters.messages,
            lost: counters.lost,
            panics: counters.panics,
            ..driver
        }
    }

    /// Lets the server end in an orderly way: see [`Handle::drain`](crate::Handle::drain).
    pub fn drain(&mut self) {
        self.shared.group.drain();
    }

    /// Ends the server at once.
    pub fn stop(&mut self) {
        self.shared.group.shards.drain(Duration::ZERO);
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What handlers may ask of the driver, without its type.
pub(crate) trait Driver {
    fn now(&self) -> Time;
    fn peer(&self) -> Option<Peer>;
    fn tls(&self) -> Option<&Info>;
    fn connection(&self) -> Option<ConnectionId>;
    fn wake(&mut self, id: ConnectionId) -> bool;
    fn want_write(&mut self, id: ConnectionId, key: StreamKey);
    fn stats(&self) -> Stats;
    fn notify(&mut self, id: ConnectionId, key: StreamKey, subscription: Subscription);
    fn pace_messages(&mut self);
}
