//! Shards: several services that work as one, each on its own thread and with its own connections.
//!
//! Shards share only what is in this module: how many connections each has, their mailboxes, and their drain. Knows no
//! threads: the program that hosts the shards starts them.

mod quotas;

use crate::descriptor_limit::default_connections_max;
use crate::net;
use crate::options::{self, DriverOptions};
use crate::token::ConnectionId;
use crate::waker::{DriverHandle, Handover, Mailbox, Notifier, SendError};
use quotas::Quotas;
use std::fmt;
use std::io;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The synchronisation primitives of the quotas.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
}

/// Reaches all shards of a group, from any thread. Cheap to clone.
///
/// A connection that a listener of one shard accepts goes to the shard that has the fewest, but to none that has been at work
/// for a second without a rest while there is another; its socket is handed over by message. When all are full the listeners pause, and go on when a connection of any shard has ended.
///
/// ```
/// use lws_loop_external::{DriverOptions, Shards};
/// use std::num::NonZeroU16;
///
/// let four = NonZeroU16::new(4).ok_or(std::io::ErrorKind::InvalidInput)?;
/// let options = DriverOptions { connections_max: Some(1_000), ..DriverOptions::default() };
/// let shards = Shards::<String>::create(four, &options)?;
/// // Each goes to its thread, and becomes a service there: `Driver::sharded(application, shard)`.
/// assert_eq!(shards.iter().map(|shard| shard.index()).collect::<Vec<_>>(), [0, 1, 2, 3]);
/// assert_eq!(shards[0].shards().count(), 4);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Shards<M> {
    group: Arc<Group<M>>,
}

struct Group<M> {
    quotas: Quotas,
    handles: Box<[DriverHandle<M>]>,
    /// The time for the shards to drain, in microseconds; `NEVER` while they serve.
    drain: AtomicU64,
    /// How they retire, once they do: see [`Shards::retire`].
    retirement: OnceLock<(Duration, Duration)>,
}

const NEVER: u64 = u64::MAX;

/// The seed of one service of a group: made with the group, and sent to the thread of the service.
pub struct DriverShard<M> {
    pub(crate) member: ShardMember<M>,
    pub(crate) mailbox: Mailbox<M>,
    pub(crate) options: DriverOptions,
}

/// Names one connection of a group of shards. That of a connection which has gone finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GlobalId {
    /// The number of its shard.
    pub shard: u16,
    /// The connection's name in its shard.
    pub connection: ConnectionId,
}

impl<M> Shards<M> {
    /// Makes `count` shards, each with these sizes and budgets. [`DriverOptions::connections_max`] is that of each shard;
    /// by default they share the limit of open files evenly.
    ///
    /// # Errors
    /// The system has no descriptors left for the wakers.
    #[doc(alias = "count_threads")]
    #[doc(alias = "fd_limit_per_thread")]
    pub fn create(count: NonZeroU16, options: &DriverOptions) -> io::Result<Vec<DriverShard<M>>> {
        options.validate().map_err(options::invalid)?;
        let count = count.get();
        let connections_max = options.connections_max.unwrap_or_else(|| {
            (default_connections_max(options.descriptors_kept) / usize::from(count)).max(1)
        });
        let mailbox = |_| Ok(Mailbox::new(Notifier::new()?, options.mailbox_messages_max));
        let mailboxes = (0..count).map(mailbox).collect::<io::Result<Vec<_>>>()?;
        let group = Arc::new(Group {
            quotas: Quotas::new(count.into(), connections_max),
            handles: mailboxes.iter().map(DriverHandle::of).collect(),
            drain: AtomicU64::new(NEVER),
            retirement: OnceLock::new(),
        });
        let options = DriverOptions { connections_max: Some(connections_max), ..options.clone() };
        let shard = |(index, mailbox)| {
            let member = ShardMember { shards: Self { group: Arc::clone(&group) }, index, next: 0 };
            DriverShard { member, mailbox, options: options.clone() }
        };
        Ok((0..count).zip(mailboxes).map(shard).collect())
    }

