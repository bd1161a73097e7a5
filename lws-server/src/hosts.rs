//! The names that a server answers for. RFC 9110 §7.4.

use lws_proto::http::{Authority, Head, Target};

/// Host names, in lower case and without their last dot. None at all stands for every name.
#[derive(Clone, Default)]
pub(crate) struct Hosts(Vec<Box<str>>);

impl Hosts {
    /// `name` without a port; brackets around IPv6 addresses. `None` if it is no host name.
    #[must_use]
    pub(crate) fn add(&mut self, name: &str) -> Option<()> {
        let authority = Authority::parse(name).filter(|authority| authority.port().is_none())?;
        self.0.push(normal(authority.host()).to_ascii_lowercase().into());
        Some(())
    }

    /// Whether a request has come to the right server: to one of the names, and by a scheme that is spoken here.
    ///
    /// `target` is that of `head`; `secure` says whether it came by TLS.
    #[inline]
    pub(crate) fn serve(&self, head: &Head<'_>, target: &str, secure: bool) -> bool {
        (self.0.is_empty() && target.starts_with('/')) || self.serve_target(head, secure)
    }

    fn serve_target(&self, head: &Head<'_>, secure: bool) -> bool {
        if let Some(Target::Absolute { scheme, .. }) = head.parsed_target()
            && !scheme.eq_ignore_ascii_case(if secure { "https" } else { "http" })
        {
            return false;
        }
        // A request of HTTP/1.0 may say nothing of a name; the engine has refused it in later versions.
        let Some(authority) = head.authority() else { return true };
        self.0.is_empty() || self.0.iter().any(|name| name.eq_ignore_ascii_case(normal(authority.host())))
    }
}

/// A name may end with the dot of the root. RFC 3986 §3.2.2.
fn normal(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}
