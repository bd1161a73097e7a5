//! Work that no descriptor announces: messages, timers, turns that are left over, commands of handlers, the drain.

use super::Driver;
use crate::announced::ProxyFailure;
use crate::application::Application;
use crate::command::Command;
use crate::context::{DriverContext, Subject};
use crate::flags::Flags;
use crate::net;
use crate::service::Wait;
use crate::slot::{Body, NEVER, Slot};
use crate::token::ConnectionId;
use crate::turn;
use crate::waker::Post;
use std::collections::VecDeque;
use std::os::fd::AsFd;

/// The most that one call of [`Service::settle`](crate::Service::settle) does of each kind of work before descriptors
/// are polled again.
const SETTLE_MAX: usize = 1_024;

/// The most messages of other threads that one call of `settle` delivers: few enough that the output they cause is sent
/// in between and does not pile up.
const MESSAGES_MAX: usize = 64;

/// The most timers that one call of `settle` moves back before they fire.
const MOVED_BACK_MAX: usize = 64;

/// Commands about one connection that are carried out before it has its turn, so that their output leaves together.
const TOGETHER_MAX: usize = 32;

/// Among how many commands the next one about the same connection is looked for.
const LOOK_AHEAD: usize = 64;

/// Takes the next command about a connection from the queue, if it is one after which the connection goes on as before. Commands about
/// other connections have no order with it.
fn take_next<S, M>(commands: &mut VecDeque<Command<S, M>>, id: ConnectionId) -> Option<Command<S, M>> {
    for at in 0..commands.len().min(LOOK_AHEAD) {
        match commands.get(at)? {
            Command::Wake(of) | Command::Message(of, _) | Command::WantWrite(of, _) if *of == id => {
                return commands.remove(at);
            }
            Command::Drain(of, _)
            | Command::Insert(of, ..)
            | Command::StartTls(of, _)
            | Command::Close(of)
            | Command::Retire(of)
            | Command::Abort(of)
                if *of == id =>
            {
                return None;
            }
            // Messages of other threads come behind what was asked for before.
            Command::OpenMessages => return None,
            _ => {}
        }
    }
    None
}

impl<A: Application> Driver<A> {
    /// Queues the delivery of other threads' messages behind the commands so far, if there may be some.
    pub(super) fn look_into_mailbox(&mut self) {
        if self.core.messages.look() {
            self.core.commands.push_back(Command::OpenMessages);
        }
    }

    fn open_messages(&mut self) {
        let was_woken = self.core.messages.begin();
        self.core.look_at_shards();
        if was_woken {
            self.application.notified(&mut DriverContext::new(&mut self.core, Subject::SERVICE));
        }
        for _ in 0..MESSAGES_MAX {
            let Some(post) = self.core.messages.take() else { break };
            self.open(post);
            self.core.turn.use_steps(1);
            if self.core.messages.is_paced() || self.core.turn.is_half_spent() {
                break;
            }
        }
        self.take_answers();
    }

    fn open(&mut self, post: Post<A::Message>) {
        match post {
            Post::Message(message) => {
                let mut cx = DriverContext::new(&mut self.core, Subject::SERVICE);
                self.application.message(&mut cx, message);
            }
            Post::To(id, message) => {
                let command = Command::Message(id, message);
                if self.table.get(id).is_none() && self.core.ids.is_live(id) {
                    // The insertion of its target into the table is still queued, so the command goes behind that.
                    self.core.commands.push_back(command);
                } else {
                    self.do_command(command);
                }
            }
            Post::Socket(handover) => self.handed_over(*handover),
        }
    }

    pub(super) fn handle_timeouts(&mut self) {
        let mut looked = false;
        for _ in 0..SETTLE_MAX {
            if self.core.turn.is_half_spent() {
                break;
            }
            let Some(index) = self.core.timers.pop_due(self.core.now()) else { break };
            self.handle_timeout(index);
            self.core.turn.use_steps(1);
            looked = true;
        }
        if looked {
            self.move_timers_back();
        }
        if self.core.timer.is_some_and(|at| at <= self.core.now()) {
            self.core.timer = None;
            let mut cx = DriverContext::new(&mut self.core, Subject::SERVICE);
            self.application.timer(&mut cx);
        }
    }

    /// Sets those of the next timers anew whose deadlines have moved back, so that the host is not woken for each of them. A
    /// connection's first deadline is for its opening, and connections often come together.
    fn move_timers_back(&mut self) {
        for _ in 0..MOVED_BACK_MAX {
            let Some(index) = self.core.timers.next_index() else { break };
            let Some(slot) = self.table.at(index) else { break };
            let Some(deadline) = slot.body.deadline().filter(|deadline| *deadline > slot.scheduled) else {
                break;
            };
            slot.scheduled = deadline;
            self.core.timers.set(index, deadline);
        }
    }

    /// Handles a timer of the table, whose deadline may have come. The host may have been away for long, and input that
    /// came in time may lie in the socket, so that is read before the deadline is applied.
    fn handle_timeout(&mut self, index: u32) {
        let now = self.core.now();
        let Some(slot) = self.table.at(index) else { return self.attempt_timeout(index) };
        let id = ConnectionId { index, generation: slot.generation };
        slot.scheduled = NEVER;
        if !slot.body.is_due(now) {
            // The deadline has moved back; the turn sets the new timer.
            return self.turn_now(id);
        }
        self.look(id);
        let Some(slot) = self.table.get(id).filter(|slot| slot.body.is_due(now)) else { return };
        slot.scheduled = NEVER;
        self.core.timers.cancel(index);
        match slot.body {
            Body::Handshaking(_) => return self.handshake_timeout(id),
            Body::Announced(_) => return self.announcement_failed(id, ProxyFailure::Timeout),
            _ => {}
        }
        let Slot { body, socket, .. } = slot;
        if let Some(open) = body.open_mut() {
            // Asking how much is unacknowledged is a system call, so it is made only when a deadline is due.
            if let Some(under_way) = net::under_way(socket.as_fd()) {
                open.connection.delivered(now, under_way);
            }
            open.connection.handle_timeout(now);
            // The turn comes at once, even if the service's budget is used up, so that deadlines are handled in
            // their order.
            self.turn_now(id);
        }
    }

