//! The URL of a server, with everything that is to be said about it.

use super::{HistoryOptions, RedisOptions, RedisServers, Sentinels, slot};
use crate::{Endpoint, Security, ServerList, percent};
use std::fmt;
use std::time::Duration;

/// Why a text is no URL of a Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisUrlError {
    /// The scheme is none of `redis`, `redis+sentinel`, `redis+cluster`, those with `rediss`, `redis+unix` and `unix`.
    Scheme,
    /// There is no host, or no path of a socket, or there are more than 64 sentinels or nodes.
    Host,
    /// No master is named behind the sentinels.
    Master,
    /// The port is no number up to 65535.
    Port,
    /// What follows the host is no number of a database, or it is one of a cluster, which has none.
    Database,
    /// The prefix of a cluster's topics has no hash tag.
    HashTag,
    /// A `%` is not followed by two hexadecimal digits, or they make no UTF-8.
    Percent,
    /// This parameter is not known, or its value is none.
    Parameter(String),
}

impl fmt::Display for RedisUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => {
                f.write_str("a URL begins with redis://, redis+sentinel:// or redis+cluster://, or with rediss for TLS, or is redis+unix:// and a path")
            }
            Self::Host => f.write_str("the URL names no host and no socket, or more than 64"),
            Self::Master => {
                f.write_str("the name of the master follows the sentinels, as in redis+sentinel://a,b/mymaster")
            }
            Self::Port => f.write_str("the port is no number from 1 to 65535"),
            Self::Database => f.write_str("the database is no number, or that of a cluster, which has none"),
            Self::HashTag => f.write_str("the prefix needs a hash tag, as in {lws}/: topics are in one slot of the cluster"),
            Self::Percent => f.write_str("a % is not followed by two hexadecimal digits of UTF-8"),
            Self::Parameter(name) => write!(
                f,
                "parameter {name}: known are prefix, name, sharded=yes, history (messages), history-ttl (seconds) and, for \
                 sentinels, sentinel-user and sentinel-password"
            ),
        }
    }
}

impl std::error::Error for RedisUrlError {}

