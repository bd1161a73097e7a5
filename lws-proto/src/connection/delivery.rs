//! Tracks the delivery of bytes that the transport has taken: whether enough of them arrive in time, and whether a
//! probe has arrived.
//!
//! A transport takes a megabyte at once and passes it on for minutes, so the bytes that it takes reveal little about a
//! slow peer, and a full transport reveals nothing. If the driver can report how much is under way, deadlines count
//! bytes that have arrived; otherwise they count bytes that were taken. The driver is asked only when a deadline is
//! due. Knows no protocol.

use crate::{Limits, Time};
use alloc::boxed::Box;
use core::time::Duration;

/// The first check of a queue that does not empty comes after this fraction of `stalled_timeout`. Bytes that arrive
/// after it count for the verdict.
const FIRST_LOOK: u32 = 16;

/// The slowest pace at which a peer may read and is still served to the end. The system of a peer acknowledges megabytes at once and
/// then nothing until its program has read a good part of them, so that a peer which reads slowly looks like one that does not read
/// at all. So whatever has arrived counts as unread until a reader of this pace has come to its end, for up to
/// [`Limits::stalled_grace_max`].
const GRACE_BYTES_PER_SECOND: u32 = 2 << 10;

/// The shortest time between two counts of taken bytes. A queue that waits for less than this has not found the
/// transport full.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The most bytes that a peer can have unread: by default a system buffers at most 6 MiB.
const UNREAD_BYTES_MAX: u32 = 8 << 20;

/// The time that the slowest accepted reader takes for this many bytes.
fn reading_time(bytes: u32) -> Duration {
    Duration::from_micros(u64::from(bytes) * 1_000_000 / u64::from(GRACE_BYTES_PER_SECOND))
}

/// The number of bytes that the slowest accepted reader reads in this time.
fn read_within(time: Duration) -> u32 {
    u32::try_from(time.as_micros() * u128::from(GRACE_BYTES_PER_SECOND) / 1_000_000).unwrap_or(u32::MAX)
}

/// The delivery state of one connection.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Bytes that the transport has taken. It counts modulo 2^32: only differences mean something.
    taken: u32,
    /// What `taken` was at `waiting`.
    taken_before: u32,
    /// The time since which offered bytes wait, or at which enough of them were taken last. `NEVER` while none wait.
    waiting: Time,
    /// The value of `taken` at the last count of possibly unread bytes.
    counted: u32,
    /// When the slowest accepted reader has read everything that was taken at that count. The next count is not
    /// earlier.
    read_by: Time,
    /// The report of bytes under way. Almost always absent.
    report: Option<Box<Report>>,
}

/// The state from reports of the driver.
#[derive(Clone, Copy, Debug)]
struct Report {
    /// The time of the last report.
    at: Time,
    /// The bytes under way at that time.
    under_way: u32,
    /// The value of `taken` up to which bytes have arrived. Invariant: it never goes back.
    arrived: u32,
    /// The last time at which more bytes had arrived.
    moved: Time,
    /// The beginning of the period in which the rate is measured, and `arrived` at that time.
    since: Time,
    arrived_before: u32,
    /// Whether enough arrived in the last period, or its grace covered it.
    flows: bool,
    /// Bytes that had arrived at the beginning of the period, and that a slow peer had not read by then: see
    /// [`GRACE_BYTES_PER_SECOND`].
    unread: u32,
    /// The most bytes that have arrived at once, which is what the peer's system can buffer.
    unread_most: u32,
    /// The probe that was sent behind other bytes.
    question: Option<Question>,
}

/// The delivery of a probe that was sent behind other bytes.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// It has not arrived. This is the value of `taken` at its end.
    Sent(u32),
    /// It has arrived, behind bytes that a slow peer has read at this time.
    Arrived(Time),
}

