//! The budget of one turn of a whole service, over all its connections, in time and bytes.
//!
//! Knows no connection. The clock is read rarely: between two reads steps are counted, as many as take a small part of
//! the time.

use crate::options::TurnLimits;
use lws_proto::Time;
use std::time::Duration;

/// The rest of a turn's budget, and how it is measured.
///
/// A turn ends with the last `settle` at one moment of the host, and the next one begins with whatever the host calls then.
#[derive(Debug)]
pub(crate) struct TurnBudget {
    options: TurnLimits,
    /// The time of a turn in nanoseconds: that of the options, or the host's limit in place of it.
    time: u64,
    /// Bytes until the next mark. The marks are half of the turn's bytes, and all of them.
    bytes: usize,
    /// Steps until the clock is read again.
    steps: usize,
    /// Steps between two reads of the clock. Adapts to how long steps have taken lately.
    stride: usize,
    /// The clock at the beginning of the turn, in nanoseconds. `None` if it was not read then.
    began: Option<u64>,
    /// Whether the clock was read in this turn after its beginning.
    is_long: bool,
    /// The last reading of the clock, in nanoseconds.
    looked: u64,
    half: bool,
    /// Whether half of the bytes are used, so that the next mark is the end.
    half_of_bytes: bool,
    spent: bool,
    /// Whether the last turn left work over, behind which ready connections have to queue.
    owing: bool,
    ended: bool,
    /// The host's time at the end of the turn.
    at: Time,
    /// Whether the host has settled a second time at that time.
    again: bool,
    /// Whether each turn is measured.
    measures: bool,
    /// How long the last measured turn took so far, in nanoseconds, until it is taken.
    took: Option<u64>,
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
            measures: false,
            took: None,
        }
    }

    /// Measures each turn from now on.
    pub(crate) fn measure(&mut self) {
        self.measures = true;
    }

    /// How long the turn before this one took, in nanoseconds, if it was measured.
    #[inline]
    pub(crate) fn take_measured(&mut self) -> Option<u64> {
        self.took.take()
    }

    /// What a turn may take from now on; `None` is what the options say.
    pub(crate) fn set_time(&mut self, time: Option<Duration>) {
        self.time = nanos(time.unwrap_or(self.options.time));
    }

    fn now(&self) -> u64 {
        nanos((self.options.clock)())
    }

    /// Notes that the host has reported readiness. Returns true if a turn begins with it.
    #[inline]
    pub(crate) fn enter(&mut self) -> bool {
        let begins = self.ended;
        if begins {
            self.begin();
        }
        begins
    }

    /// Notes that the host settles at `at`. Returns true if a turn begins with it. Two calls with one time belong to
    /// one turn, as applying the changes after the first may have made more work; a third begins another turn, since
    /// the clock of a host may stand still.
    #[inline]
    pub(crate) fn enter_to_settle(&mut self, at: Time) -> bool {
        let begins = self.ended && (at != self.at || self.again);
        self.again |= self.ended;
        if begins {
            self.begin();
        }
        begins
    }

    /// Ends the turn: the host has settled at `at`. `owing` is true if work is left over.
    #[inline]
    pub(crate) fn end(&mut self, at: Time, owing: bool) {
        (self.ended, self.at, self.owing) = (true, at, owing);
        if self.measures {
            self.took = self.began.map(|began| self.now().saturating_sub(began));
        }
    }

    fn begin(&mut self) {
        // After a turn that was short the next is not worth a look at the clock.
        let is_known = std::mem::take(&mut self.is_long) || self.measures;
        self.began = is_known.then(|| self.now());
        self.looked = self.began.unwrap_or_default();
        self.bytes = until_half(self.options.bytes);
        self.steps = self.stride;
        (self.half, self.half_of_bytes, self.spent) = (false, false, false);
        (self.ended, self.again) = (false, false);
    }

    /// Whether a ready connection has to queue: others are queued already, or the turn's budget is used up.
    #[inline]
    pub(crate) fn defers(&self) -> bool {
        self.owing || self.spent
    }

    /// Whether the turn's budget is used up.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Whether half of the turn's budget is used. The other half is reserved for ready connections.
    #[inline]
    pub(crate) fn is_half_spent(&self) -> bool {
        self.half
    }

    /// Counts one step. Returns true if this has read the clock and found the time of the turn used up.
    #[inline(always)]
    pub(crate) fn use_step(&mut self) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.steps == 0 && self.look()
    }

    /// Counts several steps.
    #[inline]
    pub(crate) fn use_steps(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(steps);
        if self.steps == 0 {
            self.look();
        }
    }

    /// Counts bytes that were received and sent.
    #[inline]
    pub(crate) fn use_bytes(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.bytes -= bytes;
        } else {
            self.pass_marks(bytes);
        }
    }

    /// Passes the next mark, which lies within these bytes, and maybe the last one too.
    #[cold]
    fn pass_marks(&mut self, bytes: usize) {
        let beyond = bytes - self.bytes;
        let until_end = self.options.bytes - until_half(self.options.bytes);
        let was_half = std::mem::replace(&mut self.half_of_bytes, true);
        self.half = true;
        if was_half || beyond >= until_end {
            self.spent = true;
            // There is no mark behind the end.
            self.bytes = usize::MAX;
        } else {
            self.bytes = until_end - beyond;
        }
        debug_assert!(self.bytes > 0, "a mark that has been passed is not passed again");
    }

    /// Reads the clock. Returns true if the turn's budget is used up.
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

/// Half of a turn of `bytes`, at which the first mark stands.
fn until_half(bytes: usize) -> usize {
    (bytes - bytes / 2).saturating_add(1).min(bytes)
}

/// The number of steps that take about `goal`, given that `before` of them took `took`. It grows slowly, since the next
/// steps may be slow ones, and shrinks at once.
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

    /// The length of a turn whose steps take `step` each.
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
            // After steps of another length the stride has adapted by the second turn.
            turn(&mut budget, step);
            turn(&mut budget, step);
            let took = turn(&mut budget, step);
            let tolerance = (time / 8).max(step * 2);
            assert!(took >= time && took <= time + tolerance, "{took:?} in steps of {step:?}");
        }
    }

    #[test]
    fn a_turn_is_measured_if_that_is_wanted() {
        let mut budget = budget(Duration::from_millis(2), usize::MAX);
        budget.measure();
        budget.enter();
        budget.end(at(1), false);
        assert_eq!(budget.take_measured(), None, "the first one has begun before");
        budget.enter();
        pass(Duration::from_micros(3));
        budget.end(at(2), false);
        assert_eq!(budget.take_measured(), Some(3_000));
        assert_eq!(budget.take_measured(), None);
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
        // After one short turn, short turns do not read the clock at all.
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
