//! A file on its way to a peer, as fast as the peer takes it, and without waiting for a disk.
//!
//! What can be found and read at once is; of large files without TLS over HTTP/1.1 what lies in memory is sent by the system
//! itself. Otherwise a thread of the server's pool does it and wakes the exchange, which waits by
//! a deadline. A transfer that waits for its peer has nothing open, or something that is closed when others need the descriptor:
//! then the file is found again, and sent on from where it was if it is still the same.

use super::mount::{Mounted, date};
use super::shelf;
use crate::Context;
use crate::http::{Exchange, Handler, Permit, Status};
use crate::thread::deferred::Deferred;
use lws_files::{Body, Found, Progress, Request, Response, Ticket};
use lws_loop_external::{file_region, lies_in_memory};
use lws_proto::{Cause, Payload, Region};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that are read at a time: as many as are queued for a peer at most.
const CHUNK_BYTES: u64 = 64 << 10;

/// Bytes of a file that are handed to the system at a time: what is queued of a slow peer stays as little behind the page cache.
const REGION_BYTES_MAX: u64 = 1 << 20;

/// Fewer are read and copied: that is fewer system calls.
const REGION_BYTES_MIN: u64 = 32 << 10;

/// How long a transfer waits when descriptors or places in the queue of the pool have run out.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// A response to a request for a file.
pub(super) struct Transfer {
    mounted: Rc<Mounted>,
    request: Request,
    /// What the boundary between several parts is made of: the same each time that the response is made.
    seed: Option<u64>,
    /// What was said in the head, once that has been sent.
    begun: Option<Begun>,
    phase: TransferPhase,
}

/// A response that has begun.
struct Begun {
    status: Status,
    length: Option<u64>,
    tag: Option<Box<str>>,
    /// Bytes of content that have been sent.
    sent: u64,
}

/// What a transfer waits for.
enum TransferPhase {
    /// A permit, or the end of a shortage. Nothing is open.
    Idle,
    /// Likewise, with something open that may be closed by others.
    Shelved(shelf::Ticket),
    /// Likewise, with something that could not be made again from its middle.
    Held(Body),
    /// The result of a lookup.
    Finding(Deferred<Found>, Ticket),
    /// More of the content; `None` if the code behind it has panicked.
    Reading(Deferred<Option<Body>>),
    /// Nothing: all was sent, or the exchange was cut off.
    Over,
}

/// What is kept open for a transfer that waits for its peer.
pub(crate) enum Parked {
    /// What was found, of which nothing has been said yet.
    Found(Found),
    /// What is left of the content.
    Body(Body),
}

impl Begun {
    fn new(response: &Response) -> Self {
        let tag = response.get("ETag").map(opaque).map(Into::into);
        Self { status: response.status, length: response.length, tag, sent: 0 }
    }

    /// Whether a response that was made later is of the same bytes.
    fn is_that_of(&self, response: &Response) -> bool {
        let tag = response.get("ETag").map(opaque);
        tag.is_some()
            && tag == self.tag.as_deref()
            && (self.status, self.length) == (response.status, response.length)
    }
}

/// A tag whether or not it is weak: that of a file that has just been written becomes strong when its clock has moved on.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

impl Transfer {
    /// Sends what can be sent now, and stays for the rest.
    pub(super) fn begin(
        cx: &mut Context<'_>,
        mounted: &Rc<Mounted>,
        request: Request,
        mut exchange: Exchange<'_>,
    ) -> Option<Box<dyn Handler>> {
        let mut transfer = Self {
            mounted: Rc::clone(mounted),
            request,
            seed: None,
            begun: None,
            phase: TransferPhase::Idle,
        };
        match exchange.permit() {
            Ok(permit) => transfer.look(cx, permit),
            Err(waiting) => {
                // Who cannot send has no descriptor.
                exchange = waiting;
                exchange.want_write();
            }
        }
        (!matches!(transfer.phase, TransferPhase::Over)).then(|| -> Box<dyn Handler> { Box::new(transfer) })
    }

    /// Looks for the file, for the first time or again.
    fn look(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        let found = self.mounted.files.find(&self.request, cx.now(), date(cx));
        match found {
            Some(found) if found.is_shortage() => {
                // What waits here for others is what this one needs now.
                cx.state.shelf.clear();
                match self.mounted.files.find(&self.request, cx.now(), date(cx)) {
                    Some(found) => self.answer(cx, permit, &found),
                    None => self.fetch(cx, permit),
                }
            }
            Some(found) => self.answer(cx, permit, &found),
            None => self.fetch(cx, permit),
        }
    }

    /// Has a thread look for the file.
    fn fetch(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        let Some((deferred, completer)) = cx.deferred_result() else {
            return self.cut_off(permit.into_exchange());
        };
        let (files, disk) = (&self.mounted.files, &cx.state.group.pools.disk);
        let deliver = move |found| completer.complete(found);
        match files.fetch(&self.request, cx.now(), date(cx), disk, deliver) {
            Ok(ticket) => {
                self.phase = TransferPhase::Finding(deferred, ticket);
                self.wait_for_disk(cx, permit.into_exchange());
            }
            Err(_) if self.begun.is_some() => self.pause(cx, permit.into_exchange(), TransferPhase::Idle),
            Err(refusal) => self.send_head(cx, permit, Response::refused(&self.request, refusal)),
        }
    }

