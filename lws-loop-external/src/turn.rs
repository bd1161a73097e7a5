//! One turn of one connection: read, tell the application, write, within a budget.
//!
//! The hot path. With one message per turn it makes one read and one write system call, and allocates nothing.

mod secured;

use self::secured::Secured;
use crate::application::Application;
use crate::budget::TurnBudget;
use crate::context::{Context, Core};
use crate::options::DriverOptions;
use crate::service::{Interest, Trigger};
use crate::table::{Body, Flags, Open, Slot};
use crate::tls::{Info, Opened};
use crate::token::ConnectionId;
use crate::transport::{self, Failed, Sent, Socket, Transport};
use crate::udp::turn::Room;
use lws_proto::{Connection, Event, Time, Transmit};
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

/// The buffers that all connections of a service share: an idle one holds none.
pub(crate) struct Buffers {
    pub(crate) datagrams: Room,
    pub(crate) receive: Box<[u8]>,
    transmit: Vec<u8>,
    /// What TLS has to open. Empty until there is a first such connection.
    pub(crate) ciphertext: Vec<u8>,
    /// What TLS has sealed.
    pub(crate) sealed: Vec<u8>,
    /// What is left of `ciphertext` to open, in the middle of a turn.
    pub(crate) left: Left,
}

/// What a fresh transmit buffer has room for. It grows to what one turn queues.
const TRANSMIT_BYTES: usize = 16 << 10;
/// A transmit buffer that one large payload has made larger than this is not kept.
const TRANSMIT_BYTES_MAX: usize = 1 << 20;
const RECEIVE_BYTES_MIN: usize = 1 << 10;

impl Buffers {
    pub(crate) fn new(options: &DriverOptions) -> Self {
        let receive = vec![0; options.receive_buffer_bytes.max(RECEIVE_BYTES_MIN)].into_boxed_slice();
        let (transmit, ciphertext, sealed) = (Vec::new(), Vec::new(), Vec::new());
        Self { datagrams: Room::default(), receive, transmit, ciphertext, sealed, left: Left::default() }
    }

    /// Makes the buffers that only TLS needs.
    pub(crate) fn prepare_secure(&mut self) {
        if self.ciphertext.is_empty() {
            self.ciphertext = vec![0; self.receive.len()];
        }
        if self.sealed.capacity() == 0 {
            self.sealed.reserve(TRANSMIT_BYTES);
        }
    }
}

/// What a session has said of the ciphertext of one read, and what it has not seen.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) part: Range<usize>,
    /// What came last; its plaintext may still have to be told.
    pub(crate) opened: Opened,
    /// The handshake has just been done: `opened` was not told yet. If so, whether the socket is readable.
    pub(crate) first: Option<bool>,
}

/// Gives back what one large payload has made larger than is worth keeping.
#[inline]
fn trim(buffer: &mut Vec<u8>) {
    if buffer.capacity() > TRANSMIT_BYTES_MAX {
        *buffer = Vec::new();
    }
}

/// What a connection may still do in this turn.
pub(crate) struct Budget {
    pub(crate) read: usize,
    pub(crate) write: usize,
    pub(crate) events: usize,
}

/// What a turn of a connection costs beside its events, in steps: a read, a write, and what goes around them.
const TURN_STEPS: usize = 4;

impl Budget {
    /// None of the options is zero: they were validated.
    #[inline]
    pub(crate) fn new(options: &DriverOptions) -> Self {
        Self {
            read: options.read_bytes_per_turn,
            write: options.write_bytes_per_turn,
            events: options.events_per_turn,
        }
    }

    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.read == 0 || self.write == 0 || self.events == 0
    }

    /// Counts an event, also as a step of the service's turn. False if it was the last one of either.
    #[inline(always)]
    pub(crate) fn count(&mut self, turn: &mut TurnBudget) -> bool {
        self.events = self.events.saturating_sub(1);
        if turn.use_step() {
            self.events = 0;
        }
        self.events > 0
    }

    /// Charges the turn of the service with that of the connection.
    #[inline]
    pub(crate) fn charge(&self, options: &DriverOptions, turn: &mut TurnBudget) {
        turn.use_steps(TURN_STEPS);
        turn.use_bytes(options.read_bytes_per_turn - self.read + options.write_bytes_per_turn - self.write);
    }
}

