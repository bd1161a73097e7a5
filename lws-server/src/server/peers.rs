//! What one peer may have of a server: connections, new connections, requests at a time.
//!
//! Peers are distinguished by their IPv4 address, or by the /64 network of IPv6. All threads of a server count
//! together.

use crate::Peer;
use crate::http::Request;
#[cfg(feature = "proxies")]
use crate::http::TrustedProxies;
use crate::thread::deferred::{Completer, Deferred};
use lws_proto::Time;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What one peer may have of a server. By default nothing is limited.
///
/// A peer is an IPv4 address or a /64 of IPv6. Those of the same machine on Unix sockets are not limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Connections at a time. Past it a new one is closed at once, before TLS.
    #[doc(alias = "ip_limit_wsi")]
    pub connections_max: Option<u32>,
    /// Connections that begin in one second. Past it a new one is closed at once, before TLS.
    pub new_connections_per_second: Option<u32>,
    /// Requests that are being answered at a time; a WebSocket is one until it is open. Further ones wait for a slot.
    #[doc(alias = "ip_limit_ah")]
    pub requests_max: Option<u32>,
    /// Requests that wait for a slot. Past it they are answered 503. Default 100.
    pub waiting_requests_max: u32,
    /// Addresses that are not limited: proxies, which carry the requests of many.
    pub trusted: Vec<IpAddr>,
    /// Proxies which say who has sent a request: they are not limited in connections, and their requests count for those who have sent
    /// them. One that does not say it counts for the proxy itself, so that a field that cannot be read is no way around a limit.
    #[cfg(feature = "proxies")]
    pub proxies: TrustedProxies,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self {
            connections_max: None,
            new_connections_per_second: None,
            requests_max: None,
            waiting_requests_max: 100,
            trusted: Vec::new(),
            #[cfg(feature = "proxies")]
            proxies: TrustedProxies::default(),
        }
    }
}

impl PeerLimits {
    /// Whether anything is limited.
    fn any(&self) -> bool {
        let Self { connections_max, new_connections_per_second, requests_max, .. } = self;
        connections_max.or(*new_connections_per_second).or(*requests_max).is_some()
    }
}

/// What the peers of a server have.
pub(crate) struct Peers {
    limits: PeerLimits,
    by_network: Mutex<HashMap<Network, Counted>>,
}

/// An IPv4 address, or a /64 of IPv6.
type Network = [u8; 8];

/// What one peer has.
#[derive(Default)]
struct Counted {
    connections: u32,
    requests: u32,
    waiting: VecDeque<Completer<PeerSlot>>,
    /// When the second began in which `new` connections have come.
    since: Time,
    new: u32,
}

/// Peers that have nothing any more are forgotten when there are so many.
const NETWORKS_KEPT: usize = 4_096;

const SECOND: Duration = Duration::from_secs(1);

impl Counted {
    /// Whether it makes a difference to keep it.
    fn counts(&self, now: Time) -> bool {
        self.connections > 0 || self.requests > 0 || now - self.since < SECOND
    }
}

/// The result of taking a slot for a request.
pub(crate) enum Queue {
    /// It may go on.
    Go(Option<Box<PeerSlot>>),
    /// It waits.
    Wait(Deferred<PeerSlot>),
    /// Too many wait already.
    Full,
}

/// A slot among the requests of one peer. Dropping it passes it to the peer's next waiting request.
pub(crate) struct PeerSlot {
    peers: Arc<Peers>,
    network: Network,
}

impl Peers {
    /// `None` if nothing is limited.
    pub(crate) fn new(limits: &PeerLimits) -> Option<Arc<Self>> {
        let peers = || Arc::new(Self { limits: limits.clone(), by_network: Mutex::default() });
        limits.any().then(peers)
    }

    /// Nothing that can panic runs while this is held, and no handler.
    fn lock(&self) -> MutexGuard<'_, HashMap<Network, Counted>> {
        self.by_network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network(&self, peer: &Peer) -> Option<Network> {
        self.network_of(peer.ip()?)
    }

    /// What an address counts for. `None` if it is not limited.
    fn network_of(&self, address: IpAddr) -> Option<Network> {
        let address = address.to_canonical();
        let trusted = self.limits.trusted.iter().any(|trusted| trusted.to_canonical() == address);
        (!trusted).then(|| network(address))
    }

    /// Whether requests of this peer count for those who have sent them to it.
    #[cfg(feature = "proxies")]
    fn is_proxy(&self, peer: &Peer) -> bool {
        self.limits.proxies.trusts(*peer)
    }

    /// Without the feature no peer is known to be a proxy.
    #[cfg(not(feature = "proxies"))]
    fn is_proxy(&self, _: &Peer) -> bool {
        false
    }

    /// Who a request counts for. `None` if it is not limited.
    #[cfg(feature = "proxies")]
    fn requester(&self, peer: &Peer, request: &Request<'_>) -> Option<Network> {
        if !self.is_proxy(peer) {
            return self.network(peer);
        }
        self.network_of(self.limits.proxies.client(*peer, request).address.or(peer.ip())?)
    }

    #[cfg(not(feature = "proxies"))]
    fn requester(&self, peer: &Peer, _: &Request<'_>) -> Option<Network> {
        self.network(peer)
    }

