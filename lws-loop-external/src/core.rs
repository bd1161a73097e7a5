//! The part of a driver that its handlers share: all of a service but the application and the connection table.

use crate::application::Application;
use crate::budget::TurnBudget;
use crate::command::Command;
use crate::descriptor_limit::default_connections_max;
use crate::drain::Drain;
use crate::flags::Flags;
use crate::listener::Listeners;
use crate::messages::Messages;
use crate::net::Owned;
use crate::options::{self, DriverOptions};
use crate::pending::PendingMessages;
use crate::process::HostProcess;
use crate::registration::{Changes, Registration};
use crate::service::{Trigger, Wait};
use crate::service_clock::ServiceClock;
use crate::shards::{DriverShard, Reservation, ShardMember};
use crate::slot::{Body, Slot};
use crate::stats::DriverStats;
use crate::table::Ids;
use crate::timers::Timers;
use crate::token::{ConnectionId, ListenerId};
use crate::waker::{Mailbox, Notifier};
use lws_proto::Time;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// Everything of a driver that a handler may reach.
pub(crate) struct Core<A: Application> {
    pub(crate) options: DriverOptions,
    pub(crate) connections_max: usize,
    pub(crate) trigger: Trigger,
    pub(crate) clock: ServiceClock,
    pub(crate) process: HostProcess,
    /// The budget of the service's turn.
    pub(crate) turn: TurnBudget,
    /// When the next turn is due, if the service has named a moment.
    due: Option<Time>,
    pub(crate) stats: DriverStats,
    pub(crate) ids: Ids,
    pub(crate) changes: Changes,
    pub(crate) timers: Timers,
    /// The time of the application's own timer.
    pub(crate) timer: Option<Time>,
    pub(crate) commands: VecDeque<Command<A::State, A::Message>>,
    /// Messages about connections that are being made.
    pub(crate) pending: PendingMessages<A::Message>,
    /// The ready list: connections that have more to do than their budget allowed.
    pub(crate) ready: VecDeque<ConnectionId>,
    pub(crate) listeners: Listeners,
    /// Messages of other threads.
    pub(crate) messages: Messages<A::Message>,
    pub(crate) drain: Drain,
    /// The service's membership in a group of shards, if it is one.
    pub(crate) member: Option<ShardMember<A::Message>>,
}

impl<A: Application> Core<A> {
    /// The core of a service that is alone.
    pub(crate) fn new(options: DriverOptions) -> io::Result<Self> {
        options.validate().map_err(options::invalid)?;
        let mailbox = Mailbox::new(Notifier::new()?, options.mailbox_messages_max);
        Ok(Self::with_mailbox(options, mailbox, None))
    }

    /// The core of one shard.
    pub(crate) fn sharded(shard: DriverShard<A::Message>) -> Self {
        Self::with_mailbox(shard.options, shard.mailbox, Some(shard.member))
    }

    fn with_mailbox(
        options: DriverOptions,
        mailbox: Mailbox<A::Message>,
        member: Option<ShardMember<A::Message>>,
    ) -> Self {
        let connections_max =
            options.connections_max.unwrap_or_else(|| default_connections_max(options.descriptors_kept));
        let mut changes = Changes::new();
        let mut turn = TurnBudget::new(options.turn);
        if options.measures_turns {
            turn.measure();
        }
        Self {
            connections_max,
            trigger: Trigger::default(),
            clock: ServiceClock::default(),
            process: HostProcess::default(),
            turn,
            due: None,
            stats: DriverStats::default(),
            ids: Ids::default(),
            messages: Messages::new(mailbox, &mut changes),
            changes,
            timers: Timers::default(),
            timer: None,
            commands: VecDeque::new(),
            pending: PendingMessages::new(options.waiting_messages_max),
            ready: VecDeque::new(),
            listeners: Listeners::default(),
            drain: Drain::No,
            member,
            options,
        }
    }

    /// The time of the service.
    #[inline]
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Prepares for another host.
    pub(crate) fn attach(&mut self, trigger: Trigger) {
        self.trigger = trigger;
        self.clock.change_host();
        self.process.attach();
    }

    /// Takes the time of the host. Returns the wall clock if a new second of it has begun.
    #[inline]
    pub(crate) fn tick(&mut self, host: Time) -> Option<u32> {
        if self.clock.tick(host) {
            return None;
        }
        self.process.look();
        self.clock.look(host)
    }

    /// Begins a turn: marks the shard as working.
    #[inline]
    pub(crate) fn begin_turn(&mut self) {
        if let Some(took) = self.turn.take_measured() {
            self.stats.turn_time.count(took);
        }
        if let Some(due) = self.due.take().filter(|due| *due <= self.clock.now()) {
            self.stats.lag.count(nanos_since(due, self.clock.now()));
        }
        if let Some(member) = &self.member {
            member.work();
        }
    }

    /// Ends a turn and its budget. Marks the shard as resting, unless there is more to do at once.
    #[inline]
    pub(crate) fn end_turn(&mut self, wait: Wait) {
        self.turn.end(self.now(), wait == Wait::Now);
        self.due = match wait {
            Wait::Until(at) => Some(self.clock.of_host(at)),
            Wait::Now | Wait::Forever => None,
        };
        if let Some(member) = &self.member
            && wait != Wait::Now
        {
            member.rest();
        }
    }

