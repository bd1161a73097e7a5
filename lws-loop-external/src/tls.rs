//! The seam for TLS: a stage between transport and engine that turns bytes into bytes.
//!
//! A driver knows these traits and no implementation. A session knows no socket and no protocol above it. The interface
//! is shaped like the one that rustls plans: the driver owns the buffers, and a session keeps a record only while it is
//! incomplete.

use lws_proto::Time;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Makes the sessions of a listener, or of outgoing connections to one name.
pub trait Provider: fmt::Debug + Send + Sync {
    /// A session that has not begun its handshake.
    ///
    /// # Errors
    /// The configuration allows no session, for example because no certificate can have the server's name.
    fn session(&self) -> Result<Box<dyn Session>, Failure>;

    /// Whether a session whose client asked for the name `asked`, or for none, may also carry requests to `host`,
    /// because one certificate and one policy cover both. `host` is without a port; an IP address, of version 6 in
    /// brackets, is a name that no client can ask for. RFC 9110 §7.4, RFC 6066 §3.
    fn same_host(&self, asked: Option<&str>, host: &str) -> bool {
        asked.is_none_or(|asked| asked.eq_ignore_ascii_case(host))
    }
}

/// One side of a TLS connection, without its transport. It is `Send`, so that a service can move to another thread.
pub trait Session: Send {
    /// Takes ciphertext of the peer, and opens what it seals into `plaintext`. What is to be sent in answer (handshake
    /// messages, alerts, key updates) is appended to `out`, of a failure too.
    ///
    /// A client's first call has no ciphertext and begins the handshake. Call it until all ciphertext is taken and
    /// [`Opened::more`] is false; then the session holds no plaintext.
    ///
    /// # Errors
    /// The session is over: nothing can be opened or sealed any more.
    fn open(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened, Failure>;

    /// Seals the first bytes of `plaintext`, which is in several pieces, and appends the records to `out`. Returns how
    /// many bytes that were: zero only when the session is over. `now` lets it detect the beginning of a burst, where
    /// records are short, after a pause.
    fn seal(&mut self, now: Time, plaintext: &[&[u8]], out: &mut Vec<u8>) -> usize;

    /// Ends the sending direction: appends `close_notify` to `out`. RFC 8446 §6.1.
    fn close(&mut self, out: &mut Vec<u8>);

    /// Whether the handshake is still going on.
    fn is_handshaking(&self) -> bool;

    /// What was negotiated. Called once, after the handshake.
    fn info(&self) -> Info;
}

/// The outcome of [`Session::open`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of ciphertext that were taken.
    pub taken: usize,
    /// Bytes of plaintext that were written.
    pub filled: usize,
    /// Whether the session holds more plaintext, for which there was no room.
    pub more: bool,
    /// Whether the peer has sent `close_notify`: its direction ends after the plaintext.
    pub closed: bool,
}

/// What the two sides of a session have negotiated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite by its registered name: `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: &'static str,
    /// The group of the key exchange by its registered name: `x25519`. Empty where a resumption needed none.
    pub group: &'static str,
    /// The name that the client asked for, in lower case. RFC 6066 §3.
    #[doc(alias = "SNI")]
    pub server_name: Option<Box<str>>,
    /// The protocol that was chosen. RFC 7301.
    pub alpn: Option<Box<[u8]>>,
    /// Whether an earlier session was resumed: certificates are those of its first handshake.
    pub resumed: bool,
    /// The certificate that the peer has shown, as DER, if it has shown any.
    pub certificate: Option<Box<[u8]>>,
    /// The subject of that certificate as RFC 4514 writes it: `CN=alice,O=Example`.
    pub subject: Option<Box<str>>,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.cipher_suite)?;
        if !self.group.is_empty() {
            write!(f, " {}", self.group)?;
        }
        if let Some(name) = &self.server_name {
            write!(f, " name={name}")?;
        }
        if let Some(alpn) = &self.alpn {
            write!(f, " alpn={}", alpn.escape_ascii())?;
        }
        if let Some(subject) = &self.subject {
            write!(f, " subject={}", subject.escape_debug())?;
        }
        f.write_str(if self.resumed { " resumed" } else { "" })
    }
}

/// An alert, by its number. RFC 8446 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alert(pub u8);

