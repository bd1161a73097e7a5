//! Timers: of the service and of streams, many at once, and earlier ones that come up while a later one is set.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Message, Script, Side, driver, host_until_done, outcome, run_script};
use crate::checked_service::Exit;
use crate::setup::SETUPS;
use crate::watchdog::Watchdog;
use lws_loop_external::DriverOptions;
use lws_proto::{Stream, Time};
use std::thread;
use std::time::Duration;

const CLIENTS: usize = 40;

pub(super) fn timers_come_in_time_and_in_order<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| run_script(watchdog, host, setup, Timers::default()).map(drop))
}

/// The message comes from a plain thread of the kit.
pub(super) fn an_earlier_deadline_ends_a_longer_sleep<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    let driver = driver(watchdog, SETUPS[0], DriverOptions::default(), Earlier::default())?;
    let handle = driver.handle();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        // Sending fails if the service has ended already, which is reported below.
        let _ = handle.send(Message::Number(0));
    });
    let stayed = host_until_done(host, driver, &Exit::default());
    let driver = outcome(stayed?)?;
    thread.join().map_err(|_| "a thread of the kit panicked".to_owned())?;
    drop(driver);
    Ok(())
}

/// A service whose deadline is an hour away, until a message of another thread sets a near one.
#[derive(Default)]
struct Earlier {
    near: Option<Time>,
}

impl Script for Earlier {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        bench.cx.set_timer(Some(bench.now() + Duration::from_secs(3_600)));
    }

    fn number(&mut self, bench: &mut Bench<'_, '_, Self>, _: u64) {
        let near = bench.now() + Duration::from_millis(10);
        self.near = Some(near);
        bench.cx.set_timer(Some(near));
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        match self.near {
            Some(near) => {
                let now = bench.now();
                bench.expect(now >= near, || format!("a timer came {:?} too early", near - now));
                bench.finish();
            }
            // On the auditor's clock, which jumps ahead, the hour may pass before the message arrives.
            None => self.begin(bench),
        }
    }

    fn progress(&self) -> String {
        let set = if self.near.is_some() { "set" } else { "not set yet" };
        format!("a near deadline that is {set}")
    }
}

/// Each end of each connection has a timer of its own. The service's timer is far away at first, and every new
/// connection sets it earlier.
#[derive(Default)]
struct Timers {
    open: usize,
    came: usize,
    last: Time,
    far: Option<Time>,
    services: usize,
}

#[derive(Default)]
struct Due(Option<Time>);

impl Timers {
    fn came(&mut self, bench: &mut Bench<'_, '_, Self>, due: Time) {
        let now = bench.now();
        bench.expect(now >= due, || format!("a timer came {:?} too early", due - now));
        bench.expect(due >= self.last, || {
            format!("a timer that was due {:?} before another came after it", self.last - due)
        });
        if due > self.last {
            self.last = due;
        }
    }

    fn finish_if_done(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if self.came == 2 * CLIENTS && self.services == 1 {
            bench.finish();
        }
    }
}

impl Script for Timers {
    type Data = Due;

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_some() {
            (0..CLIENTS).for_each(|number| bench.connect(number));
        }
        // A loop that sleeps until this time fails.
        bench.cx.set_timer(Some(bench.now() + Duration::from_secs(3_600)));
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<Due>, mut stream: Stream<'_>) {
        // Every other timer is earlier than the last one, and several are due at the same moment.
        let millis = if self.open.is_multiple_of(2) { 40 + self.open / 4 } else { 140 - self.open / 4 };
        let due = bench.now() + Duration::from_millis(millis as u64);
        stream.set_timeout(Some(bench.now() + Duration::from_secs(1_800)));
        stream.set_timeout(Some(due));
        side.data = Due(Some(due));
        self.open += 1;
        if self.open == 2 * CLIENTS {
            let far = bench.now() + Duration::from_millis(30);
            bench.cx.set_timer(Some(far));
            self.far = Some(far);
        }
    }

    fn timeout(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<Due>, _: Stream<'_>) {
        let Some(due) = side.data.0.take() else { return bench.fail("a timer came twice") };
        self.came(bench, due);
        self.came += 1;
        self.finish_if_done(bench);
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        self.services += 1;
        match self.far {
            Some(due) => {
                let now = bench.now();
                bench.expect(now >= due, || format!("a timer came {:?} too early", due - now));
            }
            None => bench.fail("a timer came that was set for an hour later"),
        }
        self.finish_if_done(bench);
    }

    fn progress(&self) -> String {
        format!("{} of {} timers, and {} of the service's", self.came, 2 * CLIENTS, self.services)
    }
}
