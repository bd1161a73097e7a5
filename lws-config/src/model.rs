//! A configuration as data, in the words of its files.

use crate::print::REDACTED;
use crate::report::Location;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All that the files of a configuration say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Config {
    /// What holds for the whole process.
    pub global: Global,
    /// The virtual hosts, in the order of the files.
    pub vhosts: Vec<Vhost>,
}

/// What holds for the whole process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Global {
    /// The user to become once everything is bound; `uid` or `username`.
    pub user: Option<Account>,
    /// The group to become; `gid` or `groupname`.
    pub group: Option<Account>,
    /// Threads that serve; `count-threads`.
    pub threads: Option<u16>,
    /// Threads for what would make a loop wait: files and TLS handshakes; `count-async-threads`.
    pub blocking_threads: Option<u16>,
    /// Whether TLS is wanted at all; `init-ssl`. Without it, a virtual host with certificates cannot be served.
    pub tls: bool,
    /// The `Server` field of responses; `server-string`.
    pub server: Option<String>,
    /// Where plugins are looked for; `plugin-dir`, which may be repeated.
    pub plugin_directories: Vec<PathBuf>,
    /// How long a peer may take for what it has to do; `timeout-secs`.
    #[serde(serialize_with = "seconds")]
    pub timeout: Option<Duration>,
    /// Requests to answer with an error, by a part of their `User-Agent`; `reject-service-keywords`.
    pub rejected_user_agents: Vec<RejectedUserAgent>,
    /// The protocols that TLS offers by default, preferred ones first; `default-alpn`.
    pub alpn: Option<Vec<String>>,
    /// Requests of one address that are served at a time; others wait. `ip-limit-ah`; none for no limit.
    pub requests_per_address: Option<u32>,
    /// Connections of one address; further ones are closed. `ip-limit-wsi`; none for no limit.
    pub connections_per_address: Option<u32>,
    /// Descriptors that the process may have; `rlimit-nofile`.
    pub descriptors: Option<u64>,
    /// What the process may still do when it has become another user, by the names of capabilities(7) without `CAP_`, in lower case and with `-`;
    /// `keep-capabilities`, which libwebsockets does not know.
    pub kept_capabilities: Vec<String>,
    /// The loop to run on, by the name that the program has for it; `loop`, which libwebsockets does not know.
    pub event_loop: Option<String>,
    /// The URL of a broker by which processes share topics; `broker`, which libwebsockets does not know. What stands before the host, such as
    /// a password, is not printed.
    #[serde(serialize_with = "without_user")]
    pub broker: Option<String>,
    /// Where operators come: a path or a loopback address; `admin`.
    pub admin: Option<String>,
    /// How long readiness is denied before listeners close; `drain-delay`.
    #[serde(serialize_with = "seconds")]
    pub drain_delay: Option<Duration>,
    /// What is logged of requests, and how.
    pub log: LogRules,
    /// What a peer may have of a connection; `limits`.
    pub limits: Numbers,
    /// What the server gives to all peers together; `budgets`.
    pub budgets: Numbers,
    /// What one address may have; `peers`.
    pub peers: Peers,
}

/// What is logged of requests, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogRules {
    /// What a line looks like: `combined` or `json`; `log-format`.
    pub format: Option<String>,
    /// Paths below which nothing that went well is logged; `log-skip`.
    pub skipped: Vec<String>,
    /// Of what went well every so many-th is logged; `log-sample`.
    pub sample: Option<u32>,
}

/// Numbers by the names of their keys. What is not said is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Numbers(pub(crate) BTreeMap<&'static str, u64>);

impl Numbers {
    /// All numbers that were said, each with the name of its key.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(name, number)| (*name, *number))
    }

    /// The number of a key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }
}

/// What one address may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Peers {
    /// How much.
    pub numbers: Numbers,
    /// Addresses that are not limited; `trusted`.
    pub trusted: Vec<IpAddr>,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Account {
    /// By its number.
    Id(u32),
    /// By its name.
    Name(String),
}

/// A kind of client that gets an error for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RejectedUserAgent {
    /// What its `User-Agent` contains.
    pub contains: String,
    /// The status code of the answer, 400 to 599.
    pub status: u16,
    /// The text that comes with it.
    pub text: String,
}

