//! The thread that owns the connection to the broker: who is subscribed to what, what waits, and what is delivered.

use super::envelope::{Envelope, PublicationId};
use super::link::BrokerLink;
use super::mesh::MeshCarrier;
use super::presence::SharedPresence;
use super::recovery::TopicRecovery;
use super::{BrokerOptions, BrokerShared, CarrierOptions, OnEvent, TopicChange};
use crate::id::{LinkId, StreamId, TimerId};
use crate::publish::topics::{Destination, Publication};
use crate::upstream::{ConnectOptions, Speak, Target};
use crate::{Context, PublishError};
use lws_broker::mesh::MeshOptions;
use lws_broker::{
    Broker, Cause, Endpoint, Event, Full, Position, Receipt, Remote, Security, Topic, TransportRequest,
};
use lws_loop_external::Address;
use lws_loop_external::tls::Provider;
use lws_proto::{Bytes, StreamKey, Time};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Publications whose senders do not get them, on their way to the broker and back. With more the oldest is forgotten, whose sender gets
/// it.
const EXCEPTIONS_MAX: usize = 4_096;

/// How long TLS behind a greeting may take. The client of the broker mostly gives up before.
const TLS_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a process that ends looks whether its other connections have gone.
const END_LOOK: Duration = Duration::from_millis(20);

/// The broker, its connection, and the topics of all threads.
pub(crate) struct Bridge {
    carrier: Carrier,
    /// The threads that have subscribers, by topic.
    threads: HashMap<Topic, BTreeSet<u16>>,
    /// Publications for which the broker had no room, with what was reserved for each.
    waiting: VecDeque<(Topic, Bytes, usize)>,
    /// Publications that are too large for the broker.
    refused: VecDeque<Event>,
    /// Who does not get which publication of this process.
    exceptions: BTreeMap<u64, StreamId>,
    published: u64,
    timer: Option<(Time, TimerId)>,
    on_event: Option<Arc<OnEvent>>,
    /// What is kept for WebSockets that come back.
    recovery: Option<TopicRecovery>,
    /// A call is at work already: it does what is left.
    driving: bool,
    /// The process ends, and what is left to do before that is seen to.
    pub(super) is_ending: bool,
}

/// What brings topics to other processes.
enum Carrier {
    Remote(Box<RemoteCarrier>),
    Mesh(Box<MeshCarrier>),
}

impl Carrier {
    fn broker(&mut self) -> &mut dyn Broker {
        match self {
            Self::Remote(carrier) => &mut carrier.remote,
            Self::Mesh(carrier) => &mut carrier.mesh,
        }
    }

    /// What has happened to the socket that other processes find.
    fn mesh_complaint(&mut self) -> Option<Event> {
        match self {
            Self::Remote(_) => None,
            Self::Mesh(carrier) => carrier.take_complaint(),
        }
    }
}

/// The client of a broker, with its connection.
pub(super) struct RemoteCarrier {
    pub(super) remote: Remote,
    pub(super) link: TransportLink,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::Client>,
}

/// The connection of the moment.
#[derive(Debug, Default)]
pub(super) struct TransportLink {
    /// The number of the attempt: what an earlier one reports is not of interest.
    pub(super) attempt: u64,
    pub(super) id: Option<LinkId>,
    pub(super) key: Option<StreamKey>,
    /// A permit was asked for.
    pub(super) is_waiting: bool,
    /// TLS that the broker's client asks for behind a greeting.
    tls_later: Option<Arc<dyn Provider>>,
    /// It was asked for: what is sent waits until it is there.
    pub(super) is_securing: bool,
}

