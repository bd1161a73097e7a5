//! What becomes of the bytes that the transport has taken: whether enough of them arrive, and whether a certain one has.
//!
//! A transport takes a megabyte in one go and passes it on for minutes, so that what it takes says little of a peer that is slow, and
//! that it takes nothing says nothing. Where the driver can tell how much is still under way, verdicts count what has arrived;
//! elsewhere they count what was taken. It is asked for only when a verdict is due. Knows no protocol.

use crate::{Limits, Time};
use alloc::boxed::Box;
use core::time::Duration;

/// A moment that does not come.
const NEVER: Time = Time::from_micros(u64::MAX);

/// The first look at a queue that does not empty comes after this part of `stalled_timeout`: what has arrived since then is what the
/// verdict counts.
const FIRST_LOOK: u32 = 16;

/// What a second costs in which nothing arrives. The system of a peer acknowledges megabytes at once and then nothing until its program
/// has read a good part of them, so that a peer which reads slowly looks like one that does not read at all. What arrived in the last
/// burst is taken to be read at this pace, for up to [`Limits::stalled_grace_max`].
const GRACE_BYTES_PER_SECOND: u32 = 2 << 10;

/// How far the bytes of one connection have come.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Bytes that the transport has taken. It counts modulo 2^32: only differences mean something.
    taken: u32,
    /// What `taken` was at `waiting`.
    taken_before: u32,
    /// Since when something that was offered waits, or when enough of it had been taken last. `NEVER` while nothing does.
    waiting: Time,
    /// What `taken` was when the transport had taken everything last: what it took since then is of one burst.
    taken_at_rest: u32,
    /// What is known of bytes under way. Absent almost always.
    report: Option<Box<Report>>,
}

/// What the driver has told.
#[derive(Clone, Copy, Debug)]
struct Report {
    /// When it was told last.
    at: Time,
    /// Bytes under way then.
    under_way: u32,
    /// What `taken` was when the newest byte that has arrived was taken. Invariant: it never goes back.
    arrived: u32,
    /// When more had arrived than before.
    moved: Time,
    /// The beginning of the period over which the pace is measured, and `arrived` then.
    since: Time,
    arrived_before: u32,
    /// Whether enough arrived in the period before, or was paid for.
    flows: bool,
    /// Bytes whose arrival still pays for time in which none arrive: see [`GRACE_BYTES_PER_SECOND`].
    pays: u32,
    /// Where a question ends that waits behind other bytes.
    question: Option<u32>,
}

