//! The client's side of an exchange: passes the request on, and the response back as the client takes it.

use crate::balance::Chosen;
use crate::fields::{self, Arrival};
use crate::relay::Relay;
use crate::reply::FromUpstream;
use crate::{HostRule, Refusal, Shared, outcome};
use lws_server::client::{self, Body, Expect, Failure, Fields, Pending, ResponseHead, Waker};
use lws_server::http::{Exchange, Handler, Head, Method, Permit, Request, Version};
use lws_server::{Cause, Context, Payload};
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
    method: String,
    target: String,
    host: Option<String>,
    arrival: Arrival,
    /// As they came: what is sent depends on the upstream.
    fields: Fields,
    body: Body,
    /// The client sends content when it is asked to. RFC 9110 §10.1.1.
    expects: bool,
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
    /// What was answered could not be written.
    Unwritable,
    Over,
}

/// What is to be done next for the client.
enum Next {
    Nothing,
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
        let wanted = Wanted::new(cx, request, end)?;
        // Refused before anything is chosen.
        fields::of_request(&wanted.fields, wanted.arrival, &shared.rules)?;
        let waker = cx.waker().ok_or(Refusal::Method)?;
        let paused = wanted.expects;
        if paused {
            // Nothing is asked for before the upstream takes it.
            exchange.pause();
        }
        let mut proxied = Self {
            shared: Rc::clone(shared),
            relay: Rc::default(),
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
        let arrival = Arrival { to_http2: upstream.is_http2(), ..self.wanted.arrival };
        // It was possible before, and does not depend on the upstream.
        let Ok(fields) = fields::of_request(&self.wanted.fields, arrival, &shared.rules) else {
            return false;
        };
        let mut request = client::Request::new(self.wanted.method.clone(), upstream.url.clone());
        request.target = Some(upstream.target(&self.wanted.target, &shared.prefix));
        request.host = self.wanted.host.clone().filter(|_| shared.rules.host == HostRule::Client);
        request.body = self.wanted.body.clone();
        let options = &mut request.options;
        options.versions = upstream.versions;
        options.connect_to = upstream.connect_to.clone();
        options.expect = if self.wanted.expects { Expect::Always } else { Expect::Never };
        if fields::binds_connection(&fields) {
            // What the connection is taken for is this client, and no other one may use it.
            options.isolation = Some(format!("{:?}", self.waker.id().link()).into());
        }
        request.fields = fields;
        self.chosen = Some(chosen);
        let reply = FromUpstream::new(Rc::clone(&self.relay), self.waker.clone());
        self.request = Some(cx.start(request, reply));
        true
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
        self.send_interims(&mut exchange);
        loop {
            let failure = match self.next(cx) {
                Next::Nothing => return,
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
            let Some(left) = self.send(permit) else { return };
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
        self.relay.borrow_mut().down = crate::relay::Download::default();
        self.ask(cx)
    }

    /// Sends the head, or content, or the end. `None` if there is nothing more to send, or it could not be written.
    fn send<'a>(&mut self, permit: Permit<'a>) -> Option<Exchange<'a>> {
        let mut relay = self.relay.borrow_mut();
        let down = &mut relay.down;
        let budget = permit.budget();
        if let Some(head) = down.head.take() {
            let chunk = down.flow.take(budget);
            let whole = down.flow.is_over() && down.failure.is_none() && down.flow.trailers.is_none();
            drop(relay);
            return self.send_head(permit, &head, chunk, whole);
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
        if end {
            self.answer = Progress::Over;
        }
        sent.ok().filter(|_| !end).map(lws_server::http::Spent::into_exchange)
    }

    fn send_head<'a>(
        &mut self,
        permit: Permit<'a>,
        head: &ResponseHead,
        chunk: lws_server::Bytes,
        whole: bool,
    ) -> Option<Exchange<'a>> {
        if let Some(chosen) = &self.chosen {
            self.shared.balance.answered(chosen.index);
        }
        let fields = fields::of_response(&head.fields, head.status, head.version, &self.shared.rules);
        let takes_trailers = self.wanted.takes_trailers && !fields.has("content-length");
        match permit.respond(head.status, fields.iter(), Payload::Own(chunk), whole) {
            Ok(spent) => {
                self.answer = if whole { Progress::Over } else { Progress::Begun { takes_trailers } };
                (!whole).then(|| spent.into_exchange())
            }
            Err(_) => {
                // A field that cannot be written here: the client gets a 502, as soon as the exchange is lent again.
                self.answer = Progress::Unwritable;
                self.waker.wake();
                None
            }
        }
    }

    fn send_interims(&mut self, exchange: &mut Exchange<'_>) {
        let interims = std::mem::take(&mut self.relay.borrow_mut().down.interims);
        // RFC 9110 §15.2: "A server MUST NOT send a 1xx response to an HTTP/1.0 client."
        if self.answer != Progress::Awaited || self.wanted.arrival.version == Version::Http10 {
            return;
        }
        for head in interims {
            let fields = fields::of_response(&head.fields, head.status, head.version, &self.shared.rules);
            // One that cannot be written is worth nothing without its fields.
            let _ = exchange.interim(head.status, fields.iter());
        }
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
    fn note_end(&mut self) {
        let relay = self.relay.borrow();
        if !relay.down.flow.ended || relay.down.failure.is_some() {
            return;
        }
        if let Some(request) = self.request.take() {
            request.detach();
        }
        if let Some(chosen) = self.chosen.take() {
            self.shared.balance.answered(chosen.index);
        }
    }
}

/// How a request has come here.
pub(crate) fn arrival(cx: &Context<'_>, request: &Request<'_>) -> Arrival {
    Arrival {
        peer: cx.peer().ip(),
        secure: request.tls().is_some(),
        version: request.version(),
        to_http2: false,
    }
}

/// The path and query of a request, as they were written, or `*`.
pub(crate) fn target(request: &Request<'_>) -> String {
    match (request.raw_path(), request.query()) {
        ("", _) => "*".to_owned(),
        (path, None) => path.to_owned(),
        (path, Some(query)) => format!("{path}?{query}"),
    }
}

impl Wanted {
    fn new(cx: &Context<'_>, request: &Request<'_>, end: bool) -> Result<Self, Refusal> {
        if request.method() == Method::Connect {
            return Err(Refusal::Method);
        }
        let arrival = arrival(cx, request);
        let fields: Fields = request.fields().collect();
        let length = fields.text("content-length").and_then(|length| length.parse().ok());
        let target = target(request);
        Ok(Self {
            method: request.method_name().to_owned(),
            target,
            host: request.text("host").map(str::to_owned).filter(|host| !host.is_empty()),
            arrival,
            expects: !end && fields.has_token("expect", "100-continue") && arrival.version != Version::Http10,
            takes_trailers: arrival.version == Version::Http2 || fields.has_token("te", "trailers"),
            body: if end { Body::Empty } else { Body::Stream { length } },
            fields,
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
        self.note_end();
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
