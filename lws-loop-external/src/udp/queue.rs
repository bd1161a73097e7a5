//! The queue of datagrams to be sent. Knows no socket.

use super::Route;
use std::collections::VecDeque;

/// Datagrams in order. Their bytes are contiguous, so that a run of equally long ones can be sent in one call.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    bytes: Vec<u8>,
    /// The position of the first datagram in `bytes`.
    start: usize,
    entries: VecDeque<Entry>,
}

/// One queued datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) route: Route,
    pub(crate) len: usize,
}

impl Entry {
    /// Whether a run of `total` bytes that begins with this datagram can continue with `next`.
    fn takes(&self, total: usize, next: &Self) -> bool {
        let fits = total + next.len <= RUN_BYTES && next.len <= self.len;
        // An empty datagram cannot be part of a run, since it would add nothing to its bytes.
        fits && next.len > 0 && next.route == self.route
    }
}

/// Datagrams that one call can send: to the same destination, and all but the last of the same length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run<'q> {
    pub(crate) route: Route,
    /// The length of each datagram; only the last may be shorter.
    pub(crate) len: usize,
    pub(crate) count: usize,
    pub(crate) bytes: &'q [u8],
}

/// The largest allocation that an empty queue keeps.
const SPARE_BYTES: usize = 64 << 10;
/// The most bytes of a run: they have to fit in one packet before the system segments it.
const RUN_BYTES: usize = 65_000;

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of queued bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn push(&mut self, route: Route, datagram: &[u8]) {
        // Bytes that were sent are removed before they outnumber the queued ones.
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(datagram);
        self.entries.push_back(Entry { route, len: datagram.len() });
    }

    /// The run at the front, of at most `count_max` datagrams.
    pub(crate) fn run(&self, count_max: usize) -> Option<Run<'_>> {
        let first = *self.entries.front()?;
        let (mut count, mut total) = (1, first.len);
        for entry in self.entries.iter().skip(1) {
            if count >= count_max || !first.takes(total, entry) {
                break;
            }
            count += 1;
            total += entry.len;
            if entry.len < first.len {
                break;
            }
        }
        let bytes = &self.bytes[self.start..self.start + total];
        Some(Run { route: first.route, len: first.len, count, bytes })
    }

    /// The datagrams at the front that form no run with the next one, where runs have at most `count_max` datagrams.
    #[cfg(any(target_os = "linux", target_os = "android", test))]
    pub(crate) fn singles(&self, count_max: usize) -> impl Iterator<Item = (Route, &[u8])> {
        let behind = self.entries.iter().skip(1).map(Some).chain([None]);
        let is_single = move |behind: Option<&Entry>, entry: &Entry| {
            count_max < 2 || behind.is_none_or(|behind| !entry.takes(entry.len, behind))
        };
        let mut start = self.start;
        let singles =
            self.entries.iter().zip(behind).take_while(move |(entry, behind)| is_single(*behind, entry));
        singles.map(move |(entry, _)| {
            let bytes = &self.bytes[start..start + entry.len];
            start += entry.len;
            (entry.route, bytes)
        })
    }

    /// Removes the first datagram.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.start += entry.len;
        if self.entries.is_empty() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(SPARE_BYTES);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(port: u16) -> Route {
        Route::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn queue(datagrams: &[(u16, usize)]) -> Queue {
        let mut queue = Queue::default();
        for (number, (port, len)) in datagrams.iter().enumerate() {
            queue.push(route(*port), &vec![number as u8; *len]);
        }
        queue
    }

    #[test]
    fn a_run_ends_where_one_call_could_not_tell_the_datagrams_apart() {
        let check = |datagrams: &[(u16, usize)], count_max: usize, expected: usize| {
            let queue = queue(datagrams);
            let run = queue.run(count_max).expect("a datagram");
            let bytes = datagrams[..expected].iter().map(|(_, len)| len).sum::<usize>();
            assert_eq!((run.count, run.bytes.len()), (expected, bytes), "{datagrams:?}");
            assert_eq!((run.route, run.len), (route(datagrams[0].0), datagrams[0].1));
        };
        check(&[(1, 5)], 64, 1);
        check(&[(1, 5), (1, 5), (1, 5)], 64, 3);
        check(&[(1, 5), (1, 5), (1, 5)], 2, 2);
        check(&[(1, 5), (1, 3), (1, 5)], 64, 2);
        check(&[(1, 3), (1, 5)], 64, 1);
        check(&[(1, 5), (2, 5)], 64, 1);
        check(&[(1, 5), (1, 0)], 64, 1);
        check(&[(1, 0), (1, 0)], 64, 1);
        check(&[(1, 40_000), (1, 40_000)], 64, 1);
        assert_eq!(Queue::default().run(64), None);
    }

    #[test]
    fn what_is_in_no_run_goes_beside_others() {
        let check = |datagrams: &[(u16, usize)], count_max: usize, expected: usize| {
            let queue = queue(datagrams);
            let singles: Vec<_> = queue.singles(count_max).collect();
            assert_eq!(singles.len(), expected, "{datagrams:?}");
            for (number, (single, (port, len))) in singles.iter().zip(datagrams).enumerate() {
                assert_eq!(*single, (route(*port), &vec![number as u8; *len][..]));
            }
        };
        check(&[], 64, 0);
        check(&[(1, 5)], 64, 1);
        check(&[(1, 5), (2, 5), (3, 5)], 64, 3);
        check(&[(1, 5), (1, 6), (1, 0), (2, 0)], 64, 4);
        check(&[(1, 5), (2, 5), (2, 5), (3, 5)], 64, 1);
        check(&[(1, 5), (1, 5), (2, 5)], 64, 0);
        check(&[(1, 5), (1, 5), (1, 5)], 1, 3);
    }

    #[test]
    fn datagrams_leave_in_order_and_an_empty_queue_holds_little() {
        let mut queue = queue(&[(1, 100_000), (2, 7), (3, 0)]);
        assert_eq!((queue.len(), queue.bytes()), (3, 100_007));
        assert_eq!(queue.pop().map(|entry| entry.len), Some(100_000));
        queue.push(route(4), b"later");
        assert_eq!(queue.run(64).expect("a datagram").bytes, [1; 7]);
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|entry| (entry.route, entry.len)).collect();
        assert_eq!(left, [(route(2), 7), (route(3), 0), (route(4), 5)]);
        assert!(queue.is_empty() && queue.bytes() == 0 && queue.bytes.capacity() <= SPARE_BYTES);
    }
}
