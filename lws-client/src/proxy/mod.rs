//! Which proxy a request goes through, and how one is asked. RFC 9110 §7.6, RFC 1928.

mod socks5;

pub(crate) use socks5::Socks5;
pub use socks5::SocksError;

use crate::tls::Tls;
use crate::url::Url;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A proxy.
///
/// ```
/// use lws_client::Proxy;
///
/// let proxy: Proxy = "socks5h://user:password@127.0.0.1:1080".parse()?;
/// assert_eq!(format!("{proxy:?}"), r#"Proxy { kind: Socks5, host: "127.0.0.1", port: 1080, .. }"#);
/// # Ok::<(), lws_client::NotAProxy>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    pub(crate) kind: ProxyKind,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// User and password: part of a pool's key, as a proxy may treat its users differently.
    pub(crate) credentials: Option<(String, String)>,
    /// TLS to the proxy itself, which has its own identity.
    pub(crate) tls: Option<Tls>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ProxyKind {
    /// HTTP: `CONNECT` for TLS and WebSockets, absolute form for the rest.
    Http,
    /// SOCKS 5, which is given names and not addresses, so that no resolver of this side hears of them.
    Socks5,
}

/// A text that names no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAProxy;

impl Proxy {
    /// TLS to the proxy itself, which `https` in its URL asks for. Default that of the client.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The value of `Proxy-Authorization`. RFC 7617.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.credentials.as_ref().map(|(user, password)| basic(user, password))
    }
}

/// The credentials of Basic. RFC 7617 §2.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

impl FromStr for Proxy {
    type Err = NotAProxy;

    /// `http://`, `https://`, `socks5://` or `socks5h://`, perhaps a user and password, host and port. Without a scheme it is
    /// `http`.
    fn from_str(text: &str) -> Result<Self, NotAProxy> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        let (kind, port, secure) = match scheme.as_str() {
            "http" => (ProxyKind::Http, 80, false),
            "https" => (ProxyKind::Http, 443, true),
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080, false),
            _ => return Err(NotAProxy),
        };
        // The rules for hosts and user information are those of any URL.
        let url: Url = format!("ws://{rest}").parse().map_err(|_| NotAProxy)?;
        let given = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let given = given.split(['/', '?', '#']).next().unwrap_or_default();
        let has_port =
            given.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']') && !port.is_empty());
        let port = if has_port { url.port() } else { port };
        Ok(Self {
            kind,
            host: url.name().to_owned(),
            port,
            credentials: url.user_information(),
            tls: secure.then(Tls::default),
        })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for NotAProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the URL of a proxy")
    }
}

impl std::error::Error for NotAProxy {}

/// Which requests go through which proxy. By default none does: the environment counts only where
/// [`from_environment`](Self::from_environment) was called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyRules {
    /// For `http` and `ws`.
    pub plain: Option<Proxy>,
    /// For `https` and `wss`.
    pub secure: Option<Proxy>,
    /// Hosts that are asked directly.
    pub except: Exceptions,
}

impl ProxyRules {
    /// One proxy for everything.
    #[must_use]
    pub fn all(proxy: Proxy) -> Self {
        Self { plain: Some(proxy.clone()), secure: Some(proxy), except: Exceptions::default() }
    }

    /// What the variables `http_proxy`, `HTTPS_PROXY`, `https_proxy`, `ALL_PROXY`, `all_proxy`, `NO_PROXY` and `no_proxy` say; lower case
    /// comes first. `HTTP_PROXY` counts unless `REQUEST_METHOD` is set: a CGI program gets it from the `Proxy` field of
    /// the client's request.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same, from variables that `get` looks up.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let proxy =
            |names: &[&str]| names.iter().find_map(|name| set(name)).and_then(|text| text.parse().ok());
        let plain: &[&str] = match get("REQUEST_METHOD") {
            None => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
            Some(_) => &["http_proxy", "all_proxy", "ALL_PROXY"],
        };
        let except = set("no_proxy").or_else(|| set("NO_PROXY")).unwrap_or_default();
        Self {
            plain: proxy(plain),
            secure: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            except: Exceptions::parse(&except),
        }
    }

    /// The proxy for a URL.
    #[must_use]
    pub fn choose(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.is_secure() { self.secure.as_ref() } else { self.plain.as_ref() }?;
        (!self.except.matches(url.name(), url.port())).then_some(proxy)
    }
}

/// Hosts that are not asked through a proxy, as `no_proxy` lists them: `*`, names with everything below them, addresses,
/// networks (`10.0.0.0/8`), each perhaps with a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    host: ExceptedHost,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ExceptedHost {
    Any,
    /// A name and those below it, or with a leading dot only those below it.
    Name {
        name: String,
        itself: bool,
    },
    Network(IpAddr, u8),
}

/// Entries of a list that count; more are left out.
const EXCEPTIONS_MAX: usize = 1_024;