/// Whether `a` comes behind `b`, counted modulo 2^32.
fn is_past(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Delivery {
    pub(crate) fn new() -> Self {
        Self { taken: 0, taken_before: 0, waiting: NEVER, taken_at_rest: 0, report: None }
    }

    // What happens for every write.

    /// Something is offered to the transport.
    #[inline]
    pub(crate) fn offer(&mut self, now: Time) {
        if self.waiting == NEVER {
            self.waiting = now;
            self.taken_before = self.taken;
            self.taken_at_rest = self.taken;
        }
    }

    /// The transport has taken `n` bytes, which is all that there was.
    #[inline(always)]
    pub(crate) fn took_all(&mut self, n: usize) {
        self.taken = self.taken.wrapping_add(n as u32);
        self.waiting = NEVER;
    }

    /// The transport has taken `n` bytes, and more wait.
    #[cold]
    pub(crate) fn took_some(&mut self, n: usize, limits: &Limits, now: Time) {
        self.taken = self.taken.wrapping_add(n as u32);
        let taken = self.taken.wrapping_sub(self.taken_before) as usize;
        if self.waiting != NEVER && taken >= limits.stalled_bytes_min {
            self.waiting = now;
            self.taken_before = self.taken;
        }
    }

    /// What was offered is lost.
    pub(crate) fn forget(&mut self) {
        self.waiting = NEVER;
        self.report = None;
    }

    /// Whether something that was offered waits for the transport.
    #[inline]
    pub(crate) fn waits(&self) -> bool {
        self.waiting != NEVER
    }

    // What the driver tells.

    /// So many of the bytes that the transport took have not arrived at `now`, and `queued` have not been taken.
    pub(crate) fn report(&mut self, now: Time, under_way: usize, queued: usize) {
        self.note(now, under_way, queued, None);
    }

    /// The same of bytes that another connection carries, whose own were found to have arrived at `moved`.
    pub(crate) fn report_carried(&mut self, now: Time, backlog: usize, queued: usize, moved: Option<Time>) {
        self.note(now, backlog, queued, moved);
    }

    fn note(&mut self, now: Time, under_way: usize, queued: usize, moved: Option<Time>) {
        let idle = under_way == 0 && queued == 0;
        if idle && self.report.as_ref().is_none_or(|report| report.question.is_none()) {
            self.report = None;
            return;
        }
        // No more is under way than was taken, and more than 2 GiB cannot be told from nothing.
        let under_way = u32::try_from(under_way).unwrap_or(u32::MAX).min(i32::MAX as u32);
        let arrived = self.taken.wrapping_sub(under_way);
        match &mut self.report {
            Some(report) => {
                report.at = now;
                report.under_way = under_way;
                if is_past(arrived, report.arrived) {
                    report.arrived = arrived;
                    report.moved = now;
                }
                report.moved = moved.map_or(report.moved, |moved| report.moved.max(moved));
                debug_assert!(report.moved <= now && report.since <= now, "time never goes backwards");
            }
            None => {
                self.report = Some(Box::new(Report {
                    at: now,
                    under_way,
                    arrived,
                    moved: now,
                    since: now,
                    arrived_before: arrived,
                    flows: true,
                    // What came in one go may be what the peer is still reading.
                    pays: if is_past(arrived, self.taken_at_rest) {
                        arrived.wrapping_sub(self.taken_at_rest)
                    } else {
                        0
                    },
                    question: None,
                }));
            }
        }
    }

    /// When bytes were last found to have arrived.
    pub(crate) fn moved(&self) -> Option<Time> {
        self.report.as_ref().map(|report| report.moved)
    }

    /// Bytes under way, as the driver told at `now`; none if it has not.
    pub(crate) fn under_way(&self, now: Time) -> usize {
        self.report.as_ref().filter(|report| report.at == now).map_or(0, |report| report.under_way as usize)
    }

    // Verdicts.

    /// When the next look at a queue that does not empty is due.
    #[inline]
    pub(crate) fn next_timeout(&self, limits: &Limits) -> Option<Time> {
        if self.waiting == NEVER { None } else { Some(self.next_look(limits)) }
    }

    #[cold]
    fn next_look(&self, limits: &Limits) -> Time {
        let looked = self.report.as_ref().is_some_and(|report| report.since >= self.waiting);
        let timeout = limits.stalled_timeout;
        self.waiting + if looked { timeout } else { timeout / FIRST_LOOK }
    }

    /// Looks at what is due at `now`. Returns whether the peer has stalled: less than `stalled_bytes_min` has arrived in each
    /// `stalled_timeout`.
    pub(crate) fn has_stalled(&mut self, limits: &Limits, now: Time, queued: usize) -> bool {
        if self.next_timeout(limits).is_none_or(|due| now < due) {
            return false;
        }
        let told = self.report.as_ref().is_some_and(|report| report.at == now);
        if !told {
            // The driver knows no better: all that was taken has arrived, and whether it is being read cannot be told.
            self.report(now, 0, queued);
            if let Some(report) = &mut self.report {
                report.pays = 0;
            }
        }
        let over = self.waiting + limits.stalled_timeout <= now;
        let waiting = self.waiting;
        let Some(report) = &mut self.report else { return false };
        let looked = report.since >= waiting && report.since < now;
        match (looked, over) {
            (true, true) if report.pace(limits, now) => {}
            (true, true) => return true,
            (true, false) => return false,
            // Nobody looked in time, so that what has arrived meanwhile is not known. Where only what is taken counts, it is.
            (false, true) if !told => return true,
            (false, true) => report.begin_period(now),
            // The first look. The time counts from the offer all the same.
            (false, false) => {
                report.begin_period(now);
                return false;
            }
        }
        self.waiting = now;
        self.taken_before = self.taken;
        false
    }

    /// Whether bytes are under way, and go on arriving as fast as they must: what was sent behind them, or waits for what they bring
    /// about, has its time yet.
    pub(crate) fn is_arriving(&mut self, limits: &Limits, now: Time) -> bool {
        match &mut self.report {
            Some(report) if report.at == now && report.under_way > 0 => report.pace(limits, now),
            _ => false,
        }
    }

    /// A question to the peer has been queued, as the last of `queued` bytes. If anything else is on its way before it, its time
    /// begins when it has arrived.
    pub(crate) fn ask(&mut self, now: Time, len: usize, queued: usize) {
        if self.report.is_none() && queued > len {
            self.report(now, 0, queued);
        }
        if let Some(report) = &mut self.report {
            let waits = queued > len || report.at == now && report.under_way > 0;
            report.question = waits.then(|| self.taken.wrapping_add(queued as u32));
        }
    }

    /// Whether the peer has had its time to answer: `patience` since the question has arrived, or, as long as it has not, since
    /// the last byte before it did. Otherwise its time begins anew.
    pub(crate) fn answer_is_overdue(
        &mut self,
        limits: &Limits,
        now: Time,
        patience: Duration,
        queued: usize,
    ) -> bool {
        if self.report.as_ref().is_some_and(|report| report.question.is_some() && report.at != now) {
            self.report(now, 0, queued);
        }
        let Some(report) = &mut self.report else { return true };
        let Some(question) = report.question else { return true };
        if !is_past(question, report.arrived) {
            report.question = None;
            return false;
        }
        report.moved + patience <= now && report.since + report.grace(limits) <= now
    }
}

impl Report {
    /// For how long what has arrived pays, from the beginning of the period on.
    fn grace(&self, limits: &Limits) -> Duration {
        let paid = Duration::from_secs((self.pays / GRACE_BYTES_PER_SECOND).into());
        paid.min(limits.stalled_grace_max)
    }

    fn begin_period(&mut self, now: Time) {
        self.since = now;
        self.arrived_before = self.arrived;
    }

    /// Whether as much arrives as must. A period that has hardly begun says nothing, so that the one before it counts.
    fn pace(&mut self, limits: &Limits, now: Time) -> bool {
        let (elapsed, timeout) = (now - self.since, limits.stalled_timeout);
        if elapsed < timeout / 2 {
            return self.flows;
        }
        let arrived = u128::from(self.arrived.wrapping_sub(self.arrived_before));
        let needed = limits.stalled_bytes_min as u128 * elapsed.as_micros();
        let enough = arrived * timeout.as_micros() >= needed;
        self.flows = enough || elapsed <= self.grace(limits);
        // The newest burst counts alone: what was read long ago pays for nothing.
        let spent =
            u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX).saturating_mul(GRACE_BYTES_PER_SECOND);
        let burst = self.arrived.wrapping_sub(self.arrived_before);
        let most = limits.stalled_grace_max.as_secs().saturating_mul(GRACE_BYTES_PER_SECOND.into());
        self.pays = self.pays.min(u32::try_from(most).unwrap_or(u32::MAX)).saturating_sub(spent).max(burst);
        self.begin_period(now);
        self.flows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    /// The verdict of a queue that is never empty, where in each second the transport passes on what `arrives` says and takes in steps
    /// of so many bytes; and when it comes.
    fn verdict(step: usize, told: bool, arrives: impl Fn(u64) -> usize) -> Option<u64> {
        let (limits, mut delivery) = (Limits::default(), Delivery::new());
        let mut under_way = 0;
        for second in 0..1_000 {
            let now = at(second);
            under_way -= arrives(second).min(under_way);
            delivery.offer(now);
            if under_way == 0 {
                under_way = step;
                delivery.took_some(step, &limits, now);
            }
            if delivery.next_timeout(&limits).is_some_and(|due| due <= now) {
                if told {
                    delivery.report(now, under_way, 1_000_000);
                }
                if delivery.has_stalled(&limits, now, 1_000_000) {
                    return Some(second);
                }
            }
        }
        None
    }

    #[test]
    fn a_verdict_counts_what_arrives() {
        // The transport takes four megabytes at a time, which last for half an hour.
        assert_eq!(verdict(4 << 20, true, |_| 2 << 10), None);
        assert_eq!(verdict(4 << 20, true, |_| 35), None, "just as much as must");
        assert_eq!(verdict(4 << 20, true, |_| 33), Some(30), "a little less");
        assert_eq!(verdict(4 << 20, true, |_| 0), Some(30));
        // One that stops later is found out within two periods.
        let stops = verdict(4 << 20, true, |second| if second < 100 { 2 << 10 } else { 0 });
        assert!(stops.is_some_and(|second| (120..=190).contains(&second)), "{stops:?}");
    }

    #[test]
    fn a_burst_pays_for_the_time_in_which_it_is_read() {
        let burst = |bytes: usize, every: u64| move |second: u64| if second % every == 1 { bytes } else { 0 };
        // The peer's system takes four megabytes, and then 300 kB each time that its program has read as much.
        assert_eq!(verdict(4 << 20, true, burst(300 << 10, 140)), None, "2 KiB/s");
        // Less than that is too slow, and one that goes on is found out when the last burst is paid for.
        let stops = verdict(4 << 20, true, |second| if second == 1 { 200 << 10 } else { 0 });
        assert!(stops.is_some_and(|second| (100..=160).contains(&second)), "{stops:?}");
        // Whatever has arrived, no more than ten minutes are paid for.
        let most = verdict(64 << 20, true, |second| if second == 1 { 32 << 20 } else { 0 });
        assert!(most.is_some_and(|second| (600..=661).contains(&second)), "{most:?}");
    }

    #[test]
    fn where_the_driver_knows_no_better_what_was_taken_counts() {
        assert_eq!(verdict(4 << 20, false, |_| 2 << 10), Some(30));
        assert_eq!(verdict(4 << 10, false, |_| 2 << 10), None);
    }

    #[test]
    fn the_time_of_a_question_counts_from_its_arrival() {
        let (limits, patience) = (Limits::default(), Duration::from_secs(30));
        let mut delivery = Delivery::new();
        delivery.took_all(1_000_000);
        delivery.report(at(30), 900_000, 0);
        delivery.ask(at(30), 2, 2);
        delivery.took_all(2);
        // It goes on arriving.
        delivery.report(at(60), 500_000, 0);
        assert!(!delivery.answer_is_overdue(&limits, at(60), patience, 0));
        delivery.report(at(90), 1, 0);
        assert!(!delivery.answer_is_overdue(&limits, at(90), patience, 0));
        // Now it has arrived, and the peer has its time.
        delivery.report(at(120), 0, 0);
        assert!(!delivery.answer_is_overdue(&limits, at(120), patience, 0));
        delivery.report(at(150), 0, 0);
        assert!(delivery.answer_is_overdue(&limits, at(150), patience, 0));
        assert!(delivery.report.is_none(), "nothing is kept of what is over");
        // Behind bytes that do not arrive it is overdue when nothing has arrived for so long.
        delivery.offer(at(200));
        delivery.took_all(1_000);
        delivery.report(at(200), 1_000, 0);
        delivery.ask(at(200), 2, 2);
        delivery.took_all(2);
        delivery.report(at(230), 1_002, 0);
        assert!(delivery.answer_is_overdue(&limits, at(230), patience, 0));
        // Alone it goes at once, and its time with it.
        let mut delivery = Delivery::new();
        delivery.ask(at(0), 2, 2);
        delivery.took_all(2);
        delivery.report(at(30), 0, 0);
        assert!(delivery.answer_is_overdue(&limits, at(30), patience, 0));
    }

    #[test]
    fn counting_modulo_goes_round() {
        let mut delivery = Delivery::new();
        delivery.took_all(u32::MAX as usize - 10);
        delivery.report(at(1), 100, 0);
        delivery.took_all(50);
        delivery.report(at(2), 20, 0);
        assert_eq!(delivery.moved(), Some(at(2)));
        delivery.report(at(3), 20, 0);
        assert_eq!(
            (delivery.moved(), delivery.under_way(at(3)), delivery.under_way(at(4))),
            (Some(at(2)), 20, 0)
        );
    }
}
