//! `/echo`: WebSocket messages and posted content, sent back as they come. No message is gathered, so they may be of any
//! size.

use lws_server::http::{self, Exchange, Permit, Request, Spent, Status};
use lws_server::ws::{self, Accepted};
use lws_server::{Context, MessageKind, Misuse, Payload, WebSocket, WebSocketPermit};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes that all WebSockets of a thread together may hold for peers that send without reading, as those do which write a message to
/// its end before they look for the answer. Past it, flow control stops them.
const HELD_BYTES_MAX: usize = 64 << 20;
/// What a part costs beside its bytes.
const PART_BYTES: usize = 64;

/// Sends each part of a message back as a frame of the same kind.
pub(crate) struct Messages {
    /// What the peer has not made room for; mostly nothing.
    held: Option<Box<Held>>,
    /// Bytes that all of them hold.
    held_bytes: Rc<Cell<usize>>,
}

#[derive(Default)]
struct Held(VecDeque<Part>);

struct Part {
    kind: MessageKind,
    bytes: Vec<u8>,
    end: bool,
}

impl Part {
    fn cost(&self) -> usize {
        self.bytes.len() + PART_BYTES
    }
}

/// The factory of the WebSockets.
pub(crate) fn websockets() -> impl Fn(&Request<'_>) -> Accepted<Messages> {
    let held_bytes = Rc::new(Cell::new(0));
    move |_| Accepted::new(Messages { held: None, held_bytes: Rc::clone(&held_bytes) }).streamed()
}

impl Messages {
    /// Keeps a part until the peer reads, and takes no more of them if that is too much.
    #[cold]
    fn hold(&mut self, mut stream: WebSocket<'_>, part: Part) {
        self.held_bytes.set(self.held_bytes.get() + part.cost());
        // What is one too many is no longer than what is received at a time.
        if self.held_bytes.get() > HELD_BYTES_MAX {
            stream.pause();
        }
        self.held.get_or_insert_default().0.push_back(part);
        stream.want_write();
    }

    fn release(&self, part: &Part) {
        self.held_bytes.set(self.held_bytes.get().saturating_sub(part.cost()));
    }
}

impl ws::Handler for Messages {
    #[inline]
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: ws::Message<'_>) {
        let ws::Message { kind, chunk, end, .. } = message;
        let stream = match self.held {
            None => match stream.permit() {
                Ok(permit) => {
                    let _ = permit.message(kind, Payload::Copy(chunk), end);
                    return;
                }
                Err(stream) => stream,
            },
            Some(_) => stream,
        };
        self.hold(stream, Part { kind, bytes: chunk.to_vec(), end });
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        let Some(part) = self.held.as_mut().and_then(|held| held.0.pop_front()) else { return };
        self.release(&part);
        let Ok(sent) = permit.message(part.kind, Payload::Own(part.bytes.into()), part.end) else { return };
        if self.held.as_ref().is_some_and(|held| !held.0.is_empty()) {
            return sent.again();
        }
        self.held = None;
        sent.into_stream().resume();
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for part in self.held.take().into_iter().flat_map(|held| held.0) {
            self.release(&part);
        }
    }
}

/// Sends content back with its type, and with its length if that is known.
pub(crate) struct Content {
    content_type: Option<Vec<u8>>,
    content_length: Option<Vec<u8>>,
    begun: bool,
    /// What came while nothing could be sent. One chunk at most, as no other is taken meanwhile.
    held: Option<(Vec<u8>, bool)>,
}

impl Content {
    pub(crate) fn new(request: &Request<'_>) -> Self {
        let owned = |name| request.get(name).map(<[u8]>::to_vec);
        Self {
            content_type: owned("content-type"),
            content_length: owned("content-length"),
            begun: false,
            held: None,
        }
    }

    /// Sends a chunk; the first one behind the head. The head waits for it, so that the engine can still send 100 (Continue) to a
    /// client that expects it.
    fn send<'a>(&mut self, permit: Permit<'a>, chunk: &[u8], end: bool) -> Result<Spent<'a>, Misuse> {
        if std::mem::replace(&mut self.begun, true) {
            return permit.data(Payload::Copy(chunk), end);
        }
        let fields = [("Content-Type", &self.content_type), ("Content-Length", &self.content_length)];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        permit.respond(Status::OK, fields, Payload::Copy(chunk), end)
    }

    fn take(&mut self, exchange: Exchange<'_>, chunk: &[u8], end: bool) {
        match exchange.permit() {
            Ok(permit) => {
                let _ = self.send(permit, chunk, end).map(Spent::throttle);
            }
            Err(mut exchange) => {
                self.held = Some((chunk.to_vec(), end));
                exchange.pause();
                exchange.want_write();
            }
        }
    }
}

impl http::Handler for Content {
    fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, end: bool) {
        if end {
            self.take(exchange, b"", true);
        }
    }

    fn content(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        self.take(exchange, chunk, end);
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        if let Some((chunk, end)) = self.held.take()
            && let Ok(spent) = self.send(permit, &chunk, end)
        {
            spent.into_exchange().resume();
        }
    }
}