impl Bridge {
    pub(super) fn new(now: Time, options: &BrokerOptions) -> Self {
        let seed = RandomState::new().hash_one(now.as_micros());
        let carrier = match &options.carrier {
            CarrierOptions::Protocol(protocol) => {
                let protocol = protocol(&options.options.limits);
                Carrier::Remote(Box::new(RemoteCarrier {
                    remote: Remote::new(now, options.options.clone(), protocol, seed),
                    link: TransportLink::default(),
                    #[cfg(feature = "tls")]
                    tls: options.tls.clone(),
                }))
            }
            CarrierOptions::Mesh(folder, mesh) => {
                let mesh = MeshOptions { limits: options.options.limits.clone(), ..mesh.clone() };
                Carrier::Mesh(Box::new(MeshCarrier::new(now, folder, mesh, seed)))
            }
        };
        Self {
            carrier,
            threads: HashMap::new(),
            waiting: VecDeque::new(),
            refused: VecDeque::new(),
            exceptions: BTreeMap::new(),
            published: 0,
            timer: None,
            on_event: options.on_event.clone(),
            recovery: options.recovery.as_ref().map(TopicRecovery::new),
            driving: false,
            is_ending: false,
        }
    }

    pub(super) fn remote(&mut self) -> Option<&mut RemoteCarrier> {
        match &mut self.carrier {
            Carrier::Remote(carrier) => Some(carrier),
            Carrier::Mesh(_) => None,
        }
    }

    pub(super) fn mesh(&mut self) -> Option<&mut MeshCarrier> {
        match &mut self.carrier {
            Carrier::Mesh(carrier) => Some(carrier),
            Carrier::Remote(_) => None,
        }
    }

