//! The objects in `vhosts`.

use super::global::{SECONDS_MAX, protocol_names};
use super::{Key, Shape, acme, limits, mount, read_object};
use crate::model::{
    AcceptAs, Acme, ClientTls, ErrorCodes, Listen, Mount, Numbers, OptionValue, PlainText, Protocol,
    Sessions, Tls, Vhost,
};
use crate::scalar::Reader;
use crate::tree::{Cursor, Value};
use std::path::PathBuf;
use std::time::Duration;

/// What libwebsockets gives a connection between requests where nothing is said.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the cookie of a signed session is called where nothing is said.
const SESSION_COOKIE: &str = "session";

const OPENSSL: &str = "it sets switches of OpenSSL, which does not stand behind TLS here";
const QUIC: &str = "QUIC is not spoken";
const CLIENT_CIPHERS: &str =
    "the suites and curves of connections to other servers are those of the TLS library";

/// A virtual host as far as it has been read.
#[derive(Debug, Default)]
pub(crate) struct HostDraft {
    name: Option<String>,
    port: Option<u16>,
    /// Whether a `port` stood there that could not be read, and was reported.
    port_is_wrong: bool,
    interface: Option<String>,
    unix: bool,
    socket_owner: Option<String>,
    tls_key: Option<PathBuf>,
    tls_certificates: Option<PathBuf>,
    tls_authorities: Option<PathBuf>,
    acme: Option<acme::AcmeDraft>,
    client_certificate: bool,
    may_be_missing: bool,
    ciphers: Option<String>,
    tls13_ciphers: Option<String>,
    curve: Option<String>,
    is_client: bool,
    client_tls: ClientTls,
    strict_transport_security: bool,
    access_log: Option<PathBuf>,
    keep_alive_timeout: Option<Duration>,
    ipv4_only: bool,
    ipv6_only: Option<bool>,
    headers: Vec<(String, String)>,
    raw_only: bool,
    not_found_page: Option<String>,
    error_pages: Vec<(ErrorCodes, String)>,
    alpn: Option<Vec<String>>,
    fast_open_queue: Option<u32>,
    strict_host: bool,
    accept_as: AcceptAs,
    plain_text: PlainText,
    websockets_need_protocol: bool,
    half_closed_long_poll: bool,
    session_key: Option<PathBuf>,
    session_cookie: Option<String>,
    session_login: Option<String>,
    limits: Numbers,
    mounts: Vec<Mount>,
    protocols: Vec<Protocol>,
}

