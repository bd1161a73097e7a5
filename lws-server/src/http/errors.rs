//! What responses say that report an error: the application may render them all, those of the engine too.
//!
//! Knows no site and no connection.

use super::accept::{best, matches_type, wishes_of};
use crate::site::served::can_be_written;
use crate::thread::panics;
use lws_files::Pool;
use lws_proto::http::{Head, Status};
use lws_proto::{Cause, RenderRefusal, Time};
pub use lws_proto::{ErrorContent, REFUSAL_BYTES_MAX};
use std::fmt;
use std::sync::Arc;

/// Says what the responses look like that report an error, on all threads: see [`Builder::errors`](crate::Builder::errors).
///
/// It is asked for each response that the application has not written itself: what the server answers in place of an endpoint (404, 405,
/// 503), what mounts of files refuse without a page of their own, what [`Response::error`](super::Response::error) and
/// [`Rejection`](super::Rejection) make, and what the engine answers to a request that it cannot understand (400, 408, 413, 414, 431). It changes the content and its type, and neither the status code nor the other
/// fields. A function with this argument is one.
///
/// ```
/// use lws_server::http::{ErrorContent, ErrorReport, Response, Status};
/// use lws_server::Server;
///
/// let server = Server::builder().get("/", |_| Response::error(Status::GONE)).errors(|error: &ErrorReport<'_>| {
///     let html = format!("<h1>{}</h1><p>{}", error.status().code(), error.status().reason());
///     Some(ErrorContent { content_type: "text/html; charset=utf-8".into(), content: html.into() })
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not render errors",
    label = "not a renderer of errors",
    note = "errors are rendered by what implements `lws_server::http::RenderError`, or by a function \
            `Fn(&ErrorReport<'_>) -> Option<ErrorContent>`"
)]
pub trait RenderError: Send + Sync + 'static {
    /// The content of the response. `None` leaves what the server says itself; so does what is longer than
    /// [`CONTENT_BYTES_MAX`], and of the engine's own refusals what is longer than [`REFUSAL_BYTES_MAX`]. It must not wait for anything, as
    /// it is called on the thread of the loop: what lies in files is read before.
    fn render(&self, error: &ErrorReport<'_>) -> Option<ErrorContent>;
}

impl<F: Fn(&ErrorReport<'_>) -> Option<ErrorContent> + Send + Sync + 'static> RenderError for F {
    fn render(&self, error: &ErrorReport<'_>) -> Option<ErrorContent> {
        self(error)
    }
}

const TYPE: &str = "Content-Type";

/// Bytes that rendered content may have.
pub const CONTENT_BYTES_MAX: usize = 1 << 20;

/// An error that a response is to report.
#[derive(Clone, Copy, Debug)]
pub struct ErrorReport<'a> {
    status: Status,
    reason: &'a str,
    wishes: Option<&'a Wishes>,
}

/// What is kept of a request for the case that it is refused.
#[derive(Clone, Debug)]
struct Wishes {
    target: Box<str>,
    accept: Box<str>,
}

impl ErrorReport<'_> {
    /// The status code of the response.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// A sentence about why, for a person: the reason phrase where nothing more is known. It may quote what the peer has written, and is
    /// not escaped.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.reason
    }

    /// The target as it was written. `None` of a request that could not be understood.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.wishes.map(|wishes| &*wishes.target)
    }

    /// The one of `offered` media types that the client would rather have: see [`Request::preferred_type`](super::Request::preferred_type).
    /// The first one if it does not say. Content that depends on it makes `Vary: Accept` due, which the response has.
    #[must_use]
    pub fn preferred_type<'o>(&self, offered: &[&'o str]) -> Option<&'o str> {
        let accept = self.wishes.map_or("", |wishes| &wishes.accept);
        best(&wishes_of([accept].into_iter()), offered, matches_type)
    }
}

/// What renders the errors of a site, shared by its threads.
#[derive(Clone)]
pub struct ErrorRenderer {
    renderer: Arc<dyn RenderError>,
    refresh: Option<Refresh>,
}

/// Has what a renderer keeps of files read again, on the pool, if it is time for that.
type Refresh = Arc<dyn Fn(Time, &Pool) + Send + Sync>;

impl ErrorRenderer {
    /// One for [`SiteSettings::errors`](crate::SiteSettings::errors).
    pub fn new(renderer: impl RenderError) -> Self {
        Self { renderer: Arc::new(renderer), refresh: None }
    }

    /// One that keeps something of files, which `refresh` has read again if it is time for that. It waits for nothing.
    pub(crate) fn refreshed(
        renderer: impl RenderError,
        refresh: impl Fn(Time, &Pool) + Send + Sync + 'static,
    ) -> Self {
        Self { refresh: Some(Arc::new(refresh)), ..Self::new(renderer) }
    }

    /// A panic leaves what the server says itself: it must not stand in the way of the report of another.
    fn render(&self, error: &ErrorReport<'_>, bytes_max: usize) -> Option<ErrorContent> {
        let content = panics::catch(|| self.renderer.render(error)).ok()??;
        // A response that cannot be written becomes a 500, which would be rendered in turn.
        let is_good = content.content.len() <= bytes_max && can_be_written(TYPE, &content.content_type);
        is_good.then_some(content)
    }
}

impl fmt::Debug for ErrorRenderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorRenderer").finish_non_exhaustive()
    }
}

impl RenderRefusal for ErrorRenderer {
    fn render(&self, status: Status, cause: Cause) -> Option<ErrorContent> {
        let reason = cause.message();
        self.render(&ErrorReport { status, reason, wishes: None }, REFUSAL_BYTES_MAX)
    }
}

/// What renders the errors of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct ErrorForm {
    renderer: ErrorRenderer,
    wishes: Wishes,
}

impl ErrorForm {
    #[cold]
    pub(crate) fn new(renderer: &ErrorRenderer, head: &Head<'_>) -> Self {
        let accept: Vec<_> = head.get_all("accept").map(String::from_utf8_lossy).collect();
        let wishes = Wishes { target: head.target().into(), accept: accept.join(",").into() };
        Self { renderer: renderer.clone(), wishes }
    }

    /// The exchange is over: what was sent of files may have to be read again.
    #[cold]
    pub(crate) fn refresh(&self, now: Time, pool: &Pool) {
        if let Some(refresh) = &self.renderer.refresh {
            refresh(now, pool);
        }
    }

    /// The content of a response that reports an error.
    pub(crate) fn content(&self, status: Status, reason: &str) -> Option<ErrorContent> {
        self.renderer.render(&ErrorReport { status, reason, wishes: Some(&self.wishes) }, CONTENT_BYTES_MAX)
    }
}
