//! What is kept open for transfers that wait for their peers: so many at a time, however many transfers there are.
//!
//! Knows no names and no contents. A transfer whose file was closed here finds it again when it can send.

use lws_loop_external::ConnectionId;

/// The open files of one thread.
#[derive(Debug)]
pub(crate) struct Shelf<F> {
    files_max: usize,
    /// Of one connection, so that one with a hundred streams leaves room for others.
    share_max: usize,
    /// The one that was used least recently comes first. There are few.
    entries: Vec<OpenFile<F>>,
    next: u64,
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
        Self { files_max, share_max: (files_max / 8).max(1), entries: Vec::new(), next: 0 }
    }

    /// Keeps a file. Past the share of its connection, or past the limit, the one that was used least recently is closed.
    pub(crate) fn put(&mut self, connection: Option<ConnectionId>, file: F) -> Ticket {
        let of_its_own = |entry: &&OpenFile<F>| entry.connection == connection;
        if self.entries.iter().filter(of_its_own).count() >= self.share_max {
            let oldest = self.entries.iter().position(|entry| entry.connection == connection);
            oldest.map(|at| self.entries.remove(at));
        } else if self.entries.len() >= self.files_max {
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
}
