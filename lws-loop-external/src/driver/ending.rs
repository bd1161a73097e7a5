//! The end of whatever has a place in the table: what the application hears, and who else has to know.

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

/// What is left to do for something that has ended.
struct Ending<S> {
    report: Report<S>,
    /// The output of a connection over files, which ends with it.
    output: Option<ConnectionId>,
    /// The standing of an accepted connection whose handshake was not over: another may begin in its place.
    standing: Option<Standing>,
}

/// What the application hears of an end.
enum Report<S> {
    Closed(S),
    /// The peer was sent GOAWAY for something that it did, which is reported first.
    SentAway(S, Cause),
    /// An outgoing connection that was still in its handshake has never been one.
    ConnectFailed(S, ConnectError),
    /// Nothing: the end of the connection that it belongs to is reported.
    Nothing,
}

impl<S> Report<S> {
    fn into_ending(self) -> Ending<S> {
        Ending { report: self, output: None, standing: None }
    }
}

/// Takes apart what has ended. `None` if it had ended before.
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
        Body::Output(_) => Report::Nothing.into_ending(),
        Body::Ended => return None,
    })
}

impl<A: Application> Driver<A> {
    /// Ends what has a place in the table. The descriptor stays until the host lets go of it.
    #[cold]
    pub(super) fn end(&mut self, id: ConnectionId) {
        self.end_with(id, ConnectCause::GivenUp { phase: ConnectPhase::Tls });
    }

    /// Ends what has a place in the table. An outgoing connection that was still in its handshake fails for `cause`.
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
