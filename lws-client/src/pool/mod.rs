//! The connection pool: which request gets which connection, and when connections are made and closed. Pure: knows no
//! socket, no request and no clock, only names of connections and of waiting requests.
//!
//! The most recently used connection is taken first, so that the others expire. Waiting requests are served in
//! order.

mod key;

pub(crate) use key::Key;

use crate::deadlines::Deadlines;
use crate::options::{Limits, Versions};
use crate::slab::{Slab, SlabKey, SlabMap};
use lws_proto::Time;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Names a connection of a client, from when it is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(SlabKey);

impl Link {
    /// Its name in what is kept for connections.
    pub(crate) fn name(self) -> SlabKey {
        self.0
    }
}

/// The name of a request that waits for a connection.
pub(crate) type Waiter = SlabKey;

/// An action that the pool requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A connection is to be made.
    Open(Link),
    /// A request has its connection.
    Assign(Link, Waiter),
    /// A connection is not used any more, and ends in an orderly way.
    Close(Link),
    /// A request has waited for too long.
    Expired(Waiter),
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http1,
    Http2,
}

/// The further use of a connection when a request on it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It can be used again, and the server has said for how long it will wait.
    Keep { hint: Option<Duration> },
    /// It cannot.
    Retire,
}

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) waiter: Waiter,
    /// The request needs a new connection, which has carried no request before.
    pub(crate) fresh: bool,
    /// It may not be sent twice: a connection that may have ended unseen is not for it.
    pub(crate) careful: bool,
}

/// Names a place: all connections of one key.
type PlaceId = SlabKey;

#[derive(Debug)]
struct Member {
    place: PlaceId,
    state: MemberState,
    /// Requests that it was given.
    served: u32,
    /// The one request that it was made for.
    reserved: Option<Waiter>,
    /// It gets no more requests.
    retired: bool,
    /// Other places whose requests it may carry, too.
    borrowers: Vec<PlaceId>,
    /// When it may have been idle for too long, if that is to be looked at. It is not taken back when the connection is used.
    idle_due: Option<Time>,
}

impl Member {
    /// Since when it is idle, if it is.
    fn idle_since(&self) -> Option<Time> {
        match self.state {
            MemberState::Idle { since, .. } | MemberState::Shared { streams: 0, since, .. } => Some(since),
            MemberState::Shared { .. } | MemberState::Connecting | MemberState::Busy => None,
        }
    }
}

#[derive(Debug)]
enum MemberState {
    Connecting,
    /// HTTP/1.1 in use.
    Busy,
    /// HTTP/1.1 between two requests.
    Idle {
        since: Time,
        hint: Option<Duration>,
    },
    /// HTTP/2; `since` when it has been without streams, if it is.
    Shared {
        streams: u32,
        max: u32,
        since: Time,
    },
}

