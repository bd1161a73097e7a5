//! `/echo`: WebSocket messages and posted content, sent back as they come. Nothing is gathered, so they may be of any size.

use lws_server::http::{self, Exchange, Permit, Request, Spent, Status};
use lws_server::ws::{self, Accepted};
use lws_server::{Context, Misuse, Payload, Sent, Stream};

/// Sends each part of a message back as a frame of the same kind.
pub(crate) struct Messages;

pub(crate) fn websocket() -> Accepted<Messages> {
    Accepted::new(Messages).streamed()
}

impl ws::Handler for Messages {
    #[inline]
    fn message(&mut self, _: &mut Context<'_>, stream: Stream<'_>, message: ws::Message<'_>) {
        // There is no permit only while the WebSocket closes: until the queue has room, no message comes.
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
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

    /// Sends a chunk; the first one behind the head. That comes no sooner, so that a client which waits to be told to go on
    /// is told.
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
