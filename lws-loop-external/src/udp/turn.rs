//! One turn of a UDP socket: receive, tell the application, send, within a budget.

use super::queue::Entry;
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::sys;
use super::{Datagram, DatagramPermit, Datagrams, Io, Notice, Udp, UdpEvent, canonical};
use crate::application::Application;
use crate::connection_budget::ConnectionBudget;
use crate::context::{DriverContext, Subject};
use crate::core::Core;
use crate::flags::Flags;
use crate::service::{Interest, Trigger};
use crate::slot::{Body, Slot};
use crate::token::ConnectionId;
use quinn_udp::{RecvMeta, Transmit, TransportErrorPayload, is_msg_size_err};
use rustix::net::SendFlags;
use std::array;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// Datagrams, or rows of datagrams that the system has joined, that one call receives.
const BATCH: usize = 8;
/// Room for the longest datagram, or the longest row.
const PIECE: usize = 1 << 16;
/// Errors of the network that one look fetches: the system keeps few.
const ERRORS_MAX: usize = 64;

/// Gives a socket its turn, and sees to what it wants next. True if it has ended.
pub(crate) fn take<A: Application>(
    application: &mut A,
    core: &mut Core<A>,
    room: &mut Box<[u8]>,
    id: ConnectionId,
    slot: &mut Slot<A::State>,
) -> bool {
    let Slot { body: Body::Datagrams(datagrams), socket, flags, registration, .. } = slot else {
        return false;
    };
    let Datagrams { state, io } = &mut **datagrams;
    let budget = ConnectionBudget::new(&core.options);
    let socket = socket.as_fd();
    let mut turn = UdpTurn { application, core, id, socket, state, io, flags, budget };
    turn.run(room);
    turn.budget.charge(&turn.core.options, &mut turn.core.turn);
    if turn.io.closing && turn.io.queue.is_empty() {
        return true;
    }
    if turn.has_more() {
        core.list(id, flags);
    }
    if core.trigger != Trigger::Edge {
        let waiting = !io.queue.is_empty() && !flags.has(Flags::WRITABLE);
        let interest = Interest::READ.when(io.reading && !io.closing) | Interest::WRITE.when(waiting);
        registration.want(interest, id.token(), &mut core.changes);
    }
    false
}

/// The system did not take what it was handed.
struct Refusal {
    /// How many datagrams that was, of which one may be the cause.
    count: usize,
    error: io::Error,
}

struct UdpTurn<'t, A: Application> {
    application: &'t mut A,
    core: &'t mut Core<A>,
    id: ConnectionId,
    socket: BorrowedFd<'t>,
    state: &'t mut A::State,
    io: &'t mut Io,
    flags: &'t mut Flags,
    budget: ConnectionBudget,
}

