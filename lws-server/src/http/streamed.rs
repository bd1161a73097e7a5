//! Content that is made while it is sent: by an iterator, a reader, or another thread.
//!
//! The next piece is asked for when the peer can take it, so that nothing piles up, however slow the peer is.

use super::remote::Remote;
use super::{Exchange, Handler, Permit, Response};
use crate::Context;
use lws_proto::{Bytes, Cause, Payload};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// What is read of a reader at a time.
const PIECE_BYTES: usize = 16 << 10;

/// Pieces of fewer bytes are sent together with those behind them.
const LONG_BYTES: usize = 4 << 10;

/// A response whose content follows piece by piece: what a function of a route returns in place of a [`Response`].
///
/// Such a function is called when the head of its request has come, and gets no content: what needs both is a [`Handler`].
///
/// If a piece cannot be had the connection is cut off, or the stream of HTTP/2 reset: the peer sees that something is missing.
#[must_use = "it is what the function of the route returns"]
pub struct Streamed {
    response: Option<Response>,
    source: Box<dyn ContentSource>,
    /// The rest cannot be sent, and the exchange is to be cut off.
    broken: bool,
}

/// Where content comes from.
trait ContentSource {
    /// The exchange begins to wait.
    fn begin(&mut self, cx: &Context<'_>) {
        let _ = cx;
    }

    fn next(&mut self) -> Piece;

    /// The exchange is over.
    fn end(&mut self) {}
}

enum Piece {
    Bytes(Bytes),
    /// There is none yet. The source has the exchange woken.
    Later,
    End,
    Failed,
}

/// What follows the pieces that were gathered.
#[derive(Clone, Copy)]
enum Then {
    More,
    Later,
    End,
    Failed,
}

impl Response {
    /// The response with content from an iterator, which is asked for each piece when the peer can take it. It must not wait for
    /// anything: what waits is for [`into_channel`](Self::into_channel).
    ///
    /// ```
    /// use lws_server::{Server, http::{Response, Status}};
    ///
    /// let server = Server::builder().get("/numbers", |_| {
    ///     let lines = (0..1_000_000).map(|number| format!("{number}\n"));
    ///     Response::new(Status::OK).content_type("text/plain").into_streamed(lines)
    /// });
    /// ```
    pub fn into_streamed<I>(self, pieces: I) -> Streamed
    where
        I: IntoIterator<Item: Into<Bytes>, IntoIter: 'static>,
    {
        self.streamed(Pieces(pieces.into_iter()))
    }

    /// The response with content from a reader that does not wait: one of memory, or of a decoder over memory. For files there are
    /// [`files`](crate::files); a reader that waits is read on another thread, into a [channel](Self::into_channel):
    /// `io::copy(&mut reader, &mut sender)`.
    pub fn into_read(self, reader: impl Read + 'static) -> Streamed {
        self.streamed(Reader(reader))
    }

    /// The response with content from another thread. `pieces` of them may wait for the peer; the thread waits, or is refused, when there
    /// are as many.
    ///
    /// ```
    /// use lws_server::{Server, http::{Response, Status}};
    /// use std::{io, thread};
    ///
    /// let server = Server::builder().get("/report", |_| {
    ///     let (mut sender, report) = Response::new(Status::OK).content_type("text/csv").into_channel(8);
    ///     thread::spawn(move || {
    ///         // From wherever it comes, and however long that takes.
    ///         if io::copy(&mut &b"a,b\n1,2\n"[..], &mut sender).is_ok() {
    ///             sender.finish();
    ///         }
    ///     });
    ///     report
    /// });
    /// ```
    pub fn into_channel(self, pieces: usize) -> (Sender, Streamed) {
        let queue = ContentQueue { pieces: VecDeque::new(), pieces_max: pieces.max(1), end: None };
        let shared = Arc::new(Remote::new(queue));
        let streamed = self.streamed(ContentChannel(Arc::clone(&shared)));
        (Sender(shared), streamed)
    }

    fn streamed(self, source: impl ContentSource + 'static) -> Streamed {
        Streamed { response: Some(self), source: Box::new(source), broken: false }
    }
}

impl Streamed {
    fn go_on(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        if let Some(response) = &self.response {
            match exchange.permit() {
                Err(mut held) => return held.want_write(),
                Ok(permit) => match permit.reply_head(response) {
                    Some(begun) => exchange = begun,
                    None => return,
                },
            }
            self.response = None;
            if exchange.tally.head {
                // An iterator without an end would be asked for ever for what is not sent. RFC 9110 §9.3.2.
                if let Ok(permit) = exchange.permit() {
                    let _ = permit.data(Payload::Static(b""), true);
                }
                return;
            }
        }
        loop {
            let permit = match exchange.permit() {
                Ok(permit) => permit,
                Err(mut held) => return held.want_write(),
            };
            let (bytes, then) = self.gather();
            let end = match then {
                Then::More | Then::Later => false,
                Then::End => true,
                Then::Failed => return permit.into_exchange().abort(),
            };
            if bytes.is_empty() && !end {
                return;
            }
            match permit.data(Payload::Own(bytes), end) {
                Ok(spent) if matches!(then, Then::More) => exchange = spent.into_exchange(),
                Ok(_) => return,
                // More or less than the `Content-Length` that was said, or the response has no content.
                Err(_) => return self.cut_off(cx),
            }
        }
    }

