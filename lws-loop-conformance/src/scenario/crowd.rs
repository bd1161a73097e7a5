//! Hundreds of connections at once, and then again, with the indices of those that have ended.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Script, Side, run_script};
use crate::pattern;
use crate::watchdog::Watchdog;
use lws_proto::{Cause, Payload, Stream};
use std::sync::{Mutex, PoisonError};

const CLIENTS: usize = 200;
const ROUNDS: usize = 2;
const BYTES: usize = 600;

/// Held by the crowd that runs: tests run in parallel, and a process may be limited to 1,024 descriptors.
static CROWD: Mutex<()> = Mutex::new(());

pub(super) fn hundreds_of_connections_are_served_at_once<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        let _alone = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
        run_script(watchdog, host, setup, Crowd::default()).map(drop)
    })
}

#[derive(Default)]
struct Crowd {
    open: usize,
    round: usize,
    back: usize,
    gone: usize,
}

impl Crowd {
    fn gather(&mut self, bench: &mut Bench<'_, '_, Self>) {
        (0..CLIENTS).for_each(|number| bench.connect(number));
    }
}

impl Script for Crowd {
    /// The number of bytes that were echoed.
    type Data = usize;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            self.gather(bench);
        }
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<usize>, mut stream: Stream<'_>) {
        self.open += 1;
        if !side.is_server() {
            stream.want_write();
        }
        if self.open == 2 * CLIENTS * (self.round + 1) {
            let now = bench.cx.stats().connections;
            bench.expect(now >= 2 * CLIENTS, || format!("only {now} connections are counted"));
        }
    }

    fn writable(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<usize>,
        permit: lws_proto::Writable<'_>,
    ) {
        let number = side.number().unwrap_or_default();
        bench.send(permit, Payload::Own(pattern::bytes(number, 0, BYTES).into()));
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<usize>,
        stream: Stream<'_>,
        chunk: &[u8],
    ) {
        let Some(number) = side.number() else { return bench.say(stream, chunk) };
        bench.expect(pattern::fits(number, side.data as u64, chunk), || {
            format!("client {number} was given what is not its own")
        });
        side.data += chunk.len();
        if side.data == BYTES {
            self.back += 1;
            // All connections stay open until the last one has received its echo.
            if self.back == CLIENTS * (self.round + 1) {
                bench.cx.set_timer(Some(bench.now()));
            }
        }
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        for id in bench.common.clients() {
            bench.cx.close(id);
        }
    }

    fn over(&mut self, _: &mut Bench<'_, '_, Self>, _: &mut Side<usize>, _: Cause) {}

    fn gone(&mut self, bench: &mut Bench<'_, '_, Self>, _: Side<usize>) {
        self.gone += 1;
        if self.gone == 2 * CLIENTS * (self.round + 1) {
            self.round += 1;
            if self.round == ROUNDS { bench.finish() } else { self.gather(bench) }
        }
    }

    fn progress(&self) -> String {
        let Self { open, round, back, gone } = self;
        format!("round {round} with {open} ends open, {back} clients answered and {gone} ends gone")
    }
}