/// Where a virtual host listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum Listen {
    /// On a TCP port; `port`, and `interface` for the name or the address of an interface.
    Tcp {
        /// The port, 1 to 65,535; zero lets the system choose.
        port: u16,
        /// The interface; every one without it.
        interface: Option<String>,
    },
    /// On a Unix socket; `unix-socket`, with its path in `interface`.
    Unix {
        /// The path of the socket.
        path: PathBuf,
        /// Its owner and group, `user:group`; `unix-socket-perms`.
        owner: Option<String>,
    },
}

/// Certificates that are ordered of an authority. RFC 8555.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Acme {
    /// The URL of the authority's directory; `directory`.
    pub directory: String,
    /// The folder of the account's key and of the certificates; `state-directory`.
    pub state_directory: PathBuf,
    /// Where the authority may reach the holder of the account, as URLs; `contact`.
    pub contacts: Vec<String>,
    /// The names of the certificate in lower case, at least one; `domains`.
    pub domains: Vec<String>,
    /// How they are validated; `challenge`.
    pub challenge: AcmeChallenge,
    /// Whether the authority's terms of service are agreed to; `terms-agreed`.
    pub terms_agreed: bool,
    /// The roots that vouch for the directory, as a file; `directory-ca`. Those of the system without it.
    pub directory_authorities: Option<PathBuf>,
    /// The account at the authority that the one of ACME is bound to; `external-account-id` and `external-account-key`. RFC 8555 §7.3.4.
    pub external_account: Option<ExternalAccount>,
}

/// An account of an authority, as the authority has named it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct ExternalAccount {
    /// The identifier of its key.
    pub key_id: String,
    /// The key, in base64url.
    pub hmac_key: Secret,
}

/// A text that is not shown: neither in logs nor when the configuration is printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// How an authority validates a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum AcmeChallenge {
    /// By a TLS handshake with port 443: RFC 8737.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a request to port 80: RFC 8555 §8.3.
    #[serde(rename = "http-01")]
    Http01,
}

impl Acme {
    /// The file of the certificate and its key: named after the first domain.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        let name = self.domains.first().map_or("certificate", String::as_str);
        self.state_directory.join(format!("{name}.pem"))
    }
}

/// A virtual host.
#[doc(alias = "lws_vhost")]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Vhost {
    /// Where it stands.
    #[serde(skip)]
    pub location: Location,
    /// The name that requests call it by; `name`.
    pub name: String,
    /// Where it listens.
    pub listen: Listen,
    /// Its certificates; none for plain text.
    pub tls: Option<Tls>,
    /// Where its certificates come from, if they are ordered of an authority; `acme`, which libwebsockets does not know. `tls` names the
    /// file that they are kept in then.
    pub acme: Option<Acme>,
    /// `Strict-Transport-Security` on all responses; `sts`.
    pub strict_transport_security: bool,
    /// The file of the access log; `access-log`.
    pub access_log: Option<PathBuf>,
    /// How long a connection may be idle between requests; `keepalive_timeout`.
    #[serde(serialize_with = "seconds")]
    pub keep_alive_timeout: Option<Duration>,
    /// TLS as a client, for what mounts lead elsewhere; `enable-client-ssl` and the keys that begin with `client-`.
    pub client_tls: Option<ClientTls>,
    /// Whether only IPv4 is listened on; `noipv6`.
    pub ipv4_only: bool,
    /// Whether an IPv6 socket takes IPv4, too; `ipv6only` turns it off. The system's default without it.
    pub ipv6_only: Option<bool>,
    /// Fields of every response; `headers`.
    pub headers: Vec<(String, String)>,
    /// Whether connections carry bytes for a protocol and no HTTP; `onlyraw`.
    pub raw_only: bool,
    /// The page for what is not found; `error-document-404`.
    pub not_found_page: Option<String>,
    /// The pages for errors, by status codes; `error-documents`, a key of ours.
    pub error_pages: Vec<(ErrorCodes, String)>,
    /// The protocols that TLS offers, preferred ones first; `alpn`.
    pub alpn: Option<Vec<String>>,
    /// Connections that wait to be accepted, and TCP Fast Open; `fo-listen-queue`.
    pub fast_open_queue: Option<u32>,
    /// Whether requests with the name of no host are refused; `strict-host-check`.
    pub strict_host: bool,
    /// What is spoken by connections that are not HTTP; `listen-accept-role`, `listen-accept-protocol`.
    pub accept_as: AcceptAs,
    /// What plain text gets on a TLS port.
    pub plain_text: PlainText,
    /// Whether upgrades to WebSocket need a protocol; `disable-no-protocol-ws-upgrades`.
    pub websockets_need_protocol: bool,
    /// Whether a stream whose client has ended its side may still be answered; `h2-half-closed-long-poll`.
    pub half_closed_long_poll: bool,
    /// The sessions that `auth-mask` of mounts is about; `session-key` and the keys beside it, which are ours.
    pub sessions: Option<Sessions>,
    /// What a peer may have of a connection, in place of what `global` says; `limits`. Of hosts of one port those of the first count.
    pub limits: Numbers,
    /// What lies below which path, in the order of the file.
    pub mounts: Vec<Mount>,
    /// The protocols of WebSockets and raw streams, in the order of the file.
    pub protocols: Vec<Protocol>,
}