impl RedisOptions {
    /// Reads `redis://[[user]:password@]host[:port][/database][?parameters]`, `rediss://` with TLS, or
    /// `redis+unix://[[user]:password@]/path`. Parameters are `prefix`, `name`, `sharded=yes`, `history` (messages of each topic) and
    /// `history-ttl` (seconds).
    ///
    /// `redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master[/database][?parameters]` asks sentinels, with port 26379 by
    /// default, for the master of a name; user and password are those of the master, and the sentinels' own are the parameters
    /// `sentinel-user` and `sentinel-password`. `redis+cluster://[[user]:password@]host[:port][,host[:port]...]` asks nodes of a cluster,
    /// with port 6379 by default, for the one that has the slot of the topics; channels are sharded, and the prefix is `{lws}/` unless the
    /// parameter says another one with a hash tag. With `rediss+sentinel://` and `rediss+cluster://` all connections have TLS.
    ///
    /// # Errors
    /// It is no such URL.
    ///
    /// ```
    /// use lws_broker::redis::RedisOptions;
    ///
    /// let options = RedisOptions::from_url("rediss://app:s%2Fecret@db.example/1?prefix=chat/&history=100")?;
    /// assert_eq!(options.password.as_deref(), Some("s/ecret"));
    /// assert_eq!(options.history.map(|history| history.messages), Some(100));
    /// # Ok::<(), lws_broker::redis::RedisUrlError>(())
    /// ```
    pub fn from_url(url: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(RedisUrlError::Scheme)?;
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let authority_end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        let (credentials, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (kind, tls) = match scheme.strip_prefix("rediss") {
            Some(kind) if kind != "+unix" => (kind, Security::Tls),
            _ => (scheme.strip_prefix("redis").unwrap_or(scheme), Security::Plain),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut options = match kind {
            "" => Self { database: database(path)?, ..Self::new(tcp(host, 6379, tls)?) },
            "+unix" | "unix" if host.is_empty() && !path.is_empty() => {
                Self::new(Endpoint::Unix(format!("/{}", decoded(path)?).into()))
            }
            "+unix" | "unix" => return Err(RedisUrlError::Host),
            "+sentinel" => {
                let (master, number) = path.split_once('/').unwrap_or((path, ""));
                let sentinels = Sentinels {
                    endpoints: list(host, 26379, tls)?,
                    master: decoded(master)?,
                    user: None,
                    password: None,
                };
                if master.is_empty() {
                    return Err(RedisUrlError::Master);
                }
                Self { database: database(number)?, ..Self::at(RedisServers::Sentinel(sentinels)) }
            }
            "+cluster" if !path.is_empty() => return Err(RedisUrlError::Database),
            "+cluster" => Self {
                prefix: "{lws}/".to_owned(),
                sharded: true,
                ..Self::at(RedisServers::Cluster(list(host, 6379, tls)?))
            },
            _ => return Err(RedisUrlError::Scheme),
        };
        options.credentials(credentials)?;
        parameters.split('&').filter(|it| !it.is_empty()).try_for_each(|it| options.parameter(it))?;
        if matches!(options.servers, RedisServers::Cluster(_)) && slot::hash_tag(&options.prefix).is_none() {
            return Err(RedisUrlError::HashTag);
        }
        Ok(options)
    }

    fn credentials(&mut self, credentials: &str) -> Result<(), RedisUrlError> {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        self.user = if user.is_empty() { None } else { Some(decoded(user)?) };
        self.password = if password.is_empty() { None } else { Some(decoded(password)?) };
        Ok(())
    }

    fn parameter(&mut self, parameter: &str) -> Result<(), RedisUrlError> {
        let wrong = || RedisUrlError::Parameter(parameter.chars().take(100).collect());
        let (name, value) = parameter.split_once('=').ok_or_else(wrong)?;
        let value = decoded(value)?;
        match name {
            "sentinel-user" | "sentinel-password" => {
                let RedisServers::Sentinel(sentinels) = &mut self.servers else { return Err(wrong()) };
                let part = if name.ends_with("user") { &mut sentinels.user } else { &mut sentinels.password };
                *part = Some(value);
            }
            "prefix" if !value.contains(char::is_control) && value.len() <= 256 => self.prefix = value,
            "name" if value.bytes().all(|octet| octet.is_ascii_graphic()) => self.client_name = value,
            "sharded" if value == "yes" => self.sharded = true,
            "history" => {
                let messages = value.parse().ok().filter(|messages| *messages > 0).ok_or_else(wrong)?;
                self.history.get_or_insert_default().messages = messages;
            }
            "history-ttl" => {
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0).ok_or_else(wrong)?;
                self.history.get_or_insert_with(HistoryOptions::default).ttl = Duration::from_secs(seconds);
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

/// The number of a database. Without one it is 0.
fn database(text: &str) -> Result<u16, RedisUrlError> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| RedisUrlError::Database) }
}

/// One or more of `host[:port]`, with commas between them.
fn list(authority: &str, port: u16, tls: Security) -> Result<ServerList, RedisUrlError> {
    let endpoints =
        authority.split(',').map(|authority| tcp(authority, port, tls)).collect::<Result<_, _>>()?;
    ServerList::new(endpoints).map_err(|_| RedisUrlError::Host)
}

/// `host[:port]`, where the host may be an address of IPv6 in brackets.
fn tcp(authority: &str, default_port: u16, tls: Security) -> Result<Endpoint, RedisUrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(RedisUrlError::Host)?;
            (host, rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some("") }))
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || host.len() > 255 {
        return Err(RedisUrlError::Host);
    }
    let port = match port {
        None => default_port,
        Some(digits) if digits.bytes().all(|octet| octet.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0).ok_or(RedisUrlError::Port)?
        }
        Some(_) => return Err(RedisUrlError::Port),
    };
    Ok(Endpoint::Tcp { host: decoded(host)?, port, tls })
}

