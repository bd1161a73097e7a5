//! All processes of a mesh, as one of them sees it. Owns no socket, no folder and no clock.

use super::frame::{Malformed, PAYLOAD_BYTES_MAX};
use super::name::SocketName;
use super::sink::{Sink, SinkEvent};
use super::source::{Source, SourceEvent};
use super::topics::MeshTopics;
use crate::outgoing::Outgoing;
use crate::{Broker, Cause, Event, Full, Limits, Receipt, Time, Topic};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How a mesh is used.
#[derive(Clone, Debug)]
pub struct MeshOptions {
    /// How often the folder is looked through. New processes are mostly found earlier, as they connect. Default 2 s.
    pub scan_interval: Duration,
    /// The least time between two looks: after a subscription, or when a connection has ended. Default 50 ms.
    pub scan_pause: Duration,
    /// How long publications wait for processes that were there already to subscribe here, when this one begins. Default 1 s.
    pub settle_timeout: Duration,
    /// How long a process may take for the next answer that it owes. Default 10 s. Behind it subscriptions are confirmed without that
    /// process; when it answers, they have a gap if it has published meanwhile. A connection on which no process says who it is within this
    /// time is closed.
    pub confirm_timeout: Duration,
    /// Other processes, at most. Default 64. With more, [`Event::Down`] says so, and what they publish is not received.
    pub peers_max: usize,
    /// Octets that may wait for one process, at most. Default 4 MiB. What does not fit is dropped, and that process has a gap.
    pub peer_bytes_max: usize,
    /// Of topics, payloads, events, and publications that wait for the beginning.
    pub limits: Limits,
}

impl Default for MeshOptions {
    fn default() -> Self {
        Self {
            scan_interval: Duration::from_secs(2),
            scan_pause: Duration::from_millis(50),
            settle_timeout: Duration::from_secs(1),
            confirm_timeout: Duration::from_secs(10),
            peers_max: 64,
            peer_bytes_max: 4 << 20,
            limits: Limits::default(),
        }
    }
}

/// A connection of a mesh, made or accepted. Numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

/// What a [`Mesh`] asks of the loop that carries its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MeshRequest {
    /// Look through the folder, and report [`Mesh::found`] or [`Mesh::scan_failed`].
    Scan,
    /// Connect to the socket of this name, and report [`Mesh::connected`] or [`Mesh::connect_failed`].
    Connect {
        /// What the connection is called.
        link: LinkId,
        /// The socket in the folder.
        name: SocketName,
    },
    /// Close the connection. Nothing more about it is reported to the mesh.
    Close(LinkId),
    /// Remove the socket of this name: the process that listened on it has gone.
    Remove(SocketName),
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The socket is there, but no process listens on it (`ECONNREFUSED`): its process has died.
    NoListener,
    /// Another error: the socket has gone, or its process is busy. It is tried again if the folder still has it.
    Other,
}

/// How far the mesh is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MeshPhase {
    /// The folder was not looked through yet.
    New,
    /// Processes that were found are to subscribe here until then.
    Settling(Time),
    Up,
    /// This process ends.
    Leaving,
}

/// A connection.
enum Link {
    /// It is being made.
    Connecting(SocketName),
    Source(Source),
    Sink(Sink),
}

impl Link {
    /// By when the process has to answer.
    fn deadline(&self) -> Option<Time> {
        match self {
            Self::Connecting(_) => None,
            Self::Source(source) => source.confirm_by,
            Self::Sink(sink) => sink.hello_by(),
        }
    }
}

