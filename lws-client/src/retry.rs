//! The rules of retries: whether a request is sent again, and when. Pure: knows no connection and no clock.
//!
//! The rule is RFC 9110 §9.2.2 and nothing beyond it: what the peer may have acted on is sent again only if asking twice
//! means the same as asking once. A budget keeps an outage from being multiplied by those who try again.

use crate::failure::{Cause, Failure, Phase};
use lws_proto::Cause as EngineCause;
use lws_proto::http::{HttpDate, Method};
use std::time::Duration;

/// What is sent again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetryRules {
    /// Tries in all because a connection failed, the first one included. Default 3: a pool may hold more than one
    /// connection that the server has closed meanwhile. The last of them is always on a fresh connection.
    pub tries_max: u32,
    /// Tries in all because of a status code, the first one included. Default 1: a status code is an answer.
    pub status_tries_max: u32,
    /// The delay before the second try because of a status code; it doubles each time. Default 500 ms.
    pub delay: Duration,
    /// The longest delay, and the longest `Retry-After` that is waited for. Default 30 s. A server that asks for more is
    /// not asked again.
    pub delay_max: Duration,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            tries_max: 3,
            status_tries_max: 1,
            delay: Duration::from_millis(500),
            delay_max: Duration::from_secs(30),
        }
    }
}

impl RetryRules {
    /// Nothing is sent twice.
    #[must_use]
    pub fn never() -> Self {
        Self { tries_max: 1, ..Self::default() }
    }

    /// 429 and 503 are asked again, and 502 and 504 where the method is idempotent, up to five times.
    #[must_use]
    pub fn with_statuses() -> Self {
        Self { status_tries_max: 5, ..Self::default() }
    }
}

/// The facts about a failed try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    /// Tries that have been made, this one included.
    pub(crate) tries: u32,
    /// The connection had served another request before.
    pub(crate) reused: bool,
    /// The method is idempotent, or the application says that the request is.
    pub(crate) repeatable: bool,
    /// The content can be sent again.
    pub(crate) replayable: bool,
    /// The application has been given a head.
    pub(crate) answered: bool,
}

/// What follows a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request fails.
    Fail,
    /// The request is sent again.
    Again {
        /// On a connection that was not there before.
        fresh: bool,
    },
}

impl Try {
    /// What follows a failure.
    pub(crate) fn verdict(self, failure: &Failure, rules: &RetryRules) -> Verdict {
        if self.tries >= rules.tries_max || self.answered || !self.replayable {
            return Verdict::Fail;
        }
        let Cause::Stream(cause) = failure.cause else { return Verdict::Fail };
        // The last try stands on a connection that no idle timeout of the server can have met.
        let fresh = self.tries + 1 >= rules.tries_max;
        match cause {
            // RFC 9113 §8.7: not processed at all, so that the method does not matter.
            EngineCause::Refused => Verdict::Again { fresh },
            // RFC 9112 §9.3.1: a connection that was idle may end at any time, and then it is unknown whether the server has
            // seen the request.
            EngineCause::Disconnected | EngineCause::Truncated | EngineCause::Reset(_)
                if self.reused && self.repeatable && failure.phase < Phase::Body =>
            {
                Verdict::Again { fresh: true }
            }
            _ => Verdict::Fail,
        }
    }
}

/// How long to wait before a request is sent again because of a status code, or `None` if it is not.
pub(crate) fn after_status(
    status: u16,
    retry_after: Option<Duration>,
    tries: u32,
    repeatable: bool,
    rules: &RetryRules,
) -> Option<Duration> {
    let temporary = match status {
        // RFC 6585 §4 and RFC 9110 §15.6.4: the server has not acted.
        429 | 503 => true,
        502 | 504 => repeatable,
        _ => false,
    };
    if !temporary || tries >= rules.status_tries_max {
        return None;
    }
    let delay = match retry_after {
        Some(delay) => delay,
        None => rules.delay.saturating_mul(1 << (tries - 1).min(16)).min(rules.delay_max),
    };
    (delay <= rules.delay_max).then_some(delay)
}

/// A `Retry-After` field: seconds, or a date. RFC 9110 §10.2.3.
pub(crate) fn retry_after(value: &[u8], unix_seconds: Option<u32>) -> Option<Duration> {
    if !value.is_empty() && value.len() <= 9 && value.iter().all(u8::is_ascii_digit) {
        let seconds = value.iter().fold(0, |seconds, digit| seconds * 10 + u64::from(digit - b'0'));
        return Some(Duration::from_secs(seconds));
    }
    let now = HttpDate::from_unix(i64::from(unix_seconds?));
    let then = HttpDate::parse(value, now)?;
    let seconds = then.unix_seconds().saturating_sub(now.unix_seconds());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Bounds what is sent again by what is sent: each request earns a part of a retry.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In hundredths of a retry.
    saved: u32,
    percent: u32,
}

/// Retries that a client may make before it has asked for much, and the most that it can save up.
const RETRIES_SAVED_MAX: u32 = 10;

impl Budget {
    /// One retry for so many requests in a hundred.
    pub(crate) fn new(percent: u32) -> Self {
        Self { saved: RETRIES_SAVED_MAX * 100, percent }
    }

