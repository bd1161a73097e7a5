//! An echo, with pieces of all sizes.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Script, Side, run_script};
use crate::pattern;
use crate::watchdog::Watchdog;
use lws_proto::{Payload, Stream};

const CLIENTS: usize = 4;
/// The sizes of the pieces. Each is sent when the last one has come back.
const SIZES: [usize; 6] = [1, 2, 125, 126, 5_000, 70_000];

pub(super) fn what_is_sent_comes_back<H: Host>(watchdog: &Watchdog, host: &mut H) -> Result<(), String> {
    on_each(host, |host, setup| run_script(watchdog, host, setup, Echo::default()).map(drop))
}

#[derive(Default)]
struct Echo {
    done: usize,
}

/// The progress of a client.
#[derive(Default)]
struct Client {
    round: usize,
    received: usize,
}

impl Echo {
    fn send(bench: &mut Bench<'_, '_, Self>, number: u64, round: usize, stream: Stream<'_>) {
        match stream.permit() {
            Ok(permit) => {
                bench.send(permit, Payload::Copy(&pattern::bytes(number, round as u64, SIZES[round])));
            }
            Err(_) => bench.fail("a stream that was answered gives no permit"),
        }
    }
}

impl Script for Echo {
    type Data = Client;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            (0..CLIENTS).for_each(|number| bench.connect(number));
        }
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<Client>, stream: Stream<'_>) {
        if let Some(number) = side.number() {
            Self::send(bench, number, 0, stream);
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<Client>,
        stream: Stream<'_>,
        chunk: &[u8],
    ) {
        let Some(number) = side.number() else {
            return match stream.permit() {
                Ok(permit) => bench.answer(permit, Payload::Copy(chunk)),
                Err(_) => bench.fail("a stream that is throttled was given content"),
            };
        };
        let Client { round, received } = &mut side.data;
        bench.expect(pattern::fits(number, (*round + *received) as u64, chunk), || {
            format!("round {round} came back to client {number} changed")
        });
        *received += chunk.len();
        if *received < SIZES[*round] {
            return;
        }
        (*round, *received) = (*round + 1, 0);
        if *round < SIZES.len() {
            return Self::send(bench, number, *round, stream);
        }
        self.done += 1;
        if self.done == CLIENTS {
            bench.finish();
        }
    }

    fn progress(&self) -> String {
        format!("{} of {CLIENTS} clients with everything back", self.done)
    }
}
