//! The two directions of a raw stream end one after the other, whichever side begins.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Role, Script, Side, run_script};
use crate::pattern;
use crate::watchdog::Watchdog;
use lws_proto::{Cause, Payload, Stream, Writable};

/// The bytes that the other side sends after the first direction has ended: more than the system takes at once.
const REST: u64 = 4 << 20;
const PIECE: usize = 32 << 10;

pub(super) fn each_direction_of_a_raw_stream_ends_by_itself<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        if setup.has_halves() {
            run_script(watchdog, host, setup, Halves::default()).map(drop)
        } else {
            Ok(())
        }
    })
}

/// In the first connection the client ends first, in the second the server.
#[derive(Default)]
struct Halves {
    done: usize,
    accepted: usize,
}

#[derive(Default)]
struct HalfCloseSide {
    ends_first: bool,
    sent: u64,
    received: u64,
    received_end: bool,
}

impl Script for Halves {
    type Data = HalfCloseSide;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            bench.connect(0);
        }
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<HalfCloseSide>, stream: Stream<'_>) {
        side.data.ends_first = match side.role {
            Role::Client(number) => number == 0,
            Role::Server => {
                self.accepted += 1;
                self.accepted == 2
            }
        };
        if side.data.ends_first {
            match stream.permit() {
                Ok(permit) => bench.end(permit),
                Err(_) => bench.fail("a new stream gives no permit"),
            }
        }
    }

    fn end(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<HalfCloseSide>,
        mut stream: Stream<'_>,
    ) {
        bench.expect(!side.data.received_end, || "the end of a direction came twice".to_owned());
        side.data.received_end = true;
        if side.data.ends_first {
            let received = side.data.received;
            bench.expect(received == REST, || format!("only {received} of {REST} bytes came before the end"));
        } else {
            stream.want_write();
        }
    }

    fn writable(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<HalfCloseSide>,
        permit: Writable<'_>,
    ) {
        if side.data.sent == REST {
            return bench.end(permit);
        }
        let piece = pattern::bytes(3, side.data.sent, PIECE);
        side.data.sent += PIECE as u64;
        bench.send_again(permit, Payload::Own(piece.into()));
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<HalfCloseSide>,
        _: Stream<'_>,
        chunk: &[u8],
    ) {
        bench
            .expect(pattern::fits(3, side.data.received, chunk), || "content was lost or changed".to_owned());
        side.data.received += chunk.len() as u64;
    }

    fn over(&mut self, _: &mut Bench<'_, '_, Self>, _: &mut Side<HalfCloseSide>, _: Cause) {}

    fn gone(&mut self, bench: &mut Bench<'_, '_, Self>, side: Side<HalfCloseSide>) {
        bench.expect(side.data.received_end, || "a connection went before the end of its peer".to_owned());
        self.done += 1;
        match self.done {
            2 => bench.connect(1),
            4 => bench.finish(),
            _ => {}
        }
    }

    fn progress(&self) -> String {
        format!("{} of 4 ends closed", self.done)
    }
}
