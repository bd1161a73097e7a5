//! Guards, which decide before an endpoint is called whether a request may go on, at once or later.
//!
//! Knows no kind of endpoint: requests and upgrades of every route pass the same way. What is done with an answer is `app/admission.rs`.

use crate::Context;
use crate::http::{Request, Response, Status};
use crate::thread::deferred::{Completer, Deferred};
use std::fmt;
use std::sync::Arc;

/// Decides whether a request may go on to the endpoint of its route: by a password, a token, a session, or whatever else a request
/// shows. It is asked for requests and for opening handshakes of WebSockets, whatever the route leads to.
///
/// A route has two: [`RouteOptions::interceptor`](crate::RouteOptions::interceptor) is asked first, then
/// [`RouteOptions::authentication`](crate::RouteOptions::authentication). They are shared by the threads of a server. Redirects
/// ([`Redirect`](crate::Redirect)) are sent before, as they show nothing.
///
/// Closures are guards, too:
///
/// ```
/// use lws_server::http::{Request, Response, Status};
/// use lws_server::{Admission, Context, Gate, Route};
///
/// let gate = Gate::new(|_: &mut Context<'_>, request: &Request<'_>| match request.get("authorization") {
///     Some(b"Bearer secret") => Admission::Granted,
///     _ => Response::error(Status::UNAUTHORIZED).field("WWW-Authenticate", "Bearer").into(),
/// });
/// let route = Route::get("/", |_| Response::text("for those who know")).authentication(gate);
/// ```
#[doc(alias = "LWS_CALLBACK_HTTP_INTERCEPTOR_CHECK")]
pub trait Guard: Send + Sync + 'static {
    /// Decides about a request. Its content has not come yet, and does not come before the decision.
    fn admit(&self, cx: &mut Context<'_>, request: &Request<'_>) -> Admission;
}

impl<F: Fn(&mut Context<'_>, &Request<'_>) -> Admission + Send + Sync + 'static> Guard for F {
    fn admit(&self, cx: &mut Context<'_>, request: &Request<'_>) -> Admission {
        self(cx, request)
    }
}

/// What a [`Guard`] says.
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// The request goes on.
    Granted,
    /// It is answered with this instead.
    Refused(Response),
    /// It is decided later: see [`Admission::later`].
    Later(Later),
}

impl From<Response> for Admission {
    fn from(response: Response) -> Self {
        Self::Refused(response)
    }
}

/// A decision that is made later.
pub struct Later(pub(crate) Deferred<Result<(), Response>>);

/// Makes the decision that a request waits for, on whatever thread. The request waits for 30 s; then it is answered 503.
#[must_use = "a request waits for it"]
pub struct Decision(Completer<Result<(), Response>>);

impl Admission {
    /// A decision that is made later, and what makes it. The call has to be about a request, as it is in [`Guard::admit`]; for any other
    /// it is a refusal, and there is nothing to decide.
    pub fn later(cx: &Context<'_>) -> (Self, Option<Decision>) {
        match cx.deferred_result() {
            Some((deferred, completer)) => (Self::Later(Later(deferred)), Some(Decision(completer))),
            None => (Self::Refused(Response::error(Status::INTERNAL_SERVER_ERROR)), None),
        }
    }
}

impl Decision {
    /// The request goes on.
    pub fn grant(self) {
        self.0.complete(Ok(()));
    }

    /// It is answered with this instead.
    pub fn refuse(self, response: Response) {
        self.0.complete(Err(response));
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").finish_non_exhaustive()
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision").finish_non_exhaustive()
    }
}

/// A [`Guard`], shared by the routes and threads that have it.
#[derive(Clone)]
pub struct Gate(Option<Arc<dyn Guard>>);

impl Gate {
    /// One that this decides about.
    pub fn new(guard: impl Guard) -> Self {
        Self(Some(Arc::new(guard)))
    }

    /// One that lets everybody in: for a route whose site lets in only some.
    #[must_use]
    pub const fn open() -> Self {
        Self(None)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.0.is_some()).finish()
    }
}

/// The guards of one route, in the order in which they are asked. Most routes have none.
#[derive(Clone, Default)]
pub(crate) struct Guards(Option<Arc<[Arc<dyn Guard>]>>);

impl Guards {
    pub(crate) fn new(gates: [Option<&Gate>; 2]) -> Self {
        let guards: Arc<[_]> = gates.into_iter().flatten().filter_map(|gate| gate.0.clone()).collect();
        Self(Some(guards).filter(|guards| !guards.is_empty()))
    }

    /// Whether there are any.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.0.is_some()
    }

    /// Asks all that come behind the first `passed`. Answers with what the first one says that does not grant, and how many stand before it.
    pub(crate) fn ask(
        &self,
        passed: usize,
        cx: &mut Context<'_>,
        request: &Request<'_>,
    ) -> (usize, Admission) {
        let guards = self.0.iter().flat_map(|guards| guards.iter()).enumerate().skip(passed);
        for (at, guard) in guards {
            match guard.admit(cx, request) {
                Admission::Granted => {}
                other => return (at, other),
            }
        }
        (0, Admission::Granted)
    }
}
