//! The meta-variables of a request: all that a script learns of it but the content. RFC 3875 §4.1.
//!
//! Knows no process and no record: CGI makes an environment of them, FastCGI a stream of parameters.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use lws_proto::http::{Authority, Method, Target};
use lws_server::http::{Request, Version};
use lws_server::{Context, Peer};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Names and values, in the order in which they are set: of two with one name the later one holds.
pub(crate) type Variables = Vec<(String, Vec<u8>)>;

/// Fields that never become a variable of their own: they have one with another name, belong to the connection, or would set what
/// programs take for the configuration of their proxy (CVE-2016-5385).
const NOT_HANDED_ON: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "keep-alive",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a request says, without the types of the server.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) version: Version,
    /// As the peer wrote it.
    pub(crate) target: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) fields: Vec<(&'a str, &'a [u8])>,
}

/// What carries the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carrier {
    pub(crate) peer: Peer,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) secure: bool,
}

/// The part of a path that names a script, and the part that is for the script. Joined they are the path. RFC 3875 §3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptPath {
    pub(crate) name: Vec<u8>,
    pub(crate) info: Vec<u8>,
}

/// What an endpoint says of its scripts, the same for every request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `DOCUMENT_ROOT`, which `PATH_TRANSLATED` begins with.
    pub(crate) document_root: Option<PathBuf>,
    /// Whether a script gets `Authorization`, to check it by itself.
    pub(crate) authorization: bool,
    /// Whether the server has checked a password, whose user a script gets.
    pub(crate) authenticated: bool,
    /// Variables of the configuration, which come last.
    pub(crate) given: Vec<(String, Vec<u8>)>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(request: &Request<'a>) -> Self {
        Self {
            method: request.method_name(),
            version: request.version(),
            target: request.target(),
            query: request.query(),
            fields: request.fields().collect(),
        }
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The server that the request is meant for. RFC 9110 §7.2.
    fn authority(&self) -> Option<Authority<'a>> {
        if let Some(Target::Absolute { authority, .. }) = Target::parse(Method::Get, self.target) {
            return Some(authority);
        }
        Authority::parse(std::str::from_utf8(self.get("host")?).ok()?)
    }

    /// The server that the target itself names, as it is written there.
    fn named_authority(&self) -> Option<&'a str> {
        let Target::Absolute { .. } = Target::parse(Method::Get, self.target)? else { return None };
        let (_, rest) = self.target.split_once("://")?;
        rest.split(['/', '?']).next()
    }

    /// The user of Basic credentials. RFC 7617 §2.
    fn user(&self) -> Option<Vec<u8>> {
        let (scheme, credentials) = self.get("authorization")?.split_at_checked(6)?;
        let mut decoded = STANDARD.decode(credentials.trim_ascii()).ok()?;
        decoded.truncate(decoded.iter().position(|octet| *octet == b':')?);
        let is_name = scheme.eq_ignore_ascii_case(b"basic ") && !decoded.contains(&0);
        is_name.then_some(decoded)
    }

    /// The target as a path with its query, whichever form it has.
    fn uri(&self) -> Cow<'a, str> {
        match Target::parse(Method::Get, self.target) {
            Some(Target::Absolute { path, query, .. }) => {
                let path = if path.is_empty() { "/" } else { path };
                query.map_or(path.into(), |query| format!("{path}?{query}").into())
            }
            _ => self.target.into(),
        }
    }
}

impl Carrier {
    pub(crate) fn new(cx: &Context<'_>) -> Self {
        Self { peer: cx.peer(), local: cx.local_address(), secure: cx.tls().is_some() }
    }
}

impl ScriptPath {
    /// Divides a path in normal form behind its first `len` bytes, and decodes what is still escaped in it.
    ///
    /// `None` if that cannot be handed to a script: an escaped slash would become one that separates, an escaped backslash does so
    /// elsewhere, and control characters end lines and variables.
    pub(crate) fn divide(path: &str, len: usize) -> Option<Self> {
        let (name, info) = path.split_at_checked(len)?;
        Some(Self { name: decode(name)?, info: decode(info)? })
    }
}

/// Decodes the escapes that a path in normal form has left.
fn decode(path: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let byte = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
                if matches!(byte, b'/' | b'\\') || byte.is_ascii_control() {
                    return None;
                }
                byte
            }
            byte => byte,
        };
        decoded.push(byte);
    }
    Some(decoded)
}

