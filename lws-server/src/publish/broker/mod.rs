//! Topics that several processes share over a message broker, such as Redis, or on one machine [without one](BrokerOptions::mesh).
//!
//! A server with a broker keeps topics of some prefixes there ([`BrokerOptions::prefixes`]). Handlers subscribe and publish as before:
//! [`Context::subscribe`], [`Context::publish_topic`], [`Handle::publish_topic`](crate::Handle::publish_topic). The first WebSocket of
//! the process that subscribes to such a topic has the process subscribe at the broker; what is published goes there, and comes back to
//! every process once, this one too. The first thread owns the connection; the others reach it by their mailboxes.
//!
//! What is promised, and what happens when each part fails, is in `docs/scale.md`: a hole in what subscribers receive is reported as
//! [`Event::Gap`] to [`BrokerOptions::on_event`].

mod bridge;
mod envelope;
mod link;
mod mesh;
mod presence;
mod recovery;
mod url;

use crate::publish::topics::{Destination, Publication};
use crate::server::group::Group;
use crate::thread::command::Command;
use crate::ws::Broadcast;
use crate::{Context, PublishError};
use bridge::Bridge;
use lws_broker::Protocol;
pub use lws_broker::RecentLimits;
pub use lws_broker::mesh::MeshOptions;
pub use lws_broker::presence::{PresenceError, PresenceLimits, PresenceOptions};
#[doc(inline)]
pub use lws_broker::{
    Cause, Endpoint, Event, Full, Limits, NotAServerList, Options, Position, Receipt, Security, ServerList,
    Topic, nats, redis,
};
use presence::SharedPresence;
pub(crate) use presence::StreamPresences;
pub use presence::{JoinError, Present};
pub use recovery::Recovered;
use recovery::RecoveryOptions;
pub(crate) use recovery::{PreparedReplay, StreamRecovery};
use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub use url::BrokerUrlError;

/// A broker of a server.
#[derive(Clone)]
pub struct BrokerOptions {
    /// What topics begin with that are shared by the broker: `room/`. An empty one means all topics. Others stay in this process.
    pub prefixes: Vec<String>,
    /// Reconnection, deadlines and limits.
    pub options: Options,
    /// TLS of the connection, for endpoints that say so. Default `None`: certificates are checked with the roots of the system, and no
    /// protocol is named by ALPN.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls::Client>,
    /// Whether processes announce who is in which topic: [`Context::join_presence`]. Default `None`.
    pub presence: Option<PresenceOptions>,
    carrier: CarrierOptions,
    on_event: Option<Arc<OnEvent>>,
    recovery: Option<RecoveryOptions>,
}

/// What brings topics to other processes.
#[derive(Clone)]
enum CarrierOptions {
    /// A broker of this protocol.
    Protocol(Arc<MakeProtocol>),
    /// The other processes themselves, by sockets in this folder.
    Mesh(PathBuf, MeshOptions),
}