    /// Puts an entry of the table on the ready list, unless it is there already.
    #[inline]
    pub(crate) fn list(&mut self, id: ConnectionId, flags: &mut Flags) {
        if !flags.has(Flags::LISTED) {
            flags.insert(Flags::LISTED);
            self.ready.push_back(id);
        }
    }

    /// Whether the limit of connections is reached.
    pub(crate) fn is_full(&self) -> bool {
        match &self.member {
            None => self.stats.connections >= self.connections_max,
            Some(member) => member.is_full(),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.has_begun()
    }

    /// Ends the service within `timeout`. Does nothing in a child, by fork(2), of the process whose host has it.
    pub(crate) fn drain(&mut self, timeout: Duration) {
        if !self.process.is_forked() {
            self.drain = self.drain.asked(self.now(), timeout);
        }
    }

    /// Ends the service when its connections have ended by themselves, or within `timeout` once `patience` is over.
    pub(crate) fn retire(&mut self, patience: Duration, timeout: Duration) {
        if self.process.is_forked() || self.drain != Drain::No {
            return;
        }
        for id in self.listeners.ids() {
            self.unlisten(id);
        }
        let now = self.now();
        self.drain = Drain::Retiring { until: now + patience, timeout, next: now, from: 0 };
    }

    /// Allocates an entry of the table.
    pub(crate) fn allocate(&mut self) -> ConnectionId {
        if let Some(member) = &self.member {
            member.take();
        }
        self.allocate_reserved()
    }

    /// Allocates an entry of the table for a reserved connection, which the group of shards counts already.
    pub(crate) fn allocate_reserved(&mut self) -> ConnectionId {
        self.stats.connections += 1;
        let id = self.ids.allocate();
        debug_assert!(self.ids.is_live(id));
        id
    }

    /// Frees an entry of the table.
    pub(crate) fn release(&mut self, id: ConnectionId) {
        let was_full = self.is_full();
        self.stats.connections -= 1;
        self.ids.release(id);
        if let Some(member) = &self.member {
            // Every acceptor that waits for room, including this one, is woken by its notifier.
            member.give_back();
        } else if was_full {
            self.listeners.resume_full();
        }
    }

    /// Reserves room for the next accepted connection, at the shard that should have it; with `here` at this one. A
    /// service that is alone needs no mark for it.
    pub(crate) fn reserve(&mut self, here: bool) -> Option<Reservation> {
        match &mut self.member {
            None => (!self.is_full()).then_some(Reservation::Here),
            Some(member) if here => member.reserve_here().then_some(Reservation::Here),
            Some(member) => member.reserve(),
        }
    }

    /// Gives an unused reservation back.
    pub(crate) fn unreserve(&mut self, reservation: Reservation) {
        if let Some(member) = &self.member {
            match reservation {
                Reservation::Here => member.give_back(),
                Reservation::At(shard) => member.give_back_of(shard),
            }
        }
    }

    /// Looks at what the group of shards may have notified of: room at some shard, or the drain of all.
    pub(crate) fn look_at_shards(&mut self) {
        let Some(member) = &self.member else { return };
        if member.has_room_anywhere() {
            self.listeners.resume_full();
        }
        let (retiring, draining) = (member.shards.retiring(), member.shards.draining());
        if let Some((patience, timeout)) = retiring {
            self.retire(patience, timeout);
        }
        if let Some(timeout) = draining {
            self.drain(timeout);
        }
    }

    pub(crate) fn unlisten(&mut self, id: ListenerId) {
        if let Some(listener) = self.listeners.get(id) {
            listener.registration.remove(id.token(), &mut self.changes);
        }
    }

    /// # Errors
    /// The service is ending: it begins nothing new.
    pub(crate) fn serves(&self) -> io::Result<()> {
        if self.is_draining() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the service is ending"));
        }
        Ok(())
    }

    /// # Errors
    /// The service is ending, or has no room for `count` connections more.
    pub(crate) fn admit(&self, count: usize) -> io::Result<()> {
        self.serves()?;
        if self.stats.connections.saturating_add(count) > self.connections_max {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "as many connections as there may be"));
        }
        Ok(())
    }

    /// Queues the insertion of a descriptor into the table, in order with other commands, and returns its name.
    pub(crate) fn insert(
        &mut self,
        socket: Owned,
        flags: Flags,
        body: Body<A::State>,
        received: Box<[u8]>,
    ) -> ConnectionId {
        let id = self.allocate();
        self.insert_at(id, socket, flags, body, received);
        id
    }

    /// Queues the insertion of a descriptor into the table under a name that was allocated for it.
    pub(crate) fn insert_at(
        &mut self,
        id: ConnectionId,
        socket: Owned,
        flags: Flags,
        body: Body<A::State>,
        received: Box<[u8]>,
    ) {
        let slot = Slot::new(id, socket, flags, Registration::default(), body);
        self.commands.push_back(Command::Insert(id, Box::new(slot), received));
    }
}

/// Nanoseconds between two moments of the service.
#[cold]
fn nanos_since(due: Time, now: Time) -> u64 {
    now.as_micros().saturating_sub(due.as_micros()).saturating_mul(1_000)
}

impl<A: Application> Drop for Core<A> {
    fn drop(&mut self) {
        if self.process.is_forked() {
            // The files of Unix listeners belong to the parent process.
            self.listeners.forget_files();
        }
    }
}
