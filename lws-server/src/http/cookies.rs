//! Cookies in and out. RFC 6265.
//!
//! What a `Set-Cookie` may say is the crate `cookie`'s.

use super::media_type::is_token;
use super::{Rejection, Request, Response, Status};
pub use cookie::{Cookie, SameSite};
#[cfg(feature = "signed-cookies")]
pub use signed::CookieSigner;

/// Cookies of one request that are looked at; browsers keep 180 for a site at most.
const COOKIES_MAX: usize = 200;

impl<'a> Request<'a> {
    /// The cookies of the request, in order. `Path` and the like are not among what a browser sends.
    ///
    /// # Errors
    /// 400: one has no `=`, or is no text, or there are more than 200.
    pub fn cookies(&self) -> Result<Vec<Cookie<'a>>, Rejection> {
        let mut cookies = Vec::new();
        for line in self.get_all("Cookie") {
            let line = std::str::from_utf8(line);
            let line = line.map_err(|_| Rejection::bad_request("Cookie is no text"))?;
            let pieces = line.split(';').map(str::trim).filter(|piece| !piece.is_empty());
            for piece in pieces {
                if cookies.len() == COOKIES_MAX {
                    return Err(Rejection::bad_request(format!("more than {COOKIES_MAX} cookies")));
                }
                let (name, value) = piece
                    .split_once('=')
                    .filter(|(name, _)| !name.is_empty())
                    .ok_or_else(|| Rejection::bad_request("a cookie has no name and value"))?;
                cookies.push(Cookie::new(name.trim(), unquoted(value.trim())));
            }
        }
        Ok(cookies)
    }

    /// The value of the first cookie called `name`. What is malformed beside it does no harm.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let lines = self.get_all("Cookie").filter_map(|line| std::str::from_utf8(line).ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|piece| piece.split_once('='));
        let mut named = pairs.filter(|(known, _)| known.trim() == name);
        named.next().map(|(_, value)| unquoted(value.trim()))
    }
}

/// RFC 6265 §4.1.1: the quotes are not part of what is meant.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// Whether the cookie is written as what it is. RFC 6265 §4.1.1.
fn is_sound(cookie: &Cookie<'_>) -> bool {
    let is_octet = |octet| matches!(octet, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
    let is_attribute = |text: Option<&str>| {
        text.is_none_or(|text| text.bytes().all(|octet| matches!(octet, 0x20..=0x7e) && octet != b';'))
    };
    is_token(cookie.name())
        && unquoted(cookie.value()).bytes().all(is_octet)
        && is_attribute(cookie.path())
        && is_attribute(cookie.domain())
}

impl Response {
    /// Sets a cookie. Its name must be a token, and its value, path and domain what RFC 6265 §4.1.1 allows: another attribute could be
    /// smuggled in by a `;`. Everything else becomes a 500.
    ///
    /// ```
    /// use lws_server::http::{Cookie, Response, SameSite};
    ///
    /// let session = Cookie::build(("session", "4711")).path("/").http_only(true).secure(true).same_site(SameSite::Lax);
    /// let response = Response::text("welcome").cookie(session);
    /// ```
    pub fn cookie<'c>(self, cookie: impl Into<Cookie<'c>>) -> Self {
        let cookie = cookie.into();
        if !is_sound(&cookie) {
            return Self::error(Status::INTERNAL_SERVER_ERROR);
        }
        self.field("Set-Cookie", cookie.to_string())
    }

    /// Has the client forget the cookie called `name` that was set for `path`.
    pub fn forget_cookie(self, name: &str, path: &str) -> Self {
        let mut cookie = Cookie::build((name.to_owned(), "")).path(path.to_owned()).build();
        cookie.make_removal();
        self.cookie(cookie)
    }
}

#[cfg(feature = "signed-cookies")]
mod signed {
    use super::{Cookie, Request};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;
    use std::fmt;

    /// Signs cookies, so that changes are detected. Their values can still be read. HMAC-SHA256 over name and value.
    ///
    /// A signature says nothing of time: what is to end carries its end in its value.
    ///
    /// ```
    /// use lws_server::http::{Cookie, CookieSigner, Request, Response};
    ///
    /// let signer = CookieSigner::new(&[7; 32]).ok_or("a key of 32 octets")?;
    /// let greet = move |request: &Request<'_>| match signer.verify(request, "user") {
    ///     Some(user) => Response::text(format!("Hello again, {user}!")),
    ///     None => Response::text("Hello!").cookie(signer.sign(Cookie::new("user", "anna"))),
    /// };
    /// let server = lws_server::Server::builder().get("/", greet);
    /// # Ok::<(), &str>(())
    /// ```
    #[derive(Clone)]
    pub struct CookieSigner(Hmac<Sha256>);

    /// Octets of a secret, at least.
    const SECRET_BYTES_MIN: usize = 32;

    impl CookieSigner {
        /// With a secret of 32 octets or more that came from a source of random octets, and is the same for all processes of a
        /// service. `None` if it is shorter.
        #[must_use]
        pub fn new(secret: &[u8]) -> Option<Self> {
            let long_enough = secret.len() >= SECRET_BYTES_MIN;
            long_enough.then(|| Hmac::new_from_slice(secret).ok().map(Self))?
        }

        fn mac(&self, name: &str, value: &str) -> Hmac<Sha256> {
            let mut mac = self.0.clone();
            // A cookie whose name has a `=` is not sent, so that no two pairs look alike here.
            for part in [name, "=", value] {
                mac.update(part.as_bytes());
            }
            mac
        }

        /// The cookie with its signature behind its value: `value.signature`.
        #[must_use]
        pub fn sign<'c>(&self, cookie: impl Into<Cookie<'c>>) -> Cookie<'static> {
            let mut cookie = cookie.into().into_owned();
            let signature = self.mac(cookie.name(), cookie.value()).finalize().into_bytes();
            let signed = format!("{}.{}", cookie.value(), URL_SAFE_NO_PAD.encode(signature));
            cookie.set_value(signed);
            cookie
        }

        /// The value of the first cookie called `name`, if its signature is right.
        #[must_use]
        pub fn verify<'a>(&self, request: &Request<'a>, name: &str) -> Option<&'a str> {
            self.check(name, request.cookie(name)?)
        }

        /// The value of a cookie called `name` that came as `signed`, if its signature is right.
        #[must_use]
        pub fn check<'a>(&self, name: &str, signed: &'a str) -> Option<&'a str> {
            let (value, signature) = signed.rsplit_once('.')?;
            let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
            // In the same time whatever it is.
            self.mac(name, value).verify_slice(&signature).ok().map(|()| value)
        }
    }

    impl fmt::Debug for CookieSigner {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            // The key is a secret.
            f.debug_struct("CookieSigner").finish_non_exhaustive()
        }
    }
}
