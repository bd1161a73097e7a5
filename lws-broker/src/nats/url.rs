//! The URL of servers of NATS, with everything that is to be said about them.

use super::{Credentials, Nats, NatsOptions, NoServer, StreamOptions, SubjectPrefix, Tls};
use crate::percent;
use std::fmt;
use std::time::Duration;

/// Why a text is no URL of servers of NATS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatsUrlError {
    /// The scheme is none of `nats` and `tls`.
    Scheme,
    /// A server is none.
    Server(NoServer),
    /// A `%` is not followed by two hexadecimal digits, or they make no UTF-8.
    Percent,
    /// This parameter is not known, or its value is none.
    Parameter(String),
}

impl fmt::Display for NatsUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("a URL begins with nats://, or with tls:// for TLS"),
            Self::Server(error) => error.fmt(f),
            Self::Percent => f.write_str("a % is not followed by two hexadecimal digits of UTF-8"),
            Self::Parameter(name) => write!(
                f,
                "parameter {name}: known are prefix, name, echo=yes, tls=yes, tls=first, history (messages), history-ttl (seconds) and \
                 replicas"
            ),
        }
    }
}

impl std::error::Error for NatsUrlError {}

impl Nats {
    /// Reads `nats://[user:password@|token@]host[:port][,host[:port]...][?parameters]`, with port 4222 by default; `tls://` is the same
    /// with [`Tls::Required`]. Parameters are `prefix`, `name`, `echo=yes`, `tls=yes`, `tls=first`, `history` (messages of each topic,
    /// by JetStream), `history-ttl` (seconds) and `replicas` (of the stream).
    ///
    /// # Errors
    /// It is no such URL.
    ///
    /// ```
    /// use lws_broker::nats::Nats;
    ///
    /// assert!(Nats::from_url("tls://app:secret@a.example,b.example?history=256").is_ok());
    /// # Ok::<(), lws_broker::nats::NatsUrlError>(())
    /// ```
    pub fn from_url(url: &str) -> Result<Self, NatsUrlError> {
        let (servers, options) = parse(url)?;
        let servers: Vec<_> = servers.iter().map(String::as_str).collect();
        Self::new(&servers, options).map_err(NatsUrlError::Server)
    }
}

fn parse(url: &str) -> Result<(Vec<String>, NatsOptions), NatsUrlError> {
    let (scheme, rest) = url.split_once("://").ok_or(NatsUrlError::Scheme)?;
    let tls = match scheme {
        "nats" => Tls::Off,
        "tls" => Tls::Required,
        _ => return Err(NatsUrlError::Scheme),
    };
    let (authority, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = authority.trim_end_matches('/');
    let (who, servers) = authority.rsplit_once('@').unwrap_or(("", authority));
    let credentials = match who.split_once(':') {
        Some((name, password)) => {
            Credentials::User { name: decoded(name)?.into(), password: decoded(password)?.into() }
        }
        None if who.is_empty() => Credentials::None,
        None => Credentials::Token(decoded(who)?.into()),
    };
    let mut options = NatsOptions { credentials, tls, ..NatsOptions::default() };
    parameters.split('&').filter(|it| !it.is_empty()).try_for_each(|it| parameter(&mut options, it))?;
    Ok((servers.split(',').map(with_port).collect(), options))
}

/// An address with the port that servers have by default, if it has none.
fn with_port(server: &str) -> String {
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port || server.is_empty() { server.to_owned() } else { format!("{server}:4222") }
}

fn parameter(options: &mut NatsOptions, parameter: &str) -> Result<(), NatsUrlError> {
    let wrong = || NatsUrlError::Parameter(parameter.chars().take(100).collect());
    let (name, value) = parameter.split_once('=').ok_or_else(wrong)?;
    let value = decoded(value)?;
    let number = || value.parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(wrong);
    match (name, value.as_str()) {
        ("prefix", prefix) => options.prefix = SubjectPrefix::parse(prefix).map_err(|_| wrong())?,
        ("name", name) => options.name = name.into(),
        ("echo", "yes") => options.echo = true,
        ("tls", "yes") => options.tls = Tls::Required,
        ("tls", "first") => options.tls = Tls::First,
        ("history", _) => stream(options).messages = number()?,
        ("history-ttl", _) => stream(options).ttl = Duration::from_secs(number()?.into()),
        ("replicas", _) => stream(options).replicas = number()?.try_into().map_err(|_| wrong())?,
        _ => return Err(wrong()),
    }
    Ok(())
}

fn stream(options: &mut NatsOptions) -> &mut StreamOptions {
    options.history.get_or_insert_default()
}

fn decoded(text: &str) -> Result<String, NatsUrlError> {
    percent::decode(text).ok_or(NatsUrlError::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who_and_how() {
        for (url, servers, credentials, tls) in [
            ("nats://a", &["a:4222"][..], Credentials::None, Tls::Off),
            ("nats://a:1,[::1],[::1]:2/", &["a:1", "[::1]:4222", "[::1]:2"], Credentials::None, Tls::Off),
            (
                "tls://u:p%40@a",
                &["a:4222"],
                Credentials::User { name: "u".into(), password: "p@".into() },
                Tls::Required,
            ),
            ("nats://t@a?tls=first", &["a:4222"], Credentials::Token("t".into()), Tls::First),
        ] {
            let (found, options) = parse(url).expect(url);
            assert_eq!(
                (found.as_slice(), options.credentials, options.tls),
                (&servers.iter().map(ToString::to_string).collect::<Vec<_>>()[..], credentials, tls),
                "{url}"
            );
            assert!(Nats::from_url(url).is_ok(), "{url}");
        }
        let (_, options) = parse("nats://a?prefix=x.y&name=web&echo=yes&history=9&history-ttl=60&replicas=3")
            .expect("parameters");
        let expected = StreamOptions {
            messages: 9,
            ttl: Duration::from_secs(60),
            replicas: 3,
            ..StreamOptions::default()
        };
        assert_eq!(
            (options.prefix.as_str(), &*options.name, options.echo, options.history),
            ("x.y", "web", true, Some(expected))
        );
    }

    #[test]
    fn what_is_no_url_says_why() {
        let parameter = |text: &str| NatsUrlError::Parameter(text.into());
        for (url, expected) in [
            ("a:4222", NatsUrlError::Scheme),
            ("http://a", NatsUrlError::Scheme),
            ("nats://", NatsUrlError::Server(NoServer)),
            ("nats://a,", NatsUrlError::Server(NoServer)),
            ("nats://a:x", NatsUrlError::Server(NoServer)),
            ("nats://%zz@a", NatsUrlError::Percent),
            ("nats://a?x=1", parameter("x=1")),
            ("nats://a?tls=no", parameter("tls=no")),
            ("nats://a?history=0", parameter("history=0")),
            ("nats://a?replicas=300", parameter("replicas=300")),
            ("nats://a?prefix=*", parameter("prefix=*")),
        ] {
            assert_eq!(Nats::from_url(url).err(), Some(expected), "{url}");
        }
    }
}
