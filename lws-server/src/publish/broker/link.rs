//! The connection to the broker on the loop: octets between a raw stream and the broker's client.

use super::bridge::Bridge;
use crate::Context;
use crate::upstream::{self, ConnectError, Connection, Established, Event};
use lws_proto::{Payload, RawStream};
use std::cell::RefCell;
use std::rc::Rc;

/// Octets that are handed to the connection at a time.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// One connection. It is of no interest any more once another attempt has begun.
pub(super) struct BrokerLink {
    pub(super) bridge: Rc<RefCell<Bridge>>,
    pub(super) attempt: u64,
}

impl BrokerLink {
    fn is_current(&self) -> bool {
        let bridge = self.bridge.borrow();
        bridge.link.attempt == self.attempt && bridge.link.id.is_some()
    }

    /// Writes what waits.
    fn advance(&self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        if !self.is_current() {
            return stream.abort();
        }
        let mut bridge = self.bridge.borrow_mut();
        bridge.link.is_waiting = false;
        let output = bridge.remote.transmit();
        if output.is_empty() {
            return;
        }
        match stream.permit() {
            Ok(permit) => {
                let count = output.len().min(WRITE_BYTES_MAX);
                let sent = permit.data(Payload::Copy(&output[..count]), false);
                if let Ok(sent) = sent {
                    bridge.remote.transmitted(cx.now(), count);
                    bridge.link.is_waiting = true;
                    sent.again();
                }
            }
            Err(mut stream) => {
                bridge.link.is_waiting = true;
                stream.want_write();
            }
        }
    }

    fn ended(&self, cx: &mut Context<'_>, reason: &str) {
        if self.is_current() {
            {
                let mut bridge = self.bridge.borrow_mut();
                bridge.link.id = None;
                bridge.remote.closed(cx.now(), reason);
            }
            cx.drive_broker();
        }
    }
}

impl upstream::Handler for BrokerLink {
    fn connected(&mut self, _: &mut Context<'_>, _: &mut Connection) {}

    fn failed(&mut self, cx: &mut Context<'_>, error: &ConnectError) {
        if self.is_current() {
            {
                let mut bridge = self.bridge.borrow_mut();
                bridge.link.id = None;
                bridge.remote.connect_failed(cx.now(), &error.to_string());
            }
            cx.drive_broker();
        }
    }

    fn event(&mut self, cx: &mut Context<'_>, event: Event<'_>) {
        match event {
            Event::Established { stream: Established::Raw(stream), .. } => {
                if self.is_current() {
                    let mut bridge = self.bridge.borrow_mut();
                    bridge.link.key = Some(stream.key());
                    bridge.remote.connected(cx.now());
                }
                self.advance(cx, stream);
                cx.drive_broker();
            }
            Event::Raw { stream, chunk, end } => {
                if self.is_current() {
                    self.bridge.borrow_mut().remote.receive(cx.now(), chunk);
                    // Delivered before more is read, so that no events pile up. Slow subscribers have their backlog.
                    cx.drive_broker();
                }
                if end {
                    self.ended(cx, "");
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
            Event::Closed { cause, .. } => self.ended(cx, cause.name()),
            _ => {}
        }
    }

    fn wake(&mut self, cx: &mut Context<'_>, connection: &mut Connection) {
        let key = self.bridge.borrow().link.key;
        if let Some(stream) = key.and_then(|key| connection.raw_stream(key)) {
            self.advance(cx, stream);
        }
        cx.drive_broker();
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        self.ended(cx, "");
    }
}
