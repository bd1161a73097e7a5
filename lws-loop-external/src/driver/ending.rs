//! The end of an entry of the table: the calls to the application, and the other parts that are informed.

use super::Driver;
use crate::admission::Standing;
use crate::application::Application;
use crate::connect::{ConnectCause, ConnectError, ConnectPhase};
use crate::context::{DriverContext, Subject};
use crate::handshake::{Handshaking, Side};
use crate::slot::Body;
use crate::token::ConnectionId;
use lws_proto::Cause;
use std::os::fd::AsFd;

/// The remaining work for an entry that has ended.
struct Ending<S> {
    report: Report<S>,
    /// The entry of the output of a connection over files, which ends with it.
    output: Option<ConnectionId>,
    /// The standing of an accepted connection whose handshake was not done: another handshake may begin in its
    /// place.
    standing: Option<Standing>,
}

/// The report of an end to the application.
enum Report<S> {
    Closed(S),
    /// The peer was sent GOAWAY with an error, which is reported before the end.
    SentAway(S, Cause),
    /// An outgoing connection was still in its handshake, so its end is that it could not be made.
    ConnectFailed(S, ConnectError),
    /// No report: the entry is the output of a connection, whose own end is reported, or was never accepted.
    Nothing,
}

impl<S> Report<S> {
    fn into_ending(self) -> Ending<S> {
        Ending { report: self, output: None, standing: None }
    }
}

/// Takes an entry apart. `None` if it had ended before.
fn take_apart<S>(body: Body<S>, cause: ConnectCause) -> Option<Ending<S>> {
    Some(match body {
        Body::Open(open) => match open.connection.sent_away() {
            Some(cause) => Report::SentAway(open.state, cause).into_ending(),
            None => Report::Closed(open.state).into_ending(),
        },
        Body::Handshaking(shaking) => {
            let Handshaking { side, state, .. } = *shaking;
            match side {
                Side::Server { standing, .. } => Ending { standing, ..Report::Closed(state).into_ending() },
                Side::Upgrade { .. } => Report::Closed(state).into_ending(),
                Side::Client { origin, .. } => {
                    Report::ConnectFailed(state, origin.into_error(cause)).into_ending()
                }
            }
        }
        Body::Piped(piped) => {
            let output = piped.output().map(|(place, _)| place);
            Ending { output, ..Report::Closed(piped.into_state()).into_ending() }
        }
        Body::Watched(watched) => Report::Closed(watched.state).into_ending(),
        Body::Datagrams(datagrams) => Report::Closed(datagrams.state).into_ending(),
        Body::Output(_) | Body::Announced(_) => Report::Nothing.into_ending(),
        Body::Ended => return None,
    })
}

impl<A: Application> Driver<A> {
    /// Ends an entry of the table. Its descriptor stays open until the host has let go of it.
    #[cold]
    pub(super) fn end(&mut self, id: ConnectionId) {
        self.end_with(id, ConnectCause::GivenUp { phase: ConnectPhase::Tls });
    }

    /// Ends an entry of the table. An outgoing connection that is still in its handshake fails with `cause`.
    pub(super) fn end_with(&mut self, id: ConnectionId, cause: ConnectCause) {
        let Some(slot) = self.table.get(id) else { return };
        let body = std::mem::replace(&mut slot.body, Body::Ended);
        let Some(Ending { report, output, standing }) = take_apart(body, cause) else { return };
        let mut cx = DriverContext::new(&mut self.core, Subject::new(id, slot.socket.as_fd()));
        match report {
            Report::Closed(state) => self.application.closed(&mut cx, state),
            Report::SentAway(mut state, cause) => {
                cx.core.stats.count_sent_away(cause);
                self.application.sent_away(&mut cx, &mut state, cause);
                self.application.closed(&mut cx, state);
            }
            Report::ConnectFailed(state, error) => {
                cx.core.stats.connect_failed_total += 1;
                self.application.connect_failed(&mut cx, state, error);
            }
            Report::Nothing => {}
        }
        self.core.timers.cancel(id.index);
        slot.registration.remove(id.token(), &mut self.core.changes);
        if let Some(place) = output {
            self.update_output(place, None);
        }
        if let Some(standing) = standing {
            self.leave_handshakes(standing);
        }
        self.return_messages(id);
    }
}
