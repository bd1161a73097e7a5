//! `lws-status`: what the server is doing, once a second.

use lws_plugin::{
    OptionError, Options, Plugin, SessionKind, SiteFacts, SiteProtocol, StartError, websockets,
};
use lws_server::ws::{Accepted, Handler};
use lws_server::{Context, Endpoint, Histogram, Stats, Time, WebSocket};
use std::sync::Arc;
use std::time::Duration;

/// The option that says how often it reports, in milliseconds.
const PERIOD_OPTION: &str = "update-ms";
const PERIOD: Duration = Duration::from_secs(1);

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
        period(options).map(|_| ())
    }

    fn start(&self, _: &SiteFacts<'_>, options: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        Ok(Arc::new(Reports(period(options)?)))
    }
}

fn period(options: &Options) -> Result<Duration, OptionError> {
    let millis = options.number(PERIOD_OPTION, 100..=3_600_000)?;
    Ok(millis.map_or(PERIOD, Duration::from_millis))
}

/// The reports of a site, all of one pace.
struct Reports(Duration);

impl SiteProtocol for Reports {
    fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
        let period = self.0;
        websockets(move |_| Accepted::new(StatusReport::new(period)))
    }
}

/// Reports what the server does.
pub(crate) struct StatusReport {
    period: Duration,
    due: Time,
}

impl Default for StatusReport {
    fn default() -> Self {
        Self::new(PERIOD)
    }
}

impl StatusReport {
    fn new(period: Duration) -> Self {
        Self { period, due: Time::default() }
    }

    fn send(&mut self, cx: &Context<'_>, mut stream: WebSocket<'_>) {
        let next = self.due + self.period;
        self.due = if next > cx.now() { next } else { cx.now() + self.period };
        stream.set_timeout(Some(self.due));
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