    /// A request is begun.
    pub(crate) fn earn(&mut self) {
        self.saved = (self.saved + self.percent).min(RETRIES_SAVED_MAX * 100);
    }

    /// Takes one retry, if there is one.
    pub(crate) fn spend(&mut self) -> bool {
        match self.saved.checked_sub(100) {
            Some(left) => {
                self.saved = left;
                true
            }
            None => false,
        }
    }
}

/// Whether a request may be sent twice by its method, or because it says how the server is to recognise it.
pub(crate) fn is_repeatable(method: &str, fields: &crate::Fields) -> bool {
    Method::from_token(method).is_idempotent()
        || fields.has("idempotency-key")
        || fields.has("x-idempotency-key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_proto::h2::ErrorCode;
    use lws_proto::{Deadline, Violation};

    const BASE: Try = Try { tries: 1, reused: true, repeatable: true, replayable: true, answered: false };

    fn verdict(it: Try, phase: Phase, cause: EngineCause) -> Verdict {
        it.verdict(&Failure::new(phase, Cause::Stream(cause)), &RetryRules::default())
    }

    #[test]
    fn a_reused_connection_that_ends_is_no_failure_of_an_idempotent_request() {
        let ended = EngineCause::Disconnected;
        let again = Verdict::Again { fresh: true };
        for (it, phase, expected) in [
            (BASE, Phase::Head, again),
            (BASE, Phase::Send, again),
            (BASE, Phase::Body, Verdict::Fail),
            (Try { reused: false, ..BASE }, Phase::Head, Verdict::Fail),
            (Try { repeatable: false, ..BASE }, Phase::Head, Verdict::Fail),
            (Try { replayable: false, ..BASE }, Phase::Head, Verdict::Fail),
            (Try { answered: true, ..BASE }, Phase::Head, Verdict::Fail),
            (Try { tries: 3, ..BASE }, Phase::Head, Verdict::Fail),
        ] {
            assert_eq!(verdict(it, phase, ended), expected, "{it:?} {phase:?}");
        }
    }

    #[test]
    fn what_was_refused_is_sent_again_whatever_its_method() {
        let post = Try { repeatable: false, reused: false, ..BASE };
        assert_eq!(verdict(post, Phase::Head, EngineCause::Refused), Verdict::Again { fresh: false });
        let second = Try { tries: 2, ..post };
        assert_eq!(verdict(second, Phase::Head, EngineCause::Refused), Verdict::Again { fresh: true });
        let gone = Try { replayable: false, ..post };
        assert_eq!(verdict(gone, Phase::Head, EngineCause::Refused), Verdict::Fail);
    }

    #[test]
    fn a_timeout_a_violation_and_an_abort_are_never_sent_again() {
        for cause in [
            EngineCause::Timeout(Deadline::Response),
            EngineCause::Violation(Violation::StatusLine),
            EngineCause::Aborted,
            EngineCause::Complete,
        ] {
            assert_eq!(verdict(BASE, Phase::Head, cause), Verdict::Fail, "{cause:?}");
        }
        let reset = EngineCause::Reset(ErrorCode::INTERNAL_ERROR);
        assert_eq!(verdict(BASE, Phase::Head, reset), Verdict::Again { fresh: true });
        assert_eq!(verdict(Try { repeatable: false, ..BASE }, Phase::Head, reset), Verdict::Fail);
    }

    #[test]
    fn a_status_is_asked_again_only_by_an_explicit_rule() {
        let rules = RetryRules::with_statuses();
        let after = |status, hint, tries, repeatable| after_status(status, hint, tries, repeatable, &rules);
        assert_eq!(after_status(503, None, 1, true, &RetryRules::default()), None);
        assert_eq!(after(503, None, 1, false), Some(Duration::from_millis(500)));
        assert_eq!(after(503, None, 3, false), Some(Duration::from_secs(2)));
        assert_eq!(after(503, None, 5, true), None);
        assert_eq!(after(429, Some(Duration::from_secs(7)), 1, false), Some(Duration::from_secs(7)));
        assert_eq!(after(429, Some(Duration::from_secs(31)), 1, true), None, "the server asks for too much");
        assert_eq!(after(502, None, 1, true), Some(Duration::from_millis(500)));
        assert_eq!(after(502, None, 1, false), None);
        for status in [200, 400, 404, 408, 421, 425, 500, 501] {
            assert_eq!(after(status, None, 1, true), None, "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Some(784_111_777);
        let seconds = |n| Some(Duration::from_secs(n));
        for (value, expected) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", seconds(3)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", seconds(0)),
            ("", None),
            ("+1", None),
            ("1.5", None),
            ("9999999999", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value.as_bytes(), now), expected, "{value:?}");
        }
        assert_eq!(retry_after(b"Sun, 06 Nov 1994 08:49:40 GMT", None), None);
    }

    #[test]
    fn retries_are_bounded_by_what_is_asked() {
        let mut budget = Budget::new(20);
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
        (0..5).for_each(|_| budget.earn());
        assert!(budget.spend());
        assert!(!budget.spend());
        (0..10_000).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
