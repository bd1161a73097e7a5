//! The end of a service: what does not end by itself is cut off at the deadline.

use crate::Host;
use crate::setup::SETUPS;
use crate::stage::{Script, Side, Stage, play};
use crate::watch::Watch;
use lws_loop_external::Address;
use lws_proto::{Cause, Stream, Time};
use std::net::TcpStream;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_millis(80);
const PEERS: usize = 3;

/// The peers are plain sockets of the standard library that neither read nor close.
pub(super) fn a_drain_cuts_off_at_its_deadline_what_does_not_end<H: Host>(
    watch: &Watch,
    host: &mut H,
) -> Result<(), String> {
    play(watch, host, SETUPS[0], Draining::default()).map(drop)
}

#[derive(Default)]
struct Draining {
    peers: Vec<TcpStream>,
    open: usize,
    over: usize,
    gone: usize,
    asked: Option<Time>,
}

impl Script for Draining {
    type Data = ();

    fn begin(&mut self, stage: &mut Stage<'_, '_, Self>) {
        stage.listen();
        let Some(Address::Tcp(address)) = stage.common.address else { return };
        for _ in 0..PEERS {
            match TcpStream::connect(address) {
                Ok(peer) => self.peers.push(peer),
                Err(error) => stage.fail(format!("a plain peer: {error}")),
            }
        }
    }

    fn open(&mut self, stage: &mut Stage<'_, '_, Self>, _: &mut Side<()>, _: Stream<'_>) {
        self.open += 1;
        if self.open == PEERS {
            self.asked = Some(stage.now());
            stage.finish_within(DEADLINE);
            let refused = stage.cx.listen(&stage.common.setup.address(), &Default::default()).is_err();
            stage.expect(refused, || "a service that ends begins to listen".to_owned());
        }
    }

    fn over(&mut self, _: &mut Stage<'_, '_, Self>, _: &mut Side<()>, _: Cause) {
        self.over += 1;
    }

    fn gone(&mut self, stage: &mut Stage<'_, '_, Self>, _: Side<()>) {
        self.gone += 1;
        let took = stage.now() - self.asked.unwrap_or_default();
        // Until then they could have ended by themselves; far later the linger of each would have ended them.
        stage.expect(took >= DEADLINE, || format!("a connection was cut off after {took:?} of {DEADLINE:?}"));
    }

    fn progress(&self) -> String {
        let Self { open, over, gone, .. } = self;
        format!("{open} of {PEERS} connections open, {over} ends told and {gone} gone")
    }
}
