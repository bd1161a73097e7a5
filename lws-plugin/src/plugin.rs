//! What a protocol is that a server can be extended by, and what it is at one site.

use crate::options::{OptionError, Options};
use lws_server::Endpoint;
use std::fmt;
use std::sync::Arc;

/// What connections a protocol is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionKind {
    /// WebSockets with the protocol's name: [`Endpoint::upgrade`].
    WebSocket,
    /// Connections that carry bytes and no HTTP: [`Endpoint::raw`].
    Raw,
    /// Requests: [`Endpoint::request`].
    Http,
}

impl fmt::Display for SessionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebSocket => "websocket",
            Self::Raw => "raw",
            Self::Http => "http",
        })
    }
}

/// The site that a protocol begins at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SiteFacts<'a> {
    /// The name that requests call it by.
    pub name: &'a str,
}

impl<'a> SiteFacts<'a> {
    /// The site of this name.
    #[must_use]
    pub fn new(name: &'a str) -> Self {
        Self { name }
    }
}

/// A protocol with a name, by which sites ask for it. One for the whole process, shared by its threads.
///
/// See the [front page](crate) for one that is whole.
#[doc(alias = "lws_protocols")]
#[doc(alias = "lws_plugin")]
pub trait Plugin: Send + Sync + 'static {
    /// The name: a `token`, RFC 9110 §5.6.2, as it is that of WebSockets. Always the same.
    fn name(&self) -> &str;

    /// The connections that it is for. Its endpoints are asked for no others.
    fn kinds(&self) -> &[SessionKind];

    /// What it is, in a few words, for a person. Default nothing.
    fn summary(&self) -> &str {
        ""
    }

    /// The names of its options. `None` if only the protocol itself knows them, which is the default; otherwise a server says which option
    /// of a site is unknown.
    fn option_names(&self) -> Option<&[&str]> {
        None
    }

    /// Looks at options without doing anything, for a test of a configuration. Default: all are good.
    ///
    /// # Errors
    /// The first option with which [`start`](Self::start) would fail.
    fn check(&self, options: &Options) -> Result<(), OptionError> {
        let _ = options;
        Ok(())
    }

    /// A site begins that has the protocol, at the start of the server or with a reload. Called on any thread, once for a site and not for
    /// each of its threads.
    ///
    /// # Errors
    /// The site cannot be served so: an [`OptionError`] becomes one by itself. Nothing of the configuration is served then.
    #[doc(alias = "LWS_CALLBACK_PROTOCOL_INIT")]
    fn start(&self, site: &SiteFacts<'_>, options: &Options) -> Result<Arc<dyn SiteProtocol>, StartError>;
}

/// A protocol at one site. It is shared by the threads of the server, and dropped when the site has ended or has other options, and the
/// last of its sessions that holds a share of it has ended, too.
#[doc(alias = "LWS_CALLBACK_PROTOCOL_DESTROY")]
pub trait SiteProtocol: Send + Sync + 'static {
    /// What stands behind one place of the site, on the thread that this is called on: a mount with this path, or `""` for raw connections.
    /// It is called anew for each thread and after each reload that has changed something about the site.
    fn endpoint(&self, path: &str) -> Box<dyn Endpoint>;
}

/// Why a protocol cannot begin at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// An option has a value that it cannot have.
    Option(OptionError),
    /// Anything else, in words.
    Failed(String),
    /// The plugin has panicked. It goes on to exist for other sites.
    Panicked,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(error) => error.fmt(f),
            Self::Failed(why) => f.write_str(why),
            Self::Panicked => f.write_str("the plugin has panicked"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<OptionError> for StartError {
    fn from(error: OptionError) -> Self {
        Self::Option(error)
    }
}
