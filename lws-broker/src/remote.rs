//! A broker behind a connection, whatever its protocol: connects again, subscribes again, and reports what may have been lost.
//!
//! Knows no protocol (that is a [`Session`]) and no socket: the program's loop carries the octets.

use crate::backoff::Backoff;
use crate::outgoing::Outgoing;
use crate::session::{Endpoint, Features, Protocol, Session, SessionEvent};
use crate::subscriptions::{Outbox, Place, Subscriptions};
use crate::{Broker, Cause, Event, Full, Options, Receipt, Time, Topic};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// What a [`Remote`] asks of the loop that carries its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportRequest {
    /// Make a connection, and report [`Remote::connected`] or [`Remote::connect_failed`]. There is none at the moment.
    Connect(Endpoint),
    /// Begin TLS on the connection: what is to be sent from now on, and what comes, is inside of it.
    StartTls,
    /// Close the connection, or give up making it. Nothing more about it is reported to the `Remote`.
    Close,
}

/// A client of a broker: one connection, which comes back by itself.
///
/// The loop calls [`receive`](Self::receive) with what has come, sends what [`transmit`](Self::transmit) shows, and calls
/// [`handle_timeout`](Self::handle_timeout) at [`next_timeout`](Self::next_timeout). After each call, and after those of [`Broker`], it
/// drains [`poll_transport`](Self::poll_transport) and [`Broker::poll`], and looks at the output and the timeout again.
pub struct Remote {
    options: Options,
    protocol: Box<dyn Protocol>,
    subscriptions: Subscriptions,
    outgoing: Outgoing,
    out: Outbox,
    transport: VecDeque<TransportRequest>,
    backoff: Backoff,
    link: LinkPhase,
}

/// Between two groups of topics whose positions are compared.
const CHECK_PAUSE: Duration = Duration::from_secs(1);

/// How far the connection is.
enum LinkPhase {
    /// The next try is at this time.
    Waiting { retry_at: Time },
    /// A connection is being made.
    Connecting(ConnectAttempt),
    /// The session greets the broker.
    Greeting { session: Box<dyn Session>, attempt: ConnectAttempt },
    /// Everything works.
    Up(Established),
}

/// From the beginning of a connection to the end of the greeting.
#[derive(Clone, Copy)]
struct ConnectAttempt {
    give_up: Time,
    /// It is the second connection, after one that was [over](SessionEvent::Over).
    goes_on: bool,
}

/// A connection whose greeting is over.
struct Established {
    session: Box<dyn Session>,
    since: Time,
    /// When the broker last sent something.
    received_at: Time,
    /// By when it has to send something again, as it was asked to.
    pong_by: Option<Time>,
    /// By when it has to answer what is pending.
    answer_by: Option<Time>,
    /// By when it has to take output, or a publication, as some wait.
    publish_by: Option<Time>,
    /// When positions are compared next.
    check_at: Option<Time>,
}

impl Remote {
    /// A client that connects at once. `seed` decides the jitter of its delays: a random number that differs between processes.
    #[must_use]
    pub fn new(now: Time, mut options: Options, protocol: Box<dyn Protocol>, seed: u64) -> Self {
        options.batch_topics_max = options.batch_topics_max.max(1);
        let mut remote = Self {
            subscriptions: Subscriptions::new(&options),
            outgoing: Outgoing::new(&options.limits),
            backoff: Backoff::new(options.retry_min, options.retry_max, seed),
            out: Outbox::default(),
            transport: VecDeque::new(),
            link: LinkPhase::Waiting { retry_at: now },
            options,
            protocol,
        };
        remote.handle_timeout(now);
        remote
    }

    /// What the loop has to do. To be called until it is `None`.
    pub fn poll_transport(&mut self) -> Option<TransportRequest> {
        self.transport.pop_front()
    }

    /// The connection that was asked for is there, with its TLS handshake done if the endpoint says so.
    pub fn connected(&mut self, now: Time) {
        if let LinkPhase::Connecting(attempt) = self.link {
            self.link = LinkPhase::Greeting { session: self.protocol.session(now), attempt };
            self.drain_session(now);
        }
    }

