//! The handles of one HTTP exchange: the engine's, with a tally of what was answered.
//!
//! Knows no route and no file.

use super::Response;
use super::subrequest::Subrequest;
use crate::ws;
use lws_proto::http::{HeadBuf, Status};
use lws_proto::{ExchangePermit, Limit, Misuse, Payload, Sent, StreamKey, Time, spoken};
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// What has been answered so far: for the access log, and to decide whether a 500 is owed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Zero until a final response was sent.
    pub(crate) status: u16,
    /// A response could not be written, and a 500 is owed in its place.
    pub(crate) failed: bool,
    /// The handler has panicked, and was dropped.
    pub(crate) panicked: bool,
    /// The exchange has become a WebSocket, whose handler this is.
    pub(crate) upgraded: Upgraded,
    /// Content bytes that were handed to the engine to be sent.
    pub(crate) bytes: u64,
    /// The request was HEAD: content counts for its length, and is not sent. RFC 9110 §9.3.2.
    pub(crate) head: bool,
    /// What is answered in place of the request, and how many have been in its place before.
    pub(crate) instead: Option<Box<HeadBuf>>,
    pub(crate) turns: u8,
    /// Field lines of every final response, if there are any.
    pub(crate) always: Option<Rc<[FieldLine]>>,
    /// What is answered decides about another request, which waits for it.
    pub(crate) subrequest: Option<Box<Subrequest>>,
}

/// The handler of a WebSocket that was accepted on an exchange.
#[derive(Default)]
pub(crate) struct Upgraded(Option<Box<dyn ws::Handler>>);

impl Upgraded {
    pub(crate) fn take(&mut self) -> Option<Box<dyn ws::Handler>> {
        self.0.take()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgraded").field(&self.0.is_some()).finish()
    }
}

impl Tally {
    /// Adds to the field lines of every final response.
    #[cold]
    pub(crate) fn add_always(&mut self, lines: Vec<(&'static str, Cow<'static, str>)>) {
        let before = self.always.take();
        let lines = lines.into_iter().map(|(name, value)| (name.into(), value));
        self.always = Some(before.iter().flat_map(|before| before.iter().cloned()).chain(lines).collect());
    }

    /// The request that waits for this answer goes on, with what `fields` have for it. Too much of that is the endpoint's fault, and the
    /// request is answered 500.
    #[cold]
    fn grant<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, fields: impl IntoIterator<Item = (N, V)>) {
        let granted = self.subrequest.as_mut().is_some_and(|subrequest| subrequest.grant(fields));
        if !granted {
            self.subrequest = None;
            self.failed = true;
        }
    }

    /// Whether the request that waits for this answer goes on, so that nothing more is answered here.
    #[inline]
    pub(crate) fn is_granted(&self) -> bool {
        self.subrequest.as_ref().is_some_and(|subrequest| subrequest.is_granted())
    }

    /// Content was handed over with a head or behind it.
    #[inline]
    fn count(&mut self, bytes: u64) {
        self.bytes += if self.head { 0 } else { bytes };
    }
}

/// A name and its value.
pub(crate) type FieldLine = (Cow<'static, str>, Cow<'static, str>);

/// Sends the head of a response with what every response has.
#[inline]
fn respond<'a, N: AsRef<[u8]>, V: AsRef<[u8]>>(
    permit: ExchangePermit<'a>,
    always: Option<&[FieldLine]>,
    status: Status,
    fields: impl IntoIterator<Item = (N, V)>,
    content: Payload<'_>,
    end: bool,
) -> Result<Sent<'a, spoken::Http>, Misuse> {
    match always {
        None => permit.respond(status, fields, content, end),
        Some(always) => respond_with(permit, always, status, fields, content, end),
    }
}

/// Apart from `respond`, so that a server without such fields does not pay for them.
#[cold]
fn respond_with<'a, N: AsRef<[u8]>, V: AsRef<[u8]>>(
    permit: ExchangePermit<'a>,
    always: &[FieldLine],
    status: Status,
    fields: impl IntoIterator<Item = (N, V)>,
    content: Payload<'_>,
    end: bool,
) -> Result<Sent<'a, spoken::Http>, Misuse> {
    let theirs = fields.into_iter().map(|(name, value)| (Either::Theirs(name), Either::Theirs(value)));
    let ours =
        always.iter().map(|(name, value)| (Either::Ours(name.as_bytes()), Either::Ours(value.as_bytes())));
    permit.respond(status, theirs.chain(ours), content, end)
}

