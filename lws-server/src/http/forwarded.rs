//! Who a request is from, where proxies stand in front: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! A peer can write whatever it likes into these fields, so that they count only as far as trusted proxies have written them.

use super::Request;
use super::media_type::parameter;
use crate::Peer;
use ipnet::IpNet;
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Members of the fields that are looked at, from the last one on.
const HOPS_MAX: usize = 32;

/// The proxies whose word counts: those at these addresses, and those that come by a Unix socket if that is said.
///
/// ```
/// use lws_server::http::{Response, TrustedProxies};
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8", "192.0.2.7"])?;
/// let server = lws_server::Server::builder().get_with("/", move |cx, request| {
///     let client = proxies.client(cx.peer(), request);
///     Response::text(format!("{:?}", client.address))
/// });
/// # Ok::<(), lws_server::http::NoNetwork>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    unix: bool,
}

/// Who has sent a request, as far as trusted proxies tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// The address of the last hop that is no trusted proxy. `None` if it is not known: it came by a Unix socket, or a proxy hides it.
    pub address: Option<IpAddr>,
    /// Whether that hop came by TLS, if the proxy has said so.
    pub secure: Option<bool>,
    /// The `Host` that it asked for, if the proxy has said so and passes on another one.
    pub host: Option<String>,
}

/// What was given is no address and no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoNetwork(String);

impl fmt::Display for NoNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "neither an address nor a network, such as 10.0.0.0/8: {}", self.0)
    }
}

impl std::error::Error for NoNetwork {}

impl From<NoNetwork> for std::io::Error {
    fn from(error: NoNetwork) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}

impl TrustedProxies {
    /// Those at these addresses and in these networks: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.
    ///
    /// # Errors
    /// The first one that is neither.
    pub fn new<'n>(networks: impl IntoIterator<Item = &'n str>) -> Result<Self, NoNetwork> {
        let read = |text: &str| {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| NoNetwork(text.to_owned()))
        };
        let networks = networks.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { networks, unix: false })
    }

    /// Trusts every peer that comes by a Unix socket.
    #[must_use]
    pub fn and_unix_sockets(mut self) -> Self {
        self.unix = true;
        self
    }

    /// Whether an address is one of theirs.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether a peer is one of theirs.
    #[must_use]
    pub fn trusts(&self, peer: Peer) -> bool {
        match address_of(peer) {
            Some(address) => self.contains(address),
            None => self.unix && peer == Peer::Local,
        }
    }

    /// Who has sent `request`, whose connection is from `peer`: see [`Context::peer`](crate::Context::peer).
    ///
    /// The peer itself, unless it is a trusted proxy. Then it is what that one has appended to `Forwarded`, or else to
    /// `X-Forwarded-For`; and if that is a trusted proxy too, what that one has, and so on. What cannot be read ends the way: the
    /// address is not known then. Nor is it where both fields are there: proxies write one of them and pass the other on as a client
    /// has sent it, unless they are configured to delete it.
    #[must_use]
    pub fn client(&self, peer: Peer, request: &Request<'_>) -> Client {
        let mut client = Client { address: address_of(peer), secure: None, host: None };
        if !self.trusts(peer) {
            return client;
        }
        for hop in hops(request) {
            client = hop;
            if !client.address.is_some_and(|address| self.contains(address)) {
                break;
            }
        }
        client
    }
}

fn address_of(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Tcp(address) => Some(address.ip().to_canonical()),
        _ => None,
    }
}

/// What the proxies have written, the last one first.
fn hops(request: &Request<'_>) -> Vec<Client> {
    let lines = |name| request.get_all(name).map(String::from_utf8_lossy).collect::<Vec<_>>();
    let (standard, common) = (lines("Forwarded"), lines("X-Forwarded-For"));
    if !standard.is_empty() && !common.is_empty() {
        return vec![Client { address: None, secure: None, host: None }];
    }
    if !standard.is_empty() {
        return members(&standard).into_iter().map(forwarded).collect();
    }
    // These lists have no quotes: a comma always divides.
    let members = common.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS_MAX);
    let mut hops: Vec<_> =
        members.map(|member| Client { address: node(member.trim()), secure: None, host: None }).collect();
    // Of these fields the last line is the one that the last proxy has written, and it speaks of one hop only: the last.
    let last = |name| {
        let line = request.get_all(name).last().and_then(|line| std::str::from_utf8(line).ok())?;
        line.rsplit(',').next().map(str::trim)
    };
    if let Some(hop) = hops.first_mut() {
        hop.secure = last("X-Forwarded-Proto").and_then(is_secure);
        hop.host = last("X-Forwarded-Host").map(str::to_owned);
    }
    hops
}

