//! The JSON of NATS: what a server says of itself in `INFO`, and what a client says in `CONNECT`. Knows no connection.

use super::operation::WireViolation;
use crate::servers::SERVERS_MAX;
use serde_json::{Map, Value};
use std::fmt;

/// The longest address of a server in octets: a name of the DNS and a port.
const ADDRESS_BYTES_MAX: usize = 255 + 6;
/// What a server takes at the most in one message if it does not say so, as of its default.
const MAX_PAYLOAD: u64 = 1 << 20;

/// What a server says of itself. What a client has no use for is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// What the server calls itself, another name in each run.
    pub(super) server_id: Box<str>,
    /// The number of this connection at the server.
    pub(super) client_id: u64,
    /// The version of the server.
    pub(super) version: Box<str>,
    /// The largest message in octets, headers included, that the server takes.
    pub(super) max_payload: u64,
    /// Whether the server knows `echo` in `CONNECT`.
    pub(super) knows_echo: bool,
    /// Whether messages may have headers.
    pub(super) headers: bool,
    /// Whether the connection has to become one of TLS before `CONNECT`.
    pub(super) tls_required: bool,
    /// Whether the connection may become one of TLS.
    pub(super) tls_available: bool,
    /// Whether the server asks for user, password or token.
    pub(super) auth_required: bool,
    /// Whether the server asks for a signature of its nonce: NKEYs, which are not supported here.
    pub(super) has_nonce: bool,
    /// Servers of the cluster as `host:port`, [`SERVERS_MAX`] of them at the most.
    pub(super) connect_urls: Vec<Box<str>>,
}

impl ServerInfo {
    /// Reads what stands behind `INFO`. Members that are not known are passed over.
    ///
    /// # Errors
    /// It is no JSON object, or a member that matters is of another type than it has.
    pub(super) fn parse(json: &[u8]) -> Result<Self, WireViolation> {
        let Ok(Value::Object(members)) = serde_json::from_slice(json) else {
            return Err(WireViolation::Info);
        };
        Ok(Self {
            server_id: text(&members, "server_id")?,
            client_id: match members.get("client_id") {
                None => 0,
                Some(number) => number.as_u64().ok_or(WireViolation::Info)?,
            },
            version: text(&members, "version")?,
            max_payload: match members.get("max_payload") {
                None => MAX_PAYLOAD,
                Some(number) => number.as_u64().ok_or(WireViolation::Info)?,
            },
            knows_echo: match members.get("proto") {
                None => false,
                Some(number) => number.as_u64().ok_or(WireViolation::Info)? >= 1,
            },
            headers: flag(&members, "headers")?,
            tls_required: flag(&members, "tls_required")?,
            tls_available: flag(&members, "tls_available")?,
            auth_required: flag(&members, "auth_required")?,
            has_nonce: !text(&members, "nonce")?.is_empty(),
            connect_urls: addresses(&members)?,
        })
    }

    /// A subject that no other connection has: answers to this one come below it. `None` if the server does not say who it is.
    pub(super) fn inbox(&self) -> Option<String> {
        let is_token =
            |id: &str| (1..=64).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric());
        is_token(&self.server_id).then(|| format!("_INBOX.{}.{}", self.server_id, self.client_id))
    }
}

fn flag(members: &Map<String, Value>, name: &str) -> Result<bool, WireViolation> {
    members.get(name).map_or(Ok(false), |value| value.as_bool().ok_or(WireViolation::Info))
}

fn text(members: &Map<String, Value>, name: &str) -> Result<Box<str>, WireViolation> {
    members.get(name).map_or(Ok(""), |value| value.as_str().ok_or(WireViolation::Info)).map(Into::into)
}

/// The servers of the cluster. What is no address is left out.
fn addresses(members: &Map<String, Value>) -> Result<Vec<Box<str>>, WireViolation> {
    let listed = match members.get("connect_urls") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(listed) => listed.as_array().ok_or(WireViolation::Info)?,
    };
    let addresses = listed.iter().filter_map(Value::as_str).filter(|address| is_address(address));
    Ok(addresses.take(SERVERS_MAX).map(Into::into).collect())
}

/// `host:port`; an address of IPv6 stands in brackets.
pub(super) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = |host: &str| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
        match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(allowed),
        }
    };
    let is_port = |port: &str| {
        port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    text.len() <= ADDRESS_BYTES_MAX && is_host(host) && is_port(port)
}

/// How a server knows us.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// It does not ask.
    #[default]
    None,
    /// A user and its password.
    User {
        /// The name of the user.
        name: Box<str>,
        /// The password, in clear: use TLS, or a server on this machine.
        password: Box<str>,
    },
    /// A token that all clients share.
    Token(Box<str>),
}

impl fmt::Debug for Credentials {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::User { name, .. } => f.debug_struct("User").field("name", name).finish_non_exhaustive(),
            Self::Token(_) => f.write_str("Token(..)"),
        }
    }
}