    /// The number of shards.
    #[must_use]
    #[doc(alias = "lws_get_count_threads")]
    pub fn count(&self) -> u16 {
        // The number was given as a `NonZeroU16`, so it fits.
        self.group.quotas.len() as u16
    }

    /// How many connections a shard has, with those that are on their way to it. Zero of one that does not exist.
    #[must_use]
    pub fn connections(&self, shard: u16) -> usize {
        self.group.quotas.taken(shard.into())
    }

    /// The handle of one shard.
    #[must_use]
    pub fn handle(&self, shard: u16) -> Option<&DriverHandle<M>> {
        self.group.handles.get(usize::from(shard))
    }

    /// The handles of all shards, in their order.
    pub fn handles(&self) -> impl ExactSizeIterator<Item = &DriverHandle<M>> {
        self.group.handles.iter()
    }

    /// Sends a message about one connection of any shard: [`Application::message_to`](crate::Application::message_to)
    /// follows there if the connection is there then, or when it is, and [`Application::undelivered`](crate::Application::undelivered) otherwise.
    ///
    /// # Errors
    /// The message, if too many are waiting or the shard has gone.
    pub fn send_to(&self, id: GlobalId, message: M) -> Result<(), SendError<M>> {
        match self.handle(id.shard) {
            Some(handle) => handle.send_to(id.connection, message),
            None => Err(SendError::Closed(message)),
        }
    }

    /// Ends all shards in an orderly way: see [`DriverContext::drain`](crate::DriverContext::drain). It never fails; asking again can
    /// only shorten the time.
    pub fn drain(&self, timeout: Duration) {
        // More than half a million years are cut short.
        let micros = u64::try_from(timeout.as_micros()).unwrap_or(NEVER - 1);
        self.group.drain.fetch_min(micros.min(NEVER - 1), Ordering::Release);
        self.handles().for_each(DriverHandle::notify);
    }

    /// Has all shards end when their connections have ended by themselves: see [`DriverContext::retire`](crate::DriverContext::retire).
    /// What was said first holds.
    pub fn retire(&self, patience: Duration, timeout: Duration) {
        let _ = self.group.retirement.set((patience, timeout));
        self.handles().for_each(DriverHandle::notify);
    }

    /// How patient the shards are with their connections, and how long they drain then, if they retire.
    pub(crate) fn retiring(&self) -> Option<(Duration, Duration)> {
        self.group.retirement.get().copied()
    }

    /// The time that the shards were given to drain, if they are draining.
    #[must_use]
    pub fn draining(&self) -> Option<Duration> {
        let micros = self.group.drain.load(Ordering::Acquire);
        (micros != NEVER).then(|| Duration::from_micros(micros))
    }
}

impl<M> Clone for Shards<M> {
    fn clone(&self) -> Self {
        Self { group: Arc::clone(&self.group) }
    }
}

impl<M> fmt::Debug for Shards<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections: Vec<_> = (0..self.count()).map(|shard| self.connections(shard)).collect();
        f.debug_struct("Shards").field("connections", &connections).finish_non_exhaustive()
    }
}

impl<M> DriverShard<M> {
    /// The number of the shard, from zero on.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.member.index
    }

    /// The group that it belongs to.
    #[must_use]
    pub fn shards(&self) -> &Shards<M> {
        &self.member.shards
    }
}

impl<M> fmt::Debug for DriverShard<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverShard").field("index", &self.index()).finish_non_exhaustive()
    }
}

/// The clock of all shards in milliseconds. Wraps around where `usize` is small.
fn millis() -> usize {
    net::monotonic().as_millis() as usize
}

/// The membership of one driver in its group.
pub(crate) struct ShardMember<M> {
    pub(crate) shards: Shards<M>,
    pub(crate) index: u16,
    /// The shard that is preferred if several have the fewest connections.
    next: usize,
}

