//! The handles of one HTTP exchange: the engine's, with a tally of what was answered.
//!
//! Knows no route and no file.

use super::tally::Tally;
use super::{Compression, ErrorContent, Response};
use crate::ws;
use lws_proto::http::{HeadBuf, Status};
use lws_proto::{
    ExchangePermit, Limit, Misuse, Payload, PreparedFields, Region, Sent, StreamKey, Time, spoken,
};
use std::any::Any;

/// The field lines of a response that its handler says: first those that were prepared.
pub(crate) struct ResponseFields<'p, I> {
    prepared: &'p [&'p PreparedFields],
    others: I,
}

impl<I> ResponseFields<'_, I> {
    #[inline]
    fn plain(others: I) -> Self {
        Self { prepared: &[], others }
    }
}

impl<'p, I> ResponseFields<'p, I> {
    /// All of them, one by one.
    fn lines<N, V>(self) -> impl Iterator<Item = (Either<'p, N>, Either<'p, V>)>
    where
        I: IntoIterator<Item = (N, V)>,
    {
        let prepared = self.prepared.iter().flat_map(|prepared| prepared.lines());
        let prepared = prepared.map(|(name, value)| (Either::Ours(name), Either::Ours(value)));
        let others = self.others.into_iter();
        prepared.chain(others.map(|(name, value)| (Either::Theirs(name), Either::Theirs(value))))
    }
}

/// Sends the head of a response with what every response has, and content with it.
#[inline]
fn respond<'a, N: AsRef<[u8]>, V: AsRef<[u8]>>(
    permit: ExchangePermit<'a>,
    tally: &mut Tally,
    status: Status,
    fields: ResponseFields<'_, impl IntoIterator<Item = (N, V)>>,
    content: Payload<'_>,
    end: bool,
) -> Result<Sent<'a, spoken::Http>, Misuse> {
    let ResponseFields { prepared, others } = fields;
    if tally.always.is_some() || tally.attached().is_some() {
        let fields = ResponseFields { prepared, others: others.into_iter().collect() };
        return respond_with(permit, tally, status, fields, content, end);
    }
    let bytes = content.len() as u64;
    let sent = permit.respond_prepared(status, prepared, others, content, end)?;
    tally.begin(status, bytes);
    Ok(sent)
}

