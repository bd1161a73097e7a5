//! `/demo/counter`: a number that goes up.

use lws_server::ws::{Handler, Message};
use lws_server::{Context, Time, WebSocket};
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Counter {
    value: u64,
    due: Time,
}

impl Counter {
    /// A period after the last time, or after now if that is long past.
    fn schedule(&mut self, now: Time, stream: &mut WebSocket<'_>) {
        let next = self.due + PERIOD;
        self.due = if next > now { next } else { now + PERIOD };
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
