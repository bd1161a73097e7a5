//! `dumb-increment-protocol`: a number that goes up.

use super::pace::{PERIOD_OPTION, Pace};
use lws_plugin::{
    OptionError, Options, Plugin, SessionKind, SiteFacts, SiteProtocol, StartError, websockets,
};
use lws_server::ws::{Accepted, Handler, Message};
use lws_server::{Context, Endpoint, WebSocket};
use std::sync::Arc;
use std::time::Duration;

/// How often it counts, unless the site says otherwise.
const PERIOD: Duration = Duration::from_millis(50);
/// The shortest period that a site may ask for, in milliseconds.
const PERIOD_MILLIS_MIN: u64 = 10;

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
        pace(options).map(|_| ())
    }

    fn start(&self, _: &SiteFacts<'_>, options: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        Ok(Arc::new(Counters(pace(options)?)))
    }
}

fn pace(options: &Options) -> Result<Pace, OptionError> {
    Pace::of_options(options, PERIOD_MILLIS_MIN, PERIOD)
}

/// The counters of a site, all of one pace.
struct Counters(Pace);

impl SiteProtocol for Counters {
    fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
        let pace = self.0;
        websockets(move |_| Accepted::new(Counter { pace, value: 0 }))
    }
}

/// Counts, and sends the count.
pub(crate) struct Counter {
    pace: Pace,
    value: u64,
}

impl Default for Counter {
    fn default() -> Self {
        Self { pace: Pace::new(PERIOD), value: 0 }
    }
}

impl Handler for Counter {
    fn open(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        stream.set_timeout(Some(self.pace.next(cx.now())));
    }

    fn timer(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        stream.set_timeout(Some(self.pace.next(cx.now())));
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