/// Apart from `respond`, so that a server without such fields and layers does not pay for them.
#[cold]
fn respond_with<'a, N: AsRef<[u8]>, V: AsRef<[u8]>>(
    permit: ExchangePermit<'a>,
    tally: &mut Tally,
    status: Status,
    fields: ResponseFields<'_, Vec<(N, V)>>,
    mut content: Payload<'_>,
    end: bool,
) -> Result<Sent<'a, spoken::Http>, Misuse> {
    let ResponseFields { prepared, others } = fields;
    let (attached, always) = tally.attached_and_always();
    let compression = attached.and_then(|attached| attached.compression.as_mut());
    let said = compression.map(|compression| {
        let always = always.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let prepared = prepared.iter().flat_map(|prepared| prepared.lines());
        let others = others.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        let fields = prepared.chain(others).chain(always);
        compression.begin(status, fields, &mut content, end)
    });
    let said = said.unwrap_or_default();
    let coded = said.coding.is_some();
    // Of content that is encoded now the length that it had before is not said, and so it is looked for.
    let (prepared, listed) = if coded { (&[][..], prepared) } else { (prepared, &[][..]) };
    let theirs = ResponseFields { prepared: listed, others }.lines();
    let theirs = theirs.filter(|(name, _)| !coded || !name.as_ref().eq_ignore_ascii_case(b"Content-Length"));
    let always = tally.always.iter().flat_map(|always| always.iter());
    let always = always.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let coding = said.coding.map(|coding| (&b"Content-Encoding"[..], coding.as_bytes()));
    let vary = said.varies.then_some((&b"Vary"[..], &b"Accept-Encoding"[..]));
    let ours =
        always.chain(coding).chain(vary).map(|(name, value)| (Either::Ours(name), Either::Ours(value)));
    let bytes = content.len() as u64;
    let sent = permit.respond_prepared(status, prepared, theirs.chain(ours), content, end)?;
    tally.begin(status, bytes);
    Ok(sent)
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
///
/// ```
/// use lws_server::Context;
/// use lws_server::http::{Exchange, Handler, Permit, Response};
/// use std::time::Duration;
///
/// /// Answers after a second, without a thread that waits.
/// struct Later;
///
/// impl Handler for Later {
///     fn open(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) {
///         exchange.set_timeout(Some(cx.now() + Duration::from_secs(1)));
///     }
///
///     fn timer(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
///         // The response comes back if too much is queued already: on HTTP/2 others may have filled the connection.
///         if let Err((mut exchange, _)) = exchange.reply(Response::text("now")) {
///             exchange.want_write();
///         }
///     }
///
///     fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
///         permit.reply(Response::text("now"));
///     }
/// }
/// # let _ = lws_server::Server::builder().get("/", |_| Later);
/// ```
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

    /// Whether content of the stream is that of this request. That of one which waits for this answer is taken as its own route says.
    #[inline]
    fn is_about_its_own_content(&self) -> bool {
        self.tally.subrequest().is_none()
    }

    /// Takes no content of the request until [`resume`](Self::resume).
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause(&mut self) {
        if self.is_about_its_own_content() {
            self.stream.pause();
        }
    }

    /// Takes content again.
    pub fn resume(&mut self) {
        if self.is_about_its_own_content() {
            self.stream.resume();
        }
    }

    /// Asks for one [`timer`](super::Handler::timer) at `at`, in place of the one asked for before; `None` takes it back.
    #[doc(alias = "lws_set_timer_usecs")]
    pub fn set_timeout(&mut self, at: Option<Time>) {
        let begun = self.tally.status != 0;
        let next = match self.tally.attached_mut() {
            None => at,
            Some(attached) => {
                attached.timer = at;
                attached.next_timeout(begun)
            }
        };
        self.stream.set_timeout(next);
    }

    /// Attaches what layers ask for. Of two deadlines the first one holds, and of two content codings the one that was asked for last.
    pub(crate) fn attach(
        &mut self,
        deadline: Option<Time>,
        compression: Option<Compression>,
        kept: Vec<Box<dyn Any>>,
    ) {
        if deadline.is_none() && compression.is_none() && kept.is_empty() {
            return;
        }
        let attached = self.tally.attach();
        attached.deadline = attached.deadline.into_iter().chain(deadline).min();
        attached.compression = compression.or(attached.compression.take());
        attached.kept.extend(kept);
        let next = attached.next_timeout(false);
        self.stream.set_timeout(next);
    }

    /// Whether the moment that has come is that of the handler's timer. One that is to come is asked for again.
    pub(crate) fn takes_timer(&mut self, now: Time) -> bool {
        let begun = self.tally.status != 0;
        let Some(attached) = self.tally.attached_mut() else { return true };
        let is_due = attached.timer.is_some_and(|at| at <= now);
        if is_due {
            attached.timer = None;
        }
        let next = attached.next_timeout(begun);
        self.stream.set_timeout(next);
        is_due
    }

    /// Limits the content of the request, in bytes. Past it the request is answered 413.
    pub fn limit_content(&mut self, bytes: u64) {
        if self.is_about_its_own_content() {
            self.stream.limit_content(bytes);
        }
    }

    /// How many bytes of the content of the request must come in each [`Limits::content_period`](lws_proto::Limits::content_period), in
    /// place of [`Limits::content_bytes_min`](lws_proto::Limits::content_bytes_min). 0 lets it take its time.
    pub fn expect_content(&mut self, bytes: usize) {
        if self.is_about_its_own_content() {
            self.stream.expect_content(bytes);
        }
    }

    /// Lets the exchange go on although its peer has ended its direction, however long it sends nothing; or not, which is how each
    /// begins: see [`Handler::peer_ended`](super::Handler::peer_ended). What is kept so ends when the handler ends it, or
    /// when the connection fails.
    pub fn keep_half_closed(&mut self, keep: bool) {
        if self.is_about_its_own_content() {
            self.stream.keep_half_closed(keep);
        }
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
        if self.tally.subrequest().is_some() {
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
        match accepted.boxed().accept(self.stream, &opening.lend(), self.tally.deflate()) {
            Ok(handler) => {
                self.tally.become_websocket(handler);
                Ok(())
            }
            Err(misuse) => {
                self.tally.failed = true;
                Err(misuse)
            }
        }
    }

    /// Answers another request in place of this one, such as one of [`HeadBuf::local_redirect`]: it is resolved, and
    /// passes the guards of its route. The handler of this one is dropped, and called no more. If it has answered
    /// already, nothing happens. An exchange that is rerouted more than ten times is answered 500.
    pub fn reroute(self, head: HeadBuf) {
        if self.tally.status == 0 {
            self.tally.answer_instead(head);
        }
    }

    /// Ends the connection at once, and the exchange with it. What is queued is lost.
    pub fn abort(self) {
        if !self.tally.is_granted() {
            self.stream.abort();
        }
    }
}

