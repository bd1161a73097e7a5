//! A client.
#![forbid(unsafe_code)]
mod client;
mod cookies;
mod deadlines;
mod decode;
#[cfg(feature = "digest")]
mod digest;
mod driver;
mod failure;
mod fields;
mod options;
mod pool;
mod proxy;
mod redirect;
mod reply;
mod request;
mod response;
mod retry;
mod service;
mod slab;
mod tls;
mod tunnel;
mod url;
pub mod ws;

pub use crate::url::{Origin, URL_BYTES_MAX, Url, UrlError};
pub use client::{Action, Client, RequestBuilder, RequestId, Stats};
pub use cookies::CookieJar;
#[cfg(feature = "cookies")]
pub use cookies::MemoryJar;
pub use decode::DecodeError;
pub use failure::{Cause, Deadline, Failure, Phase, Timings};
pub use fields::Fields;
pub use options::{Expect, Limits, Options, Override, RequestOptions, Versions};
pub use pool::Link;
pub use proxy::{Exceptions, NotAProxy, Proxy, ProxyRules, SocksError};
pub use redirect::{RedirectError, RedirectRules};
pub use reply::{Context, Reply, Upload};
pub use request::{Body, Request};
pub use response::{Response, ResponseHead};
pub use retry::RetryRules;
#[cfg(feature = "run")]
pub use service::Runtime;
pub use service::{ClientApp, Task};
pub use tls::{Connector, Tls};
