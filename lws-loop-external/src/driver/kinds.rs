//! The driver's handling of descriptors other than connection sockets: pipes, watched descriptors, UDP.

use super::Driver;
use crate::application::Application;
use crate::command::Command;
use crate::flags::Flags;
use crate::service::{Interest, Readiness, Trigger};
use crate::slot::Body;
use crate::token::ConnectionId;
use crate::udp::Notice;
use crate::watch::DescriptorEvent;
use std::io;

impl<A: Application> Driver<A> {
    /// Handles readiness of such a descriptor. The flags have noted it already.
    pub(super) fn ready_elsewhere(&mut self, id: ConnectionId, ready: Readiness) {
        let Some(slot) = self.table.get(id) else { return };
        match &mut slot.body {
            Body::Datagrams(datagrams) if ready.contains(Readiness::ERROR) => datagrams.io.note_error(),
            Body::Output(of) => {
                let of = *of;
                if let Some(slot) = self.table.get(of) {
                    // Any readiness of an output leads to a write, which finds an error or a hang-up too.
                    slot.flags.insert(Flags::WRITABLE);
                    self.turn_in_line(of);
                }
                return;
            }
            _ => {}
        }
        self.turn_in_line(id);
    }

    /// Delivers the bytes that were received before the descriptor was adopted to the engine.
    pub(super) fn receive_first(&mut self, id: ConnectionId, mut received: Box<[u8]>) {
        let Some(open) = self.table.get(id).and_then(|slot| slot.body.open_mut()) else { return };
        // The engine keeps bytes whose events are not taken, and the next turn delivers those before it reads.
        drop(open.connection.receive(self.core.now(), &mut received));
        self.take_turn(id);
    }

    /// Updates what the output of a connection is watched for, or removes it.
    pub(super) fn update_output(&mut self, place: ConnectionId, wanted: Option<Interest>) {
        let Self { core, table, .. } = self;
        let Some(slot) = table.get(place) else { return };
        match wanted {
            Some(_) if core.trigger == Trigger::Edge => {}
            Some(wanted) => slot.registration.want(wanted, place.token(), &mut core.changes),
            None if matches!(slot.body, Body::Ended) => {}
            None => {
                slot.body = Body::Ended;
                slot.registration.remove(place.token(), &mut core.changes);
            }
        }
    }

    /// Carries out a command on an entry that is not an established connection.
    pub(super) fn do_command_elsewhere(&mut self, id: ConnectionId, command: Command<A::State, A::Message>) {
        let Some(slot) = self.table.get(id) else { return };
        if matches!(command, Command::Wake(_)) && !matches!(slot.body, Body::Handshaking(_)) {
            self.core.ids.awake(id);
        }
        match (&mut slot.body, command) {
            (Body::Handshaking(_), Command::Message(_, message)) => return self.keep_message(id, message),
            (_, Command::Message(_, message)) => return self.undelivered(id, message),
            // An output ends only with its connection.
            (Body::Output(_), _) => return,
            (Body::Watched(watched), Command::Wake(_)) => watched.watch.notify(DescriptorEvent::Woken),
            (Body::Datagrams(datagrams), Command::Wake(_)) => datagrams.io.notify(Notice::Woken),
            (Body::Datagrams(datagrams), Command::Close(_)) => datagrams.io.close(),
            (_, Command::Close(_) | Command::Abort(_)) => return self.end(id),
            _ => return,
        }
        self.take_turn(id);
    }

    /// Handles the host's refusal to watch an entry of the table.
    pub(super) fn refused_in_table(&mut self, id: ConnectionId, error: io::Error) {
        let Some(slot) = self.table.get(id) else { return };
        match &mut slot.body {
            Body::Output(of) => {
                let of = *of;
                return self.do_command(Command::Abort(of));
            }
            Body::Watched(watched) => watched.watch.notify(DescriptorEvent::Refused(error)),
            Body::Datagrams(datagrams) => datagrams.io.notify(Notice::Refused(error)),
            _ => return self.do_command(Command::Abort(id)),
        }
        self.take_turn(id);
    }
}
