//! Requests that do not go on at once: their peers have too many others, or a guard decides later.

use super::requests::{Arrived, Passed};
use super::{App, Lent};
use crate::context::{Context, Subject};
use crate::http::subrequest::Grant;
use crate::http::{Answer, Exchange, Request, Response, Routed, Status};
use crate::link::stream::{GuardedStream, HttpStream, StreamPhase, StreamState, WaitsFor};
use crate::link::streams::Ingress;
use crate::route::guard::{Admission, Guards};
use crate::server::peers::Queue;
use crate::site::served::ServedSite;
use lws_proto::http::Head;
use std::rc::Rc;
use std::time::Duration;

/// How long a request waits for a guard, or for a slot among the requests of its peer.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(30);

/// A request before its endpoint gets it.
pub(super) struct Asked<'a> {
    pub(super) stream: lws_proto::Exchange<'a>,
    pub(super) head: Head<'a>,
    /// It has no content.
    pub(super) end: bool,
    pub(super) site: Option<Rc<ServedSite>>,
    pub(super) ingress: Ingress,
}

impl App {
    /// Has a request wait. Its content is held off until then.
    fn hold(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        asked: Asked<'_>,
        passed: usize,
        waits_for: WaitsFor,
    ) {
        let StreamPhase::Http(http) = std::mem::take(&mut state.phase) else { return };
        let Asked { mut stream, head, end, site, ingress } = asked;
        let head = head.to_buf();
        if let Err(limit) = stream.hold(head.held_bytes()) {
            state.phase = StreamPhase::Http(http);
            let status = Status::new(limit.status()).unwrap_or(Status::SERVICE_UNAVAILABLE);
            return self.refuse_admission(cx, state, stream, Response::error(status), end);
        }
        if !end {
            stream.pause();
        }
        stream.set_timeout(Some(cx.now() + ADMISSION_TIMEOUT));
        state.phase = StreamPhase::Guarded(Box::new(GuardedStream {
            http,
            head,
            end,
            site,
            ingress,
            passed,
            waits_for,
        }));
    }

    /// A request that waits was woken: perhaps it may go on.
    pub(super) fn on_decided(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        mut stream: lws_proto::Exchange<'_>,
    ) {
        let StreamPhase::Guarded(guarded) = &mut state.phase else { return };
        let decision = match &guarded.waits_for {
            WaitsFor::Guard(later) => later.decision.take().map(|decided| decided.map(|grant| (grant, None))),
            WaitsFor::PeerSlot(peer_slot) => {
                peer_slot.take().map(|peer_slot| Ok((Grant::new(), Some(peer_slot))))
            }
        };
        let Some(decision) = decision else { return };
        stream.set_timeout(None);
        let Some(GuardedStream { mut http, head, end, site, ingress, passed, .. }) = state.take_guarded()
        else {
            return;
        };
        stream.let_go(head.held_bytes());
        if !end {
            stream.resume();
        }
        let reroutes = http.tally.reroutes;
        let unwritten = || Response::error(Status::INTERNAL_SERVER_ERROR);
        let decision =
            decision.and_then(|(grant, new_slot)| Ok((grant.apply(head).ok_or_else(unwritten)?, new_slot)));
        match decision {
            Ok((head, new_slot)) => {
                // The guard that has decided has let it pass, too. A request that has waited for a slot has asked
                // no guard yet.
                let passed = passed + usize::from(new_slot.is_none());
                let (waiting, slot_before) = (http.take_waiting(), http.take_peer_slot());
                let HttpStream { entry, begun, asked, .. } = http;
                let peer_slot = new_slot.map(Box::new).or(slot_before);
                let head = head.lend();
                let arrived =
                    Arrived { stream, head, end, entry, peer_slot, begun, waiting, reroutes, asked };
                self.proceed(cx, ingress, state, arrived, Some((site, passed)));
            }
            Err(response) => {
                state.phase = StreamPhase::Http(http);
                self.refuse_admission(cx, state, stream, response, end);
            }
        }
        self.after_answer(cx, state);
    }