    /// Connections of this server that are the carrier's.
    pub(super) fn connections(&self) -> usize {
        match &self.carrier {
            Carrier::Remote(carrier) => usize::from(carrier.link.id.is_some()),
            Carrier::Mesh(carrier) => carrier.connections(),
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        match &self.carrier {
            Carrier::Remote(carrier) => carrier.remote.next_timeout(),
            Carrier::Mesh(carrier) => carrier.next_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        match &mut self.carrier {
            Carrier::Remote(carrier) => carrier.remote.handle_timeout(now),
            Carrier::Mesh(carrier) => carrier.mesh.handle_timeout(now),
        }
    }

    pub(super) fn recovery(&mut self) -> Option<&mut TopicRecovery> {
        self.recovery.as_mut()
    }

    /// Reads the history of a topic. Answers whether it comes.
    pub(super) fn read_history(&mut self, now: Time, topic: &Topic) -> bool {
        self.carrier.broker().read_history(now, topic)
    }

    /// Subscribes to a topic of the bridge's own.
    pub(super) fn keep(&mut self, now: Time, topic: &Topic) {
        self.carrier.broker().subscribe(now, topic);
    }

    /// Announces what is to be announced of presence. What does not fit is announced again in any case.
    pub(super) fn announce(&mut self, now: Time, presence: &SharedPresence) {
        for announcement in presence.advance(now) {
            let _ = self.carrier.broker().publish(now, presence.topic(), announcement);
        }
    }

    /// A topic of one thread has got its first subscriber, or has lost its last.
    pub(super) fn change(&mut self, now: Time, thread: u16, change: &TopicChange) {
        // A name that no broker has stays in this process.
        let Ok(topic) = Topic::new(&change.name) else { return };
        if change.is_subscribed {
            self.threads.entry(topic.clone()).or_default().insert(thread);
            self.carrier.broker().subscribe(now, &topic);
        } else if let Some(threads) = self.threads.get_mut(&topic) {
            threads.remove(&thread);
            if threads.is_empty() {
                self.threads.remove(&topic);
                if let Some(recovery) = &mut self.recovery {
                    let answers = recovery.forget(&topic);
                    debug_assert!(answers.is_empty(), "those who wait have the topic kept");
                }
                self.carrier.broker().unsubscribe(now, &topic);
            }
        }
    }

    pub(super) fn publish(&mut self, process: u64, publication: Publication, reserved: usize) {
        let Destination::Topic(name) = &publication.to else { return };
        let Ok(topic) = Topic::new(name) else { return };
        let origin = publication.except.map(|sender| {
            self.published += 1;
            self.exceptions.insert(self.published, sender);
            if self.exceptions.len() > EXCEPTIONS_MAX {
                self.exceptions.pop_first();
            }
            PublicationId { process, number: self.published }
        });
        let envelope = Envelope { message: publication.message, origin, key: publication.key };
        self.waiting.push_back((topic, envelope.encode(), reserved));
    }

    /// Hands publications to the broker's client, as far as it takes them.
    fn hand_over(&mut self, now: Time, shared: &BrokerShared) {
        while let Some((topic, payload, reserved)) = self.waiting.front() {
            match self.carrier.broker().publish(now, topic, payload.clone()) {
                Err(Full::Messages | Full::Bytes) => return,
                Ok(_) => {}
                // Too large for this broker: it would be later as well.
                Err(_) => {
                    let cause = Cause::Limit("payload_bytes_max of the broker");
                    let refused = Event::Refused { topic: topic.clone(), receipt: Some(Receipt(0)), cause };
                    self.refused.push_back(refused);
                }
            }
            shared.release(*reserved);
            self.waiting.pop_front();
        }
    }

    /// What the broker's client reports, and what it did not take.
    fn next_event(&mut self) -> Option<Event> {
        let complaint = || self.carrier.mesh_complaint();
        self.refused.pop_front().or_else(complaint).or_else(|| self.carrier.broker().poll())
    }

    /// The publication that a message of the broker is here, and the threads that it is for.
    fn received(
        &mut self,
        process: u64,
        topic: &Topic,
        envelope: Envelope,
        position: Option<Position>,
    ) -> Option<(Publication, Vec<u16>)> {
        let own = envelope.origin.filter(|origin| origin.process == process);
        let except = own.and_then(|origin| self.exceptions.remove(&origin.number));
        let threads = self.threads.get(topic)?.iter().copied().collect();
        let to = Destination::Topic(topic.as_str().into());
        let shown = self.recovery.as_mut().and_then(|it| it.received(topic, &envelope.message, position));
        let message = shown.unwrap_or(envelope.message);
        Some((Publication { to, message, except, key: envelope.key }, threads))
    }
}

impl RemoteCarrier {
    /// TLS for a connection to `host`, if it is to have any.
    #[cfg(feature = "tls")]
    fn provider(&mut self, tls: Security, host: &str) -> Result<Option<Arc<dyn Provider>>, String> {
        match tls {
            Security::Plain => return Ok(None),
            Security::Tls | Security::TlsLater => {}
        }
        let client = match self.tls.take() {
            Some(client) => client,
            None => crate::tls::Client::builder().alpn(&[]).build().map_err(|error| error.to_string())?,
        };
        let client = self.tls.insert(client);
        client.to(host).map(Some).map_err(|error| error.to_string())
    }

    #[cfg(not(feature = "tls"))]
    fn provider(&mut self, tls: Security, _: &str) -> Result<Option<Arc<dyn Provider>>, String> {
        match tls {
            Security::Plain => Ok(None),
            _ => Err("this program is built without TLS, which the endpoint wants".to_owned()),
        }
    }
}

/// A call is at work until this is dropped, be it by a panic of the application.
struct Driving(Rc<RefCell<Bridge>>);

impl Drop for Driving {
    fn drop(&mut self) {
        if let Ok(mut bridge) = self.0.try_borrow_mut() {
            bridge.driving = false;
        }
    }
}

impl Context<'_> {
    /// Does what the broker's client asks for, and what it reports, until there is nothing left.
    pub(super) fn drive_broker(&mut self) {
        let Some(bridge) = self.state.broker.clone() else { return };
        if std::mem::replace(&mut bridge.borrow_mut().driving, true) {
            return;
        }
        let driving = Driving(Rc::clone(&bridge));
        let group = Arc::clone(&self.state.group);
        if let Some(shared) = &group.broker {
            loop {
                let now = self.now();
                bridge.borrow_mut().hand_over(now, shared);
                if let Some(presence) = shared.presence() {
                    bridge.borrow_mut().announce(now, presence);
                }
                self.make_transport(&bridge);
                self.make_mesh(&bridge);
                // Nothing is borrowed while the application is called, which may publish.
                let Some(event) = bridge.borrow_mut().next_event() else { break };
                self.on_broker_event(&bridge, shared, event);
            }
        }
        drop(driving);
        self.send_to_broker(&bridge);
        self.send_to_mesh(&bridge);
        self.time_broker(&bridge);
    }

    fn on_broker_event(&mut self, bridge: &Rc<RefCell<Bridge>>, shared: &BrokerShared, event: Event) {
        let event = match shared.presence() {
            Some(presence) => presence.take(self.now(), event),
            None => Some(event),
        };
        let Some(event) = event else { return };
        match event {
            Event::History { topic, newest, entries, whole_after } => {
                return self.topic_read(bridge, &topic, newest, (&entries, whole_after));
            }
            Event::Refused { ref topic, receipt: None, .. } => self.topic_refused(bridge, topic),
            _ => {}
        }
        if let Event::Message { topic, payload, position } = &event {
            let Some(envelope) = Envelope::decode(payload) else {
                // Of a later version, or damaged: its subscribers miss something.
                return self.report_broker_event(bridge, &Event::Gap { topic: topic.clone() });
            };
            let received = bridge.borrow_mut().received(shared.process, topic, envelope, *position);
            let Some((publication, threads)) = received else { return };
            if self.deliver_on(publication, &threads).is_ok() {
                return;
            }
            // A thread has no room: its subscribers miss something.
            return self.report_broker_event(bridge, &Event::Gap { topic: topic.clone() });
        }
        self.report_broker_event(bridge, &event);
    }

    fn report_broker_event(&mut self, bridge: &Rc<RefCell<Bridge>>, event: &Event) {
        if let Event::Gap { topic } = event
            && let Some(recovery) = bridge.borrow_mut().recovery()
        {
            recovery.gap(topic);
        }
        let call = bridge.borrow().on_event.clone();
        if let Some(call) = call {
            call(self, event);
        }
    }

    /// Delivers on the threads that have subscribers.
    fn deliver_on(&mut self, publication: Publication, threads: &[u16]) -> Result<(), PublishError> {
        if threads.contains(&0) {
            self.publish_here(&publication);
        }
        let others = threads.iter().copied().filter(|thread| *thread != 0);
        self.state.group.publish_on(&Arc::new(publication), others)
    }

    /// Makes and closes connections to a broker.
    fn make_transport(&mut self, bridge: &Rc<RefCell<Bridge>>) {
        loop {
            let request = bridge.borrow_mut().remote().and_then(|carrier| carrier.remote.poll_transport());
            match request {
                None => return,
                Some(TransportRequest::Connect(endpoint)) => self.connect_broker(bridge, endpoint),
                Some(TransportRequest::Close) => self.close_broker(bridge),
                Some(TransportRequest::StartTls) => self.secure_broker(bridge),
                Some(_) => self.close_broker(bridge),
            }
        }
    }

    /// Begins TLS on the connection.
    fn secure_broker(&mut self, bridge: &Rc<RefCell<Bridge>>) {
        let mut borrowed = bridge.borrow_mut();
        let Some(RemoteCarrier { link, .. }) = borrowed.remote() else { return };
        if let (Some(id), Some(provider)) = (link.id, link.tls_later.take()) {
            (link.is_securing, link.is_waiting) = (true, true);
            self.start_tls(id, provider, TLS_TIMEOUT);
        }
    }

    fn close_broker(&mut self, bridge: &Rc<RefCell<Bridge>>) {
        let link = bridge.borrow_mut().remote().and_then(|carrier| carrier.link.id.take());
        if let Some(link) = link {
            self.close_link(link);
        }
    }

    fn connect_broker(&mut self, bridge: &Rc<RefCell<Bridge>>, endpoint: Endpoint) {
        let now = self.now();
        let mut borrowed = bridge.borrow_mut();
        let Some(carrier) = borrowed.remote() else { return };
        let attempt = carrier.link.attempt + 1;
        carrier.link = TransportLink { attempt, ..TransportLink::default() };
        let mut options = ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() };
        let target = match endpoint {
            Endpoint::Unix(path) => Target::Addresses(vec![Address::Unix(path)]),
            Endpoint::Tcp { host, port, tls } => {
                match carrier.provider(tls, &host) {
                    Ok(provider) if tls == Security::TlsLater => carrier.link.tls_later = provider,
                    Ok(provider) => options.tls = provider,
                    Err(why) => return carrier.remote.connect_failed(now, &why),
                }
                Target::Name { host, port }
            }
        };
        match self.connect(target, &options, BrokerLink { bridge: Rc::clone(bridge), attempt }) {
            Ok(link) => carrier.link.id = Some(link),
            Err(error) => carrier.remote.connect_failed(now, &error.to_string()),
        }
    }

