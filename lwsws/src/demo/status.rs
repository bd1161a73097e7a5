//! `/demo/status`: what the server is doing, once a second.

use lws_server::ws::Handler;
use lws_server::{Context, Histogram, Stats, Time, WebSocket};
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Status {
    due: Time,
}

impl Status {
    fn send(&mut self, cx: &Context<'_>, mut stream: WebSocket<'_>) {
        let next = self.due + PERIOD;
        self.due = if next > cx.now() { next } else { cx.now() + PERIOD };
        stream.set_timeout(Some(self.due));
        if let Ok(permit) = stream.permit() {
            let _ = permit.text(&json(&cx.stats(), cx.uptime(), cx.loop_times()));
        }
    }
}

impl Handler for Status {
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