/// One process of a mesh.
///
/// The loop reports what happens to sockets, sends what [`transmit`](Self::transmit) shows for each of [`links`](Self::links), and calls
/// [`handle_timeout`](Self::handle_timeout) at [`next_timeout`](Self::next_timeout). After each call, and after those of [`Broker`], it
/// drains [`poll_request`](Self::poll_request) and [`Broker::poll`], and looks at the output and the timeout again.
pub struct Mesh {
    name: SocketName,
    options: MeshOptions,
    phase: MeshPhase,
    links: BTreeMap<LinkId, Link>,
    last_link: u64,
    topics: MeshTopics,
    /// Publications that wait until the mesh is up.
    outgoing: Outgoing,
    has_published: bool,
    /// Messages that were dropped as a process did not read fast enough.
    dropped: u64,
    /// When the folder is looked through next. `None` while that goes on.
    scan_at: Option<Time>,
    requests: VecDeque<MeshRequest>,
    events: VecDeque<Event>,
}

impl Mesh {
    /// A process that listens on the socket of this name already, so that the others find it.
    #[must_use]
    pub fn new(now: Time, name: SocketName, mut options: MeshOptions) -> Self {
        options.limits.payload_bytes_max = options.limits.payload_bytes_max.min(PAYLOAD_BYTES_MAX);
        let mut mesh = Self {
            name,
            phase: MeshPhase::New,
            links: BTreeMap::new(),
            last_link: 0,
            topics: MeshTopics::default(),
            outgoing: Outgoing::new(&options.limits),
            has_published: false,
            dropped: 0,
            scan_at: Some(now),
            requests: VecDeque::new(),
            events: VecDeque::new(),
            options,
        };
        mesh.handle_timeout(now);
        mesh
    }

    /// What the loop has to do. To be called until it is `None`.
    pub fn poll_request(&mut self) -> Option<MeshRequest> {
        self.requests.pop_front()
    }

