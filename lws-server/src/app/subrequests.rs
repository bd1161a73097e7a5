//! Requests that wait for what another route of their site answers about them.
//!
//! The exchange goes on with the question in place of the request, which comes back when it is granted. What decides an answer is
//! `http/subrequest.rs`.

use super::admission::Asked;
use super::requests::Arrived;
use super::{App, Lent};
use crate::context::{Context, Subject};
use crate::http::subrequest::Subrequest;
use crate::http::{Response, Status, Tally};
use crate::link::stream::{HttpStream, StreamPhase, StreamState, WaitingRequest};
use crate::route::guard::Ask;
use lws_proto::Cause;

impl App {
    /// Has another route asked about a request, behind `passed` guards that have let it pass. The content of the request is held off until
    /// that has answered.
    #[cold]
    pub(super) fn begin_subrequest(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        asked: Asked<'_>,
        passed: usize,
        ask: Ask,
    ) {
        let StreamPhase::Http(mut http) = std::mem::take(&mut state.phase) else { return };
        let Asked { mut stream, head, end, site, ingress } = asked;
        let head = head.to_buf();
        // One question at a time: who asks about a question would never come to an end.
        let question = ask.head(&head).filter(|_| http.waiting().is_none());
        let held = question.ok_or(Status::INTERNAL_SERVER_ERROR).and_then(|question| {
            let status = |limit: lws_proto::Limit| Status::new(limit.status());
            let held = stream.hold(head.held_bytes());
            held.map_err(|limit| status(limit).unwrap_or(Status::SERVICE_UNAVAILABLE)).map(|()| question)
        });
        let question = match held {
            Ok(question) => question,
            Err(status) => {
                state.phase = StreamPhase::Http(http);
                return self.refuse_admission(cx, state, stream, Response::error(status), end);
            }
        };
        if !end {
            stream.pause();
        }
        let peer_slot = http.take_peer_slot();
        let HttpStream { tally, entry, begun, asked, .. } = http;
        let reroutes = tally.reroutes;
        let waiting = Some(Box::new(WaitingRequest { head, end, site, ingress, passed, reroutes, ask }));
        let head = question.lend();
        // What still comes of content belongs to the request that waits.
        let reroutes = reroutes.saturating_add(1);
        let arrived = Arrived { stream, head, end: true, entry, peer_slot, begun, waiting, reroutes, asked };
        self.proceed(cx, ingress, state, arrived, None);
    }

    /// Another route has let a request go on: its handler is done with it, and the request is resolved anew.
    pub(super) fn end_subrequest(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        mut stream: lws_proto::Exchange<'_>,
    ) {
        let key = state.key;
        let StreamPhase::Http(http) = &mut state.phase else { return };
        if let Some(mut handler) = http.handler.take() {
            // It is called in the phase of its exchange: where it panics the request is answered 500.
            let subject = Subject { route: http.route, key };
            handler.close(&mut Context::new(cx, &mut self.state, subject, None), Cause::Complete);
        }
        let StreamPhase::Http(mut http) = std::mem::take(&mut state.phase) else { return };
        let granted = (http.tally.take_subrequest(), http.take_waiting());
        let (Some(Subrequest::Granted(grant)), Some(waiting)) = granted else {
            state.phase = StreamPhase::Http(http);
            return;
        };
        let WaitingRequest { head, end, site, ingress, passed, reroutes, .. } = *waiting;
        stream.set_timeout(None);
        stream.let_go(head.held_bytes());
        if !end {
            stream.resume();
        }
        match grant.apply(head) {
            Some(head) => {
                let peer_slot = http.take_peer_slot();
                let HttpStream { tally, entry, begun, asked, .. } = http;
                // What the layers of the question have kept is free for the request.
                drop(tally);
                let (head, waiting) = (head.lend(), None);
                let arrived =
                    Arrived { stream, head, end, entry, peer_slot, begun, waiting, reroutes, asked };
                self.proceed(cx, ingress, state, arrived, Some((site, passed + 1)));
            }
            None => {
                let mut tally = Tally { reroutes, ..Tally::default() };
                tally.report_as(&mut http.tally);
                http.tally = tally;
                state.phase = StreamPhase::Http(http);
                let response = Response::error(Status::INTERNAL_SERVER_ERROR);
                self.refuse_admission(cx, state, stream, response, end);
            }
        }
        self.after_answer(cx, state);
    }
}
