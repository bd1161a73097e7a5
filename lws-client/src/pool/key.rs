//! The key of connections in the pool.

use crate::options::{Options, RequestOptions, Versions};
use crate::proxy::{Proxy, ProxyKind};
use crate::tls::Tls;
use crate::url::{Origin, Url};
use lws_loop_external::Address;
use std::net::SocketAddr;
use std::sync::Arc;

/// The properties that two requests must share to use one connection: everything that determines its route, the
/// verification of the server, and the identity of this side. A connection that was made without verification is never
/// used for a request that verifies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) origin: Origin,
    /// The identity of TLS, whole.
    pub(crate) tls: Option<Tls>,
    pub(crate) versions: Versions,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) bind: Option<SocketAddr>,
    pub(crate) bind_device: Option<String>,
    /// Where it really goes to.
    pub(crate) addresses: Vec<Address>,
    pub(crate) isolation: Option<Arc<str>>,
    /// A WebSocket over HTTP/1.1 takes its connection along: it shares none.
    pub(crate) websocket: bool,
}

impl Key {
    pub(crate) fn new(url: &Url, request: &RequestOptions, options: &Options) -> Self {
        let origin = url.origin();
        let tls = origin.secure.then(|| request.tls.clone().unwrap_or_else(|| options.tls.clone()));
        let proxy = match &request.proxy {
            Some(proxy) => proxy.clone(),
            None => options.proxies.choose(url).cloned(),
        };
        let addresses = match &request.connect_to {
            Some(address) => vec![address.clone()],
            None => resolve(url, options),
        };
        // What goes to a socket by name goes through no proxy.
        let proxy = proxy.filter(|_| request.connect_to.is_none());
        let websocket = url.is_websocket();
        // HTTP/1.1 is what nearly every server takes WebSockets over: HTTP/2 is for those that are known to.
        let versions = match request.versions {
            Versions::Any if websocket => Versions::Http1,
            versions => versions,
        };
        Self {
            origin,
            tls,
            versions,
            proxy,
            bind: request.bind.or(options.connect.bind),
            bind_device: request.bind_device.clone().or_else(|| options.connect.bind_device.clone()),
            addresses,
            isolation: request.isolation.clone(),
            websocket: websocket && versions != Versions::Http2,
        }
    }

    /// Whether a connection of `other` can carry requests of this key if its server is the host of both. RFC 9113 §9.1.1.
    pub(crate) fn may_share(&self, other: &Self) -> bool {
        let mut alike = self.clone();
        alike.origin.host.clone_from(&other.origin.host);
        // What is reached is compared by the addresses that the connection and the name really have.
        alike.addresses.clone_from(&other.addresses);
        self.origin.secure && self.proxy.is_none() && !self.websocket && self != other && alike == *other
    }

    /// The protocols that TLS offers, the best first.
    pub(crate) fn alpn(&self) -> &'static [&'static str] {
        match self.versions {
            Versions::Any => &["h2", "http/1.1"],
            Versions::Http1 => &["http/1.1"],
            Versions::Http2 => &["h2"],
        }
    }

    /// Whether only the handshake tells which protocol will be spoken.
    pub(crate) fn protocol_is_open(&self) -> bool {
        self.versions == Versions::Any && self.tls.is_some()
    }

    /// Whether requests are sent to the proxy itself, in absolute form. RFC 9112 §3.2.2.
    pub(crate) fn is_absolute_form(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.kind == ProxyKind::Http) && !self.tunnels()
    }

    /// Whether the proxy is asked for a tunnel.
    pub(crate) fn tunnels(&self) -> bool {
        let Some(proxy) = &self.proxy else { return false };
        // RFC 6455 §4.1: a WebSocket through a proxy has a tunnel. So has HTTP/2, which plain proxies do not know.
        proxy.kind == ProxyKind::Socks5
            || self.origin.secure
            || self.websocket
            || self.versions == Versions::Http2
    }
}

