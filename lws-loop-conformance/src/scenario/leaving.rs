//! A service that is moved from one loop to another in the middle of its work, or dropped there.

use super::on_each;
use crate::Host;
use crate::auditor::Auditor;
use crate::bench::{
    Bench, Message, Script, ScriptedApplication, Side, driver, host_until_done, outcome, run_script,
};
use crate::checked_service::Exit;
use crate::pattern;
use crate::setup::{Dialect, Transport};
use crate::watchdog::Watchdog;
use lws_loop_external::{Driver, DriverOptions, SendError, Service, Trigger};
use lws_proto::{Payload, Stream, Time, Writable};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

/// The bytes of the transfer in each direction.
const TOTAL: u64 = 3 << 20;
const PIECE: usize = 16 << 10;
/// The number of bytes after which the service leaves its loop.
const LEG: u64 = 500_000;

pub(super) fn a_service_goes_on_at_another_loop_where_it_left_off<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        let script = Journey::default();
        let exit = script.exit.clone();
        let mut driver = driver(watchdog, setup, DriverOptions::default(), script)?;
        let mut others = [Trigger::Level, Trigger::Edge, Trigger::OneShot]
            .into_iter()
            .map(|trigger| Auditor::new(trigger, 4))
            .cycle();
        for leg in 0.. {
            if driver.application().script.is_done() {
                break;
            }
            driver = if leg % 2 == 0 {
                host_until_done(host, driver, &exit)?
            } else if let Some(mut other) = others.next() {
                host_until_done(&mut other, driver, &exit)?
            } else {
                driver
            };
            // A message that is sent between two loops must not be lost. It is refused only if the service is done.
            if driver.handle().send(Message::Number(leg)).is_err() && !driver.is_done() {
                return Err("a message between two loops was refused".to_owned());
            }
        }
        outcome(host_until_done(host, driver, &exit)?).map(drop)
    })
}

pub(super) fn a_service_is_dropped_in_mid_flight_and_the_loop_goes_on<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        let raw_tcp = setup.dialect == Dialect::Raw && setup.transport == Transport::Tcp;
        let script = Journey::default();
        let exit = script.exit.clone();
        let driver = driver(watchdog, setup, DriverOptions::default(), script)?;
        let handle = driver.handle();
        let driver = host_until_done(host, driver, &exit)?;
        let failure = failed(&driver);
        // A plain peer of this thread, whose connection the service has not accepted yet.
        let peer = if raw_tcp { driver.application().peer()? } else { None };
        drop(driver);
        if let Some(failure) = failure {
            return Err(failure);
        }
        if !matches!(handle.send(Message::Number(0)), Err(SendError::Closed(_))) {
            return Err("a service that was dropped takes messages".to_owned());
        }
        handle.wake();
        if let Some(mut peer) = peer {
            match peer.read(&mut [0; 16]) {
                Ok(0) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                other => return Err(format!("the peer of a service that was dropped reads {other:?}")),
            }
        }
        // The loop can host another service afterwards.
        run_script(watchdog, host, setup, Journey { stays: true, ..Journey::default() }).map(drop)
    })
}

fn failed<S: Script>(driver: &Driver<ScriptedApplication<S>>) -> Option<String> {
    driver.application().common.failure().map(str::to_owned)
}

impl ScriptedApplication<Journey> {
    fn peer(&self) -> Result<Option<TcpStream>, String> {
        let Some(lws_loop_external::Address::Tcp(address)) = self.common.address else { return Ok(None) };
        let peer = TcpStream::connect(address).map_err(|error| format!("a plain peer: {error}"))?;
        peer.set_read_timeout(Some(Duration::from_secs(30)))
            .map_err(|error| format!("a plain peer: {error}"))?;
        Ok(Some(peer))
    }
}

/// A transfer in both directions whose service leaves its loop repeatedly, while a timer and messages are pending.
#[derive(Default)]
struct Journey {
    exit: Exit,
    stays: bool,
    received: u64,
    leave_at: u64,
    done: usize,
    timer: Option<Time>,
    timers: u32,
    numbers: u64,
}

#[derive(Default)]
struct JourneySide {
    sent: u64,
    received: u64,
}

impl Journey {
    fn is_done(&self) -> bool {
        self.done == 2 && self.timers > 0
    }

    fn finish_if_done(&self, bench: &mut Bench<'_, '_, Self>) {
        if self.is_done() {
            bench.finish();
            self.exit.leave();
        }
    }
}

impl Script for Journey {
    type Data = JourneySide;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            bench.connect(0);
        }
        let due = bench.now() + Duration::from_millis(60);
        self.timer = Some(due);
        bench.cx.set_timer(Some(due));
        self.leave_at = LEG;
    }

    fn open(&mut self, _: &mut Bench<'_, '_, Self>, _: &mut Side<JourneySide>, mut stream: Stream<'_>) {
        stream.want_write();
    }

    fn writable(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<JourneySide>,
        permit: Writable<'_>,
    ) {
        let seed = u64::from(side.is_server());
        let piece = pattern::bytes(seed, side.data.sent, PIECE);
        side.data.sent += PIECE as u64;
        if side.data.sent < TOTAL {
            bench.send_again(permit, Payload::Own(piece.into()));
        } else {
            bench.send(permit, Payload::Own(piece.into()));
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<JourneySide>,
        _: Stream<'_>,
        chunk: &[u8],
    ) {
        let seed = u64::from(!side.is_server());
        bench.expect(pattern::fits(seed, side.data.received, chunk), || {
            "content was lost or changed".to_owned()
        });
        side.data.received += chunk.len() as u64;
        self.received += chunk.len() as u64;
        if side.data.received == TOTAL {
            self.done += 1;
            self.finish_if_done(bench);
        }
        if self.received >= self.leave_at && !self.stays {
            self.leave_at += LEG;
            self.exit.leave();
        }
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        let (due, now) = (self.timer.unwrap_or_default(), bench.now());
        bench.expect(now >= due, || format!("a timer came {:?} too early", due - now));
        self.timers += 1;
        self.finish_if_done(bench);
    }

    fn number(&mut self, bench: &mut Bench<'_, '_, Self>, number: u64) {
        let expected = self.numbers;
        self.numbers += 1;
        bench.expect(number == expected, || format!("message {number} came in place of {expected}"));
    }

    fn progress(&self) -> String {
        let Self { received, timers, .. } = self;
        format!("{received} of {} bytes and {timers} of 1 timer", 2 * TOTAL)
    }
}
