//! Messages and wakes of other threads: before the first turn, while the loop sleeps, and while it works.

use crate::Host;
use crate::bench::{Bench, Message, Script, driver, host_until_done, outcome};
use crate::checked_service::Exit;
use crate::setup::SETUPS;
use crate::watchdog::Watchdog;
use lws_loop_external::{DriverOptions, SendError};
use std::thread;
use std::time::Duration;

const THREADS: u64 = 4;
/// The number of messages of each thread.
const MESSAGES: u64 = 2_000;

/// Messages and wakes come from plain threads of the kit.
pub(super) fn other_threads_end_the_sleep<H: Host>(watchdog: &Watchdog, host: &mut H) -> Result<(), String> {
    let script = Wake { next: [0; THREADS as usize], notices: 0 };
    let driver = driver(watchdog, SETUPS[0], DriverOptions::default(), script)?;
    let send = |thread: u64| {
        let handle = driver.handle();
        move || {
            for number in 0..MESSAGES {
                if let Err(SendError::Full(_) | SendError::Closed(_)) =
                    handle.send(Message::Number(thread << 32 | number))
                {
                    return;
                }
                // Pauses now and then, so that the loop has received everything and falls asleep.
                if number % 500 == 250 {
                    thread::sleep(Duration::from_millis(3));
                }
            }
            handle.wake();
        }
    };
    // The first thread's messages are sent before the loop begins, which must not sleep on them.
    send(0)();
    let threads: Vec<_> = (1..THREADS).map(|thread| thread::spawn(send(thread))).collect();
    let stayed = host_until_done(host, driver, &Exit::default());
    let panicked = threads.into_iter().filter_map(|thread| thread.join().err()).count();
    if panicked > 0 {
        return Err(format!("{panicked} threads of the kit panicked"));
    }
    outcome(stayed?).map(drop)
}

struct Wake {
    /// The next message that is expected of each thread.
    next: [u64; THREADS as usize],
    notices: u64,
}

impl Wake {
    fn finish_if_done(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if self.next.iter().all(|next| *next == MESSAGES) {
            bench.finish();
        }
    }
}

impl Script for Wake {
    type Data = ();

    fn begin(&mut self, _: &mut Bench<'_, '_, Self>) {}

    fn notified(&mut self, _: &mut Bench<'_, '_, Self>) {
        self.notices += 1;
    }

    fn number(&mut self, bench: &mut Bench<'_, '_, Self>, number: u64) {
        let (thread, number) = ((number >> 32) as usize, number & 0xffff_ffff);
        let next = &mut self.next[thread];
        let expected = *next;
        *next += 1;
        bench.expect(number == expected, || {
            format!("message {number} of thread {thread} came in place of {expected}")
        });
        self.finish_if_done(bench);
    }

    fn progress(&self) -> String {
        let received: u64 = self.next.iter().sum();
        format!("{received} of {} messages and {} notices", THREADS * MESSAGES, self.notices)
    }
}
