//! `dumb-increment-protocol`: a number that goes up.

use lws_plugin::{
    OptionError, Options, Plugin, SessionKind, SiteFacts, SiteProtocol, StartError, websockets,
};
use lws_server::ws::{Accepted, Handler, Message};
use lws_server::{Context, Endpoint, Time, WebSocket};
use std::sync::Arc;
use std::time::Duration;

/// The option that says how often it counts, in milliseconds.
const PERIOD_OPTION: &str = "update-ms";
const PERIOD: Duration = Duration::from_millis(50);

pub(super) struct CounterPlugin;

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
        period(options).map(|_| ())
    }

    fn start(&self, _: &SiteFacts<'_>, options: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        Ok(Arc::new(Counters(period(options)?)))
    }
}

fn period(options: &Options) -> Result<Duration, OptionError> {
    let millis = options.number(PERIOD_OPTION, 10..=3_600_000)?;
    Ok(millis.map_or(PERIOD, Duration::from_millis))
}

/// The counters of a site, all of one pace.
struct Counters(Duration);

impl SiteProtocol for Counters {
    fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
        let period = self.0;
        websockets(move |_| Accepted::new(Counter::new(period)))
    }
}

/// Counts, and sends the count.
pub(crate) struct Counter {
    period: Duration,
    value: u64,
    due: Time,
}

impl Default for Counter {
    fn default() -> Self {
        Self::new(PERIOD)
    }
}

impl Counter {
    fn new(period: Duration) -> Self {
        Self { period, value: 0, due: Time::default() }
    }

    /// A period after the last time, or after now if that is long past.
    fn schedule(&mut self, now: Time, stream: &mut WebSocket<'_>) {
        let next = self.due + self.period;
        self.due = if next > now { next } else { now + self.period };
        stream.set_timeout(Some(self.due));
    }
}

impl Handler for Counter {
    fn open(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        self.schedule(cx.now(), &mut stream);
    }

    fn timer(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        self.schedule(cx.now(), &mut stream);
        // A peer that does not keep up misses numbers.
        if let Ok(permit) = stream.permit() {
            let _ = permit.text(&self.value.to_string());
        }
        self.value += 1;
    }

    fn message(&mut self, _: &mut Context<'_>, _: WebSocket<'_>, message: Message<'_>) {
        if message.text() == Some("reset") {
            self.value = 0;
        }
    }
}
