//! One turn of a descriptor that the application reads and writes: polls it, and delivers the events.

use crate::application::Application;
use crate::context::{DriverContext, Subject};
use crate::core::Core;
use crate::flags::Flags;
use crate::service::{Interest, Trigger};
use crate::slot::{Body, Slot};
use crate::token::ConnectionId;
use crate::watch::{Descriptor, DescriptorEvent, WatchState, Watched};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, BorrowedFd};

/// Gives a descriptor its turn, and arranges for the next one. Returns true if it has ended.
///
/// A report of the host is a hint, and an edge is reported only once, so the descriptor is polled here without
/// waiting.
pub(crate) fn take<A: Application>(
    application: &mut A,
    core: &mut Core<A>,
    id: ConnectionId,
    slot: &mut Slot<A::State>,
) -> bool {
    let Slot { body: Body::Watched(watched), socket, flags, registration, .. } = slot else { return false };
    let Watched { state, watch } = &mut **watched;
    let mut turn = DescriptorTurn { application, core, id, socket: socket.as_fd(), state, watch };
    if let Some(notice) = turn.watch.notice.take() {
        turn.deliver(notice);
    }
    let asked = Interest::READ.when(turn.watch.reading && flags.has(Flags::READABLE))
        | Interest::WRITE.when(turn.watch.writing && flags.has(Flags::WRITABLE));
    if !turn.watch.closing && !asked.is_empty() {
        let found = turn.look(asked);
        // A host that is not edge-triggered will report lasting readiness again.
        let reported_again = turn.core.trigger != Trigger::Edge;
        flags.set(Flags::READABLE, found.contains(Interest::READ) && !reported_again);
        flags.set(Flags::WRITABLE, found.contains(Interest::WRITE) && !reported_again);
    }
    if watch.closing {
        return true;
    }
    let possible = watch.reading && flags.has(Flags::READABLE) || watch.writing && flags.has(Flags::WRITABLE);
    if possible {
        core.list(id, flags);
    }
    if core.trigger != Trigger::Edge {
        registration.want(watch.interest(), id.token(), &mut core.changes);
    }
    false
}

struct DescriptorTurn<'t, A: Application> {
    application: &'t mut A,
    core: &'t mut Core<A>,
    id: ConnectionId,
    socket: BorrowedFd<'t>,
    state: &'t mut A::State,
    watch: &'t mut WatchState,
}

impl<A: Application> DescriptorTurn<'_, A> {
    fn deliver(&mut self, event: DescriptorEvent) {
        let mut cx = DriverContext::new(self.core, Subject::new(self.id, self.socket));
        let mut descriptor = Descriptor::new(self.socket, self.watch);
        self.application.descriptor(&mut cx, self.state, event, &mut descriptor);
    }

    /// Polls the descriptor and delivers the events. Returns the interest for which it may still be ready.
    fn look(&mut self, asked: Interest) -> Interest {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, asked.contains(Interest::READ));
        flags.set(PollFlags::OUT, asked.contains(Interest::WRITE));
        let mut asked = [PollFd::from_borrowed_fd(self.socket, flags)];
        if poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_err() {
            // The call was interrupted, so it has to be repeated.
            return Interest::BOTH;
        }
        let ready = asked[0].revents();
        let gone = ready.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
        if ready.contains(PollFlags::IN) {
            self.deliver(DescriptorEvent::Readable);
        } else if gone {
            (self.watch.reading, self.watch.writing) = (false, false);
            self.deliver(DescriptorEvent::HangUp);
            return Interest::BOTH;
        }
        if ready.contains(PollFlags::OUT) && !gone && !self.watch.closing {
            self.watch.writing = false;
            self.deliver(DescriptorEvent::Writable);
        }
        Interest::READ.when(ready.contains(PollFlags::IN) || gone)
            | Interest::WRITE.when(ready.contains(PollFlags::OUT) || gone)
    }
}
