//! The client's side of an exchange: passes the request on, and the response back as the client takes it.

use crate::balance::Chosen;
use crate::fields::{self, Arrival, Rules};
use crate::relay::Relay;
use crate::reply::FromUpstream;
use crate::upstream::{Target, Upstream};
use crate::{HostRule, Refusal, Shared, outcome};
use lws_server::client::{self, Body, Expect, Failure, Fields, Pending, RequestOptions, ResponseHead, Waker};
use lws_server::http::{Exchange, Handler, Head, Method, Permit, Request, Version};
use lws_server::{Cause, Context, Payload};
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// An exchange that is answered by an upstream.
pub(crate) struct Proxied {
    shared: Rc<Shared>,
    relay: Rc<RefCell<Relay>>,
    wanted: Wanted,
    waker: Waker,
    /// The request at the upstream; `None` before it was begun and after it has ended.
    request: Option<Pending>,
    chosen: Option<Chosen>,
    /// Upstreams that could not be reached.
    tried: Vec<usize>,
    answer: Progress,
    /// The client is not read until the upstream has taken something.
    paused: bool,
    /// All content of the request has come. Its trailers, if it has any, come in the same turn.
    received: bool,
}

/// What a client wants, as it is passed on.
struct Wanted {
    method: Cow<'static, str>,
    target: Target,
    /// The server that it is for.
    host: Option<String>,
    arrival: Arrival,
    /// Those that go to each upstream. Empty when the only one was asked.
    fields: Fields,
    body: Body,
    /// The client sends content when it is asked to. RFC 9110 §10.1.1.
    expects: bool,
    /// The client says that it takes trailer sections.
    says_trailers: bool,
    takes_trailers: bool,
}

/// How far the answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Awaited,
    /// Its head has been sent. A trailer section can follow where the content has no length.
    Begun {
        takes_trailers: bool,
    },
    /// The head of what was answered could not be written: there will be a 502 in its place.
    Unwritable,
    /// What was answered behind its head could not be written.
    Broken,
    Over,
}

/// What is to be done next for the client.
enum Next {
    Nothing,
    Interim(Box<ResponseHead>),
    Answer,
    Content,
    /// The response has broken off.
    Abort,
    /// There is no response, or none that can be written.
    Fail(Option<Box<Failure>>),
}

