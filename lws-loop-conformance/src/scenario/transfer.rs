//! Much content at once, in both directions.

use super::on_each;
use crate::Host;
use crate::pattern;
use crate::stage::{Script, Side, Stage, play};
use crate::watch::Watch;
use lws_proto::{Payload, Stream, Writable};

/// In each direction of each connection.
const TOTAL: u64 = 16 << 20;
const PIECE: usize = 48 << 10;
const CLIENTS: usize = 2;

pub(super) fn large_transfers_go_both_ways_at_once<H: Host>(
    watch: &Watch,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| play(watch, host, setup, Transfer::default()).map(drop))
}

#[derive(Default)]
struct Transfer {
    done: usize,
    received: u64,
}

#[derive(Default)]
struct Half {
    sent: u64,
    received: u64,
}

impl Script for Transfer {
    type Data = Half;

    fn begin(&mut self, stage: &mut Stage<'_, '_, Self>) {
        if stage.listen().is_some() {
            (0..CLIENTS).for_each(|number| stage.connect(number));
        }
    }

    fn open(&mut self, _: &mut Stage<'_, '_, Self>, _: &mut Side<Half>, mut stream: Stream<'_>) {
        stream.want_write();
    }

    fn writable(&mut self, stage: &mut Stage<'_, '_, Self>, side: &mut Side<Half>, permit: Writable<'_>) {
        let seed = u64::from(side.is_server());
        let left = TOTAL - side.data.sent;
        let len = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = pattern::bytes(seed, side.data.sent, len);
        side.data.sent += len as u64;
        if side.data.sent < TOTAL {
            stage.send_again(permit, Payload::Own(piece.into()));
        } else {
            stage.send(permit, Payload::Own(piece.into()));
        }
    }

    fn content(
        &mut self,
        stage: &mut Stage<'_, '_, Self>,
        side: &mut Side<Half>,
        _: Stream<'_>,
        chunk: &[u8],
    ) {
        let seed = u64::from(!side.is_server());
        let received = side.data.received;
        stage.expect(pattern::fits(seed, received, chunk), || {
            format!("content was lost or changed after {received} bytes")
        });
        side.data.received += chunk.len() as u64;
        self.received += chunk.len() as u64;
        if side.data.received == TOTAL {
            self.done += 1;
            if self.done == 2 * CLIENTS {
                stage.finish();
            }
        }
    }

    fn progress(&self) -> String {
        format!("{} of {} bytes", self.received, TOTAL * 2 * CLIENTS as u64)
    }
}
