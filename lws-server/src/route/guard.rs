//! Guards, which decide before an endpoint is called whether a request may go on, at once or later.
//!
//! Knows no kind of endpoint: requests and upgrades of every route pass the same way. What is done with an answer is `app/admission.rs`.

use crate::Context;
use crate::http::subrequest::Grant;
use crate::http::{HeadBuf, Request, Response, Status};
use crate::thread::deferred::{Completer, Deferred};
use std::any::Any;
use std::borrow::Cow;
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
    /// What another route of the site answers decides: see [`Ask`].
    Ask(Ask),
}

impl From<Response> for Admission {
    fn from(response: Response) -> Self {
        Self::Refused(response)
    }
}

/// A decision that is made later.
pub struct Later {
    pub(crate) decision: Deferred<Result<Grant, Response>>,
    /// Kept for as long as the request waits.
    _held: Option<Box<dyn Any>>,
}

impl Later {
    /// Keeps `held` until the decision is made, or the request is gone: a request to another server, say, which is given up when it is dropped.
    pub fn holding(self, held: impl Any) -> Self {
        Self { _held: Some(Box::new(held)), ..self }
    }
}

impl From<Later> for Admission {
    fn from(later: Later) -> Self {
        Self::Later(later)
    }
}

/// Makes the decision that a request waits for, on whatever thread. The request waits for 30 s; then it is answered 503.
#[must_use = "a request waits for it"]
pub struct Decision(Completer<Result<Grant, Response>>);

/// A question about a request, in the form of another one: a GET of a route of the same site, with the fields of the request but those about its
/// content, its conditions and its ranges.
///
/// An answer of 2xx lets the request go on, and nothing of it reaches the peer but what the request [gets](Self::copy). Every other answer is
/// that of the request: a redirect to a page where people log in, or an error. So does the end of a route that is not there, or that
/// panics. The guards of the other route are asked as for any request; those that would ask again in the same words are not. The request waits
/// for as long as the other route takes, by the deadlines of that one.
///
/// ```
/// use lws_server::{Admission, Ask, Context, Gate, http::Request};
///
/// let gate = Gate::new(|_: &mut Context<'_>, request: &Request<'_>| -> Admission {
///     Ask::new("/auth").field("X-Original-URI", request.target()).copy(["Remote-User"]).into()
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use = "a guard answers with it"]
pub struct Ask {
    path: Cow<'static, str>,
    fields: Vec<(Cow<'static, str>, Vec<u8>)>,
    copied: Arc<[String]>,
}

/// What of a request is about its connection, its conditions or its range, and so does not hold for a question about it.
const NOT_ASKED: [&str; 15] = [
    "connection",
    "upgrade",
    "http2-settings",
    "keep-alive",
    "te",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
];

impl Ask {
    /// What the route at `path` answers decides.
    pub fn new(path: impl Into<Cow<'static, str>>) -> Self {
        Self { path: path.into(), fields: Vec::new(), copied: Arc::default() }
    }

    /// Adds a field to the question, in the place of all of its name that the request has.
    pub fn field(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The request gets these fields of an answer that lets it go on, in place of its own: also where the answer does not have them, as a
    /// client could have made them up.
    pub fn copy<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.copied = self.copied.iter().cloned().chain(names.into_iter().map(str::to_owned)).collect();
        self
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The names of the fields that the request gets.
    pub(crate) fn copied(&self) -> Arc<[String]> {
        Arc::clone(&self.copied)
    }

    /// The question about a request. `None` if the path is none, or a field cannot be written.
    pub(crate) fn head(&self, head: &HeadBuf) -> Option<HeadBuf> {
        let is_own = |name: &str| self.fields.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        let is_kept =
            |name: &str| !is_own(name) && !NOT_ASKED.iter().any(|other| other.eq_ignore_ascii_case(name));
        let added = self.fields.iter().map(|(name, value)| (&**name, value.as_slice()));
        head.local_redirect(&self.path)?.with_fields(is_kept, added)
    }
}

impl From<Ask> for Admission {
    fn from(ask: Ask) -> Self {
        Self::Ask(ask)
    }
}

impl Admission {
    /// A decision that is made later, and what makes it. The call has to be about a request, as it is in [`Guard::admit`]; for any other
    /// it is a refusal, and there is nothing to decide.
    pub fn later(cx: &Context<'_>) -> (Self, Option<Decision>) {
        match cx.deferred_result() {
            Some((decision, completer)) => {
                (Self::Later(Later { decision, _held: None }), Some(Decision(completer)))
            }
            None => (Self::Refused(Response::error(Status::INTERNAL_SERVER_ERROR)), None),
        }
    }
}

impl Decision {
    /// The request goes on.
    pub fn grant(self) {
        self.grant_with(Grant::new());
    }

    /// The request goes on, with other fields.
    pub fn grant_with(self, grant: Grant) {
        self.0.complete(Ok(grant));
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

/// One or several [`Guard`]s, shared by the routes and threads that have them.
#[derive(Clone)]
pub struct Gate(Vec<Arc<dyn Guard>>);

impl Gate {
    /// One that this decides about.
    pub fn new(guard: impl Guard) -> Self {
        Self(vec![Arc::new(guard)])
    }

    /// One that lets everybody in: for a route whose site lets in only some.
    #[must_use]
    pub const fn open() -> Self {
        Self(Vec::new())
    }

    /// This one, and behind it another: both have to let a request pass.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.0.len()).finish()
    }
}

/// The guards of one route, in the order in which they are asked. Most routes have none.
#[derive(Clone, Default)]
pub(crate) struct Guards(Option<Arc<[Arc<dyn Guard>]>>);

impl Guards {
    pub(crate) fn new(gates: [Option<&Gate>; 2]) -> Self {
        let guards: Arc<[_]> = gates.into_iter().flatten().flat_map(|gate| gate.0.iter().cloned()).collect();
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