pub(crate) static KEYS: &[Key<HostDraft>] = &[
    Key::read("name", Shape::Text, "the name that requests call it by", |vhost, at, reader| {
        vhost.name = reader.name(at)
    }),
    Key::read("port", Shape::Number, "the TCP port; 0 lets the system choose", |vhost, at, reader| {
        vhost.port = port(at, reader);
        vhost.port_is_wrong = vhost.port.is_none();
    }),
    Key::read(
        "interface",
        Shape::Text,
        "name or address of an interface, or path of a Unix socket",
        |vhost, at, reader| {
            vhost.interface = reader.text(at).filter(|name| !name.is_empty());
        },
    ),
    Key::read("unix-socket", Shape::Switch, "listen on the Unix socket in interface", |vhost, at, reader| {
        vhost.unix = reader.switch(at).unwrap_or_default();
    }),
    Key::read("unix-socket-perms", Shape::Text, "user:group of the Unix socket", |vhost, at, reader| {
        vhost.socket_owner = reader.name(at);
    }),
    Key::read("sts", Shape::Switch, "Strict-Transport-Security on all responses", |vhost, at, reader| {
        vhost.strict_transport_security = reader.switch(at).unwrap_or_default();
    }),
    Key::read("host-ssl-key", Shape::Text, "the private key in a PEM file", |vhost, at, reader| {
        vhost.tls_key = reader.path(at);
    }),
    Key::read("host-ssl-cert", Shape::Text, "the certificates in a PEM file", |vhost, at, reader| {
        vhost.tls_certificates = reader.path(at);
    }),
    Key::read("host-ssl-ca", Shape::Text, "the authorities in a PEM file", |vhost, at, reader| {
        vhost.tls_authorities = reader.path(at);
    }),
    Key::read("acme", Shape::Acme, "certificates that are ordered of an authority", |vhost, at, reader| {
        acme::read(&mut vhost.acme, at, reader);
    }),
    Key::read("access-log", Shape::Text, "the file of the access log", |vhost, at, reader| {
        vhost.access_log = reader.path(at);
    }),
    Key::read("keepalive_timeout", Shape::Number, "seconds a connection may be idle", |vhost, at, reader| {
        vhost.keep_alive_timeout = reader.count(at, SECONDS_MAX).map(Duration::from_secs);
    }),
    Key::read("enable-client-ssl", Shape::Switch, "TLS as a client", |vhost, at, reader| {
        vhost.is_client = reader.switch(at).unwrap_or_default();
    }),
    Key::read("ciphers", Shape::Text, "cipher suites of TLS 1.2", |vhost, at, reader| {
        vhost.ciphers = reader.text(at)
    }),
    Key::read("tls13-ciphers", Shape::Text, "cipher suites of TLS 1.3", |vhost, at, reader| {
        vhost.tls13_ciphers = reader.text(at);
    }),
    Key::read("ecdh-curve", Shape::Text, "the curve for the key exchange", |vhost, at, reader| {
        vhost.curve = reader.text(at);
    }),
    Key::read("client-ssl-key", Shape::Text, "the client's private key", |vhost, at, reader| {
        vhost.client_tls.key = reader.path(at);
    }),
    Key::read("client-ssl-cert", Shape::Text, "the client's certificates", |vhost, at, reader| {
        vhost.client_tls.certificates = reader.path(at);
    }),
    Key::read("client-ssl-ca", Shape::Text, "the authorities that the client trusts", |vhost, at, reader| {
        vhost.client_tls.authorities = reader.path(at);
    }),
    Key::ignored("client-ssl-ciphers", CLIENT_CIPHERS),
    Key::ignored("client-tls13-ciphers", CLIENT_CIPHERS),
    Key::ignored("client-ecdh-curve", CLIENT_CIPHERS),
    Key::read("noipv6", Shape::Switch, "listen on IPv4 only", |vhost, at, reader| {
        vhost.ipv4_only = reader.switch(at).unwrap_or_default();
    }),
    Key::read("ipv6only", Shape::Switch, "an IPv6 socket takes no IPv4", |vhost, at, reader| {
        vhost.ipv6_only = reader.switch(at);
    }),
    Key::ignored("ssl-option-set", OPENSSL),
    Key::ignored("ssl-option-clear", OPENSSL),
    Key::ignored("ssl-client-option-set", OPENSSL),
    Key::ignored("ssl-client-option-clear", OPENSSL),
    Key::read("limits", Shape::Limits, "what a peer may have of a connection", |vhost, at, reader| {
        read_object(&mut vhost.limits, at, limits::LIMITS, reader);
    }),
    Key::read("headers", Shape::Pairs, "fields of every response", |vhost, at, reader| {
        reader.pairs(at, &mut vhost.headers);
    }),
    Key::read(
        "onlyraw",
        Shape::Switch,
        "connections carry bytes for a protocol and no HTTP",
        |vhost, at, reader| {
            vhost.raw_only = reader.switch(at).unwrap_or_default();
        },
    ),
    Key::read(
        "client-cert-required",
        Shape::Switch,
        "clients must show a certificate",
        |vhost, at, reader| {
            vhost.client_certificate = reader.present(at).unwrap_or_default();
        },
    ),
    Key::read(
        "ignore-missing-cert",
        Shape::Switch,
        "wait for certificates that are not there yet",
        |vhost, at, reader| {
            vhost.may_be_missing = reader.switch(at).unwrap_or_default();
        },
    ),
    Key::read("error-document-404", Shape::Text, "the page for what is not found", |vhost, at, reader| {
        vhost.not_found_page = reader.name(at);
    }),
    Key::read(
        "error-documents",
        Shape::Pairs,
        "pages for errors, by status codes: 403, or 4xx and 5xx for all others",
        |vhost, at, reader| {
            error_pages(&mut vhost.error_pages, at, reader);
        },
    ),
    Key::read("alpn", Shape::Text, "what TLS offers, such as h2,http/1.1", |vhost, at, reader| {
        vhost.alpn = reader.text(at).map(|text| protocol_names(&text));
    }),
    Key::read("fo-listen-queue", Shape::Number, "queue of TCP Fast Open", |vhost, at, reader| {
        vhost.fast_open_queue = reader.count(at, i32::MAX.into()).filter(|queue| *queue > 0);
    }),
    Key::read(
        "strict-host-check",
        Shape::Switch,
        "refuse requests with the name of no host",
        |vhost, at, reader| {
            vhost.strict_host = reader.switch(at).unwrap_or_default();
        },
    ),
    Key::read(
        "listen-accept-role",
        Shape::Text,
        "role of connections that are no HTTP",
        |vhost, at, reader| {
            vhost.accept_as.role = reader.name(at);
        },
    ),
    Key::read(
        "listen-accept-protocol",
        Shape::Text,
        "protocol of connections that are no HTTP",
        |vhost, at, reader| {
            vhost.accept_as.protocol = reader.name(at);
        },
    ),
    Key::read("apply-listen-accept", Shape::Switch, "every connection is such a one", |vhost, at, reader| {
        vhost.accept_as.always = reader.switch(at).unwrap_or_default();
    }),
    Key::read(
        "fallback-listen-accept",
        Shape::Switch,
        "one that is no HTTP becomes such a one",
        |vhost, at, reader| {
            vhost.accept_as.as_fallback = reader.switch(at).unwrap_or_default();
        },
    ),
    Key::read("allow-non-tls", Shape::Switch, "serve plain text on a TLS port", |vhost, at, reader| {
        vhost.plain_text.allowed = reader.switch(at).unwrap_or_default();
    }),
    Key::read("redirect-http", Shape::Switch, "send plain text to https", |vhost, at, reader| {
        vhost.plain_text.redirected = reader.switch(at).unwrap_or_default();
    }),
    Key::read("allow-http-on-https", Shape::Switch, "serve plain HTTP on a TLS port", |vhost, at, reader| {
        vhost.plain_text.http_allowed = reader.switch(at).unwrap_or_default();
    }),
    Key::read(
        "disable-no-protocol-ws-upgrades",
        Shape::Switch,
        "WebSockets must name a protocol",
        |vhost, at, reader| {
            vhost.websockets_need_protocol = reader.present(at).unwrap_or_default();
        },
    ),
    Key::read(
        "h2-half-closed-long-poll",
        Shape::Switch,
        "answer clients that ended their side",
        |vhost, at, reader| {
            vhost.half_closed_long_poll = reader.switch(at).unwrap_or_default();
        },
    ),
    Key::read("session-key", Shape::Text, "the file of the key of signed sessions", |vhost, at, reader| {
        vhost.session_key = reader.path(at);
    }),
    Key::read("session-cookie", Shape::Text, "the cookie of a signed session", |vhost, at, reader| {
        vhost.session_cookie = cookie_name(at, reader);
    }),
    Key::read("session-login", Shape::Text, "where browsers without a session go", |vhost, at, reader| {
        vhost.session_login = reader.name(at);
    }),
    Key::ignored("dht", "there is no distributed hash table"),
    Key::ignored("quic-mtu", QUIC),
    Key::ignored("quic-preferred-addresses", QUIC),
    Key::read("mounts", Shape::Mounts, "what lies below which path", |vhost, at, reader| {
        mount::read(&mut vhost.mounts, at, reader);
    }),
    Key::read(
        "ws-protocols",
        Shape::Protocols,
        "protocols of WebSockets and raw streams",
        |vhost, at, reader| {
            protocols(&mut vhost.protocols, at, reader);
        },
    ),
];

