//! Commands and messages for connections that are being made: kept until the connection exists, or given back.

use super::Driver;
use crate::application::Application;
use crate::command::Command;
use crate::context::{DriverContext, Subject};
use crate::token::ConnectionId;

impl<A: Application> Driver<A> {
    /// Carries out a command on something that is not in the table: it is being made, or has ended.
    #[cold]
    pub(super) fn do_command_early(&mut self, id: ConnectionId, command: Command<A::State, A::Message>) {
        match command {
            Command::Close(_) | Command::Abort(_) => self.give_up(id),
            Command::Message(_, message) if self.connects.is_making(id) => self.keep_message(id, message),
            Command::Message(_, message) => self.undelivered(id, message),
            // The mark of the wake stays with the name until the connection exists, or until the name is freed.
            Command::Wake(_) => {}
            Command::OpenMessages
            | Command::Drain(..)
            | Command::Retire(_)
            | Command::WantWrite(..)
            | Command::Insert(..)
            | Command::Connect(_)
            | Command::StartTls(..) => {}
        }
    }

    /// Keeps a message until the connection exists.
    pub(super) fn keep_message(&mut self, id: ConnectionId, message: A::Message) {
        if let Some(message) = self.core.pending.keep(id, message) {
            self.undelivered(id, message);
        }
    }

    /// Delivers the kept messages of a connection that exists now, ahead of those that were sent later. Its wake comes behind all of them:
    /// some may not have been looked at yet, as a turn carries out only so many commands.
    pub(crate) fn deliver_messages(&mut self, id: ConnectionId) {
        if self.core.ids.is_woken(id) {
            self.core.commands.push_back(Command::Wake(id));
        }
        for message in self.core.pending.take(id).into_iter().rev() {
            self.core.commands.push_front(Command::Message(id, message));
        }
    }

    /// Gives the kept messages of a connection that will never exist back to the application.
    pub(crate) fn return_messages(&mut self, id: ConnectionId) {
        for message in self.core.pending.take(id) {
            self.undelivered(id, message);
        }
    }

    pub(super) fn undelivered(&mut self, id: ConnectionId, message: A::Message) {
        let mut cx = DriverContext::new(&mut self.core, Subject::SERVICE);
        self.application.undelivered(&mut cx, id, message);
    }
}