impl Alert {
    /// The name in RFC 8446 §6, or `unknown`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => "unknown",
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

/// Why a TLS session ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub reason: Reason,
    /// The alert that the peer was sent, if any.
    pub sent: Option<Alert>,
}

impl Failure {
    /// A failure for which the peer is sent no alert.
    #[must_use]
    pub fn silent(reason: Reason) -> Self {
        Self { reason, sent: None }
    }

    /// A short, stable name for counters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.reason.name()
    }

    /// The closest [`io::ErrorKind`].
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self.reason {
            Reason::Timeout | Reason::GaveWay => io::ErrorKind::TimedOut,
            Reason::Truncated => io::ErrorKind::UnexpectedEof,
            Reason::Disconnected => io::ErrorKind::ConnectionReset,
            Reason::Refused => io::ErrorKind::ConnectionAborted,
            Reason::Configuration(_) => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS: {}", self.reason)?;
        match self.sent {
            Some(alert) => write!(f, "; sent alert {alert}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}

impl From<Failure> for io::Error {
    /// The failure stays reachable through [`io::Error::get_ref`].
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure)
    }
}

/// What went wrong in a TLS session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The peer's certificate was not accepted.
    Certificate {
        /// The subject of the certificate as RFC 4514 writes it; empty where it could not be read.
        subject: Box<str>,
        /// Why.
        fault: CertificateFault,
    },
    /// The peer has to show a certificate, and did not.
    NoCertificate,
    /// The peer ended the session with this alert.
    AlertReceived(Alert),
    /// There is no version, cipher suite, group or signature algorithm that both sides have.
    Incompatible(Box<str>),
    /// None of the protocols that the client offered by ALPN is supported here. RFC 7301 §3.2.
    NoProtocol,
    /// The client asked for a name that is not served here, or for none. RFC 6066 §3.
    UnknownName(Option<Box<str>>),
    /// The peer has sent something other than TLS.
    NotTls,
    /// The peer broke a rule of TLS.
    Violation(Box<str>),
    /// The transport ended without `close_notify`.
    Truncated,
    /// The transport failed.
    Disconnected,
    /// The handshake was not done in time.
    Timeout,
    /// The peer has sent more than [`ListenTls::handshake_bytes_max`] before its handshake was done.
    TooLong,
    /// The peer was silent or slow while others waited for a place, and was closed for them: see
    /// [`DriverOptions::tls_handshakes_max`](crate::DriverOptions::tls_handshakes_max).
    GaveWay,
    /// The application refused the peer.
    Refused,
    /// This side cannot make a session.
    Configuration(Box<str>),
}

impl Reason {
    /// A short, stable name for counters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Certificate { fault, .. } => fault.name(),
            Self::NoCertificate => "tls_no_certificate",
            Self::AlertReceived(_) => "tls_alert_received",
            Self::Incompatible(_) => "tls_incompatible",
            Self::NoProtocol => "tls_no_protocol",
            Self::UnknownName(_) => "tls_unknown_name",
            Self::NotTls => "tls_not_tls",
            Self::Violation(_) => "tls_violation",
            Self::Truncated => "tls_truncated",
            Self::Disconnected => "tls_disconnected",
            Self::Timeout => "tls_handshake_timeout",
            Self::TooLong => "tls_handshake_bytes",
            Self::GaveWay => "tls_gave_way",
            Self::Refused => "tls_refused",
            Self::Configuration(_) => "tls_configuration",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { subject, fault } if subject.is_empty() => {
                write!(f, "the peer's certificate {fault}")
            }
            Self::Certificate { subject, fault } => write!(f, "the certificate of {subject} {fault}"),
            Self::NoCertificate => f.write_str("the peer has shown no certificate"),
            Self::AlertReceived(alert) => write!(f, "the peer sent alert {alert}"),
            Self::Incompatible(what) => write!(f, "nothing in common: {what}"),
            Self::NoProtocol => f.write_str("no application protocol in common"),
            Self::UnknownName(Some(name)) => write!(f, "{name} is not served here"),
            Self::UnknownName(None) => f.write_str("the client asked for no name"),
            Self::NotTls => f.write_str("the peer speaks no TLS"),
            Self::Violation(what) => write!(f, "the peer broke a rule: {what}"),
            Self::Truncated => f.write_str("the transport ended without close_notify"),
            Self::Disconnected => f.write_str("the transport failed"),
            Self::Timeout => f.write_str("the handshake was not done in time"),
            Self::TooLong => f.write_str("the peer sent too much before its handshake was done"),
            Self::GaveWay => f.write_str("the peer sent too little while others waited for its place"),
            Self::Refused => f.write_str("this side refused the peer"),
            Self::Configuration(what) => write!(f, "no session can be made: {what}"),
        }
    }
}

