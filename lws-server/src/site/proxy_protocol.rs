//! Which peers of a listener are proxies that say by the PROXY protocol whom they stand for.

use crate::Peer;
use crate::http::TrustedProxies;
use std::time::Duration;

/// Believes proxies in front of the server that say at the beginning of each connection whom it stands for: the PROXY protocol, version 1
/// or 2 as they like. HAProxy's `send-proxy` and `send-proxy-v2`, and what load balancers of clouds offer.
///
/// Connections of other peers are served as they are: for them such a header is a malformed request. A trusted one has to begin with a
/// header, which is complete in [`timeout`](Self::timeout); otherwise it is closed without an answer, and the access log says why. Where a
/// proxy names no address, as it looks whether the server is well, the peer is the proxy.
///
/// The address is that of [`Context::peer`](crate::Context::peer), of the access log, of the accept hook and of
/// [`PeerLimits`](crate::PeerLimits).
///
/// ```
/// use lws_server::http::TrustedProxies;
/// use lws_server::{ProxyProtocol, Server};
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8"])?;
/// let server = Server::builder().listen("127.0.0.1:0").proxy_protocol(ProxyProtocol::from(proxies)).build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProxyProtocol {
    /// The peers whose word counts, and who have to give it.
    pub trusted: TrustedProxies,
    /// How long a header may take. Default 5 s.
    pub timeout: Duration,
}

impl From<TrustedProxies> for ProxyProtocol {
    fn from(trusted: TrustedProxies) -> Self {
        Self { trusted, timeout: Duration::from_secs(5) }
    }
}

impl ProxyProtocol {
    /// How long a header may take that the connection of a peer has to begin with, if it has to.
    pub(crate) fn timeout_of(&self, peer: &Peer) -> Option<Duration> {
        self.trusted.trusts(*peer).then_some(self.timeout)
    }
}