    /// Has the connection send what waits.
    fn send_to_broker(&mut self, bridge: &Rc<RefCell<Bridge>>) {
        let mut bridge = bridge.borrow_mut();
        let Some(RemoteCarrier { remote, link, .. }) = bridge.remote() else { return };
        let TransportLink { id, key, is_waiting, .. } = link;
        if let (Some(link), Some(_), false) = (id, key, is_waiting)
            && !remote.transmit().is_empty()
        {
            self.wake_link(*link);
        }
    }

    /// Sets the timer to what is due next. One that comes too early does no harm.
    fn time_broker(&mut self, bridge: &Rc<RefCell<Bridge>>) {
        let presence = self.state.group.broker.as_ref().and_then(BrokerShared::presence);
        let presence = presence.and_then(|presence| presence.lock().presence.next_timeout());
        let Some(next) = bridge.borrow().next_timeout().into_iter().chain(presence).min() else { return };
        let set = bridge.borrow().timer;
        if set.is_some_and(|(at, _)| at <= next) {
            return;
        }
        if let Some((_, timer)) = set {
            self.cancel(timer);
        }
        let timer = self.after(next - self.now(), Self::broker_due);
        bridge.borrow_mut().timer = Some((next, timer));
    }

    /// Sees to what is left before the process ends, from the first call on: it retires or drains.
    pub(crate) fn end_broker(&mut self) {
        let Some(bridge) = self.state.broker.clone() else { return };
        let begins = |bridge: &mut Bridge| !std::mem::replace(&mut bridge.is_ending, true);
        if self.state.group.is_ending() && begins(&mut bridge.borrow_mut()) {
            Self::broker_ends(self, None);
        }
    }

