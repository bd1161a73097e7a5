//! Connections of proxies, which say first whom they stand for.

use super::accept::{AcceptedAs, accept_as};
use super::{Driver, prepare};
use crate::announced::{Announced, Announcement, ProxyFailure};
use crate::application::Application;
use crate::context::{DriverContext, Subject};
use crate::flags::Flags;
use crate::service::{Interest, Trigger};
use crate::slot::{Body, NEVER};
use crate::token::ConnectionId;
use std::os::fd::AsFd;

impl<A: Application> Driver<A> {
    /// Reads what has come of a header. Behind it the connection is accepted as that of the peer which it names.
    #[cold]
    pub(super) fn read_announcement(&mut self, id: ConnectionId) {
        let Self { core, table, .. } = self;
        let Some(slot) = table.get(id) else { return };
        let Body::Announced(announced) = &mut slot.body else { return };
        match announced.read(slot.socket.as_fd(), &mut slot.flags, &mut core.stats) {
            Announcement::Waiting => {
                if core.trigger != Trigger::Edge {
                    slot.registration.want(Interest::READ, id.token(), &mut core.changes);
                }
            }
            Announcement::For(peer) => {
                announced.peer = peer;
                self.announced(id);
            }
            Announcement::Failed(failure) => self.announcement_failed(id, failure),
        }
    }

    fn announced(&mut self, id: ConnectionId) {
        let Some(slot) = self.table.get(id) else { return };
        let Body::Announced(announced) = std::mem::replace(&mut slot.body, Body::Ended) else { return };
        let Announced { listener, peer, tls, .. } = *announced;
        let socket = slot.socket.as_fd();
        let accepted = AcceptedAs { id, socket, listener, peer: &peer, plain: tls.is_none() };
        let Some(begun) = accept_as(&mut self.application, &mut self.core, accepted) else {
            self.core.timers.cancel(id.index);
            slot.registration.remove(id.token(), &mut self.core.changes);
            return self.return_messages(id);
        };
        let body = self.body_of(id, begun, tls, &peer);
        self.core.timers.cancel(id.index);
        let Some(slot) = self.table.get(id) else { return };
        slot.body = body;
        slot.scheduled = NEVER;
        // What lies behind the header may have been reported with it.
        slot.flags.insert(Flags::READABLE | Flags::READING);
        prepare(&mut self.core, id, slot);
        self.take_turn(id);
    }

    /// No header has come in time, or none that is one: the connection is closed, and nothing is said to it.
    #[cold]
    pub(super) fn announcement_failed(&mut self, id: ConnectionId, failure: ProxyFailure) {
        let Some(slot) = self.table.get(id) else { return };
        let Body::Announced(announced) = &slot.body else { return };
        self.core.stats.proxy_headers_refused_total += 1;
        let (listener, peer) = (announced.listener, announced.peer);
        let mut cx = DriverContext::new(&mut self.core, Subject::new(id, slot.socket.as_fd()));
        self.application.proxy_failed(&mut cx, listener, &peer, failure);
        self.end(id);
    }
}
