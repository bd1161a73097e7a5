//! A thousand services one after the other on the same loop. Each leaves nothing behind, also if its start-up failed.

use crate::Host;
use crate::bench::{Bench, Script, Side, driver, host_until_done, run_script};
use crate::checked_service::Exit;
use crate::scarcity::{Scarcity, fill_gaps, open_descriptors};
use crate::setup::{SETUPS, Setup};
use crate::watchdog::Watchdog;
use lws_loop_external::DriverOptions;
use lws_proto::{Payload, Stream, Writable};
use std::time::Duration;

const LIVES: usize = 1_000;
/// The most descriptors that a start-up opens.
const STEPS: usize = 12;
const CLIENTS: usize = 4;

/// Runs in a process of its own, as the limit of open files and the count of descriptors are those of a process.
pub(super) fn a_thousand_services_come_and_go_without_a_trace<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    let count = || open_descriptors().map(|open| open.len()).map_err(|error| format!("/dev/fd: {error}"));
    // The first service opens the descriptors that the loop and the process keep.
    life(watchdog, host, SETUPS[0], None)?;
    alone(watchdog, host)?;
    let _fillers = fill_gaps().map_err(|error| format!("/dev/null: {error}"))?;
    let before = count()?;
    let mut served = 0;
    for number in 0..LIVES {
        let setup = SETUPS[number % SETUPS.len()];
        // Every fourth service has few descriptors, so that each step of a start-up fails at some time.
        let descriptors = number.is_multiple_of(4).then_some(number / 4 % STEPS);
        served += usize::from(life(watchdog, host, setup, descriptors)?);
        let now = count()?;
        if now != before {
            return Err(format!("{now} descriptors are open after service {number}, and were {before}"));
        }
    }
    alone(watchdog, host)?;
    // Both cases must have occurred: start-ups that succeeded and start-ups that failed.
    if served == 0 || served == LIVES {
        return Err(format!("{served} of {LIVES} services served"));
    }
    Ok(())
}

/// Checks that the loop still works, with a service that has no connections.
fn alone<H: Host>(watchdog: &Watchdog, host: &mut H) -> Result<(), String> {
    run_script(watchdog, host, SETUPS[0], Alone)?;
    watchdog.forget();
    Ok(())
}

struct Alone;

impl Script for Alone {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        bench.cx.set_timer(Some(bench.now() + Duration::from_millis(1)));
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        bench.finish();
    }

    fn progress(&self) -> String {
        "a timer that was set".to_owned()
    }
}

/// Runs one service, with a limited number of descriptors. Returns whether it served, because its start-up found
/// enough of them.
fn life<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
    setup: Setup,
    descriptors: Option<usize>,
) -> Result<bool, String> {
    let scarce =
        |left| Scarcity::leaving(left).map_err(|error| format!("descriptors cannot be made scarce: {error}"));
    let exit = Exit::default();
    let script = Life { exit: exit.clone(), descriptors, ..Life::default() };
    // Without a descriptor no driver can be made. With some, the loop opens its own next.
    if descriptors == Some(0) {
        let _scarcity = scarce(0)?;
        return match driver(watchdog, setup, DriverOptions::default(), script) {
            Ok(_) => Err("a driver was made without a descriptor".to_owned()),
            Err(_) => Ok(false),
        };
    }
    let driver = driver(watchdog, setup, DriverOptions::default(), script)?;
    let driver = host_until_done(host, driver, &exit)?;
    watchdog.forget();
    let actor = driver.application();
    match actor.common.failure() {
        Some(failure) => Err(failure.to_owned()),
        None => Ok(actor.script.answers > 0),
    }
}

/// A service that answers under load, and leaves in the middle of it.
#[derive(Default)]
struct Life {
    exit: Exit,
    /// The number of descriptors that may be opened. `None` is no limit.
    descriptors: Option<usize>,
    scarcity: Option<Scarcity>,
    refused: usize,
    answers: usize,
}

impl Life {
    fn leave_if_done(&self) {
        if self.refused == CLIENTS || self.answers >= 3 * (CLIENTS - self.refused) {
            self.exit.leave();
        }
    }
}

impl Script for Life {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if let Some(left) = self.descriptors {
            match Scarcity::leaving(left - 1) {
                Ok(scarcity) => self.scarcity = Some(scarcity),
                Err(error) => return bench.fail(format!("descriptors cannot be made scarce: {error}")),
            }
        }
        let (listener, options) = (bench.try_listen(), bench.common.setup.connect_options());
        let Some(address) = listener.ok().and_then(|_| bench.common.address.clone()) else {
            self.scarcity = None;
            return self.exit.leave();
        };
        for number in 0..CLIENTS {
            if bench.try_connect(number, &address, &options).is_err() {
                self.refused += 1;
            }
        }
        self.leave_if_done();
        // By then each connection has got its socket, or has failed.
        bench.cx.set_timer(Some(bench.now() + Duration::from_millis(2)));
    }

    fn timer(&mut self, _: &mut Bench<'_, '_, Self>) {
        self.scarcity = None;
    }

    fn refused(&mut self, bench: &mut Bench<'_, '_, Self>, _: Side<()>, error: std::io::Error) {
        bench.expect(self.scarcity.is_some(), || format!("a connection could not be made: {error}"));
        self.refused += 1;
        self.leave_if_done();
    }

    fn open(&mut self, _: &mut Bench<'_, '_, Self>, side: &mut Side<()>, mut stream: Stream<'_>) {
        if !side.is_server() {
            stream.want_write();
        }
    }

    fn writable(&mut self, bench: &mut Bench<'_, '_, Self>, _: &mut Side<()>, permit: Writable<'_>) {
        bench.send_again(permit, Payload::Static(&[3; 2_000]));
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<()>,
        stream: Stream<'_>,
        chunk: &[u8],
    ) {
        if side.is_server() {
            if let Ok(permit) = stream.permit() {
                bench.answer(permit, Payload::Copy(chunk));
            }
            return;
        }
        self.answers += 1;
        self.leave_if_done();
    }

    fn progress(&self) -> String {
        format!("{} answers and {} clients without a connection", self.answers, self.refused)
    }
}