    /// A carrier is there for the others: when it is alone the process ends, which leaves a mesh before, and in time.
    fn broker_ends(cx: &mut Context<'_>, leaves_at: Option<Time>) {
        let Some(bridge) = cx.state.broker.clone() else { return };
        let shards = &cx.state.group.shards;
        let connections: usize = (0..shards.count()).map(|shard| shards.connections(shard)).sum();
        let is_alone = connections <= bridge.borrow().connections();
        let draining = shards.draining();
        let leaves_at = leaves_at.or_else(|| draining.map(|timeout| cx.now() + timeout / 2));
        if draining.is_some() {
            cx.end_presence(&bridge);
        }
        if draining.is_none() && is_alone {
            cx.drain();
        } else if (is_alone || leaves_at.is_some_and(|at| at <= cx.now())) && cx.leave_mesh(&bridge) {
            return;
        }
        cx.after(END_LOOK, move |cx| Self::broker_ends(cx, leaves_at));
    }

    fn broker_due(cx: &mut Context<'_>) {
        let now = cx.now();
        if let Some(bridge) = cx.state.broker.clone() {
            {
                let mut bridge = bridge.borrow_mut();
                bridge.timer = None;
                bridge.handle_timeout(now);
            }
            cx.drive_broker();
        }
    }
}
