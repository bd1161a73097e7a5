//! `lws-status`: what the server is doing, once a second.

use super::pace::{PERIOD_OPTION, Pace};
use lws_plugin::{
    OptionError, Options, Plugin, SessionKind, SiteFacts, SiteProtocol, StartError, websockets,
};
use lws_server::ws::{Accepted, Handler};
use lws_server::{Context, Endpoint, Histogram, Stats, WebSocket};
use std::sync::Arc;
use std::time::Duration;

/// How often it reports, unless the site says otherwise.
const PERIOD: Duration = Duration::from_secs(1);
/// The shortest period that a site may ask for, in milliseconds.
const PERIOD_MILLIS_MIN: u64 = 100;

pub(super) struct StatusPlugin;

impl Plugin for StatusPlugin {
    fn name(&self) -> &str {
        "lws-status"
    }

    fn kinds(&self) -> &[SessionKind] {
        &[SessionKind::WebSocket]
    }

    fn summary(&self) -> &str {
        "what the server is doing, as JSON"
    }

    fn option_names(&self) -> Option<&[&str]> {
        Some(&[PERIOD_OPTION])
    }

    fn check(&self, options: &Options) -> Result<(), OptionError> {
        pace(options).map(|_| ())
    }

    fn start(&self, _: &SiteFacts<'_>, options: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        Ok(Arc::new(Reports(pace(options)?)))
    }
}

fn pace(options: &Options) -> Result<Pace, OptionError> {
    Pace::of_options(options, PERIOD_MILLIS_MIN, PERIOD)
}

/// The reports of a site, all of one pace.
struct Reports(Pace);

impl SiteProtocol for Reports {
    fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
        let pace = self.0;
        websockets(move |_| Accepted::new(StatusReport { pace }))
    }
}

/// Reports what the server does.
pub(crate) struct StatusReport {
    pace: Pace,
}

impl Default for StatusReport {
    fn default() -> Self {
        Self { pace: Pace::new(PERIOD) }
    }
}

impl StatusReport {
    fn send(&mut self, cx: &Context<'_>, mut stream: WebSocket<'_>) {
        stream.set_timeout(Some(self.pace.next(cx.now())));
        if let Ok(permit) = stream.permit() {
            let _ = permit.text(&json(&cx.stats(), cx.uptime(), cx.loop_times()));
        }
    }
}

impl Handler for StatusReport {
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.send(cx, stream);
    }

    fn timer(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.send(cx, stream);
    }
}

fn json(stats: &Stats, uptime: Duration, times: [Histogram; 2]) -> String {
    let Stats { connections, websockets, requests, messages, bytes_in, bytes_out, lost, panics, .. } = stats;
    // What 99 of a hundred do not exceed, in milliseconds.
    let [turn, lag] = times.map(|times| {
        times.bound(990).map_or("null".to_owned(), |bound| (bound.as_secs_f64() * 1e3).to_string())
    });
    format!(
        "{{\"version\": \"{}\", \"uptime_s\": {}, \"connections\": {connections}, \"websockets\": {websockets}, \
         \"requests\": {requests}, \"messages\": {messages}, \"bytes_in\": {bytes_in}, \"bytes_out\": {bytes_out}, \
         \"lost\": {lost}, \"panics\": {panics}, \"turn_ms\": {turn}, \"lag_ms\": {lag}}}",
        env!("CARGO_PKG_VERSION"),
        uptime.as_secs(),
    )
}