impl Proxied {
    /// Passes a request on.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn begin(
        shared: &Rc<Shared>,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: &mut Exchange<'_>,
        end: bool,
    ) -> Result<Self, Refusal> {
        // Refused before anything is chosen.
        let wanted = Wanted::new(cx, request, &shared.rules, end)?;
        let waker = cx.waker().ok_or(Refusal::Method)?;
        let paused = wanted.expects;
        if paused {
            // Nothing is asked for before the upstream takes it.
            exchange.pause();
        }
        let mut proxied = Self {
            shared: Rc::clone(shared),
            relay: Rc::new(RefCell::new(Relay::new(cx.held_bytes()))),
            wanted,
            waker,
            request: None,
            chosen: None,
            tried: Vec::new(),
            answer: Progress::Awaited,
            paused,
            received: end,
        };
        proxied.ask(cx);
        Ok(proxied)
    }

    /// Asks an upstream that has not been tried. False if there is none.
    fn ask(&mut self, cx: &mut Context<'_>) -> bool {
        let shared = Rc::clone(&self.shared);
        let Some(chosen) = shared.balance.choose(cx.now(), &self.tried, shared.client(self.wanted.arrival))
        else {
            return false;
        };
        let upstream = shared.balance.upstream(chosen.index);
        let mut fields = if shared.balance.len() == 1 {
            // There is no other one to ask, and this one was not asked before.
            debug_assert!(self.tried.is_empty());
            std::mem::take(&mut self.wanted.fields)
        } else {
            self.wanted.fields.clone()
        };
        if upstream.is_http2() {
            fields::add_for_http2(&mut fields, self.wanted.says_trailers);
        }
        let mut request = client::Request::new(self.wanted.method.clone(), upstream.url.clone());
        request.target = Some(upstream.target(&self.wanted.target, &shared.prefix));
        request.options = Some(self.options(cx, upstream, &fields));
        request.host = self.wanted.host.clone().filter(|_| shared.rules.host == HostRule::Client);
        request.body = self.wanted.body.clone();
        request.fields = fields;
        self.chosen = Some(chosen);
        let reply = FromUpstream::new(Rc::clone(&self.relay), self.waker.clone());
        self.request = Some(cx.start(request, reply));
        true
    }

    /// How the upstream is asked: as the client of the thread says, but that nothing of what is passed on is looked at.
    fn options(&self, cx: &mut Context<'_>, upstream: &Upstream, fields: &Fields) -> RequestOptions {
        let mut options = upstream.options(cx);
        options.expect = if self.wanted.expects { Expect::Always } else { Expect::Never };
        if fields::binds_connection(fields) {
            // What the connection is taken for is this client, and no other one may use it.
            options.isolation = Some(format!("{:?}", self.waker.id().link()).into());
        }
        options
    }

    /// Lets the client go on sending, once the upstream takes what it sends.
    fn read_on(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange<'_>) {
        let (has_ended, takes) = {
            let up = &mut self.relay.borrow_mut().up;
            let had_ended = std::mem::replace(&mut up.flow.ended, self.received);
            (self.received && !had_ended, up.flow.has_room() && (up.wanted || !self.wanted.expects))
        };
        if has_ended {
            self.want_write(cx);
        }
        // What is answered already takes no more: the rest is read and dropped.
        let dropped = self.request.is_none();
        if self.paused && (takes || dropped) {
            self.paused = false;
            exchange.resume();
        }
    }

    fn want_write(&self, cx: &mut Context<'_>) {
        if let Some(request) = &self.request {
            cx.client().want_write(request.id());
        }
    }

    /// Sends what there is, as far as the client takes it.
    fn answer(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        loop {
            let failure = match self.next(cx) {
                Next::Nothing => return,
                Next::Interim(head) => match exchange.permit() {
                    Ok(permit) => {
                        exchange = permit.into_exchange();
                        self.send_interim(&mut exchange, &head);
                        continue;
                    }
                    Err(mut refused) => {
                        self.relay.borrow_mut().down.interims.push_front(*head);
                        return refused.want_write();
                    }
                },
                Next::Abort => {
                    self.answer = Progress::Over;
                    return exchange.abort();
                }
                Next::Answer | Next::Content => None,
                Next::Fail(failure) => Some(failure),
            };
            let permit = match exchange.permit() {
                Ok(permit) => permit,
                Err(mut refused) => {
                    self.relay.borrow_mut().down.failure = failure.flatten();
                    return refused.want_write();
                }
            };
            if let Some(failure) = failure {
                self.answer = Progress::Over;
                return permit.reply(outcome::response(failure.as_deref(), &self.shared.rules.name));
            }
            let Some(left) = self.send(cx, permit) else { return };
            exchange = left;
            self.resume_upstream(cx);
        }
    }

    /// What can be sent to the client.
    fn next(&mut self, cx: &mut Context<'_>) -> Next {
        let relay = Rc::clone(&self.relay);
        let mut relay = relay.borrow_mut();
        let down = &mut relay.down;
        match self.answer {
            Progress::Over => Next::Nothing,
            Progress::Unwritable => Next::Fail(None),
            Progress::Broken => Next::Abort,
            Progress::Awaited if !down.interims.is_empty() => {
                down.interims.pop_front().map_or(Next::Nothing, |head| Next::Interim(Box::new(head)))
            }
            Progress::Awaited if down.head.is_some() => Next::Answer,
            Progress::Begun { .. } if !down.flow.is_empty() => Next::Content,
            Progress::Awaited if down.flow.ended => {
                let (failure, sent) = (down.failure.take(), relay.up.begun);
                drop(relay);
                match failure {
                    Some(failure) if self.fails_over(cx, &failure, sent) => Next::Nothing,
                    failure => Next::Fail(failure),
                }
            }
            Progress::Begun { .. } if down.failure.is_some() => Next::Abort,
            Progress::Begun { .. } if down.flow.ended => Next::Content,
            Progress::Awaited | Progress::Begun { .. } => Next::Nothing,
        }
    }

    /// A request was not answered: asks another upstream, if that can do no harm.
    fn fails_over(&mut self, cx: &mut Context<'_>, failure: &Failure, sent: bool) -> bool {
        self.request = None;
        let Some(chosen) = self.chosen.take() else { return false };
        if outcome::is_upstreams(failure) {
            self.shared.balance.failed(cx.now(), chosen.index);
        }
        self.tried.push(chosen.index);
        if !failure.retryable || sent {
            return false;
        }
        let asks = self.ask(cx);
        if asks {
            // What is left of the upstream that has failed. Where no other is asked its failure is still to be answered.
            self.relay.borrow_mut().begin_again();
        }
        asks
    }

    /// Sends the head, or content, or the end. `None` if there is nothing more to send, or it could not be written.
    fn send<'a>(&mut self, cx: &Context<'_>, permit: Permit<'a>) -> Option<Exchange<'a>> {
        let mut relay = self.relay.borrow_mut();
        let down = &mut relay.down;
        let budget = permit.budget();
        if let Some(head) = down.head.take() {
            let chunk = down.flow.take(budget);
            let whole = down.flow.is_over() && down.failure.is_none() && down.flow.trailers.is_none();
            drop(relay);
            return self.send_head(cx, permit, &head, chunk, whole);
        }
        let chunk = down.flow.take(budget);
        let over = down.flow.is_over() && down.failure.is_none();
        let trailers = down.flow.trailers.take_if(|_| over && chunk.is_empty());
        let takes_trailers = self.answer == Progress::Begun { takes_trailers: true };
        let end = over && down.flow.trailers.is_none();
        drop(relay);
        let sent = match trailers.filter(|_| takes_trailers) {
            Some(trailers) => permit.trailers(fields::of_trailers(&trailers).iter()),
            None => permit.data(Payload::Own(chunk), end),
        };
        match sent {
            Ok(_) if end => {
                self.answer = Progress::Over;
                None
            }
            Ok(spent) => Some(spent.into_exchange()),
            Err(_) => self.wait_for_exchange(Progress::Broken),
        }
    }

    fn send_head<'a>(
        &mut self,
        cx: &Context<'_>,
        permit: Permit<'a>,
        head: &ResponseHead,
        chunk: lws_server::Bytes,
        whole: bool,
    ) -> Option<Exchange<'a>> {
        if let Some(chosen) = &self.chosen {
            self.shared.balance.answered(cx.now(), chosen.index);
        }
        let fields = fields::of_response(&head.fields, head.status, head.version, &self.shared.rules);
        let takes_trailers = self.wanted.takes_trailers && !head.fields.has("content-length");
        match permit.respond(head.status, fields, Payload::Own(chunk), whole) {
            Ok(spent) => {
                let exchange = spent.into_exchange();
                // A response without content is over with its head, whatever an upstream over HTTP/2 says later.
                let over = whole || exchange.has_ended();
                self.answer = if over { Progress::Over } else { Progress::Begun { takes_trailers } };
                (!over).then_some(exchange)
            }
            Err(_) => self.wait_for_exchange(Progress::Unwritable),
        }
    }

    /// The permit is gone with what could not be written: what follows is done as soon as the exchange is lent again.
    fn wait_for_exchange<'a>(&mut self, then: Progress) -> Option<Exchange<'a>> {
        self.answer = then;
        self.waker.wake();
        None
    }

    fn send_interim(&self, exchange: &mut Exchange<'_>, head: &ResponseHead) {
        // RFC 9110 §15.2: "A server MUST NOT send a 1xx response to an HTTP/1.0 client."
        if self.wanted.arrival.version == Version::Http10 {
            return;
        }
        let fields = fields::of_response(&head.fields, head.status, head.version, &self.shared.rules);
        // One that cannot be written is worth nothing without its fields.
        let _ = exchange.interim(head.status, fields);
    }

    /// Lets the upstream go on sending, once the client has taken what it sent.
    fn resume_upstream(&mut self, cx: &mut Context<'_>) {
        let down = &mut self.relay.borrow_mut().down;
        if down.paused
            && down.flow.has_room()
            && let Some(request) = &self.request
        {
            down.paused = false;
            cx.client().resume(request.id());
        }
    }

    /// Forgets the request at the upstream once that has ended.
    fn note_end(&mut self, cx: &Context<'_>) {
        let relay = self.relay.borrow();
        if !relay.down.flow.ended || relay.down.failure.is_some() {
            return;
        }
        if let Some(request) = self.request.take() {
            request.detach();
        }
        if let Some(chosen) = self.chosen.take() {
            self.shared.balance.answered(cx.now(), chosen.index);
        }
    }
}

