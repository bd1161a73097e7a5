//! What is kept open for transfers that wait for their peers: so many at a time, however many transfers there are.
//!
//! Knows no names and no contents. A transfer whose file was closed here finds it again when it can send.

use lws_loop_external::ConnectionId;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

/// The open files of one thread.
#[derive(Debug)]
pub(crate) struct Shelf<F> {
    files_max: usize,
    /// Of one connection, so that one with a hundred streams leaves room for others.
    share_max: usize,
    /// The one that was used least recently comes first. There are few.
    entries: Vec<OpenFile<F>>,
    next: u64,
    /// The descriptors in queues of connections, where they cannot be closed, and in how many each is.
    queued: Arc<Mutex<BTreeMap<RawFd, usize>>>,
}

/// A descriptor is in the queue of a connection until this is dropped.
#[derive(Debug)]
pub(crate) struct Queued {
    all: Arc<Mutex<BTreeMap<RawFd, usize>>>,
    descriptor: RawFd,
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queues) = all.get_mut(&self.descriptor) {
            *queues -= 1;
            if *queues == 0 {
                all.remove(&self.descriptor);
            }
        }
    }
}

#[derive(Debug)]
struct OpenFile<F> {
    ticket: Ticket,
    connection: Option<ConnectionId>,
    file: F,
}

/// Names a file that was put here, whether or not it still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl<F> Shelf<F> {
    /// Room for so many files, of which one connection has an eighth.
    pub(crate) fn new(files_max: usize) -> Self {
        let files_max = files_max.max(1);
        let share_max = (files_max / 8).max(1);
        Self { files_max, share_max, entries: Vec::new(), next: 0, queued: Arc::default() }
    }

    /// Notes that the descriptor of a file goes into one more queue. `None` if so many others are in queues already that transfers which
    /// wait would get none: half of all.
    pub(crate) fn queue(&mut self, file: &impl AsRawFd) -> Option<Queued> {
        let descriptor = file.as_raw_fd();
        let mut all = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(&descriptor) && all.len() >= self.files_max / 2 {
            return None;
        }
        *all.entry(descriptor).or_default() += 1;
        let room = room(self.files_max, all.len());
        drop(all);
        let beyond = self.entries.len().saturating_sub(room);
        self.entries.drain(..beyond);
        Some(Queued { all: Arc::clone(&self.queued), descriptor })
    }

    /// How many files may be open here beside those in queues.
    fn room(&self) -> usize {
        room(self.files_max, self.queued.lock().unwrap_or_else(PoisonError::into_inner).len())
    }

    /// Keeps a file. Past the share of its connection, or past the limit, the one that was used least recently is closed.
    pub(crate) fn put(&mut self, connection: Option<ConnectionId>, file: F) -> Ticket {
        let of_its_own = |entry: &&OpenFile<F>| entry.connection == connection;
        if self.entries.iter().filter(of_its_own).count() >= self.share_max {
            let oldest = self.entries.iter().position(|entry| entry.connection == connection);
            oldest.map(|at| self.entries.remove(at));
        } else if self.entries.len() >= self.room() {
            self.entries.remove(0);
        }
        self.next += 1;
        let ticket = Ticket(self.next);
        self.entries.push(OpenFile { ticket, connection, file });
        debug_assert!(self.entries.len() <= self.files_max);
        ticket
    }

    /// Takes the file of a ticket, if it is still open.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<F> {
        let at = self.entries.iter().position(|entry| entry.ticket == ticket)?;
        Some(self.entries.remove(at).file)
    }

    /// Closes the file of a ticket.
    pub(crate) fn close(&mut self, ticket: Ticket) {
        self.entries.retain(|entry| entry.ticket != ticket);
    }

    /// Closes all files: descriptors have run out.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// How many files may be open beside those in queues. At least one.
fn room(files_max: usize, queued: usize) -> usize {
    files_max.saturating_sub(queued).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn file() -> File {
        File::open("/dev/null").expect("it is everywhere")
    }

    #[test]
    fn up_to_the_limit_all_stay_open_and_one_past_it_closes_the_least_recently_used() {
        let mut shelf = Shelf::new(3);
        shelf.share_max = 3;
        let mut tickets: Vec<_> = (0..3).map(|_| shelf.put(None, file())).collect();
        let used = shelf.take(tickets.remove(0)).expect("up to the limit all are open");
        tickets.push(shelf.put(None, used));
        tickets.push(shelf.put(None, file()));
        let closed = tickets.remove(0);
        shelf.close(closed);
        assert_eq!((shelf.take(closed).is_none(), shelf.entries.len()), (true, 3));
        assert!(tickets.into_iter().all(|ticket| shelf.take(ticket).is_some()));
    }

    #[test]
    fn one_connection_has_its_share() {
        let mut shelf = Shelf::new(16);
        let first = shelf.put(None, file());
        assert_eq!(shelf.share_max, 2);
        let second = shelf.put(None, file());
        let third = shelf.put(None, file());
        assert!(shelf.take(first).is_none(), "the oldest of its own was closed");
        assert!(shelf.take(second).is_some() && shelf.take(third).is_some());
    }

    #[test]
    fn files_in_queues_take_up_to_half_of_the_room() {
        let mut shelf = Shelf::new(4);
        shelf.share_max = 4;
        let tickets: Vec<_> = (0..4).map(|_| shelf.put(None, file())).collect();
        let (one, other, more) = (file(), file(), file());
        let first = shelf.queue(&one).expect("there is room");
        assert!(shelf.take(tickets[0]).is_none(), "it was closed for the one in the queue");
        let second = shelf.queue(&other).expect("up to half of all");
        let again = shelf.queue(&one).expect("it is open already");
        assert!(shelf.queue(&more).is_none(), "one past half of all");
        assert_eq!(shelf.entries.len(), 2);
        shelf.put(None, file());
        assert_eq!(shelf.entries.len(), 2);
        drop(first);
        assert!(shelf.queue(&more).is_none(), "it is in another queue still");
        drop((again, second));
        shelf.put(None, file());
        assert_eq!(shelf.entries.len(), 3);
        assert!(Shelf::<File>::new(1).queue(&one).is_none(), "the only one may be closed for others");
    }
}
