//! What one turn of a whole service may take, over all its connections: time and bytes.
//!
//! Knows no connection. The clock is read rarely: in between steps are counted, as many as take a small part of the time.

use crate::options::TurnLimits;
use lws_proto::Time;
use std::time::Duration;

/// What is left of a turn, and how it is measured.
///
/// A turn ends with the last `settle` at one moment of the host, and the next one begins with whatever the host calls then.
#[derive(Debug)]
pub(crate) struct TurnBudget {
    options: TurnLimits,
    /// What the turn may take, in nanoseconds: the time of the options, or what a host says in place of it.
    time: u64,
    /// Bytes until the next mark: half of the turn, and then its end.
    bytes: usize,
    /// Steps until the clock is read again.
    steps: usize,
    /// Steps between two looks at the clock. Follows what steps have taken lately.
    stride: usize,
    /// What the clock showed when the turn began, in nanoseconds, as far as that is known.
    began: Option<u64>,
    /// The clock was read in this turn, beside its beginning.
    is_long: bool,
    /// What the clock showed last, in nanoseconds.
    looked: u64,
    half: bool,
    /// Half of the bytes were received and sent, so that the next mark is the end.
    half_of_bytes: bool,
    spent: bool,
    /// Work was left over: what is ready has to wait in its line.
    owing: bool,
    ended: bool,
    /// The host's time at the end of the turn.
    at: Time,
    /// It has settled once more at that time.
    again: bool,
}

/// The clock is read about this often in a turn that takes its whole time.
const LOOKS: u64 = 16;
/// A step takes a tenth of a microsecond at least.
const STRIDE_MAX: usize = 1_024;
/// The time of a turn that has no bound in time: its clock is never read.
const UNBOUNDED: u64 = u64::MAX;

/// Nanoseconds, as arithmetic with them costs a fraction of that with [`Duration`]. Five hundred years are unbounded.
fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

impl TurnBudget {
    pub(crate) fn new(options: TurnLimits) -> Self {
        Self {
            options,
            time: nanos(options.time),
            bytes: until_half(options.bytes),
            steps: LOOKS as usize,
            stride: LOOKS as usize,
            began: None,
            is_long: false,
            looked: 0,
            half: false,
            half_of_bytes: false,
            spent: false,
            owing: false,
            ended: false,
            at: Time::ZERO,
            again: false,
        }
    }

    /// What a turn may take from now on; `None` is what the options say.
    pub(crate) fn set_time(&mut self, time: Option<Duration>) {
        self.time = nanos(time.unwrap_or(self.options.time));
    }

    fn now(&self) -> u64 {
        nanos((self.options.clock)())
    }

    /// The host reports something. True if a turn begins.
    #[inline]
    pub(crate) fn enter(&mut self) -> bool {
        let begins = self.ended;
        if begins {
            self.begin();
        }
        begins
    }

    /// The host settles at `at`. Twice at one moment is one turn, as the changes that the first time led to may have made more
    /// to do. More often is another: the clock of the host may stand still. True if a turn begins.
    #[inline]
    pub(crate) fn enter_to_settle(&mut self, at: Time) -> bool {
        let begins = self.ended && (at != self.at || self.again);
        self.again |= self.ended;
        if begins {
            self.begin();
        }
        begins
    }

    /// The host has settled at `at`; `owing` says whether something was left over.
    #[inline]
    pub(crate) fn end(&mut self, at: Time, owing: bool) {
        (self.ended, self.at, self.owing) = (true, at, owing);
    }

    fn begin(&mut self) {
        // After a turn that was short the next is not worth a look at the clock.
        self.began = std::mem::take(&mut self.is_long).then(|| self.now());
        self.looked = self.began.unwrap_or_default();
        self.bytes = until_half(self.options.bytes);
        self.steps = self.stride;
        (self.half, self.half_of_bytes, self.spent) = (false, false, false);
        (self.ended, self.again) = (false, false);
    }

    /// Whether what is ready has to wait in its line: something else was left over, or nothing is left of the turn.
    #[inline]
    pub(crate) fn defers(&self) -> bool {
        self.owing || self.spent
    }

    /// Whether nothing is left of the turn.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Whether half of the turn is over: the rest belongs to connections that are ready.
    #[inline]
    pub(crate) fn is_half_spent(&self) -> bool {
        self.half
    }

    /// A step has been taken. True if the look at the clock that came of it has found the turn to be over.
    #[inline(always)]
    pub(crate) fn use_step(&mut self) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.steps == 0 && self.look()
    }

    /// So many steps have been taken.
    #[inline]
    pub(crate) fn use_steps(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(steps);
        if self.steps == 0 {
            self.look();
        }
    }

    /// So many bytes were received and sent.
    #[inline]
    pub(crate) fn use_bytes(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.bytes -= bytes;
        } else {
            self.pass_marks(bytes);
        }
    }

    /// More bytes were received and sent than there were until the next mark.
    #[cold]
    fn pass_marks(&mut self, bytes: usize) {
        let beyond = bytes - self.bytes;
        let until_end = self.options.bytes - until_half(self.options.bytes);
        let was_half = std::mem::replace(&mut self.half_of_bytes, true);
        self.half = true;
        if was_half || beyond >= until_end {
            self.spent = true;
            // Past the end there are no more marks.
            self.bytes = usize::MAX;
        } else {
            self.bytes = until_end - beyond;
        }
        debug_assert!(self.bytes > 0, "a mark that has been passed is not passed again");
    }

    /// Reads the clock. Answers whether nothing is left of the turn.
    #[cold]
    fn look(&mut self) -> bool {
        if self.time == UNBOUNDED {
            self.steps = usize::MAX;
            return self.spent;
        }
        self.is_long = true;
        let now = self.now();
        let Some(began) = self.began else {
            (self.began, self.looked, self.steps) = (Some(now), now, self.stride);
            return self.spent;
        };
        let took = now.saturating_sub(self.looked);
        self.looked = now;
        self.stride = stride(self.stride, took, self.time / LOOKS);
        self.steps = self.stride;
        let elapsed = now.saturating_sub(began);
        self.half |= elapsed >= self.time / 2;
        self.spent |= elapsed >= self.time;
        debug_assert!(self.half || !self.spent, "half of a turn is over before all of it is");
        debug_assert!(self.steps > 0);
        self.spent
    }
}

