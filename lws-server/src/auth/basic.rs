//! Passwords: Basic credentials against files of `htpasswd`. RFC 7617.

use crate::Context;
use crate::http::{Request, Response, Status};
use crate::route::guard::{Admission, Gate, Guard};
use lws_files::{Credentials, Htpasswd, PasswordLimits, Passwords, Verdict, challenge};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// Lets in who has a password. Its [`gate`](Self::gate) is for [`Route::authentication`](crate::Route::authentication) and
/// [`Builder::authentication`](crate::Builder::authentication).
///
/// ```no_run
/// use lws_server::auth::{Basic, Htpasswd};
/// use lws_server::{Server, files::Files};
///
/// let users = Htpasswd::read("users.htpasswd")?;
/// for (line, problem) in users.problems() {
///     eprintln!("users.htpasswd:{line}: {problem}");
/// }
/// let gate = Basic::new(users, "private pages")?.gate();
/// let server = Server::builder().listen("127.0.0.1:7681").authentication(gate).files("/", "private").build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A password is hashed on a thread of its own pool, and what was right is believed for a minute. An address that has guessed wrong ten times
/// in a minute is answered 429 without work. Browsers send such credentials with every request, so that pages that change something want
/// [`Builder::same_origin`](crate::Builder::same_origin) beside them; and without TLS everybody on the way reads them.
#[doc(alias = "basic_auth_login_file")]
#[derive(Clone, Debug)]
#[must_use]
pub struct Basic {
    passwords: Passwords,
    challenge: String,
}

impl Basic {
    /// For `users`; `realm` says to them what the password is for.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn new(users: Htpasswd, realm: &str) -> io::Result<Self> {
        Ok(Self::with(Passwords::new(users, PasswordLimits::default())?, realm))
    }

    /// For passwords that are kept elsewhere too, to replace them while the server runs ([`Passwords::replace`]), or with limits of
    /// their own.
    pub fn with(passwords: Passwords, realm: &str) -> Self {
        Self { passwords, challenge: challenge(realm) }
    }

    /// The gate for routes.
    #[must_use]
    pub fn gate(self) -> Gate {
        Gate::new(self)
    }
}

impl Guard for Basic {
    fn admit(&self, cx: &mut Context<'_>, request: &Request<'_>) -> Admission {
        let unauthorized = unauthorized(&self.challenge);
        let credentials = request.get("authorization").and_then(Credentials::parse);
        let Some(credentials) = credentials else { return unauthorized.into() };
        // Peers of the same machine count together, and so do those whose address the system has forgotten.
        let address = cx.peer().ip().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        match self.passwords.check(&credentials, address, cx.now()) {
            Verdict::Accepted => Admission::Granted,
            Verdict::TooManyFailures => {
                Response::error(Status::TOO_MANY_REQUESTS).field("Retry-After", "60").into()
            }
            Verdict::Unknown => {
                let (admission, decision) = Admission::later(cx);
                let Some(decision) = decision else { return admission };
                let decide = move |right| match right {
                    true => decision.grant(),
                    false => decision.refuse(unauthorized),
                };
                let pool = &cx.state.group.pools.passwords;
                match self.passwords.verify(credentials, address, cx.now(), pool, decide) {
                    Ok(_) => admission,
                    Err(_) => Response::error(Status::SERVICE_UNAVAILABLE).field("Retry-After", "1").into(),
                }
            }
        }
    }
}

fn unauthorized(challenge: &str) -> Response {
    Response::error(Status::UNAUTHORIZED).field("WWW-Authenticate", challenge.to_owned())
}
