//! What a server of NATS complains of with `-ERR`: its texts, as causes.

use crate::Cause;

/// What a server complains of. Most end the connection: see [`Complaint::ends_connection`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Complaint {
    /// We have not read fast enough (`max_pending`, or its deadline for a write), and messages are lost.
    SlowConsumer,
    /// User, password or token are wrong or missing.
    AuthorizationViolation,
    /// We have not sent `CONNECT` in time.
    AuthorizationTimeout,
    /// What we have shown of ourselves is valid no more.
    AuthenticationExpired,
    /// We have not answered `PING` in time.
    StaleConnection,
    /// A publication was larger than `max_payload`.
    MaximumPayloadViolation,
    /// A control line was longer than the server takes.
    MaximumControlLineExceeded,
    /// The server, or our account, has as many connections as it may have.
    MaximumConnectionsExceeded,
    /// The connection, or our account, has as many subscriptions as it may have. The server does not say which one does not exist.
    MaximumSubscriptionsExceeded,
    /// We may not subscribe to this subject. The subscription does not exist.
    SubscriptionPermission(Box<str>),
    /// We may not publish to this subject. The publication is lost.
    PublishPermission(Box<str>),
    /// A subject is malformed.
    InvalidSubject,
    /// The server asks for TLS.
    TlsRequired,
    /// The port is that of other servers of a cluster.
    RoutePort,
    /// The server did not understand us.
    ParserError,
    /// The server is being stopped.
    ServerShutdown,
    /// A text that is not known here, as [`Cause::words`] shortens it.
    Other(Box<str>),
}

/// The texts of servers in lower case, with what each means. Where one begins like another, the longer one comes first.
const TEXTS: [(&str, Complaint); 21] = [
    ("slow consumer", Complaint::SlowConsumer),
    ("authorization violation", Complaint::AuthorizationViolation),
    ("authorization timeout", Complaint::AuthorizationTimeout),
    ("authentication timeout", Complaint::AuthorizationTimeout),
    ("user authentication expired", Complaint::AuthenticationExpired),
    ("user authentication revoked", Complaint::AuthenticationExpired),
    ("account authentication expired", Complaint::AuthenticationExpired),
    ("stale connection", Complaint::StaleConnection),
    ("maximum payload violation", Complaint::MaximumPayloadViolation),
    ("maximum control line exceeded", Complaint::MaximumControlLineExceeded),
    ("maximum connections exceeded", Complaint::MaximumConnectionsExceeded),
    ("maximum account active connections exceeded", Complaint::MaximumConnectionsExceeded),
    ("maximum subscriptions exceeded", Complaint::MaximumSubscriptionsExceeded),
    ("invalid subject", Complaint::InvalidSubject),
    ("invalid publish subject", Complaint::InvalidSubject),
    ("secure connection - tls required", Complaint::TlsRequired),
    ("attempted to connect to route port", Complaint::RoutePort),
    ("unknown protocol operation", Complaint::ParserError),
    ("parser error", Complaint::ParserError),
    ("invalid client protocol", Complaint::ParserError),
    ("server shutdown", Complaint::ServerShutdown),
];

impl Complaint {
    /// What a text means, with or without the apostrophes around it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let text = text.trim_matches('\'');
        let lower = text.to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("permissions violation for ") {
            let subject = || quoted(text).into();
            match rest.split_ascii_whitespace().next() {
                Some("subscription") => return Self::SubscriptionPermission(subject()),
                Some("publish") => return Self::PublishPermission(subject()),
                _ => {}
            }
        }
        let known = TEXTS.into_iter().find(|(known, _)| lower.starts_with(known));
        known.map_or_else(|| Self::Other(Cause::words(text.as_bytes()).into()), |(_, complaint)| complaint)
    }

    /// What a person can do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::SlowConsumer => {
                "read faster, share topics among more processes, or raise max_pending or write_deadline of the server"
            }
            Self::AuthorizationViolation => {
                "check user, password or token, and that they are configured here at all"
            }
            Self::AuthorizationTimeout => {
                "raise the timeout of the server's authorization if connecting takes that long"
            }
            Self::AuthenticationExpired => "renew the credentials",
            Self::StaleConnection => {
                "find what keeps this process from running for minutes, or raise the server's ping_interval"
            }
            Self::MaximumPayloadViolation => "publish smaller messages, or raise max_payload of the server",
            Self::MaximumControlLineExceeded => "raise max_control_line of the server",
            Self::MaximumConnectionsExceeded => "raise max_connections of the server or of the account",
            Self::MaximumSubscriptionsExceeded => "raise max_subscriptions of the server or of the account",
            Self::SubscriptionPermission(_) => {
                "let the user subscribe to subjects that begin with the prefix"
            }
            Self::PublishPermission(_) => "let the user publish to subjects that begin with the prefix",
            Self::InvalidSubject => "report this: subjects of this client are valid",
            Self::TlsRequired => "switch TLS on for this broker",
            Self::RoutePort => "use the port of clients, 4222 by default, not that of other servers",
            Self::ParserError => {
                "report this, unless a proxy between this process and the server changes octets"
            }
            Self::ServerShutdown => "nothing: it is connected to again",
            Self::Other(_) => "see the documentation of the server",
        }
    }

    /// Whether the server closes the connection behind it, or it cannot go on because it does not say which call has had no effect.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        !matches!(
            self,
            Self::SubscriptionPermission(_)
                | Self::PublishPermission(_)
                | Self::InvalidSubject
                | Self::Other(_)
        )
    }
}