    /// The connection that was asked for could not be made: what the system says.
    pub fn connect_failed(&mut self, now: Time, reason: &str) {
        if matches!(self.link, LinkPhase::Connecting(_)) {
            self.down(now, Cause::Connect(Cause::words(reason.as_bytes())));
        }
    }

    /// The connection has ended, with what the system says if it says something.
    pub fn closed(&mut self, now: Time, reason: &str) {
        if !matches!(self.link, LinkPhase::Waiting { .. }) {
            self.down(now, Cause::Closed(Cause::words(reason.as_bytes())));
        }
    }

    /// Octets have come.
    pub fn receive(&mut self, now: Time, octets: &[u8]) {
        if let LinkPhase::Up(up) = &mut self.link {
            (up.received_at, up.pong_by) = (now, None);
        }
        if let Some(session) = self.session() {
            session.receive(now, octets);
            self.drain_session(now);
        }
    }

    /// Whether more may be read from the connection: false while
    /// [`Limits::events_max`](crate::Limits::events_max) events wait for [`Broker::poll`].
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.out.events.len() < self.options.limits.events_max
    }

    /// Octets to send, as many as lie together.
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        match &self.link {
            LinkPhase::Greeting { session, .. } | LinkPhase::Up(Established { session, .. }) => {
                session.transmit()
            }
            LinkPhase::Waiting { .. } | LinkPhase::Connecting(_) => &[],
        }
    }

    /// The transport has taken the first `count` octets of [`transmit`](Self::transmit).
    pub fn transmitted(&mut self, now: Time, count: usize) {
        if let LinkPhase::Up(up) = &mut self.link
            && count > 0
        {
            // It is slow, and not dead.
            up.publish_by = None;
        }
        if let Some(session) = self.session() {
            session.transmitted(count);
            self.settle(now);
        }
    }

    /// Whether the connection is there and greeted.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.link, LinkPhase::Up(_))
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        let own = match &self.link {
            LinkPhase::Waiting { retry_at } => [Some(*retry_at), None, None, None, None],
            LinkPhase::Connecting(attempt) => [Some(attempt.give_up), None, None, None, None],
            LinkPhase::Greeting { session, attempt } => {
                [Some(attempt.give_up), session.deadline(), None, None, None]
            }
            LinkPhase::Up(up) => [
                Some(up.pong_by.unwrap_or(up.received_at + self.options.ping_interval)),
                up.session.deadline(),
                up.answer_by,
                up.publish_by,
                up.check_at,
            ],
        };
        own.into_iter().flatten().chain(self.subscriptions.next_timeout()).min()
    }

    /// Does what is due. A spurious call does nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        match &mut self.link {
            LinkPhase::Waiting { retry_at } if *retry_at <= now => {
                self.connect(ConnectAttempt { give_up: now + self.options.connect_timeout, goes_on: false });
            }
            LinkPhase::Waiting { .. } => {}
            LinkPhase::Connecting(attempt) if attempt.give_up <= now => {
                self.close(now, Cause::Timeout("connection"));
            }
            LinkPhase::Connecting(_) => {}
            LinkPhase::Greeting { attempt, .. } if attempt.give_up <= now => {
                self.close(now, Cause::Timeout("greeting"));
            }
            LinkPhase::Greeting { session, .. } => {
                session.handle_timeout(now);
                self.drain_session(now);
            }
            LinkPhase::Up(_) => self.up_timeout(now),
        }
        self.settle(now);
    }

    fn connect(&mut self, attempt: ConnectAttempt) {
        self.link = LinkPhase::Connecting(attempt);
        self.transport.push_back(TransportRequest::Connect(self.protocol.endpoint()));
    }

    fn up_timeout(&mut self, now: Time) {
        let LinkPhase::Up(up) = &mut self.link else { return };
        let late = |by: Option<Time>| by.is_some_and(|by| by <= now);
        if late(up.pong_by) {
            return self.close(now, Cause::Timeout("ping"));
        }
        if late(up.answer_by) {
            return self.close(now, Cause::Timeout("subscription or history"));
        }
        if late(up.publish_by) {
            return self.close(now, Cause::Timeout("publications"));
        }
        if up.pong_by.is_none() && up.received_at + self.options.ping_interval <= now {
            up.session.ping();
            up.pong_by = Some(now + self.options.answer_timeout);
        }
        if late(up.check_at) {
            let is_unfinished =
                self.subscriptions.check_positions(self.options.batch_topics_max, &mut self.out);
            let pause = if is_unfinished { Some(CHECK_PAUSE) } else { self.options.position_check };
            up.check_at = pause.map(|pause| now + pause);
        }
        up.session.handle_timeout(now);
        self.drain_session(now);
    }

    fn session(&mut self) -> Option<&mut Box<dyn Session>> {
        match &mut self.link {
            LinkPhase::Greeting { session, .. } | LinkPhase::Up(Established { session, .. }) => Some(session),
            LinkPhase::Waiting { .. } | LinkPhase::Connecting(_) => None,
        }
    }

    /// Takes what the session reports, and does what follows from it.
    fn drain_session(&mut self, now: Time) {
        while let Some(event) = self.session().and_then(|session| session.poll()) {
            self.on_session_event(now, event);
        }
        self.settle(now);
    }

    fn on_session_event(&mut self, now: Time, event: SessionEvent) {
        let history = self.session().is_some_and(|session| session.features().history);
        match event {
            SessionEvent::StartTls => self.transport.push_back(TransportRequest::StartTls),
            SessionEvent::Ready => self.ready(now),
            SessionEvent::Endpoints(endpoints) => self.protocol.learn(endpoints),
            SessionEvent::Directed(endpoint) => self.protocol.directed(endpoint),
            SessionEvent::Over => self.over(now),
            SessionEvent::Subscribed(topic) => self.subscriptions.confirmed(&topic, history, &mut self.out),
            SessionEvent::Unsubscribed(topic) => self.subscriptions.ended_by_broker(&topic),
            SessionEvent::Message { topic, payload, position } => {
                self.subscriptions.message(&topic, payload, position.map(Place::dense), &mut self.out);
            }
            SessionEvent::Linked { topic, payload, position, previous } => {
                let place = Place { position, previous };
                self.subscriptions.message(&topic, payload, Some(place), &mut self.out);
            }
            SessionEvent::Lost(topic) => {
                self.subscriptions.lost(topic.as_ref(), history, &mut self.out);
            }
            SessionEvent::History(history) => self.subscriptions.history(history, &mut self.out),
            SessionEvent::Refused { topic, receipt: None, cause } => {
                self.subscriptions.refused(&topic, cause, &mut self.out);
            }
            SessionEvent::Refused { topic, receipt, cause } => {
                self.out.events.push_back(Event::Refused { topic, receipt, cause });
            }
            SessionEvent::Failed(cause) => self.close(now, cause),
        }
    }

    /// The connection was there to learn where the next one goes.
    fn over(&mut self, now: Time) {
        match self.link {
            LinkPhase::Greeting { attempt: attempt @ ConnectAttempt { goes_on: false, .. }, .. } => {
                self.transport.push_back(TransportRequest::Close);
                self.connect(ConnectAttempt { goes_on: true, ..attempt });
            }
            _ => self.close(now, Cause::Violation("a server that is found serves topics itself")),
        }
    }

    fn ready(&mut self, now: Time) {
        let has_history = self.session().is_some_and(|session| session.features().history);
        let check_at = self.options.position_check.filter(|_| has_history).map(|after| now + after);
        let waiting = LinkPhase::Waiting { retry_at: now };
        self.link = match std::mem::replace(&mut self.link, waiting) {
            LinkPhase::Greeting { session, .. } => {
                self.out.events.push_back(Event::Up);
                LinkPhase::Up(Established {
                    session,
                    since: now,
                    received_at: now,
                    pong_by: None,
                    answer_by: None,
                    publish_by: None,
                    check_at,
                })
            }
            other => other,
        };
    }

    /// Hands over to the session what it can take: ends of subscriptions, requests for history, the next batch, publications.
    fn settle(&mut self, now: Time) {
        let batch_max = self.options.batch_topics_max;
        let LinkPhase::Up(up) = &mut self.link else {
            // What lingers ends although there is no connection.
            while !self.subscriptions.expire(now, batch_max).is_empty() {}
            return;
        };
        loop {
            let ended = self.subscriptions.expire(now, batch_max);
            if ended.is_empty() {
                break;
            }
            up.session.unsubscribe(&ended);
        }
        let asked = self.out.recoveries.len();
        for (topic, after) in self.out.recoveries.drain(..) {
            up.session.recover(&topic, after);
        }
        let batch = self.subscriptions.next_batch(batch_max);
        if !batch.is_empty() {
            up.session.subscribe(&batch);
        }
        if !self.subscriptions.is_pending() {
            up.answer_by = None;
        } else if asked > 0 || !batch.is_empty() || up.answer_by.is_none() {
            up.answer_by = Some(now + self.options.answer_timeout);
        }
        self.flush(now);
    }

    /// Hands over publications. A broker that does not send them back has them delivered here. While it takes none it has a deadline.
    fn flush(&mut self, now: Time) {
        let LinkPhase::Up(up) = &mut self.link else { return };
        let Features { echo, payload_bytes_max, .. } = up.session.features();
        while up.session.can_publish()
            && let Some((receipt, topic, payload)) = self.outgoing.pop()
        {
            up.publish_by = None;
            if payload.len() > payload_bytes_max {
                // It was accepted while the connection was away.
                let cause = Cause::Limit("payload_bytes_max of the broker");
                self.out.events.push_back(Event::Refused { topic, receipt: Some(receipt), cause });
                continue;
            }
            up.session.publish(receipt, &topic, &payload);
            if !echo && self.subscriptions.is_delivered(&topic) {
                self.out.events.push_back(Event::Message { topic, payload, position: None });
            }
        }
        if !self.outgoing.is_empty() {
            up.publish_by.get_or_insert(now + self.options.answer_timeout);
        }
    }

    /// Gives the connection up.
    fn close(&mut self, now: Time, cause: Cause) {
        if !matches!(self.link, LinkPhase::Waiting { .. }) {
            self.transport.push_back(TransportRequest::Close);
            self.down(now, cause);
        }
    }

    /// The connection is not there any more.
    fn down(&mut self, now: Time, cause: Cause) {
        if let LinkPhase::Up(up) = &self.link
            && now - up.since >= self.options.stable_after
        {
            self.backoff.reset();
        }
        let retry_at = if self.protocol.attempt_failed() { now } else { now + self.backoff.next() };
        self.link = LinkPhase::Waiting { retry_at };
        self.out.recoveries.clear();
        self.subscriptions.connection_lost();
        self.out.events.push_back(Event::Down { cause, retry_at });
    }
}

impl Broker for Remote {
    fn subscribe(&mut self, now: Time, topic: &Topic) {
        self.subscriptions.subscribe(topic, &mut self.out);
        self.settle(now);
    }

    fn unsubscribe(&mut self, now: Time, topic: &Topic) {
        self.subscriptions.unsubscribe(now, topic);
        self.settle(now);
    }

    fn publish(&mut self, now: Time, topic: &Topic, payload: Bytes) -> Result<Receipt, Full> {
        let features = match &self.link {
            LinkPhase::Up(up) => Some(up.session.features()),
            _ => None,
        };
        if features.is_some_and(|features| payload.len() > features.payload_bytes_max) {
            return Err(Full::Payload);
        }
        let receipt = self.outgoing.push(topic, payload)?;
        self.settle(now);
        Ok(receipt)
    }

    fn read_history(&mut self, now: Time, topic: &Topic) -> bool {
        let has_history = match &self.link {
            LinkPhase::Up(up) => up.session.features().history,
            // It is not known yet: a broker without history answers that it has none.
            _ => true,
        };
        let reads = has_history && self.subscriptions.read_history(topic, &mut self.out);
        self.settle(now);
        reads
    }

    fn poll(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }
}
