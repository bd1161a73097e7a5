//! One turn of one connection: reads, delivers events to the application, writes, within a budget.
//!
//! The hot path. With one message per turn it makes one read and one write system call, and allocates nothing.

pub(crate) mod descriptor;
mod secured;

use self::secured::Secured;
use crate::application::Application;
use crate::buffers::Buffers;
use crate::connection_budget::ConnectionBudget;
use crate::context::{DriverContext, Subject};
use crate::core::Core;
use crate::flags::Flags;
use crate::open::Open;
use crate::service::{Interest, Trigger};
use crate::slot::{Body, Slot};
use crate::tls::Info;
use crate::token::ConnectionId;
use crate::transport::{self, Failed, Sent, Socket, Transport};
use lws_proto::{Connection, Event, Time, Transmit};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes of a file that take as long to send as one that is copied. Measured over loopback: 75 µs and 300 µs for 1 MiB.
const FILE_BYTES_FOR_ONE: usize = 4;

/// Gives a connection its turn, and arranges for the next one. Returns true if the connection has ended.
#[inline]
pub(crate) fn take<A: Application>(
    application: &mut A,
    core: &mut Core<A>,
    buffers: &mut Buffers,
    id: ConnectionId,
    slot: &mut Slot<A::State>,
) -> bool {
    let Slot { body, socket, flags, .. } = slot;
    let socket = socket.as_fd();
    let wants = match body {
        Body::Open(Open { connection, state, secure: None }) => {
            let carrier = Socket(socket);
            ConnectionTurn { application, core, buffers, id, connection, state, carrier, flags }.run()
        }
        Body::Open(Open { connection, state, secure: Some(secure) }) => {
            let carrier = Secured::new(socket, secure);
            ConnectionTurn { application, core, buffers, id, connection, state, carrier, flags }.run_apart()
        }
        Body::Piped(piped) => {
            let (Open { connection, state, .. }, carrier) = piped.lend(socket);
            ConnectionTurn { application, core, buffers, id, connection, state, carrier, flags }.run_apart()
        }
        _ => return false,
    };
    if wants.close {
        // Over TLS a missing `close_notify` already marks the end as incomplete, and a reset could discard an
        // alert.
        if wants.reset && matches!(slot.body, Body::Open(Open { secure: None, .. })) {
            transport::reset_on_close(slot.socket.as_fd());
        }
        return true;
    }
    provide(core, id, slot, &wants);
    false
}

/// Applies the wishes of a connection after its turn: the end of its direction, its deadline, another turn,
/// readiness.
#[inline(always)]
fn provide<A: Application>(
    core: &mut Core<A>,
    id: ConnectionId,
    slot: &mut Slot<A::State>,
    wants: &lws_proto::Interest,
) {
    if wants.shutdown && !wants.write && !slot.flags.has(Flags::SHUT) {
        slot.flags.insert(Flags::SHUT);
        match &mut slot.body {
            Body::Piped(piped) => piped.finish(),
            _ => transport::finish(slot.socket.as_fd()),
        }
    }
    // For a deadline that has moved back, the old timer stays and is set again when it fires.
    if let Some(deadline) = wants.deadline
        && deadline < slot.scheduled
    {
        slot.scheduled = deadline;
        core.timers.set(id.index, deadline);
    }
    let readable = wants.read && slot.flags.has(Flags::READABLE);
    let writable = wants.write && slot.flags.has(Flags::WRITABLE);
    if readable || writable || wants.service {
        core.list(id, &mut slot.flags);
    }
    if core.trigger != Trigger::Edge {
        let mut interest = Interest::READ.when(wants.read) | Interest::WRITE.when(wants.write && !writable);
        if let Body::Piped(piped) = &mut slot.body {
            interest = piped.divide(interest);
        } else if interest.is_empty() && !slot.flags.has(Flags::HUNG) {
            interest = Interest::FAILURE;
        }
        slot.registration.want(interest, id.token(), &mut core.changes);
    }
}

