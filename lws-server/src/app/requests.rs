//! Requests: what was resolved is done.

use super::admission::Asked;
use super::{App, Lent};
use crate::context::{Context, Subject};
use crate::http::subrequest::Subrequest;
use crate::http::{self, Answer, ErrorForm, ErrorRenderer, Exchange, Request, Response, Routed, Tally};
use crate::link::stream::{
    HttpStream, RareExchange, StreamPhase, StreamState, WaitingRequest, WebSocketStream,
};
use crate::link::streams::Ingress;
use crate::metrics::RequestLabels;
use crate::route::refusal;
use crate::route::resolve::{Refusal, Resolved, Step, resolve};
use crate::server::peers::PeerSlot;
use crate::site::served::{FieldLines, Served, ServedSite, Terms};
use crate::thread::access::{LoggedRequest, LoggedWebSocket};
use crate::thread::panics;
use crate::tls::Plain;
use crate::ws;
use crate::ws::Deflate;
use lws_proto::http::{Head, HeadBuf};
use lws_proto::ws::{Accept, check_request, is_opening};
use lws_proto::{StreamKey, Time};
use std::rc::Rc;

/// How often an exchange may go on with another request.
const REROUTES_MAX: u8 = 10;

/// A request as it has come.
pub(super) struct Arrived<'a> {
    pub(super) stream: lws_proto::Exchange<'a>,
    pub(super) head: Head<'a>,
    /// It has no content.
    pub(super) end: bool,
    pub(super) entry: Option<Box<LoggedRequest>>,
    /// Its slot among the requests of its peer, if it had to wait for that.
    pub(super) peer_slot: Option<Box<PeerSlot>>,
    /// The time of the loop when its head was there.
    pub(super) begun: Time,
    /// The request that is decided about by what this one is answered.
    pub(super) waiting: Option<Box<WaitingRequest>>,
    /// How often the exchange has gone on with another request. Content that comes then is not that of this one.
    pub(super) reroutes: u8,
    /// The request that the peer has sent, by which what comes in its place is counted too.
    pub(super) asked: RequestLabels,
}

/// How far a request has come that is proceeded with after a wait: the site whose guards have let it pass, and how many of them.
pub(super) type Passed = (Option<Rc<ServedSite>>, usize);

/// A request on its way to an endpoint.
struct ReceivedRequest<'a> {
    stream: lws_proto::Exchange<'a>,
    head: Head<'a>,
    routed: Routed<'a>,
    /// It has no content.
    end: bool,
}

/// What is known of an answer before there is one.
#[inline(always)]
fn tally_of(
    fields: FieldLines,
    errors: Option<&ErrorRenderer>,
    head: &Head<'_>,
    waiting: Option<&WaitingRequest>,
    reroutes: u8,
) -> Tally {
    let is_head = head.method() == http::Method::Head;
    let mut tally = Tally { always: fields, head: is_head, reroutes, ..Tally::default() };
    if errors.is_some() || waiting.is_some() {
        let errors = errors.map(|renderer| match waiting {
            // The peer has not asked the question.
            Some(waiting) => ErrorForm::new(renderer, &waiting.head.lend()),
            None => ErrorForm::new(renderer, head),
        });
        let subrequest = waiting.map(|waiting| Subrequest::Asked(waiting.ask.copied()));
        tally.answer_for(errors, subrequest);
    }
    tally
}

/// Notes what a WebSocket that the exchange may become later on is to be compressed with.
#[cold]
fn note_opening(state: &mut StreamState, head: &Head<'_>, deflate: &Deflate) {
    if let StreamPhase::Http(http) = &mut state.phase
        && is_opening(head)
    {
        http.tally.open_with(deflate.clone());
    }
}

impl App {
    #[inline]
    pub(super) fn on_request(
        &mut self,
        cx: &mut Lent<'_>,
        ingress: Ingress,
        state: &mut StreamState,
        stream: lws_proto::Exchange<'_>,
        head: Head<'_>,
        end: bool,
    ) {
        self.state.counters.requests += 1;
        self.state.counters.in_flight += 1;
        state.key = Some(stream.key());
        self.state.spans.requested(self.state.shard, cx.connection(), stream.key(), &head);
        let entry = self.entry(cx, stream.key(), &head);
        let begun = cx.now();
        let asked = RequestLabels::new(head.version(), head.method());
        let (peer_slot, waiting) = (None, None);
        let arrived = Arrived { stream, head, end, entry, peer_slot, begun, waiting, reroutes: 0, asked };
        self.resolve_and_act(cx, ingress, state, arrived, None);
        self.after_answer(cx, state);
    }

    /// Has a request resolved that comes in the place of another one or was held up, and does what is to be done with it.
    #[inline(never)]
    pub(super) fn proceed(
        &mut self,
        cx: &mut Lent<'_>,
        ingress: Ingress,
        state: &mut StreamState,
        arrived: Arrived<'_>,
        passed: Option<Passed>,
    ) {
        self.resolve_and_act(cx, ingress, state, arrived, passed);
    }