/// The certificates of a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tls {
    /// The certificates in a PEM file, the server's first; `host-ssl-cert`.
    pub certificates: PathBuf,
    /// The private key in a PEM file; `host-ssl-key`.
    pub key: PathBuf,
    /// The authorities behind the certificates, or those that client certificates are checked by; `host-ssl-ca`.
    pub authorities: Option<PathBuf>,
    /// Whether clients must show a certificate; `client-cert-required`.
    pub client_certificate: bool,
    /// Whether the host waits for certificates that are not there yet; `ignore-missing-cert`.
    pub may_be_missing: bool,
    /// Cipher suites of TLS 1.2 as OpenSSL names them; `ciphers`.
    pub ciphers: Option<String>,
    /// Cipher suites of TLS 1.3; `tls13-ciphers`.
    pub tls13_ciphers: Option<String>,
    /// The curve for the key exchange; `ecdh-curve`.
    pub curve: Option<String>,
}

/// TLS of a virtual host as a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClientTls {
    /// Its private key; `client-ssl-key`.
    pub key: Option<PathBuf>,
    /// Its certificates; `client-ssl-cert`.
    pub certificates: Option<PathBuf>,
    /// The authorities that it trusts; `client-ssl-ca`.
    pub authorities: Option<PathBuf>,
}

/// What connections are that do not begin with HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AcceptAs {
    /// The role, such as `raw-skt` or `raw-proxy`; `listen-accept-role`.
    pub role: Option<String>,
    /// The protocol; `listen-accept-protocol`.
    pub protocol: Option<String>,
    /// Whether every connection is such a one; `apply-listen-accept`.
    pub always: bool,
    /// Whether one becomes such that turns out to be no HTTP; `fallback-listen-accept`.
    pub as_fallback: bool,
}

/// What plain text gets on a port that is meant for TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlainText {
    /// It is served; `allow-non-tls`.
    pub allowed: bool,
    /// It is sent to `https`; `redirect-http`.
    pub redirected: bool,
    /// It is served as HTTP; `allow-http-on-https`.
    pub http_allowed: bool,
}

/// What lies below a path of a virtual host.
#[doc(alias = "lws_http_mount")]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Mount {
    /// Where it stands.
    #[serde(skip)]
    pub location: Location,
    /// The path, with a slash in front; `mountpoint`.
    pub path: String,
    /// Where requests lead; `origin`.
    pub origin: Origin,
    /// The protocol that hears of requests for files, too: of a second `origin` with `callback://`.
    pub fallback_protocol: Option<String>,
    /// The file of a folder; `default`.
    pub index: Option<String>,
    /// What caches may do with the responses.
    pub cache: Cache,
    /// Whether only the path itself is meant, and none below it; `exact-match`.
    pub exact: bool,
    /// Whether a redirect goes on with the rest of the path; `append-path`.
    pub append_path: bool,
    /// Whether WebSockets are refused here; `no-ws-upgrades`.
    pub no_websockets: bool,
    /// Bits of what a session must be allowed; `auth-mask`.
    pub session_bits: u32,
    /// The file of users and passwords; `basic-auth`.
    pub basic_auth: Option<PathBuf>,
    /// The path of the mount that is asked first; `interceptor-path`.
    pub interceptor: Option<String>,
    /// Media types by the ends of names, such as `.zip`; `*` for all others. `extra-mimetypes`.
    pub media_types: Vec<(String, String)>,
    /// Protocols that files go through, by the ends of their names; `interpret`.
    pub interpreters: Vec<(String, String)>,
    /// Fields of every response; `headers`.
    pub headers: Vec<(String, String)>,
    /// How long a connection may be idle behind a response of this mount; `keepalive-timeout`.
    #[serde(serialize_with = "seconds")]
    pub keep_alive_timeout: Option<Duration>,
    /// Options of the mount's protocol; `pmo`, and `cgi-env`, which fills the same list.
    pub options: Vec<(String, String)>,
    /// Where and how long the program of a CGI mount runs.
    pub cgi: Cgi,
}

