//! The connection to the broker on the loop: octets between a raw stream and the broker's client.

use super::bridge::{Bridge, RemoteCarrier};
use crate::Context;
use crate::upstream::{self, ConnectError, Connection, Established, Event};
use lws_broker::Remote;
use lws_loop_external::tls::{Failure, Info};
use lws_proto::{Payload, RawStream};
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// Octets that are handed to the connection at a time.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// One connection. It is of no interest any more once another attempt has begun.
pub(super) struct BrokerLink {
    pub(super) bridge: Rc<RefCell<Bridge>>,
    pub(super) attempt: u64,
}

impl BrokerLink {
    /// The client of the broker, if this is its connection of the moment.
    fn carrier(&self) -> Option<RefMut<'_, RemoteCarrier>> {
        let carrier = RefMut::filter_map(self.bridge.borrow_mut(), Bridge::remote).ok()?;
        (carrier.link.attempt == self.attempt && carrier.link.id.is_some()).then_some(carrier)
    }

    /// Writes what waits.
    fn advance(&self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        let Some(mut carrier) = self.carrier() else { return stream.abort() };
        let RemoteCarrier { remote, link, .. } = &mut *carrier;
        if link.is_securing {
            return;
        }
        link.is_waiting = false;
        let output = remote.transmit();
        if output.is_empty() {
            return;
        }
        match stream.permit() {
            Ok(permit) => {
                let count = output.len().min(WRITE_BYTES_MAX);
                let sent = permit.data(Payload::Copy(&output[..count]), false);
                if let Ok(sent) = sent {
                    remote.transmitted(cx.now(), count);
                    link.is_waiting = true;
                    sent.again();
                }
            }
            Err(mut stream) => {
                link.is_waiting = true;
                stream.want_write();
            }
        }
    }

    /// The connection is over, or could not be made.
    fn ended(&self, cx: &mut Context<'_>, report: impl FnOnce(&mut Remote)) {
        let Some(mut carrier) = self.carrier() else { return };
        carrier.link.id = None;
        report(&mut carrier.remote);
        drop(carrier);
        cx.drive_broker();
    }
}

impl upstream::Handler for BrokerLink {
    fn connected(&mut self, _: &mut Context<'_>, _: &mut Connection) {}

    fn failed(&mut self, cx: &mut Context<'_>, error: &ConnectError) {
        let now = cx.now();
        self.ended(cx, |remote| remote.connect_failed(now, &error.to_string()));
    }

    fn secured(&mut self, cx: &mut Context<'_>, _: &Info) {
        if let Some(mut carrier) = self.carrier() {
            (carrier.link.is_securing, carrier.link.is_waiting) = (false, false);
        }
        cx.drive_broker();
    }

    fn tls_failed(&mut self, cx: &mut Context<'_>, failure: &Failure) {
        let now = cx.now();
        self.ended(cx, |remote| remote.closed(now, &format!("TLS: {failure}")));
    }

    fn event(&mut self, cx: &mut Context<'_>, event: Event<'_>) {
        let now = cx.now();
        match event {
            Event::Established { stream: Established::Raw(stream), .. } => {
                if let Some(mut carrier) = self.carrier() {
                    carrier.link.key = Some(stream.key());
                    carrier.remote.connected(now);
                }
                self.advance(cx, stream);
                cx.drive_broker();
            }
            // Sent in clear, be it by the server or by somebody on the way.
            Event::Raw { stream, chunk, .. }
                if !chunk.is_empty() && self.carrier().is_some_and(|carrier| carrier.link.is_securing) =>
            {
                self.ended(cx, |remote| {
                    remote.closed(now, "octets in clear come behind the request for TLS")
                });
                stream.abort();
            }
            Event::Raw { stream, chunk, end } => {
                if let Some(mut carrier) = self.carrier() {
                    carrier.remote.receive(now, chunk);
                    drop(carrier);
                    // Delivered before more is read, so that no events pile up. Slow subscribers have their backlog.
                    cx.drive_broker();
                }
                if end {
                    self.ended(cx, |remote| remote.closed(now, ""));
                }
                self.advance(cx, stream);
                cx.drive_broker();
            }
            Event::Writable(permit) => {
                if let Ok(permit) = permit.into_raw() {
                    self.advance(cx, permit.into_stream());
                }
                cx.drive_broker();
            }
            Event::Closed { cause, .. } => self.ended(cx, |remote| remote.closed(now, cause.name())),
            _ => {}
        }
    }

    fn wake(&mut self, cx: &mut Context<'_>, connection: &mut Connection) {
        let key = self.carrier().and_then(|carrier| carrier.link.key);
        if let Some(stream) = key.and_then(|key| connection.raw_stream(key)) {
            self.advance(cx, stream);
        }
        cx.drive_broker();
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        self.ended(cx, |remote| remote.closed(now, ""));
    }
}
