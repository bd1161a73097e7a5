//! A request as a factory or plain handler sees it: the head, lent or kept, and content that is there already.
//!
//! Knows no connection, but for what TLS has agreed on: what it says stays true when the request is answered later.

use crate::http::TraceParent;
use crate::route::path_tree::Pattern;
use crate::tls::Info;
use lws_proto::http::{Head, HeadBuf, Method, Version};
use lws_proto::ws;
use std::str::FromStr;

/// What the server knows of the route of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed<'a> {
    /// The path in normal form.
    pub(crate) path: &'a str,
    pub(crate) pattern: Option<&'a Pattern>,
    pub(crate) content_bytes_max: usize,
}

/// A request head, and for plain handlers its content.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    source: HeadSource<'a>,
    routed: Routed<'a>,
    content: &'a [u8],
    has_content: bool,
    tls: Option<&'a Info>,
    identity: Option<&'a str>,
}

#[derive(Clone, Copy, Debug)]
enum HeadSource<'a> {
    Lent(Head<'a>),
    Kept(&'a KeptHead),
}

impl KeptHead {
    /// Bytes that it costs.
    pub(crate) fn held(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        size_of::<Self>() + size_of_val(&*self.fields) + fields.sum::<usize>() + self.target.len()
    }
}

impl<'a> Request<'a> {
    pub(crate) fn lent(head: Head<'a>, routed: Routed<'a>, has_content: bool, tls: Option<&'a Info>) -> Self {
        Self { source: HeadSource::Lent(head), routed, content: &[], has_content, tls, identity: None }
    }

    pub(crate) fn kept(head: &'a KeptHead, content: &'a [u8], tls: Option<&'a Info>) -> Self {
        let routed = Routed {
            path: &head.path,
            pattern: head.pattern.as_ref(),
            content_bytes_max: head.content_bytes_max,
        };
        Self {
            source: HeadSource::Kept(head),
            routed,
            content,
            has_content: true,
            tls,
            identity: head.identity.as_deref(),
        }
    }

    pub(crate) fn keep(&self) -> KeptHead {
        KeptHead {
            method: self.method(),
            method_name: self.method_name().into(),
            target: self.target().into(),
            raw_path: self.raw_path().into(),
            query: self.query().map(Into::into),
            path: self.routed.path.into(),
            pattern: self.routed.pattern.cloned(),
            content_bytes_max: self.routed.content_bytes_max,
            version: self.version(),
            identity: self.identity.map(Into::into),
            fields: self.fields().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// Copies the head, to be kept. `None` where it is kept already, as it is when all of the content was waited for.
    #[must_use]
    pub fn to_buf(&self) -> Option<HeadBuf> {
        self.head().map(|head| head.to_buf())
    }

    /// The head as the engine lends it; `None` when content had to be waited for.
    pub(crate) fn head(&self) -> Option<Head<'a>> {
        match self.source {
            HeadSource::Lent(head) => Some(head),
            HeadSource::Kept(_) => None,
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.source {
            HeadSource::Lent(head) => head.method(),
            HeadSource::Kept(head) => head.method,
        }
    }

    /// The method as the peer wrote it.
    #[must_use]
    pub fn method_name(&self) -> &'a str {
        match self.source {
            HeadSource::Lent(head) => head.method_name(),
            HeadSource::Kept(head) => &head.method_name,
        }
    }

    /// The request target as the peer wrote it, with the query: for logs and proxies. What a handler decides by is
    /// [`path`](Self::path). RFC 9112 §3.2.
    #[doc(alias = "uri")]
    #[must_use]
    pub fn target(&self) -> &'a str {
        match self.source {
            HeadSource::Lent(head) => head.target(),
            HeadSource::Kept(head) => &head.target,
        }
    }

    /// The path that was routed, in normal form: it begins with `/`, empty segments and those with dots are resolved, and escapes
    /// are decoded but for those that would mean something else then, such as `%2F`. See
    /// [`normal_path`](lws_proto::http::normal_path). Empty for a target without a path.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.routed.path
    }

    /// What the parameter called `name` of the route stands for in [`path`](Self::path): `7` for `id` where `/items/{id}` is the route
    /// and `/items/7` the path. What is still escaped there, such as `%2F`, is escaped here. `None` if the route has no such
    /// parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.routed.pattern?.parameter(name, self.routed.path)
    }

    /// What [`parameter`](Self::parameter) says, as a number or whatever can be read from text. `None` if it cannot.
    ///
    /// ```no_run
    /// use lws_server::{Server, http::{Response, Status}};
    ///
    /// let server = Server::builder().listen("127.0.0.1:7681").get("/items/{id}", |request| {
    ///     match request.parse_parameter::<u32>("id") {
    ///         Some(id) => Response::text(format!("item {id}")),
    ///         None => Response::error(Status::NOT_FOUND),
    ///     }
    /// });
    /// # server.build()?.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn parse_parameter<T: FromStr>(&self, name: &str) -> Option<T> {
        self.parameter(name)?.parse().ok()
    }

    /// The path of the target as the peer wrote it: with its escapes and its dot segments.
    #[must_use]
    pub fn raw_path(&self) -> &'a str {
        match self.source {
            HeadSource::Lent(head) => head.path(),
            HeadSource::Kept(head) => &head.raw_path,
        }
    }

    /// The query of the target, without `?` and with its escapes.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        match self.source {
            HeadSource::Lent(head) => head.query(),
            HeadSource::Kept(head) => head.query.as_deref(),
        }
    }

    /// The version that the request was sent with.
    #[must_use]
    pub fn version(&self) -> Version {
        match self.source {
            HeadSource::Lent(head) => head.version(),
            HeadSource::Kept(head) => head.version,
        }
    }

    /// The value of the first field line called `name`, in whatever case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        match self.source {
            HeadSource::Lent(head) => head.get(name),
            HeadSource::Kept(head) => head
                .fields
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| &**value),
        }
    }

    /// The value of the first field line called `name`, if it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The values of all field lines called `name`, in whatever case, in order.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The field lines, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let (lent, kept) = match self.source {
            HeadSource::Lent(head) => (Some(head.fields()), None),
            HeadSource::Kept(head) => {
                (None, Some(head.fields.iter().map(|(name, value)| (&**name, &**value))))
            }
        };
        lent.into_iter().flatten().chain(kept.into_iter().flatten())
    }

    /// The content, for plain handlers; a streaming [`Handler`](super::Handler) gets it chunk by chunk instead.
    #[must_use]
    pub fn content(&self) -> &'a [u8] {
        self.content
    }

    /// Whether the request has content.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.has_content
    }

    /// How many bytes of content the route lets an endpoint gather:
    /// [`RouteOptions::content_bytes_max`](crate::RouteOptions::content_bytes_max).
    #[must_use]
    pub fn content_bytes_max(&self) -> usize {
        self.routed.content_bytes_max
    }

    /// The identity by which the traces of the request are found in logs, if a
    /// [`RequestIdentity`](crate::layer::RequestIdentity) has given it one.
    #[must_use]
    pub fn identity(&self) -> Option<&'a str> {
        self.identity
    }

    /// The request with an identity, if it has got one.
    pub(crate) fn identified<'i>(&self, identity: Option<&'i str>) -> Request<'i>
    where
        'a: 'i,
    {
        Request { identity: identity.or(self.identity), ..*self }
    }

    /// The request of a route that lets no more than `bytes` of content be gathered.
    pub(crate) fn limited(mut self, bytes: usize) -> Self {
        self.routed.content_bytes_max = self.routed.content_bytes_max.min(bytes);
        self
    }

    /// What TLS has agreed on with the peer: version, name, protocol, certificate. `None` without TLS.
    #[doc(alias = "lws_tls_peer_cert_info")]
    #[must_use]
    pub fn tls(&self) -> Option<&'a Info> {
        self.tls
    }

    /// The trace that the request belongs to, if it names one that is valid. W3C Trace Context §3.2.
    #[must_use]
    pub fn trace_parent(&self) -> Option<TraceParent> {
        TraceParent::of_fields(self.get_all("traceparent"))
    }

    /// The head of an opening handshake of a WebSocket, over whichever version of HTTP, to be accepted later with
    /// [`Exchange::accept_websocket`](super::Exchange::accept_websocket). `None` of every other request, and of one that breaks a rule of RFC
    /// 6455 §4.2.1.
    #[must_use]
    pub fn opening(&self) -> Option<HeadBuf> {
        let head = self.head().filter(ws::is_opening)?;
        ws::check_request(&head).ok().map(|_| head.to_buf())
    }

    /// The subprotocols that a WebSocket client offers, in its order. RFC 6455 §1.9.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> {
        let lines = self.get_all("sec-websocket-protocol");
        let names = lines.flat_map(|line| line.split(|&byte| byte == b','));
        names.filter_map(|name| std::str::from_utf8(name).ok().map(str::trim)).filter(|name| !name.is_empty())
    }

    /// The first subprotocol that a WebSocket client offers which is one of `known`. RFC 6455 §1.9.
    #[doc(alias = "lws_protocols")]
    #[must_use]
    pub fn select_protocol<'k>(&self, known: &[&'k str]) -> Option<&'k str> {
        ws::check_request(&self.head()?).ok()?.select(known)
    }
}

/// A head that outlives its event.
#[derive(Debug)]
pub(crate) struct KeptHead {
    method: Method,
    method_name: Box<str>,
    target: Box<str>,
    raw_path: Box<str>,
    query: Option<Box<str>>,
    path: Box<str>,
    pattern: Option<Pattern>,
    content_bytes_max: usize,
    version: Version,
    identity: Option<Box<str>>,
    fields: Vec<(Box<str>, Box<[u8]>)>,
}