    /// The next pieces: a long one alone, short ones together, as each is framed when it is sent.
    fn gather(&mut self) -> (Bytes, Then) {
        let mut gathered = Vec::new();
        loop {
            let then = match self.source.next() {
                Piece::Bytes(bytes) if gathered.is_empty() && bytes.len() >= LONG_BYTES => {
                    return (bytes, Then::More);
                }
                Piece::Bytes(bytes) => {
                    gathered.extend_from_slice(&bytes);
                    if gathered.len() < PIECE_BYTES {
                        continue;
                    }
                    Then::More
                }
                Piece::Later => Then::Later,
                Piece::End => Then::End,
                Piece::Failed => Then::Failed,
            };
            return (gathered.into(), then);
        }
    }
}

impl Streamed {
    /// A send that failed has taken the exchange with it: it is cut off when it is lent again.
    fn cut_off(&mut self, cx: &mut Context<'_>) {
        self.broken = true;
        if let Some(id) = cx.id() {
            cx.wake(id);
        }
    }
}

impl Handler for Streamed {
    fn open(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        self.source.begin(cx);
        self.go_on(cx, exchange);
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        self.go_on(cx, permit.into_exchange());
    }

    fn wake(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        if self.broken {
            return exchange.abort();
        }
        self.go_on(cx, exchange);
    }

    fn close(&mut self, _: &mut Context<'_>, _: Cause) {
        self.source.end();
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("response", &self.response).finish_non_exhaustive()
    }
}

struct Pieces<I>(I);

impl<I: Iterator<Item: Into<Bytes>>> ContentSource for Pieces<I> {
    fn next(&mut self) -> Piece {
        self.0.next().map_or(Piece::End, |piece| Piece::Bytes(piece.into()))
    }
}

struct Reader<R>(R);

impl<R: Read> ContentSource for Reader<R> {
    fn next(&mut self) -> Piece {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            return match self.0.read(&mut piece) {
                Ok(0) => Piece::End,
                Ok(n) => {
                    piece.truncate(n);
                    Piece::Bytes(piece.into())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Piece::Failed,
            };
        }
    }
}

/// What lies between a thread and the exchange.
#[derive(Debug)]
struct ContentQueue {
    pieces: VecDeque<Bytes>,
    pieces_max: usize,
    /// Whether it was ended as it should be, once it has ended.
    end: Option<bool>,
}

struct ContentChannel(Arc<Remote<ContentQueue>>);

impl ContentSource for ContentChannel {
    fn begin(&mut self, cx: &Context<'_>) {
        self.0.begin(cx);
    }

    fn next(&mut self) -> Piece {
        let mut inner = self.0.lock();
        let piece = match (inner.value.pieces.pop_front(), inner.value.end) {
            (Some(piece), _) => Piece::Bytes(piece),
            (None, None) => Piece::Later,
            (None, Some(true)) => Piece::End,
            (None, Some(false)) => Piece::Failed,
        };
        drop(inner);
        self.0.notify();
        piece
    }

    fn end(&mut self) {
        self.0.end();
    }
}

/// Sends content from another thread: see [`Response::into_channel`]. One that is dropped before [`finish`](Self::finish) has the response
/// cut off.
#[derive(Debug)]
#[must_use = "a sender that is dropped has the response cut off"]
pub struct Sender(Arc<Remote<ContentQueue>>);

/// Why a piece was not taken; it is given back.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError {
    /// As many wait as may.
    Full(Bytes),
    /// The exchange is over: the peer has left, mostly.
    Over(Bytes),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "as many pieces wait for the peer as may",
            Self::Over(_) => "the exchange is over",
        })
    }
}

impl std::error::Error for SendError {}

impl Sender {
    /// Sends a piece, and waits until there is room for it: not on a thread of the server.
    ///
    /// # Errors
    /// [`SendError::Over`].
    pub fn send(&self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        let piece = piece.into();
        let mut inner = self.0.lock();
        while !inner.over && inner.value.pieces.len() >= inner.value.pieces_max {
            inner = self.0.wait(inner);
        }
        drop(inner);
        // This is the only sender, so the room is still there.
        self.try_send(piece)
    }

    /// Sends a piece, if there is room for it.
    ///
    /// # Errors
    /// The piece was not taken.
    pub fn try_send(&self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        let mut left = Some(piece.into());
        let there = self.0.change(|queue| {
            let was_empty = queue.pieces.is_empty();
            if queue.pieces.len() < queue.pieces_max {
                queue.pieces.extend(left.take());
            }
            // Otherwise the exchange has been woken already, or waits for its peer.
            was_empty
        });
        match left {
            None => Ok(()),
            Some(piece) if there => Err(SendError::Full(piece)),
            Some(piece) => Err(SendError::Over(piece)),
        }
    }

    /// Ends the response.
    pub fn finish(self) {
        self.close(true);
    }

    fn close(&self, whole: bool) {
        self.0.change(|queue| {
            let ends = queue.end.is_none();
            queue.end.get_or_insert(whole);
            ends
        });
    }

    /// Whether the exchange is there: work for a peer that has left can stop.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.0.lock().over
    }
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.send(Bytes::copy_from_slice(bytes)) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(io::Error::new(io::ErrorKind::BrokenPipe, error.to_string())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.close(false);
    }
}