    /// The names of all files in the folder. Those that are no sockets of a mesh are left out.
    pub fn found<'a>(&mut self, now: Time, names: impl IntoIterator<Item = &'a str>) {
        self.scan_at = Some(now + self.options.scan_interval);
        let mut ignored = false;
        for name in names.into_iter().filter_map(|name| SocketName::parse(name).ok()) {
            ignored |= !self.connect(name);
        }
        if ignored {
            let retry_at = now + self.options.scan_interval;
            self.events.push_back(Event::Down { cause: Cause::Limit("peers_max"), retry_at });
        }
        if self.phase == MeshPhase::New {
            self.phase = MeshPhase::Settling(now + self.options.settle_timeout);
        }
        self.settle(now);
    }

    /// The folder could not be looked through: what the system says.
    pub fn scan_failed(&mut self, now: Time, reason: &str) {
        let retry_at = now + self.options.scan_interval;
        self.scan_at = Some(retry_at);
        self.events
            .push_back(Event::Down { cause: Cause::Connect(Cause::words(reason.as_bytes())), retry_at });
    }

    /// A connection that was asked for is there.
    pub fn connected(&mut self, now: Time, link: LinkId) {
        let Some(Link::Connecting(name)) = self.links.get(&link) else { return };
        let topics = self.topics.names().cloned();
        let payload_bytes_max = self.options.limits.payload_bytes_max;
        let deadline = now + self.options.confirm_timeout;
        let source = Source::new(name.clone(), &self.name, topics, payload_bytes_max, deadline);
        self.topics.joined(link);
        self.links.insert(link, Link::Source(source));
        self.settle(now);
    }

    /// A connection that was asked for could not be made.
    pub fn connect_failed(&mut self, now: Time, link: LinkId, error: ConnectError) {
        let Some(Link::Connecting(_)) = self.links.get(&link) else { return };
        if let Some(Link::Connecting(name)) = self.links.remove(&link)
            && error == ConnectError::NoListener
        {
            // What it has published last was perhaps for us, too.
            self.topics.gap_in_all(&mut self.events);
            self.requests.push_back(MeshRequest::Remove(name));
        }
        self.settle(now);
    }

    /// Another process has made a connection. `None` if there are too many: it is to be closed.
    pub fn accepted(&mut self, now: Time) -> Option<LinkId> {
        let sinks = self.links.values().filter(|link| matches!(link, Link::Sink(_))).count();
        // One that connects again may be there twice for a while.
        if sinks >= self.options.peers_max * 2 || self.phase == MeshPhase::Leaving {
            return None;
        }
        let id = self.next_link();
        let hello_by = now + self.options.confirm_timeout;
        let sink = Sink::new(hello_by, self.options.limits.topics_max, self.options.peer_bytes_max);
        self.links.insert(id, Link::Sink(sink));
        self.settle(now);
        Some(id)
    }

    /// Octets have come on a connection.
    pub fn receive(&mut self, now: Time, link: LinkId, octets: &[u8]) {
        let mut rest = octets;
        loop {
            let outcome = match self.links.get_mut(&link) {
                Some(Link::Source(source)) => source
                    .receive(&mut rest, now + self.options.confirm_timeout)
                    .map(|event| event.map(|event| self.on_source_event(link, event))),
                Some(Link::Sink(sink)) => sink
                    .receive(&mut rest, self.has_published)
                    .map(|event| event.map(|event| self.on_sink_event(link, event))),
                Some(Link::Connecting(_)) | None => break,
            };
            match outcome {
                // At once, so that what follows from it does not depend on how the input is cut.
                Ok(Some(())) => self.settle(now),
                Ok(None) => break,
                Err(malformed) => self.on_malformed(now, link, malformed),
            }
        }
        self.settle(now);
    }

    /// A connection has ended.
    pub fn closed(&mut self, now: Time, link: LinkId) {
        match self.links.remove(&link) {
            Some(Link::Source(source)) => {
                self.on_source_end(link, &source);
                // One that has confirmed nothing, as it is of another version perhaps, has time until the next look.
                if source.has_confirmed() && !source.left {
                    self.scan_soon(now);
                }
            }
            Some(Link::Connecting(_) | Link::Sink(_)) | None => {}
        }
        self.settle(now);
    }

    /// The connections that octets are sent on, and received from.
    pub fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        let is_there = |link: &Link| !matches!(link, Link::Connecting(_));
        self.links.iter().filter(move |(_, link)| is_there(link)).map(|(id, _)| *id)
    }

    /// Octets to send on a connection, as many as lie together.
    #[must_use]
    pub fn transmit(&self, link: LinkId) -> &[u8] {
        match self.links.get(&link) {
            Some(Link::Source(source)) => source.transmit(),
            Some(Link::Sink(sink)) => sink.transmit(),
            Some(Link::Connecting(_)) | None => &[],
        }
    }

    /// The transport has taken the first `count` octets of [`transmit`](Self::transmit).
    pub fn transmitted(&mut self, link: LinkId, count: usize) {
        match self.links.get_mut(&link) {
            Some(Link::Source(source)) => source.transmitted(count),
            Some(Link::Sink(sink)) => sink.transmitted(count),
            Some(Link::Connecting(_)) | None => {}
        }
    }

    /// Whether more may be read from a connection: not while [`Limits::events_max`](crate::Limits::events_max) events wait for
    /// [`Broker::poll`], nor from a process that does not read what it is sent.
    #[must_use]
    pub fn wants_read(&self, link: LinkId) -> bool {
        match self.links.get(&link) {
            Some(Link::Source(_)) => self.events.len() < self.options.limits.events_max,
            Some(Link::Sink(sink)) => sink.wants_read(),
            Some(Link::Connecting(_)) | None => false,
        }
    }

    /// Processes that are subscribed here or can be: those that a publication reaches.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.links.values().filter(|link| matches!(link, Link::Sink(sink) if sink.synced)).count()
    }

    /// Messages to single processes that were dropped, as [`MeshOptions::peer_bytes_max`] octets waited for them. They have a gap for each
    /// series of them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// This process ends: everything that was published is sent, and behind it the others are informed, so that they have no gap. The loop
    /// stops to listen, removes its socket, and closes everything when [`is_drained`](Self::is_drained), or after a time of its choice.
    pub fn leave(&mut self, now: Time) {
        self.flush();
        self.phase = MeshPhase::Leaving;
        self.scan_at = None;
        for link in self.links.values_mut() {
            if let Link::Sink(sink) = link {
                sink.leave();
            }
        }
        self.settle(now);
    }

    /// Whether everything was sent to all processes.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.links.values().all(|link| !matches!(link, Link::Sink(sink) if !sink.transmit().is_empty()))
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        let settled = match self.phase {
            MeshPhase::Settling(until) => Some(until),
            MeshPhase::New | MeshPhase::Up | MeshPhase::Leaving => None,
        };
        let answers = self.links.values().filter_map(Link::deadline);
        settled.into_iter().chain(self.scan_at).chain(answers).min()
    }

    /// Does what is due. A spurious call does nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.scan_at.is_some_and(|at| at <= now) {
            self.scan_at = None;
            self.requests.push_back(MeshRequest::Scan);
        }
        let is_late = |link: &Link| link.deadline().is_some_and(|by| by <= now);
        let late: Vec<_> = self.links.iter().filter(|(_, link)| is_late(link)).map(|(id, _)| *id).collect();
        late.into_iter().for_each(|link| self.on_late(link));
        self.settle(now);
    }

    /// A process owes an answer for too long: it is waited for no more.
    fn on_late(&mut self, link: LinkId) {
        match self.links.get_mut(&link) {
            Some(Link::Source(source)) => {
                if source.expire() {
                    self.topics.left(link);
                }
            }
            Some(Link::Sink(_)) => {
                self.links.remove(&link);
                self.requests.push_back(MeshRequest::Close(link));
            }
            Some(Link::Connecting(_)) | None => {}
        }
    }

    fn next_link(&mut self) -> LinkId {
        self.last_link += 1;
        LinkId(self.last_link)
    }

    /// Connects to a process unless that is done or under way. Gives false if there are too many.
    fn connect(&mut self, name: SocketName) -> bool {
        let outgoing = self.links.values().filter_map(|link| match link {
            Link::Connecting(name) => Some(name),
            Link::Source(source) => Some(&source.name),
            Link::Sink(_) => None,
        });
        let (mut count, mut is_known) = (0, name == self.name);
        outgoing.for_each(|other| (count, is_known) = (count + 1, is_known || *other == name));
        if is_known || self.phase == MeshPhase::Leaving {
            return true;
        }
        if count >= self.options.peers_max {
            return false;
        }
        let link = self.next_link();
        self.links.insert(link, Link::Connecting(name.clone()));
        self.requests.push_back(MeshRequest::Connect { link, name });
        true
    }

    /// Looks through the folder soon.
    fn scan_soon(&mut self, now: Time) {
        if let Some(at) = self.scan_at {
            self.scan_at = Some(at.min(now + self.options.scan_pause));
        }
    }

    fn on_source_event(&mut self, link: LinkId, event: SourceEvent) {
        match event {
            SourceEvent::Subscribed { topic, has_published } => {
                self.topics.confirmed(link, &topic, has_published, &mut self.events);
            }
            SourceEvent::Message { topic, payload } => {
                if self.topics.delivers(&topic) {
                    self.events.push_back(Event::Message { topic, payload, position: None });
                }
            }
            SourceEvent::Lost => self.topics.gap_in_all(&mut self.events),
            SourceEvent::Left => {}
        }
    }

    fn on_sink_event(&mut self, link: LinkId, event: SinkEvent) {
        let SinkEvent::Hello(name) = event else { return };
        // One that connects again has given its other connection up.
        let is_older = |id: &LinkId, other: &Link| {
            *id != link && matches!(other, Link::Sink(sink) if sink.name.as_ref() == Some(&name))
        };
        let older: Vec<_> =
            self.links.iter().filter(|(id, other)| is_older(id, other)).map(|(id, _)| *id).collect();
        for id in older {
            self.links.remove(&id);
            self.requests.push_back(MeshRequest::Close(id));
        }
        // It may be new: what it publishes concerns us from now on, and not from the next look on.
        self.connect(name);
    }

    fn on_malformed(&mut self, now: Time, link: LinkId, malformed: Malformed) {
        let removed = self.links.remove(&link);
        self.requests.push_back(MeshRequest::Close(link));
        if let Some(Link::Source(source)) = &removed {
            self.on_source_end(link, source);
        }
        let retry_at = self.scan_at.unwrap_or(now + self.options.scan_interval);
        self.events.push_back(Event::Down { cause: Cause::Violation(malformed.0), retry_at });
    }

    fn on_source_end(&mut self, link: LinkId, source: &Source) {
        self.topics.left(link);
        if !source.left {
            // What was on its way is lost, and what it publishes before there is another connection.
            self.topics.gap_in_all(&mut self.events);
        }
    }

    /// Does what has become possible: begins, confirms subscriptions, publishes what waits.
    fn settle(&mut self, now: Time) {
        if let MeshPhase::Settling(until) = self.phase
            && (until <= now || self.is_settled())
        {
            self.phase = MeshPhase::Up;
            self.events.push_back(Event::Up);
            self.flush();
        }
        if self.phase == MeshPhase::Up {
            self.topics.confirm_all(&mut self.events);
        }
    }

    /// Whether each process that was found has said what it is subscribed to.
    fn is_settled(&self) -> bool {
        let synced = self.links.values().filter_map(|link| match link {
            Link::Sink(sink) if sink.synced => sink.name.as_ref(),
            _ => None,
        });
        let synced: BTreeSet<_> = synced.collect();
        self.links.values().all(|link| match link {
            Link::Connecting(_) => false,
            Link::Source(source) => source.left || synced.contains(&source.name),
            Link::Sink(_) => true,
        })
    }

    /// Publishes what waits.
    fn flush(&mut self) {
        while let Some((_, topic, payload)) = self.outgoing.pop() {
            self.has_published = true;
            for link in self.links.values_mut() {
                if let Link::Sink(sink) = link
                    && !sink.publish(&topic, &payload)
                {
                    self.dropped = self.dropped.saturating_add(1);
                }
            }
            if self.topics.delivers(&topic) {
                self.events.push_back(Event::Message { topic, payload, position: None });
            }
        }
    }
}