    fn wait_for_disk(&self, cx: &Context<'_>, mut exchange: Exchange<'_>) {
        exchange.set_timeout(Some(cx.now() + self.mounted.disk_timeout));
    }

    /// Tries again a moment later.
    fn pause(&mut self, cx: &Context<'_>, mut exchange: Exchange<'_>, phase: TransferPhase) {
        self.phase = phase;
        exchange.set_timeout(Some(cx.now() + SHORTAGE_PAUSE));
    }

    /// Makes the response of what was found: to begin it, or to go on.
    fn answer(&mut self, cx: &mut Context<'_>, permit: Permit<'_>, found: &Found) {
        if found.is_shortage() && self.begun.is_some() {
            return self.pause(cx, permit.into_exchange(), TransferPhase::Idle);
        }
        let seed = &mut self.seed;
        let mut random: Option<Random> = None;
        let mut chance = || {
            let seeded = || Random(*seed.get_or_insert_with(|| RandomState::new().hash_one(())));
            random.get_or_insert_with(seeded).next()
        };
        let mut response = self.mounted.files.respond(&self.request, found, date(cx), &mut chance);
        let Some(begun) = &self.begun else { return self.send_head(cx, permit, response) };
        if begun.is_that_of(&response) && response.body.skip(begun.sent) {
            self.send(cx, permit, response.body);
        } else {
            // It was replaced or removed after its head had been sent. Only an end that is no success tells the peer so.
            self.cut_off(permit.into_exchange());
        }
    }

    /// Sends the head, with the content if that lies in memory.
    fn send_head(&mut self, cx: &mut Context<'_>, permit: Permit<'_>, mut response: Response) {
        if response.has_error_page()
            && let Some(page) = permit.error_content(response.status)
        {
            response.set_error_page(&self.request, page.content_type, page.content);
        }
        let whole = match response.body.in_memory() {
            Some(bytes) => Some(Payload::Own(bytes.clone())),
            None => response.body.is_empty().then_some(Payload::Static(b"")),
        };
        let (prepared, others) = response.prepared_and_other_fields();
        // The engine says the length of what it is given. That of the content which a HEAD is not given is said here, unless it was
        // prepared.
        let says_length = prepared.is_none() && !matches!(whole, Some(Payload::Own(_)));
        let length = response.length.filter(|_| says_length).map(|length| length.to_string());
        let others = others.chain(length.as_deref().map(|length| ("Content-Length", length)));
        let end = whole.is_some();
        let content = whole.unwrap_or(Payload::Static(b""));
        let exchange = permit.begin_prepared(response.status, prepared, others, content, end);
        self.phase = TransferPhase::Over;
        let Some(exchange) = exchange.filter(|_| !end) else { return };
        self.begun = Some(Begun::new(&response));
        let body = std::mem::replace(&mut response.body, Body::empty());
        self.go_on(cx, exchange, body);
    }

    /// Sends content if the exchange may write, or when it may.
    fn go_on(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, body: Body) {
        match exchange.permit() {
            Ok(permit) => self.send(cx, permit, body),
            Err(mut exchange) => {
                self.park_body(cx, body);
                exchange.want_write();
            }
        }
    }

    /// Sends the next chunk.
    fn send(&mut self, cx: &mut Context<'_>, mut permit: Permit<'_>, mut body: Body) {
        self.phase = TransferPhase::Over;
        if permit.takes_region()
            && let Some(region) = region(cx, &body)
        {
            return self.send_region(cx, permit, body, region);
        }
        let max = body.len().map_or(CHUNK_BYTES, |len| len.min(CHUNK_BYTES));
        let mut read = Ok(Progress::End);
        let spent = permit.fill(usize::try_from(max).unwrap_or(usize::MAX), |room| {
            read = body.read(room);
            match read {
                Ok(Progress::Bytes(n)) => (n, body.is_empty()),
                Ok(Progress::End) => (0, true),
                Ok(Progress::WouldBlock) | Err(_) => (0, false),
            }
        });
        let Ok(spent) = spent else { return };
        match read {
            Ok(Progress::Bytes(n)) => {
                if let Some(begun) = &mut self.begun {
                    begun.sent += n as u64;
                }
                if !body.is_empty() {
                    self.park_body(cx, body);
                    spent.again();
                }
            }
            Ok(Progress::End) => {}
            Ok(Progress::WouldBlock) => self.fetch_body(cx, spent.into_exchange(), body),
            // The length has been promised already, and the file has become shorter or cannot be read.
            Err(_) => self.cut_off(spent.into_exchange()),
        }
    }

    /// Has the system send the next chunk by itself.
    fn send_region(&mut self, cx: &mut Context<'_>, permit: Permit<'_>, mut body: Body, region: Region) {
        let len = region.len() as u64;
        body.advance(len);
        let Ok(spent) = permit.region(region, body.is_empty()) else { return };
        if let Some(begun) = &mut self.begun {
            begun.sent += len;
        }
        if !body.is_empty() {
            self.park_body(cx, body);
            spent.again();
        }
    }

