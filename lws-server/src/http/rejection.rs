//! Why a request is refused that a helper was to make sense of.

use super::{Response, Status};
use std::borrow::Cow;
use std::fmt;

/// A request that a helper cannot make sense of: a status code of 4xx, and a sentence about why that a person can act on.
///
/// It becomes a response with that sentence as plain text, so that `?` works in factories and plain functions:
///
/// ```
/// use lws_server::http::{Rejection, Request, Response};
///
/// fn double(request: &Request<'_>) -> Result<Response, Rejection> {
///     let number: u32 = request.query_pairs()?.require("number")?;
///     Ok(Response::text((u64::from(number) * 2).to_string()))
/// }
/// # let _ = lws_server::Server::builder().get("/double", double);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    status: Status,
    reason: Cow<'static, str>,
}

impl Rejection {
    /// `reason` is for the peer, and must not quote what is secret.
    #[must_use]
    pub fn new(status: Status, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// 400.
    #[must_use]
    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::BAD_REQUEST, reason)
    }

    /// 413.
    pub(crate) fn too_large(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::CONTENT_TOO_LARGE, reason)
    }

    /// 415.
    pub(crate) fn unsupported(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::UNSUPPORTED_MEDIA_TYPE, reason)
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl From<Rejection> for Response {
    fn from(rejection: Rejection) -> Self {
        Self::text(format!("{}\n", rejection.reason)).status(rejection.status).reporting()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.code(), self.status.reason(), self.reason)
    }
}

impl std::error::Error for Rejection {}
