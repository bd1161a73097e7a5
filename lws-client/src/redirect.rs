//! Where a redirect leads, and what of the request goes along. Pure. RFC 9110 §15.4.

use crate::Fields;
use crate::url::{Url, UrlError};
use std::fmt;

/// Which redirects are followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedirectRules {
    /// How many are followed. Default 0: a redirect is an answer. [`follow`](Self::follow) follows 10.
    pub hops_max: u32,
    /// Whether one may lead from `https` to `http`. Default no.
    pub to_plain: bool,
    /// Fields that are not sent on to another origin, beside those of credentials.
    pub private_fields: Vec<String>,
}

impl RedirectRules {
    /// Up to ten redirects are followed.
    #[must_use]
    pub fn follow() -> Self {
        Self { hops_max: 10, ..Self::default() }
    }
}

/// Why a redirect was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectError {
    /// There were [`RedirectRules::hops_max`] before it: most likely it is a circle.
    TooMany,
    /// It leads from `https` to `http`.
    ToPlain,
    /// There is more than one `Location`.
    Repeated,
    /// It leads to nothing that a client can ask for.
    Url(UrlError),
    /// The request's content has to be sent again, and is gone.
    NotReplayable,
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("too many redirects"),
            Self::ToPlain => f.write_str("a redirect from https to http"),
            Self::Repeated => f.write_str("a redirect to more than one location"),
            Self::Url(error) => write!(f, "a redirect to {error}"),
            Self::NotReplayable => f.write_str("a redirect of content that is gone"),
        }
    }
}

impl std::error::Error for RedirectError {}

/// The request that follows a redirect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NextHop {
    pub(crate) url: Url,
    /// `None` keeps method and content.
    pub(crate) method: Option<&'static str>,
    /// It leaves the origin: credentials stay behind.
    pub(crate) leaves: bool,
}

/// What is asked for now.
pub(crate) struct Hop<'a> {
    pub(crate) url: &'a Url,
    pub(crate) method: &'a str,
    /// Redirects that were followed before.
    pub(crate) hops: u32,
    /// The content can be sent again.
    pub(crate) replayable: bool,
}

impl Hop<'_> {
    /// Where a response leads; `None` if it is no redirect, or none is followed.
    pub(crate) fn next(
        &self,
        status: u16,
        fields: &Fields,
        rules: &RedirectRules,
    ) -> Option<Result<NextHop, RedirectError>> {
        let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
        if rules.hops_max == 0 || !is_redirect {
            return None;
        }
        let mut locations = fields.get_all("location");
        // RFC 9110 §15.4: without a Location it is an answer as any other.
        let location = locations.next()?;
        if locations.next().is_some() {
            return Some(Err(RedirectError::Repeated));
        }
        Some(self.lead(status, location, rules))
    }

    fn lead(&self, status: u16, location: &[u8], rules: &RedirectRules) -> Result<NextHop, RedirectError> {
        if self.hops >= rules.hops_max {
            return Err(RedirectError::TooMany);
        }
        let url = self.url.join(location).map_err(RedirectError::Url)?;
        let url = match (self.url.is_websocket(), url.is_websocket()) {
            // An opening handshake is a request of HTTP, and servers redirect it as one.
            (true, _) => url.into_websocket(),
            (false, true) => return Err(RedirectError::Url(UrlError::Scheme)),
            (false, false) => url,
        };
        if self.url.is_secure() && !url.is_secure() && !rules.to_plain {
            return Err(RedirectError::ToPlain);
        }
        // RFC 9110 §10.2.2: "the redirection inherits the fragment of the URI reference used to generate the target URI".
        let url = match (url.fragment(), self.url.fragment()) {
            (None, Some(fragment)) => url.with_fragment(Some(fragment)),
            _ => url,
        };
        let method = match (status, self.method) {
            // RFC 9110 §15.4.4: GET, but for HEAD.
            (303, "HEAD" | "GET") => None,
            (303, _) => Some("GET"),
            // RFC 9110 §15.4.2: "For historical reasons, a user agent MAY change the request method from POST to GET".
            (301 | 302, "POST") => Some("GET"),
            _ => None,
        };
        if method.is_none() && !self.replayable {
            return Err(RedirectError::NotReplayable);
        }
        let leaves = url.origin() != self.url.origin();
        Ok(NextHop { url, method, leaves })
    }
}

/// Fields that are for one origin alone.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "www-authenticate"];
/// Fields that describe the content. RFC 9110 §15.4.4 has them go with it.
const OF_CONTENT: [&str; 8] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
    "digest",
    "last-modified",
    "expect",
];

