//! Faults: transports that take little at a time, transports that fail, and a process that has no descriptor left.

use super::on_each;
use super::transfer::Transfer;
use crate::Host;
use crate::bench::{Bench, Role, Script, Side, run_script};
use crate::scarcity::Scarcity;
use crate::setup::SETUPS;
use crate::watchdog::Watchdog;
use lws_loop_external::Address;
use lws_proto::{Cause, Payload, Stream};
use socket2::SockRef;
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub(super) fn a_transport_that_takes_little_loses_nothing<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        run_script(watchdog, host, setup, Transfer::of(2 << 20, 3).squeezed()).map(drop)
    })
}

pub(super) fn a_reset_ends_one_connection_and_no_other<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    run_script(watchdog, host, SETUPS[0], Resets::default()).map(drop)
}

const RESETS: usize = 6;

/// Peers that reset, which are plain sockets of the standard library, beside a connection that must go on
/// undisturbed.
#[derive(Default)]
struct Resets {
    peers: Vec<TcpStream>,
    over: usize,
    gone: usize,
    rounds: usize,
    broken: usize,
}

impl Resets {
    fn begin_peer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        let Some(Address::Tcp(address)) = bench.common.address else { return };
        let peer = TcpStream::connect(address).and_then(|mut peer| {
            // With a linger time of zero, closing the socket resets the connection.
            SockRef::from(&peer).set_linger(Some(Duration::ZERO))?;
            peer.write_all(b"reset")?;
            Ok(peer)
        });
        match peer {
            Ok(peer) => self.peers.push(peer),
            Err(error) => bench.fail(format!("a plain peer: {error}")),
        }
    }
}

impl Script for Resets {
    /// Whether the peer of this end resets.
    type Data = bool;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            bench.connect(0);
            (0..RESETS).for_each(|_| self.begin_peer(bench));
        }
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<bool>, stream: Stream<'_>) {
        if side.role == Role::Client(0) {
            bench.say(stream, b"round");
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<bool>,
        mut stream: Stream<'_>,
        chunk: &[u8],
    ) {
        match side.role {
            Role::Server if chunk == b"reset" => {
                side.data = true;
                self.broken += 1;
                // The reset meets a connection that has much to send, one that is paused, or one that is idle.
                match self.broken % 3 {
                    0 => stream.want_write(),
                    1 => stream.pause(),
                    _ => {}
                }
                if self.broken == RESETS {
                    self.peers.clear();
                }
            }
            Role::Server => bench.say(stream, chunk),
            Role::Client(_) => {
                self.rounds += 1;
                if self.gone == RESETS {
                    return bench.finish();
                }
                bench.say(stream, b"round");
            }
        }
    }

    fn writable(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        _: &mut Side<bool>,
        permit: lws_proto::Writable<'_>,
    ) {
        bench.send_again(permit, Payload::Static(&[7; 30_000]));
    }

    fn over(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<bool>, cause: Cause) {
        if side.data {
            self.over += 1;
            bench.expect(cause == Cause::Disconnected || bench.is_over(), || {
                format!("a reset was reported as {}", cause.name())
            });
        }
    }

    fn gone(&mut self, bench: &mut Bench<'_, '_, Self>, side: Side<bool>) {
        if side.data {
            self.gone += 1;
        } else {
            bench.expect(bench.is_over(), || "a connection ended that was not reset".to_owned());
        }
    }

    fn progress(&self) -> String {
        let Self { broken, over, gone, rounds, .. } = self;
        format!(
            "{broken} of {RESETS} peers received from, {over} ends reported, {gone} gone; {rounds} rounds of the other"
        )
    }
}

/// Runs in a process of its own, as the limit of open files holds for a process. The peers are plain sockets of the
/// standard library, which are made before descriptors run out.
pub(super) fn without_descriptors_a_listener_waits_and_goes_on<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| match setup.takes_plain_peers() {
        true => run_script(watchdog, host, setup, Scarce::default()).map(drop),
        false => Ok(()),
    })
}

const CLIENTS: usize = 3;

#[derive(Default)]
struct Scarce {
    peers: Vec<OwnedFd>,
    scarcity: Option<Scarcity>,
    served: usize,
}

/// A plain peer that has connected and sent `hello`.
fn peer(address: &Address) -> io::Result<OwnedFd> {
    match address {
        Address::Tcp(address) => {
            let mut peer = TcpStream::connect(address)?;
            peer.write_all(b"hello")?;
            Ok(peer.into())
        }
        Address::Unix(path) => {
            let mut peer = UnixStream::connect(path)?;
            peer.write_all(b"hello")?;
            Ok(peer.into())
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl Script for Scarce {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        bench.listen();
        let Some(address) = bench.common.address.clone() else { return };
        let scarcity = (0..CLIENTS).try_for_each(|_| peer(&address).map(|peer| self.peers.push(peer)));
        match scarcity.and_then(|()| Scarcity::leaving(0)) {
            Ok(scarcity) => self.scarcity = Some(scarcity),
            Err(error) => bench.fail(format!("descriptors cannot be made scarce: {error}")),
        }
        bench.cx.set_timer(Some(bench.now() + Duration::from_millis(250)));
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        let pauses = bench.cx.stats().accept_pauses_total;
        bench.expect((1..=10).contains(&pauses), || {
            format!("a listener without descriptors paused {pauses} times in a quarter of a second")
        });
        let accepted = bench.cx.stats().accepted_total;
        bench.expect(accepted == 0, || "a connection was accepted without a descriptor".to_owned());
        self.scarcity = None;
    }

    fn content(&mut self, bench: &mut Bench<'_, '_, Self>, _: &mut Side<()>, _: Stream<'_>, chunk: &[u8]) {
        bench.expect(chunk == b"hello", || "a peer said something else".to_owned());
        self.served += 1;
        if self.served == CLIENTS {
            self.peers.clear();
            bench.finish();
        }
    }

    fn progress(&self) -> String {
        let scarce = if self.scarcity.is_some() { "without" } else { "with" };
        format!("{} of {CLIENTS} peers served, {scarce} descriptors", self.served)
    }
}
