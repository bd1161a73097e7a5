//! A client and a server with a link between them that delays, cuts and stops, and a clock that jumps to whatever
//! comes next.

use crate::application::Application;
use crate::delivery::Delivered;
use crate::endpoint::{Buffer, Endpoint};
use lws_proto::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Two engines and the link between them.
#[derive(Debug)]
pub struct Pair<C, S> {
    /// The client.
    pub client: Endpoint<C>,
    /// The server.
    pub server: Endpoint<S>,
    /// From the client to the server.
    pub up: Link,
    /// From the server to the client.
    pub down: Link,
}

/// One direction.
#[derive(Debug)]
pub struct Link {
    /// How long bytes are under way.
    pub delay: Duration,
    /// How many bytes arrive at a time.
    pub cut: usize,
    /// How many bytes may be under way. A sender that has used them up finds its transport full.
    pub window: usize,
    /// Whether nothing arrives any more, though bytes are still taken up to `window`.
    pub stopped: bool,
    under_way: VecDeque<(Time, Vec<u8>)>,
    /// When the end arrives, once it has been sent.
    end: Option<Time>,
    ended: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            cut: usize::MAX,
            window: usize::MAX,
            stopped: false,
            under_way: VecDeque::new(),
            end: None,
            ended: false,
        }
    }
}

impl Link {
    /// Takes what `from` has sent, and its end.
    fn take<A: Application>(&mut self, from: &mut Endpoint<A>) {
        let bytes = from.take_sent();
        if !bytes.is_empty() {
            self.under_way.push_back((from.now + self.delay, bytes));
        }
        let interest = from.connection.interest();
        let says_end = interest.close || interest.shutdown && !interest.write;
        if says_end && self.end.is_none() {
            self.end = Some(from.now + self.delay);
        }
    }

    /// Tells `from` how much its transport takes.
    fn admit<A>(&self, from: &mut Endpoint<A>) {
        let filled: usize = self.under_way.iter().map(|(_, bytes)| bytes.len()).sum();
        from.room = self.window.saturating_sub(filled);
    }

    /// Hands over what has arrived, if `to` reads. Returns whether something did.
    fn arrive<A: Application>(&mut self, to: &mut Endpoint<A>) -> bool {
        if self.stopped || !to.connection.interest().read {
            return false;
        }
        let arrived = self.under_way.front().is_some_and(|(at, _)| *at <= to.now);
        if let Some((_, mut bytes)) = arrived.then(|| self.under_way.pop_front()).flatten() {
            let rest = bytes.split_off(bytes.len().min(self.cut));
            if !rest.is_empty() {
                self.under_way.push_front((to.now, rest));
            }
            to.receive(&bytes, Buffer::Lent);
            return true;
        }
        let ends = !self.ended && self.under_way.is_empty() && self.end.is_some_and(|at| at <= to.now);
        if ends {
            self.ended = true;
            to.receive_eof();
        }
        ends
    }

    fn next(&self) -> Option<Time> {
        if self.stopped {
            return None;
        }
        self.under_way.front().map(|(at, _)| *at).or(self.end.filter(|_| !self.ended))
    }
}

impl<C: Application, S: Application> Pair<C, S> {
    /// Two endpoints with a link that is perfect.
    pub fn new(client: Endpoint<C>, server: Endpoint<S>) -> Self {
        Self { client, server, up: Link::default(), down: Link::default() }
    }

    /// Lets everything happen that needs no time but that of the link.
    pub fn settle(&mut self) {
        while self.turn() || self.jump(None) {}
    }

    /// Lets `duration` pass, with everything that happens in it.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.client.now + duration;
        while self.turn() || self.jump(Some(end)) {}
        self.at(end);
        while self.turn() {}
    }

    /// One round without time. Returns whether something happened.
    fn turn(&mut self) -> bool {
        self.up.admit(&mut self.client);
        self.down.admit(&mut self.server);
        self.client.settle();
        self.server.settle();
        let sent = !self.client.sent.is_empty() || !self.server.sent.is_empty();
        self.up.take(&mut self.client);
        self.down.take(&mut self.server);
        let up = self.up.arrive(&mut self.server);
        let down = self.down.arrive(&mut self.client);
        sent || up || down
    }

    /// Jumps to whatever comes next: an arrival, or up to `end` a deadline. Returns whether there is something.
    fn jump(&mut self, end: Option<Time>) -> bool {
        let arrival = |link: &Link, reads: bool| link.next().filter(|_| reads);
        let up = arrival(&self.up, self.server.connection.interest().read);
        let down = arrival(&self.down, self.client.connection.interest().read);
        let deadlines = [self.client.connection.next_timeout(), self.server.connection.next_timeout()];
        let due = deadlines.into_iter().filter(|_| end.is_some());
        let next = [up, down].into_iter().chain(due).flatten().min();
        let Some(next) = next.filter(|next| end.is_none_or(|end| *next <= end)) else { return false };
        let next = next.max(self.client.now);
        self.at(next);
        true
    }

    fn at(&mut self, now: Time) {
        self.client.now = now;
        self.server.now = now;
        self.client.connection.handle_timeout(now);
        self.server.connection.handle_timeout(now);
    }

    /// What came of it on both sides, the client's first.
    pub fn outcome(&self) -> (Delivered, Delivered) {
        (Delivered::of(&self.client), Delivered::of(&self.server))
    }
}
