//! Protocols of libraries as plugins: their sites, their sessions, and what they order.

use crate::codes::{self, CAUSE_ABORTED, END, TEXT};
use crate::frame::{self, CallFrame, ClosingWords, Orders, OutboundBytes};
use crate::options::Options;
use crate::plugin::{Plugin, SessionKind, SiteFacts, SiteProtocol, StartError};
use crate::requests::NativeExchange;
use crate::sys::{ForeignProtocol, HTTP, Opening, RAW, UserPointer, WEBSOCKET};
use lws_server::http::{self, Exchange, Request, Response};
use lws_server::ws::{self, CloseCode};
use lws_server::{
    Cause, Context, Endpoint, MessageKind, Payload, RawPermit, RawStream, Stream, WebSocket, WebSocketPermit,
    raw,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The keys of all sessions, each used once. Zero is none.
static KEYS: AtomicU64 = AtomicU64::new(1);

/// A key that no session has had.
pub(crate) fn next_key() -> u64 {
    KEYS.fetch_add(1, Ordering::Relaxed)
}

/// A protocol of a library.
pub(crate) struct NativePlugin {
    protocol: Arc<ForeignProtocol>,
    kinds: Vec<SessionKind>,
}

impl NativePlugin {
    pub(crate) fn new(protocol: ForeignProtocol) -> Self {
        let kinds = [(WEBSOCKET, SessionKind::WebSocket), (RAW, SessionKind::Raw), (HTTP, SessionKind::Http)];
        let kinds = kinds.into_iter().filter(|(bit, _)| protocol.kinds() & bit != 0);
        Self { kinds: kinds.map(|(_, kind)| kind).collect(), protocol: Arc::new(protocol) }
    }
}

impl Plugin for NativePlugin {
    fn name(&self) -> &str {
        self.protocol.name()
    }

    fn kinds(&self) -> &[SessionKind] {
        &self.kinds
    }

    fn start(&self, site: &SiteFacts<'_>, options: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
        let texts = options.texts().map(|(name, text)| (name.to_owned(), text)).collect();
        let json = options.to_json();
        let begun = frame::with_options(texts, || self.protocol.site_init(site.name, &json));
        let user = begun.map_err(|(code, text)| {
            let name = codes::name(code);
            StartError::Failed(if text.is_empty() { name } else { format!("{text} ({name})") })
        })?;
        let site = NativeSite { protocol: Arc::clone(&self.protocol), user };
        Ok(Arc::new(NativeSiteProtocol(Arc::new(site))))
    }
}

/// A site of a library. Its last session has the last share of it, so that it ends behind that.
pub(crate) struct NativeSite {
    pub(crate) protocol: Arc<ForeignProtocol>,
    pub(crate) user: UserPointer,
}

impl Drop for NativeSite {
    fn drop(&mut self) {
        self.protocol.site_destroy(&self.user);
    }
}

struct NativeSiteProtocol(Arc<NativeSite>);

impl SiteProtocol for NativeSiteProtocol {
    fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
        Box::new(NativeEndpoint(Arc::clone(&self.0)))
    }
}

struct NativeEndpoint(Arc<NativeSite>);

impl Endpoint for NativeEndpoint {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn http::Handler>> {
        Some(Box::new(NativeExchange::begin(&self.0, cx, request, exchange, end)))
    }

    fn upgrade(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
        let opening = Opening {
            kind: WEBSOCKET,
            path: request.path().to_owned(),
            query: request.query().unwrap_or_default().to_owned(),
            peer: cx.peer().to_string(),
            ..Opening::default()
        };
        Ok(ws::Accepted::new(NativeSession::new(&self.0, SessionKind::WebSocket, opening)).boxed())
    }

    fn raw(&self, cx: &mut Context<'_>) -> Option<Box<dyn raw::Handler>> {
        let opening = Opening { kind: RAW, peer: cx.peer().to_string(), ..Opening::default() };
        Some(Box::new(NativeSession::new(&self.0, SessionKind::Raw, opening)))
    }
}

/// One connection.
struct NativeSession {
    site: Arc<NativeSite>,
    kind: SessionKind,
    key: u64,
    phase: SessionPhase,
}

/// Where a session stands.
enum SessionPhase {
    /// The library does not know of it yet.
    New(Box<Opening>),
    /// `open` has answered well.
    Open(UserPointer),
    /// Nothing more comes of it.
    Over,
}

/// What WebSockets and raw streams do each in their way.
trait Outgoing: Sized {
    /// Sends with the permit of this moment. `None` if the stream has ended.
    fn send(self, outbound: OutboundBytes) -> Option<Self>;

    /// Ends the session.
    fn end(self, words: &ClosingWords);
}

impl Outgoing for WebSocket<'_> {
    fn send(self, OutboundBytes { bytes, flags }: OutboundBytes) -> Option<Self> {
        let kind = if flags & TEXT != 0 { MessageKind::Text } else { MessageKind::Binary };
        match self.permit() {
            Ok(permit) => {
                permit.message(kind, Payload::Own(bytes.into()), true).ok().map(lws_server::Sent::into_stream)
            }
            // There was a permit when the call began, and nothing has been written since.
            Err(stream) => Some(stream),
        }
    }

    fn end(self, words: &ClosingWords) {
        // An error says that it has ended already.
        let _ = self.close(words.code, &words.reason);
    }
}