impl<A: Application> UdpTurn<'_, A> {
    fn run(&mut self, room: &mut Box<[u8]>) {
        match self.io.notice.take() {
            Some(Notice::Opened) => self.deliver(UdpEvent::Opened),
            Some(Notice::Woken) => self.deliver(UdpEvent::Woken),
            Some(Notice::Refused(error)) => return self.deliver(|_| UdpEvent::Refused(error)),
            None => {}
        }
        loop {
            if std::mem::take(&mut self.io.error) {
                self.fetch_errors();
            }
            if self.may_receive() {
                self.receive(room);
            }
            if self.io.writing && self.io.has_room() {
                self.io.writing = false;
                self.deliver(|socket| UdpEvent::Writable(DatagramPermit { socket }));
            }
            self.send();
            if self.budget.is_spent() || !self.has_more() {
                break;
            }
        }
    }

    fn may_receive(&self) -> bool {
        self.io.reading && !self.io.closing && self.flags.has(Flags::READABLE)
    }

    /// Whether there is something to do that no host will announce.
    fn has_more(&self) -> bool {
        self.may_receive()
            || self.io.error
            || self.io.writing && self.io.has_room()
            || !self.io.queue.is_empty() && self.flags.has(Flags::WRITABLE)
    }

    fn deliver<'s>(&'s mut self, event: impl FnOnce(Udp<'s>) -> UdpEvent<'s>) {
        self.budget.count(&mut self.core.turn);
        let mut cx = DriverContext::new(self.core, Subject::new(self.id, self.socket));
        let event = event(Udp { io: self.io, socket: self.socket });
        self.application.udp(&mut cx, self.state, event);
    }

    /// Receives once, and tells everything that was received.
    fn receive(&mut self, room: &mut Box<[u8]>) {
        if room.is_empty() {
            *room = vec![0; BATCH * PIECE].into_boxed_slice();
        }
        let mut found = [RecvMeta::default(); BATCH];
        let mut pieces = room.chunks_exact_mut(PIECE);
        let mut pieces: [_; BATCH] = array::from_fn(|_| IoSliceMut::new(pieces.next().unwrap_or_default()));
        match self.io.system.recv((&self.socket).into(), &mut pieces, &mut found) {
            Ok(count) => {
                // An error may follow, which an edge does not announce.
                if count < BATCH && self.core.trigger != Trigger::Edge {
                    self.flags.remove(Flags::READABLE);
                }
                for (piece, found) in room.chunks_exact_mut(PIECE).zip(&found[..count]) {
                    self.deliver_received(&mut piece[..found.len.min(PIECE)], found);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.flags.remove(Flags::READABLE),
            Err(error) => {
                if self.fetch_errors() == 0 {
                    self.deliver(|socket| UdpEvent::Failed { socket, reporter: None, error });
                }
            }
        }
    }

    /// Tells one datagram, or a row that the system has joined.
    fn deliver_received(&mut self, bytes: &mut [u8], found: &RecvMeta) {
        let total = bytes.len();
        self.core.stats.received_bytes_total += total as u64;
        self.budget.read = self.budget.read.saturating_sub(total);
        let (mut rest, mut first) = (bytes, true);
        while first || !rest.is_empty() {
            first = false;
            let length = if found.stride == 0 { rest.len() } else { found.stride.min(rest.len()) };
            let (bytes, after) = rest.split_at_mut(length);
            rest = after;
            if self.io.closing {
                return;
            }
            self.core.stats.datagrams_received_total += 1;
            let shown = length.min(self.io.options.datagram_bytes_max);
            let datagram = Datagram {
                source: canonical(found.addr),
                destination: found.dst_ip.map(|address| address.to_canonical()),
                interface: found.interface_index,
                bytes: &mut bytes[..shown],
                length,
            };
            self.deliver_datagram(datagram);
        }
    }

    fn deliver_datagram(&mut self, datagram: Datagram<'_>) {
        self.budget.count(&mut self.core.turn);
        let mut cx = DriverContext::new(self.core, Subject::new(self.id, self.socket));
        let socket = Udp { io: self.io, socket: self.socket };
        self.application.udp(&mut cx, self.state, UdpEvent::Datagram { socket, datagram });
    }

    /// Sends what waits, as far as the socket takes it.
    fn send(&mut self) {
        while self.budget.write > 0 && self.flags.has(Flags::WRITABLE) {
            match self.send_several().or_else(|| self.send_one()) {
                None => return,
                Some(Ok(count)) => (0..count).for_each(|_| self.sent()),
                Some(Err(refusal)) => self.not_sent(refusal),
            }
        }
    }

    /// Hands over datagrams that go to one place each, in one call. `None` if there are no two of them.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn send_several(&self) -> Option<Result<usize, Refusal>> {
        let singles = || self.io.queue.singles(self.io.system.max_gso_segments());
        if self.io.singly > 0 || singles().nth(1).is_none() {
            return None;
        }
        let mut left = self.budget.write;
        let parcels = singles().map_while(|(route, bytes)| {
            let more = left > 0;
            left = left.saturating_sub(bytes.len().max(1));
            let (to, from) = self.io.own_form(route);
            more.then(|| sys::Parcel::new(to, from, bytes))
        });
        // An error is of the first.
        Some(sys::send(self.socket, parcels).map_err(|error| Refusal { count: 1, error }))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn send_several(&self) -> Option<Result<usize, Refusal>> {
        None
    }

    /// Hands over one datagram, or a run of them that goes to one place. `None` if there is none.
    fn send_one(&self) -> Option<Result<usize, Refusal>> {
        let count_max = if self.io.singly > 0 { 1 } else { self.io.system.max_gso_segments() };
        let run = self.io.queue.run(count_max)?;
        let (destination, src_ip) = self.io.own_form(run.route);
        let count = run.count;
        let segment_size = (count > 1).then_some(run.len);
        let transmit = Transmit { destination, ecn: None, contents: run.bytes, segment_size, src_ip };
        let sent = if self.io.peer.is_some() && !cfg!(any(target_os = "linux", target_os = "android")) {
            // Elsewhere a connected socket takes no destination, and nothing is sent in runs.
            rustix::net::send(self.socket, run.bytes, SendFlags::empty()).map(drop).map_err(io::Error::from)
        } else {
            self.io.system.try_send((&self.socket).into(), &transmit)
        };
        Some(sent.map(|()| count).map_err(|error| Refusal { count, error }))
    }

    /// The first datagram has left.
    fn sent(&mut self) {
        let Some(entry) = self.pop() else { return };
        self.core.stats.sent_bytes_total += entry.len as u64;
        self.core.stats.datagrams_sent_total += 1;
        // Empty ones count too, so that nothing can stay here for ever.
        self.budget.write = self.budget.write.saturating_sub(entry.len.max(1));
    }

    fn not_sent(&mut self, Refusal { count, error }: Refusal) {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.flags.remove(Flags::WRITABLE);
        } else if count > 1 {
            // Which of them is refused, and what for, is found one by one.
            self.io.singly = count;
        } else {
            self.refused(error);
        }
    }

    /// The system has refused the first datagram. It tells of earlier ones in the same way, so it is asked again once.
    fn refused(&mut self, error: io::Error) {
        let earlier = self.fetch_errors() > 0 || error.kind() == io::ErrorKind::ConnectionRefused;
        if earlier && !self.io.again {
            self.io.again = true;
            return;
        }
        let Some(Entry { route, len: length }) = self.pop() else { return };
        self.core.stats.datagrams_unsent_total += 1;
        self.deliver(|socket| UdpEvent::Unsent { socket, route, length, error });
    }

    fn pop(&mut self) -> Option<Entry> {
        self.io.singly = self.io.singly.saturating_sub(1);
        self.io.again = false;
        self.io.queue.pop()
    }

    /// Tells what the network says of datagrams that were sent earlier. Answers how much that was.
    fn fetch_errors(&mut self) -> usize {
        for count in 0..ERRORS_MAX {
            let Ok(Some(found)) = self.io.system.recv_transport_error((&self.socket).into()) else {
                return count;
            };
            let error = io::Error::from_raw_os_error(found.raw_errno);
            let by_network = matches!(found.payload, TransportErrorPayload::TooBig { .. });
            // This machine's own refusal is reported with the datagram.
            if by_network || !is_msg_size_err(&error) {
                let reporter = found.addr.map(|address: SocketAddr| canonical(address));
                self.deliver(|socket| UdpEvent::Failed { socket, reporter, error });
            }
        }
        self.io.error = true;
        ERRORS_MAX
    }
}
