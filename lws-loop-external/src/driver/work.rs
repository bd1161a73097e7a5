//! Work that no descriptor announces: messages, timers, turns that are left over, what handlers have asked for, the end.

use super::Driver;
use crate::application::Application;
use crate::context::{Command, Context, Drain, NEVER};
use crate::service::Wait;
use crate::table::{Body, Flags, Slot};
use crate::token::ConnectionId;
use crate::waker::Post;
use std::os::fd::AsFd;

/// What one call of [`Service::settle`](crate::Service::settle) does at most of each kind of work, before descriptors are looked at again.
const SETTLE_MAX: usize = 1_024;

impl<A: Application> Driver<A> {
    pub(super) fn look_into_mailbox(&mut self) {
        let (woken, mut posts) = self.core.mailbox.take();
        self.core.look_at_shards();
        if woken {
            self.application.notified(&mut Context {
                core: &mut self.core,
                connection: None,
                socket: None,
                tls: None,
            });
        }
        for post in posts.drain(..) {
            self.open(post);
        }
        self.core.mailbox.give_back(posts);
        self.take_answers();
    }

    fn open(&mut self, post: Post<A::Message>) {
        match post {
            Post::Message(message) => {
                let mut cx = Context { core: &mut self.core, connection: None, socket: None, tls: None };
                self.application.message(&mut cx, message);
            }
            Post::To(id, message) => {
                let command = Command::Message(id, message);
                if self.table.get(id).is_none() && self.core.ids.is_live(id) {
                    // It is about to be put into the table.
                    self.core.commands.push_back(command);
                } else {
                    self.do_command(command);
                }
            }
            Post::Socket(handover) => self.handed_over(*handover),
        }
    }

    pub(super) fn handle_timeouts(&mut self) {
        for _ in 0..SETTLE_MAX {
            let Some(index) = self.core.timers.pop_due(self.core.now) else { break };
            self.handle_timeout(index);
        }
        if self.core.timer.is_some_and(|at| at <= self.core.now) {
            self.core.timer = None;
            let mut cx = Context { core: &mut self.core, connection: None, socket: None, tls: None };
            self.application.timer(&mut cx);
        }
    }

    fn handle_timeout(&mut self, index: u32) {
        let Some(slot) = self.table.at(index) else { return self.attempt_timeout(index) };
        let id = ConnectionId { index, generation: slot.generation };
        slot.scheduled = NEVER;
        if let Body::Handshaking(_) = slot.body {
            return self.handshake_timeout(id);
        }
        if let Some(open) = slot.body.open_mut() {
            open.connection.handle_timeout(self.core.now);
            self.take_turn(id);
        }
    }

    pub(super) fn take_turns(&mut self) {
        for _ in 0..self.core.ready.len().min(SETTLE_MAX) {
            let Some(id) = self.core.ready.pop_front() else { break };
            if let Some(slot) = self.table.get(id) {
                slot.flags.remove(Flags::LISTED);
                self.take_turn(id);
            }
        }
    }

    pub(super) fn accept_waiting(&mut self) {
        let resume = self.core.listeners.next_resume().is_some_and(|at| at <= self.core.now);
        if std::mem::take(&mut self.core.listeners.waiting) || resume {
            for id in self.core.listeners.ids() {
                self.accept(id);
            }
        }
    }

    pub(super) fn do_commands(&mut self) {
        for _ in 0..SETTLE_MAX {
            let Some(command) = self.core.commands.pop_front() else { break };
            self.do_command(command);
        }
    }

    pub(super) fn do_command(&mut self, command: Command<A::State, A::Message>) {
        let id = match command {
            Command::Insert(id, slot, received) => return self.insert(id, *slot, received),
            Command::Connect(attempt) => return self.begin_attempt(attempt),
            Command::Wake(id)
            | Command::Message(id, _)
            | Command::WantWrite(id, _)
            | Command::Close(id)
            | Command::Abort(id) => id,
        };
        let Some(Slot { body, socket, .. }) = self.table.get(id) else {
            return self.do_command_early(id, command);
        };
        let Some(open) = body.open_mut() else {
            return self.do_command_elsewhere(id, command);
        };
        let socket = Some(socket.as_fd());
        let (connection, state, tls) = open.parts();
        match command {
            Command::Wake(_) => {
                if !self.core.ids.awake(id) {
                    return;
                }
                let mut cx = Context { core: &mut self.core, connection: Some(id), socket, tls };
                self.application.woken(&mut cx, state, connection);
            }
            Command::Message(_, message) => {
                let mut cx = Context { core: &mut self.core, connection: Some(id), socket, tls };
                self.application.message_to(&mut cx, state, connection, message);
            }
            Command::WantWrite(_, key) => {
                if let Some(mut stream) = connection.stream(key) {
                    stream.want_write();
                }
            }
            Command::Close(_) => connection.drain(self.core.now),
            Command::Abort(_) => connection.abort(),
            Command::Insert(..) | Command::Connect(_) => {}
        }
        self.take_turn(id);
    }

    pub(super) fn see_to_drain(&mut self) {
        match self.core.drain {
            Drain::No | Drain::Over => {}
            Drain::Asked(timeout) => {
                self.core.drain = Drain::Until(self.core.now + timeout);
                if let Some(seat) = &self.core.seat {
                    seat.close();
                }
                for id in self.core.listeners.ids() {
                    self.core.unlisten(id);
                }
                self.for_each(Command::Close);
            }
            Drain::Until(at) if at <= self.core.now => {
                self.core.drain = Drain::Over;
                self.for_each(Command::Abort);
            }
            Drain::Until(_) => {}
        }
    }

    fn for_each(&mut self, command: impl Fn(ConnectionId) -> Command<A::State, A::Message>) {
        for index in 0..self.table.end() {
            if let Some(slot) = self.table.at(index) {
                let id = ConnectionId { index, generation: slot.generation };
                self.do_command(command(id));
            }
        }
        for id in self.connects.ids() {
            self.do_command(command(id));
        }
    }

    pub(super) fn wait(&self) -> Wait {
        let core = &self.core;
        let asked = matches!(core.drain, Drain::Asked(_));
        if asked || !core.ready.is_empty() || !core.commands.is_empty() || core.listeners.waiting {
            return Wait::Now;
        }
        let drain = match core.drain {
            Drain::Until(at) => Some(at),
            Drain::No | Drain::Asked(_) | Drain::Over => None,
        };
        let moments = [core.timers.next(), core.timer, core.listeners.next_resume(), drain];
        match moments.into_iter().flatten().min() {
            Some(at) if at <= core.now => Wait::Now,
            Some(at) => Wait::Until(core.host_time(at)),
            None => Wait::Forever,
        }
    }
}