/// The carrier of a connection: a plain byte stream, or TLS on one. The trait has the steps of a turn that differ
/// between the two.
trait Carrier<'t>: Sized {
    /// The descriptor that is read.
    fn input(&self) -> BorrowedFd<'t>;

    /// What TLS has negotiated.
    fn info(&self) -> Option<&'t Info>;

    /// Offers queued bytes to the transport, once.
    fn send(&mut self, now: Time, transmit: Transmit<'_>) -> Sent;

    /// Runs at the beginning of a turn.
    fn begin<A: Application>(turn: &mut ConnectionTurn<'t, A, Self>, budget: &mut ConnectionBudget);

    /// Reads once. Returns how many bytes of the receive buffer are to be delivered.
    fn fill<A: Application>(turn: &mut ConnectionTurn<'t, A, Self>, budget: &mut ConnectionBudget) -> usize;

    /// The number of further bytes from the same read, once the ones before have been delivered.
    fn refill<A: Application>(turn: &mut ConnectionTurn<'t, A, Self>) -> usize;

    /// Runs at the end of a turn, and may change the wishes of the connection.
    fn end<A: Application>(
        turn: &mut ConnectionTurn<'t, A, Self>,
        wants: &mut lws_proto::Interest,
        budget: &mut ConnectionBudget,
    );
}

impl<'t, T: Transport<'t>> Carrier<'t> for T {
    #[inline]
    fn input(&self) -> BorrowedFd<'t> {
        Transport::input(self)
    }

    #[inline]
    fn info(&self) -> Option<&'t Info> {
        None
    }

    #[inline(always)]
    fn send(&mut self, _: Time, transmit: Transmit<'_>) -> Sent {
        Transport::send(self, transmit)
    }

    #[inline]
    fn begin<A: Application>(_: &mut ConnectionTurn<'t, A, Self>, _: &mut ConnectionBudget) {}

    #[inline(always)]
    fn fill<A: Application>(turn: &mut ConnectionTurn<'t, A, Self>, budget: &mut ConnectionBudget) -> usize {
        let room = turn.buffers.receive.len().min(budget.read);
        let received = turn.carrier.receive(&mut turn.buffers.receive[..room]);
        let n = turn.received(received, room, budget);
        if n == Some(0) {
            turn.connection.received_eof(turn.core.now());
        }
        n.unwrap_or(0)
    }

    #[inline]
    fn refill<A: Application>(_: &mut ConnectionTurn<'t, A, Self>) -> usize {
        0
    }

    #[inline]
    fn end<A: Application>(
        _: &mut ConnectionTurn<'t, A, Self>,
        _: &mut lws_proto::Interest,
        _: &mut ConnectionBudget,
    ) {
    }
}

/// A turn of a connection.
struct ConnectionTurn<'t, A: Application, C> {
    application: &'t mut A,
    core: &'t mut Core<A>,
    buffers: &'t mut Buffers,
    id: ConnectionId,
    connection: &'t mut Connection,
    state: &'t mut A::State,
    carrier: C,
    flags: &'t mut Flags,
}

impl<'t, A: Application, C: Carrier<'t>> ConnectionTurn<'t, A, C> {
    /// Runs the turn out of line, for the unusual carriers: see [`run`](Self::run).
    #[inline(never)]
    fn run_apart(self) -> lws_proto::Interest {
        self.run()
    }

    /// Runs the turn, and returns the connection's wishes afterwards. Inlined into its caller, as it is called for
    /// every message.
    #[inline(always)]
    fn run(mut self) -> lws_proto::Interest {
        self.buffers.lend(self.connection);
        let mut budget = ConnectionBudget::new(&self.core.options);
        C::begin(&mut self, &mut budget);
        let mut interest = loop {
            if self.flags.has(Flags::READABLE) && self.flags.has(Flags::READING) {
                self.receive(&mut budget);
            }
            self.transmit(&mut budget);
            let interest = self.connection.interest();
            self.flags.set(Flags::READING, interest.read);
            if interest.service && !budget.is_spent() {
                self.deliver_forced(&mut budget);
            } else if self.flags.has(Flags::FAILED) && !interest.read && !interest.close {
                // Reading is skipped, so the loop below does not read when the budget is used up.
                let (socket, now) = (self.carrier.input(), self.core.now());
                look_into_failure(socket, self.flags, self.connection, now);
            } else if budget.is_spent() || !(interest.read && self.flags.has(Flags::READABLE)) {
                break interest;
            }
        };
        C::end(&mut self, &mut interest, &mut budget);
        budget.charge(&self.core.options, &mut self.core.turn);
        self.buffers.reclaim(self.connection);
        interest
    }

    /// Reads once, and delivers what was read. The only caller of `deliver`, so that the compiler can inline that.
    #[inline(always)]
    fn receive(&mut self, budget: &mut ConnectionBudget) {
        let mut n = C::fill(self, budget);
        while n > 0 {
            self.deliver(n, budget);
            n = C::refill(self);
        }
    }

    /// Handles the result of a read into a buffer of `room` bytes. Returns the number of bytes, zero at the end,
    /// and `None` if nothing was read.
    #[inline(always)]
    fn received(
        &mut self,
        received: Result<usize, Errno>,
        room: usize,
        budget: &mut ConnectionBudget,
    ) -> Option<usize> {
        match received {
            Ok(n) => {
                self.core.stats.received_bytes_total += n as u64;
                budget.read = budget.read.saturating_sub(n);
                // A short read has emptied the socket, and new input will be reported. The exception is an end of
                // the peer that was reported already, and is not reported again.
                if n == 0 || n < room && !self.flags.has(Flags::HANG_UP) {
                    self.flags.remove(Flags::READABLE);
                }
                return Some(n);
            }
            Err(Errno::AGAIN) => self.flags.remove(Flags::READABLE),
            Err(Errno::INTR) => {}
            Err(_) => self.fail(),
        }
        None
    }

    /// Delivers the events of the first `n` bytes of the receive buffer.
    #[inline(always)]
    fn deliver(&mut self, n: usize, budget: &mut ConnectionBudget) {
        let now = self.core.now();
        let subject = Subject::new(self.id, self.carrier.input()).with_tls(self.carrier.info());
        let mut feed = self.connection.receive(now, &mut self.buffers.receive[..n]);
        let mut cx = DriverContext::new(self.core, subject);
        let mut stopped = None;
        loop {
            while let Some(event) = feed.next_event() {
                count(&mut cx, &event);
                self.application.event(&mut cx, self.state, event);
                if !budget.count(&mut cx.core.turn) {
                    return;
                }
            }
            // Input is left if the application stops reading until its answers have been sent.
            if feed.remaining() == 0 || budget.write == 0 || !self.flags.has(Flags::WRITABLE) {
                break;
            }
            let Some(transmit) = feed.transmit(now) else { break };
            match self.carrier.send(now, transmit) {
                Sent::All(n) => note_sent(cx.core, budget, n),
                Sent::OfFile(n) => note_sent_of_file(cx.core, budget, n),
                Sent::Part(n) => {
                    note_sent(cx.core, budget, n);
                    self.flags.remove(Flags::WRITABLE);
                }
                failure @ (Sent::Failed | Sent::Missing) => {
                    stopped = Some(failure);
                    break;
                }
            }
        }
        drop(feed);
        match stopped {
            Some(Sent::Missing) => cut(self.flags, self.connection),
            Some(_) => self.fail(),
            None => {}
        }
    }

    /// Delivers events that need no input: forced service.
    fn deliver_forced(&mut self, budget: &mut ConnectionBudget) {
        let subject = Subject::new(self.id, self.carrier.input()).with_tls(self.carrier.info());
        let mut cx = DriverContext::new(self.core, subject);
        loop {
            // Counted even without an event, so that this loop always ends.
            let goes_on = budget.count(&mut cx.core.turn);
            let Some(event) = self.connection.next_event() else { break };
            count(&mut cx, &event);
            self.application.event(&mut cx, self.state, event);
            if !goes_on {
                break;
            }
        }
    }

    /// Writes queued bytes, as far as the transport takes them.
    #[inline]
    fn transmit(&mut self, budget: &mut ConnectionBudget) {
        let now = self.core.now();
        while budget.write > 0 && self.flags.has(Flags::WRITABLE) {
            let Some(transmit) = self.connection.transmit(now) else { return };
            match self.carrier.send(now, transmit) {
                Sent::All(n) => note_sent(self.core, budget, n),
                Sent::OfFile(n) => note_sent_of_file(self.core, budget, n),
                Sent::Part(n) => {
                    note_sent(self.core, budget, n);
                    self.flags.remove(Flags::WRITABLE);
                }
                Sent::Failed => self.fail(),
                Sent::Missing => cut(self.flags, self.connection),
            }
        }
    }

    /// Handles a failed transport: nothing is read or written any more.
    #[inline(always)]
    fn fail(&mut self) {
        fail(self.flags, self.connection, self.core.now());
    }
}

