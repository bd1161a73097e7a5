//! Brokers by their URLs, for arguments and configurations.

use super::{BrokerOptions, MeshOptions, nats, redis};
use std::fmt;

/// Schemes of NATS: the second one has TLS.
const NATS: [&str; 2] = ["nats://", "tls://"];

/// What leads to a mesh is the path of a folder, and no host.
const MESH: &str = "mesh:";

/// No broker has this URL. Its text says what is wrong, without the URL, which may contain a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrlError(String);

impl fmt::Display for BrokerUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BrokerUrlError {}

impl BrokerOptions {
    /// The broker that a URL names, for topics that begin with `prefix`: `redis://HOST`, `rediss://HOST` (TLS), `redis+sentinel://` and
    /// what else [`RedisOptions::from_url`](redis::RedisOptions::from_url) reads; `nats://HOST:PORT`, further servers behind commas, or
    /// what else [`Nats::from_url`](nats::Nats::from_url) reads; or `mesh:/PATH` for a folder that the processes of this machine share.
    ///
    /// # Errors
    /// No broker has this URL.
    ///
    /// ```
    /// use lws_server::broker::BrokerOptions;
    ///
    /// for url in ["redis://:secret@db.example?history=256", "nats://a.example:4222,b.example:4222", "mesh:/run/app"] {
    ///     assert!(BrokerOptions::from_url("room/", url).is_ok());
    /// }
    /// let error = BrokerOptions::from_url("room/", "http://db.example").unwrap_err();
    /// assert!(error.to_string().starts_with("a broker is redis://"));
    /// ```
    pub fn from_url(prefix: &str, url: &str) -> Result<Self, BrokerUrlError> {
        if let Some(folder) = url.strip_prefix(MESH) {
            // A host would be taken for a folder otherwise.
            if !folder.starts_with('/') || folder.starts_with("//") {
                return Err(BrokerUrlError(
                    "a mesh is named by the path of its folder: mesh:/run/app".into(),
                ));
            }
            return Ok(Self::mesh(prefix, folder, MeshOptions::default()));
        }
        if NATS.iter().any(|scheme| url.starts_with(scheme)) {
            let nats = nats::Nats::from_url(url).map_err(|error| BrokerUrlError(error.to_string()))?;
            return Ok(Self::new(prefix, move |_| Box::new(nats.clone())));
        }
        if !url.starts_with("redis") {
            let known = "redis://HOST, rediss://HOST, redis+sentinel://HOST/MASTER, redis+cluster://HOST, redis+unix:///SOCKET, \
                         nats://HOST:PORT, tls://HOST:PORT or mesh:/FOLDER";
            return Err(BrokerUrlError(format!("a broker is {known}")));
        }
        let options = redis::RedisOptions::from_url(url);
        options.map(|options| Self::redis(prefix, options)).map_err(|error| BrokerUrlError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_that_of_a_broker_or_says_what_is_wrong_without_its_password() {
        for (url, expected) in [
            ("redis://127.0.0.1", "Ok"),
            ("rediss://u:p@db.example:6380?history=9", "Ok"),
            ("redis+unix:///run/redis.sock", "Ok"),
            ("redis+sentinel://a,b/main?history=9", "Ok"),
            ("redis+cluster://a,b", "Ok"),
            ("redisx://u:secret@a", ""),
            ("nats://127.0.0.1:4222", "Ok"),
            ("tls://u:p@a.example?history=9", "Ok"),
            ("nats://u:secret@a.example?nothing=1", ""),
            ("nats://a.example:4222,b.example:4222/", "Ok"),
            ("mesh:/run/lws", "Ok"),
            ("mesh:run/lws", "a mesh is named"),
            ("mesh://run/lws", "a mesh is named"),
            ("mesh:", "a mesh is named"),
            ("memcached://u:secret@db", "a broker is redis://"),
            ("", "a broker is redis://"),
            ("nats://", ""),
            ("redis://u:secret@db.example?nothing=1", ""),
        ] {
            match BrokerOptions::from_url("a/", url) {
                Ok(_) => assert_eq!(expected, "Ok", "{url}"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.starts_with(expected) && !said.contains("secret"), "{url}: {said}");
                }
            }
        }
    }
}