/// What stands in the first quotation marks, as the server writes a subject: with `\"` and `\\` for the two that would end it.
fn quoted(text: &str) -> String {
    let mut rest = text.split_once('"').map_or("", |(_, rest)| rest).chars();
    let mut subject = String::new();
    while let Some(next) = rest.next().filter(|next| *next != '"') {
        subject.extend(if next == '\\' { rest.next() } else { Some(next) });
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_a_server_are_known() {
        let check = |text: &str, complaint: Complaint, ends: bool| {
            assert_eq!(Complaint::parse(text.as_bytes()), complaint, "{text}");
            assert_eq!(complaint.ends_connection(), ends, "{text}");
            assert!(!complaint.advice().is_empty());
        };
        check("'Slow Consumer'", Complaint::SlowConsumer, true);
        check("'Authorization Violation'", Complaint::AuthorizationViolation, true);
        check("'Authentication Timeout'", Complaint::AuthorizationTimeout, true);
        check("'Stale Connection'", Complaint::StaleConnection, true);
        check("'Maximum Payload Violation'", Complaint::MaximumPayloadViolation, true);
        check("'maximum connections exceeded'", Complaint::MaximumConnectionsExceeded, true);
        check("'maximum subscriptions exceeded'", Complaint::MaximumSubscriptionsExceeded, true);
        check("'Secure Connection - TLS Required'", Complaint::TlsRequired, true);
        check("'Unknown Protocol Operation'", Complaint::ParserError, true);
        check("'Invalid Publish Subject'", Complaint::InvalidSubject, false);
        check("'User Authentication Revoked'", Complaint::AuthenticationExpired, true);
        let denied = Complaint::SubscriptionPermission("lws.Room".into());
        check("'Permissions Violation for Subscription to \"lws.Room\"'", denied, false);
        let denied = Complaint::PublishPermission("lws.a".into());
        check("'Permissions Violation for Publish to \"lws.a\" '", denied, false);
        for (quoted, subject) in
            [(r#"lws.a\"b"#, r#"lws.a"b"#), (r"lws.a\\", r"lws.a\"), (r#"\\\""#, r#"\""#), ("", "")]
        {
            let denied = Complaint::SubscriptionPermission(subject.into());
            let text = format!("'Permissions Violation for Subscription to \"{quoted}\" using queue \"q\"'");
            check(&text, denied, false);
        }
        check("'Permissions Violation for Publish to lws.a'", Complaint::PublishPermission("".into()), false);
        check("'Something New'", Complaint::Other("Something New".into()), false);
        check("", Complaint::Other("".into()), false);
    }

    #[test]
    fn every_text_is_found_and_a_long_one_is_shortened() {
        for (text, complaint) in TEXTS {
            assert_eq!(Complaint::parse(text.to_uppercase().as_bytes()), complaint, "{text}");
        }
        let Complaint::Other(text) = Complaint::parse(&[b'x'; 4_000]) else { panic!("it is not known") };
        assert_eq!(text.len(), Cause::WORDS_BYTES_MAX);
        let Complaint::Other(_) = Complaint::parse(b"\xff'\0\"") else { panic!("it is not known") };
    }
}