/// Octets of ours, or the application's.
enum Either<'a, T> {
    Ours(&'a [u8]),
    Theirs(T),
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Either<'_, T> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Ours(octets) => octets,
            Self::Theirs(octets) => octets.as_ref(),
        }
    }
}

/// One exchange, request and response, for as long as a call lends it. RFC 9110 §3.4.
#[doc(alias = "wsi")]
#[derive(Debug)]
pub struct Exchange<'a> {
    pub(crate) stream: lws_proto::Exchange<'a>,
    pub(crate) tally: &'a mut Tally,
}

impl<'a> Exchange<'a> {
    /// The same exchange for a while: a call that takes it leaves this one.
    #[must_use]
    pub fn reborrow(&mut self) -> Exchange<'_> {
        Exchange { stream: self.stream.reborrow(), tally: self.tally }
    }

    /// Whether the whole response has been said.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.stream.has_ended()
    }

    /// The name of its stream.
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.stream.key()
    }

    /// The permit to write, if the exchange may write now; otherwise the exchange again, to
    /// [`want_write`](Self::want_write).
    ///
    /// # Errors
    /// The exchange, when too much is queued already.
    #[inline]
    pub fn permit(self) -> Result<Permit<'a>, Self> {
        let Self { stream, tally } = self;
        if tally.is_granted() {
            return Err(Self { stream, tally });
        }
        match stream.permit() {
            Ok(inner) => Ok(Permit { inner, tally }),
            Err(stream) => Err(Self { stream, tally }),
        }
    }

    /// Asks for one [`writable`](super::Handler::writable), when the exchange may write.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self) {
        if !self.tally.is_granted() {
            self.stream.want_write();
        }
    }

    /// Takes no content of the request until [`resume`](Self::resume).
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause(&mut self) {
        self.stream.pause();
    }

    /// Takes content again.
    pub fn resume(&mut self) {
        self.stream.resume();
    }

    /// Asks for one [`timer`](super::Handler::timer) at `at`, in place of the one asked for before; `None` takes it back.
    #[doc(alias = "lws_set_timer_usecs")]
    pub fn set_timeout(&mut self, at: Option<Time>) {
        self.stream.set_timeout(at);
    }

    /// Limits the content of the request, in bytes. Past it the request is answered 413.
    pub fn limit_content(&mut self, bytes: u64) {
        self.stream.limit_content(bytes);
    }

    /// How many bytes of the content of the request must come in each [`Limits::content_period`](lws_proto::Limits::content_period), in
    /// place of [`Limits::content_bytes_min`](lws_proto::Limits::content_bytes_min). 0 lets it take its time.
    pub fn expect_content(&mut self, bytes: usize) {
        self.stream.expect_content(bytes);
    }

    /// Lets the exchange go on although its peer has ended its direction, however long it sends nothing; or not, which is how each
    /// begins: see [`Handler::peer_ended`](super::Handler::peer_ended). What is kept so ends when the handler ends it, or
    /// when the connection fails.
    pub fn keep_half_closed(&mut self, keep: bool) {
        self.stream.keep_half_closed(keep);
    }

    /// Says that the handler is about to hold `bytes` more for this exchange, which count against
    /// [`Limits::held_bytes_max`](lws_proto::Limits::held_bytes_max) and
    /// [`Builder::held_bytes_max`](crate::Builder::held_bytes_max) until [`let_go`](Self::let_go) or the end of the exchange.
    ///
    /// # Errors
    /// The limit that there would be more than, with the status code to answer: 413 or 503. Nothing was counted then.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Limit> {
        self.stream.hold(bytes)
    }

    /// Says that the handler holds `bytes` less than it said.
    pub fn let_go(&mut self, bytes: usize) {
        self.stream.let_go(bytes);
    }

    /// Lets the connection end with this exchange.
    pub fn last_exchange(&mut self) {
        self.stream.last_exchange();
    }

    /// Sends an interim response, such as 103 Early Hints. RFC 9110 §15.2.
    ///
    /// # Errors
    /// [`Misuse`] if the final response has begun, or `status` is not an interim one.
    pub fn interim<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        if self.tally.subrequest.is_some() {
            // It is not for the peer, who has asked for something else.
            return Ok(());
        }
        self.stream.interim(status, fields)
    }

    /// Sends `response`, whole.
    ///
    /// # Errors
    /// The response, when too much is queued already: ask to [`want_write`](Self::want_write), and try again then.
    pub fn reply(self, response: Response) -> Result<(), (Self, Response)> {
        match self.permit() {
            Ok(permit) => {
                permit.reply(response);
                Ok(())
            }
            Err(exchange) => Err((exchange, response)),
        }
    }

    /// Accepts the WebSocket of an opening handshake that came as a request and was kept with
    /// [`Request::opening`](super::Request::opening): for an endpoint that has to ask somebody first. The handler of the exchange is dropped
    /// without a further call, and that of the WebSocket goes on.
    ///
    /// # Errors
    /// [`Misuse`] if the subprotocol was not offered, or a field cannot be written: the request is answered 500 then.
    pub fn accept_websocket<H: ws::Handler>(
        self,
        opening: &HeadBuf,
        accepted: ws::Accepted<H>,
    ) -> Result<(), Misuse> {
        match accepted.boxed().accept(self.stream, &opening.lend(), None) {
            Ok(handler) => {
                self.tally.upgraded = Upgraded(Some(handler));
                Ok(())
            }
            Err(misuse) => {
                self.tally.failed = true;
                Err(misuse)
            }
        }
    }

    /// Answers as if another request had come in place of this one, such as [`HeadBuf::turned_to`] makes: it is resolved, and passes the
    /// guards of its route. The handler of this one is dropped, and called no more. It has not answered yet; otherwise
    /// nothing happens. An exchange that turns more than ten times is answered 500.
    pub fn turn_to(self, head: HeadBuf) {
        if self.tally.status == 0 {
            self.tally.instead = Some(Box::new(head));
        }
    }

    /// Ends the connection at once, and the exchange with it. What is queued is lost.
    pub fn abort(self) {
        if !self.tally.is_granted() {
            self.stream.abort();
        }
    }
}