// These functions take the parts that they change, and not the turn as a whole: passing a reference to the turn to a
// function that is not inlined would force the compiler to build the turn in memory for every message.

#[cold]
fn fail(flags: &mut Flags, connection: &mut Connection, now: Time) {
    flags.remove(Flags::READABLE);
    flags.remove(Flags::WRITABLE);
    connection.transport_failed(now);
}

/// Ends a connection whose content cannot be sent to its end. What is queued is dropped, so that the transport ends by a reset.
#[cold]
fn cut(flags: &mut Flags, connection: &mut Connection) {
    flags.remove(Flags::READABLE);
    flags.remove(Flags::WRITABLE);
    connection.abort();
}

/// Handles an error or an end that was reported while no input is taken, so that no read will find it. A reset ends the
/// connection at once; input before it is lost, as a paused connection cannot keep it.
#[cold]
fn look_into_failure(socket: BorrowedFd<'_>, flags: &mut Flags, connection: &mut Connection, now: Time) {
    flags.remove(Flags::FAILED);
    match transport::failure(socket) {
        Failed::Error => fail(flags, connection, now),
        Failed::HungUp => flags.insert(Flags::HUNG),
        Failed::No => {}
    }
}

#[inline]
fn note_sent<A: Application>(core: &mut Core<A>, budget: &mut ConnectionBudget, n: usize) {
    core.stats.sent_bytes_total += n as u64;
    budget.write = budget.write.saturating_sub(n);
}

/// Counts bytes of a file, of which a budget allows more: to send them takes a fraction of the time.
#[inline(never)]
fn note_sent_of_file<A: Application>(core: &mut Core<A>, budget: &mut ConnectionBudget, n: usize) {
    core.stats.sent_bytes_total += n as u64;
    budget.write = budget.write.saturating_sub(n.div_ceil(FILE_BYTES_FOR_ONE));
}

#[inline]
fn count<A: Application>(cx: &mut DriverContext<'_, A>, event: &Event<'_>) {
    if let Event::Closed { cause, .. } = event {
        cx.core.stats.count_closed(*cause);
    }
}