/// The members of a list, the last one first, no more than count.
fn members<'l>(lines: &'l [Cow<'_, str>]) -> Vec<&'l str> {
    let mut members = Vec::new();
    for line in lines {
        let (mut quoted, mut escaped, mut start, before) = (false, false, 0, members.len());
        for (at, char) in line.char_indices() {
            match char {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ',' if !quoted => {
                    members.push(&line[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        members.push(&line[start..]);
        if quoted {
            // A quote that a client has left open turns the quotes of the proxies inside out: where their members begin is not known.
            members.truncate(before);
            members.push("unknown");
        }
    }
    members.into_iter().rev().take(HOPS_MAX).map(|member| member.trim_matches([' ', '\t'])).collect()
}

/// One member of `Forwarded`. RFC 7239 §4.
fn forwarded(member: &str) -> Client {
    Client {
        address: parameter(member, "for").and_then(|text| node(&text)),
        secure: parameter(member, "proto").and_then(|text| is_secure(&text)),
        host: parameter(member, "host").map(Cow::into_owned),
    }
}

/// An address with or without a port. `unknown` and names that hide one are none. RFC 7239 §6.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

fn is_secure(scheme: &str) -> Option<bool> {
    match scheme {
        scheme if scheme.eq_ignore_ascii_case("https") => Some(true),
        scheme if scheme.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads::with_head;
    use crate::http::Routed;

    fn client(peer: &str, fields: &str) -> Client {
        let proxies = TrustedProxies::new(["10.0.0.0/8", "2001:db8::/32"]).expect("networks");
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let peer = match peer {
            "unix" => Peer::Local,
            address => Peer::Tcp(SocketAddr::new(address.parse().expect("an address"), 1)),
        };
        with_head(&request, |head| {
            let routed = Routed { path: "/", pattern: None, content_bytes_max: 0 };
            proxies.and_unix_sockets().client(peer, &Request::lent(*head, routed, false, None))
        })
    }

    #[test]
    fn only_what_trusted_proxies_have_written_counts() {
        let check = |peer: &str, fields: &str, expected: Option<&str>| {
            let expected = expected.map(|text| text.parse().expect("an address"));
            assert_eq!(client(peer, fields).address, expected, "{peer} {fields}");
        };
        check("192.0.2.1", "", Some("192.0.2.1"));
        check("192.0.2.1", "X-Forwarded-For: 203.0.113.9\r\n", Some("192.0.2.1"));
        check("10.0.0.1", "", Some("10.0.0.1"));
        check("10.0.0.1", "X-Forwarded-For: 203.0.113.9\r\n", Some("203.0.113.9"));
        check("::ffff:10.0.0.1", "X-Forwarded-For: 203.0.113.9\r\n", Some("203.0.113.9"));
        check("10.0.0.1", "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3\r\n", Some("203.0.113.9"));
        check(
            "10.0.0.1",
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.9\r\n",
            Some("203.0.113.9"),
        );
        check("10.0.0.1", "X-Forwarded-For: 10.2.2.2\r\n", Some("10.2.2.2"));
        check("10.0.0.1", "X-Forwarded-For: 6.6.6.6, nonsense\r\n", None);
        check("10.0.0.1", "Forwarded: for=203.0.113.9;proto=https\r\n", Some("203.0.113.9"));
        check("10.0.0.1", "Forwarded: for=\"[2001:db9::1]:4711\", for=10.0.0.2\r\n", Some("2001:db9::1"));
        check("10.0.0.1", "Forwarded: for=6.6.6.6, for=_hidden\r\n", None);
        check("10.0.0.1", "Forwarded: for=unknown\r\nX-Forwarded-For: 6.6.6.6\r\n", None);
        check(
            "10.0.0.1",
            "Forwarded: for=6.6.6.6, host=\"a,for=7.7.7.7\";for=203.0.113.9\r\n",
            Some("203.0.113.9"),
        );
        check("unix", "X-Forwarded-For: 203.0.113.9\r\n", Some("203.0.113.9"));
        // What a client has written ahead of the proxy's.
        check("10.0.0.1", "Forwarded: for=127.0.0.1\r\nX-Forwarded-For: 203.0.113.9\r\n", None);
        check("10.0.0.1", "X-Forwarded-For: \", 203.0.113.9\r\n", Some("203.0.113.9"));
        check("10.0.0.1", "X-Forwarded-For: \u{fc}, 203.0.113.9\r\n", Some("203.0.113.9"));
        check("10.0.0.1", "Forwarded: for=\", for=203.0.113.9;host=\"a,for=7.7.7.7;host=b\"\r\n", None);
    }

    #[test]
    fn a_proxy_says_how_it_was_asked() {
        let is = client("10.0.0.1", "Forwarded: for=203.0.113.9;proto=https;host=\"a.example:1\"\r\n");
        assert_eq!((is.secure, is.host.as_deref()), (Some(true), Some("a.example:1")));
        let is = client("10.0.0.1", "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n");
        assert_eq!((is.secure, is.host), (Some(false), None));
        let is = client(
            "10.0.0.1",
            "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n",
        );
        assert_eq!(is.secure, Some(false), "the first line is the client's");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["10.0.0.0/33", "example.com", "", "10.0.0"] {
            assert!(TrustedProxies::new([text]).is_err(), "{text}");
        }
    }
}