/// The variables of a request. `length` is that of its content, if it has any.
pub(crate) fn variables(
    asked: &Asked<'_>,
    carrier: &Carrier,
    script: &ScriptPath,
    file: Option<&Path>,
    length: Option<u64>,
    settings: &Settings,
) -> Variables {
    let mut variables = Variables::new();
    let mut set = |name: &str, value: &[u8]| variables.push((name.to_owned(), value.to_vec()));
    set("GATEWAY_INTERFACE", b"CGI/1.1");
    set("SERVER_SOFTWARE", concat!("lws/", env!("CARGO_PKG_VERSION")).as_bytes());
    set("SERVER_PROTOCOL", protocol(asked.version));
    set("REQUEST_METHOD", asked.method.as_bytes());
    set("REQUEST_URI", asked.uri().as_bytes());
    set("QUERY_STRING", asked.query.unwrap_or_default().as_bytes());
    set("SCRIPT_NAME", &script.name);
    set_server(asked, carrier, &mut set);
    set_peer(carrier, &mut set);
    if !script.info.is_empty() {
        set("PATH_INFO", &script.info);
    }
    if let Some(root) = &settings.document_root {
        let root = root.as_os_str().as_encoded_bytes();
        set("DOCUMENT_ROOT", root);
        if !script.info.is_empty() {
            set("PATH_TRANSLATED", &[root, &script.info].concat());
        }
    }
    if let Some(file) = file {
        set("SCRIPT_FILENAME", file.as_os_str().as_encoded_bytes());
    }
    if let Some(length) = length {
        set("CONTENT_LENGTH", length.to_string().as_bytes());
    }
    if let Some(value) = asked.get("content-type") {
        set("CONTENT_TYPE", value);
    }
    if let Some(user) = settings.authenticated.then(|| asked.user()).flatten() {
        set("AUTH_TYPE", b"Basic");
        set("REMOTE_USER", &user);
    }
    variables.extend(fields(asked, settings.authorization));
    variables.extend(settings.given.iter().cloned());
    variables
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http2 => b"HTTP/2.0",
        _ => b"HTTP/1.1",
    }
}

/// The server that the request is for. RFC 3875 §4.1.14, §4.1.15.
fn set_server(asked: &Asked<'_>, carrier: &Carrier, set: &mut impl FnMut(&str, &[u8])) {
    let host = asked.authority().map(|authority| authority.host()).filter(|host| !host.is_empty());
    match (host, carrier.local) {
        (Some(host), _) => set("SERVER_NAME", host.as_bytes()),
        (None, Some(local)) => set("SERVER_NAME", bracketed(local.ip()).as_bytes()),
        (None, None) => set("SERVER_NAME", b"localhost"),
    }
    let usual = if carrier.secure { 443 } else { 80 };
    set("SERVER_PORT", carrier.local.map_or(usual, |local| local.port()).to_string().as_bytes());
    if let Some(local) = carrier.local {
        set("SERVER_ADDR", local.ip().to_canonical().to_string().as_bytes());
    }
    set("REQUEST_SCHEME", if carrier.secure { b"https" } else { b"http" });
    if carrier.secure {
        set("HTTPS", b"on");
    }
}

/// An address as a host name. RFC 3875 §4.1.14.
fn bracketed(ip: std::net::IpAddr) -> String {
    match ip.to_canonical() {
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    }
}

/// Who asks. A process of the same machine has no address, and programs expect one: it gets that of the loopback interface, as with
/// others who serve Unix sockets. RFC 3875 §4.1.8.
fn set_peer(carrier: &Carrier, set: &mut impl FnMut(&str, &[u8])) {
    match carrier.peer {
        Peer::Tcp(address) => {
            set("REMOTE_ADDR", address.ip().to_string().as_bytes());
            set("REMOTE_PORT", address.port().to_string().as_bytes());
        }
        Peer::Local => set("REMOTE_ADDR", b"127.0.0.1"),
        // A script may decide by it who is let in: an unknown peer is no local one.
        _ => set("REMOTE_ADDR", b""),
    }
}

/// The fields as `HTTP_*`: those of one name joined, as one list. RFC 3875 §4.1.18.
fn fields(asked: &Asked<'_>, authorization: bool) -> Variables {
    let mut variables = Variables::new();
    // RFC 9112 §3.2.2: a target that names a server stands for the `Host` beside it.
    let named = asked.named_authority();
    for (name, value) in &asked.fields {
        let value = named.filter(|_| name.eq_ignore_ascii_case("host")).map_or(*value, str::as_bytes);
        let Some(name) = field_variable(name, authorization) else { continue };
        match variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, joined)) => {
                joined.extend_from_slice(if name == "HTTP_COOKIE" { b"; " } else { b", " });
                joined.extend_from_slice(value);
            }
            None => variables.push((name, value.to_vec())),
        }
    }
    variables
}

