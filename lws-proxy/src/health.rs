//! Checks of upstreams: each is asked for a path again and again, and gets no requests while it does not answer that well.

use crate::{Shared, outcome};
use lws_server::Context;
use lws_server::client::{Cause, Deadline, Failure, Request, Response};
use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// Bytes of an answer to a check: more are no answer.
const BYTES_MAX: usize = 64 << 10;

/// How the upstreams of a proxy are checked: with a GET, to which each status code of 200 to 299 is a good answer.
///
/// Each thread of a server checks for itself, from its first request on.
///
/// ```
/// use lws_proxy::{HealthCheck, Proxy};
/// use std::time::Duration;
///
/// let check = HealthCheck::get("/healthz").every(Duration::from_secs(10));
/// let proxy = Proxy::new("http://127.0.0.1:3000".parse()?).and("http://127.0.0.1:3001".parse()?).check(check);
/// # let _ = proxy.route("/");
/// # Ok::<(), lws_proxy::NotAnUpstream>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is checked before a proxy has it"]
pub struct HealthCheck {
    target: String,
    interval: Duration,
    timeout: Duration,
}

impl HealthCheck {
    /// Asks for `target`, a path with perhaps a query, whatever path the upstream has.
    pub fn get(target: impl Into<String>) -> Self {
        Self { target: target.into(), interval: Duration::from_secs(30), timeout: Duration::from_secs(5) }
    }

    /// How long from one check to the next. Default 30 s.
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long an answer may take. Default 5 s.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Begins to check the upstreams of a proxy, now and at each interval, for as long as the proxy is there.
pub(crate) fn begin(shared: &Rc<Shared>, check: &HealthCheck, cx: &mut Context<'_>) {
    ask_all(shared, check, cx);
    let (proxy, check) = (Rc::downgrade(shared), check.clone());
    let timer = Rc::new(Cell::new(None));
    let own = Rc::clone(&timer);
    timer.set(Some(cx.every(check.interval, move |cx| match proxy.upgrade() {
        Some(shared) => ask_all(&shared, &check, cx),
        // Its route has gone.
        None => {
            if let Some(timer) = own.take() {
                cx.cancel(timer);
            }
        }
    })));
}

fn ask_all(shared: &Rc<Shared>, check: &HealthCheck, cx: &mut Context<'_>) {
    for index in 0..shared.balance.len() {
        let upstream = shared.balance.upstream(index);
        let mut request = Request::new("GET", upstream.url.clone());
        request.target = Some(check.target.clone());
        let mut options = upstream.options(cx);
        options.timeout = Some(check.timeout);
        // Requests that wait for a connection are not in its way.
        options.isolation = Some("health".into());
        request.options = Some(options);
        let proxy = Rc::downgrade(shared);
        // It ends by its timeout, whatever becomes of the proxy.
        cx.fetch(request, BYTES_MAX, move |cx, outcome| note(&proxy, cx, index, &outcome)).detach();
    }
}

fn note(proxy: &Weak<Shared>, cx: &Context<'_>, index: usize, outcome: &Result<Response, Failure>) {
    let Some(shared) = proxy.upgrade() else { return };
    match outcome {
        Ok(response) => shared.balance.checked(cx.now(), index, response.head.status.is_success()),
        // A connection that is not made in time is the upstream's, though the request has not left the pool.
        Err(failure)
            if outcome::is_upstreams(failure)
                || matches!(failure.cause, Cause::TimedOut(Deadline::Total)) =>
        {
            shared.balance.checked(cx.now(), index, false);
        }
        // It did not get as far as to the upstream.
        Err(_) => {}
    }
}