impl Broker for Mesh {
    fn subscribe(&mut self, now: Time, topic: &Topic) {
        if self.topics.contains(topic) {
            return;
        }
        if self.topics.count() >= self.options.limits.topics_max {
            let cause = Cause::Limit("topics_max");
            self.events.push_back(Event::Refused { topic: topic.clone(), receipt: None, cause });
            return;
        }
        let mut asked = BTreeSet::new();
        for (id, link) in &mut self.links {
            if let Link::Source(source) = link
                && !source.left
            {
                source.subscribe(topic, now + self.options.confirm_timeout);
                if !source.is_late {
                    asked.insert(*id);
                }
            }
        }
        self.topics.insert(topic, asked);
        self.scan_soon(now);
        self.settle(now);
    }

    /// Without linger: a subscription costs one frame of thirteen octets for each process.
    fn unsubscribe(&mut self, _now: Time, topic: &Topic) {
        if self.topics.remove(topic) {
            for link in self.links.values_mut() {
                if let Link::Source(source) = link {
                    source.unsubscribe(topic);
                }
            }
        }
    }

    fn publish(&mut self, now: Time, topic: &Topic, payload: Bytes) -> Result<Receipt, Full> {
        if self.phase == MeshPhase::Leaving || self.events.len() >= self.options.limits.events_max {
            return Err(Full::Messages);
        }
        let receipt = self.outgoing.push(topic, payload)?;
        if self.phase == MeshPhase::Up {
            self.flush();
        }
        self.settle(now);
        Ok(receipt)
    }

    fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