/// A text without its percent encoding.
fn decoded(text: &str) -> Result<String, RedisUrlError> {
    percent::decode(text).ok_or(RedisUrlError::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who_and_how() {
        let at = |host: &str, port, tls| Endpoint::Tcp { host: host.into(), port, tls };
        for (url, endpoint, user, password, database) in [
            ("redis://localhost", at("localhost", 6379, Security::Plain), None, None, 0),
            ("redis://:p@h:7000/3", at("h", 7000, Security::Plain), None, Some("p"), 3),
            ("rediss://u:p%40q@h/", at("h", 6379, Security::Tls), Some("u"), Some("p@q"), 0),
            ("redis://[::1]:7000", at("::1", 7000, Security::Plain), None, None, 0),
            ("redis://[::1]", at("::1", 6379, Security::Plain), None, None, 0),
            ("redis+unix:///run/redis.sock", Endpoint::Unix("/run/redis.sock".into()), None, None, 0),
            ("unix://:p@/a%20b", Endpoint::Unix("/a b".into()), None, Some("p"), 0),
        ] {
            let options = RedisOptions::from_url(url).expect(url);
            assert_eq!(options.servers, RedisServers::One(endpoint), "{url}");
            let found = (options.user.as_deref(), options.password.as_deref(), options.database);
            assert_eq!(found, (user, password, database), "{url}");
        }
        let options = RedisOptions::from_url("redis://h?prefix=%7Bx%7D/&sharded=yes&history-ttl=60&name=web");
        let options = options.expect("parameters");
        assert_eq!(
            (options.prefix.as_str(), options.sharded, options.client_name.as_str()),
            ("{x}/", true, "web")
        );
        assert_eq!(options.history.map(|it| it.ttl), Some(Duration::from_secs(60)));
    }

    #[test]
    fn sentinels_and_nodes_are_named_with_commas() {
        let list = |names: &[(&str, u16)], tls| {
            let at = |(host, port): &(&str, u16)| Endpoint::Tcp { host: (*host).into(), port: *port, tls };
            ServerList::new(names.iter().map(at).collect()).expect("some")
        };
        let sentinels = |endpoints, user: Option<&str>, password: Option<&str>| {
            let (user, password) = (user.map(str::to_owned), password.map(str::to_owned));
            RedisServers::Sentinel(Sentinels { endpoints, master: "main".into(), user, password })
        };
        for (url, servers, password, database) in [
            (
                "redis+sentinel://:p@a,b:1,[::1]:2/main/3?sentinel-user=u&sentinel-password=%26",
                sentinels(list(&[("a", 26379), ("b", 1), ("::1", 2)], Security::Plain), Some("u"), Some("&")),
                Some("p"),
                3,
            ),
            (
                "rediss+sentinel://a/main",
                sentinels(list(&[("a", 26379)], Security::Tls), None, None),
                None,
                0,
            ),
            (
                "redis+cluster://:p@a,b:1",
                RedisServers::Cluster(list(&[("a", 6379), ("b", 1)], Security::Plain)),
                Some("p"),
                0,
            ),
        ] {
            let options = RedisOptions::from_url(url).expect(url);
            assert_eq!(options.servers, servers, "{url}");
            assert_eq!((options.password.as_deref(), options.database), (password, database), "{url}");
            assert!(!format!("{options:?}").contains('&'), "no password is shown: {options:?}");
        }
        for (url, prefix) in [("redis+cluster://a", "{lws}/"), ("redis+cluster://a?prefix=x{y}", "x{y}")] {
            let options = RedisOptions::from_url(url).expect(url);
            assert_eq!((options.prefix.as_str(), options.sharded), (prefix, true), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_says_why() {
        use RedisUrlError::{Database, HashTag, Host, Master, Percent, Port, Scheme};
        let parameter = |text: &str| RedisUrlError::Parameter(text.into());
        for (url, expected) in [
            ("localhost:6379", Scheme),
            ("http://h", Scheme),
            ("redis-sentinel://h/main", Scheme),
            ("rediss+unix:///h", Scheme),
            ("redis+sentinel://h", Master),
            ("redis+sentinel://h/", Master),
            ("redis+sentinel:///main", Host),
            ("redis+sentinel://h,/main", Host),
            ("redis+sentinel://h/main/x", Database),
            ("redis+cluster://h/1", Database),
            ("redis+cluster://h?prefix=x", HashTag),
            ("redis+cluster://h?sentinel-user=x", parameter("sentinel-user=x")),
            ("redis://", Host),
            ("redis://:p@", Host),
            ("redis+unix://h/x", Host),
            ("redis+unix://", Host),
            ("redis://h:", Port),
            ("redis://h:+1", Port),
            ("redis://h:65536", Port),
            ("redis://[::1]x", Port),
            ("redis://h/one", Database),
            ("redis://:%zz@h", Percent),
            ("redis://:%f@h", Percent),
            ("redis://h?x=1", parameter("x=1")),
            ("redis://h?history=0", parameter("history=0")),
            ("redis://h?sharded=no", parameter("sharded=no")),
            ("redis://h?prefix=%0a", parameter("prefix=%0a")),
        ] {
            assert_eq!(RedisOptions::from_url(url).err(), Some(expected), "{url}");
        }
    }
}
