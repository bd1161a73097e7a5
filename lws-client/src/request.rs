//! Requests.

use crate::Fields;
use crate::options::RequestOptions;
use crate::url::Url;
use bytes::Bytes;
use std::borrow::Cow;

/// A request, as it is kept until it has been answered: it may be sent again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// A token, such as `GET`.
    pub method: Cow<'static, str>,
    /// Where to.
    pub url: Url,
    /// The request target in place of the path and query of the URL, octet for octet, as a proxy passes it on. What cannot be a target fails
    /// the request. A redirect that is followed ends it, as it ends `host`.
    pub target: Option<String>,
    /// The value of `Host` in place of the URL's authority.
    pub host: Option<String>,
    /// Fields of the application. `Host`, the framing of the content and what the options ask for are the client's own.
    pub fields: Fields,
    /// The content.
    pub body: Body,
    /// How it is done. `None` is as [`Options::request`](crate::Options::request) of the client says.
    pub options: Option<RequestOptions>,
}

/// The content of a request.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// All of it is there, and it can be sent again.
    Bytes(Bytes),
    /// It is asked for with [`Reply::writable`](crate::Reply::writable) when it can be sent. Once begun it cannot be sent again.
    Stream {
        /// How many bytes, if that is known.
        length: Option<u64>,
    },
}

impl Request {
    /// A request without fields and content.
    #[must_use]
    pub fn new(method: impl Into<Cow<'static, str>>, url: Url) -> Self {
        Self {
            method: method.into(),
            url,
            target: None,
            host: None,
            fields: Fields::new(),
            body: Body::Empty,
            options: None,
        }
    }
}

impl Body {
    /// How many bytes it has, if that is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Stream { length } => *length,
        }
    }
}