impl Outgoing for RawStream<'_> {
    fn send(self, OutboundBytes { bytes, flags }: OutboundBytes) -> Option<Self> {
        match self.permit() {
            Ok(permit) => {
                let sent = permit.data(Payload::Own(bytes.into()), flags & END != 0);
                sent.ok().map(lws_server::Sent::into_stream)
            }
            Err(stream) => Some(stream),
        }
    }

    fn end(self, _: &ClosingWords) {
        self.abort();
    }
}

/// Carries out what was ordered, in the order of the header.
fn carry_out<'a, P>(orders: Orders, cx: &mut Context<'_>, mut stream: Stream<'a, P>)
where
    Stream<'a, P>: Outgoing,
{
    if let Some(timer) = orders.timer {
        stream.set_timeout(timer.map(|after| cx.now() + after));
    }
    match orders.pause {
        Some(true) => stream.pause(),
        Some(false) => stream.resume(),
        None => {}
    }
    let stream = match orders.write {
        Some(outbound) => stream.send(outbound),
        None => Some(stream),
    };
    if orders.want_write_all {
        cx.want_write_all();
    }
    let Some(mut stream) = stream else { return };
    if orders.want_write {
        stream.want_write();
    }
    if let Some(words) = orders.close {
        stream.end(&words);
    }
}

/// The code of a session that its library has ended by an error.
fn failed() -> ClosingWords {
    ClosingWords { code: CloseCode::INTERNAL_ERROR, reason: String::new() }
}

/// The bytes that can be written now, none without a permit.
fn budget<'a, P>(stream: Stream<'a, P>) -> (usize, Stream<'a, P>) {
    match stream.permit() {
        Ok(permit) => (permit.budget(), permit.into_stream()),
        Err(stream) => (0, stream),
    }
}

impl NativeSession {
    fn new(site: &Arc<NativeSite>, kind: SessionKind, opening: Opening) -> Self {
        Self { site: Arc::clone(site), kind, key: next_key(), phase: SessionPhase::New(Box::new(opening)) }
    }

    fn begin<'a, P>(&mut self, cx: &mut Context<'_>, stream: Stream<'a, P>)
    where
        Stream<'a, P>: Outgoing,
    {
        let SessionPhase::New(opening) = std::mem::replace(&mut self.phase, SessionPhase::Over) else {
            return;
        };
        let (budget, stream) = budget(stream);
        let begin = || self.site.protocol.open(self.key, &opening, &self.site.user);
        match frame::during(CallFrame::new(self.key, self.kind, budget), begin) {
            (Ok(user), orders) => {
                self.phase = SessionPhase::Open(user);
                carry_out(orders, cx, stream);
            }
            (Err(_), _) => stream.end(&failed()),
        }
    }

    /// Calls the library for an open session.
    fn call<'a, P>(
        &self,
        cx: &mut Context<'_>,
        stream: Stream<'a, P>,
        call: impl FnOnce(&ForeignProtocol, &UserPointer) -> i32,
    ) where
        Stream<'a, P>: Outgoing,
    {
        // One that has failed may still get what was on its way.
        let SessionPhase::Open(user) = &self.phase else { return };
        let (budget, stream) = budget(stream);
        let frame = CallFrame::new(self.key, self.kind, budget);
        let (code, orders) = frame::during(frame, || call(&self.site.protocol, user));
        if code < 0 {
            return stream.end(&failed());
        }
        carry_out(orders, cx, stream);
    }

    fn finish(&mut self, cause: i32) {
        if let SessionPhase::Open(user) = std::mem::replace(&mut self.phase, SessionPhase::Over) {
            self.site.protocol.closed(&user, cause);
        }
    }
}

impl Drop for NativeSession {
    /// Of one that was ended without a last call, as a thread that goes down does.
    fn drop(&mut self) {
        self.finish(CAUSE_ABORTED);
    }
}

impl ws::Handler for NativeSession {
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.begin(cx, stream);
    }

    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: ws::Message<'_>) {
        let flags = if message.kind == MessageKind::Text { TEXT } else { 0 };
        let key = self.key;
        self.call(cx, stream, |protocol, user| protocol.message(key, user, message.chunk, flags));
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        let key = self.key;
        self.call(cx, permit.into_stream(), |protocol, user| protocol.writable(key, user));
    }

    fn timer(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        let key = self.key;
        self.call(cx, stream, |protocol, user| protocol.timer(key, user));
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.finish(codes::cause(&cause));
    }
}

impl raw::Handler for NativeSession {
    fn open(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        self.begin(cx, stream);
    }

    fn chunk(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>, chunk: &mut [u8], end: bool) {
        let (key, flags) = (self.key, if end { END } else { 0 });
        self.call(cx, stream, |protocol, user| protocol.message(key, user, chunk, flags));
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: RawPermit<'_>) {
        let key = self.key;
        self.call(cx, permit.into_stream(), |protocol, user| protocol.writable(key, user));
    }

    fn timer(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        let key = self.key;
        self.call(cx, stream, |protocol, user| protocol.timer(key, user));
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.finish(codes::cause(&cause));
    }
}
