//! Admission to the TLS handshake: how many accepted connections may be in it at a time, which is next, and which
//! one is closed in favour of a new one.
//!
//! Knows names and networks; no socket, no session and no time.

use crate::address::Peer;
use crate::token::ConnectionId;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

/// The network of a peer, to which the handshakes are charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PeerNetwork {
    /// A process of the same machine, or a peer whose address is unknown. No share limits it: it may have every
    /// place.
    Local,
    V4(u32),
    /// The first 64 bits of an IPv6 address: one subscriber is assigned at least such a network, RFC 6177 §2.
    V6(u64),
}

impl PeerNetwork {
    pub(crate) fn of(peer: &Peer) -> Self {
        match peer.ip() {
            None => Self::Local,
            Some(IpAddr::V4(address)) => Self::V4(address.to_bits()),
            Some(IpAddr::V6(address)) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// The place of one accepted connection in the admission. Given back by [`Admission::leave`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    network: PeerNetwork,
    /// The number of its arrival: the lowest is the oldest connection.
    number: u64,
    pub(crate) phase: Phase,
}

/// The progress of an accepted connection towards its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The peer has sent nothing, and there is no TLS session.
    Silent,
    /// The peer has sent something, which is not read before a place is free.
    Queued,
    /// The handshake has a place.
    Begun,
}

/// The admission of a service.
#[derive(Debug)]
pub(crate) struct Admission {
    begun_max: usize,
    silent_max: usize,
    /// The number of places that one network may have while others wait.
    share_max: usize,
    next: u64,
    silent: BTreeMap<u64, (ConnectionId, PeerNetwork)>,
    begun: usize,
    queued: usize,
    networks: HashMap<PeerNetwork, Share>,
    /// Networks whose queues are not empty, in round-robin order.
    turns: VecDeque<PeerNetwork>,
}

/// The connections of one network.
#[derive(Debug, Default)]
struct Share {
    silent: usize,
    begun: usize,
    /// Queued connections, in the order of their numbers.
    queue: VecDeque<(u64, ConnectionId)>,
}

impl Admission {
    pub(crate) fn new(begun_max: usize, silent_max: usize, share_max: usize) -> Self {
        Self {
            begun_max: begun_max.max(1),
            silent_max: silent_max.max(1),
            share_max: share_max.max(1),
            next: 0,
            silent: BTreeMap::new(),
            begun: 0,
            queued: 0,
            networks: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    pub(crate) fn begun(&self) -> usize {
        self.begun
    }

    pub(crate) fn silent(&self) -> usize {
        self.silent.len()
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Adds an accepted connection. If there are too many silent ones, also returns the one to close: the oldest of
    /// this network where that has used up its share, and the oldest of all otherwise.
    pub(crate) fn arrive(
        &mut self,
        id: ConnectionId,
        network: PeerNetwork,
    ) -> (Standing, Option<ConnectionId>) {
        let victim = if self.silent.len() < self.silent_max {
            None
        } else if network != PeerNetwork::Local
            && self.networks.get(&network).is_some_and(|share| share.silent >= self.share_max)
        {
            self.silent.values().find(|(_, of)| *of == network).map(|(id, _)| *id)
        } else {
            self.oldest_silent()
        };
        let number = self.number();
        self.silent.insert(number, (id, network));
        self.networks.entry(network).or_default().silent += 1;
        self.check();
        (Standing { network, number, phase: Phase::Silent }, victim)
    }

    /// The connection that has been silent for the longest time.
    pub(crate) fn oldest_silent(&self) -> Option<ConnectionId> {
        self.silent.first_key_value().map(|(_, (id, _))| *id)
    }

    /// Notes that the first octet of a silent connection has arrived: the handshake begins, or the connection joins
    /// the queue of its network.
    pub(crate) fn first_octet(&mut self, id: ConnectionId, standing: &mut Standing) {
        debug_assert_eq!(standing.phase, Phase::Silent);
        self.silent.remove(&standing.number);
        standing.number = self.number();
        let free = self.queued == 0 && self.begun < self.begun_max;
        let share = self.networks.entry(standing.network).or_default();
        share.silent -= 1;
        if free && (share.begun < self.share_max || standing.network == PeerNetwork::Local) {
            share.begun += 1;
            self.begun += 1;
            standing.phase = Phase::Begun;
        } else {
            if share.queue.is_empty() {
                self.turns.push_back(standing.network);
            }
            share.queue.push_back((standing.number, id));
            self.queued += 1;
            standing.phase = Phase::Queued;
        }
        self.check();
    }

    /// Takes the next connection out of the queues, if a place is free. Networks are served in round-robin order.
    pub(crate) fn promote(&mut self) -> Option<ConnectionId> {
        if self.begun >= self.begun_max {
            return None;
        }
        for _ in 0..self.turns.len() {
            let network = self.turns.pop_front()?;
            let Some(share) = self.networks.get_mut(&network) else { continue };
            if share.begun >= self.share_max && network != PeerNetwork::Local {
                self.turns.push_back(network);
                continue;
            }
            let Some((_, id)) = share.queue.pop_front() else { continue };
            if !share.queue.is_empty() {
                self.turns.push_back(network);
            }
            share.begun += 1;
            self.begun += 1;
            self.queued -= 1;
            self.check();
            return Some(id);
        }
        None
    }

    /// Whether another connection waits for the place of a handshake that has begun.
    pub(crate) fn is_wanted(&self, standing: &Standing) -> bool {
        let of_its_own = || self.networks.get(&standing.network).is_some_and(|share| !share.queue.is_empty());
        standing.phase == Phase::Begun && (self.begun >= self.begun_max && self.queued > 0 || of_its_own())
    }

    /// Removes a connection whose handshake is done, or that has ended.
    pub(crate) fn leave(&mut self, standing: Standing) {
        let Standing { network, number, phase } = standing;
        let Some(share) = self.networks.get_mut(&network) else { return };
        match phase {
            Phase::Silent => {
                self.silent.remove(&number);
                share.silent -= 1;
            }
            Phase::Queued => {
                if let Ok(at) = share.queue.binary_search_by_key(&number, |(number, _)| *number) {
                    share.queue.remove(at);
                    self.queued -= 1;
                }
                if share.queue.is_empty() {
                    self.turns.retain(|turn| *turn != network);
                }
            }
            Phase::Begun => {
                share.begun -= 1;
                self.begun -= 1;
            }
        }
        if share.silent == 0 && share.begun == 0 && share.queue.is_empty() {
            self.networks.remove(&network);
        }
        self.check();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Checks that the counters agree with the shares and queues.
    fn check(&self) {
        if cfg!(test) {
            let sum = |count: fn(&Share) -> usize| self.networks.values().map(count).sum::<usize>();
            assert_eq!(sum(|share| share.silent), self.silent.len());
            assert_eq!(sum(|share| share.begun), self.begun);
            assert_eq!(sum(|share| share.queue.len()), self.queued);
            let queues = self.networks.values().filter(|share| !share.queue.is_empty()).count();
            assert_eq!(queues, self.turns.len());
        }
        debug_assert!(self.begun <= self.begun_max);
        debug_assert_eq!(self.queued == 0, self.turns.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> ConnectionId {
        ConnectionId { index, generation: 0 }
    }

    #[test]
    fn an_ipv6_peer_is_its_network_of_64_bits() {
        let network = |address: &str| {
            PeerNetwork::of(&Peer::Tcp(std::net::SocketAddr::new(address.parse().expect("an address"), 1)))
        };
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(PeerNetwork::of(&Peer::Local), PeerNetwork::Local);
    }

    #[test]
    fn past_the_limit_the_oldest_silent_one_gives_way_and_a_network_past_its_share_its_own() {
        let mut admission = Admission::new(8, 4, 2);
        let (one, other) = (PeerNetwork::V4(1), PeerNetwork::V4(2));
        let mut arrive = |index, network| admission.arrive(id(index), network);
        let (first, none) = arrive(0, other);
        assert_eq!(none, None);
        let rest: Vec<_> = (1..4).map(|index| arrive(index, one)).collect();
        assert!(rest.iter().all(|(_, victim)| victim.is_none()), "up to the limit none gives way");
        let (last, victim) = arrive(4, one);
        assert_eq!(victim, Some(id(1)), "the oldest of the network that has more than its share");
        admission.leave(last);
        let (last, victim) = admission.arrive(id(5), PeerNetwork::V4(3));
        assert_eq!(victim, Some(id(0)), "the oldest of all");
        for standing in [first, last].into_iter().chain(rest.into_iter().map(|(standing, _)| standing)) {
            admission.leave(standing);
        }
        assert!(admission.networks.is_empty() && admission.oldest_silent().is_none());
    }

    #[test]
    fn a_network_past_its_share_queues_and_others_begin_and_take_turns() {
        let mut admission = Admission::new(3, 100, 2);
        let begin = |admission: &mut Admission, index, network| {
            let (mut standing, _) = admission.arrive(id(index), network);
            admission.first_octet(id(index), &mut standing);
            standing
        };
        let crowd = PeerNetwork::V4(1);
        let first = begin(&mut admission, 0, crowd);
        let second = begin(&mut admission, 1, crowd);
        let third = begin(&mut admission, 2, crowd);
        assert_eq!([first.phase, second.phase, third.phase], [Phase::Begun, Phase::Begun, Phase::Queued]);
        assert!(admission.is_wanted(&first), "its own network waits");
        assert_eq!(admission.promote(), None, "the share is used up");
        // A connection that arrives while others are queued is queued as well, but comes first where the networks
        // of the others have no share left.
        let single = begin(&mut admission, 3, PeerNetwork::V6(1));
        assert_eq!((single.phase, admission.promote()), (Phase::Queued, Some(id(3))));
        let single = Standing { phase: Phase::Begun, ..single };
        assert_eq!((admission.begun(), admission.queued()), (3, 1));
        let late = begin(&mut admission, 4, PeerNetwork::V6(2));
        assert!(admission.is_wanted(&single), "all places are taken");
        admission.leave(single);
        assert_eq!(admission.promote(), Some(id(4)), "the crowd has used up its share");
        admission.leave(first);
        assert_eq!(admission.promote(), Some(id(2)));
        for standing in [second, third, late] {
            admission.leave(Standing { phase: Phase::Begun, ..standing });
        }
        assert_eq!((admission.begun(), admission.networks.len()), (0, 0));
    }

    #[test]
    fn who_leaves_the_queue_is_not_called_any_more() {
        let mut admission = Admission::new(1, 100, 1);
        let mut standings: Vec<_> = (0..3)
            .map(|index| {
                let (mut standing, _) = admission.arrive(id(index), PeerNetwork::Local);
                admission.first_octet(id(index), &mut standing);
                standing
            })
            .collect();
        admission.leave(standings.remove(1));
        admission.leave(standings.remove(0));
        assert_eq!(admission.promote(), Some(id(2)));
        assert_eq!(admission.promote(), None);
    }
}
