//! Much content at once, in both directions.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Script, Side, run_script};
use crate::pattern;
use crate::watchdog::Watchdog;
use lws_proto::{Payload, Stream, Writable};

/// The bytes in each direction of each connection.
const TOTAL: u64 = 20 << 20;
const PIECE: usize = 48 << 10;
const CLIENTS: usize = 2;

pub(super) fn large_transfers_go_both_ways_at_once<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| run_script(watchdog, host, setup, Transfer::of(TOTAL, CLIENTS)).map(drop))
}

/// Both ends of each connection send at once.
pub(super) struct Transfer {
    total: u64,
    clients: usize,
    squeezed: bool,
    done: usize,
    received: u64,
}

impl Transfer {
    /// A transfer of `total` bytes in each direction, on each of `clients` connections.
    pub(super) fn of(total: u64, clients: usize) -> Self {
        Self { total, clients, squeezed: false, done: 0, received: 0 }
    }

    /// Uses sockets that take little at a time.
    pub(super) fn squeezed(self) -> Self {
        Self { squeezed: true, ..self }
    }
}

#[derive(Default)]
pub(super) struct Half {
    sent: u64,
    received: u64,
}

impl Script for Transfer {
    type Data = Half;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if self.squeezed {
            return (0..self.clients).for_each(|number| bench.adopt_squeezed_pair(number));
        }
        if bench.listen().is_some() {
            (0..self.clients).for_each(|number| bench.connect(number));
        }
    }

    fn open(&mut self, _: &mut Bench<'_, '_, Self>, _: &mut Side<Half>, mut stream: Stream<'_>) {
        stream.want_write();
    }

    fn writable(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<Half>, permit: Writable<'_>) {
        let seed = u64::from(side.is_server());
        let left = self.total - side.data.sent;
        let len = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = pattern::bytes(seed, side.data.sent, len);
        side.data.sent += len as u64;
        if side.data.sent < self.total {
            bench.send_again(permit, Payload::Own(piece.into()));
        } else {
            bench.send(permit, Payload::Own(piece.into()));
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<Half>,
        _: Stream<'_>,
        chunk: &[u8],
    ) {
        let seed = u64::from(!side.is_server());
        let received = side.data.received;
        bench.expect(pattern::fits(seed, received, chunk), || {
            format!("content was lost or changed after {received} bytes")
        });
        side.data.received += chunk.len() as u64;
        self.received += chunk.len() as u64;
        if side.data.received == self.total {
            self.done += 1;
            if self.done == 2 * self.clients {
                bench.finish();
            }
        }
    }

    fn progress(&self) -> String {
        format!("{} of {} bytes", self.received, self.total * 2 * self.clients as u64)
    }
}
