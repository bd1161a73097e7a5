//! Draining a service: connections that do not end by themselves are cut off at the deadline.

use crate::Host;
use crate::bench::{Bench, Script, Side, run_script};
use crate::setup::SETUPS;
use crate::watchdog::Watchdog;
use lws_loop_external::Address;
use lws_proto::{Cause, Stream, Time};
use std::net::TcpStream;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_millis(80);
const PEERS: usize = 3;

/// The peers are plain sockets of the standard library that neither read nor close.
pub(super) fn a_drain_cuts_off_at_its_deadline_what_does_not_end<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    run_script(watchdog, host, SETUPS[0], Draining::default()).map(drop)
}

#[derive(Default)]
struct Draining {
    peers: Vec<TcpStream>,
    open: usize,
    over: usize,
    gone: usize,
    asked: Option<Time>,
}

impl Script for Draining {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        bench.listen();
        let Some(Address::Tcp(address)) = bench.common.address else { return };
        for _ in 0..PEERS {
            match TcpStream::connect(address) {
                Ok(peer) => self.peers.push(peer),
                Err(error) => bench.fail(format!("a plain peer: {error}")),
            }
        }
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, _: &mut Side<()>, _: Stream<'_>) {
        self.open += 1;
        if self.open == PEERS {
            self.asked = Some(bench.now());
            bench.finish_within(DEADLINE);
            let refused = bench.cx.listen(&bench.common.setup.address(), &Default::default()).is_err();
            bench.expect(refused, || "a service that ends begins to listen".to_owned());
        }
    }

    fn over(&mut self, _: &mut Bench<'_, '_, Self>, _: &mut Side<()>, _: Cause) {
        self.over += 1;
    }

    fn gone(&mut self, bench: &mut Bench<'_, '_, Self>, _: Side<()>) {
        self.gone += 1;
        let took = bench.now() - self.asked.unwrap_or_default();
        // Before the deadline no connection may be cut off. Much later the linger time of each would have ended it.
        bench.expect(took >= DEADLINE, || format!("a connection was cut off after {took:?} of {DEADLINE:?}"));
    }

    fn progress(&self) -> String {
        let Self { open, over, gone, .. } = self;
        format!("{open} of {PEERS} connections open, {over} ends reported and {gone} gone")
    }
}
