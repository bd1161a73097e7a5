//! Requests that a guard decides about: what it says is done, at once or when it has been said.

use super::requests::{Arrived, Passed};
use super::{App, Lent};
use crate::context::{Context, Subject};
use crate::http::{Answer, Exchange, Request, Response, Routed, Status};
use crate::link::stream::{GuardedStream, StreamPhase, StreamState};
use crate::link::streams::Ingress;
use crate::route::guard::{Admission, Guards, Later};
use crate::site::served::ServedSite;
use lws_proto::http::Head;
use std::rc::Rc;
use std::time::Duration;

/// How long a request waits for a guard.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(30);

/// A request about which guards are asked.
pub(super) struct Asked<'a> {
    pub(super) stream: lws_proto::Exchange<'a>,
    pub(super) head: Head<'a>,
    /// It has no content.
    pub(super) end: bool,
    pub(super) site: Option<Rc<ServedSite>>,
    pub(super) ingress: Ingress,
}

impl App {
    /// Has a request wait for a decision. Its content is held off until then.
    fn hold(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        asked: Asked<'_>,
        passed: usize,
        later: Later,
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
        let decision = later.0;
        state.phase = StreamPhase::Guarded(Box::new(GuardedStream {
            http,
            head,
            end,
            site,
            ingress,
            passed,
            decision,
        }));
    }

    /// A request that waits for a decision was woken: the decision may be there.
    pub(super) fn on_decided(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        mut stream: lws_proto::Exchange<'_>,
    ) {
        let StreamPhase::Guarded(guarded) = &mut state.phase else { return };
        let Some(decision) = guarded.decision.take() else { return };
        stream.set_timeout(None);
        let Some(GuardedStream { http, head, end, site, ingress, passed, .. }) = state.take_guarded() else {
            return;
        };
        stream.let_go(head.held_bytes());
        if !end {
            stream.resume();
        }
        match decision {
            Ok(()) => {
                let arrived = Arrived { stream, head: head.lend(), end, entry: http.entry };
                // The one that has decided has let it pass, too.
                self.proceed(cx, ingress, state, arrived, Some((site, passed + 1)));
            }
            Err(response) => {
                state.phase = StreamPhase::Http(http);
                self.refuse_admission(cx, state, stream, response, end);
            }
        }
        self.after_answer(cx, state);
    }

    /// Nobody has decided in time.
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
    fn refuse_admission(
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
        let passed = passed.filter(|(site, _)| is_of(site)).map_or(0, |(_, passed)| passed);
        let StreamPhase::Http(http) = &state.phase else { return None };
        let subject = Subject { route: http.route, key: state.key };
        let request = Request::lent(asked.head, routed, !asked.end, cx.tls());
        match guards.ask(passed, &mut Context::new(cx, &mut self.state, subject, None), &request) {
            (_, Admission::Granted) => return Some(asked.stream),
            (_, Admission::Refused(response)) => {
                self.refuse_admission(cx, state, asked.stream, response, asked.end);
            }
            (passed, Admission::Later(later)) => self.hold(cx, state, asked, passed, later),
        }
        None
    }
}
