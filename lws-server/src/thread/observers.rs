//! The callbacks by which a program observes its server: the access log, panics, TLS, peers that got a GOAWAY. They belong to
//! one thread, as handlers do.

use crate::publish::topics::BacklogOf;
use crate::thread::access::AccessRecord;
use crate::thread::panics::PanicRecord;
use crate::{Peer, tls};
use lws_loop_external::ConnectionId;
use lws_proto::Cause;
use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type OnAccess = Box<dyn Fn(&AccessRecord<'_>)>;
/// `false` refuses the peer.
pub(crate) type OnAccept = Box<dyn Fn(&Peer) -> bool>;
pub(crate) type OnPanic = Box<dyn Fn(&PanicRecord<'_>)>;
/// `false` refuses the peer.
pub(crate) type OnTls = Box<dyn Fn(&Peer, tls::Event<'_>) -> bool>;
pub(crate) type OnSentAway = Box<dyn Fn(&Peer, Cause)>;

/// The callbacks of one thread.
#[derive(Default)]
pub(crate) struct Observers {
    pub(crate) log: Option<OnAccess>,
    pub(crate) on_accept: Option<OnAccept>,
    pub(crate) on_panic: Option<OnPanic>,
    pub(crate) on_tls: Option<OnTls>,
    pub(crate) on_sent_away: Option<OnSentAway>,
    pub(crate) topic_backlog: Option<BacklogOf>,
}

impl Observers {
    /// Whether anything is to be called.
    pub(crate) fn any(&self) -> bool {
        let Self { log, on_accept, on_panic, on_tls, on_sent_away, topic_backlog } = self;
        log.is_some()
            || on_accept.is_some()
            || on_panic.is_some()
            || on_tls.is_some()
            || on_sent_away.is_some()
            || topic_backlog.is_some()
    }

    /// Whether an observer gets addresses of peers after the system may have forgotten them.
    pub(crate) fn want_peers(&self) -> bool {
        self.log.is_some() || self.on_tls.is_some() || self.on_sent_away.is_some()
    }
}

/// The addresses of peers: for limits and for observers that get them late, as the system forgets a peer that resets; and of those that a
/// proxy stands for, whom the system does not know. They are kept beside the connections, so that a server without any of these pays
/// nothing. What the system was asked for is remembered of the last connections, so that it is asked once for a connection that is busy, and
/// idle ones need no room.
#[derive(Debug, Default)]
pub(crate) struct PeerAddresses {
    kept: HashMap<ConnectionId, Peer, BuildHasherDefault<NameHasher>>,
    /// Whether those are kept that the system knows.
    all: bool,
    /// What the system has said, from when it is asked first: each at the place that the number of its connection gives.
    recent: OnceCell<Box<[Remembered]>>,
}

type Remembered = Cell<Option<(ConnectionId, Peer)>>;

/// Connections whose peer is remembered. 12 KiB.
const REMEMBERED: usize = 256;

/// Hashes names of connections. The driver gives them, and no peer chooses any, so that a multiplication is enough.
#[derive(Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.write_u32((*octet).into()));
    }

    fn write_u32(&mut self, number: u32) {
        // 2^64 divided by the golden ratio: neighbours come to lie far apart.
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl PeerAddresses {
    pub(crate) fn new(all: bool) -> Self {
        Self { kept: HashMap::default(), all, recent: OnceCell::new() }
    }

    /// A peer has connected; `proxied` says that the system knows another in its place.
    pub(crate) fn insert(&mut self, connection: ConnectionId, peer: Peer, proxied: bool) {
        if self.all || proxied {
            self.kept.insert(connection, peer);
        }
    }

    /// A connection is over.
    pub(crate) fn remove(&mut self, connection: ConnectionId) -> Option<Peer> {
        if self.kept.is_empty() { None } else { self.kept.remove(&connection) }
    }

    /// Who is at the other end of a connection: as it was when it came, or else as the system says.
    pub(crate) fn get(
        &self,
        connection: Option<ConnectionId>,
        system: impl FnOnce() -> Option<Peer>,
    ) -> Peer {
        let Some(connection) = connection else { return system().unwrap_or(Peer::Unknown) };
        if !self.kept.is_empty()
            && let Some(peer) = self.kept.get(&connection)
        {
            return *peer;
        }
        let recent = self.recent.get_or_init(|| vec![Cell::new(None); REMEMBERED].into());
        let place = &recent[connection.index() % REMEMBERED];
        if let Some((_, peer)) = place.get().filter(|(of, _)| *of == connection) {
            return peer;
        }
        let Some(peer) = system() else { return Peer::Unknown };
        place.set(Some((connection, peer)));
        peer
    }
}
