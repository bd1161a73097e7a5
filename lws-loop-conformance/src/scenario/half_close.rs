//! The two directions of a raw stream end one after the other, whichever side begins.

use super::on_each;
use crate::Host;
use crate::pattern;
use crate::stage::{Role, Script, Side, Stage, play};
use crate::watch::Watch;
use lws_proto::{Cause, Payload, Stream, Writable};

/// What the other side still sends after the end of the first: more than the system takes at once.
const REST: u64 = 4 << 20;
const PIECE: usize = 32 << 10;

pub(super) fn each_direction_of_a_raw_stream_ends_by_itself<H: Host>(
    watch: &Watch,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        if setup.has_halves() { play(watch, host, setup, Halves::default()).map(drop) } else { Ok(()) }
    })
}

/// In the first connection the client ends first, in the second the server.
#[derive(Default)]
struct Halves {
    done: usize,
    accepted: usize,
}

#[derive(Default)]
struct Half {
    ends_first: bool,
    sent: u64,
    received: u64,
    heard_end: bool,
}

impl Script for Halves {
    type Data = Half;

    fn begin(&mut self, stage: &mut Stage<'_, '_, Self>) {
        if stage.listen().is_some() {
            stage.connect(0);
        }
    }

    fn open(&mut self, stage: &mut Stage<'_, '_, Self>, side: &mut Side<Half>, stream: Stream<'_>) {
        side.data.ends_first = match side.role {
            Role::Client(number) => number == 0,
            Role::Server => {
                self.accepted += 1;
                self.accepted == 2
            }
        };
        if side.data.ends_first {
            match stream.permit() {
                Ok(permit) => stage.end(permit),
                Err(_) => stage.fail("a new stream gives no permit"),
            }
        }
    }

    fn end(&mut self, stage: &mut Stage<'_, '_, Self>, side: &mut Side<Half>, mut stream: Stream<'_>) {
        stage.expect(!side.data.heard_end, || "the end of a direction came twice".to_owned());
        side.data.heard_end = true;
        if side.data.ends_first {
            let received = side.data.received;
            stage.expect(received == REST, || format!("only {received} of {REST} bytes came before the end"));
        } else {
            stream.want_write();
        }
    }

    fn writable(&mut self, stage: &mut Stage<'_, '_, Self>, side: &mut Side<Half>, permit: Writable<'_>) {
        if side.data.sent == REST {
            return stage.end(permit);
        }
        let piece = pattern::bytes(3, side.data.sent, PIECE);
        side.data.sent += PIECE as u64;
        stage.send_again(permit, Payload::Own(piece.into()));
    }

    fn content(
        &mut self,
        stage: &mut Stage<'_, '_, Self>,
        side: &mut Side<Half>,
        _: Stream<'_>,
        chunk: &[u8],
    ) {
        stage
            .expect(pattern::fits(3, side.data.received, chunk), || "content was lost or changed".to_owned());
        side.data.received += chunk.len() as u64;
    }

    fn over(&mut self, _: &mut Stage<'_, '_, Self>, _: &mut Side<Half>, _: Cause) {}

    fn gone(&mut self, stage: &mut Stage<'_, '_, Self>, side: Side<Half>) {
        stage.expect(side.data.heard_end, || "a connection went before the end of its peer".to_owned());
        self.done += 1;
        match self.done {
            2 => stage.connect(1),
            4 => stage.finish(),
            _ => {}
        }
    }

    fn progress(&self) -> String {
        format!("{} of 4 ends closed", self.done)
    }
}