/// The JSON behind `CONNECT`.
///
/// Without `echo` a connection does not receive what it has published itself. `protocol` 1: the server says when the cluster changes.
/// With `no_responders` it says when a question reaches no one.
#[must_use]
pub(super) fn connect_options(
    credentials: &Credentials,
    name: &str,
    tls: bool,
    echo: bool,
    no_responders: bool,
) -> String {
    let mut options = serde_json::json!({
        "verbose": false,
        "pedantic": false,
        "tls_required": tls,
        "echo": echo,
        "headers": true,
        "protocol": 1,
        "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"),
        "name": name,
    });
    if no_responders {
        options["no_responders"] = true.into();
    }
    match credentials {
        Credentials::None => {}
        Credentials::User { name, password } => {
            options["user"] = Value::from(&**name);
            options["pass"] = Value::from(&**password);
        }
        Credentials::Token(token) => options["auth_token"] = Value::from(&**token),
    }
    options.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_describes_itself() {
        // As a server 2.9.10 does.
        let json = br#"{"server_id":"NCQF","server_name":"NCQF","version":"2.9.10","proto":1,"go":"go1.19.8","host":"127.0.0.1",
            "port":4222,"headers":true,"tls_required":true,"max_payload":1024,"client_id":5,"client_ip":"127.0.0.1","nonce":"JP0",
            "connect_urls":["10.0.0.1:4222","[::1]:4223","not an address",7],"ldm":true}"#;
        let info = ServerInfo::parse(json).expect("it is one");
        assert_eq!((&*info.version, info.max_payload), ("2.9.10", 1_024));
        assert!(info.knows_echo && info.headers && info.tls_required && info.has_nonce);
        assert!(!info.auth_required && !info.tls_available);
        assert_eq!(info.connect_urls, ["10.0.0.1:4222".into(), "[::1]:4223".into()]);
        assert_eq!(info.inbox().as_deref(), Some("_INBOX.NCQF.5"));
        for id in ["", "a.b", "a*", &"a".repeat(65)] {
            let other = ServerInfo { server_id: id.into(), ..info.clone() };
            assert_eq!(other.inbox(), None, "{id}");
        }
        let least = ServerInfo::parse(b"{}").expect("it says nothing");
        assert!(!least.knows_echo);
        assert_eq!((least.max_payload, least.headers, least.connect_urls.len()), (1 << 20, false, 0));
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for json in [
            "",
            "[]",
            "{",
            "{} {}",
            r#"{"max_payload":-1}"#,
            r#"{"max_payload":"1"}"#,
            r#"{"headers":1}"#,
            r#"{"version":2}"#,
            r#"{"connect_urls":{}}"#,
        ] {
            assert_eq!(ServerInfo::parse(json.as_bytes()), Err(WireViolation::Info), "{json}");
        }
        // Nested without end.
        assert_eq!(ServerInfo::parse(&[b'['; 60_000]), Err(WireViolation::Info));
    }

    #[test]
    fn the_servers_of_a_cluster_have_a_bound() {
        let urls: Vec<_> = (1..=SERVERS_MAX + 1).map(|port| format!("\"a:{port}\"")).collect();
        let info = ServerInfo::parse(format!("{{\"connect_urls\":[{}]}}", urls.join(",")).as_bytes());
        assert_eq!(info.map(|info| info.connect_urls.len()), Ok(SERVERS_MAX));
        for good in ["a.example:1", "127.0.0.1:4222", "[::1]:65535", "my_host-2:4222"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "a",
            ":1",
            "a:",
            "a:0",
            "a:+1",
            "a:65536",
            "::1:4222",
            "[a]:1",
            "a/b:1",
            "a b:1",
            &"a".repeat(300),
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn a_client_says_who_it_is_and_what_it_wants() {
        let check = |credentials: Credentials, tls: bool, members: &[(&str, Value)]| {
            let options = connect_options(&credentials, "a \"name\"\r\n", tls, false, false);
            assert!(!options.contains(['\r', '\n']), "it is one line");
            let options: Value = serde_json::from_str(&options).expect("an object");
            for (name, value) in members {
                assert_eq!(options.get(name).unwrap_or(&Value::Null), value, "{name}");
            }
            assert_eq!(options["name"], "a \"name\"\r\n");
            assert_eq!((&options["echo"], &options["verbose"]), (&Value::from(false), &Value::from(false)));
        };
        check(
            Credentials::None,
            false,
            &[("user", Value::Null), ("auth_token", Value::Null), ("tls_required", false.into())],
        );
        let user = Credentials::User { name: "a".into(), password: "p\"\n".into() };
        check(
            user.clone(),
            true,
            &[("user", "a".into()), ("pass", "p\"\n".into()), ("tls_required", true.into())],
        );
        check(Credentials::Token("t".into()), false, &[("auth_token", "t".into()), ("user", Value::Null)]);
        assert_eq!(
            format!("{user:?} {:?}", Credentials::Token("t".into())),
            "User { name: \"a\", .. } Token(..)"
        );
    }
}
