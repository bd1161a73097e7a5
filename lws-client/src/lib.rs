//! A client.
#![forbid(unsafe_code)]
mod deadlines;
mod decode;
mod failure;
mod fields;
mod options;
mod pool;
mod proxy;
mod redirect;
mod retry;
mod slab;
mod tls;
mod url;

pub use crate::url::{Origin, URL_BYTES_MAX, Url, UrlError};
pub use decode::DecodeError;
pub use failure::{Cause, Deadline, Failure, Phase, Timings};
pub use fields::Fields;
pub use options::{Expect, Limits, Options, Override, RequestOptions, Versions};
pub use pool::Link;
pub use proxy::{Exceptions, NotAProxy, Proxy, ProxyRules, SocksError};
pub use redirect::{RedirectError, RedirectRules};
pub use retry::RetryRules;
pub use tls::{Connector, Tls};
