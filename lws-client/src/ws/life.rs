//! Whether a WebSocket that was lost comes back, and when. Pure: chance is an argument.

use lws_loop_external::RetryPolicy;
use lws_proto::ws::CloseCode;
use std::time::Duration;

/// When a WebSocket comes back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReconnectRules {
    /// The delays. Default 1 s, doubled up to 1 min, with a part of chance; for ever.
    pub policy: RetryPolicy,
    /// How long it must have been open for the delays to begin again. Default 60 s: a server that accepts and hangs up at once
    /// is still failing. [`Context::is_ready`](super::Context::is_ready) says the same earlier.
    pub stable_after: Duration,
    /// How long it must have been open for the first try to be made at once. Default 10 s.
    pub at_once_after: Duration,
    /// The least delay after a server has said that it restarts or is overloaded: close codes 1012 and 1013. Default 5 s.
    pub overload_delay: Duration,
    /// The longest `Retry-After` that is waited for. Default 5 min. A server that asks for more is given up.
    pub retry_after_max: Duration,
    /// Close codes after which it does not come back, beside those that say so by themselves.
    pub final_codes: Vec<u16>,
    /// Whether it comes back at all. Default yes.
    pub enabled: bool,
}

impl Default for ReconnectRules {
    fn default() -> Self {
        Self {
            policy: RetryPolicy::default(),
            stable_after: Duration::from_secs(60),
            at_once_after: Duration::from_secs(10),
            overload_delay: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(300),
            final_codes: Vec::new(),
            enabled: true,
        }
    }
}

impl ReconnectRules {
    /// One connection, and no other after it.
    #[must_use]
    pub fn never() -> Self {
        Self { enabled: false, ..Self::default() }
    }
}

/// How a WebSocket was lost, or was not got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The server has closed it with this code.
    Closed(CloseCode),
    /// The server answered the opening handshake with this status code, and perhaps said when to come again.
    Status(u16, Option<Duration>),
    /// What was answered is no agreement.
    Disagreement,
    /// The transport failed, or could not be made.
    Transport,
}

/// What follows a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    After(Duration),
    GiveUp,
}

/// Counts what failed in a row.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    failures: u32,
}

impl Lifecycle {
    /// The application is content: what failed before is forgotten.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Tries in a row that have failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// A WebSocket was lost that had been open for so long; `None` if it was not opened.
    pub(crate) fn lost(
        &mut self,
        loss: Loss,
        open_for: Option<Duration>,
        rules: &ReconnectRules,
        random: u32,
    ) -> Next {
        if !rules.enabled || loss.is_final(&rules.final_codes) {
            return Next::GiveUp;
        }
        let at_once = open_for.is_some_and(|time| time >= rules.at_once_after);
        if open_for.is_some_and(|time| time >= rules.stable_after) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let Some(delay) = rules.policy.delay(self.failures, random) else { return Next::GiveUp };
        match loss {
            Loss::Status(_, Some(wanted)) if wanted > rules.retry_after_max => Next::GiveUp,
            Loss::Status(_, Some(wanted)) => Next::After(delay.max(wanted)),
            Loss::Closed(code) if matches!(code.get(), 1012 | 1013) => {
                Next::After(delay.max(rules.overload_delay))
            }
            _ if at_once && self.failures == 1 => Next::After(Duration::ZERO),
            _ => Next::After(delay),
        }
    }
}

impl Loss {
    /// Whether trying again would come to the same.
    fn is_final(self, codes: &[u16]) -> bool {
        match self {
            Self::Closed(code) => match code.get() {
                code if codes.contains(&code) => true,
                // RFC 6455 §7.4.1: it has done what it was for, or this side broke a rule, or wants what the other has not.
                1000 | 1002 | 1003 | 1007 | 1008 | 1009 | 1010 => true,
                // Private codes are often made of the status codes of HTTP.
                code @ 4_400..=4_499 => is_final_status(code - 4_000),
                _ => false,
            },
            Self::Status(status, _) => is_final_status(status),
            Self::Disagreement => true,
            Self::Transport => false,
        }
    }
}

/// Whether a status code says that the request is wrong and stays wrong. RFC 9110 §15.5.
fn is_final_status(status: u16) -> bool {
    !matches!(status, 408 | 425 | 429 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules() -> ReconnectRules {
        let policy = RetryPolicy { jitter_percent: 0, ..RetryPolicy::default() };
        ReconnectRules { policy, ..ReconnectRules::default() }
    }

    fn closed(code: u16) -> Loss {
        Loss::Closed(CloseCode::new(code).expect("a code"))
    }

    #[test]
    fn what_says_that_it_is_final_is_final() {
        let mut rules = rules();
        rules.final_codes.push(4_001);
        for (loss, is_final) in [
            (closed(1000), true),
            (closed(1001), false),
            (closed(1002), true),
            (closed(1005), false),
            (closed(1006), false),
            (closed(1008), true),
            (closed(1011), false),
            (closed(1012), false),
            (closed(1013), false),
            (closed(4_000), false),
            (closed(4_001), true),
            (closed(4_401), true),
            (closed(4_429), false),
            (Loss::Status(200, None), true),
            (Loss::Status(301, None), true),
            (Loss::Status(401, None), true),
            (Loss::Status(408, None), false),
            (Loss::Status(429, None), false),
            (Loss::Status(503, None), false),
            (Loss::Disagreement, true),
            (Loss::Transport, false),
        ] {
            let next = Lifecycle::default().lost(loss, None, &rules, 0);
            assert_eq!(next == Next::GiveUp, is_final, "{loss:?}");
        }
        assert_eq!(
            Lifecycle::default().lost(Loss::Transport, None, &ReconnectRules::never(), 0),
            Next::GiveUp
        );
    }

    #[test]
    fn delays_grow_until_it_has_been_stable() {
        let (mut life, rules) = (Lifecycle::default(), rules());
        let after = |life: &mut Lifecycle, open: Option<u64>| {
            life.lost(Loss::Transport, open.map(Duration::from_secs), &rules, 0)
        };
        assert_eq!(after(&mut life, None), Next::After(SECOND));
        assert_eq!(after(&mut life, Some(1)), Next::After(2 * SECOND), "accepted and hung up is a failure");
        assert_eq!(after(&mut life, Some(30)), Next::After(4 * SECOND));
        assert_eq!(after(&mut life, Some(60)), Next::After(Duration::ZERO), "it was stable: at once");
        assert_eq!(after(&mut life, None), Next::After(2 * SECOND));
        life.reset();
        assert_eq!(after(&mut life, Some(5)), Next::After(SECOND));
        assert_eq!(life.failures(), 1);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let rules = rules();
        let after = |loss| Lifecycle::default().lost(loss, Some(70 * SECOND), &rules, 0);
        assert_eq!(after(closed(1013)), Next::After(5 * SECOND));
        assert_eq!(after(Loss::Status(503, Some(30 * SECOND))), Next::After(30 * SECOND));
        assert_eq!(after(Loss::Status(503, Some(3_600 * SECOND))), Next::GiveUp);
    }

    #[test]
    fn after_the_last_try_it_is_given_up() {
        let mut rules = rules();
        rules.policy.tries_max = Some(2);
        let mut life = Lifecycle::default();
        assert_eq!(life.lost(Loss::Transport, None, &rules, 0), Next::After(SECOND));
        assert_eq!(life.lost(Loss::Transport, None, &rules, 0), Next::GiveUp);
    }
}
