//! A peer that does not read holds up its own writer, and no other connection.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Role, Script, Side, run_script};
use crate::pattern;
use crate::watchdog::Watchdog;
use lws_proto::{Connection, Payload, Stream, Writable};
use std::time::Duration;

/// The bytes to transfer: many more than sockets and queues hold.
const TOTAL: u64 = 24 << 20;
const PIECE: usize = 32 << 10;
/// The number of exchanges on the other connection while the first client does not read.
const ROUNDS: u32 = 50;

pub(super) fn a_slow_reader_holds_up_its_writer_and_no_other<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| run_script(watchdog, host, setup, Slow::default()).map(drop))
}

/// Client 0 reads nothing at first, while client 1 exchanges short messages.
#[derive(Default)]
struct Slow {
    reader: Option<(lws_loop_external::ConnectionId, lws_proto::StreamKey)>,
    rounds: u32,
    sent: u64,
    received: u64,
}

impl Slow {
    fn round(&mut self, bench: &mut Bench<'_, '_, Self>, stream: Stream<'_>) {
        bench.say(stream, b"ping");
    }
}

impl Script for Slow {
    /// Whether this end sends the large transfer.
    type Data = bool;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            bench.connect(0);
        }
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<bool>, mut stream: Stream<'_>) {
        match side.role {
            Role::Client(0) => {
                stream.pause();
                self.reader = Some((side.id, stream.key()));
                bench.connect(1);
            }
            Role::Client(_) => self.round(bench, stream),
            // The first accepted connection sends the large transfer.
            Role::Server if self.sent == 0 => {
                side.data = true;
                stream.want_write();
            }
            Role::Server => {}
        }
    }

    fn writable(&mut self, bench: &mut Bench<'_, '_, Self>, _: &mut Side<bool>, permit: Writable<'_>) {
        let piece = pattern::bytes(5, self.sent, PIECE);
        self.sent += PIECE as u64;
        if self.sent < TOTAL {
            bench.send_again(permit, Payload::Own(piece.into()));
        } else {
            bench.send(permit, Payload::Own(piece.into()));
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<bool>,
        stream: Stream<'_>,
        chunk: &[u8],
    ) {
        match side.role {
            Role::Server => bench.say(stream, chunk),
            Role::Client(0) => {
                bench.expect(self.rounds >= ROUNDS, || "a paused stream was given content".to_owned());
                bench.expect(pattern::fits(5, self.received, chunk), || {
                    "content was lost or changed".to_owned()
                });
                self.received += chunk.len() as u64;
                if self.received == TOTAL {
                    bench.finish();
                }
            }
            Role::Client(_) => {
                self.rounds += 1;
                if self.rounds < ROUNDS {
                    return self.round(bench, stream);
                }
                // Long enough for the writer to stop, if back pressure works.
                bench.cx.set_timer(Some(bench.now() + Duration::from_millis(50)));
            }
        }
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        let sent = self.sent;
        bench.expect(sent < TOTAL, || format!("{sent} bytes were taken for a peer that reads nothing"));
        match self.reader {
            Some((id, _)) => {
                bench.cx.wake(id);
            }
            None => bench.fail("there is no reader"),
        }
    }

    fn woken(&mut self, bench: &mut Bench<'_, '_, Self>, _: &mut Side<bool>, connection: &mut Connection) {
        match self.reader.and_then(|(_, key)| connection.stream(key)) {
            Some(mut stream) => stream.resume(),
            None => bench.fail("the reader has gone"),
        }
    }

    fn progress(&self) -> String {
        format!(
            "{} of {ROUNDS} rounds, and {} of {TOTAL} bytes read, {} sent",
            self.rounds, self.received, self.sent
        )
    }
}
