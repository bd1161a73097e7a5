//! The names that a server answers for. RFC 9110 §7.4.
//!
//! A server that only this machine reaches is reached by every page in a browser on it, too: one whose name is made to mean a
//! loopback address asks as if it had come from there ("DNS rebinding"). So a local listener answers for local names only, and
//! for those that the server was given. With TLS the certificate keeps such a page out, before it can ask.

use lws_loop_external::Address;
use lws_proto::http::{Authority, Head, Target};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Host names. Without any, every name is served but on local listeners.
#[derive(Clone, Default)]
pub(crate) struct Hosts {
    /// In lower case and without their last dot.
    names: Vec<Box<str>>,
    /// Every name is served, on local listeners, too.
    any: bool,
}

/// By what a request has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// By TLS.
    pub(crate) secure: bool,
    /// By a listener that only this machine reaches.
    pub(crate) local: bool,
}

impl Arrival {
    /// Whether a page could have made its own name mean this listener, and be believed by a browser.
    fn needs_a_name(self) -> bool {
        self.local && !self.secure
    }
}

impl Hosts {
    /// `name` without a port; brackets around IPv6 addresses. `None` if it is no host name.
    #[must_use]
    pub(crate) fn add(&mut self, name: &str) -> Option<()> {
        let authority = Authority::parse(name).filter(|authority| authority.port().is_none())?;
        self.names.push(normal(authority.host()).to_ascii_lowercase().into());
        Some(())
    }

    /// Serves every name.
    pub(crate) fn add_any(&mut self) {
        self.any = true;
    }

    /// Whether a request has come to the right server: to one of the names, and by a scheme that is spoken here.
    ///
    /// `target` is that of `head`.
    #[inline]
    pub(crate) fn serve(&self, head: &Head<'_>, target: &str, arrival: Arrival) -> bool {
        target.starts_with('/') && (self.serve_all(arrival) || self.has_verbatim(head, arrival))
            || self.serve_target(head, arrival)
    }

    /// Whether the name does not matter.
    #[inline]
    fn serve_all(&self, arrival: Arrival) -> bool {
        self.any || self.names.is_empty() && !arrival.needs_a_name()
    }

    /// Whether `Host` is one of the names as it stands there. The engine has checked that it is an authority, so that a name with
    /// nothing or a port behind it is the whole host: this spares almost every request the parser.
    #[inline]
    fn has_verbatim(&self, head: &Head<'_>, arrival: Arrival) -> bool {
        let Some(field) = head.get("host") else { return false };
        let is = |name: &str| match field.split_at_checked(name.len()) {
            Some((host, rest)) => host == name.as_bytes() && matches!(rest, [] | [b':', ..]),
            None => false,
        };
        (arrival.needs_a_name() && LOCAL_NAMES.iter().any(|name| is(name)))
            || self.names.iter().any(|name| is(name))
    }

    #[cold]
    fn serve_target(&self, head: &Head<'_>, arrival: Arrival) -> bool {
        if let Some(Target::Absolute { scheme, .. }) = head.parsed_target()
            && !scheme.eq_ignore_ascii_case(if arrival.secure { "https" } else { "http" })
        {
            return false;
        }
        // A request of HTTP/1.0 may say nothing of a name; the engine has refused it in later versions. No browser leaves it out.
        let Some(authority) = head.authority() else { return true };
        let host = normal(authority.host());
        self.serve_all(arrival)
            || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
            || arrival.needs_a_name() && is_local_name(host)
    }
}

/// What browsers and tools write for this machine. Other spellings mean it, too: [`is_local_name`].
const LOCAL_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// A name may end with the dot of the root. RFC 3986 §3.2.2.
fn normal(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether a name can only mean this machine: `localhost`, or a loopback address. RFC 6761 §6.3.
fn is_local_name(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match literal {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok_and(|address| is_loopback(address.into())),
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<Ipv4Addr>().is_ok_and(|address| is_loopback(address.into()))
        }
    }
}

/// Whether only this machine reaches `address`. That of all interfaces is not local: others come by it, too.
pub(crate) fn is_local(address: &Address) -> bool {
    match address {
        Address::Tcp(address) => is_loopback(address.ip()),
        _ => true,
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_name_means_this_machine_whatever_a_name_server_says() {
        for name in
            ["localhost", "LocalHost", "127.0.0.1", "127.8.9.10", "[::1]", "[0:0::1]", "[::ffff:127.0.0.1]"]
        {
            assert!(is_local_name(name), "{name}");
        }
        for name in [
            "",
            "example.com",
            "localhost.example.com",
            "a.localhost",
            "0.0.0.0",
            "[::]",
            "128.0.0.1",
            "127.0.0.1.nip.io",
            "::1",
            "[::1",
            "127.1",
            "10.0.0.1",
            "[::ffff:0.0.0.0]",
            "[fe80::1]",
        ] {
            assert!(!is_local_name(name), "{name}");
        }
    }

    #[test]
    fn an_address_is_local_if_no_other_machine_reaches_it() {
        for (address, local) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("unix:/run/x", true),
            ("unix:@x", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(is_local(&address.parse().expect("an address")), local, "{address}");
        }
    }
}