type MakeProtocol = dyn Fn(&Limits) -> Box<dyn Protocol> + Send + Sync;
type OnEvent = dyn Fn(&mut Context<'_>, &Event) + Send + Sync;

impl BrokerOptions {
    /// A broker of any protocol, for topics that begin with `prefix`. `protocol` is called once, on the first thread of the server.
    pub fn new(
        prefix: &str,
        protocol: impl Fn(&Limits) -> Box<dyn Protocol> + Send + Sync + 'static,
    ) -> Self {
        Self::carried_by(prefix, CarrierOptions::Protocol(Arc::new(protocol)))
    }

    fn carried_by(prefix: &str, carrier: CarrierOptions) -> Self {
        Self {
            prefixes: vec![prefix.to_owned()],
            options: Options::default(),
            #[cfg(feature = "tls")]
            tls: None,
            presence: None,
            carrier,
            on_event: None,
            recovery: None,
        }
    }

    /// A Redis server, for topics that begin with `prefix`.
    #[must_use]
    pub fn redis(prefix: &str, options: redis::RedisOptions) -> Self {
        Self::new(prefix, move |limits| Box::new(redis::Redis::new(options.clone(), limits)))
    }

    /// Servers of NATS by their addresses, `host:port`, for topics that begin with `prefix`. TLS is spoken as
    /// [`nats::NatsOptions::tls`] says.
    ///
    /// # Errors
    /// There is no address, or more than 64, or one is none.
    pub fn nats(prefix: &str, servers: &[&str], options: nats::NatsOptions) -> Result<Self, nats::NoServer> {
        let nats = nats::Nats::new(servers, options)?;
        Ok(Self::new(prefix, move |_| Box::new(nats.clone())))
    }

    /// No broker: the processes on this machine that use the same folder share topics that begin with `prefix`, by Unix sockets in it. It is
    /// made if it is missing, and has to belong to the user of the processes with mode 0700: who can enter it is trusted. While it cannot be
    /// used, [`Event::Down`] says why.
    ///
    /// Of [`options`](Self::options) only the limits count, which are at first those of `mesh`. A server that drains leaves when its other
    /// connections have gone, or half of [`Builder::drain_timeout`](crate::Builder::drain_timeout) is over; then nothing is lost, and the
    /// others have no gap.
    #[must_use]
    pub fn mesh(prefix: &str, folder: impl Into<PathBuf>, mesh: MeshOptions) -> Self {
        let limits = mesh.limits.clone();
        let options = Options { limits, ..Options::default() };
        Self { options, ..Self::carried_by(prefix, CarrierOptions::Mesh(folder.into(), mesh)) }
    }

    /// Keeps the newest messages of topics with history for clients that come back: [`Context::subscribe_from`]. `show` makes of a message what
    /// WebSockets get, with its position in some way, by which they come back. It is called once for each message, on the first thread.
    #[must_use]
    pub fn recover(
        mut self,
        limits: RecentLimits,
        show: impl Fn(&Topic, Position, &Broadcast) -> Broadcast + Send + Sync + 'static,
    ) -> Self {
        self.recovery = Some(RecoveryOptions { limits, show: Arc::new(show) });
        self
    }

    /// Has `call` called with each event but messages, on the first thread: gaps above all, after which an application sends its
    /// subscribers the state again ([`Context::publish_local`]), and the connection that comes and goes.
    #[must_use]
    pub fn on_event(mut self, call: impl Fn(&mut Context<'_>, &Event) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(call));
        self
    }
}

impl fmt::Debug for BrokerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("BrokerOptions");
        shown.field("prefixes", &self.prefixes).field("options", &self.options).finish_non_exhaustive()
    }
}

/// What all threads know of the broker.
pub(crate) struct BrokerShared {
    prefixes: Box<[String]>,
    /// Publications on their way to the thread that owns the connection, and waiting there.
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    limits: Limits,
    /// The name of this process among all that use the broker.
    process: u64,
    presence: Option<SharedPresence>,
    /// The thread that has the broker was asked to announce changes of presence.
    announces: AtomicBool,
}

impl BrokerShared {
    pub(crate) fn new(options: &BrokerOptions) -> Self {
        // The keys of the standard library's maps are random.
        let process = RandomState::new().hash_one(std::process::id());
        let prefix = options.prefixes.first().map(String::as_str).unwrap_or_default();
        let presence = options.presence.as_ref();
        let presence = presence.and_then(|options| SharedPresence::new(options, prefix, process));
        Self {
            prefixes: options.prefixes.clone().into(),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            limits: options.options.limits.clone(),
            process,
            presence,
            announces: AtomicBool::new(false),
        }
    }

    pub(super) fn presence(&self) -> Option<&SharedPresence> {
        self.presence.as_ref()
    }

    /// Whether the thread that has the broker has to be asked to announce something: it was not already.
    fn wants_announcement(&self) -> bool {
        !self.announces.swap(true, Ordering::AcqRel)
    }

    /// That thread looks what there is to announce.
    fn announces(&self) {
        self.announces.store(false, Ordering::Release);
    }

    /// Whether the broker has the topic of this name.
    pub(crate) fn covers(&self, topic: &str) -> bool {
        // Other names stay in this process.
        let is_other = topic.contains(char::is_control) || topic.starts_with(presence::TOPIC_PREFIX);
        !is_other && self.prefixes.iter().any(|prefix| topic.starts_with(&**prefix))
    }