    /// Gives a connection a turn in which it reads and writes, whatever its host has reported.
    pub(super) fn look(&mut self, id: ConnectionId) {
        let Some(slot) = self.table.get(id) else { return };
        if let Body::Open(_) | Body::Piped(_) | Body::Handshaking(_) | Body::Announced(_) = slot.body {
            slot.flags.insert(Flags::READABLE | Flags::WRITABLE);
            if let Body::Handshaking(_) = slot.body {
                return self.look_at_handshake(id);
            }
            self.take_turn(id);
        }
    }

    pub(super) fn take_turns(&mut self) {
        for _ in 0..self.core.ready.len().min(SETTLE_MAX) {
            if self.core.turn.is_spent() {
                break;
            }
            let Self { application, core, table, buffers, .. } = self;
            let Some(id) = core.ready.pop_front() else { break };
            let Some(slot) = table.get(id) else { continue };
            slot.flags.remove(Flags::LISTED);
            // Almost all entries are established connections, which take the same short path as reported ones.
            if !matches!(slot.body, Body::Open(_)) {
                self.turn_now(id);
            } else if turn::take(application, core, buffers, id, slot) {
                self.end(id);
            }
        }
    }

    pub(super) fn accept_waiting(&mut self) {
        let resume = self.core.listeners.next_resume().is_some_and(|at| at <= self.core.now());
        if std::mem::take(&mut self.core.listeners.waiting) || resume {
            for id in self.core.listeners.ids() {
                self.accept(id);
            }
        }
    }

    pub(super) fn do_commands(&mut self) {
        for _ in 0..SETTLE_MAX {
            if self.core.turn.is_half_spent() {
                break;
            }
            let Some(command) = self.core.commands.pop_front() else { break };
            // What is published is delivered to one connection after the other, of each of which little is in the caches.
            if let Some(Command::Message(next, _)) = self.core.commands.front() {
                self.table.prefetch(*next);
            }
            self.do_command(command);
            self.core.turn.use_steps(1);
        }
    }

    pub(super) fn do_command(&mut self, command: Command<A::State, A::Message>) {
        let id = match command {
            Command::OpenMessages => return self.open_messages(),
            Command::Drain(id, looks) => return self.drain_connection(id, looks),
            Command::Insert(id, slot, received) => return self.insert(id, *slot, received),
            Command::Connect(attempt) => return self.begin_attempt(attempt),
            Command::StartTls(id, tls) => return self.upgrade(id, &*tls.0, tls.1),
            Command::Wake(id)
            | Command::Message(id, _)
            | Command::WantWrite(id, _)
            | Command::Close(id)
            | Command::Retire(id)
            | Command::Abort(id) => id,
        };
        let Some(Slot { body, socket, .. }) = self.table.get(id) else {
            return self.do_command_early(id, command);
        };
        let Some(open) = body.open_mut() else {
            return self.do_command_elsewhere(id, command);
        };
        let subject = Subject::new(id, socket.as_fd());
        let (connection, state, tls) = open.parts();
        // What is queued is mostly sent at once, in the turn below.
        self.buffers.lend(connection);
        // The streams of HTTP/2 are woken one by one: what all of them have to send leaves together.
        let mut more = if connection.is_http2() { TOGETHER_MAX } else { 0 };
        let mut next = Some(command);
        while let Some(command) = next.take() {
            match command {
                Command::Wake(_) => {
                    if self.core.ids.awake(id) {
                        let mut cx = DriverContext::new(&mut self.core, subject.with_tls(tls));
                        self.application.woken(&mut cx, state, connection);
                    }
                }
                Command::Message(_, message) => {
                    let mut cx = DriverContext::new(&mut self.core, subject.with_tls(tls));
                    self.application.message_to(&mut cx, state, connection, message);
                }
                Command::WantWrite(_, key) => {
                    if let Some(mut stream) = connection.stream(key) {
                        stream.want_write();
                    }
                }
                Command::Close(_) => connection.drain(self.core.now()),
                Command::Retire(_) => connection.retire(self.core.now()),
                Command::Abort(_) => connection.abort(),
                Command::OpenMessages
                | Command::Drain(..)
                | Command::Insert(..)
                | Command::Connect(_)
                | Command::StartTls(..) => {}
            }
            if more > 0 && !self.core.turn.is_half_spent() {
                more -= 1;
                next = take_next(&mut self.core.commands, id);
                self.core.turn.use_steps(usize::from(next.is_some()));
            }
        }
        if self.core.turn.is_spent() {
            self.buffers.reclaim(connection);
        }
        self.take_turn(id);
    }

    pub(super) fn wait(&self) -> Wait {
        let core = &self.core;
        if core.drain.is_forced()
            || self.handshakes.have_work()
            || !core.ready.is_empty()
            || !core.commands.is_empty()
            || core.listeners.waiting
            || core.messages.has_more()
        {
            return Wait::Now;
        }
        let moments =
            [core.timers.next(), core.timer, core.listeners.next_resume(), core.drain.next_timeout()];
        match moments.into_iter().flatten().min() {
            Some(at) if at <= core.now() => Wait::Now,
            Some(at) => Wait::Until(core.clock.host_time(at)),
            None => Wait::Forever,
        }
    }
}