/// Reads the array of virtual hosts.
pub(crate) fn read(vhosts: &mut Vec<Vhost>, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let options = reader.options;
    at.each_element(reader.report, |element, report| {
        let reader = &mut Reader { options, report };
        let mut draft = HostDraft::default();
        read_object(&mut draft, element, KEYS, reader);
        vhosts.extend(draft.finish(element, reader));
    });
}

/// A port. Junk behind it is an error: the port of a slip of the pen is one that somebody else has.
fn port(at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<u16> {
    let text = reader.text(at)?;
    let port = text.trim().parse::<u16>().ok();
    if port.is_none() {
        reader.report.error(at, format!("\"{text}\" is no port of 0 to 65535"));
    }
    port
}

/// The name of a cookie: a token, RFC 6265 §4.1.1.
fn cookie_name(at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.name(at)?;
    let is_token =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !is_token {
        reader.report.error(at, format!("\"{name}\" is no name of a cookie"));
    }
    is_token.then_some(name)
}

/// Pages by status codes.
fn error_pages(pages: &mut Vec<(ErrorCodes, String)>, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let mut pairs = Vec::new();
    reader.pairs(at, &mut pairs);
    for (codes, page) in pairs {
        match (error_codes(&codes), page.starts_with('/')) {
            (None, _) => {
                reader
                    .report
                    .error(at, format!("\"{codes}\" is neither a status code of 400 to 599 nor 4xx or 5xx"));
            }
            (_, false) => {
                reader
                    .report
                    .error(at, format!("the page \"{page}\" for {codes} does not begin with a slash"));
            }
            (Some(codes), true) => pages.push((codes, page)),
        }
    }
}

/// The status codes that `403`, `4xx` and `5xx` stand for.
fn error_codes(text: &str) -> Option<ErrorCodes> {
    match text {
        "4xx" => Some(ErrorCodes::ClientErrors),
        "5xx" => Some(ErrorCodes::ServerErrors),
        _ => {
            let code = text.parse().ok().filter(|code| text.len() == 3 && (400..=599).contains(code));
            code.map(ErrorCodes::One)
        }
    }
}

fn protocols(protocols: &mut Vec<Protocol>, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let options = reader.options;
    at.each_element(reader.report, |object, report| {
        object.each_member(report, |member, report| {
            let mut protocol = Protocol { name: member.name().to_owned(), ..Protocol::default() };
            member.each_member(report, |option, report| {
                let reader = &mut Reader { options, report };
                match option.name() {
                    "default" => protocol.is_default = reader.switch(option).unwrap_or_default(),
                    "raw" => protocol.is_raw = reader.switch(option).unwrap_or_default(),
                    "basic-auth" => protocol.basic_auth = reader.path(option),
                    _ => {}
                }
                protocol.options.push((option.name().to_owned(), option_value(option, reader)));
            });
            protocols.push(protocol);
        });
    });
}

/// An option as it stands; the depth of a file bounds that of the recursion.
fn option_value(at: &Cursor<'_>, reader: &mut Reader<'_>) -> OptionValue {
    let options = reader.options;
    match at.value() {
        Value::Text(_) => OptionValue::Text(reader.text(at).unwrap_or_default()),
        Value::Array(_) => {
            let mut list = Vec::new();
            at.each_element(reader.report, |element, report| {
                list.push(option_value(element, &mut Reader { options, report }));
            });
            OptionValue::List(list)
        }
        Value::Object(_) => {
            let mut members = Vec::new();
            at.each_member(reader.report, |member, report| {
                members
                    .push((member.name().to_owned(), option_value(member, &mut Reader { options, report })));
            });
            OptionValue::Object(members)
        }
    }
}

impl HostDraft {
    fn finish(mut self, at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<Vhost> {
        if self.name.is_none() {
            reader.report.error(at, "a virtual host without \"name\"");
        }
        // What the host itself says counts before `limits` of `global`.
        if let Some(timeout) = self.keep_alive_timeout {
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            self.limits.0.entry("keep-alive-timeout-ms").or_insert(millis);
        }
        let listen = self.listen(at, reader);
        let ordered = self.acme.take();
        let ordered = ordered.and_then(|draft| draft.finish(self.name.as_deref(), at, reader));
        let tls = self.tls(ordered.as_ref(), at, reader);
        acme::refuse_plugin(&self.protocols, at, reader);
        let client_tls = self.client_tls(at, reader);
        let sessions = self.sessions(at, reader);
        Some(Vhost {
            location: at.location(),
            name: self.name?,
            listen: listen?,
            tls,
            acme: ordered,
            client_tls,
            strict_transport_security: self.strict_transport_security,
            access_log: self.access_log,
            keep_alive_timeout: self.keep_alive_timeout.or(Some(KEEP_ALIVE_TIMEOUT)),
            ipv4_only: self.ipv4_only,
            ipv6_only: self.ipv6_only,
            headers: self.headers,
            raw_only: self.raw_only,
            not_found_page: self.not_found_page,
            error_pages: self.error_pages,
            alpn: self.alpn,
            fast_open_queue: self.fast_open_queue,
            strict_host: self.strict_host,
            accept_as: self.accept_as,
            plain_text: self.plain_text,
            websockets_need_protocol: self.websockets_need_protocol,
            half_closed_long_poll: self.half_closed_long_poll,
            sessions,
            limits: self.limits,
            mounts: self.mounts,
            protocols: self.protocols,
        })
    }

    fn listen(&mut self, at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<Listen> {
        let (interface, owner) = (self.interface.take(), self.socket_owner.take());
        if self.unix {
            if self.port.is_some() {
                reader.report.warning(at, "\"port\" has no effect beside \"unix-socket\"");
            }
            let Some(path) = interface else {
                reader.report.error(at, "\"unix-socket\" without the path of the socket in \"interface\"");
                return None;
            };
            return Some(Listen::Unix { path: path.into(), owner });
        }
        if owner.is_some() {
            reader.report.warning(at, "\"unix-socket-perms\" has no effect without \"unix-socket\"");
        }
        if self.port.is_none() && !self.port_is_wrong {
            reader.report.error(at, "a virtual host without \"port\" and without \"unix-socket\"");
        }
        Some(Listen::Tcp { port: self.port?, interface })
    }

    fn tls(&mut self, ordered: Option<&Acme>, at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<Tls> {
        let mut files = (self.tls_certificates.take(), self.tls_key.take());
        if let Some(acme) = ordered {
            if files != (None, None) {
                let message =
                    "\"host-ssl-cert\" and \"host-ssl-key\" cannot stand beside \"acme\", which orders them";
                reader.report.error(at, message);
            }
            // One file holds both.
            files = (Some(acme.certificate_file()), Some(acme.certificate_file()));
        }
        match files {
            (Some(certificates), Some(key)) => Some(Tls {
                certificates,
                key,
                authorities: self.tls_authorities.take(),
                client_certificate: self.client_certificate,
                may_be_missing: self.may_be_missing,
                ciphers: self.ciphers.take(),
                tls13_ciphers: self.tls13_ciphers.take(),
                curve: self.curve.take(),
            }),
            (None, None) => {
                if self.client_certificate || self.tls_authorities.is_some() {
                    reader
                        .report
                        .warning(at, "without \"host-ssl-cert\" and \"host-ssl-key\" there is no TLS");
                }
                None
            }
            (None, _) => {
                reader.report.error(at, "\"host-ssl-key\" without \"host-ssl-cert\"");
                None
            }
            (_, None) => {
                reader.report.error(at, "\"host-ssl-cert\" without \"host-ssl-key\"");
                None
            }
        }
    }

    fn sessions(&mut self, at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<Sessions> {
        let (cookie, login) = (self.session_cookie.take(), self.session_login.take());
        let Some(key) = self.session_key.take() else {
            if cookie.is_some() || login.is_some() {
                let message =
                    "\"session-cookie\" and \"session-login\" have no effect without \"session-key\"";
                reader.report.warning(at, message);
            }
            return None;
        };
        Some(Sessions { key, cookie: cookie.unwrap_or_else(|| SESSION_COOKIE.to_owned()), login })
    }

    fn client_tls(&mut self, at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<ClientTls> {
        let tls = std::mem::take(&mut self.client_tls);
        if !self.is_client && tls != ClientTls::default() {
            reader.report.warning(at, "the \"client-\" keys have no effect without \"enable-client-ssl\"");
        }
        self.is_client.then_some(tls)
    }
}
