//! What is passed on to other servers: by `--proxy`, and by mounts of a configuration.

use lws_config::{Mount, Origin, Upstream as Server};
use lws_proxy::{NotAnUpstream, Proxy, Upstream};
use lws_server::Route;
use std::str::FromStr;

/// `PATH=URL` of `--proxy`: where it is asked, and who answers.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    path: String,
    upstream: Upstream,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, url) = text.split_once('=').ok_or("PATH=URL is missing its =")?;
        if !path.starts_with('/') {
            return Err("the path begins with /".to_owned());
        }
        let upstream = url.parse().map_err(|error: NotAnUpstream| error.to_string())?;
        Ok(Self { path: path.to_owned(), upstream })
    }
}

impl Forward {
    pub(crate) fn is_at_root(&self) -> bool {
        self.path == "/"
    }

    pub(crate) fn route(&self) -> Route {
        Proxy::new(self.upstream.clone()).route(&self.path)
    }
}

/// The server of a mount that leads to one.
///
/// # Errors
/// Why it cannot be one.
pub(crate) fn upstream(mount: &Mount) -> Option<Result<Upstream, NotAnUpstream>> {
    let Origin::Proxy { tls, upstream, path } = &mount.origin else { return None };
    let scheme = if *tls { "https" } else { "http" };
    // The path there is always in place of the mount's, if only as `/`.
    let path = format!("/{}", path.trim_start_matches('/'));
    Some(match upstream {
        Server::Authority(authority) => format!("{scheme}://{authority}{path}").parse(),
        Server::Unix(socket) if !tls => format!("unix:{}:{path}", socket.display()).parse(),
        // TLS on a socket needs a name for its certificate, and libwebsockets has none for it either.
        _ => Err(NotAnUpstream::Scheme),
    })
}