    /// Has a request resolved, and does what is to be done with it. Compiled once more for requests that have just come, which have
    /// nothing that the others bring along.
    #[inline(always)]
    fn resolve_and_act(
        &mut self,
        cx: &mut Lent<'_>,
        ingress: Ingress,
        state: &mut StreamState,
        arrived: Arrived<'_>,
        passed: Option<Passed>,
    ) {
        let Arrived { mut stream, head, end, entry, peer_slot, begun, waiting, reroutes, asked } = arrived;
        let Some(listener) = self.state.sites.listener(ingress.listener) else { return stream.abort() };
        let (site, arrival) = listener.site(&head, cx.tls());
        // Kept beside the table, which a handler may change while it is called.
        let (site, policy) = (site.cloned(), listener.plain());
        let resolved = resolve(site.as_deref(), &head, arrival, ingress.plain);
        let Resolved { route, pattern, path, step } = resolved;
        let fields = match (step.served(), &site) {
            (Some(served), _) => served.fields(arrival.secure),
            (None, Some(site)) => site.fields(arrival.secure),
            (None, None) => listener.fields(arrival.secure),
        };

        let errors = site.as_ref().map_or(&listener.errors, |site| &site.settings.errors);
        let tally = tally_of(fields, errors.as_ref(), &head, waiting.as_deref(), reroutes);
        let rare = RareExchange::of(peer_slot, waiting);
        let counters = site.as_ref().map_or(&self.state.no_site, |site| &site.counters);
        let counters = Rc::clone(counters);
        let handler = None;
        state.phase =
            StreamPhase::Http(HttpStream { handler, tally, route, entry, counters, asked, begun, rare });
        let mut routed = Routed { path: &path, pattern, content_bytes_max: 0 };
        if self.state.group.peers.is_some() {
            let asked = Asked { stream, head, end, site: site.clone(), ingress };
            match self.await_turn(cx, state, routed, asked) {
                Some(on_turn) => stream = on_turn,
                None => return,
            }
        }
        if let Some(guards) = step.guards().filter(|guards| guards.any()) {
            let asked = Asked { stream, head, end, site: site.clone(), ingress };
            match self.pass_guards(cx, state, (guards, passed), routed, asked) {
                Some(admitted) => stream = admitted,
                None => return,
            }
        }
        match step {
            Step::Request(served) => {
                routed.content_bytes_max = served.terms.content_bytes_max;
                if let Some(deflate) = site.as_ref().and_then(|site| site.deflate()) {
                    note_opening(state, &head, deflate);
                }
                self.ask(cx, state, served, ReceivedRequest { stream, head, routed, end });
            }
            Step::Upgrade(served) => {
                let deflate = site.as_ref().and_then(|site| site.deflate());
                self.upgrade(cx, state, served, deflate, ReceivedRequest { stream, head, routed, end });
            }
            Step::Refuse(refusal) => {
                self.refuse(cx, state, refusal, policy, ReceivedRequest { stream, head, routed, end });
            }
        }
    }

    #[inline]
    fn entry(&mut self, cx: &Lent<'_>, key: StreamKey, head: &Head<'_>) -> Option<Box<LoggedRequest>> {
        let is_wanted = self.state.observers.log.is_some() || self.state.spans.has(cx.connection());
        if is_wanted { Some(self.begin_entry(cx, key, head)) } else { None }
    }

    /// Apart from `entry`, so that a server without a log does not carry it along.
    #[cold]
    fn begin_entry(&mut self, cx: &Lent<'_>, key: StreamKey, head: &Head<'_>) -> Box<LoggedRequest> {
        let origin = self.arrival(cx, Some(key));
        self.state.entries.begin(cx.now(), origin, head)
    }

    /// Has an endpoint answer a request.
    #[inline]
    fn ask(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        served: &Served,
        received: ReceivedRequest<'_>,
    ) {
        let (StreamPhase::Http(http), key) = (&mut state.phase, state.key) else { return };
        let ReceivedRequest { stream, head, routed, end } = received;
        let Terms { content_bytes_min, keep_half_closed, .. } = served.terms;
        let mut exchange = Exchange { stream, tally: &mut http.tally };
        if let Some(bytes) = content_bytes_min {
            exchange.expect_content(bytes);
        }
        if keep_half_closed {
            exchange.keep_half_closed(true);
        }
        let request = Request::lent(head, routed, !end, cx.tls());
        let mut context = Context::new(cx, &mut self.state, Subject { route: http.route, key }, None);
        http.handler = served.endpoint.request(&mut context, &request, exchange, end);
    }