    /// Has a thread read on.
    fn fetch_body(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, body: Body) {
        let Some((deferred, completer)) = cx.deferred_result() else { return self.cut_off(exchange) };
        match cx.state.group.pools.disk.reserve() {
            Ok(slot) => {
                body.fetch(slot, move |body| completer.complete(body));
                self.phase = TransferPhase::Reading(deferred);
                self.wait_for_disk(cx, exchange);
            }
            Err(_) => self.pause(cx, exchange, TransferPhase::Held(body)),
        }
    }

    /// Keeps what is left until the peer takes more.
    fn park_body(&mut self, cx: &mut Context<'_>, body: Body) {
        self.phase = if body.is_seekable() && self.begun.as_ref().is_some_and(|begun| begun.tag.is_some()) {
            Self::shelve(cx, Parked::Body(body))
        } else {
            TransferPhase::Held(body)
        };
    }

    fn shelve(cx: &mut Context<'_>, parked: Parked) -> TransferPhase {
        let connection = cx.id().map(|id| id.connection);
        TransferPhase::Shelved(cx.state.shelf.put(connection, parked))
    }

    /// A disk has answered, or the exchange was woken by something else.
    fn on_result(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        match &self.phase {
            TransferPhase::Finding(deferred, _) => {
                let Some(found) = deferred.take() else { return };
                exchange.set_timeout(None);
                match exchange.permit() {
                    Ok(permit) => {
                        self.phase = TransferPhase::Idle;
                        self.answer(cx, permit, &found);
                    }
                    Err(mut exchange) => {
                        self.phase = Self::shelve(cx, Parked::Found(found));
                        exchange.want_write();
                    }
                }
            }
            TransferPhase::Reading(deferred) => {
                let Some(body) = deferred.take() else { return };
                exchange.set_timeout(None);
                match body {
                    Some(body) => self.go_on(cx, exchange, body),
                    None => self.cut_off(exchange),
                }
            }
            TransferPhase::Idle
            | TransferPhase::Shelved(_)
            | TransferPhase::Held(_)
            | TransferPhase::Over => {}
        }
    }

    /// The disk has not answered in time.
    fn give_up(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        self.cancel();
        if self.begun.is_some() {
            return self.cut_off(exchange);
        }
        match exchange.permit() {
            Ok(permit) => self.send_head(cx, permit, Response::unavailable(&self.request)),
            Err(exchange) => self.cut_off(exchange),
        }
    }

    fn cut_off(&mut self, exchange: Exchange<'_>) {
        self.phase = TransferPhase::Over;
        exchange.abort();
    }

    /// Waits for no lookup any more.
    fn cancel(&mut self) {
        if let TransferPhase::Finding(_, ticket) = &self.phase {
            self.mounted.files.cancel(*ticket);
        }
    }
}

/// What comes next of a body, if the system can send it by itself and waits for no disk when it does.
fn region(cx: &mut Context<'_>, body: &Body) -> Option<Region> {
    let next = body.region().filter(|next| next.len >= REGION_BYTES_MIN)?;
    let len = next.len.min(REGION_BYTES_MAX);
    // What is being read already counts as being there. It is read in order, so that the last byte says that all are.
    let len_in_memory =
        usize::try_from(len).ok().filter(|len| lies_in_memory(&next.file, next.offset, *len))?;
    if !next.has_now(len - 1) {
        return None;
    }
    let queued = cx.state.shelf.queue(&*next.file)?;
    Some(file_region(Arc::clone(&next.file), next.offset, len_in_memory, queued))
}

/// Numbers that follow from a seed: SplitMix64. They tell a boundary from what stands between boundaries, and nothing from adversaries
/// who know the seed, which is secret.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Handler for Transfer {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        match std::mem::replace(&mut self.phase, TransferPhase::Idle) {
            TransferPhase::Held(body) => self.send(cx, permit, body),
            TransferPhase::Shelved(ticket) => match cx.state.shelf.take(ticket) {
                Some(Parked::Body(body)) => self.send(cx, permit, body),
                Some(Parked::Found(found)) => self.answer(cx, permit, &found),
                None => self.look(cx, permit),
            },
            TransferPhase::Idle => self.look(cx, permit),
            // It was asked for before the wait began.
            phase @ (TransferPhase::Finding(..) | TransferPhase::Reading(_) | TransferPhase::Over) => {
                self.phase = phase
            }
        }
    }

    fn timer(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        match self.phase {
            TransferPhase::Finding(..) | TransferPhase::Reading(_) => self.give_up(cx, exchange),
            TransferPhase::Idle | TransferPhase::Shelved(_) | TransferPhase::Held(_) => exchange.want_write(),
            TransferPhase::Over => {}
        }
    }

    fn wake(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        self.on_result(cx, exchange);
    }

    fn close(&mut self, cx: &mut Context<'_>, _: Cause) {
        self.cancel();
        if let TransferPhase::Shelved(ticket) = self.phase {
            cx.state.shelf.close(ticket);
        }
    }
}