fn resolve(url: &Url, options: &Options) -> Vec<Address> {
    let found = options.resolve.iter().find(|entry| {
        entry.host.eq_ignore_ascii_case(url.name()) && (entry.port == 0 || entry.port == url.port())
    });
    found.map(|entry| entry.addresses.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Override;
    use crate::proxy::ProxyRules;

    fn key(url: &str, change: impl FnOnce(&mut RequestOptions, &mut Options)) -> Key {
        let mut options = Options::default();
        let mut request = RequestOptions::default();
        change(&mut request, &mut options);
        Key::new(&url.parse().expect("a URL"), &request, &options)
    }

    #[test]
    fn requests_that_differ_in_nothing_share_a_connection() {
        let same = key("https://a.test/x", |_, _| {});
        assert_eq!(key("https://A.test.:443/y", |_, _| {}), same);
        assert_eq!(key("https://a.test/", |request, _| request.tls = Some(Tls::default())), same);
    }

    #[test]
    fn whatever_makes_two_connections_different_is_in_the_key() {
        type Change = fn(&mut RequestOptions, &mut Options);
        let rows: [(&str, Change); 11] = [
            ("server name", |request, _| request.tls = Some(Tls::default().server_name("b.test"))),
            ("TLS of the client", |_, options| options.tls = Tls::default().server_name("b.test")),
            ("proxy", |request, _| request.proxy = Some("p:1".parse().ok())),
            ("proxy rules", |_, options| {
                options.proxies = ProxyRules::all("p:1".parse().expect("a proxy"));
            }),
            ("bind", |request, _| request.bind = "127.0.0.1:0".parse().ok()),
            ("device", |request, _| request.bind_device = Some("lo".into())),
            ("socket", |request, _| request.connect_to = Some(Address::Unix("/x".into()))),
            ("tag", |request, _| request.isolation = Some("t".into())),
            ("version", |request, _| request.versions = Versions::Http1),
            ("override", |_, options| {
                let addresses = vec![Address::Tcp(([127, 0, 0, 1], 1).into())];
                options.resolve.push(Override { host: "a.test".into(), port: 443, addresses });
            }),
            ("client's bind", |_, options| options.connect.bind = "127.0.0.1:0".parse().ok()),
        ];
        let plain = key("https://a.test/", |_, _| {});
        for (what, change) in rows {
            assert_ne!(key("https://a.test/", change), plain, "{what}");
        }
        for url in ["http://a.test:443/", "https://b.test/", "https://a.test:444/", "wss://a.test/"] {
            assert_ne!(key(url, |_, _| {}), plain, "{url}");
        }
        let with = |proxy: &str| {
            let proxy: Proxy = proxy.parse().expect("a proxy");
            key("https://a.test/", |request, _| request.proxy = Some(Some(proxy)))
        };
        assert_ne!(with("u:a@p:1"), with("u:b@p:1"), "the credentials of the proxy");
    }

    #[test]
    fn origins_that_differ_in_their_host_alone_may_share_a_connection() {
        let plain = key("https://a.test/", |_, _| {});
        let addressed = key("https://b.test/", |request, _| {
            request.connect_to = Some(Address::Tcp(([127, 0, 0, 1], 443).into()));
        });
        assert!(key("https://b.test/x", |_, _| {}).may_share(&plain));
        assert!(addressed.may_share(&plain), "addresses are compared by what they are");
        for url in ["https://a.test/", "http://b.test/", "https://b.test:444/", "wss://b.test/"] {
            assert!(!key(url, |_, _| {}).may_share(&plain), "{url}");
        }
        type Change = fn(&mut RequestOptions, &mut Options);
        let rows: [(&str, Change); 5] = [
            ("server name", |request, _| request.tls = Some(Tls::default().server_name("b.test"))),
            ("proxy", |request, _| request.proxy = Some("p:1".parse().ok())),
            ("bind", |request, _| request.bind = "127.0.0.1:0".parse().ok()),
            ("tag", |request, _| request.isolation = Some("t".into())),
            ("version", |request, _| request.versions = Versions::Http2),
        ];
        for (what, change) in rows {
            assert!(!key("https://b.test/", change).may_share(&plain), "{what}");
        }
    }

    #[test]
    fn a_proxy_is_asked_for_a_tunnel_where_it_may_not_look() {
        let through = |proxy: &str, url: &str| {
            let proxy: Proxy = proxy.parse().expect("a proxy");
            key(url, |request, _| request.proxy = Some(Some(proxy)))
        };
        for (proxy, url, tunnels, absolute) in [
            ("http://p", "http://a/", false, true),
            ("http://p", "https://a/", true, false),
            ("http://p", "ws://a/", true, false),
            ("socks5://p", "http://a/", true, false),
        ] {
            let key = through(proxy, url);
            assert_eq!((key.tunnels(), key.is_absolute_form()), (tunnels, absolute), "{proxy} {url}");
        }
        assert!(!key("https://a/", |_, _| {}).tunnels());
    }
}
