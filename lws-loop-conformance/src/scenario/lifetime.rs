//! A thousand services one after the other on the same loop: each comes, serves, and is gone without a trace, however far
//! its start-up came.

use crate::Host;
use crate::guest::Door;
use crate::scarcity::{Scarcity, fill_gaps, open_descriptors};
use crate::setup::{SETUPS, Setup};
use crate::stage::{Script, Side, Stage, driver, play, stay};
use crate::watch::Watch;
use lws_loop_external::DriverOptions;
use lws_proto::{Payload, Stream, Writable};
use std::time::Duration;

const LIVES: usize = 1_000;
/// Descriptors that a whole start-up opens at most.
const STEPS: usize = 12;
const CLIENTS: usize = 4;

/// The limit of open files and the count of descriptors are the whole process's, so this one needs a process of its own.
pub(super) fn a_thousand_services_come_and_go_without_a_trace<H: Host>(
    watch: &Watch,
    host: &mut H,
) -> Result<(), String> {
    let count = || open_descriptors().map(|open| open.len()).map_err(|error| format!("/dev/fd: {error}"));
    // What the loop and the process open once.
    life(watch, host, SETUPS[0], None)?;
    alone(watch, host)?;
    let _fillers = fill_gaps().map_err(|error| format!("/dev/null: {error}"))?;
    let before = count()?;
    let mut served = 0;
    for number in 0..LIVES {
        let setup = SETUPS[number % SETUPS.len()];
        // Where a listener finds no descriptor it pauses, so not every one runs out of them.
        let descriptors = number.is_multiple_of(4).then_some(number / 4 % STEPS);
        served += usize::from(life(watch, host, setup, descriptors)?);
        let now = count()?;
        if now != before {
            return Err(format!("{now} descriptors are open after service {number}, and were {before}"));
        }
    }
    alone(watch, host)?;
    // Some have found enough descriptors, and some have not.
    if served == 0 || served == LIVES {
        return Err(format!("{served} of {LIVES} services served"));
    }
    Ok(())
}

/// The loop goes on without it: it hosts something that has no connections.
fn alone<H: Host>(watch: &Watch, host: &mut H) -> Result<(), String> {
    play(watch, host, SETUPS[0], Alone)?;
    watch.forget();
    Ok(())
}

struct Alone;

impl Script for Alone {
    type Data = ();

    fn begin(&mut self, stage: &mut Stage<'_, '_, Self>) {
        stage.cx.set_timer(Some(stage.now() + Duration::from_millis(1)));
    }

    fn timer(&mut self, stage: &mut Stage<'_, '_, Self>) {
        stage.finish();
    }

    fn progress(&self) -> String {
        "a timer that was set".to_owned()
    }
}

/// Whether it served: its start-up found enough descriptors. They are scarce until every step of it was tried.
fn life<H: Host>(
    watch: &Watch,
    host: &mut H,
    setup: Setup,
    descriptors: Option<usize>,
) -> Result<bool, String> {
    let scarce =
        |left| Scarcity::leaving(left).map_err(|error| format!("descriptors cannot be made scarce: {error}"));
    let door = Door::default();
    let script = Life { door: door.clone(), descriptors, ..Life::default() };
    // Without any there is no driver. With some it is the loop's turn to open what it needs.
    if descriptors == Some(0) {
        let _scarcity = scarce(0)?;
        return match driver(watch, setup, DriverOptions::default(), script) {
            Ok(_) => Err("a driver was made without a descriptor".to_owned()),
            Err(_) => Ok(false),
        };
    }
    let driver = driver(watch, setup, DriverOptions::default(), script)?;
    let driver = stay(host, driver, &door)?;
    watch.forget();
    let actor = driver.application();
    match actor.common.failure() {
        Some(failure) => Err(failure.to_owned()),
        None => Ok(actor.script.answers > 0),
    }
}

/// Answers under load, and leaves in the middle of it.
#[derive(Default)]
struct Life {
    door: Door,
    /// How many there are at the start.
    descriptors: Option<usize>,
    scarcity: Option<Scarcity>,
    refused: usize,
    answers: usize,
}

impl Life {
    fn leave_if_done(&self) {
        if self.refused == CLIENTS || self.answers >= 3 * (CLIENTS - self.refused) {
            self.door.leave();
        }
    }
}

impl Script for Life {
    type Data = ();

    fn begin(&mut self, stage: &mut Stage<'_, '_, Self>) {
        if let Some(left) = self.descriptors {
            match Scarcity::leaving(left - 1) {
                Ok(scarcity) => self.scarcity = Some(scarcity),
                Err(error) => return stage.fail(format!("descriptors cannot be made scarce: {error}")),
            }
        }
        let (listener, options) = (stage.try_listen(), stage.common.setup.connect_options());
        let Some(address) = listener.ok().and_then(|_| stage.common.address.clone()) else {
            self.scarcity = None;
            return self.door.leave();
        };
        for number in 0..CLIENTS {
            if stage.try_connect(number, &address, &options).is_err() {
                self.refused += 1;
            }
        }
        self.leave_if_done();
        // By then each of them has its socket, or has none.
        stage.cx.set_timer(Some(stage.now() + Duration::from_millis(2)));
    }

    fn timer(&mut self, _: &mut Stage<'_, '_, Self>) {
        self.scarcity = None;
    }

    fn refused(&mut self, stage: &mut Stage<'_, '_, Self>, _: Side<()>, error: std::io::Error) {
        stage.expect(self.scarcity.is_some(), || format!("a connection could not be made: {error}"));
        self.refused += 1;
        self.leave_if_done();
    }

    fn open(&mut self, _: &mut Stage<'_, '_, Self>, side: &mut Side<()>, mut stream: Stream<'_>) {
        if !side.is_server() {
            stream.want_write();
        }
    }

    fn writable(&mut self, stage: &mut Stage<'_, '_, Self>, _: &mut Side<()>, permit: Writable<'_>) {
        stage.send_again(permit, Payload::Static(&[3; 2_000]));
    }

    fn content(
        &mut self,
        stage: &mut Stage<'_, '_, Self>,
        side: &mut Side<()>,
        stream: Stream<'_>,
        chunk: &[u8],
    ) {
        if side.is_server() {
            if let Ok(permit) = stream.permit() {
                stage.answer(permit, Payload::Copy(chunk));
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
