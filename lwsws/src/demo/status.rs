//! `/demo/status`: what the server is doing, once a second.

use lws_server::ws::Handler;
use lws_server::{Context, Stats, Time, WebSocket};
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
            let _ = permit.text(&json(&cx.stats(), cx.uptime()));
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

fn json(stats: &Stats, uptime: Duration) -> String {
    let Stats { connections, websockets, requests, messages, bytes_in, bytes_out, .. } = stats;
    format!(
        "{{\"version\": \"{}\", \"uptime_s\": {}, \"connections\": {connections}, \"websockets\": {websockets}, \
         \"requests\": {requests}, \"messages\": {messages}, \"bytes_in\": {bytes_in}, \"bytes_out\": {bytes_out}}}",
        env!("CARGO_PKG_VERSION"),
        uptime.as_secs(),
    )
}