/// Gives a connection its turn, and sees to what it wants next. True if it has ended.
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
            Turn { application, core, buffers, id, connection, state, carrier, flags }.run()
        }
        Body::Open(Open { connection, state, secure: Some(secure) }) => {
            let carrier = Secured::new(socket, secure);
            Turn { application, core, buffers, id, connection, state, carrier, flags }.run_apart()
        }
        Body::Piped(piped) => {
            let (Open { connection, state, .. }, carrier) = piped.lend(socket);
            Turn { application, core, buffers, id, connection, state, carrier, flags }.run_apart()
        }
        _ => return false,
    };
    if wants.close {
        // Over TLS what is cut shows by the want of `close_notify`, and a reset could overtake an alert.
        if wants.reset && matches!(slot.body, Body::Open(Open { secure: None, .. })) {
            transport::reset_on_close(slot.socket.as_fd());
        }
        return true;
    }
    if wants.shutdown && !wants.write && !slot.flags.has(Flags::SHUT) {
        slot.flags.insert(Flags::SHUT);
        match &mut slot.body {
            Body::Piped(piped) => piped.finish(),
            _ => transport::finish(slot.socket.as_fd()),
        }
    }
    // A deadline that has moved back is seen to when the old one comes.
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
    false
}

/// What carries a connection: a byte stream as it is, or TLS on one. What a turn does for one of them only is here.
trait Carrier<'t>: Sized {
    /// The descriptor that is read.
    fn input(&self) -> BorrowedFd<'t>;

    /// What TLS has agreed on.
    fn info(&self) -> Option<&'t Info>;

    /// Offers queued bytes to the transport, once.
    fn send(&mut self, now: Time, transmit: Transmit<'_>) -> Sent;

    /// Before anything else of a turn.
    fn begin<A: Application>(turn: &mut Turn<'t, A, Self>, budget: &mut Budget);

    /// Reads once. Answers how many bytes of the receive buffer are to be told.
    fn fill<A: Application>(turn: &mut Turn<'t, A, Self>, budget: &mut Budget) -> usize;

    /// How many bytes more there are of what was read, once those before have been told.
    fn refill<A: Application>(turn: &mut Turn<'t, A, Self>) -> usize;

    /// After everything else of a turn, which may change what the connection wants.
    fn end<A: Application>(
        turn: &mut Turn<'t, A, Self>,
        wants: &mut lws_proto::Interest,
        budget: &mut Budget,
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
    fn begin<A: Application>(_: &mut Turn<'t, A, Self>, _: &mut Budget) {}

    #[inline(always)]
    fn fill<A: Application>(turn: &mut Turn<'t, A, Self>, budget: &mut Budget) -> usize {
        let room = turn.buffers.receive.len().min(budget.read);
        let received = turn.carrier.receive(&mut turn.buffers.receive[..room]);
        let n = turn.received(received, room, budget);
        if n == Some(0) {
            turn.connection.received_eof(turn.core.now);
        }
        n.unwrap_or(0)
    }

    #[inline]
    fn refill<A: Application>(_: &mut Turn<'t, A, Self>) -> usize {
        0
    }

    #[inline]
    fn end<A: Application>(_: &mut Turn<'t, A, Self>, _: &mut lws_proto::Interest, _: &mut Budget) {}
}

/// A connection whose turn it is.
struct Turn<'t, A: Application, C> {
    application: &'t mut A,
    core: &'t mut Core<A>,
    buffers: &'t mut Buffers,
    id: ConnectionId,
    connection: &'t mut Connection,
    state: &'t mut A::State,
    carrier: C,
    flags: &'t mut Flags,
}

impl<'t, A: Application, C: Carrier<'t>> Turn<'t, A, C> {
    /// The same as [`run`](Self::run), for what is not the usual case.
    #[inline(never)]
    fn run_apart(self) -> lws_proto::Interest {
        self.run()
    }

    /// Does what there is to do, and says what remains. In one piece with its caller, as it is called for every message.
    #[inline(always)]
    fn run(mut self) -> lws_proto::Interest {
        if self.buffers.transmit.capacity() == 0 {
            self.buffers.transmit.reserve(TRANSMIT_BYTES);
        }
        self.connection.lend(&mut self.buffers.transmit);
        let mut budget = Budget::new(&self.core.options);
        C::begin(&mut self, &mut budget);
        let mut interest = loop {
            if self.flags.has(Flags::READABLE) && self.flags.has(Flags::READING) {
                self.receive(&mut budget);
            }
            self.transmit(&mut budget);
            let interest = self.connection.interest();
            self.flags.set(Flags::READING, interest.read);
            if interest.service && !budget.is_spent() {
                self.tell_forced(&mut budget);
                continue;
            }
            if budget.is_spent() || !(interest.read && self.flags.has(Flags::READABLE)) {
                break interest;
            }
        };
        if self.flags.has(Flags::FAILED) && !interest.read && !interest.close {
            interest = self.look_into_failure();
        }
        C::end(&mut self, &mut interest, &mut budget);
        budget.charge(&self.core.options, &mut self.core.turn);
        self.connection.reclaim(&mut self.buffers.transmit);
        trim(&mut self.buffers.transmit);
        interest
    }

    /// Reads once, and tells what was read. The one place that tells, so that it stays in one piece with its caller.
    #[inline(always)]
    fn receive(&mut self, budget: &mut Budget) {
        let mut n = C::fill(self, budget);
        while n > 0 {
            self.tell(n, budget);
            n = C::refill(self);
        }
    }

    /// Notes what came of a read into a buffer of `room` bytes. Some if it read something, or the end.
    #[inline(always)]
    fn received(
        &mut self,
        received: Result<usize, Errno>,
        room: usize,
        budget: &mut Budget,
    ) -> Option<usize> {
        match received {
            Ok(n) => {
                self.core.stats.received_bytes_total += n as u64;
                budget.read = budget.read.saturating_sub(n);
                // A short read has emptied the socket, and what comes next is reported. The end of the peer may
                // have been reported already.
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

    /// Tells the application what the first `n` bytes of the receive buffer say.
    #[inline(always)]
    fn tell(&mut self, n: usize, budget: &mut Budget) {
        let now = self.core.now;
        let (socket, tls) = (Some(self.carrier.input()), self.carrier.info());
        let mut feed = self.connection.receive(now, &mut self.buffers.receive[..n]);
        let mut cx = Context { core: self.core, connection: Some(self.id), socket, tls };
        let mut failed = false;
        loop {
            while let Some(event) = feed.next_event() {
                count(&mut cx, &event);
                self.application.event(&mut cx, self.state, event);
                if !budget.count(&mut cx.core.turn) {
                    return;
                }
            }
            // Input is left when the application wants none before its answers have gone.
            if feed.remaining() == 0 || budget.write == 0 || !self.flags.has(Flags::WRITABLE) {
                break;
            }
            let Some(transmit) = feed.transmit(now) else { break };
            match self.carrier.send(now, transmit) {
                Sent::All(n) => note_sent(cx.core, budget, n),
                Sent::Part(n) => {
                    note_sent(cx.core, budget, n);
                    self.flags.remove(Flags::WRITABLE);
                }
                Sent::Failed => {
                    failed = true;
                    break;
                }
            }
        }
        drop(feed);
        if failed {
            self.fail();
        }
    }

    /// Tells the application what it can be told without input.
    fn tell_forced(&mut self, budget: &mut Budget) {
        let (socket, tls) = (Some(self.carrier.input()), self.carrier.info());
        let mut cx = Context { core: self.core, connection: Some(self.id), socket, tls };
        loop {
            // Also when there is nothing to tell, so that nothing can turn here for ever.
            let goes_on = budget.count(&mut cx.core.turn);
            let Some(event) = self.connection.next_event() else { break };
            count(&mut cx, &event);
            self.application.event(&mut cx, self.state, event);
            if !goes_on {
                break;
            }
        }
    }

    /// Writes what is queued, as far as the transport takes it.
    #[inline]
    fn transmit(&mut self, budget: &mut Budget) {
        let now = self.core.now;
        while budget.write > 0 && self.flags.has(Flags::WRITABLE) {
            let Some(transmit) = self.connection.transmit(now) else { return };
            match self.carrier.send(now, transmit) {
                Sent::All(n) => note_sent(self.core, budget, n),
                Sent::Part(n) => {
                    note_sent(self.core, budget, n);
                    self.flags.remove(Flags::WRITABLE);
                }
                Sent::Failed => self.fail(),
            }
        }
    }

    /// An error or an end was reported that no read will meet, as no input is taken: a reset ends the connection at once, and
    /// what came before it is lost, as a pause cannot keep it.
    #[cold]
    fn look_into_failure(&mut self) -> lws_proto::Interest {
        self.flags.remove(Flags::FAILED);
        match transport::failure(self.carrier.input()) {
            Failed::Error => self.fail(),
            Failed::HungUp => self.flags.insert(Flags::HUNG),
            Failed::No => {}
        }
        self.connection.interest()
    }

    #[cold]
    fn fail(&mut self) {
        self.flags.remove(Flags::READABLE);
        self.flags.remove(Flags::WRITABLE);
        self.connection.transport_failed(self.core.now);
    }
}

#[inline]
fn note_sent<A: Application>(core: &mut Core<A>, budget: &mut Budget, n: usize) {
    core.stats.sent_bytes_total += n as u64;
    budget.write = budget.write.saturating_sub(n);
}

#[inline]
fn count<A: Application>(cx: &mut Context<'_, A>, event: &Event<'_>) {
    if let Event::Closed { cause, .. } = event {
        cx.core.stats.count_closed(*cause);
    }
}