/// The permit to write once on an exchange. Every send takes it by value.
#[derive(Debug)]
#[must_use = "a permit that is dropped writes nothing"]
pub struct Permit<'a> {
    inner: ExchangePermit<'a>,
    tally: &'a mut Tally,
}

impl<'a> Permit<'a> {
    pub(crate) fn new(inner: ExchangePermit<'a>, tally: &'a mut Tally) -> Self {
        Self { inner, tally }
    }

    /// The permit again, to answer with `status`; or the exchange, if a request waits for this answer that goes on because of it.
    #[inline]
    fn unless_granted(self, status: Status) -> Result<Self, Exchange<'a>> {
        if self.tally.subrequest.is_none() { Ok(self) } else { self.decide(status) }
    }

    #[cold]
    fn decide(self, status: Status) -> Result<Self, Exchange<'a>> {
        if status.is_success() {
            return Err(self.into_exchange());
        }
        // What is answered goes to the peer in place of what it has asked for, and content that was held off is passed over.
        let Exchange { mut stream, tally } = self.into_exchange();
        tally.subrequest = None;
        stream.resume();
        match stream.permit() {
            Ok(inner) => Ok(Permit { inner, tally }),
            Err(stream) => {
                tally.failed = true;
                Err(Exchange { stream, tally })
            }
        }
    }

    /// How many bytes can be sent before the peer or the queue says stop. At least 1.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.inner.budget()
    }

    /// The exchange, with the permit given back.
    #[must_use]
    pub fn into_exchange(self) -> Exchange<'a> {
        Exchange { stream: self.inner.into_stream(), tally: self.tally }
    }

    /// Sends the head of the final response, and content with it. If that is not all of the content, and `fields` have no
    /// `Content-Length`, the engine frames it by chunks. RFC 9112 §6.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[inline]
    pub fn respond<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
        content: Payload<'_>,
        end: bool,
    ) -> Result<Spent<'a>, Misuse> {
        let bytes = content.len() as u64;
        let Self { inner, tally } = match self.unless_granted(status) {
            Ok(permit) => permit,
            Err(Exchange { stream, tally }) => {
                tally.grant(fields);
                return Ok(Spent { left: Left::Unsent(stream), tally });
            }
        };
        let sent = respond(inner, tally.always.as_deref(), status, fields, content, end)?;
        tally.status = status.code();
        tally.count(bytes);
        Ok(Spent { left: Left::Sent(sent), tally })
    }

    /// Sends `response`, whole. One that cannot be written (a field with a line break in it) becomes a 500.
    #[inline]
    pub fn reply(self, mut response: Response) {
        let Self { inner, tally } = match self.unless_granted(response.status) {
            Ok(permit) => permit,
            Err(exchange) => return exchange.tally.grant(response.field_lines()),
        };
        let bytes = response.content.len() as u64;
        let content = std::mem::take(&mut response.content).into_payload();
        let always = tally.always.as_deref();
        if respond(inner, always, response.status, response.field_lines(), content, true).is_ok() {
            tally.status = response.status.code();
            tally.count(bytes);
        } else {
            tally.failed = true;
        }
    }

    /// As [`respond`](Self::respond). `None` if that cannot be written, and became a 500.
    pub(crate) fn begin<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
        content: Payload<'_>,
        end: bool,
    ) -> Option<Exchange<'a>> {
        let Self { inner, tally } = match self.unless_granted(status) {
            Ok(permit) => permit,
            Err(exchange) => {
                exchange.tally.grant(fields);
                return Some(exchange);
            }
        };
        let bytes = content.len() as u64;
        match respond(inner, tally.always.as_deref(), status, fields, content, end) {
            Ok(sent) => {
                tally.status = status.code();
                tally.count(bytes);
                Some(Exchange { stream: sent.into_stream(), tally })
            }
            Err(_) => {
                tally.failed = true;
                None
            }
        }
    }

    /// Sends the head of `response`, whose content follows. `None` if it cannot be written, and became a 500.
    pub(crate) fn reply_head(self, response: &Response) -> Option<Exchange<'a>> {
        self.begin(response.status, response.field_lines(), Payload::Static(b""), false)
    }

    /// Sends content of the response.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[inline]
    pub fn data(self, content: Payload<'_>, end: bool) -> Result<Spent<'a>, Misuse> {
        let bytes = content.len() as u64;
        let sent = self.inner.data(content, end)?;
        self.tally.count(bytes);
        Ok(Spent { left: Left::Sent(sent), tally: self.tally })
    }

    /// Sends content that `fill` writes in place: up to `max` bytes, of which it returns how many it wrote and whether
    /// they are the last.
    ///
    /// # Errors
    /// [`Misuse`]; `fill` has not been called then.
    pub fn fill(
        self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, bool),
    ) -> Result<Spent<'a>, Misuse> {
        let Self { inner, tally } = self;
        let mut written = 0;
        let sent = inner.fill(max, |room| {
            let (len, end) = fill(room);
            written = len;
            (len, end)
        })?;
        tally.count(written as u64);
        Ok(Spent { left: Left::Sent(sent), tally })
    }

    /// Ends a chunked response with a trailer section. RFC 9112 §7.1.2.
    ///
    /// # Errors
    /// [`Misuse`] if the response is not chunked; nothing has been sent then.
    pub fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Spent<'a>, Misuse> {
        let sent = self.inner.trailers(fields)?;
        Ok(Spent { left: Left::Sent(sent), tally: self.tally })
    }
}

/// What is left of a permit.
#[derive(Debug)]
enum Left<'a> {
    Sent(Sent<'a, spoken::Http>),
    /// Nothing went to the peer: what was answered has let another request go on.
    Unsent(lws_proto::Exchange<'a>),
}

/// A permit that was spent.
#[derive(Debug)]
pub struct Spent<'a> {
    left: Left<'a>,
    tally: &'a mut Tally,
}

impl<'a> Spent<'a> {
    /// Asks for the next permit.
    pub fn again(self) {
        if let Left::Sent(sent) = self.left {
            sent.again();
        }
    }

    /// Takes no content of the request until the exchange may write again, so that a handler that answers each chunk needs no
    /// queue.
    pub fn throttle(self) {
        if let Left::Sent(sent) = self.left {
            sent.throttle();
        }
    }

    /// The exchange.
    #[must_use]
    pub fn into_exchange(self) -> Exchange<'a> {
        let stream = match self.left {
            Left::Sent(sent) => sent.into_stream(),
            Left::Unsent(stream) => stream,
        };
        Exchange { stream, tally: self.tally }
    }
}
