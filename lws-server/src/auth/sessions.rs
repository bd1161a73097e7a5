//! Sessions: a cookie names one, and the application knows what it may do.

use super::{admit_with, quoted};
use crate::Context;
use crate::http::subrequest::Grant;
use crate::http::{Method, Request, Response, Status};
use crate::route::guard::{Admission, Gate, Guard};
use std::sync::Arc;

/// What the application knows of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// What it may do, a bit for each right: which those are is the application's.
    pub rights: u32,
    /// What requests of the session get.
    pub grant: Grant,
}

impl Session {
    /// One that may do this.
    #[must_use]
    pub fn with(rights: u32, grant: Grant) -> Self {
        Self { rights, grant }
    }
}

type Find = dyn Fn(&mut Context<'_>, &str) -> Option<Session> + Send + Sync;

/// Lets in requests of sessions, which a cookie names.
///
/// The cookie should be one that cannot be guessed: a long random name of the session, or one that is signed
/// ([`CookieSigner`](crate::http::CookieSigner)). Browsers send it with requests of *every* page, so that routes behind it want
/// [`Origins::Same`](crate::Origins::Same).
///
/// ```
/// use lws_server::auth::{Session, Sessions};
/// use lws_server::{Grant, Origins, Route, http::Response};
///
/// const MAY_READ: u32 = 1;
/// let sessions = Sessions::new("session", |_, name| (name == "4711").then(|| Session::with(MAY_READ, Grant::new())));
/// let gate = sessions.login("/login").gate(MAY_READ);
/// let route = Route::get("/mail", |_| Response::text("no news")).authentication(gate).origins(Origins::Same);
/// ```
#[doc(alias = "LWS_CALLBACK_HTTP_CHECK_ACCESS_RIGHTS")]
#[derive(Clone)]
#[must_use = "a route has its gate"]
pub struct Sessions {
    cookie: String,
    login: Option<String>,
    find: Arc<Find>,
}

impl Sessions {
    /// Sessions that the cookie of this name names. `find` answers with the session of a cookie's value, or `None` if there is none any
    /// more. It is called on the loop's thread, and must not wait.
    pub fn new(
        cookie: impl Into<String>,
        find: impl Fn(&mut Context<'_>, &str) -> Option<Session> + Send + Sync + 'static,
    ) -> Self {
        Self { cookie: cookie.into(), login: None, find: Arc::new(find) }
    }

    /// Sessions that the cookie of this name carries itself, signed, so that nothing is kept here and any number of processes know them.
    /// Its value is `USER:RIGHTS:UNTIL`: a name, which may have colons, a decimal number with a bit for each right, and the Unix time in
    /// seconds at which the session ends. It cannot be ended before then, but by another key. What logs users in sets it by the same key:
    ///
    /// ```
    /// use lws_server::auth::Sessions;
    /// use lws_server::http::{Cookie, CookieSigner};
    ///
    /// let signer = CookieSigner::new(&[7; 32]).ok_or("a key of 32 octets")?;
    /// let cookie = signer.sign(Cookie::new("session", "anna:3:2000000000"));
    /// let gate = Sessions::signed("session", signer).login("/login").gate(3);
    /// # assert!(cookie.value().starts_with("anna:3:2000000000."));
    /// # Ok::<(), &str>(())
    /// ```
    #[cfg(feature = "signed-cookies")]
    pub fn signed(cookie: impl Into<String>, signer: crate::http::CookieSigner) -> Self {
        let cookie = cookie.into();
        let name = cookie.clone();
        Self::new(cookie, move |cx, value| {
            let value = signer.check(&name, value)?;
            let (rest, until) = value.rsplit_once(':')?;
            let (_user, rights) = rest.rsplit_once(':')?;
            let (until, now) = (until.parse::<u64>().ok()?, u64::from(cx.unix_seconds()));
            let rights = rights.parse().ok()?;
            // Without the time of day none is known to go on.
            (now != 0 && now < until).then(|| Session::with(rights, Grant::new()))
        })
    }

    /// The page to which people are sent who have no session, by 303. Programs and WebSockets are answered 401 all the same.
    pub fn login(mut self, path: impl Into<String>) -> Self {
        self.login = Some(path.into());
        self
    }

    /// The gate for routes that want all of these rights: 403 for sessions without. `auth_mask` of libwebsockets.
    #[doc(alias = "auth_mask")]
    #[must_use]
    pub fn gate(self, rights: u32) -> Gate {
        Gate::new(Wanting { sessions: self, rights })
    }

    fn unknown(&self, request: &Request<'_>) -> Response {
        match self.login.as_deref().filter(|_| is_navigation(request)) {
            Some(login) => Response::new(Status::SEE_OTHER).field("Location", login.to_owned()),
            // No registered scheme is about cookies, and RFC 9110 §15.5.2 wants one named.
            None => {
                let challenge = format!("Cookie cookie-name={}", quoted(&self.cookie));
                Response::error(Status::UNAUTHORIZED).field("WWW-Authenticate", challenge)
            }
        }
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

struct Wanting {
    sessions: Sessions,
    rights: u32,
}

impl Guard for Wanting {
    fn admit(&self, cx: &mut Context<'_>, request: &Request<'_>) -> Admission {
        let session = request.cookie(&self.sessions.cookie).and_then(|name| (self.sessions.find)(cx, name));
        match session {
            Some(session) if session.rights & self.rights == self.rights => admit_with(cx, session.grant),
            Some(_) => Response::error(Status::FORBIDDEN).into(),
            None => self.sessions.unknown(request).into(),
        }
    }
}

/// Whether a person goes there with a browser, and sees what is answered. Fetch Metadata §2.2.
fn is_navigation(request: &Request<'_>) -> bool {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return false;
    }
    match request.text("Sec-Fetch-Mode") {
        Some(mode) => mode == "navigate",
        None => request.text("Accept").is_some_and(|accept| accept.contains("text/html")),
    }
}