    /// Whether a pattern may stand for topics that the broker has.
    pub(crate) fn meets(&self, pattern: &str) -> bool {
        let literal = pattern.split(['+', '#']).next().unwrap_or_default();
        self.prefixes.iter().any(|prefix| literal.starts_with(&**prefix) || prefix.starts_with(literal))
    }

    /// Makes room for a publication.
    fn reserve(&self, bytes: usize) -> Result<(), Full> {
        if bytes > self.limits.payload_bytes_max {
            return Err(Full::Payload);
        }
        let (messages, octets) = (
            self.waiting.fetch_add(1, Ordering::Relaxed),
            self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed),
        );
        let full = if messages >= self.limits.publish_messages_max {
            Full::Messages
        } else if octets + bytes > self.limits.publish_bytes_max {
            Full::Bytes
        } else {
            return Ok(());
        };
        self.release(bytes);
        Err(full)
    }

    /// A publication waits here no more.
    fn release(&self, bytes: usize) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A topic on one thread that has got its first subscriber, or has lost its last.
pub(crate) struct TopicChange {
    pub(crate) name: Arc<str>,
    pub(crate) is_subscribed: bool,
}

/// The broker of a thread: that of the first has the connection.
pub(crate) type ThreadBroker = Option<Rc<RefCell<Bridge>>>;

impl Group<Command> {
    /// Takes a publication to a topic that the broker has, to be called on any thread. Otherwise it is given back.
    pub(crate) fn publish_upstream(
        &self,
        publication: Publication,
    ) -> Result<Result<(), PublishError>, Publication> {
        let Some(broker) = &self.broker else { return Err(publication) };
        let Destination::Topic(name) = &publication.to else { return Err(publication) };
        if !broker.covers(name) {
            return Err(publication);
        }
        let bytes = publication.message.bytes().len() + envelope::HEAD_BYTES_MAX;
        Ok(broker.reserve(bytes).map_err(PublishError::Broker).and_then(|()| {
            let call = move |cx: &mut Context<'_>| cx.hand_to_broker(publication, bytes);
            self.try_send(0, Command::Call(Box::new(call))).map_err(|error| {
                broker.release(bytes);
                match error {
                    crate::PostError::Full => PublishError::Broker(Full::Messages),
                    crate::PostError::Gone => PublishError::Gone,
                }
            })
        }))
    }
}

impl Context<'_> {
    /// Begins the connection to the broker, on the first thread.
    pub(crate) fn start_broker(&mut self, options: &BrokerOptions) {
        if self.state.shard == 0 {
            let mut bridge = Bridge::new(self.now(), options);
            let group = Arc::clone(&self.state.group);
            if let Some(presence) = group.broker.as_ref().and_then(BrokerShared::presence) {
                bridge.keep(self.now(), presence.topic());
            }
            self.state.broker = Some(Rc::new(RefCell::new(bridge)));
            self.drive_broker();
        }
    }

    /// Reports to the first thread which topics have got their first subscriber here, or have lost their last.
    pub(crate) fn report_topics(&mut self) {
        let changes = self.state.topics.take_changes();
        if changes.is_empty() {
            return;
        }
        let shard = self.state.shard;
        if shard == 0 {
            return self.topics_changed(shard, changes);
        }
        let call = move |cx: &mut Context<'_>| cx.topics_changed(shard, changes);
        // In their order: a topic that is left and joined again must not end as one that was left.
        self.state.group.send_in_order(0, Command::Call(Box::new(call)));
    }

    fn topics_changed(&mut self, shard: u16, changes: Vec<TopicChange>) {
        let now = self.now();
        if let Some(bridge) = self.state.broker.clone() {
            changes.into_iter().for_each(|change| bridge.borrow_mut().change(now, shard, &change));
            self.drive_broker();
        }
    }

    /// Publishes at the broker, on the first thread.
    fn hand_to_broker(&mut self, publication: Publication, bytes: usize) {
        let group = Arc::clone(&self.state.group);
        let Some(broker) = &group.broker else { return };
        match self.state.broker.clone() {
            Some(bridge) => {
                bridge.borrow_mut().publish(broker.process, publication, bytes);
                self.drive_broker();
            }
            None => broker.release(bytes),
        }
    }
}