/// How a request has come here.
pub(crate) fn arrival(cx: &Context<'_>, request: &Request<'_>) -> Arrival {
    Arrival { peer: cx.peer().ip(), secure: request.tls().is_some(), version: request.version() }
}

/// The fields of a request, with the server that it is for as `Host`. RFC 9112 §3.2.2: a target that names one makes a proxy ignore the
/// `Host` beside it.
pub(crate) fn received(request: &Request<'_>) -> Fields {
    let mut fields: Fields = request.fields().collect();
    if let Some(authority) = named_authority(request.target()) {
        fields.set("host", authority);
    }
    fields
}

/// The server that a target in absolute form names, as it is written there.
fn named_authority(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return None;
    }
    let (_, rest) = target.split_once("://")?;
    rest.split(['/', '?']).next()
}

/// The method, which has a name of its own only where it is an unusual one.
fn method_of(request: &Request<'_>) -> Cow<'static, str> {
    match request.method() {
        Method::Other => Cow::Owned(request.method_name().to_owned()),
        known => Cow::Borrowed(known.token()),
    }
}

impl Wanted {
    fn new(cx: &Context<'_>, request: &Request<'_>, rules: &Rules, end: bool) -> Result<Self, Refusal> {
        if request.method() == Method::Connect {
            return Err(Refusal::Method);
        }
        let arrival = arrival(cx, request);
        let received = received(request);
        let length = received.text("content-length").and_then(|length| length.parse().ok());
        let old = arrival.version == Version::Http10;
        let says_trailers = received.has_token("te", "trailers");
        Ok(Self {
            method: method_of(request),
            target: Target::of(request),
            host: received.text("host").map(str::to_owned).filter(|host| !host.is_empty()),
            arrival,
            expects: !end && received.has_token("expect", "100-continue") && !old,
            says_trailers,
            // HTTP/1.0 has no chunks that they could end, whatever its client says.
            takes_trailers: arrival.version == Version::Http2 || says_trailers && !old,
            body: if end { Body::Empty } else { Body::Stream { length } },
            fields: fields::of_request(&received, arrival, rules)?,
        })
    }
}

impl Handler for Proxied {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn content(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        self.received |= end;
        if self.request.is_none() {
            return;
        }
        let full = {
            let up = &mut self.relay.borrow_mut().up;
            up.flow.push(chunk);
            up.flow.is_full()
        };
        if full && !self.paused {
            self.paused = true;
            exchange.pause();
        }
        if end {
            // The end waits for the end of this turn, as a trailer section may be behind it.
            self.waker.wake();
        }
        self.want_write(cx);
    }

    fn trailers(&mut self, _: &mut Context<'_>, _: Exchange<'_>, trailers: Head<'_>) {
        let trailers: Fields = trailers.fields().collect();
        // Only content without a length can have them.
        if matches!(self.wanted.body, Body::Stream { length: None }) {
            self.relay.borrow_mut().up.flow.trailers = Some(fields::of_trailers(&trailers));
        }
    }

    fn wake(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        self.note_end(cx);
        self.read_on(cx, &mut exchange);
        self.answer(cx, exchange);
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        self.answer(cx, permit.into_exchange());
    }

    fn close(&mut self, _: &mut Context<'_>, _: Cause) {
        // What is not over is given up.
        self.request = None;
    }
}
