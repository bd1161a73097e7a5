//! Flow-control windows, both directions. RFC 9113 §5.2 and §6.9.

use super::frame::MAX_31_BITS;
use super::settings::INITIAL_WINDOW;
use crate::Time;
use core::time::Duration;

/// A send window. A change of SETTINGS can make it negative. RFC 9113 §6.9.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendWindow(i32);

/// The window would exceed 2^31-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowOverflow;

impl SendWindow {
    pub(crate) fn new(initial: u32) -> Self {
        Self(initial.min(MAX_31_BITS) as i32)
    }

    /// Bytes that may be sent.
    #[inline]
    pub(crate) fn room(self) -> usize {
        self.0.max(0) as usize
    }

    #[inline]
    pub(crate) fn is_open(self) -> bool {
        self.0 > 0
    }

    /// Takes room for `n` sent bytes.
    #[inline]
    pub(crate) fn spend(&mut self, n: usize) {
        debug_assert!(n <= self.room(), "{n} bytes in a window of {}", self.0);
        self.0 -= i32::try_from(n).unwrap_or(i32::MAX).min(self.0.max(0));
    }

    /// Widens the window by a WINDOW_UPDATE.
    pub(crate) fn widen(&mut self, increment: u32) -> Result<(), WindowOverflow> {
        let widened = i64::from(self.0) + i64::from(increment);
        self.0 = i32::try_from(widened).map_err(|_| WindowOverflow)?;
        Ok(())
    }

    /// Adjusts the window to a change of SETTINGS_INITIAL_WINDOW_SIZE from `before` to `now`.
    pub(crate) fn adjust(&mut self, before: u32, now: u32) -> Result<(), WindowOverflow> {
        let adjusted = i64::from(self.0) + i64::from(now) - i64::from(before);
        self.0 = i32::try_from(adjusted).map_err(|_| WindowOverflow)?;
        Ok(())
    }
}

/// The time within which a whole window has to be used up for the next one to be doubled.
const BULK: Duration = Duration::from_secs(1);

/// A receive window: the bytes that the peer may send, and those that were taken since the last update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveWindow {
    /// The bytes that the peer may still send, according to the updates so far.
    left: i32,
    /// The bytes that were taken and not given back.
    taken: u32,
    /// The size to which the window is refilled.
    size: u32,
    /// The time of the last update.
    since: Time,
}

impl ReceiveWindow {
    pub(crate) fn new(size: u32, now: Time) -> Self {
        Self { left: size as i32, taken: 0, size, since: now }
    }

    /// The window of a connection, which always begins at the initial size. Returns the increment to send at once.
    pub(crate) fn of_connection(size: u32, now: Time) -> (Self, u32) {
        // What was built with a check is in range; what was not must not make a negative window.
        let size = size.clamp(INITIAL_WINDOW, i32::MAX as u32);
        (Self::new(size, now), size - INITIAL_WINDOW)
    }

    /// Adjusts the window by a difference that the peer will apply.
    pub(crate) fn adjust(&mut self, difference: i32) {
        self.left += difference;
    }

    /// Counts `n` received bytes. Returns false if they exceed the window.
    #[inline]
    #[must_use]
    pub(crate) fn receive(&mut self, n: u32) -> bool {
        match i32::try_from(n) {
            Ok(n) if n <= self.left => {
                self.left -= n;
                true
            }
            _ => false,
        }
    }

    /// Counts `n` bytes that were taken: delivered, or dropped.
    #[inline]
    pub(crate) fn take(&mut self, n: u32) {
        self.taken += n;
    }

    /// Whether enough bytes were taken for an update.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.taken >= self.size / 2
    }

    /// The increment of an update, if it is worth a frame. `size_max` bounds the growth of the window for a peer that
    /// uses it up quickly.
    #[inline]
    pub(crate) fn give(&mut self, size_max: u32, now: Time) -> Option<u32> {
        if !self.is_due() {
            return None;
        }
        Some(self.refill(size_max, now))
    }

    #[cold]
    fn refill(&mut self, size_max: u32, now: Time) -> u32 {
        let mut increment = core::mem::take(&mut self.taken);
        // Half of the window was used up since the last update.
        if now < self.since + BULK / 2 && self.size < size_max {
            let size = self.size.saturating_mul(2).min(size_max);
            increment += size - self.size;
            self.size = size;
        }
        self.since = now;
        self.left += increment as i32;
        increment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_has_an_end_on_both_sides() {
        let mut window = SendWindow::new(INITIAL_WINDOW);
        assert_eq!(window.widen(MAX_31_BITS - INITIAL_WINDOW), Ok(()));
        assert_eq!(window.widen(1), Err(WindowOverflow));
        assert_eq!(window.room(), MAX_31_BITS as usize);
        let mut window = SendWindow::new(10);
        window.spend(8);
        assert_eq!(window.adjust(10, 0), Ok(()));
        assert_eq!((window.room(), window.is_open()), (0, false));
        assert_eq!(window.widen(8), Ok(()));
        assert!(!window.is_open(), "eight were owed");
        assert_eq!(window.widen(1), Ok(()));
        assert_eq!(window.room(), 1);
    }

    #[test]
    fn a_receive_window_is_refilled_when_half_of_it_is_taken() {
        let hour = Duration::from_secs(3_600);
        let mut window = ReceiveWindow::new(100, Time::ZERO);
        assert!(window.receive(100) && !window.receive(1));
        window.take(49);
        assert_eq!(window.give(100, Time::ZERO + hour), None);
        window.take(1);
        assert_eq!(window.give(100, Time::ZERO + hour), Some(50));
        assert!(window.receive(50) && !window.receive(1));
    }

    #[test]
    fn a_window_that_is_used_up_quickly_grows_to_its_bound() {
        let mut window = ReceiveWindow::new(100, Time::ZERO);
        let mut total = 100;
        for _ in 0..10 {
            assert!(window.receive(50));
            window.take(50);
            total -= 50;
            total += window.give(300, Time::ZERO).unwrap_or(0);
        }
        assert_eq!(total, 250, "half of what is left is less than half of 300");
    }
}
