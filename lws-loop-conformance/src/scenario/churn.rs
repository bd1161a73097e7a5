//! Connections that end in the middle of transfers while others begin. Descriptor numbers are reused at once, and
//! readiness of an old descriptor must not affect the new one.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Role, Script, Side, run_script};
use crate::pattern;
use crate::watchdog::Watchdog;
use lws_proto::{Cause, Payload, Stream, Writable};
use std::collections::HashSet;

/// The number of connections at a time.
const CLIENTS: usize = 12;
/// The number of connections in all.
const LIVES: usize = 400;
const PIECE: usize = 3_000;

pub(super) fn numbers_that_are_used_again_carry_nothing_over<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| run_script(watchdog, host, setup, Churn::default()).map(drop))
}

#[derive(Default)]
struct Churn {
    begun: usize,
    gone: usize,
    places: HashSet<usize>,
    used_again: bool,
    /// The client that another connection will cut off next.
    victim: Option<lws_loop_external::ConnectionId>,
}

#[derive(Default)]
struct ChurnedLife {
    /// The number of the client, which its first piece contains.
    seed: Option<u64>,
    received: u64,
    sent: u64,
    over: bool,
}

impl Churn {
    fn begin_another(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if self.begun < LIVES {
            bench.connect(self.begun);
            self.begun += 1;
        }
    }

    fn send(bench: &mut Bench<'_, '_, Self>, life: &mut ChurnedLife, permit: Writable<'_>) {
        let mut piece = Vec::new();
        let seed = life.seed.unwrap_or_default();
        if life.sent == 0 {
            piece.extend_from_slice(&seed.to_be_bytes());
        }
        piece.extend_from_slice(&pattern::bytes(seed, life.sent, PIECE));
        life.sent += PIECE as u64;
        bench.send_again(permit, Payload::Own(piece.into()));
    }
}

impl Script for Churn {
    type Data = ChurnedLife;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            (0..CLIENTS).for_each(|_| self.begin_another(bench));
        }
    }

    fn open(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<ChurnedLife>,
        mut stream: Stream<'_>,
    ) {
        bench.expect(side.data.received == 0 && side.data.sent == 0, || {
            "a new connection begins with what was another's".to_owned()
        });
        self.used_again |= !self.places.insert(side.id.index());
        side.data.seed = side.number();
        if side.data.seed.is_some() {
            stream.want_write();
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<ChurnedLife>,
        mut stream: Stream<'_>,
        mut chunk: &[u8],
    ) {
        let life = &mut side.data;
        if side.role == Role::Server && life.seed.is_none() {
            let Some((seed, rest)) = chunk.split_first_chunk() else {
                return bench.fail("the first piece came in parts of less than eight bytes");
            };
            life.seed = Some(u64::from_be_bytes(*seed));
            chunk = rest;
            stream.want_write();
        } else if side.role != Role::Server && life.received == 0 {
            // The server echoes the number.
            let seed = life.seed.unwrap_or_default().to_be_bytes();
            bench.expect(chunk.starts_with(&seed), || "a connection has another's content".to_owned());
            chunk = chunk.get(seed.len()..).unwrap_or_default();
        }
        let seed = life.seed.unwrap_or_default();
        bench.expect(pattern::fits(seed, life.received, chunk), || {
            format!("connection {seed} has another's content")
        });
        bench.expect(!life.over, || "content came after the end".to_owned());
        life.received += chunk.len() as u64;
        if side.role == Role::Server || life.received < 2 * PIECE as u64 {
            return;
        }
        // In the middle of both directions, in each way to end.
        match seed % 4 {
            0 => stream.abort(),
            1 => bench.cx.abort(side.id),
            2 => bench.cx.close(side.id),
            _ => {
                if let Some(other) = self.victim.replace(side.id) {
                    bench.cx.abort(other);
                }
                bench.cx.abort(side.id);
            }
        }
    }

    fn writable(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<ChurnedLife>,
        permit: Writable<'_>,
    ) {
        bench.expect(!side.data.over, || "a permit came after the end".to_owned());
        // Each end keeps some bytes in flight.
        if side.data.sent < 40 * PIECE as u64 {
            Self::send(bench, &mut side.data, permit);
        }
    }

    fn over(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<ChurnedLife>, _: Cause) {
        bench.expect(!side.data.over, || "the end came twice".to_owned());
        side.data.over = true;
    }

    fn gone(&mut self, bench: &mut Bench<'_, '_, Self>, side: Side<ChurnedLife>) {
        if side.role == Role::Server {
            return;
        }
        bench.expect(side.data.over, || "a connection went without its end".to_owned());
        self.gone += 1;
        self.begin_another(bench);
        if self.gone == LIVES {
            bench.expect(self.used_again, || "no place was used again".to_owned());
            bench.finish();
        }
    }

    fn progress(&self) -> String {
        format!("{} of {LIVES} connections begun, and {} gone", self.begun, self.gone)
    }
}
