//! What all handlers of one thread share: counters, the access log, and who else is on their route.
//!
//! Knows no event and no connection, only their names.

use crate::access::AccessLog;
use crate::files::shelf::Shelf;
use crate::group::Group;
use crate::hosts::Hosts;
use crate::http::{self, FieldLine};
use crate::origins::Origins;
use crate::panics::OnPanic;
use crate::route::{Methods, Table};
use crate::stats::Counters;
use crate::topics::{Backlog, Topics};
use crate::{Peer, ws};
use lws_loop_external::ConnectionId;
use lws_proto::StreamKey;
use lws_proto::http::Head;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// What handlers reach through their context, and the routes that they hang on.
pub(crate) struct Shared {
    pub(crate) routes: Rc<Table<Route>>,
    pub(crate) topics: Topics,
    /// The threads of the server, and which of them this is.
    pub(crate) group: Arc<Group>,
    pub(crate) shard: u16,
    pub(crate) counters: Counters,
    pub(crate) started: Instant,
    pub(crate) unix_seconds: u32,
    pub(crate) log: Option<AccessLog>,
    pub(crate) on_panic: Option<OnPanic>,
    /// The route whose handler or factory was called last.
    pub(crate) calling: u32,
    /// What every WebSocket may agree on.
    pub(crate) deflate: Option<crate::ws::Deflate>,
    pub(crate) hosts: Hosts,
    /// Files that are being sent.
    pub(crate) shelf: Shelf,
    /// Field lines of every response, without TLS and with it.
    pub(crate) always: [Option<Rc<[FieldLine]>>; 2],
    /// Streams whose handlers are to be woken, by their connections.
    woken: HashMap<ConnectionId, Vec<StreamKey>>,
    /// Who has connected, where somebody is told of it afterwards: the system forgets a peer that resets. Kept beside the
    /// connections, so that without a log they cost nothing.
    peers: Option<HashMap<ConnectionId, Peer>>,
}

/// What is at one path.
#[derive(Default)]
pub(crate) struct Route {
    pub(crate) websocket: Option<Guarded<ws::Factory>>,
    pub(crate) endpoints: Vec<(Methods, Guarded<Box<dyn http::Endpoint>>)>,
    pub(crate) backlog: Backlog,
}

/// What answers, and from which pages a browser may ask it.
pub(crate) struct Guarded<T> {
    pub(crate) inner: T,
    /// `None` lets every page ask.
    pub(crate) origins: Option<Arc<Origins>>,
}

impl<T> Guarded<T> {
    /// Whether an opening handshake may be accepted. `secure` says whether it came by TLS.
    #[inline]
    pub(crate) fn permits_opening(&self, head: &Head<'_>, secure: bool) -> bool {
        self.origins.as_ref().is_none_or(|origins| origins.permit_origin(head, secure))
    }

    /// Whether a request that opens nothing may be answered.
    #[inline]
    pub(crate) fn permits(&self, head: &Head<'_>, secure: bool) -> bool {
        self.origins.as_ref().is_none_or(|origins| origins.permit(head, secure))
    }
}

impl Shared {
    pub(crate) fn new(
        routes: Table<Route>,
        topics: Topics,
        hosts: Hosts,
        log: Option<AccessLog>,
        group: Arc<Group>,
        shard: u16,
        files_max: usize,
    ) -> Self {
        let routes = Rc::new(routes);
        let counters = Counters::default();
        Self {
            routes,
            topics,
            group,
            shard,
            counters,
            started: Instant::now(),
            unix_seconds: 0,
            log,
            on_panic: None,
            calling: u32::MAX,
            deflate: None,
            hosts,
            shelf: Shelf::new(files_max),
            always: [None, None],
            woken: HashMap::new(),
            peers: None,
        }
    }

    /// Keeps the addresses of all peers from now on.
    pub(crate) fn keep_peers(&mut self) {
        self.peers.get_or_insert_default();
    }

    /// A peer has connected.
    pub(crate) fn connected(&mut self, connection: ConnectionId, peer: Peer) {
        if let Some(peers) = &mut self.peers {
            peers.insert(connection, peer);
        }
    }

    /// A connection is over.
    pub(crate) fn disconnected(&mut self, connection: ConnectionId) {
        if let Some(peers) = &mut self.peers {
            peers.remove(&connection);
        }
    }

    /// Who is at the other end of a connection: as it was when it came, or else as the system says now.
    pub(crate) fn peer(
        &self,
        connection: Option<ConnectionId>,
        system: impl FnOnce() -> Option<Peer>,
    ) -> Peer {
        let kept = || self.peers.as_ref()?.get(&connection?).copied();
        kept().or_else(system).unwrap_or(Peer::Unknown)
    }

    /// The handler of a stream is to be woken, with its connection.
    pub(crate) fn wake(&mut self, connection: ConnectionId, key: StreamKey) {
        let keys = self.woken.entry(connection).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    /// The streams of a connection whose handlers are to be woken. They are not any more.
    pub(crate) fn woken(&mut self, connection: ConnectionId) -> Vec<StreamKey> {
        self.woken.remove(&connection).unwrap_or_default()
    }
}
