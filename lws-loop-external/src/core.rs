//! What a driver and its handlers share: all of a service but the application and the connection table.

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
    /// What this turn may still take.
    pub(crate) turn: TurnBudget,
    pub(crate) stats: DriverStats,
    pub(crate) ids: Ids,
    pub(crate) changes: Changes,
    pub(crate) timers: Timers,
    /// When the application wants its own timer.
    pub(crate) timer: Option<Time>,
    pub(crate) commands: VecDeque<Command<A::State, A::Message>>,
    /// Messages about connections that are being made.
    pub(crate) pending: PendingMessages<A::Message>,
    /// Connections that have more to do than their budget allowed.
    pub(crate) ready: VecDeque<ConnectionId>,
    pub(crate) listeners: Listeners,
    /// Messages of other threads.
    pub(crate) messages: Messages<A::Message>,
    pub(crate) drain: Drain,
    /// Its place among the shards, if it is one.
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
        Self {
            connections_max,
            trigger: Trigger::default(),
            clock: ServiceClock::default(),
            process: HostProcess::default(),
            turn: TurnBudget::new(options.turn),
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

    /// Another host takes over.
    pub(crate) fn attach(&mut self, trigger: Trigger) {
        self.trigger = trigger;
        self.clock.change_host();
        self.process.attach();
    }

    /// The host says what time it is. Some if a new second of the wall clock has begun.
    #[inline]
    pub(crate) fn tick(&mut self, host: Time) -> Option<u32> {
        if self.clock.tick(host) {
            return None;
        }
        self.process.look();
        self.clock.look(host)
    }

    /// A turn begins.
    #[inline]
    pub(crate) fn begin_turn(&self) {
        if let Some(member) = &self.member {
            member.work();
        }
    }

    /// A turn ends.
    #[inline]
    pub(crate) fn end_turn(&mut self, wait: Wait) {
        self.turn.end(self.now(), wait == Wait::Now);
        if let Some(member) = &self.member
            && wait != Wait::Now
        {
            member.rest();
        }
    }

    /// Puts what has a place in the table on the ready list, unless it is there already.
    #[inline]
    pub(crate) fn list(&mut self, id: ConnectionId, flags: &mut Flags) {
        if !flags.has(Flags::LISTED) {
            flags.insert(Flags::LISTED);
            self.ready.push_back(id);
        }
    }

    /// Whether there are as many connections as there may be.
    pub(crate) fn is_full(&self) -> bool {
        match &self.member {
            None => self.stats.connections >= self.connections_max,
            Some(member) => member.is_full(),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.has_begun()
    }

    /// Ends the service within `timeout`. Nothing in a child of the process whose host has it: the peers are the parent's.
    pub(crate) fn drain(&mut self, timeout: Duration) {
        if !self.process.is_forked() {
            self.drain = self.drain.asked(self.now(), timeout);
        }
    }

    /// Takes a place in the table.
    pub(crate) fn allocate(&mut self) -> ConnectionId {
        if let Some(member) = &self.member {
            member.take();
        }
        self.allocate_reserved()
    }

    /// Takes a place in the table for which a connection was reserved: the other shards count it already.
    pub(crate) fn allocate_reserved(&mut self) -> ConnectionId {
        self.stats.connections += 1;
        let id = self.ids.allocate();
        debug_assert!(self.ids.is_live(id));
        id
    }

    /// Gives a place in the table back.
    pub(crate) fn release(&mut self, id: ConnectionId) {
        let was_full = self.is_full();
        self.stats.connections -= 1;
        self.ids.release(id);
        if let Some(member) = &self.member {
            // Every acceptor that waits for room, this one among them, is woken by its notifier.
            member.give_back();
        } else if was_full {
            self.listeners.resume_full();
        }
    }

    /// Reserves the next connection that is accepted, at the shard that should have it. `here` if it must not go to another
    /// one. A service that is alone needs no mark for it.
    pub(crate) fn reserve(&mut self, here: bool) -> Option<Reservation> {
        match &mut self.member {
            None => (!self.is_full()).then_some(Reservation::Here),
            Some(member) if here => member.reserve_here().then_some(Reservation::Here),
            Some(member) => member.reserve(),
        }
    }

    /// Gives a reservation back that was not used.
    pub(crate) fn unreserve(&mut self, reservation: Reservation) {
        if let Some(member) = &self.member {
            match reservation {
                Reservation::Here => member.give_back(),
                Reservation::At(shard) => member.give_back_of(shard),
            }
        }
    }

    /// Another shard may have rung: there is room somewhere, or all are to end.
    pub(crate) fn look_at_shards(&mut self) {
        let Some(member) = &self.member else { return };
        if member.has_room_anywhere() {
            self.listeners.resume_full();
        }
        if let Some(timeout) = member.shards.draining() {
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

    /// Has a descriptor put into the table behind what was asked for before, and names it.
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

    /// Has a descriptor put into the table under a name that was allocated for it.
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

impl<A: Application> Drop for Core<A> {
    fn drop(&mut self) {
        if self.process.is_forked() {
            // Its files are the parent's.
            self.listeners.forget_files();
        }
    }
}
