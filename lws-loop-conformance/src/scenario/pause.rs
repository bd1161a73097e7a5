//! Back pressure: pausing and resuming, with input that was received already, and with the resume coming from each
//! possible place.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Role, Script, Side, run_script};
use crate::pattern;
use crate::watchdog::Watchdog;
use lws_loop_external::ConnectionId;
use lws_proto::{Connection, Payload, Stream, StreamKey, Writable};
use std::time::Duration;

/// The size of a piece: small enough that several arrive in one read.
const PIECE: usize = 1_000;
const PIECES: u64 = 400;

pub(super) fn a_pause_keeps_what_was_received_until_the_resume<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        for resume in [Resume::Timer, Resume::Another, Resume::Itself] {
            run_script(watchdog, host, setup, Pauses::new(resume))
                .map_err(|what| format!("{resume:?}: {what}"))?;
        }
        Ok(())
    })
}

/// The origin of the resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resume {
    /// The timer of the service, which wakes the paused connection.
    Timer,
    /// A handler of another connection, which wakes the paused connection.
    Another,
    /// The paused stream's own timer.
    Itself,
}

/// The server pauses after each piece of content.
struct Pauses {
    resume: Resume,
    /// The connection that is paused at the moment.
    paused: Option<(ConnectionId, StreamKey)>,
    received: u64,
    pauses: u64,
}

/// The heartbeat that the client of the other connection sends repeatedly. No content begins with these bytes.
const BEAT: &[u8] = b"beat";

/// The state of one end of a connection.
#[derive(Default)]
struct End {
    /// Bytes that it has sent.
    sent: u64,
    /// Whether it receives heartbeats, which the first chunk decides. On a raw stream several heartbeats may arrive as
    /// one chunk, so that later chunks alone could not be distinguished from content.
    beats: Option<bool>,
}

impl Pauses {
    fn new(resume: Resume) -> Self {
        Self { resume, paused: None, received: 0, pauses: 0 }
    }

    fn resumed(&mut self, bench: &mut Bench<'_, '_, Self>, mut stream: Stream<'_>) {
        bench.expect(stream.is_paused(), || "a stream is not paused any more".to_owned());
        self.paused = None;
        stream.resume();
    }
}

impl Script for Pauses {
    type Data = End;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            bench.connect(0);
            if self.resume == Resume::Another {
                bench.connect(1);
            }
        }
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<End>, mut stream: Stream<'_>) {
        match side.role {
            Role::Client(0) => stream.want_write(),
            // A timer sends heartbeats, each of which resumes the paused stream.
            Role::Client(_) => stream.set_timeout(Some(bench.now() + Duration::from_millis(1))),
            Role::Server => {}
        }
    }

    fn writable(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<End>, permit: Writable<'_>) {
        let piece = pattern::bytes(7, side.data.sent, PIECE);
        side.data.sent += PIECE as u64;
        if side.data.sent < PIECE as u64 * PIECES {
            bench.send_again(permit, Payload::Own(piece.into()));
        } else {
            bench.send(permit, Payload::Own(piece.into()));
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<End>,
        mut stream: Stream<'_>,
        chunk: &[u8],
    ) {
        if *side.data.beats.get_or_insert_with(|| chunk.first() == BEAT.first()) {
            if let Some((id, _)) = self.paused {
                bench.cx.wake(id);
            }
            return;
        }
        bench.expect(self.paused.is_none(), || "content came to a stream that is paused".to_owned());
        bench.expect(pattern::fits(7, self.received, chunk), || "content was lost or changed".to_owned());
        self.received += chunk.len() as u64;
        if self.received == PIECE as u64 * PIECES {
            return bench.finish();
        }
        stream.pause();
        self.pauses += 1;
        self.paused = Some((side.id, stream.key()));
        let soon = bench.now() + Duration::from_millis(1);
        match self.resume {
            Resume::Timer => bench.cx.set_timer(Some(soon)),
            Resume::Another => {}
            Resume::Itself => stream.set_timeout(Some(soon)),
        }
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        match self.paused {
            Some((id, _)) => {
                bench.cx.wake(id);
            }
            None => bench.fail("a timer fired that was not set"),
        }
    }

    fn timeout(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<End>, mut stream: Stream<'_>) {
        if side.is_server() {
            return self.resumed(bench, stream);
        }
        stream.set_timeout(Some(bench.now() + Duration::from_millis(1)));
        bench.say(stream, BEAT);
    }

    fn woken(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<End>, connection: &mut Connection) {
        // Another heartbeat may have arrived first.
        let Some((_, key)) = self.paused.filter(|(id, _)| *id == side.id) else { return };
        match connection.stream(key) {
            Some(stream) => self.resumed(bench, stream),
            None => bench.fail("a paused stream has gone"),
        }
    }

    fn progress(&self) -> String {
        format!("{} of {} bytes and {} pauses", self.received, PIECE as u64 * PIECES, self.pauses)
    }
}