impl<M> ShardMember<M> {
    fn quotas(&self) -> &Quotas {
        &self.shards.group.quotas
    }

    pub(crate) fn is_full(&self) -> bool {
        self.quotas().is_full(self.index.into())
    }

    pub(crate) fn has_room_anywhere(&self) -> bool {
        self.quotas().has_room()
    }

    /// Reserves the next connection at the shard that should have it, perhaps this one.
    pub(crate) fn reserve(&mut self) -> Option<Reservation> {
        let shard = self.quotas().reserve(self.next, millis())?;
        self.next = shard + 1;
        // The number of shards is a u16.
        let shard = shard as u16;
        Some(if shard == self.index { Reservation::Here } else { Reservation::At(shard) })
    }

    /// Notes that this shard begins to work.
    pub(crate) fn work(&self) {
        // A single shard gets every connection, busy or not, so that reading the clock is saved.
        if self.quotas().len() > 1 {
            self.quotas().work(self.index.into(), millis());
        }
    }

    /// Notes that this shard has nothing to do.
    pub(crate) fn rest(&self) {
        self.quotas().rest(self.index.into());
    }

    /// Reserves a place here, if one is free.
    pub(crate) fn reserve_here(&self) -> bool {
        self.quotas().reserve_at(self.index.into())
    }

    /// Asks for a notification of the next free place, at this shard with `here` and anywhere otherwise. Returns
    /// false if there is one by now.
    pub(crate) fn wait_for_room(&self, here: bool) -> bool {
        self.quotas().wait(here.then_some(self.index.into()))
    }

    /// Takes a place here, beyond the limit if none is free.
    pub(crate) fn take(&self) {
        self.quotas().take(self.index.into());
    }

    /// Closes this shard for connections of others.
    pub(crate) fn close(&self) {
        self.quotas().close(self.index.into());
    }

    /// Gives a place of this shard back.
    pub(crate) fn give_back(&self) {
        self.give_back_of(self.index);
    }

    /// Gives a place of any shard back.
    pub(crate) fn give_back_of(&self, shard: u16) {
        if self.quotas().give_back(shard.into()) {
            // Every shard is notified, since it is not known which one waits; the others find nothing to do.
            self.shards.handles().for_each(DriverHandle::notify);
        }
    }

    /// Sends a connection to another shard, at which a place is reserved. If it cannot be sent it comes back, and the
    /// place is given up.
    pub(crate) fn hand_over(&self, shard: u16, handover: Handover) -> Result<(), Handover> {
        let Some(handle) = self.shards.handle(shard) else { return Err(handover) };
        handle.hand_over(handover).map_err(|(SendError::Full(handover) | SendError::Closed(handover))| {
            self.give_back_of(shard);
            handover
        })
    }
}

/// The shard at which room is reserved for a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reservation {
    Here,
    /// At another shard.
    At(u16),
}

impl<M> Drop for ShardMember<M> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::quotas::{BUSY_AFTER, Quotas};

    #[test]
    fn a_busy_shard_gets_no_connection_while_another_has_room() {
        let quotas = Quotas::new(3, 2);
        let began = 1_000;
        quotas.work(1, began);
        // Calling `work` again does not restart the time.
        quotas.work(1, began + BUSY_AFTER - 1);
        assert_eq!(quotas.reserve(1, began + BUSY_AFTER - 1), Some(1), "not for so long");
        quotas.give_back(1);
        let busy = began + BUSY_AFTER;
        let given = [0; 4].map(|first| quotas.reserve(first, busy));
        assert_eq!(given, [Some(0), Some(2), Some(0), Some(2)]);
        assert_eq!(quotas.reserve(0, busy), Some(1), "where no other has room it is still better than none");
        assert_eq!(quotas.reserve(0, busy), Some(1));
        assert_eq!(quotas.reserve(0, busy), None);
        quotas.give_back(1);
        quotas.give_back(0);
        quotas.rest(1);
        assert_eq!(quotas.reserve(1, busy), Some(1), "it has had a rest");
    }
}