/// Bytes that have gone when half of a turn of `bytes` is over.
fn until_half(bytes: usize) -> usize {
    (bytes - bytes / 2).saturating_add(1).min(bytes)
}

/// How many steps take about `goal`, as `before` of them took `took`. It grows slowly, as what comes next may be slow, and shrinks at
/// once.
fn stride(before: usize, took: u64, goal: u64) -> usize {
    let fitting = (before as u64).saturating_mul(goal) / took.max(1);
    usize::try_from(fitting).unwrap_or(usize::MAX).min(before.saturating_mul(2)).clamp(1, STRIDE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn pass(time: Duration) {
        NOW.set(NOW.get() + time);
    }

    fn budget(time: Duration, bytes: usize) -> TurnBudget {
        TurnBudget::new(TurnLimits { time, bytes, clock: || NOW.get() })
    }

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    /// How long a turn of steps of that length goes on.
    fn turn(budget: &mut TurnBudget, step: Duration) -> Duration {
        let began = NOW.get();
        budget.enter();
        while !budget.is_spent() {
            budget.use_steps(1);
            pass(step);
        }
        budget.end(at(NOW.get().as_micros() as u64), true);
        NOW.get() - began
    }

    #[test]
    fn a_turn_takes_its_time_whatever_a_step_takes() {
        let time = Duration::from_millis(2);
        let mut budget = budget(time, usize::MAX);
        for nanos in [100, 1_000, 20_000, 200, 500_000, 1_000] {
            let step = Duration::from_nanos(nanos);
            // What comes after another kind of step is known by the second turn.
            turn(&mut budget, step);
            turn(&mut budget, step);
            let took = turn(&mut budget, step);
            let tolerance = (time / 8).max(step * 2);
            assert!(took >= time && took <= time + tolerance, "{took:?} in steps of {step:?}");
        }
    }

    #[test]
    fn the_clock_is_read_rarely() {
        thread_local! {
            static READ: Cell<usize> = const { Cell::new(0) };
        }
        let clock = || {
            READ.set(READ.get() + 1);
            NOW.get()
        };
        let turn_options = TurnLimits { time: Duration::from_millis(2), bytes: usize::MAX, clock };
        let mut budget = TurnBudget::new(turn_options);
        for _ in 0..3 {
            turn(&mut budget, Duration::from_micros(2));
        }
        READ.set(0);
        turn(&mut budget, Duration::from_micros(2));
        assert!(READ.get() <= 2 * LOOKS as usize, "{}", READ.get());
        // And not at all in turns that are short, once there has been one.
        for number in 0..100 {
            budget.enter();
            budget.use_steps(1);
            budget.end(at(1_000_000 + number), false);
        }
        READ.set(0);
        let mut idle = TurnBudget::new(turn_options);
        for number in 0..100 {
            idle.enter();
            idle.use_steps(5);
            idle.end(at(number), false);
        }
        assert_eq!(READ.get(), 0);
    }

    #[test]
    fn a_turn_ends_at_its_bytes_and_not_before() {
        let mut budget = budget(Duration::MAX, 100);
        budget.use_bytes(50);
        assert!(!budget.is_half_spent());
        budget.use_bytes(1);
        assert!(budget.is_half_spent() && !budget.is_spent());
        budget.use_bytes(48);
        assert!(!budget.is_spent());
        budget.use_bytes(1);
        assert!(budget.is_spent() && budget.defers());
    }

    #[test]
    fn settling_twice_at_one_moment_is_one_turn() {
        let mut budget = budget(Duration::MAX, 100);
        budget.use_bytes(100);
        budget.end(at(5), true);
        budget.enter_to_settle(at(5));
        assert!(budget.is_spent(), "the same turn");
        budget.end(at(5), true);
        budget.enter_to_settle(at(5));
        assert!(!budget.is_spent(), "a clock that stands still stops nothing");
        budget.use_bytes(100);
        budget.end(at(5), true);
        budget.enter_to_settle(at(6));
        assert!(!budget.is_spent() && budget.defers(), "another turn, and something waits");
        budget.end(at(6), false);
        budget.enter();
        assert!(!budget.defers());
    }

    #[test]
    fn a_host_may_say_what_the_turn_may_take() {
        let mut budget = budget(Duration::from_millis(2), usize::MAX);
        budget.set_time(Some(Duration::from_micros(200)));
        for _ in 0..3 {
            turn(&mut budget, Duration::from_micros(1));
        }
        assert!(turn(&mut budget, Duration::from_micros(1)) < Duration::from_micros(300));
        budget.set_time(None);
        assert!(turn(&mut budget, Duration::from_micros(1)) >= Duration::from_millis(2));
    }
}
