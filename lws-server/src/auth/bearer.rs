//! Tokens. RFC 6750.

use super::{admit_with, quoted};
use crate::Context;
use crate::http::subrequest::Grant;
use crate::http::{Credentials, Request, Response, Status};
use crate::route::guard::{Admission, Gate, Guard};
use std::fmt;

/// Lets in who shows a token in `Authorization` that the application knows.
///
/// Without a token the answer is 401, with one that is malformed 400, and with one that `check` does not know 401, each with the challenge of
/// RFC 6750 §3. What has to be waited for to know a token is a [`Guard`] of its own, with
/// [`Request::credentials`](crate::http::Request::credentials).
///
/// ```
/// use lws_server::auth::Bearer;
/// use lws_server::{Grant, Route, http::Response};
///
/// let tokens = Bearer::new("api", |_, token| (token == "sesame").then(|| Grant::new().field("Remote-User", "ann")));
/// let whoami = Route::get("/whoami", |request| Response::text(request.text("Remote-User").unwrap_or_default().to_owned()));
/// let route = whoami.authentication(tokens.gate());
/// ```
pub struct Bearer<F> {
    realm: String,
    check: F,
}

impl<F: Fn(&mut Context<'_>, &str) -> Option<Grant> + Send + Sync + 'static> Bearer<F> {
    /// `realm` says to people what a token is for; `check` answers with what a request gets that shows the token, or `None`. It is called
    /// on the loop's thread, and must not wait.
    ///
    /// Tokens are best compared by a hash of them: the time that it takes to compare two texts tells how far they agree.
    #[must_use]
    pub fn new(realm: impl Into<String>, check: F) -> Self {
        Self { realm: quoted(&realm.into()), check }
    }

    /// The gate for routes.
    #[must_use]
    pub fn gate(self) -> Gate {
        Gate::new(self)
    }
}

impl<F> fmt::Debug for Bearer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl<F> Bearer<F> {
    fn refused(&self, status: Status, error: &str) -> Admission {
        let challenge = format!("Bearer realm={}{error}", self.realm);
        Response::error(status).field("WWW-Authenticate", challenge).into()
    }
}

impl<F: Fn(&mut Context<'_>, &str) -> Option<Grant> + Send + Sync + 'static> Guard for Bearer<F> {
    fn admit(&self, cx: &mut Context<'_>, request: &Request<'_>) -> Admission {
        match request.credentials() {
            Ok(Some(Credentials::Bearer(token))) => match (self.check)(cx, token) {
                Some(grant) => admit_with(cx, grant),
                None => self.refused(Status::UNAUTHORIZED, ", error=\"invalid_token\""),
            },
            // RFC 6750 §3.1: without credentials nothing is said of an error.
            Ok(_) => self.refused(Status::UNAUTHORIZED, ""),
            Err(_) => self.refused(Status::BAD_REQUEST, ", error=\"invalid_request\""),
        }
    }
}
