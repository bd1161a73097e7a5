//! A handler that runs the loop again which has called it, as a dialog does. The service is in a call: the loop has nothing to do for it,
//! sleeps, and goes on with it when the handler has returned.

use crate::bench::{Bench, Script, Side, run_script};
use crate::setup::SETUPS;
use crate::watchdog::Watchdog;
use crate::{Host, Nesting, Reentry, RunAgain};
use lws_loop_external::Address;
use lws_proto::Stream;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a dialog is open.
const DIALOG: Duration = Duration::from_millis(80);
/// The longest sleep of a turn inside a handler.
const TURN: Duration = Duration::from_millis(10);
/// The most turns in that time: one for each [`TURN`], more on a loop that the program wakes every millisecond, and some that come of
/// nothing. A loop that spins has many thousands.
const TURNS_MAX: usize = 400;
/// More than one, as what was silent in the first dialog has to be silent again in the second.
const DIALOGS: usize = 3;
const BEGIN: &[u8] = b"begin";
const DURING: &[u8] = b"during";

/// Plain peers give the service work while the dialog is open: a connection, bytes on another one, and a timer is due.
pub(super) fn a_loop_inside_a_handler_sleeps_and_goes_on_after_it<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    let run_again = match host.nesting() {
        Nesting::Runs(run_again) => run_again,
        Nesting::No("") => return Err("the host gives no reason why no handler can run its loop".to_owned()),
        Nesting::No(reason) => {
            println!("{}: no loop inside a handler: {reason}", host.name());
            return Ok(());
        }
    };
    let script = Dialogs { run_again, peers: Vec::new(), dialogs: 0, inside: false, due: Vec::new() };
    run_script(watchdog, host, SETUPS[0], script).map(drop)
}

/// What was given to the service while a dialog was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Connection,
    Bytes,
    Timer,
}

struct Dialogs {
    run_again: RunAgain,
    /// The first one asks for the dialogs.
    peers: Vec<TcpStream>,
    dialogs: usize,
    inside: bool,
    /// The work of the last dialog that was not done yet.
    due: Vec<Work>,
}

impl Dialogs {
    /// Connects another plain peer.
    fn connect(&mut self, bench: &mut Bench<'_, '_, Self>) {
        let Some(Address::Tcp(address)) = bench.common.address else { return };
        match TcpStream::connect(address) {
            Ok(peer) => self.peers.push(peer),
            Err(error) => bench.fail(format!("a plain peer: {error}")),
        }
    }

    /// Sends from the first plain peer.
    fn send(&mut self, bench: &mut Bench<'_, '_, Self>, bytes: &[u8]) {
        let sent = self.peers.first_mut().map(|peer| peer.write_all(bytes));
        bench.expect(matches!(sent, Some(Ok(()))), || "the plain peer cannot send".to_owned());
    }

    fn dialog(&mut self, bench: &mut Bench<'_, '_, Self>) {
        self.dialogs += 1;
        self.due = vec![Work::Connection, Work::Bytes, Work::Timer];
        bench.cx.set_timer(Some(bench.now() + TURN));
        self.connect(bench);
        self.send(bench, DURING);
        self.inside = true;
        let (begin, mut turns) = (Instant::now(), 0);
        while begin.elapsed() < DIALOG {
            match (self.run_again)(TURN) {
                Reentry::Ran => turns += 1,
                Reentry::Refused => break,
                Reentry::Entered => {
                    bench.fail("the service could be called inside its own handler");
                    break;
                }
            }
        }
        self.inside = false;
        bench.expect(turns <= TURNS_MAX, || {
            format!("the loop spins inside a handler: it had {turns} turns in {DIALOG:?}")
        });
    }

    fn done(&mut self, bench: &mut Bench<'_, '_, Self>, work: Work) {
        bench.expect(!self.inside, || format!("{work:?} was handled inside another handler"));
        let Some(at) = self.due.iter().position(|due| *due == work) else { return };
        self.due.swap_remove(at);
        if !self.due.is_empty() {
            return;
        }
        if self.dialogs < DIALOGS {
            return self.send(bench, BEGIN);
        }
        self.peers.clear();
        bench.finish();
    }
}

impl Script for Dialogs {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        bench.listen();
        self.connect(bench);
        self.send(bench, BEGIN);
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, _: &mut Side<()>, _: Stream<'_>) {
        self.done(bench, Work::Connection);
    }

    fn content(&mut self, bench: &mut Bench<'_, '_, Self>, _: &mut Side<()>, _: Stream<'_>, chunk: &[u8]) {
        if chunk == BEGIN {
            self.dialog(bench);
        } else {
            bench.expect(chunk == DURING, || format!("{chunk:?} came, which no peer has sent"));
            self.done(bench, Work::Bytes);
        }
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        self.done(bench, Work::Timer);
    }

    fn progress(&self) -> String {
        format!("{} of {DIALOGS} dialogs, without {:?} after the last", self.dialogs, self.due)
    }
}
