//! One round: the same load on several servers, in short bursts in turn.
//!
//! A machine that speeds up or slows down then does so for all of them, and the ratio of their costs stays.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::client::{Fleet, Outcome, Plan, Span};
use crate::procfs::Schedule;
use crate::verdict::Figure;

/// Bursts of a round. In each the servers take turns in another order.
const BURSTS: u32 = 5;

/// A load and the process that it measures.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The load.
    pub plan: Plan,
    /// The server's process id.
    pub server: u32,
}

/// What the bursts of a round have cost one server.
#[derive(Default)]
struct Cost {
    messages: u64,
    elapsed: Duration,
    server: Schedule,
    client: Schedule,
}

/// Measures every turn for `measure` in all; connections are opened anew. What each turn's server has cost comes in
/// the order of `turns`; an error says why it cannot do its load.
pub fn round(turns: &[Turn], measure: Duration, shuffle: &mut Shuffle) -> Vec<Result<Figure>> {
    let mut loads: Vec<Result<(Fleet, Cost)>> =
        turns.iter().map(|turn| Ok((Fleet::open(&turn.plan)?, Cost::default()))).collect();
    let mut order: Vec<usize> = (0..turns.len()).collect();
    // The first burst warms caches and buffers up and does not count.
    for burst in 0..=BURSTS {
        shuffle.apply(&mut order);
        for &index in &order {
            let Ok((fleet, cost)) = &mut loads[index] else { continue };
            match fleet.run(Span::Burst(measure / BURSTS), Some(turns[index].server)) {
                Ok(outcome) if burst > 0 => cost.add(&outcome),
                Ok(_) => {}
                Err(error) => loads[index] = Err(error),
            }
        }
    }
    loads.into_iter().map(|load| load.and_then(|(fleet, cost)| cost.figure(fleet.bad()))).collect()
}

impl Cost {
    fn add(&mut self, outcome: &Outcome) {
        let server = outcome.server.unwrap_or_default();
        self.messages += outcome.messages;
        self.elapsed += outcome.elapsed;
        self.server.ran += server.ran;
        self.server.waited += server.waited;
        self.client.ran += outcome.client.ran;
        self.client.waited += outcome.client.waited;
    }

    fn figure(&self, bad: u64) -> Result<Figure> {
        if bad > 0 {
            return Err(format!("{bad} replies were wrong").into());
        }
        let share = |time: Duration| time.as_secs_f64() / self.elapsed.as_secs_f64();
        Ok(Figure {
            ns: self.server.ran.as_nanos() as f64 / self.messages.max(1) as f64,
            wall: self.elapsed.as_nanos() as f64 / self.messages.max(1) as f64,
            busy: share(self.server.ran.max(self.client.ran)),
            waited: share(self.server.waited.max(self.client.waited)),
        })
    }
}

/// Puts turns into another order each round. Quality does not matter, only variety.
pub struct Shuffle(u64);

impl Shuffle {
    /// Another order in every call of the program.
    pub fn seeded_by_time() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // xorshift stays at zero for ever.
        Self(now.as_nanos() as u64 | 1)
    }

    fn apply<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            // xorshift64
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            items.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}