    /// Counts a new connection. Answers whether there may be one.
    pub(crate) fn connect(&self, peer: &Peer, now: Time) -> bool {
        let Some(network) = self.network(peer).filter(|_| !self.is_proxy(peer)) else { return true };
        let mut by_network = self.lock();
        if by_network.len() >= NETWORKS_KEPT && !by_network.contains_key(&network) {
            by_network.retain(|_, counted| counted.counts(now));
        }
        let counted = by_network.entry(network).or_default();
        if counted.new == 0 || now - counted.since >= SECOND {
            (counted.since, counted.new) = (now, 0);
        }
        let is_below = |have: u32, max: Option<u32>| max.is_none_or(|max| have < max);
        let admitted = is_below(counted.connections, self.limits.connections_max)
            && is_below(counted.new, self.limits.new_connections_per_second);
        if admitted {
            counted.connections += 1;
            counted.new += 1;
        }
        admitted
    }

    /// A connection that was counted is over.
    pub(crate) fn disconnect(&self, peer: &Peer, now: Time) {
        let Some(network) = self.network(peer).filter(|_| !self.is_proxy(peer)) else { return };
        let mut by_network = self.lock();
        let Some(counted) = by_network.get_mut(&network) else { return };
        counted.connections = counted.connections.saturating_sub(1);
        if !counted.counts(now) {
            by_network.remove(&network);
        }
    }

    /// Takes a slot for a request, or queues it. `defer` makes the deferred result that it waits for.
    pub(crate) fn peer_slot(
        self: &Arc<Self>,
        peer: &Peer,
        request: &Request<'_>,
        defer: impl FnOnce() -> Option<(Deferred<PeerSlot>, Completer<PeerSlot>)>,
    ) -> Queue {
        let (Some(max), Some(network)) = (self.limits.requests_max, self.requester(peer, request)) else {
            return Queue::Go(None);
        };
        let mut by_network = self.lock();
        let counted = by_network.entry(network).or_default();
        if counted.requests < max {
            counted.requests += 1;
            return Queue::Go(Some(Box::new(PeerSlot { peers: Arc::clone(self), network })));
        }
        let waiting_max = self.limits.waiting_requests_max as usize;
        if counted.waiting.len() >= waiting_max {
            // Removes waiting requests that have been given up. They have no slot yet that dropping them would pass
            // on.
            counted.waiting.retain(Completer::is_awaited);
        }
        if counted.waiting.len() >= waiting_max {
            return Queue::Full;
        }
        let Some((deferred, completer)) = defer() else { return Queue::Full };
        counted.waiting.push_back(completer);
        Queue::Wait(deferred)
    }
}

impl Drop for PeerSlot {
    fn drop(&mut self) {
        let next = {
            let mut by_network = self.peers.lock();
            let Some(counted) = by_network.get_mut(&self.network) else { return };
            let next = loop {
                match counted.waiting.pop_front() {
                    Some(gone) if !gone.is_awaited() => {}
                    next => break next,
                }
            };
            if next.is_none() {
                counted.requests = counted.requests.saturating_sub(1);
                // A client behind a proxy has no connection whose end would remove it.
                if (counted.requests, counted.connections, counted.new) == (0, 0, 0) {
                    by_network.remove(&self.network);
                }
            }
            next
        };
        // Outside of the lock, as a request that has stopped waiting drops the slot at once, which takes the lock.
        if let Some(next) = next {
            next.complete(Self { peers: Arc::clone(&self.peers), network: self.network });
        }
    }
}

fn network(address: IpAddr) -> Network {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [0, 0, 0, 0, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let mut network = [0; 8];
            network.copy_from_slice(&address.octets()[..8]);
            network
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::Tcp((address.parse::<IpAddr>().expect("an address"), 1).into())
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    #[test]
    fn connections_are_counted_by_network() {
        let limits = PeerLimits {
            connections_max: Some(2),
            trusted: vec![[192, 0, 2, 7].into()],
            ..PeerLimits::default()
        };
        let peers = Peers::new(&limits).expect("something is limited");
        let (one, neighbour, other) = (peer("2001:db8::1"), peer("2001:db8::2"), peer("2001:db8:0:1::1"));
        assert!(peers.connect(&one, at(0)) && peers.connect(&neighbour, at(0)));
        assert!(!peers.connect(&one, at(0)) && peers.connect(&other, at(0)));
        peers.disconnect(&neighbour, at(0));
        assert!(peers.connect(&one, at(0)) && !peers.connect(&one, at(0)));
        let trusted = peer("192.0.2.7");
        assert!((0..9).all(|_| peers.connect(&trusted, at(0)) && peers.connect(&Peer::Local, at(0))));
        assert!(Peers::new(&PeerLimits::default()).is_none());
    }

    #[test]
    fn new_connections_are_counted_by_the_second_and_forgotten_behind_it() {
        let limits = PeerLimits { new_connections_per_second: Some(2), ..PeerLimits::default() };
        let peers = Peers::new(&limits).expect("something is limited");
        let one = peer("192.0.2.1");
        for (now, admitted) in
            [(0, true), (500, true), (999, false), (1_000, true), (1_999, true), (1_999, false)]
        {
            assert_eq!(peers.connect(&one, at(now)), admitted, "{now}");
        }
        (0..4).for_each(|_| peers.disconnect(&one, at(2_500)));
        assert!(peers.lock().is_empty());
    }
}
