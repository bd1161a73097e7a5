//! One turn of a UDP socket: receives, delivers to the application, and sends, within a budget.

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

/// The most datagrams that one call receives. Each may be several that the system has joined (GRO).
const BATCH: usize = 8;
/// The buffer size for the longest datagram, or the longest joined one.
const PIECE: usize = 1 << 16;
/// The most errors of the network that one turn fetches. The system keeps only a few.
const ERRORS_MAX: usize = 64;

/// Gives a socket its turn, and arranges for the next one. Returns true if it has ended.
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

/// The refusal of a call that sends.
struct Refusal {
    /// The number of datagrams in the call, any of which may be the cause.
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

    /// Whether there is work that no host will announce.
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

    /// Receives once, and delivers every datagram.
    fn receive(&mut self, room: &mut Box<[u8]>) {
        if room.is_empty() {
            *room = vec![0; BATCH * PIECE].into_boxed_slice();
        }
        let mut found = [RecvMeta::default(); BATCH];
        let mut pieces = room.chunks_exact_mut(PIECE);
        let mut pieces: [_; BATCH] = array::from_fn(|_| IoSliceMut::new(pieces.next().unwrap_or_default()));
        match self.io.system.recv((&self.socket).into(), &mut pieces, &mut found) {
            Ok(count) => {
                // After a short batch the socket is empty. With edge triggers another receive is needed, as a
                // pending error would not be reported again.
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

    /// Delivers one datagram, or each of those that the system has joined.
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

    /// Sends queued datagrams, as far as the socket takes them.
    fn send(&mut self) {
        while self.budget.write > 0 && self.flags.has(Flags::WRITABLE) {
            match self.send_several().or_else(|| self.send_one()) {
                None => return,
                Some(Ok(count)) => (0..count).for_each(|_| self.sent()),
                Some(Err(refusal)) => self.not_sent(refusal),
            }
        }
    }

    /// Sends several datagrams with different destinations in one call. `None` if the queue does not begin with two
    /// such datagrams.
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
        // An error of sendmmsg(2) is about the first datagram.
        Some(sys::send(self.socket, parcels).map_err(|error| Refusal { count: 1, error }))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn send_several(&self) -> Option<Result<usize, Refusal>> {
        None
    }

    /// Sends one datagram, or a run with one destination. `None` if the queue is empty.
    fn send_one(&self) -> Option<Result<usize, Refusal>> {
        let count_max = if self.io.singly > 0 { 1 } else { self.io.system.max_gso_segments() };
        let run = self.io.queue.run(count_max)?;
        let (destination, src_ip) = self.io.own_form(run.route);
        let count = run.count;
        let segment_size = (count > 1).then_some(run.len);
        let transmit = Transmit { destination, ecn: None, contents: run.bytes, segment_size, src_ip };
        let sent = if self.io.peer.is_some() && !cfg!(any(target_os = "linux", target_os = "android")) {
            // On other systems a connected socket accepts no destination, and runs are not supported.
            rustix::net::send(self.socket, run.bytes, SendFlags::empty()).map(drop).map_err(io::Error::from)
        } else {
            self.io.system.try_send((&self.socket).into(), &transmit)
        };
        Some(sent.map(|()| count).map_err(|error| Refusal { count, error }))
    }

    /// Removes the first datagram, which was sent.
    fn sent(&mut self) {
        let Some(entry) = self.pop() else { return };
        self.core.stats.sent_bytes_total += entry.len as u64;
        self.core.stats.datagrams_sent_total += 1;
        // An empty datagram counts as one byte, so that the budget always ends.
        self.budget.write = self.budget.write.saturating_sub(entry.len.max(1));
    }

    fn not_sent(&mut self, Refusal { count, error }: Refusal) {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.flags.remove(Flags::WRITABLE);
        } else if count > 1 {
            // Sending them one by one finds the datagram that the system refuses, and the reason.
            self.io.singly = count;
        } else {
            self.refused(error);
        }
    }

    /// Handles a refusal of the first datagram. The system reports errors of earlier datagrams in the same way, so the
    /// datagram is tried once more.
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

    /// Delivers errors of the network about earlier datagrams. Returns how many there were.
    fn fetch_errors(&mut self) -> usize {
        for count in 0..ERRORS_MAX {
            let Ok(Some(found)) = self.io.system.recv_transport_error((&self.socket).into()) else {
                return count;
            };
            let error = io::Error::from_raw_os_error(found.raw_errno);
            let by_network = matches!(found.payload, TransportErrorPayload::TooBig { .. });
            // A local EMSGSIZE was reported with its datagram already.
            if by_network || !is_msg_size_err(&error) {
                let reporter = found.addr.map(|address: SocketAddr| canonical(address));
                self.deliver(|socket| UdpEvent::Failed { socket, reporter, error });
            }
        }
        self.io.error = true;
        ERRORS_MAX
    }
}
