//! A host that was away for long, because its process was stopped or busy. Input that arrived in time is handled before
//! deadlines that have passed.

use crate::Host;
use crate::bench::{Bench, Script, Side, run_script};
use crate::setup::SETUPS;
use crate::watchdog::Watchdog;
use lws_loop_external::Address;
use lws_proto::Stream;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_millis(60);
const ABSENCE: Duration = Duration::from_millis(150);
const ROUNDS: usize = 3;

/// The peer is a plain socket of the standard library, and a handler that blocks keeps the host away.
pub(super) fn what_came_while_the_host_was_away_counts_before_the_deadlines<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    run_script(watchdog, host, SETUPS[0], Away::default()).map(drop)
}

#[derive(Default)]
struct Away {
    peer: Option<TcpStream>,
    rounds: usize,
}

impl Away {
    /// Sets a deadline, makes the peer meet it in time, and keeps the host away until it has passed.
    fn stay_away(&mut self, bench: &mut Bench<'_, '_, Self>, stream: &mut Stream<'_>) {
        stream.set_timeout(Some(bench.now() + DEADLINE));
        let sent = self.peer.as_mut().map(|peer| peer.write_all(b"in time"));
        bench.expect(matches!(sent, Some(Ok(()))), || "the plain peer cannot send".to_owned());
        thread::sleep(ABSENCE);
    }
}

impl Script for Away {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        bench.listen();
        let Some(Address::Tcp(address)) = bench.common.address else { return };
        match TcpStream::connect(address) {
            Ok(peer) => self.peer = Some(peer),
            Err(error) => bench.fail(format!("a plain peer: {error}")),
        }
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, _: &mut Side<()>, mut stream: Stream<'_>) {
        self.stay_away(bench, &mut stream);
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        _: &mut Side<()>,
        mut stream: Stream<'_>,
        _: &[u8],
    ) {
        self.rounds += 1;
        if self.rounds < ROUNDS {
            return self.stay_away(bench, &mut stream);
        }
        stream.set_timeout(None);
        self.peer = None;
        bench.finish();
    }

    fn timeout(&mut self, bench: &mut Bench<'_, '_, Self>, _: &mut Side<()>, _: Stream<'_>) {
        bench.fail("a deadline was judged before what had come in time was looked at");
    }

    fn progress(&self) -> String {
        format!("{} of {ROUNDS} absences", self.rounds)
    }
}
