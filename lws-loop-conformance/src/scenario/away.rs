//! A host that was away for long, as its process was stopped or it was busy with something else: what its service has been
//! sent in time counts before what is due.

use crate::Host;
use crate::setup::SETUPS;
use crate::stage::{Script, Side, Stage, play};
use crate::watch::Watch;
use lws_loop_external::Address;
use lws_proto::Stream;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_millis(60);
const ABSENCE: Duration = Duration::from_millis(150);
const ROUNDS: usize = 3;

/// The peer is a plain socket of the standard library. The host is kept away by a handler that blocks.
pub(super) fn what_came_while_the_host_was_away_counts_before_the_deadlines<H: Host>(
    watch: &Watch,
    host: &mut H,
) -> Result<(), String> {
    play(watch, host, SETUPS[0], Away::default()).map(drop)
}

#[derive(Default)]
struct Away {
    peer: Option<TcpStream>,
    rounds: usize,
}

impl Away {
    /// Sets a deadline, has the peer do in time what it is for, and keeps the host away until it has passed.
    fn stay_away(&mut self, stage: &mut Stage<'_, '_, Self>, stream: &mut Stream<'_>) {
        stream.set_timeout(Some(stage.now() + DEADLINE));
        let sent = self.peer.as_mut().map(|peer| peer.write_all(b"in time"));
        stage.expect(matches!(sent, Some(Ok(()))), || "the plain peer cannot send".to_owned());
        thread::sleep(ABSENCE);
    }
}

impl Script for Away {
    type Data = ();

    fn begin(&mut self, stage: &mut Stage<'_, '_, Self>) {
        stage.listen();
        let Some(Address::Tcp(address)) = stage.common.address else { return };
        match TcpStream::connect(address) {
            Ok(peer) => self.peer = Some(peer),
            Err(error) => stage.fail(format!("a plain peer: {error}")),
        }
    }

    fn open(&mut self, stage: &mut Stage<'_, '_, Self>, _: &mut Side<()>, mut stream: Stream<'_>) {
        self.stay_away(stage, &mut stream);
    }

    fn content(
        &mut self,
        stage: &mut Stage<'_, '_, Self>,
        _: &mut Side<()>,
        mut stream: Stream<'_>,
        _: &[u8],
    ) {
        self.rounds += 1;
        if self.rounds < ROUNDS {
            return self.stay_away(stage, &mut stream);
        }
        stream.set_timeout(None);
        self.peer = None;
        stage.finish();
    }

    fn timeout(&mut self, stage: &mut Stage<'_, '_, Self>, _: &mut Side<()>, _: Stream<'_>) {
        stage.fail("a deadline was judged before what had come in time was looked at");
    }

    fn progress(&self) -> String {
        format!("{} of {ROUNDS} absences", self.rounds)
    }
}