impl Exceptions {
    /// A list with commas or spaces. What is no entry is left out.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let entries = list.split([',', ' ']).filter(|entry| !entry.is_empty());
        Self(entries.filter_map(Exception::parse).take(EXCEPTIONS_MAX).collect())
    }

    /// Whether a host is asked directly.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        self.0.iter().any(|entry| {
            entry.port.is_none_or(|only| only == port)
                && match &entry.host {
                    ExceptedHost::Any => true,
                    ExceptedHost::Network(network, bits) => {
                        address.is_some_and(|address| is_within(address, *network, *bits))
                    }
                    ExceptedHost::Name { name, itself } => is_at_or_below(host, name, *itself),
                }
        })
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self { host: ExceptedHost::Any, port: None });
        }
        if let Some(host) = ExceptedHost::network(entry) {
            return Some(Self { host, port: None });
        }
        let (text, port) = match entry.rsplit_once(':') {
            Some((text, port)) => (text, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        if let Some(host) = ExceptedHost::network(text) {
            return Some(Self { host, port });
        }
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        let (name, itself) = match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
            Some(below) => (below.to_owned(), false),
            None => (name, true),
        };
        (!name.is_empty() && !name.contains('/'))
            .then_some(Self { host: ExceptedHost::Name { name, itself }, port })
    }
}

impl ExceptedHost {
    fn network(text: &str) -> Option<Self> {
        let (text, bits) = match text.split_once('/') {
            Some((text, bits)) => (text, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address: IpAddr = text.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self::Network(address, bits))
    }
}

fn is_at_or_below(host: &str, name: &str, itself: bool) -> bool {
    let Some(split) = host.len().checked_sub(name.len()) else { return false };
    let (front, back) = (host.get(..split).unwrap_or_default(), host.get(split..).unwrap_or_default());
    back.eq_ignore_ascii_case(name) && (front.ends_with('.') || front.is_empty() && itself)
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let shifted = |address: u128, width: u8| address.checked_shr(u32::from(width - bits)).unwrap_or(0);
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            shifted(address.to_bits().into(), 32) == shifted(network.to_bits().into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            shifted(address.to_bits(), 128) == shifted(network.to_bits(), 128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_with_a_port() {
        for (text, kind, host, port, secure) in [
            ("http://p:3128", ProxyKind::Http, "p", 3128, false),
            ("p:3128", ProxyKind::Http, "p", 3128, false),
            ("http://p/", ProxyKind::Http, "p", 80, false),
            ("http://p:80", ProxyKind::Http, "p", 80, false),
            ("https://p", ProxyKind::Http, "p", 443, true),
            ("https://p:80", ProxyKind::Http, "p", 80, true),
            ("socks5h://[::1]", ProxyKind::Socks5, "::1", 1080, false),
            ("SOCKS5://p:80", ProxyKind::Socks5, "p", 80, false),
        ] {
            let proxy: Proxy = text.parse().expect(text);
            let found = (proxy.kind, proxy.host.as_str(), proxy.port, proxy.tls.is_some());
            assert_eq!(found, (kind, host, port, secure), "{text}");
        }
        let proxy: Proxy = "http://us%40er:pw@p:1".parse().expect("a proxy");
        assert_eq!(proxy.authorization().as_deref(), Some("Basic dXNAZXI6cHc="));
        assert!(!format!("{proxy:?}").contains("pw"));
        for text in ["", "ftp://p", "http://", "socks4://p"] {
            assert_eq!(text.parse::<Proxy>(), Err(NotAProxy), "{text:?}");
        }
    }

    #[test]
    fn exceptions_are_names_addresses_networks_and_ports() {
        let list =
            Exceptions::parse("a.test, .b.test,*.c.test 10.0.0.0/8,[::1]:80,d.test:81,fe80::/10,192.0.2.1");
        for (host, port, matches) in [
            ("a.test", 1, true),
            ("x.A.test", 1, true),
            ("xa.test", 1, false),
            ("b.test", 1, false),
            ("x.b.test", 1, true),
            ("x.y.c.test", 1, true),
            ("10.255.0.1", 1, true),
            ("11.0.0.1", 1, false),
            ("::1", 80, true),
            ("::1", 81, false),
            ("d.test", 81, true),
            ("d.test", 80, false),
            ("febf::1", 1, true),
            ("fec0::1", 1, false),
            ("192.0.2.1", 1, true),
            ("192.0.2.2", 1, false),
        ] {
            assert_eq!(list.matches(host, port), matches, "{host}:{port}");
        }
        assert!(Exceptions::parse("*").matches("any", 1));
        assert!(Exceptions::parse("0.0.0.0/0").matches("1.2.3.4", 1));
        assert_eq!(Exceptions::parse("a:b, 10.0.0.0/33,,.").0.len(), 0);
    }

    #[test]
    fn the_environment_of_a_cgi_program_is_not_believed() {
        let variables = |names: &'static [(&'static str, &'static str)]| {
            ProxyRules::from_variables(move |name| {
                names.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let rules = variables(&[("HTTP_PROXY", "p:1"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(rules.plain, None);
        let rules = variables(&[("HTTP_PROXY", "p:1"), ("HTTPS_PROXY", "q:2"), ("NO_PROXY", "a.test")]);
        let chosen = |url: &str| rules.choose(&url.parse().expect("a URL")).map(|proxy| proxy.port);
        assert_eq!(chosen("http://b.test"), Some(1));
        assert_eq!(chosen("wss://b.test"), Some(2));
        assert_eq!(chosen("https://x.a.test"), None);
        assert_eq!(variables(&[("all_proxy", "r:3"), ("http_proxy", "")]).plain.map(|it| it.port), Some(3));
    }
}