    /// Answers a request that no endpoint gets.
    #[cold]
    fn refuse(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        refusal: Refusal<'_>,
        policy: Plain,
        received: ReceivedRequest<'_>,
    ) {
        let (StreamPhase::Http(http), key) = (&mut state.phase, state.key) else { return };
        let ReceivedRequest { mut stream, head, end, .. } = received;
        if matches!(refusal, Refusal::Plain) {
            stream.last_exchange();
        }
        let response = refusal::response(refusal, &head, policy);
        let mut context = Context::new(cx, &mut self.state, Subject { route: http.route, key }, None);
        let exchange = Exchange { stream, tally: &mut http.tally };
        http.handler = response.answer(&mut context, exchange, end);
    }

    /// Has an endpoint accept or refuse a WebSocket.
    fn upgrade(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        served: &Served,
        deflate: Option<&Deflate>,
        received: ReceivedRequest<'_>,
    ) {
        let (StreamPhase::Http(http), key) = (&mut state.phase, state.key) else { return };
        let ReceivedRequest { stream, head, routed, .. } = received;
        if check_request(&head).is_err() {
            // The engine knows what to answer, and does.
            let _ = stream.accept_websocket(&head, &Accept::new());
            return;
        }
        let request = Request::lent(head, routed, false, cx.tls());
        let mut context = Context::new(cx, &mut self.state, Subject { route: http.route, key }, None);
        let accepted = match served.endpoint.upgrade(&mut context, &request) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                let exchange = Exchange { stream, tally: &mut http.tally };
                http.handler = Response::answer(refusal, &mut context, exchange, true);
                return;
            }
        };
        match accepted.accept(stream, &head, deflate) {
            Ok(handler) => self.begin_websocket(cx, state, handler),
            // The endpoint's fault.
            Err(_) => http.tally.failed = true,
        }
    }

    /// An opening handshake was accepted: the exchange is a WebSocket from now on.
    fn begin_websocket(&mut self, cx: &mut Lent<'_>, state: &mut StreamState, handler: Box<dyn ws::Handler>) {
        let StreamPhase::Http(http) = &mut state.phase else { return };
        let status = http.asked.opened_status();
        let logged = http.entry.take().map(|mut entry| {
            let tally = Tally { status, ..Tally::default() };
            entry.first_byte = Some(cx.now() - http.begun);
            self.log(cx, || entry.exchange(&tally, "websocket"));
            LoggedWebSocket::new(entry, status)
        });
        let counters = Rc::clone(&http.counters);
        counters.count_request(http.asked, status, 0, cx.now() - http.begun);
        counters.websockets.add(1);
        self.state.counters.in_flight -= 1;
        self.state.counters.websockets += 1;
        state.phase = StreamPhase::WebSocket(WebSocketStream::new(handler, http.route, counters, logged));
    }

    /// Answers another request in the place of one, whose handler is dropped.
    pub(super) fn reroute(
        &mut self,
        cx: &mut Lent<'_>,
        ingress: Ingress,
        state: &mut StreamState,
        mut stream: lws_proto::Exchange<'_>,
        head: &HeadBuf,
    ) {
        let StreamPhase::Http(http) = &mut state.phase else { return };
        let reroutes = http.tally.reroutes + 1;
        if reroutes > REROUTES_MAX {
            // It owes an answer now.
            http.handler = None;
        } else {
            let (entry, peer_slot) = (http.entry.take(), http.take_peer_slot());
            let (begun, asked) = (http.begun, http.asked);
            // A question that is answered elsewhere grants nothing: that answer is for the peer, and the request that waited is over.
            if let Some(waiting) = http.take_waiting() {
                stream.let_go(waiting.head.held_bytes());
            }
            // Content that no handler has taken is passed over.
            stream.set_timeout(None);
            stream.resume();
            // For the peer it is the same request, which keeps its slot.
            let (head, waiting) = (head.lend(), None);
            let arrived =
                Arrived { stream, head, end: true, entry, peer_slot, begun, waiting, reroutes, asked };
            self.proceed(cx, ingress, state, arrived, None);
        }
        self.after_answer(cx, state);
    }

    /// Does what a call of a handler or endpoint has left for an exchange: it has become a WebSocket; or it owes a 500 or goes on with
    /// another request, for which its stream is out of reach until the connection is lent again.
    #[inline]
    pub(super) fn after_answer(&mut self, cx: &mut Lent<'_>, state: &mut StreamState) {
        let StreamState { key: Some(key), phase: StreamPhase::Http(http) } = state else { return };
        if let Some(entry) = &mut http.entry
            && http.tally.status != 0
            && entry.first_byte.is_none()
        {
            entry.first_byte = Some(cx.now() - http.begun);
        }
        if let Some(handler) = http.tally.take_upgraded() {
            // The handler of the exchange has come to its end with it.
            panics::discard(http.handler.take());
            self.begin_websocket(cx, state, handler);
        } else if http.owes_answer() || http.tally.has_instead() || http.tally.is_granted() {
            self.wake_later(cx, *key);
        }
    }
}
