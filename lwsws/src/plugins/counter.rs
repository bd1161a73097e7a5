//! `dumb-increment-protocol`: a number that goes up.

use super::pace::{PERIOD_OPTION, Pace};
use super::shared::{SharedState, State};
use crate::broker::Sharing;
use lws_plugin::{
    OptionError, Options, Plugin, SessionKind, SiteFacts, SiteProtocol, StartError, websockets,
};
use lws_server::ws::{Accepted, Handler, Message, Prepared};
use lws_server::{Context, Endpoint, Time, WebSocket};
use std::sync::Arc;
use std::time::Duration;

/// How often it counts, unless the site says otherwise.
const PERIOD: Duration = Duration::from_millis(50);
/// The shortest period that a site may ask for, in milliseconds.
const PERIOD_MILLIS_MIN: u64 = 10;

/// What a client says to begin again.
const RESET: &str = "reset";

pub(super) struct CounterPlugin {
    pub(super) sharing: Sharing,
}

impl Plugin for CounterPlugin {
    fn name(&self) -> &str {
        "dumb-increment-protocol"
    }

    fn kinds(&self) -> &[SessionKind] {
        &[SessionKind::WebSocket]
    }

    fn summary(&self) -> &str {
        "a number that goes up"
    }

    fn option_names(&self) -> Option<&[&str]> {
        Some(&[PERIOD_OPTION])
    }

    fn check(&self, options: &Options) -> Result<(), OptionError> {
        pace(options).map(|_| ())
    }

    fn start(&self, site: &SiteFacts<'_>, options: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        let pace = pace(options)?;
        let count = self.sharing.share(&format!("counter/{}", site.name), || Count::new(pace.period()));
        Ok(Arc::new(Counters { pace, count }))
    }
}

fn pace(options: &Options) -> Result<Pace, OptionError> {
    Pace::of_options(options, PERIOD_MILLIS_MIN, PERIOD)
}

/// The counters of a site, all of one pace.
struct Counters {
    pace: Pace,
    count: Option<Arc<SharedState<Count>>>,
}

impl SiteProtocol for Counters {
    fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
        let (pace, count) = (self.pace, self.count.clone());
        websockets(move |_| Accepted::new(Counter::new(pace, count.clone())))
    }
}

/// A number that goes up by itself, which processes agree on by how often it began again, and by the higher one then.
#[derive(Debug)]
pub(crate) struct Count {
    resets: u64,
    value: u64,
    /// When it had that value.
    at: Option<Time>,
    period: Duration,
}

impl Count {
    fn new(period: Duration) -> Self {
        Self { resets: 0, value: 0, at: None, period }
    }

    fn value(&self, now: Time) -> u64 {
        let periods = self.at.map_or(0, |at| (now - at).as_micros() / self.period.as_micros().max(1));
        self.value.saturating_add(u64::try_from(periods).unwrap_or(u64::MAX))
    }

    /// The value, from the first look on.
    fn begin(&mut self, now: Time) -> u64 {
        self.at.get_or_insert(now);
        self.value(now)
    }

    fn set(&mut self, resets: u64, value: u64, now: Time) {
        (self.resets, self.value, self.at) = (resets, value, Some(now));
    }
}

impl State for Count {
    fn apply(&mut self, message: &str, now: Time) -> bool {
        let resets = message == RESET;
        if resets {
            self.set(self.resets.saturating_add(1), 0, now);
        }
        resets
    }

    fn merge(&mut self, part: &str, now: Time) -> bool {
        let mut numbers = part.split(' ').map(str::parse);
        let (Some(Ok(resets)), Some(Ok(value)), None) = (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        let is_later = (resets, value) > (self.resets, self.value(now));
        if is_later {
            self.set(resets, value, now);
        }
        is_later
    }

    fn parts(&self, now: Time) -> Vec<String> {
        self.at.map(|_| format!("{} {}", self.resets, self.value(now))).into_iter().collect()
    }
}

/// Counts, and sends the count.
pub(crate) struct Counter {
    pace: Pace,
    /// Its own count, unless there is one for all.
    value: u64,
    count: Option<Arc<SharedState<Count>>>,
}

impl Counter {
    fn new(pace: Pace, count: Option<Arc<SharedState<Count>>>) -> Self {
        Self { pace, value: 0, count }
    }

    /// One that shows this count, or its own.
    pub(crate) fn showing(count: Option<Arc<SharedState<Count>>>) -> Self {
        Self::new(Pace::new(PERIOD), count)
    }

    /// The count of the demo.
    pub(crate) fn shared(sharing: &Sharing) -> Option<Arc<SharedState<Count>>> {
        sharing.share("counter", || Count::new(PERIOD))
    }

    fn next(&mut self, now: Time) -> u64 {
        match &self.count {
            Some(count) => count.state().begin(now),
            None => {
                self.value += 1;
                self.value - 1
            }
        }
    }
}

impl Handler for Counter {
    fn open(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        self.count.iter().for_each(|count| count.show(cx));
        stream.set_timeout(Some(self.pace.next(cx.now())));
    }

    fn timer(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        stream.set_timeout(Some(self.pace.next(cx.now())));
        let value = self.next(cx.now());
        // A peer that does not keep up misses numbers.
        if let Ok(permit) = stream.permit() {
            let _ = permit.text(&value.to_string());
        }
    }

    /// A change shows with the next number.
    fn published(&mut self, _: &mut Context<'_>, _: &Prepared) -> bool {
        false
    }

    fn message(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, message: Message<'_>) {
        if message.text() != Some(RESET) {
            return;
        }
        match &self.count {
            Some(count) => count.publish(cx, RESET.to_owned()),
            None => self.value = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn counts_that_have_met_are_the_same_and_go_on() {
        let (mut one, mut other) = (Count::new(PERIOD), Count::new(PERIOD));
        assert!(one.parts(at(0)).is_empty(), "one that has not begun has nothing to say");
        assert_eq!((one.begin(at(0)), other.begin(at(1_000))), (0, 0));
        assert!(!one.merge(&other.parts(at(1_000))[0], at(1_000)), "it is further already");
        assert!(other.merge(&one.parts(at(1_000))[0], at(1_000)));
        assert_eq!((one.begin(at(2_000)), other.begin(at(2_000))), (40, 40));
        // The one that began again counts, although it is lower.
        assert!(other.apply(RESET, at(2_000)));
        assert!(one.merge(&other.parts(at(2_100))[0], at(2_100)));
        assert_eq!((one.begin(at(2_200)), other.begin(at(2_200))), (4, 4));
        for wrong in ["", "1", "1 2 3", "x 1", "1 -1", "0 9999"] {
            assert!(!one.merge(wrong, at(2_200)), "{wrong}");
        }
        assert!(!one.apply("anything", at(2_200)));
    }
}
