//! The built-in server: handlers that follow the query of their request, and record in the ledger what they intend.

use crate::ledger::{Shared, content};
use lws_proto::http::Status;
use lws_proto::{Cause, MessageKind, Payload, WebSocket, WebSocketPermit};
use lws_server::files::{
    Content as FileContent, Entry, Fault, Files, Lookup, Opened, Piece, Progress, ReadAt, Vfs, Wait,
};
use lws_server::http::{self, Exchange, Permit, Request, Response};
use lws_server::{Builder, Context, Peer, ws};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The sizes of the files.
pub(crate) const FILES: [u32; 5] = [0, 1_000, 70_000, 300_000, 3_000_000];

/// Adds the routes.
pub(crate) fn describe(builder: Builder, ledger: &Shared) -> Builder {
    let builder = builder.mount("/files", Files::new(Sizes));
    let (bytes, wait, silence, echo) = (ledger.clone(), ledger.clone(), ledger.clone(), ledger.clone());
    let (chat, push, idle) = (ledger.clone(), ledger.clone(), ledger.clone());
    let log = ledger.clone();
    builder
        .access_log(move |record| {
            if record.peer == Peer::Local {
                log.borrow_mut().complain("a peer of the network is reported as one of this machine".into());
            }
        })
        .http("/hello", |_: &Request<'_>| Response::text("Hello, world!\n"))
        .http("/bytes", move |request: &Request<'_>| Bytes::new(request, &bytes))
        .http("/wait", move |request: &Request<'_>| Delayed::new(request, &wait))
        .http("/silence", move |request: &Request<'_>| Silence::new(request, &silence))
        .post("/echo", move |request: &Request<'_>| Echo::new(request, &echo))
        .post("/collect", |request: &Request<'_>| Response::text(request.content().len().to_string()))
        .ws("/chat", move |request: &Request<'_>| Chat {
            tracked: TrackedHandler::new(request, &chat),
            waiting: VecDeque::new(),
        })
        .ws("/push", move |request: &Request<'_>| Push::new(request, &push))
        .ws("/idle", move |request: &Request<'_>| Idle(TrackedHandler::new(request, &idle)))
}

/// Files in memory, named by their sizes. Real files could be slow, and a run must not depend on that.
struct Sizes;

impl Vfs for Sizes {
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        let size = lookup.names.parse().ok().filter(|size| FILES.contains(size));
        let Some(size) = size else { return Ok(Opened::NotHere) };
        let piece = Piece::Reader { reader: Arc::new(Self), offset: 0, len: size.into() };
        Ok(Opened::File(Entry { content: FileContent::One(piece), ..Entry::of_bytes(size.to_string()) }))
    }
}

impl ReadAt for Sizes {
    fn read_at(&self, out: &mut [u8], at: u64, _: Wait) -> io::Result<Progress> {
        out.copy_from_slice(&content(at, out.len()));
        Ok(Progress::Bytes(out.len()))
    }
}

/// A number in the query; 0 if it is missing.
fn number(request: &Request<'_>, name: &str) -> u64 {
    text(request, name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn text<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    let pairs = request.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(known, _)| *known == name).map(|(_, value)| value).next()
}

/// The common part of all handlers: it records calls in the ledger, and checks that the handler is closed exactly
/// once.
struct TrackedHandler {
    ledger: Shared,
    id: u32,
    open: bool,
    waits: bool,
}

impl TrackedHandler {
    fn new(request: &Request<'_>, ledger: &Shared) -> Self {
        ledger.borrow_mut().handlers += 1;
        Self { ledger: ledger.clone(), id: number(request, "id") as u32, open: true, waits: false }
    }

    fn called(&self) {
        self.ledger.borrow_mut().callbacks += 1;
    }

    fn meant(&self, octets: u64) {
        self.ledger.borrow_mut().account(self.id).meant = Some(octets);
    }

    fn finished(&self) {
        self.ledger.borrow_mut().account(self.id).finished = true;
    }

    /// Sets whether the handler waits until its peer goes.
    fn waits(&mut self, waits: bool) {
        if self.waits != waits {
            self.waits = waits;
            let mut ledger = self.ledger.borrow_mut();
            ledger.waiting = if waits { ledger.waiting + 1 } else { ledger.waiting - 1 };
        }
    }

    fn close(&mut self, cause: Cause) {
        self.waits(false);
        let mut ledger = self.ledger.borrow_mut();
        ledger.callbacks += 1;
        if !std::mem::replace(&mut self.open, false) {
            let id = self.id;
            ledger.complain(format!("handler {id} is closed twice, the second time as {cause:?}"));
        }
        ledger.account(self.id).server = Some(cause);
    }
}

impl Drop for TrackedHandler {
    fn drop(&mut self) {
        self.waits(false);
        let mut ledger = self.ledger.borrow_mut();
        ledger.handlers -= 1;
        if self.open && !std::thread::panicking() {
            let id = self.id;
            ledger.complain(format!("handler {id} is dropped and was not closed"));
        }
    }
}

/// Sends a number of octets.
struct Bytes {
    tracked: TrackedHandler,
    all: u64,
    at: u64,
    streamed: bool,
    aborts: Option<u64>,
    stalls: Option<u64>,
    begun: bool,
    /// Whether the request is HEAD.
    head: bool,
    status: Status,
}

impl Bytes {
    fn new(request: &Request<'_>, ledger: &Shared) -> Self {
        let tracked = TrackedHandler::new(request, ledger);
        let all = number(request, "n");
        tracked.meant(all);
        let limit = |name| text(request, name).and_then(|text| text.parse().ok());
        let streamed = text(request, "framing") == Some("streamed");
        let (aborts, stalls) = (limit("aborts"), limit("stalls"));
        // A successful response to CONNECT would open a tunnel. RFC 9110 §9.3.6.
        let status = if request.method() == http::Method::Connect { Status::FORBIDDEN } else { Status::OK };
        Self {
            tracked,
            all,
            at: 0,
            streamed,
            aborts,
            stalls,
            begun: false,
            head: request.method() == http::Method::Head,
            status,
        }
    }

    fn go_on(&mut self, permit: Permit<'_>) {
        if self.aborts.is_some_and(|at| at <= self.at) && self.begun {
            return permit.into_exchange().abort();
        }
        if self.stalls.is_some_and(|at| at <= self.at) && self.begun {
            return self.tracked.waits(true);
        }
        if !self.begun {
            self.begun = true;
            let length = self.all.to_string();
            let fields = (!self.streamed).then_some(("Content-Length", length));
            let end = self.all == 0;
            if end {
                self.tracked.finished();
            }
            match permit.respond(self.status, fields, Payload::Static(b""), end) {
                Ok(spent) if !end => spent.again(),
                Ok(_) => {}
                Err(misuse) => self.tracked.ledger.borrow_mut().complain(format!("respond: {misuse:?}")),
            }
            return;
        }
        if self.head && self.at > 0 {
            // One more permit may have been requested before the end was known.
            self.tracked
                .ledger
                .borrow_mut()
                .complain("a handler is asked for content of a response to HEAD".into());
        }
        let stop = [self.aborts, self.stalls].into_iter().flatten().min().unwrap_or(self.all);
        let budget = permit.budget().min(16 << 10) as u64;
        if budget == 0 {
            self.tracked.ledger.borrow_mut().complain("a permit for nothing".into());
        }
        let piece = content(self.at, (stop.min(self.all) - self.at).min(budget) as usize);
        self.at += piece.len() as u64;
        let end = self.at == self.all;
        if end {
            self.tracked.finished();
        }
        match permit.data(Payload::Own(piece.into()), end) {
            Ok(spent) if !end => spent.again(),
            Ok(_) => {}
            Err(misuse) => self.tracked.ledger.borrow_mut().complain(format!("data: {misuse:?}")),
        }
    }
}

impl http::Handler for Bytes {
    fn open(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) {
        self.tracked.called();
        exchange.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        self.tracked.called();
        self.go_on(permit);
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.tracked.close(cause);
    }
}

/// Answers after a delay.
struct Delayed {
    tracked: TrackedHandler,
    millis: u64,
}

impl Delayed {
    fn new(request: &Request<'_>, ledger: &Shared) -> Self {
        Self { tracked: TrackedHandler::new(request, ledger), millis: number(request, "ms") }
    }
}

impl http::Handler for Delayed {
    fn open(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) {
        self.tracked.called();
        exchange.set_timeout(Some(cx.now() + Duration::from_millis(self.millis)));
    }

    fn timer(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>) {
        self.tracked.called();
        exchange.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        self.tracked.called();
        self.tracked.finished();
        permit.reply(Response::text("It has taken a while.\n"));
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.tracked.close(cause);
    }
}

/// Never answers.
struct Silence(TrackedHandler);

impl Silence {
    fn new(request: &Request<'_>, ledger: &Shared) -> Self {
        let mut tracked = TrackedHandler::new(request, ledger);
        tracked.waits(true);
        Self(tracked)
    }
}

impl http::Handler for Silence {
    fn open(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>, end: bool) {
        self.0.called();
        // The content of a request is refused.
        if !end {
            exchange.pause();
        }
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.0.close(cause);
    }
}

/// Echoes the content of the request, and reads no more of it than it can send.
struct Echo {
    tracked: TrackedHandler,
    waiting: VecDeque<u8>,
    begun: bool,
    complete: bool,
    done: bool,
}

impl Echo {
    fn new(request: &Request<'_>, ledger: &Shared) -> Self {
        let tracked = TrackedHandler::new(request, ledger);
        Self { tracked, waiting: VecDeque::new(), begun: false, complete: false, done: false }
    }

    fn take(&mut self, mut exchange: Exchange<'_>, chunk: &[u8], end: bool) {
        self.waiting.extend(chunk);
        self.complete |= end;
        exchange.pause();
        exchange.want_write();
    }
}

impl http::Handler for Echo {
    fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, end: bool) {
        self.tracked.called();
        self.take(exchange, b"", end);
    }

    fn content(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        self.tracked.called();
        self.take(exchange, chunk, end);
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        self.tracked.called();
        if self.done {
            return;
        }
        let piece: Vec<u8> = self.waiting.drain(..self.waiting.len().min(permit.budget())).collect();
        let end = self.complete && self.waiting.is_empty();
        self.done = end;
        if end {
            self.tracked.finished();
        }
        let payload = Payload::Own(piece.into());
        let spent = match std::mem::replace(&mut self.begun, true) {
            false => permit.respond(Status::OK, [("Content-Type", "application/octet-stream")], payload, end),
            true => permit.data(payload, end),
        };
        match spent {
            Ok(_) if end => {}
            Ok(spent) if !self.waiting.is_empty() => spent.again(),
            Ok(spent) => spent.into_exchange().resume(),
            Err(misuse) => self.tracked.ledger.borrow_mut().complain(format!("echo: {misuse:?}")),
        }
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.tracked.close(cause);
    }
}

/// Echoes each message.
struct Chat {
    tracked: TrackedHandler,
    waiting: VecDeque<Vec<u8>>,
}

impl ws::Handler for Chat {
    fn message(&mut self, _: &mut Context<'_>, mut stream: WebSocket<'_>, message: ws::Message<'_>) {
        self.tracked.called();
        self.waiting.push_back(message.chunk.to_vec());
        stream.pause();
        stream.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        self.tracked.called();
        match self.waiting.pop_front() {
            Some(message) => match permit.message(MessageKind::Binary, Payload::Own(message.into()), true) {
                Ok(sent) => sent.into_stream().resume(),
                Err(misuse) => self.tracked.ledger.borrow_mut().complain(format!("chat: {misuse:?}")),
            },
            None => permit.into_stream().resume(),
        }
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.tracked.close(cause);
    }
}

/// Sends a number of messages of a size, as fast as the peer takes them.
struct Push {
    tracked: TrackedHandler,
    left: u64,
    size: usize,
}

impl Push {
    fn new(request: &Request<'_>, ledger: &Shared) -> Self {
        let tracked = TrackedHandler::new(request, ledger);
        Self { tracked, left: number(request, "n"), size: number(request, "size") as usize }
    }
}

impl ws::Handler for Push {
    fn open(&mut self, _: &mut Context<'_>, mut stream: WebSocket<'_>) {
        self.tracked.called();
        stream.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        self.tracked.called();
        if self.left > 0 {
            self.left -= 1;
            match permit.message(MessageKind::Binary, Payload::Own(content(0, self.size).into()), true) {
                Ok(sent) => sent.again(),
                Err(misuse) => self.tracked.ledger.borrow_mut().complain(format!("push: {misuse:?}")),
            }
        }
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.tracked.close(cause);
    }
}

/// A WebSocket on which the server sends nothing.
struct Idle(TrackedHandler);

impl ws::Handler for Idle {
    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.0.close(cause);
    }
}
