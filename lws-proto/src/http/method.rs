//! Request methods. RFC 9110 §9.

use core::fmt;

/// A request method. RFC 9110 §9.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Transfer a representation. RFC 9110 §9.3.1.
    Get,
    /// Like GET, without the content. RFC 9110 §9.3.2.
    Head,
    /// Process the content. RFC 9110 §9.3.3.
    Post,
    /// Replace the representation. RFC 9110 §9.3.4.
    Put,
    /// Remove the representation. RFC 9110 §9.3.5.
    Delete,
    /// Make a tunnel. RFC 9110 §9.3.6.
    Connect,
    /// Describe what is possible. RFC 9110 §9.3.7.
    Options,
    /// Loop the request back. RFC 9110 §9.3.8.
    Trace,
    /// Change the representation in part. RFC 5789 §2.
    Patch,
    /// Process the content without asking for a change of state. RFC 10008.
    Query,
    /// Any other token; [`Head::method_name`](super::Head::method_name) has it.
    Other,
}

impl Method {
    /// The method that `token` names. Methods are case-sensitive. RFC 9110 §9.1.
    #[must_use]
    pub fn from_token(token: &str) -> Self {
        Self::from_bytes(token.as_bytes())
    }

    /// As [`from_token`](Self::from_token), of octets as they came.
    #[inline]
    pub(crate) fn from_bytes(token: &[u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            b"QUERY" => Self::Query,
            _ => Self::Other,
        }
    }

    /// The token that names the method; empty for [`Method::Other`].
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Query => "QUERY",
            Self::Other => "",
        }
    }

    /// Whether the method is safe: a client does not ask for any change of state with it. RFC 9110 §9.2.1.
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace | Self::Query)
    }

    /// Whether the method is idempotent: sending the request twice has the same effect as once, so that a client
    /// may retry it when the connection was lost. RFC 9110 §9.2.2.
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }
}

/// Whether `token` is a method that the registry of IANA has, one of [`Method`] or not. RFC 9110 §16.1.
///
/// A server answers one that it knows and does not have with 405, and 501 to one that it does not know. RFC 9110 §15.6.2.
#[must_use]
pub fn is_registered_method(token: &str) -> bool {
    const OTHERS: [&str; 30] = [
        "ACL",
        "BASELINE-CONTROL",
        "BIND",
        "CHECKIN",
        "CHECKOUT",
        "COPY",
        "LABEL",
        "LINK",
        "LOCK",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MKREDIRECTREF",
        "MKWORKSPACE",
        "MOVE",
        "ORDERPATCH",
        "PRI",
        "PROPFIND",
        "PROPPATCH",
        "REBIND",
        "REPORT",
        "SEARCH",
        "UNBIND",
        "UNCHECKOUT",
        "UNLINK",
        "UNLOCK",
        "UPDATE",
        "UPDATEREDIRECTREF",
        "VERSION-CONTROL",
    ];
    Method::from_token(token) != Method::Other || OTHERS.contains(&token)
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_its_token_in_that_case() {
        let all = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY";
        for token in all.split(' ') {
            assert_eq!(Method::from_token(token).token(), token);
        }
        for token in ["get", "Get", "", "BREW", "GETT", "query", "QUER"] {
            assert_eq!(Method::from_token(token), Method::Other, "{token:?}");
        }
    }

    #[test]
    fn a_registered_method_is_known_even_without_a_name_here() {
        for token in ["GET", "QUERY", "PROPFIND", "LOCK", "VERSION-CONTROL"] {
            assert!(is_registered_method(token), "{token}");
        }
        for token in ["", "BREW", "get", "propfind", "GETT"] {
            assert!(!is_registered_method(token), "{token}");
        }
    }

    #[test]
    fn safe_methods_are_idempotent_and_post_is_neither() {
        let idempotent = "GET HEAD PUT DELETE OPTIONS TRACE QUERY";
        for token in idempotent.split(' ') {
            assert!(Method::from_token(token).is_idempotent(), "{token}");
        }
        for token in ["POST", "PATCH", "CONNECT", "BREW"] {
            assert!(
                !Method::from_token(token).is_safe() && !Method::from_token(token).is_idempotent(),
                "{token}"
            );
        }
    }
}