/// Connections to one place, and who waits for them.
#[derive(Debug)]
struct Place {
    key: Arc<Key>,
    /// Those of HTTP/1.1 that are in use, and then the others in the order of their last use, the last one at the end.
    members: Vec<Link>,
    /// Those of them that were made for one request each, until it has them.
    reserved: Vec<Link>,
    /// Connections of other places that may carry its requests, too. They are used where it has none of its own.
    borrowed: Vec<Link>,
    waiting: VecDeque<Wanted>,
    /// How many of the first of these have a deadline.
    timed: usize,
    /// No connection is begun before, because one has failed.
    pause_until: Option<Time>,
    /// When the newest connection was begun of which it is not known what it will speak.
    probing_since: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PoolDue {
    Idle(Link),
    Life(Link),
    Wait(Waiter),
    Look(PlaceId),
}

/// All connections of a client.
pub(crate) struct Pool {
    limits: Limits,
    members: Slab<Member>,
    places: Slab<Place>,
    by_key: HashMap<Arc<Key>, PlaceId>,
    /// The place that was asked for last. It is compared with, which is less work than a look into `by_key`.
    last: Option<PlaceId>,
    /// Connections of WebSockets.
    websockets: usize,
    /// Where each request waits.
    waiters: SlabMap<PlaceId>,
    /// What places have chosen to speak, and until when that is believed.
    learnt: HashMap<Arc<Key>, (Spoken, Time)>,
    /// Places that use no connections of others, and until when.
    apart: HashMap<Arc<Key>, Time>,
    due: Deadlines<PoolDue>,
    /// Places to be looked at.
    changed: VecDeque<PlaceId>,
    /// Places that lacked room for a connection.
    crowded: Vec<PlaceId>,
    steps: VecDeque<Step>,
}

/// How long after a failed attempt none is begun, where connections are there that may serve.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

impl Pool {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            members: Slab::default(),
            places: Slab::default(),
            by_key: HashMap::new(),
            last: None,
            websockets: 0,
            waiters: SlabMap::default(),
            learnt: HashMap::new(),
            apart: HashMap::new(),
            due: Deadlines::default(),
            changed: VecDeque::new(),
            crowded: Vec::new(),
            steps: VecDeque::new(),
        }
    }

    // Requests.

    /// A request wants a connection. False if too many wait.
    pub(crate) fn want(&mut self, key: &Arc<Key>, wanted: Wanted) -> bool {
        if self.waiters.len() >= self.limits.waiting_max {
            return false;
        }
        let id = self.place(key);
        self.waiters.insert(wanted.waiter, id);
        if let Some(place) = self.places.get_mut(id) {
            place.waiting.push_back(wanted);
        }
        self.changed.push_back(id);
        true
    }

    fn place(&mut self, key: &Arc<Key>) -> PlaceId {
        if let Some(id) = self.last.filter(|id| self.places.get(*id).is_some_and(|place| place.key == *key)) {
            return id;
        }
        let id = self.by_key.get(key).copied().unwrap_or_else(|| self.new_place(key));
        self.last = Some(id);
        id
    }

    fn new_place(&mut self, key: &Arc<Key>) -> PlaceId {
        let place = Place {
            key: Arc::clone(key),
            members: Vec::new(),
            reserved: Vec::new(),
            borrowed: Vec::new(),
            waiting: VecDeque::new(),
            timed: 0,
            pause_until: None,
            probing_since: None,
        };
        let id = self.places.insert(place);
        self.by_key.insert(Arc::clone(key), id);
        id
    }

    /// A request does not want one any more. A connection that is being made for it stays, for the next.
    pub(crate) fn forget(&mut self, waiter: Waiter) {
        let Some(id) = self.waiters.remove(waiter) else { return };
        self.due.cancel(PoolDue::Wait(waiter));
        let Some(place) = self.places.get_mut(id) else { return };
        if let Some(at) = place.waiting.iter().position(|wanted| wanted.waiter == waiter) {
            place.waiting.remove(at);
            place.timed -= usize::from(at < place.timed);
        }
        for link in &place.reserved {
            if let Some(member) = self.members.get_mut(link.0)
                && member.reserved == Some(waiter)
            {
                member.reserved = None;
            }
        }
        self.changed.push_back(id);
    }

    // Connections.

    /// A connection is there.
    pub(crate) fn opened(&mut self, now: Time, link: Link, spoken: Spoken) {
        let Some(member) = self.members.get_mut(link.0) else { return };
        member.state = match spoken {
            Spoken::Http1 => MemberState::Idle { since: now, hint: None },
            Spoken::Http2 => MemberState::Shared { streams: 0, max: self.limits.streams_max, since: now },
        };
        let id = member.place;
        if member.retired {
            return self.steps.push_back(Step::Close(link));
        }
        self.note_idle(link, now + self.limits.idle_timeout);
        self.due.set(PoolDue::Life(link), now + self.limits.life_max);
        if let Some(place) = self.places.get_mut(id) {
            place.pause_until = None;
            place.probing_since = None;
            let key = Arc::clone(&place.key);
            self.learn(now, &key, spoken);
        }
        self.changed.push_back(id);
    }

    fn learn(&mut self, now: Time, key: &Arc<Key>, spoken: Spoken) {
        if !key.protocol_is_open() {
            return;
        }
        if self.learnt.len() >= self.limits.protocols_remembered_max && !self.learnt.contains_key(key) {
            // Forgetting costs each place one connection too many at most.
            self.learnt.clear();
        }
        self.learnt.insert(Arc::clone(key), (spoken, now + self.limits.protocol_memory));
    }

    /// A connection could not be made. Those who waited for it, and have no other to wait for, are returned: their wait is over.
    pub(crate) fn failed(&mut self, now: Time, link: Link) -> Vec<Waiter> {
        let Some(member) = self.take_out(link) else { return Vec::new() };
        let mut over: Vec<Waiter> = member.reserved.into_iter().collect();
        if let Some(place) = self.places.get_mut(member.place) {
            if place.members.is_empty() {
                over.extend(place.waiting.drain(..).map(|wanted| wanted.waiter));
                place.timed = 0;
            } else {
                place.pause_until = Some(now + PAUSE_AFTER_FAILURE);
            }
        }
        for waiter in &over {
            self.waiters.remove(*waiter);
            self.due.cancel(PoolDue::Wait(*waiter));
        }
        over
    }

    /// A request on a connection is over.
    pub(crate) fn release(&mut self, now: Time, link: Link, after: After) {
        let most = self.limits.requests_per_connection_max;
        let Some(member) = self.members.get_mut(link.0) else { return };
        self.changed.push_back(member.place);
        self.changed.extend(&member.borrowers);
        member.retired |= after == After::Retire || member.served >= most;
        let unused = match &mut member.state {
            MemberState::Shared { streams, since, .. } => {
                *streams = streams.saturating_sub(1);
                *since = now;
                *streams == 0
            }
            MemberState::Busy => true,
            MemberState::Connecting | MemberState::Idle { .. } => false,
        };
        if !unused {
            return;
        }
        if member.retired {
            return self.steps.push_back(Step::Close(link));
        }
        let hint = if let After::Keep { hint } = after { hint } else { None };
        let place = member.place;
        if matches!(member.state, MemberState::Busy) {
            member.state = MemberState::Idle { since: now, hint };
        }
        self.note_use(place, link);
        // It may give way to a place that lacks room.
        self.changed.extend(self.crowded.drain(..));
        let idle_timeout = self.limits.idle_timeout;
        self.note_idle(link, now + idle_timeout.min(hint.unwrap_or(idle_timeout)));
    }

    /// Has a connection that is idle now be looked at when it has been idle for too long, unless that will be earlier. It may have been
    /// used by then, so that in steady use nothing is set and taken back for each request.
    fn note_idle(&mut self, link: Link, until: Time) {
        if let Some(member) = self.members.get_mut(link.0)
            && member.idle_due.is_none_or(|due| until < due)
        {
            member.idle_due = Some(until);
            self.due.set(PoolDue::Idle(link), until);
        }
    }

    /// Whether a connection is idle, and until when at most. It is not that any more if it has been used since it was looked at.
    fn idle_until(&self, link: Link) -> Option<Time> {
        let Limits { idle_timeout, .. } = self.limits;
        match self.members.get(link.0)?.state {
            MemberState::Idle { since, hint } => Some(since + idle_timeout.min(hint.unwrap_or(idle_timeout))),
            MemberState::Shared { streams: 0, since, .. } => Some(since + idle_timeout),
            MemberState::Shared { .. } | MemberState::Connecting | MemberState::Busy => None,
        }
    }

    /// A connection gets no more requests: the server has said so, or it is to go.
    pub(crate) fn retire(&mut self, link: Link) {
        let Some(member) = self.members.get_mut(link.0) else { return };
        self.changed.push_back(member.place);
        self.changed.extend(&member.borrowers);
        let was_retired = std::mem::replace(&mut member.retired, true);
        let unused =
            matches!(member.state, MemberState::Idle { .. } | MemberState::Shared { streams: 0, .. });
        if unused && !was_retired {
            self.steps.push_back(Step::Close(link));
        }
    }

    /// An HTTP/2 server takes no more requests at a time than it has now.
    pub(crate) fn is_full(&mut self, link: Link) {
        if let Some(MemberState::Shared { streams, max, .. }) =
            self.members.get_mut(link.0).map(|member| &mut member.state)
        {
            *max = (*streams).max(1);
        }
    }

    /// A connection has ended. A request that it was made for, and that it has not got, waits again.
    pub(crate) fn gone(&mut self, now: Time, link: Link) {
        let Some(member) = self.take_out(link) else { return };
        if let (Some(waiter), Some(place)) = (member.reserved, self.places.get_mut(member.place)) {
            place.waiting.push_front(Wanted { waiter, fresh: true, careful: true });
            place.timed += 1;
            // It had none while the connection was being made for it.
            self.due.set(PoolDue::Wait(waiter), now + self.limits.wait_timeout);
        }
    }

    fn take_out(&mut self, link: Link) -> Option<Member> {
        self.due.cancel(PoolDue::Idle(link));
        self.due.cancel(PoolDue::Life(link));
        let member = self.members.remove(link.0)?;
        if let Some(place) = self.places.get_mut(member.place) {
            place.members.retain(|other| *other != link);
            place.reserved.retain(|other| *other != link);
            self.websockets -= usize::from(place.key.websocket);
        }
        for borrower in &member.borrowers {
            if let Some(place) = self.places.get_mut(*borrower) {
                place.borrowed.retain(|other| *other != link);
            }
        }
        self.changed.push_back(member.place);
        self.changed.extend(&member.borrowers);
        // There is room for one more.
        self.changed.extend(self.crowded.drain(..));
        Some(member)
    }

    // Connections that other places use, too.

    /// Whether a connection that is being made is for one request, which is to share none.
    pub(crate) fn is_reserved(&self, link: Link) -> bool {
        self.members.get(link.0).is_some_and(|member| member.reserved.is_some())
    }

    /// Whether a connection has room for requests of the place `key`, which does not use it yet.
    pub(crate) fn can_lend(&self, now: Time, link: Link, key: &Arc<Key>) -> bool {
        let Some(member) = self.members.get(link.0) else { return false };
        let room = matches!(member.state, MemberState::Shared { streams, max, .. } if streams < max);
        let uses = self.by_key.get(key).is_some_and(|id| member.borrowers.contains(id));
        let few = member.borrowers.len() < self.limits.coalesced_origins_max;
        let apart = self.apart.get(key).is_some_and(|until| *until > now);
        room && few && !uses && !apart && !member.retired && member.reserved.is_none()
    }

    /// No connection is made for the place of `link`: it uses that of another place.
    pub(crate) fn lend(&mut self, link: Link, lent: Link) {
        let Some(member) = self.take_out(link) else { return };
        let Some(place) = self.places.get_mut(member.place) else { return };
        place.probing_since = None;
        debug_assert!(
            self.members.get(lent.0).is_some_and(|lender| !lender.borrowers.contains(&member.place))
        );
        if let Some(lender) = self.members.get_mut(lent.0) {
            lender.borrowers.push(member.place);
            place.borrowed.push(lent);
        }
    }

    /// The server of a connection that it has borrowed does not answer for the place `key`, which has connections of its own from now on.
    pub(crate) fn keep_apart(&mut self, now: Time, key: &Arc<Key>) {
        if self.apart.len() >= self.limits.protocols_remembered_max && !self.apart.contains_key(key) {
            // Forgetting costs each place one request that is sent twice at most.
            self.apart.clear();
        }
        self.apart.insert(Arc::clone(key), now + self.limits.protocol_memory);
        let Some(id) = self.by_key.get(key) else { return };
        let Some(place) = self.places.get_mut(*id) else { return };
        for link in std::mem::take(&mut place.borrowed) {
            if let Some(lender) = self.members.get_mut(link.0) {
                lender.borrowers.retain(|borrower| borrower != id);
            }
        }
        self.changed.push_back(*id);
    }

    /// What the requests of a connection have in common.
    pub(crate) fn key(&self, link: Link) -> Option<Arc<Key>> {
        let member = self.members.get(link.0)?;
        self.places.get(member.place).map(|place| Arc::clone(&place.key))
    }

    /// Whether a connection has served a request before the one that it was given last.
    pub(crate) fn is_reused(&self, link: Link) -> bool {
        self.members.get(link.0).is_some_and(|member| member.served > 1)
    }

    /// Every connection, those being made too.
    pub(crate) fn links(&self) -> Vec<Link> {
        self.members.keys().map(Link).collect()
    }

    /// Connections that no request uses.
    pub(crate) fn idle_len(&self) -> usize {
        self.members.keys().filter(|link| self.is_idle(Link(*link))).count()
    }

    /// Requests that wait for a connection.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiters.len()
    }

    // What is to be done.

    /// When [`poll`](Self::poll) has something to say although nothing happened.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.due.next()
    }

    /// Whether [`poll`](Self::poll) may have something to say now.
    pub(crate) fn has_work(&self) -> bool {
        !(self.steps.is_empty() && self.changed.is_empty())
    }

    /// The next thing that is to be done at `now`.
    pub(crate) fn poll(&mut self, now: Time) -> Option<Step> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Some(step);
            }
            if let Some(due) = self.due.pop_due(now) {
                self.on_due(now, due);
                continue;
            }
            let id = self.changed.pop_front()?;
            self.serve(now, id);
        }
    }

    fn on_due(&mut self, now: Time, due: PoolDue) {
        match due {
            PoolDue::Idle(link) => self.look_at_idle(now, link),
            PoolDue::Life(link) => self.retire(link),
            PoolDue::Look(place) => self.changed.push_back(place),
            PoolDue::Wait(waiter) => {
                self.forget(waiter);
                self.steps.push_back(Step::Expired(waiter));
            }
        }
    }

    /// The deadline of an idle connection has come. It may have been used in the meantime.
    fn look_at_idle(&mut self, now: Time, link: Link) {
        let until = self.idle_until(link);
        if let Some(member) = self.members.get_mut(link.0) {
            member.idle_due = None;
        }
        match until {
            Some(until) if until > now => self.note_idle(link, until),
            Some(_) => self.retire(link),
            // In use: it is looked at again once it is idle.
            None => {}
        }
    }

    /// Gives the connections of one place to those who wait there, and begins new ones.
    fn serve(&mut self, now: Time, id: PlaceId) {
        self.serve_reserved(id);
        while let Some(wanted) = self.places.get(id).and_then(|place| place.waiting.front().copied()) {
            if wanted.fresh {
                if !self.open(now, id, Some(wanted.waiter)) {
                    break;
                }
            } else {
                let Some(link) = self.available(now, id, wanted) else { break };
                self.assign(link, wanted.waiter);
            }
            if let Some(place) = self.places.get_mut(id) {
                place.waiting.pop_front();
                place.timed = place.timed.saturating_sub(1);
            }
        }
        self.time_waiting(now, id);
        self.open_for_waiting(now, id);
        if let Some(place) = self.places.get(id)
            && place.members.is_empty()
            && place.waiting.is_empty()
            && place.borrowed.is_empty()
        {
            self.by_key.remove(&place.key);
            self.places.remove(id);
            self.due.cancel(PoolDue::Look(id));
        }
    }

    /// Sets the deadlines of those who were not served at once.
    fn time_waiting(&mut self, now: Time, id: PlaceId) {
        let Some(place) = self.places.get_mut(id) else { return };
        debug_assert!(place.timed <= place.waiting.len(), "one that is served has no deadline any more");
        for wanted in place.waiting.iter().skip(place.timed) {
            self.due.set(PoolDue::Wait(wanted.waiter), now + self.limits.wait_timeout);
        }
        place.timed = place.waiting.len();
    }

    /// Connections that were made for one request go to it.
    fn serve_reserved(&mut self, id: PlaceId) {
        let Some(place) = self.places.get_mut(id).filter(|place| !place.reserved.is_empty()) else { return };
        for link in std::mem::take(&mut place.reserved) {
            let Some(member) = self.members.get_mut(link.0) else { continue };
            if matches!(member.state, MemberState::Connecting) {
                if let Some(place) = self.places.get_mut(id) {
                    place.reserved.push(link);
                }
            } else if let Some(waiter) = member.reserved.take() {
                self.assign(link, waiter);
            }
        }
    }

    /// The connection for a request, the last used one first.
    fn available(&self, now: Time, id: PlaceId, wanted: Wanted) -> Option<Link> {
        let place = self.places.get(id)?;
        // Those of its own first.
        place.members.iter().rev().chain(place.borrowed.iter().rev()).copied().find(|link| {
            let Some(member) = self.members.get(link.0) else { return false };
            if member.retired || member.reserved.is_some() {
                return false;
            }
            match member.state {
                MemberState::Shared { streams, max, .. } => streams < max,
                MemberState::Idle { since, hint } => {
                    let unknown = hint.is_none() && member.served > 0;
                    let Limits { idle_timeout, careful_idle_timeout, .. } = self.limits;
                    let most = if wanted.careful && unknown { careful_idle_timeout } else { idle_timeout };
                    now - since < most.min(hint.unwrap_or(most))
                }
                MemberState::Connecting | MemberState::Busy => false,
            }
        })
    }

    fn assign(&mut self, link: Link, waiter: Waiter) {
        let Some(member) = self.members.get_mut(link.0) else { return };
        member.served += 1;
        let place = member.place;
        if let MemberState::Shared { streams, .. } = &mut member.state {
            *streams += 1;
            self.note_use(place, link);
        } else {
            member.state = MemberState::Busy;
            if self.places.get(place).is_some_and(|place| place.key.websocket) {
                // It may be busy for as long as it lives: that it is not idle too long is looked at once more when it is idle again.
                member.idle_due = None;
                self.due.cancel(PoolDue::Idle(link));
            }
            self.put_away(place, link);
        }
        self.waiters.remove(waiter);
        self.due.cancel(PoolDue::Wait(waiter));
        self.steps.push_back(Step::Assign(link, waiter));
    }

    /// Makes a connection the last used one of its place.
    fn note_use(&mut self, place: PlaceId, link: Link) {
        if let Some(place) = self.places.get_mut(place)
            && place.members.last() != Some(&link)
            && let Some(at) = place.members.iter().position(|other| *other == link)
        {
            place.members.remove(at);
            place.members.push(link);
        }
    }

    /// Puts a connection of HTTP/1.1 that is in use where none is looked for.
    fn put_away(&mut self, place: PlaceId, link: Link) {
        if let Some(place) = self.places.get_mut(place)
            && let Some(at) = place.members.iter().rposition(|other| *other == link)
        {
            place.members[..=at].rotate_right(1);
        }
    }

    /// What a place will speak, as far as that is known.
    fn expected(&self, now: Time, key: &Arc<Key>) -> Option<Spoken> {
        if !key.protocol_is_open() {
            let http2 = key.versions == Versions::Http2;
            return Some(if http2 { Spoken::Http2 } else { Spoken::Http1 });
        }
        self.learnt.get(key).filter(|(_, until)| *until > now).map(|(spoken, _)| *spoken)
    }

    /// Begins as many connections as those who wait need.
    fn open_for_waiting(&mut self, now: Time, id: PlaceId) {
        let wait = self.limits.protocol_wait;
        while let Some(place) = self.places.get(id) {
            let waiting = place.waiting.iter().filter(|wanted| !wanted.fresh).count();
            if waiting == 0 {
                return;
            }
            let connecting = place.members.iter().filter(|it| self.is_connecting(**it)).count();
            if waiting <= connecting {
                return;
            }
            let expected = self.expected(now, &place.key);
            if connecting > 0 {
                match (expected, place.probing_since) {
                    (Some(Spoken::Http1), _) => {}
                    // One connection is enough for all, or may be.
                    (Some(Spoken::Http2), _) => return,
                    (None, Some(since)) if now - since < wait => {
                        return self.due.set(PoolDue::Look(id), since + wait);
                    }
                    (None, _) => {}
                }
            }
            if !self.open(now, id, None) {
                return;
            }
            if let (None, Some(place)) = (expected, self.places.get_mut(id)) {
                place.probing_since = Some(now);
            }
        }
    }

    fn is_connecting(&self, link: Link) -> bool {
        let member = self.members.get(link.0);
        member.is_some_and(|it| matches!(it.state, MemberState::Connecting) && it.reserved.is_none())
    }

    /// Begins a connection, if there may be one more.
    fn open(&mut self, now: Time, id: PlaceId, reserved: Option<Waiter>) -> bool {
        let Some(place) = self.places.get(id) else { return false };
        if let Some(until) = place.pause_until.filter(|until| *until > now) {
            self.due.set(PoolDue::Look(id), until);
            return false;
        }
        let websocket = place.key.websocket;
        let full = if websocket {
            self.websockets >= self.limits.websockets_max
        } else {
            place.members.len() >= self.limits.per_host_max
        };
        debug_assert!(self.websockets <= self.members.len());
        // A WebSocket keeps its connection for as long as it likes: it is not to keep requests from theirs.
        let all_full = !websocket && self.members.len() - self.websockets >= self.limits.connections_max;
        if full || all_full {
            // An idle connection to another origin is closed. It counts until it has ended, which is reported.
            let useless = if full && !websocket {
                place.members.iter().copied().find(|link| self.is_idle(*link))
            } else {
                self.longest_idle(websocket)
            };
            if let Some(link) = useless {
                self.retire(link);
            }
            if !self.crowded.contains(&id) {
                self.crowded.push(id);
            }
            return false;
        }
        let state = MemberState::Connecting;
        let member = Member {
            place: id,
            state,
            served: 0,
            reserved,
            retired: false,
            borrowers: Vec::new(),
            idle_due: None,
        };
        let link = Link(self.members.insert(member));
        self.websockets += usize::from(websocket);
        if let Some(place) = self.places.get_mut(id) {
            place.members.push(link);
            if reserved.is_some() {
                place.reserved.push(link);
            }
        }
        self.steps.push_back(Step::Open(link));
        true
    }

    /// The connection that has been idle for longest, of those that count with WebSockets or of the others. It is looked for where there
    /// is no room for another one, which is rare.
    fn longest_idle(&self, websocket: bool) -> Option<Link> {
        let counts = |link: &Link| {
            let place = self.members.get(link.0).and_then(|member| self.places.get(member.place));
            place.is_some_and(|place| place.key.websocket == websocket)
        };
        let idle = self.members.keys().map(Link).filter(|link| self.is_idle(*link) && counts(link));
        idle.min_by_key(|link| self.members.get(link.0).map(|member| member.idle_since()))
    }

    fn is_idle(&self, link: Link) -> bool {
        let member = self.members.get(link.0);
        let unused = |state: &MemberState| {
            matches!(state, MemberState::Idle { .. } | MemberState::Shared { streams: 0, .. })
        };
        member.is_some_and(|it| unused(&it.state) && !it.retired)
    }
}

#[cfg(test)]
mod tests;