/// Whether `a` comes behind `b`, counted modulo 2^32.
fn is_past(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Delivery {
    pub(crate) fn new() -> Self {
        Self {
            taken: 0,
            taken_before: 0,
            waiting: Time::NEVER,
            counted: 0,
            read_by: Time::ZERO,
            report: None,
        }
    }

    // For every write.

    /// Notes that bytes are offered to the transport.
    #[inline]
    pub(crate) fn offer(&mut self, now: Time) {
        if self.waiting == Time::NEVER {
            self.waiting = now;
            self.taken_before = self.taken;
            if now >= self.read_by {
                self.count(now);
            }
        }
    }

    /// All that had been counted has been read by now, even by a slow peer. What was taken since then has not: when it was taken is
    /// not known, so that it counts as if that had been just now.
    #[cold]
    fn count(&mut self, now: Time) {
        let bytes = self.taken.wrapping_sub(self.counted).min(UNREAD_BYTES_MAX);
        self.counted = self.taken;
        self.read_by = now + reading_time(bytes).max(COUNT_EVERY);
    }

    /// Bytes that a peer which reads slowly has not read at `now`, if so many of those that were taken are still under way.
    fn unread(&self, now: Time, under_way: u32) -> u32 {
        let counted = read_within(self.read_by.max(now) - now);
        let since = self.taken.wrapping_sub(self.counted);
        counted.saturating_add(since).saturating_sub(under_way).min(UNREAD_BYTES_MAX)
    }

    /// Notes that the transport has taken `n` bytes, which emptied the queue.
    #[inline(always)]
    pub(crate) fn took_all(&mut self, n: usize) {
        self.taken = self.taken.wrapping_add(n as u32);
        self.waiting = Time::NEVER;
    }

    /// Notes that the transport has taken `n` bytes, and more wait.
    #[cold]
    pub(crate) fn took_some(&mut self, n: usize, limits: &Limits, now: Time) {
        if self.waiting + COUNT_EVERY <= now {
            // There was no room before, so that about as much has been read as has found room now. What finds room at once may do so
            // because the system of the peer gives the connection more of it.
            if now >= self.read_by {
                self.count(now);
            }
            self.counted = self.counted.wrapping_add(n as u32);
        }
        self.taken = self.taken.wrapping_add(n as u32);
        let taken = self.taken.wrapping_sub(self.taken_before) as usize;
        if self.waiting != Time::NEVER && taken >= limits.stalled_bytes_min {
            self.waiting = now;
            self.taken_before = self.taken;
        }
    }

    /// Forgets offered bytes that are dropped.
    pub(crate) fn forget(&mut self) {
        self.waiting = Time::NEVER;
        self.report = None;
    }

    /// Whether offered bytes wait for the transport.
    #[inline]
    pub(crate) fn waits(&self) -> bool {
        self.waiting != Time::NEVER
    }

    // Reports of the driver.

    /// Handles the driver's report: `under_way` bytes have not arrived at `now`, and `queued` have not been taken.
    pub(crate) fn report(&mut self, now: Time, under_way: usize, queued: usize) {
        self.note(now, under_way, queued, None);
    }

    /// So many bytes have not arrived that another connection carries, whose own were found to have arrived at `moved`.
    pub(crate) fn report_carried(&mut self, now: Time, backlog: usize, queued: usize, moved: Option<Time>) {
        self.note(now, backlog, queued, moved);
    }

    fn note(&mut self, now: Time, under_way: usize, queued: usize, moved: Option<Time>) {
        let idle = under_way == 0 && queued == 0;
        // No more bytes can be under way than were taken, and counters modulo 2^32 limit the difference to 2 GiB.
        let under_way = u32::try_from(under_way).unwrap_or(u32::MAX).min(i32::MAX as u32);
        let arrived = self.taken.wrapping_sub(under_way);
        if idle && self.report.as_ref().is_none_or(|report| report.question.is_none()) {
            if let Some(report) = self.report.take() {
                let left = reading_time(report.unread).saturating_sub(now - report.since);
                self.counted = self.taken;
                self.read_by = now + left;
            }
            return;
        }
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
                let unread = self.unread(now, under_way);
                self.report = Some(Box::new(Report {
                    at: now,
                    under_way,
                    arrived,
                    moved: now,
                    since: now,
                    arrived_before: arrived,
                    flows: true,
                    unread,
                    unread_most: unread,
                    question: None,
                }));
            }
        }
    }

    /// The last time at which more bytes had arrived.
    pub(crate) fn moved(&self) -> Option<Time> {
        self.report.as_ref().map(|report| report.moved)
    }

    /// The bytes under way, if the driver has reported at `now`; otherwise zero.
    pub(crate) fn under_way(&self, now: Time) -> usize {
        self.report.as_ref().filter(|report| report.at == now).map_or(0, |report| report.under_way as usize)
    }

    // Verdicts.

    /// The time of the next check of a queue that does not empty.
    #[inline]
    pub(crate) fn next_timeout(&self, limits: &Limits) -> Option<Time> {
        if self.waiting == Time::NEVER { None } else { Some(self.next_look(limits)) }
    }

    #[cold]
    fn next_look(&self, limits: &Limits) -> Time {
        let looked = self.report.as_ref().is_some_and(|report| report.since >= self.waiting);
        let timeout = limits.stalled_timeout;
        self.waiting + if looked { timeout } else { timeout / FIRST_LOOK }
    }

    /// Makes the checks that are due at `now`. Returns whether the peer has stalled: less than `stalled_bytes_min` has
    /// arrived within a `stalled_timeout`.
    pub(crate) fn has_stalled(&mut self, limits: &Limits, now: Time, queued: usize) -> bool {
        if self.next_timeout(limits).is_none_or(|due| now < due) {
            return false;
        }
        let reported = self.report.as_ref().is_some_and(|report| report.at == now);
        if !reported {
            // Without a report of the driver, everything that was taken counts as arrived.
            self.report(now, 0, queued);
            if let Some(report) = &mut self.report {
                (report.unread, report.unread_most) = (0, 0);
            }
        }
        let over = self.waiting + limits.stalled_timeout <= now;
        let waiting = self.waiting;
        let unread = if reported {
            self.unread(now, u32::try_from(self.under_way(now)).unwrap_or(u32::MAX))
        } else {
            0
        };
        let Some(report) = &mut self.report else { return false };
        let looked = report.since >= waiting && report.since < now;
        match (looked, over) {
            (true, true) if report.pace(limits, now) => {}
            (true, true) => return true,
            (true, false) => return false,
            // The driver did not look in time, so that what has arrived meanwhile is not known. Where only what is taken counts, it is.
            (false, true) if !reported => return true,
            (false, true) => report.begin_wait(limits, now, unread),
            // The first look. The time counts from the offer all the same.
            (false, false) => {
                report.begin_wait(limits, now, unread);
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

    /// Notes that a probe was queued, as the last of `queued` bytes. If other bytes are under way before it, its time
    /// begins when it has arrived.
    pub(crate) fn ask(&mut self, now: Time, len: usize, queued: usize) {
        if self.report.is_none() && queued > len {
            self.report(now, 0, queued);
        }
        if let Some(report) = &mut self.report {
            let waits = queued > len || report.at == now && report.under_way > 0;
            report.question = waits.then(|| Question::Sent(self.taken.wrapping_add(queued as u32)));
        }
    }

    /// Whether the peer has had its time to answer: `patience` since the question has arrived and what stands before it may have been
    /// read, or, as long as it has not arrived, since the last byte before it did. Otherwise its time begins anew.
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
        match report.question {
            None => true,
            Some(Question::Sent(end)) if is_past(end, report.arrived) => {
                report.moved + patience <= now && report.since + report.grace(limits) <= now
            }
            Some(Question::Sent(_)) => {
                report.begin_period(limits, now);
                // It may be the last of all that the peer can have unread.
                let grace = reading_time(report.unread_most).min(limits.stalled_grace_max);
                // Without bytes before it, the question needs nothing more of what is kept here.
                report.question = (!grace.is_zero()).then(|| Question::Arrived(now + grace));
                false
            }
            Some(Question::Arrived(read_by)) => read_by + patience <= now,
        }
    }
}

impl Report {
    /// The grace of the period: the time that the peer may take to read bytes that have arrived.
    fn grace(&self, limits: &Limits) -> Duration {
        reading_time(self.unread).min(limits.stalled_grace_max)
    }

    /// Begins to measure because the queue waits again. Bytes that arrived since the last check may have taken any
    /// time, so they do not show how much the peer can buffer; `unread` of the bytes that were sent without waiting do.
    fn begin_wait(&mut self, limits: &Limits, now: Time, unread: u32) {
        self.count(limits, now);
        self.unread = self.unread.max(unread).min(read_within(limits.stalled_grace_max));
        self.unread_most = self.unread_most.max(self.unread);
    }

    fn begin_period(&mut self, limits: &Limits, now: Time) {
        let arrived = self.arrived.wrapping_sub(self.arrived_before);
        self.unread_most = self.unread_most.max(arrived.min(UNREAD_BYTES_MAX));
        self.count(limits, now);
    }

    /// Counts arrived bytes as if they had arrived just now. The peer has no more unread than its system can buffer, so
    /// bytes beyond that have been read.
    fn count(&mut self, limits: &Limits, now: Time) {
        let arrived = self.arrived.wrapping_sub(self.arrived_before);
        let left = self.unread.saturating_sub(read_within(now - self.since));
        // The grace for what arrived long ago ends, however many periods go by.
        let most = self.unread_most.min(read_within(limits.stalled_grace_max));
        self.unread = left.saturating_add(arrived).min(most);
        self.since = now;
        self.arrived_before = self.arrived;
    }

    /// Whether bytes arrive fast enough. A period that has just begun proves nothing, so the last one counts.
    fn pace(&mut self, limits: &Limits, now: Time) -> bool {
        let (elapsed, timeout) = (now - self.since, limits.stalled_timeout);
        if elapsed < timeout / 2 {
            return self.flows;
        }
        let arrived = u128::from(self.arrived.wrapping_sub(self.arrived_before));
        let needed = limits.stalled_bytes_min as u128 * elapsed.as_micros();
        let enough = arrived * timeout.as_micros() >= needed;
        self.flows = enough || elapsed <= self.grace(limits);
        self.begin_period(limits, now);
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
    fn verdict(step: usize, reported: bool, arrives: impl Fn(u64) -> usize) -> Option<u64> {
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
                if reported {
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
    fn what_was_taken_in_many_writes_counts_as_one_burst() {
        let limits = Limits::default();
        // Writes that the transport takes whole, until it is full: most of them have arrived at once, and the peer reads.
        let full = |delivery: &mut Delivery| {
            for write in 0..33 {
                delivery.offer(at(0) + Duration::from_millis(write));
                delivery.took_all(16 << 10);
            }
            delivery.offer(at(0) + Duration::from_millis(40));
            delivery.took_some(1 << 10, &limits, at(0) + Duration::from_millis(40));
        };
        let verdict = |arrived_again: Option<u64>| {
            let mut delivery = Delivery::new();
            full(&mut delivery);
            let mut under_way = 155 << 10;
            for second in 1..1_000 {
                let now = at(second);
                if arrived_again == Some(second) {
                    under_way = 0;
                }
                if delivery.next_timeout(&limits).is_some_and(|due| due <= now) {
                    delivery.report(now, under_way, 1_000_000);
                    if delivery.has_stalled(&limits, now, 1_000_000) {
                        return second;
                    }
                }
            }
            1_000
        };
        // 374 KiB take 187 s, and 155 KiB more 77 s.
        assert!((180..=240).contains(&verdict(None)), "{}", verdict(None));
        assert!((260..=340).contains(&verdict(Some(187))), "{}", verdict(Some(187)));
    }

    #[test]
    fn a_reader_that_takes_large_pieces_is_served() {
        // As seen of curl at 2,048 bytes a second: second, and what finds room and arrives then.
        let arrivals = [(101, 95_232), (201, 345_547)];
        let limits = Limits::default();
        let mut delivery = Delivery::new();
        for _ in 0..28 {
            delivery.offer(at(0));
            delivery.took_all(16_384);
        }
        delivery.offer(at(0));
        delivery.took_some(7_904, &limits, at(0));
        let stalls = (1..260).find(|second| {
            let now = at(*second);
            delivery.offer(now);
            if let Some((_, bytes)) = arrivals.iter().find(|(arrives, _)| arrives == second) {
                delivery.took_some(*bytes, &limits, now);
            }
            delivery.next_timeout(&limits).is_some_and(|due| due <= now) && {
                delivery.report(now, 142_848, 1_000_000);
                delivery.has_stalled(&limits, now, 1_000_000)
            }
        });
        assert_eq!(stalls, None);
    }

    #[test]
    fn what_finds_room_is_what_was_read() {
        let limits = Limits::default();
        let mut delivery = Delivery::new();
        // The transport holds 128 KiB, and the peer reads 4 KiB a second for 200 s, then nothing.
        delivery.offer(at(0));
        delivery.took_some(128 << 10, &limits, at(0));
        let stalls = (1..1_000).find(|second| {
            let now = at(*second);
            delivery.offer(now);
            if *second <= 200 {
                delivery.took_some(4 << 10, &limits, now);
            }
            let due = delivery.next_timeout(&limits).is_some_and(|due| due <= now);
            due && {
                delivery.report(now, 128 << 10, 1_000_000);
                delivery.has_stalled(&limits, now, 1_000_000)
            }
        });
        assert_eq!(stalls, Some(230));
    }

    #[test]
    fn what_arrived_long_ago_has_been_read() {
        let limits = Limits::default();
        let mut delivery = Delivery::new();
        // One message of 1 kB a second, each of which arrives, for an hour; then nothing more arrives.
        for second in 0..3_600 {
            delivery.offer(at(second));
            delivery.took_all(1_000);
        }
        delivery.offer(at(3_600));
        delivery.took_some(1_000, &limits, at(3_600));
        let stalls = (3_600..5_000).find(|second| {
            let due = delivery.next_timeout(&limits).is_some_and(|due| due <= at(*second));
            due && {
                delivery.report(at(*second), 1_000, 1_000);
                delivery.has_stalled(&limits, at(*second), 1_000)
            }
        });
        assert_eq!(stalls, Some(3_630));
    }

    #[test]
    fn a_question_is_read_after_what_stands_before_it() {
        let (limits, patience) = (Limits::default(), Duration::from_secs(30));
        let mut delivery = Delivery::new();
        delivery.offer(at(0));
        delivery.took_some(500_000, &limits, at(0));
        delivery.report(at(30), 400_000, 100_000);
        delivery.ask(at(30), 2, 100_002);
        // Everything arrives at once, and the system of the peer has it all. Read at 2 KiB/s it lasts until 293 s.
        delivery.took_all(100_002);
        let overdue = (2..20).map(|step| 30 * step).find(|second| {
            delivery.report(at(*second), 0, 0);
            delivery.answer_is_overdue(&limits, at(*second), patience, 0)
        });
        assert!(overdue.is_some_and(|second| (323..=390).contains(&second)), "{overdue:?}");
    }

    #[test]
    fn where_the_driver_knows_no_better_what_was_taken_counts() {
        assert_eq!(verdict(4 << 20, false, |_| 2 << 10), Some(30));
        assert_eq!(verdict(4 << 10, false, |_| 2 << 10), None);
    }

    #[test]
    fn the_time_of_a_question_counts_from_its_arrival() {
        // Without grace for a peer that reads slowly, what has arrived has been read.
        let limits = Limits { stalled_grace_max: Duration::ZERO, ..Limits::default() };
        let patience = Duration::from_secs(30);
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
