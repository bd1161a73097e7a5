//! Messages about connections that are still being made, and about some that are never made.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Message, Role, Script, Side, run_script};
use crate::setup::Setup;
use crate::watchdog::Watchdog;
use lws_loop_external::ConnectionId;
use lws_proto::{Cause, Connection};
use std::io;

/// The number of connections that succeed.
const CLIENTS: usize = 5;
/// The number of messages to each connection.
const MESSAGES: u64 = 4;

pub(super) fn messages_wait_for_the_connection_that_they_are_about<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup: Setup| {
        run_script(watchdog, host, setup, PendingMessages::default()).map(drop)
    })
}

/// Messages to clients that are being made. The last client is given up right after it was requested: mostly before it is connected, and
/// afterwards where the turn of the service ended in between.
#[derive(Default)]
struct PendingMessages {
    /// The number of clients that have received all their messages, and then their wake.
    done: usize,
    given_up: Option<ConnectionId>,
    /// The messages to that client that came back, or that it received.
    returned: u64,
}

impl PendingMessages {
    fn finish_if_done(&self, bench: &mut Bench<'_, '_, Self>) {
        if self.done == CLIENTS && self.returned == MESSAGES {
            bench.finish();
        }
    }
}

impl Script for PendingMessages {
    /// The next message that is expected.
    type Data = u64;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_none() {
            return;
        }
        (0..=CLIENTS).for_each(|number| bench.connect(number));
        let clients = bench.common.clients();
        self.given_up = clients.last().copied();
        for id in clients {
            (0..MESSAGES).for_each(|number| bench.cx.send_to(id, Message::Number(number)));
            let there = bench.cx.wake(id);
            bench.expect(there, || format!("{id:?} was asked for, and is not there"));
        }
        self.given_up.into_iter().for_each(|id| bench.cx.abort(id));
    }

    fn delivered(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<u64>, number: u64) {
        let expected = side.data;
        bench.expect(number == expected, || format!("message {number} came in place of {expected}"));
        side.data += 1;
        if Some(side.id) == self.given_up {
            self.returned += 1;
            self.finish_if_done(bench);
        }
    }

    fn woken(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<u64>, _: &mut Connection) {
        let delivered = side.data;
        bench.expect(delivered == MESSAGES, || {
            format!("a wake came after {delivered} of {MESSAGES} messages")
        });
        self.done += usize::from(Some(side.id) != self.given_up);
        self.finish_if_done(bench);
    }

    fn over(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<u64>, cause: Cause) {
        // Of the one that is given up, or its end at the server.
        let expected = Some(side.id) == self.given_up || side.role == Role::Server || bench.is_over();
        bench.expect(expected, || format!("the stream of {:?} ended: {}", side.role, cause.name()));
    }

    fn refused(&mut self, bench: &mut Bench<'_, '_, Self>, side: Side<u64>, error: io::Error) {
        let expected = Some(side.id) == self.given_up || bench.is_over();
        bench.expect(expected, || format!("a connection could not be made: {error}"));
    }

    fn undelivered(&mut self, bench: &mut Bench<'_, '_, Self>, id: ConnectionId, number: u64) {
        let expected = Some(id) == self.given_up && number == self.returned;
        bench.expect(expected, || format!("message {number} to {id:?} came back"));
        self.returned += 1;
        self.finish_if_done(bench);
    }

    fn progress(&self) -> String {
        format!("{} of {CLIENTS} connections, and {} messages that came back", self.done, self.returned)
    }
}