/// Where requests lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Origin {
    /// To the files below a folder; `file://`.
    Files(PathBuf),
    /// To another server; `http://` and `https://`.
    Proxy {
        /// Whether with TLS.
        tls: bool,
        /// The server.
        upstream: Upstream,
        /// The path there, in place of the mount's.
        path: String,
    },
    /// A redirect to another address; `>http://` and `>https://`.
    Redirect {
        /// The address.
        location: String,
    },
    /// To a program by the Common Gateway Interface (RFC 3875); `cgi://`.
    Cgi(PathBuf),
    /// To a protocol; `callback://`.
    Protocol(String),
}

/// Another server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Upstream {
    /// By its name or address, perhaps with a port.
    Authority(String),
    /// By a Unix socket.
    Unix(PathBuf),
}

/// What caches may do; the four switches of libwebsockets and a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cache {
    /// How long a response may be used; `cache-max-age`.
    #[serde(serialize_with = "seconds")]
    pub max_age: Option<Duration>,
    /// Whether a response may be used again; `cache-reuse`.
    pub reuse: bool,
    /// Whether it must be asked for again before it is used; `cache-revalidate`.
    pub revalidate: bool,
    /// Whether nothing may be kept; `cache-no`.
    pub no_store: bool,
    /// Whether caches that many share may keep it; `cache-intermediaries`.
    pub shared: bool,
}

/// Where and how long the program of a CGI mount runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cgi {
    /// How long it may take; `cgi-timeout`.
    #[serde(serialize_with = "seconds")]
    pub timeout: Option<Duration>,
    /// What it sees as the root of the file system; `cgi-chroot`.
    pub root: Option<PathBuf>,
    /// Where it runs; `cgi-chdir`.
    pub directory: Option<PathBuf>,
}

/// A protocol of WebSockets or raw streams, with its options for a virtual host.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Protocol {
    /// Its name.
    pub name: String,
    /// Whether it is that of WebSockets that ask for none; the option `default`.
    pub is_default: bool,
    /// Whether it is that of connections that carry bytes and no HTTP; the option `raw`.
    pub is_raw: bool,
    /// The file of users and passwords; the option `basic-auth`.
    pub basic_auth: Option<PathBuf>,
    /// All its options, those three as well.
    pub options: Vec<(String, OptionValue)>,
}

/// Sessions that a signed cookie carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sessions {
    /// The file of the key by which the cookies are signed; `session-key`.
    pub key: PathBuf,
    /// The name of the cookie; `session-cookie`.
    pub cookie: String,
    /// The path to which browsers without a session are sent; `session-login`.
    pub login: Option<String>,
}

/// The status codes that a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ErrorCodes {
    /// This one, of 400 to 599.
    One(u16),
    /// Those of 400 to 499 that have no page of their own.
    ClientErrors,
    /// Those of 500 to 599 that have no page of their own.
    ServerErrors,
}

/// The value of an option of a protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// A text, or the text of a number, `1` for `true`, `0` for `false`.
    Text(String),
    /// Values in their order.
    List(Vec<OptionValue>),
    /// Named values in their order; a name may stand more than once.
    Object(Vec<(String, OptionValue)>),
}

/// Writes a duration as whole seconds, as the files do.
fn seconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs()).serialize(serializer)
}

/// Writes a URL without what stands before its host: a user, and most often a password.
fn without_user<S: serde::Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = url.as_deref().map(|url| match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{REDACTED}@{host}"),
        _ => url.to_owned(),
    });
    shown.serialize(serializer)
}
