//! TLS of a server's listeners: their options, and the events that observers get.
//!
//! Knows the seam. That it is rustls behind it is the affair of `lws-tls`, whose types are exported here for descriptions of
//! servers.

use lws_loop_external::tls::{self, ListenTls};
pub use lws_loop_external::tls::{Alert, CertificateFault, Failure, Info, Reason};
#[cfg(feature = "tls")]
pub use lws_tls::{
    Certificate, CertificateSlot, Client, ClientBuilder, ClientCertificates, ConfigError, Host, Identity,
    KeyLog, Resumption, Roots, Server, UnknownName, Update, Validations,
};
use std::time::Duration;

/// TLS of a listener. A `Server` becomes one by `into`, with everything else as it is by default.
#[derive(Clone, Debug)]
pub struct Listen {
    pub(crate) tls: ListenTls,
    pub(crate) plain: Plain,
}

/// What becomes of a peer that speaks no TLS to a listener that does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Plain {
    /// Its request is answered 400, and the connection ends. The default.
    #[default]
    Refuse,
    /// Its request is answered 308 with the same target by `https`.
    #[doc(alias = "LWS_SERVER_OPTION_REDIRECT_HTTP_TO_HTTPS")]
    Redirect,
    /// It is served as if there was no TLS.
    #[doc(alias = "LWS_SERVER_OPTION_ALLOW_NON_SSL_ON_SSL_PORT")]
    Serve,
    /// It is closed without a word.
    Close,
}

/// What has happened to the TLS of a connection.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A handshake is done.
    Established(&'a Info),
    /// A handshake failed, or a session ended by an alert or a broken record.
    Failed(&'a Failure),
}

impl Listen {
    /// What becomes of peers that speak no TLS. Default [`Plain::Refuse`].
    #[must_use]
    pub fn plain(mut self, plain: Plain) -> Self {
        self.plain = plain;
        self.tls.plain = match plain {
            Plain::Refuse | Plain::Redirect | Plain::Serve => tls::Plain::Accept,
            Plain::Close => tls::Plain::Close,
        };
        self
    }

    /// How long a handshake may take. Default 10 s.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.tls.handshake_timeout = timeout;
        self
    }
}

impl<T: Into<ListenTls>> From<T> for Listen {
    fn from(tls: T) -> Self {
        Self { tls: tls.into(), plain: Plain::default() }.plain(Plain::default())
    }
}
