//! Protocols as plugins: a server finds them by name, begins them at each site that asks for them, with the options that the site says, and
//! ends them with it.
//!
//! ```
//! use lws_plugin::{Options, Plugin, Registry, SessionKind, SiteFacts, SiteProtocol, StartError, websockets};
//! use lws_server::ws::{Accepted, Handler, Message};
//! use lws_server::{Context, Endpoint, WebSocket};
//! use std::sync::Arc;
//!
//! /// Answers each text with a greeting.
//! struct Greeter;
//!
//! impl Plugin for Greeter {
//!     fn name(&self) -> &str {
//!         "greeter"
//!     }
//!
//!     fn kinds(&self) -> &[SessionKind] {
//!         &[SessionKind::WebSocket]
//!     }
//!
//!     fn start(&self, _: &SiteFacts<'_>, options: &Options) -> Result<Arc<dyn SiteProtocol>, StartError> {
//!         let greeting = options.text("greeting")?.unwrap_or_else(|| "Hello".into());
//!         Ok(Arc::new(Greetings(greeting.into())))
//!     }
//! }
//!
//! /// The greeting of one site.
//! struct Greetings(Arc<str>);
//!
//! impl SiteProtocol for Greetings {
//!     fn endpoint(&self, _: &str) -> Box<dyn Endpoint> {
//!         let greeting = Arc::clone(&self.0);
//!         websockets(move |_| Accepted::new(Session(Arc::clone(&greeting))))
//!     }
//! }
//!
//! /// One WebSocket.
//! struct Session(Arc<str>);
//!
//! impl Handler for Session {
//!     fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
//!         // A peer that does not read what it has asked for misses answers.
//!         if let (Some(text), Ok(permit)) = (message.text(), stream.permit()) {
//!             let _ = permit.text(&format!("{}, {text}", self.0));
//!         }
//!     }
//! }
//!
//! let mut registry = Registry::new();
//! registry.add(Greeter)?;
//!
//! let site = SiteFacts::new("example.com");
//! let greeter = registry.find("greeter")?.start(&site, &Options::from_json(r#"{ "greeting": "Good day" }"#)?)?;
//! let endpoint = greeter.endpoint("/");
//!
//! let error = registry.find("greater").expect_err("there is no such protocol");
//! assert_eq!(error.to_string(), r#"there is no protocol "greater"; did you mean "greeter"?"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * A [`Plugin`] is one for the process, a [`SiteProtocol`] one for each site, an [`Endpoint`](lws_server::Endpoint) one for each thread
//!   and place of the site, and a handler one for each connection.
//! * What a site has of a protocol lives until the site has gone, or has other options, and its last session has ended.
//! * With the feature `load` a [`Registry`] also takes plugins from the files of a folder: libraries in C, or whatever speaks its
//!   conventions, that define `lwx_plugin_entry` of `include/lwx_plugin.h`.

#[cfg(feature = "load")]
mod codes;
mod endpoints;
#[cfg(feature = "load")]
mod frame;
#[cfg(feature = "load")]
mod load;
#[cfg(feature = "load")]
mod native;
mod options;
mod plugin;
mod registry;
#[cfg(feature = "load")]
mod requests;
#[cfg(feature = "load")]
mod sys;

pub use endpoints::{raw_streams, websockets};
#[cfg(feature = "load")]
pub use load::{Distrust, Refusal, RefusalReason};
pub use options::{OptionError, Options};
pub use plugin::{Plugin, SessionKind, SiteFacts, SiteProtocol, StartError};
pub use registry::{NameTaken, PluginSource, Registered, Registry, UnknownProtocol};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
