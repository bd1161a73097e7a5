//! A thousand services one after the other on the same loop: each comes, serves, and is gone without a trace, however far
//! its start-up came.

use crate::Host;
use crate::guest::Door;
use crate::scarcity::{Scarcity, open_descriptors};
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
    life(watch, host, SETUPS[0], usize::MAX)?;
    alone(watch, host)?;
    let before = count()?;
    let mut served = 0;
    for number in 0..LIVES {
        let setup = SETUPS[number % SETUPS.len()];
        served += usize::from(life(watch, host, setup, number % STEPS)?);
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

/// Whether it served: its start-up found enough descriptors.
fn life<H: Host>(watch: &Watch, host: &mut H, setup: Setup, descriptors: usize) -> Result<bool, String> {
    let scarcity = (descriptors != usize::MAX)
        .then(|| Scarcity::leaving(descriptors))
        .transpose()
        .map_err(|error| format!("descriptors cannot be made scarce: {error}"))?;
    let door = Door::default();
    let script = Life { door: door.clone(), ..Life::default() };
    let Ok(mut driver) = driver(watch, setup, DriverOptions::default(), script) else {
        return if descriptors == 0 {
            Ok(false)
        } else {
            Err("no driver, and a descriptor was left".to_owned())
        };
    };
    let ready = driver.with(lws_proto::Time::ZERO, |actor, cx| {
        let mut stage = Stage { cx, common: &mut actor.common };
        let (listener, options) = (stage.try_listen(), setup.connect_options());
        let address = listener.ok().and_then(|_| stage.common.address.clone());
        address.is_some_and(|address| {
            (0..CLIENTS).all(|number| stage.try_connect(number, &address, &options).is_ok())
        })
    });
    drop(scarcity);
    if ready && descriptors < 2 + CLIENTS {
        return Err(format!(
            "{descriptors} descriptors were enough for a listener and {CLIENTS} connections"
        ));
    }
    // A start-up that came half the way is hosted all the same: what there is serves, or goes at once.
    driver.application_mut().script.expected = if ready { CLIENTS } else { 0 };
    let driver = stay(host, driver, &door)?;
    watch.forget();
    match driver.application().common.failure() {
        Some(failure) => Err(failure.to_owned()),
        None => Ok(ready),
    }
}

/// Answers under load, and leaves in the middle of it.
#[derive(Default)]
struct Life {
    door: Door,
    expected: usize,
    answers: usize,
}

impl Script for Life {
    type Data = ();

    fn begin(&mut self, _: &mut Stage<'_, '_, Self>) {
        if self.expected == 0 {
            self.door.leave();
        }
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
        if self.answers >= 3 * CLIENTS {
            self.door.leave();
        }
    }

    fn progress(&self) -> String {
        format!("{} answers for {} clients", self.answers, self.expected)
    }
}
