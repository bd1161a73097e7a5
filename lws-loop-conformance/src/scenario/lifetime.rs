//! A thousand services one after the other on the same loop: each comes, serves, and is gone without a trace, however far
//! its start-up came.

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
/// Descriptors that a whole start-up opens at most.
const STEPS: usize = 12;
const CLIENTS: usize = 4;

/// The limit of open files and the count of descriptors are the whole process's, so this one needs a process of its own.
pub(super) fn a_thousand_services_come_and_go_without_a_trace<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    let count = || open_descriptors().map(|open| open.len()).map_err(|error| format!("/dev/fd: {error}"));
    // What the loop and the process open once.
    life(watchdog, host, SETUPS[0], None)?;
    alone(watchdog, host)?;
    let _fillers = fill_gaps().map_err(|error| format!("/dev/null: {error}"))?;
    let before = count()?;
    let mut served = 0;
    for number in 0..LIVES {
        let setup = SETUPS[number % SETUPS.len()];
        // Where a listener finds no descriptor it pauses, so not every one runs out of them.
        let descriptors = number.is_multiple_of(4).then_some(number / 4 % STEPS);
        served += usize::from(life(watchdog, host, setup, descriptors)?);
        let now = count()?;
        if now != before {
            return Err(format!("{now} descriptors are open after service {number}, and were {before}"));
        }
    }
    alone(watchdog, host)?;
    // Some have found enough descriptors, and some have not.
    if served == 0 || served == LIVES {
        return Err(format!("{served} of {LIVES} services served"));
    }
    Ok(())
}

/// The loop goes on without it: it hosts something that has no connections.
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

/// Whether it served: its start-up found enough descriptors. They are scarce until every step of it was tried.
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
    // Without any there is no driver. With some it is the loop's turn to open what it needs.
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

/// Answers under load, and leaves in the middle of it.
#[derive(Default)]
struct Life {
    exit: Exit,
    /// How many there are at the start.
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
        // By then each of them has its socket, or has none.
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