/// Why a certificate was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFault {
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// No root that is trusted has issued it.
    UnknownIssuer,
    /// It is for other names.
    WrongName {
        /// The name that was asked for.
        expected: Box<str>,
        /// The names in the certificate.
        presented: Box<[String]>,
    },
    /// It was revoked, or whether it was could not be found out.
    Revoked,
    /// Its own signature is wrong, or one that was made with its key.
    Signature,
    /// It is for another purpose than this.
    Purpose,
    /// It is the certificate of an authority, in place of one that an authority has issued.
    Authority,
    /// It is not the one that was pinned.
    NotPinned,
    /// It cannot be parsed, or has critical parts that are not supported.
    Malformed(Box<str>),
}

impl CertificateFault {
    /// A short, stable name for counters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Expired => "tls_certificate_expired",
            Self::NotYetValid => "tls_certificate_not_yet_valid",
            Self::UnknownIssuer => "tls_certificate_unknown_issuer",
            Self::WrongName { .. } => "tls_certificate_wrong_name",
            Self::Revoked => "tls_certificate_revoked",
            Self::Signature => "tls_certificate_signature",
            Self::Purpose => "tls_certificate_purpose",
            Self::Authority => "tls_certificate_authority",
            Self::NotPinned => "tls_certificate_not_pinned",
            Self::Malformed(_) => "tls_certificate_malformed",
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("has expired"),
            Self::NotYetValid => f.write_str("is not valid yet"),
            Self::UnknownIssuer => f.write_str("is not issued by a trusted root"),
            Self::WrongName { expected, presented } => {
                write!(f, "is not for {expected}, but for {}", presented.join(", "))
            }
            Self::Revoked => f.write_str("is revoked, or its status is unknown"),
            Self::Signature => f.write_str("has a wrong signature"),
            Self::Purpose => f.write_str("is for another purpose"),
            Self::Authority => f.write_str(
                "is a certificate authority's own (CA:TRUE); one that the authority has issued is needed, or a self-signed one \
                 with CA:FALSE",
            ),
            Self::NotPinned => f.write_str("is not the one that was pinned"),
            Self::Malformed(what) => write!(f, "is malformed: {what}"),
        }
    }
}

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct ListenTls {
    /// Makes a session for each connection.
    pub provider: Arc<dyn Provider>,
    /// The handling of a peer that does not speak TLS. Default [`Plain::Close`].
    pub plain: Plain,
    /// How long a handshake may take, from the accepted connection on. Default 10 s. Past it: a silent close, and
    /// [`Reason::Timeout`].
    #[doc(alias = "PENDING_TIMEOUT_SSL_ACCEPT")]
    pub handshake_timeout: Duration,
    /// Bytes that a client may send before its handshake is done, which bounds what an unfinished one makes the session
    /// hold. Default 16 KiB: a ClientHello with a post-quantum key share has 2 KiB, and a chain of client certificates
    /// 4 to 10. Past it: a silent close, and [`Reason::TooLong`].
    pub handshake_bytes_max: usize,
}

impl ListenTls {
    /// TLS with the sessions of `provider`.
    #[must_use]
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        let handshake_timeout = Duration::from_secs(10);
        Self { provider, plain: Plain::Close, handshake_timeout, handshake_bytes_max: 16 << 10 }
    }
}

/// The handling of a peer that does not speak TLS to a listener with TLS: its first byte does not begin a handshake
/// record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Plain {
    /// The connection is closed: [`Reason::NotTls`].
    #[default]
    Close,
    /// The connection goes on without TLS, and [`Application::plain`](crate::Application::plain) is called: the
    /// application may serve it, redirect it or refuse it.
    #[doc(alias = "LWS_SERVER_OPTION_ALLOW_NON_SSL_ON_SSL_PORT")]
    Accept,
}