    /// Takes a slot among the requests of the peer, unless the request has one. Returns its stream if it may go on;
    /// otherwise it waits or has been refused.
    #[cold]
    pub(super) fn await_turn<'a>(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        routed: Routed<'_>,
        asked: Asked<'a>,
    ) -> Option<lws_proto::Exchange<'a>> {
        let StreamPhase::Http(http) = &mut state.phase else { return None };
        let Some(peers) = self.state.group.peers.clone().filter(|_| !http.has_peer_slot()) else {
            return Some(asked.stream);
        };
        let peer = self.state.peers.get(cx.connection(), || cx.peer());
        let subject = Subject { route: http.route, key: state.key };
        let request = Request::lent(asked.head, routed, !asked.end, None);
        let defer = || Context::new(cx, &mut self.state, subject, None).deferred_result();
        let queue = peers.peer_slot(&peer, &request, defer);
        match queue {
            Queue::Go(peer_slot) => {
                http.keep_peer_slot(peer_slot);
                return Some(asked.stream);
            }
            Queue::Wait(peer_slot) => self.hold(cx, state, asked, 0, WaitsFor::PeerSlot(peer_slot)),
            Queue::Full => {
                let response = Response::error(Status::SERVICE_UNAVAILABLE).field("Retry-After", "1");
                self.refuse_admission(cx, state, asked.stream, response, asked.end);
            }
        }
        None
    }

    /// A request has waited too long.
    pub(super) fn on_undecided(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        stream: lws_proto::Exchange<'_>,
    ) {
        let Some(GuardedStream { http, end, .. }) = state.take_guarded() else { return };
        state.phase = StreamPhase::Http(http);
        let response = Response::error(Status::SERVICE_UNAVAILABLE).field("Retry-After", "1");
        self.refuse_admission(cx, state, stream, response, end);
        self.after_answer(cx, state);
    }

    /// Answers a request that may not go on.
    pub(super) fn refuse_admission(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        stream: lws_proto::Exchange<'_>,
        response: Response,
        end: bool,
    ) {
        let (StreamPhase::Http(http), key) = (&mut state.phase, state.key) else { return };
        let mut context = Context::new(cx, &mut self.state, Subject { route: http.route, key }, None);
        let exchange = Exchange { stream, tally: &mut http.tally };
        http.handler = response.answer(&mut context, exchange, end);
    }

    /// Asks the guards of a route, but for those that have let the request pass. Answers with its stream if it may go on; otherwise it
    /// has been seen to.
    #[cold]
    pub(super) fn pass_guards<'a>(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        (guards, passed): (&Guards, Option<Passed>),
        routed: Routed<'_>,
        asked: Asked<'a>,
    ) -> Option<lws_proto::Exchange<'a>> {
        // Those of another site, which has come meanwhile, have not been asked.
        let is_of = |site: &Option<Rc<ServedSite>>| match (site, &asked.site) {
            (Some(before), Some(now)) => Rc::ptr_eq(before, now),
            _ => false,
        };
        let mut passed = passed.filter(|(site, _)| is_of(site)).map_or(0, |(_, passed)| passed);
        let StreamPhase::Http(http) = &state.phase else { return None };
        let subject = Subject { route: http.route, key: state.key };
        let request = Request::lent(asked.head, routed, !asked.end, cx.tls());
        let waiting = http.waiting().map(|waiting| waiting.ask.path());
        let mut context = Context::new(cx, &mut self.state, subject, None);
        let (passed, admission) = loop {
            match guards.ask(passed, &mut context, &request) {
                // A guard of the whole site holds for the route that it asks, too.
                (at, Admission::Ask(ask)) if waiting == Some(ask.path()) => passed = at + 1,
                other => break other,
            }
        };
        match admission {
            Admission::Granted => return Some(asked.stream),
            Admission::Refused(response) => {
                self.refuse_admission(cx, state, asked.stream, response, asked.end);
            }
            Admission::Later(later) => self.hold(cx, state, asked, passed, WaitsFor::Guard(later)),
            Admission::Ask(ask) => self.begin_subrequest(cx, state, asked, passed, ask),
        }
        None
    }
}
