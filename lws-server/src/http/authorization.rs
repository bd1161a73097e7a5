//! What a client says of who it is: `Authorization`. RFC 9110 §11.6.2.

use super::media_type::is_token;
use super::{Rejection, Request, Response, Status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// The credentials of a request. What they say is not checked.
///
/// `Debug` does not show what is secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials<'a> {
    /// A name and a password. RFC 7617.
    Basic {
        /// The name, without a colon.
        user: String,
        /// The password.
        password: String,
    },
    /// A token. RFC 6750 §2.1.
    Bearer(&'a str),
    /// Any other scheme, and what stands behind it.
    Other(&'a str, &'a str),
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { user, .. } => f.debug_struct("Basic").field("user", user).finish_non_exhaustive(),
            Self::Bearer(_) => f.write_str("Bearer(..)"),
            Self::Other(scheme, _) => write!(f, "Other({scheme:?}, ..)"),
        }
    }
}

impl<'a> Credentials<'a> {
    /// Reads the value of an `Authorization` field.
    ///
    /// # Errors
    /// 400: it has no scheme, or not what its scheme prescribes.
    pub fn parse(value: &'a str) -> Result<Self, Rejection> {
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        let rest = rest.trim_matches(' ');
        if !is_token(scheme) {
            return Err(Rejection::bad_request("Authorization has no scheme"));
        }
        if scheme.eq_ignore_ascii_case("Basic") {
            basic(rest)
                .ok_or_else(|| Rejection::bad_request("Authorization has no name and password for Basic"))
        } else if scheme.eq_ignore_ascii_case("Bearer") {
            let token = Some(rest).filter(|token| is_token68(token)).map(Self::Bearer);
            token.ok_or_else(|| Rejection::bad_request("Authorization has no token for Bearer"))
        } else {
            Ok(Self::Other(scheme, rest))
        }
    }
}

/// RFC 7617 §2.
fn basic<'a>(encoded: &str) -> Option<Credentials<'a>> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let has_control = decoded.chars().any(char::is_control);
    (!has_control).then(|| Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
}

/// RFC 9110 §11.2.
fn is_token68(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

impl<'a> Request<'a> {
    /// The credentials in `Authorization`. `None` if the request has none. RFC 9110 §11.6.2.
    ///
    /// # Errors
    /// 400: they are malformed, or there are two.
    pub fn credentials(&self) -> Result<Option<Credentials<'a>>, Rejection> {
        let mut values = self.get_all("Authorization");
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Rejection::bad_request("Authorization stands there twice"));
        }
        let text = std::str::from_utf8(value);
        let text = text.map_err(|_| Rejection::bad_request("Authorization is no text"))?;
        Credentials::parse(text).map(Some)
    }
}

impl Response {
    /// 401, which asks for a name and a password. `realm` is what the client shows, and must have no line break. RFC 7617 §2.
    pub fn ask_for_password(realm: &str) -> Self {
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"");
        Self::error(Status::UNAUTHORIZED).field("WWW-Authenticate", challenge)
    }

    /// 401, which asks for a token. RFC 6750 §3.
    pub fn ask_for_token() -> Self {
        Self::error(Status::UNAUTHORIZED).field("WWW-Authenticate", "Bearer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_have_a_scheme() {
        let check = |value: &str, expected: Option<Credentials<'_>>| {
            assert_eq!(Credentials::parse(value).ok(), expected, "{value}");
        };
        let basic = |user: &str, password: &str| {
            Some(Credentials::Basic { user: user.into(), password: password.into() })
        };
        check("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", basic("Aladdin", "open sesame"));
        check("basic  dGVzdDoxMjPCow==", basic("test", "123£"));
        check("Basic YTpiOmM=", basic("a", "b:c"));
        check("Basic YQ==", None);
        check("Basic YTo", None);
        check("Basic /w==", None);
        check("Basic YTpiAA==", None);
        check("Bearer abc.DEF-1~2+3/4==", Some(Credentials::Bearer("abc.DEF-1~2+3/4==")));
        check("Bearer", None);
        check("Bearer a b", None);
        check("Digest username=\"a\"", Some(Credentials::Other("Digest", "username=\"a\"")));
        check("", None);
        check("a/b c", None);
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let shown = format!("{:?}", Credentials::parse("Basic YTpiOmM="));
        assert!(shown.contains("\"a\"") && !shown.contains("b:c"), "{shown}");
    }
}