/// The permit to write once on an exchange. Every send takes it by value: a second send on it does not compile.
///
/// ```
/// use lws_server::Context;
/// use lws_server::http::{Exchange, Handler, Permit, Spent, Status};
///
/// /// Sends a million octets, as fast as the peer takes them.
/// struct Zeros {
///     left: usize,
/// }
///
/// impl Handler for Zeros {
///     fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
///         let Ok(permit) = exchange.permit() else { return };
///         let length = [("Content-Length", self.left.to_string())];
///         let _ = permit.respond(Status::OK, length, lws_server::Payload::Static(b""), false).map(Spent::again);
///     }
///
///     fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
///         let left = &mut self.left;
///         let sent = permit.fill(16 << 10, |room| {
///             let len = room.len().min(*left);
///             room[..len].fill(b'0');
///             *left -= len;
///             (len, *left == 0)
///         });
///         // Behind the end there is nothing to ask for.
///         if self.left > 0 {
///             let _ = sent.map(Spent::again);
///         }
///     }
/// }
/// # let _ = lws_server::Server::builder().get("/", |_| Zeros { left: 1_000_000 });
/// ```
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
        if self.tally.subrequest().is_none() { Ok(self) } else { self.decide(status) }
    }

    #[cold]
    fn decide(self, status: Status) -> Result<Self, Exchange<'a>> {
        if status.is_success() {
            return Err(self.into_exchange());
        }
        // What is answered goes to the peer in place of what it has asked for, and content that was held off is passed over.
        let Exchange { mut stream, tally } = self.into_exchange();
        tally.take_subrequest();
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

    /// The application's words for an error, if it has some.
    pub(crate) fn error_content(&self, status: Status) -> Option<ErrorContent> {
        self.tally.errors()?.content(status, status.reason())
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
        self.respond_prepared(status, &[], fields, content, end)
    }

    /// As [`respond`](Self::respond), with field lines that were checked and made ready before: these come first, then `fields`. For
    /// responses whose field lines are the same each time.
    ///
    /// ```
    /// use lws_server::http::{Exchange, Handler, Permit, Status};
    /// use lws_server::{Context, Payload, PreparedFields};
    /// use std::sync::Arc;
    ///
    /// struct Page(Arc<PreparedFields>);
    ///
    /// impl Handler for Page {
    ///     fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
    ///         if let Ok(permit) = exchange.permit() {
    ///             let none: [(&str, &str); 0] = [];
    ///             let _ = permit.respond_prepared(Status::OK, &[&self.0], none, Payload::Static(b"<p>"), true);
    ///         }
    ///     }
    ///
    ///     fn writable(&mut self, _: &mut Context<'_>, _: Permit<'_>) {}
    /// }
    ///
    /// let fields = Arc::new(PreparedFields::new([("Content-Type", "text/html"), ("Cache-Control", "no-cache")])?);
    /// let server = lws_server::Server::builder().get("/", move |_| Page(Arc::clone(&fields)));
    /// # let _ = server;
    /// # Ok::<(), lws_server::Misuse>(())
    /// ```
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then. Prepared fields have none.
    #[inline]
    pub fn respond_prepared<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        status: Status,
        prepared: &[&PreparedFields],
        fields: impl IntoIterator<Item = (N, V)>,
        content: Payload<'_>,
        end: bool,
    ) -> Result<Spent<'a>, Misuse> {
        let fields = ResponseFields { prepared, others: fields };
        let Self { inner, tally } = match self.unless_granted(status) {
            Ok(permit) => permit,
            Err(Exchange { stream, tally }) => {
                tally.grant(fields.lines());
                return Ok(Spent { left: Left::Unsent(stream), tally });
            }
        };
        let sent = respond(inner, tally, status, fields, content, end)?;
        Ok(Spent { left: Left::Sent(sent), tally })
    }

    /// Sends `response`, whole. One that cannot be written (a field with a line break in it) becomes a 500.
    #[inline]
    pub fn reply(self, mut response: Response) {
        let Self { inner, tally } = match self.unless_granted(response.status) {
            Ok(permit) => permit,
            Err(exchange) => return exchange.tally.grant(response.field_lines()),
        };
        if let Some(errors) = tally.errors() {
            response.render(errors);
        }
        let content = std::mem::take(&mut response.content).into_payload();
        let fields = ResponseFields::plain(response.field_lines());
        if respond(inner, tally, response.status, fields, content, true).is_err() {
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
        self.begin_prepared(status, None, fields, content, end)
    }

    /// As [`begin`](Self::begin), with field lines that were prepared in front of the others.
    pub(crate) fn begin_prepared<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        status: Status,
        prepared: Option<&PreparedFields>,
        others: impl IntoIterator<Item = (N, V)>,
        content: Payload<'_>,
        end: bool,
    ) -> Option<Exchange<'a>> {
        let fields = ResponseFields { prepared: prepared.as_slice(), others };
        let Self { inner, tally } = match self.unless_granted(status) {
            Ok(permit) => permit,
            Err(exchange) => {
                exchange.tally.grant(fields.lines());
                return Some(exchange);
            }
        };
        match respond(inner, tally, status, fields, content, end) {
            Ok(sent) => Some(Exchange { stream: sent.into_stream(), tally }),
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
    pub fn data(self, mut content: Payload<'_>, end: bool) -> Result<Spent<'a>, Misuse> {
        if let Some(compression) = self.tally.compression() {
            compression.encode(&mut content, end);
        }
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
        if tally.compression().is_some() {
            let mut content = vec![0; max.min(inner.budget())];
            let (len, end) = fill(&mut content);
            content.truncate(len);
            return Self { inner, tally }.data(Payload::Own(content.into()), end);
        }
        let mut written = 0;
        let sent = inner.fill(max, |room| {
            let (len, end) = fill(room);
            written = len;
            (len, end)
        })?;
        tally.count(written as u64);
        Ok(Spent { left: Left::Sent(sent), tally })
    }

    /// Whether content may be a region, which the driver sends by itself.
    pub(crate) fn takes_region(&mut self) -> bool {
        self.inner.takes_region() && self.tally.compression().is_none()
    }

    /// Sends content that the driver takes from where it is, if the permit [takes](Self::takes_region) that.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    pub(crate) fn region(self, region: Region, end: bool) -> Result<Spent<'a>, Misuse> {
        let bytes = region.len() as u64;
        let sent = self.inner.region(region, end)?;
        self.tally.count(bytes);
        Ok(Spent { left: Left::Sent(sent), tally: self.tally })
    }

    /// Ends a chunked response with a trailer section. RFC 9112 §7.1.2.
    ///
    /// # Errors
    /// [`Misuse`] if the response is not chunked; nothing has been sent then.
    pub fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Spent<'a>, Misuse> {
        let Self { inner, tally } = self;
        let Some(compression) = tally.compression() else {
            return Ok(Spent { left: Left::Sent(inner.trailers(fields)?), tally });
        };
        // The end of the coding goes before them. Where there is no room for both they are refused, as nothing may be lost silently.
        let mut rest = Payload::Static(b"");
        compression.encode(&mut rest, true);
        let permit = inner.data(rest, false)?.into_stream().permit().map_err(|_| Misuse::WrongState)?;
        Ok(Spent { left: Left::Sent(permit.trailers(fields)?), tally })
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
