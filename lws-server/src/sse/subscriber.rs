//! One stream of events: the exchange of one `EventSource`.

use super::channel::{Channel, NextEvents};
use crate::Context;
use crate::http::{Exchange, Handler, Permit, Response, Status};
use lws_proto::{Bytes, Cause, Payload};
use std::time::Duration;

/// A stream of the events of a [`Channel`]: what the function of its route returns.
#[derive(Debug)]
#[must_use = "it is what the function of the route returns"]
pub struct Subscriber {
    channel: Channel,
    /// The number of the next event that it sends.
    position: u64,
    phase: SubscriberPhase,
    /// Events that the client has missed before it came, as it says.
    missed: bool,
    /// What comes before the first event, until it has been sent.
    prelude: Option<Bytes>,
    /// Something has been sent since the last look at the clock.
    busy: bool,
    /// The server drains: when everything has been sent the stream ends.
    leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubscriberPhase {
    /// Its head has not been sent.
    New,
    Open,
    /// The last octets have been sent.
    Over,
}

impl Subscriber {
    pub(super) fn new(channel: Channel, last_event_id: Option<&str>) -> Self {
        let (position, missed) = channel.position_after(last_event_id);
        Self {
            channel,
            position,
            phase: SubscriberPhase::New,
            missed,
            prelude: None,
            busy: false,
            leaving: false,
        }
    }

    /// Sends what there is, as far as the peer can take it.
    fn go_on(&mut self, cx: &Context<'_>, mut exchange: Exchange<'_>) {
        if self.phase == SubscriberPhase::New {
            match self.begin(cx, exchange) {
                Some(begun) => exchange = begun,
                None => return,
            }
        }
        if self.phase != SubscriberPhase::Open {
            return;
        }
        loop {
            let permit = match exchange.permit() {
                Ok(permit) => permit,
                Err(mut held) => return held.want_write(),
            };
            if let Some(prelude) = self.prelude.take() {
                match permit.data(Payload::Own(prelude), false) {
                    Ok(spent) => exchange = spent.into_exchange(),
                    Err(_) => {
                        self.phase = SubscriberPhase::Over;
                        return;
                    }
                }
                continue;
            }
            let (bytes, end) = match self.channel.next(&mut self.position) {
                NextEvents::Nothing if self.leaving => (self.farewell(cx), true),
                NextEvents::Nothing => return,
                NextEvents::Event(bytes) => (bytes, false),
                NextEvents::End(bytes) => (bytes, true),
            };
            self.busy = true;
            match permit.data(Payload::Own(bytes), end) {
                Ok(spent) if !end => exchange = spent.into_exchange(),
                _ => {
                    self.phase = SubscriberPhase::Over;
                    return;
                }
            }
        }
    }

    /// When the client is to come back, to whatever serves then.
    fn farewell(&self, cx: &Context<'_>) -> Bytes {
        format!("retry: {}\n\n", millis(self.channel.retry(spread_of(cx)))).into()
    }

    /// Sends the head, and what a client is to know before the first event.
    fn begin<'e>(&mut self, cx: &Context<'_>, exchange: Exchange<'e>) -> Option<Exchange<'e>> {
        let permit = match exchange.permit() {
            Ok(permit) => permit,
            Err(mut held) => {
                held.want_write();
                return None;
            }
        };
        if self.channel.has_ended() {
            // With which an `EventSource` comes no more.
            self.phase = SubscriberPhase::Over;
            permit.reply(Response::new(Status::NO_CONTENT));
            return None;
        }
        let response = Response::ok("text/event-stream", "")
            .field("Cache-Control", "no-cache")
            // nginx would hold events back.
            .field("X-Accel-Buffering", "no");
        let mut begun = permit.reply_head(&response)?;
        if begun.tally.head {
            self.phase = SubscriberPhase::Over;
            if let Ok(permit) = begun.permit() {
                let _ = permit.data(Payload::Static(b""), true);
            }
            return None;
        }
        self.phase = SubscriberPhase::Open;
        begun.set_timeout(Some(cx.now() + self.channel.heartbeat()));
        // Over HTTP/2 the windows may have no room for it yet, although the head has gone.
        self.prelude = Some(self.channel.prelude(spread_of(cx), self.missed));
        Some(begun)
    }
}

/// A number that differs between streams, so that clients which have lost their server together come back one by one.
fn spread_of(cx: &Context<'_>) -> u64 {
    let id = cx.id().map_or(0, |id| u64::from(id.shard) ^ (id.key.index() as u64) << 8);
    (cx.now().as_micros() ^ id ^ cx.thread_stats().requests << 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

impl Handler for Subscriber {
    fn open(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        self.channel.join(cx);
        cx.watch_drain();
        self.go_on(cx, exchange);
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        self.go_on(cx, permit.into_exchange());
    }

    fn timer(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        if self.phase != SubscriberPhase::Open {
            return;
        }
        exchange.set_timeout(Some(cx.now() + self.channel.heartbeat()));
        // What is owed already says that the stream is alive, as soon as the peer takes it.
        if std::mem::take(&mut self.busy) || self.prelude.is_some() {
            return;
        }
        // A peer that takes nothing gets no heartbeat: the engine's deadline for it counts already.
        if let Ok(permit) = exchange.permit()
            && permit.data(Payload::Static(b":\n\n"), false).is_err()
        {
            self.phase = SubscriberPhase::Over;
        }
    }

    /// The server drains.
    fn wake(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        self.leaving = cx.is_draining();
        // What it has not taken by the end of the drain is cut off.
        self.go_on(cx, exchange);
    }

    fn close(&mut self, cx: &mut Context<'_>, _: Cause) {
        self.channel.leave(cx);
        cx.unwatch_drain();
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