/// The name of the variable of a field. `None` of one that is not handed on: what has other characters than letters, digits and hyphens
/// could be taken for another field, as `X_Real_IP` for `X-Real-IP`.
fn field_variable(name: &str, authorization: bool) -> Option<String> {
    let is = |other: &&str| name.eq_ignore_ascii_case(other);
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_plain || NOT_HANDED_ON.iter().any(&is) || (is(&"authorization") && !authorization) {
        return None;
    }
    let upper = |char: char| if char == '-' { '_' } else { char.to_ascii_uppercase() };
    Some("HTTP_".chars().chain(name.chars().map(upper)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(target: &'a str, fields: &[(&'a str, &'a str)]) -> Asked<'a> {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let query = target.split_once('?').map(|(_, query)| query);
        Asked { method: "GET", version: Version::Http11, target, query, fields }
    }

    fn carrier() -> Carrier {
        let peer = Peer::Tcp("192.0.2.7:50000".parse().expect("an address"));
        Carrier { peer, local: Some("[2001:db8::1]:8080".parse().expect("an address")), secure: false }
    }

    fn script(name: &str, info: &str) -> ScriptPath {
        ScriptPath { name: name.into(), info: info.into() }
    }

    /// What `name` is set to, as a script sees it.
    fn value(variables: &Variables, name: &str) -> Option<String> {
        let found = variables.iter().rev().find(|(known, _)| known == name)?;
        Some(String::from_utf8_lossy(&found.1).into_owned())
    }

    fn check(asked: &Asked<'_>, carrier: &Carrier, settings: &Settings, wanted: &[(&str, Option<&str>)]) {
        let variables = variables(asked, carrier, &script("/cgi", "/x y"), None, None, settings);
        for (name, wanted) in wanted {
            assert_eq!(value(&variables, name).as_deref(), *wanted, "{name} of {asked:?}");
        }
    }

    #[test]
    fn a_script_learns_who_asks_whom_for_what() {
        check(
            &asked("/cgi/x%20y?a+b&c=%26", &[("Host", "example.org:8080")]),
            &carrier(),
            &Settings::default(),
            &[
                ("GATEWAY_INTERFACE", Some("CGI/1.1")),
                ("SERVER_PROTOCOL", Some("HTTP/1.1")),
                ("REQUEST_METHOD", Some("GET")),
                ("REQUEST_URI", Some("/cgi/x%20y?a+b&c=%26")),
                ("QUERY_STRING", Some("a+b&c=%26")),
                ("SCRIPT_NAME", Some("/cgi")),
                ("PATH_INFO", Some("/x y")),
                ("SERVER_NAME", Some("example.org")),
                ("SERVER_PORT", Some("8080")),
                ("SERVER_ADDR", Some("2001:db8::1")),
                ("REMOTE_ADDR", Some("192.0.2.7")),
                ("REMOTE_PORT", Some("50000")),
                ("HTTP_HOST", Some("example.org:8080")),
                ("REQUEST_SCHEME", Some("http")),
                ("HTTPS", None),
                ("CONTENT_LENGTH", None),
                ("PATH_TRANSLATED", None),
                ("DOCUMENT_ROOT", None),
            ],
        );
    }

    #[test]
    fn what_is_not_said_is_empty_or_absent_and_never_that_of_the_server() {
        let local = Carrier { peer: Peer::Local, local: None, secure: true };
        check(
            &asked("/cgi", &[]),
            &local,
            &Settings::default(),
            &[
                ("QUERY_STRING", Some("")),
                ("SERVER_NAME", Some("localhost")),
                ("SERVER_PORT", Some("443")),
                ("SERVER_ADDR", None),
                ("REMOTE_ADDR", Some("127.0.0.1")),
                ("REMOTE_PORT", None),
                ("HTTPS", Some("on")),
            ],
        );
        let unnamed = Carrier { peer: Peer::Unknown, ..carrier() };
        let wanted = [("SERVER_NAME", Some("[2001:db8::1]")), ("REMOTE_ADDR", Some(""))];
        check(&asked("/cgi", &[("Host", "")]), &unnamed, &Settings::default(), &wanted);
    }

    #[test]
    fn fields_become_variables_but_those_that_could_deceive() {
        check(
            &asked(
                "/cgi",
                &[
                    ("Accept", "a"),
                    ("accept", "b"),
                    ("Cookie", "c=1"),
                    ("cookie", "d=2"),
                    ("X-Real-IP", "1"),
                    ("X_Real_IP", "2"),
                    ("Proxy", "http://evil.example"),
                    ("Authorization", "Basic secret"),
                    ("Content-Type", "text/x"),
                    ("Content-Length", "3"),
                    ("Transfer-Encoding", "chunked"),
                    ("Connection", "x"),
                ],
            ),
            &carrier(),
            &Settings::default(),
            &[
                ("HTTP_ACCEPT", Some("a, b")),
                ("HTTP_COOKIE", Some("c=1; d=2")),
                ("HTTP_X_REAL_IP", Some("1")),
                ("HTTP_PROXY", None),
                ("HTTP_AUTHORIZATION", None),
                ("HTTP_CONTENT_TYPE", None),
                ("HTTP_CONTENT_LENGTH", None),
                ("CONTENT_TYPE", Some("text/x")),
                ("HTTP_TRANSFER_ENCODING", None),
                ("HTTP_CONNECTION", None),
            ],
        );
    }

    #[test]
    fn the_configuration_has_the_last_word() {
        let settings = Settings {
            document_root: Some("/srv/www".into()),
            authorization: true,
            authenticated: false,
            given: vec![("HTTP_ACCEPT".into(), b"mine".to_vec()), ("MORE".into(), b"1".to_vec())],
        };
        check(
            &asked("/cgi", &[("Accept", "theirs"), ("Authorization", "Basic x")]),
            &carrier(),
            &settings,
            &[
                ("HTTP_ACCEPT", Some("mine")),
                ("MORE", Some("1")),
                ("HTTP_AUTHORIZATION", Some("Basic x")),
                ("DOCUMENT_ROOT", Some("/srv/www")),
                ("PATH_TRANSLATED", Some("/srv/www/x y")),
            ],
        );
    }

    #[test]
    fn a_user_is_one_whose_password_was_checked() {
        let settings = Settings { authenticated: true, ..Settings::default() };
        let user = |value: &str, user: Option<&str>| {
            let wanted =
                [("REMOTE_USER", user), ("AUTH_TYPE", user.map(|_| "Basic")), ("HTTP_AUTHORIZATION", None)];
            check(&asked("/cgi", &[("Authorization", value)]), &carrier(), &settings, &wanted);
        };
        user("Basic bWU6c2VjcmV0", Some("me"));
        user("bASIC  bWU6", Some("me"));
        user("Basic bWU=", None);
        user("Basic bQB1Og==", None);
        user("Basic !", None);
        user("Bearer bWU6", None);
        user("Bas", None);
        let unchecked = asked("/cgi", &[("Authorization", "Basic bWU6c2VjcmV0")]);
        check(&unchecked, &carrier(), &Settings::default(), &[("REMOTE_USER", None), ("AUTH_TYPE", None)]);
    }

    #[test]
    fn a_target_in_absolute_form_names_the_server_and_is_handed_on_as_a_path() {
        check(
            &asked("http://a.example:1/cgi?q=/cgi", &[("Host", "b.example")]),
            &carrier(),
            &Settings::default(),
            &[
                ("SERVER_NAME", Some("a.example")),
                ("HTTP_HOST", Some("a.example:1")),
                ("REQUEST_URI", Some("/cgi?q=/cgi")),
            ],
        );
    }

    #[test]
    fn the_name_of_a_script_and_the_rest_are_the_path() {
        for (path, len, divided) in [
            ("/cgi/a b", 4, Some(("/cgi", "/a b"))),
            ("/cgi", 4, Some(("/cgi", ""))),
            ("/cgi/100%25", 4, Some(("/cgi", "/100%"))),
            ("/cgi/%252e%252e", 4, Some(("/cgi", "/%2e%2e"))),
            ("/\u{212a}/x", 4, Some(("/\u{212a}", "/x"))),
            ("/\u{212a}/x", 3, None),
            ("/cgi/a%2Fb", 4, None),
            ("/cgi/a%5Cb", 4, None),
            ("/cgi/a%00", 4, None),
            ("/cgi/a%0A", 4, None),
            ("/cgi", 5, None),
        ] {
            let divided = divided.map(|(name, info)| script(name, info));
            assert_eq!(ScriptPath::divide(path, len), divided, "{path} at {len}");
        }
        let octets = ScriptPath::divide("/cgi/%FF", 4).expect("it is data");
        assert_eq!(octets.info, b"/\xff");
    }
}