impl NextHop {
    /// Takes out of `fields` what does not go along. It is taken out of the request itself, so that a chain which comes back to
    /// its first origin does not bring credentials back.
    pub(crate) fn strip(&self, fields: &mut Fields, rules: &RedirectRules) {
        let is_of = |list: &[&str], name: &str| list.iter().any(|known| known.eq_ignore_ascii_case(name));
        fields.retain(|name| {
            let private = is_of(&CREDENTIALS, name)
                || rules.private_fields.iter().any(|it| it.eq_ignore_ascii_case(name));
            let content = is_of(&OF_CONTENT, name);
            !(self.leaves && private || self.method.is_some() && content)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(from: &str, method: &str, status: u16, location: &str) -> Result<NextHop, RedirectError> {
        let mut fields = Fields::new();
        fields.add("Location", location);
        let url = from.parse().expect("a URL");
        let hop = Hop { url: &url, method, hops: 0, replayable: true };
        hop.next(status, &fields, &RedirectRules::follow()).expect("a redirect")
    }

    #[test]
    fn the_method_changes_as_the_status_says() {
        for (status, method, expected) in [
            (301, "POST", Some("GET")),
            (302, "POST", Some("GET")),
            (301, "PUT", None),
            (302, "GET", None),
            (303, "POST", Some("GET")),
            (303, "PUT", Some("GET")),
            (303, "HEAD", None),
            (307, "POST", None),
            (308, "POST", None),
        ] {
            let next = next("http://a/", method, status, "/b").expect("a hop");
            assert_eq!(next.method, expected, "{status} {method}");
        }
    }

    #[test]
    fn any_change_of_scheme_host_or_port_leaves_the_origin() {
        for (from, to, leaves) in [
            ("http://a/x", "/y", false),
            ("http://a/x", "http://A:80/y", false),
            ("http://a/x", "http://a:81/y", true),
            ("http://a/x", "https://a/y", true),
            ("http://a:443/x", "https://a/y", true),
            ("http://a/x", "http://b/y", true),
            ("http://a/x", "http://sub.a/y", true),
        ] {
            assert_eq!(next(from, "GET", 302, to).expect("a hop").leaves, leaves, "{from} {to}");
        }
    }

    #[test]
    fn credentials_stay_behind_and_do_not_come_back() {
        let rules = RedirectRules { private_fields: vec!["X-Token".into()], ..RedirectRules::follow() };
        for status in [301, 302, 303, 307, 308] {
            let mut fields = Fields::new();
            for name in ["Authorization", "Cookie", "x-token", "Accept"] {
                fields.add(name, "v");
            }
            let same = next("http://a/", "GET", status, "/b").expect("a hop");
            same.strip(&mut fields, &rules);
            assert_eq!(fields.len(), 4, "{status}: the same origin keeps all");
            next("http://a/", "GET", status, "http://b/").expect("a hop").strip(&mut fields, &rules);
            next("http://b/", "GET", status, "http://a/").expect("a hop").strip(&mut fields, &rules);
            let names: Vec<_> = fields.iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["Accept"], "{status}");
        }
    }

    #[test]
    fn the_fields_of_the_content_go_with_it() {
        let mut fields = Fields::new();
        fields.add("Content-Type", "text/plain");
        fields.add("accept", "*/*");
        next("http://a/", "POST", 303, "/").expect("a hop").strip(&mut fields, &RedirectRules::follow());
        assert_eq!((fields.has("content-type"), fields.has("accept")), (false, true));
    }

    #[test]
    fn a_fragment_is_inherited() {
        assert_eq!(next("http://a/x#f", "GET", 302, "/y").expect("a hop").url.as_str(), "http://a/y#f");
        assert_eq!(next("http://a/x#f", "GET", 302, "/y#g").expect("a hop").url.as_str(), "http://a/y#g");
    }

    #[test]
    fn what_is_not_followed_says_why() {
        assert_eq!(next("https://a/", "GET", 302, "http://a/"), Err(RedirectError::ToPlain));
        assert_eq!(next("http://a/", "GET", 302, "file:///x"), Err(RedirectError::Url(UrlError::Scheme)));
        assert_eq!(next("http://a/", "GET", 302, "ws://a/"), Err(RedirectError::Url(UrlError::Scheme)));
        assert_eq!(next("wss://a/", "GET", 302, "http://a/"), Err(RedirectError::ToPlain));
        assert_eq!(next("ws://a/", "GET", 302, "https://a/b").expect("a hop").url.as_str(), "wss://a/b");
        let url: Url = "http://a/".parse().expect("a URL");
        let mut fields = Fields::new();
        let hop = Hop { url: &url, method: "POST", hops: 10, replayable: false };
        let rules = RedirectRules::follow();
        assert_eq!(hop.next(302, &fields, &rules), None, "no Location");
        fields.add("location", "/b");
        assert_eq!(hop.next(200, &fields, &rules), None);
        assert_eq!(hop.next(304, &fields, &rules), None);
        assert_eq!(hop.next(302, &fields, &RedirectRules::default()), None);
        assert_eq!(hop.next(302, &fields, &rules), Some(Err(RedirectError::TooMany)));
        let hop = Hop { hops: 9, ..hop };
        assert_eq!(hop.next(307, &fields, &rules), Some(Err(RedirectError::NotReplayable)));
        assert!(matches!(hop.next(303, &fields, &rules), Some(Ok(_))));
        fields.add("location", "/c");
        assert_eq!(hop.next(303, &fields, &rules), Some(Err(RedirectError::Repeated)));
    }
}
