//! A whole response as a value.

use super::errors::{ErrorContent, ErrorForm};
use lws_proto::http::Status;
use lws_proto::{Bytes, Payload};
use std::borrow::Cow;

const TEXT: &str = "text/plain; charset=utf-8";

/// A response with all of its content. Making one from static text allocates nothing.
///
/// ```
/// use lws_server::http::{Response, Status};
///
/// let hello = Response::text("Hello, world!");
/// let gone = Response::new(Status::GONE).field("Cache-Control", "no-store");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Response {
    pub(super) status: Status,
    pub(super) content_type: Option<&'static str>,
    pub(super) fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(super) content: Content,
    /// It reports an error in the server's words, for which the application may have others.
    pub(super) reports: bool,
}

impl Response {
    /// `status`, without content.
    pub fn new(status: Status) -> Self {
        Self { status, content_type: None, fields: Vec::new(), content: Content::default(), reports: false }
    }

    /// 200 with `text/plain; charset=utf-8`.
    pub fn text(content: impl Into<Content>) -> Self {
        Self::ok(TEXT, content)
    }

    /// 200 with `text/html; charset=utf-8`.
    pub fn html(content: impl Into<Content>) -> Self {
        Self::ok("text/html; charset=utf-8", content)
    }

    /// 200 with `application/json`.
    pub fn json(content: impl Into<Content>) -> Self {
        Self::ok("application/json", content)
    }

    /// 200 with `content_type`.
    pub fn ok(content_type: &'static str, content: impl Into<Content>) -> Self {
        Self { content_type: Some(content_type), content: content.into(), ..Self::new(Status::OK) }
    }

    /// `status` with its number and reason phrase as plain text: what the server itself answers to a request that it
    /// cannot serve. [`Builder::errors`](crate::Builder::errors) may have other words for it.
    pub fn error(status: Status) -> Self {
        let text = format!("{} {}\n", status.code(), status.reason());
        Self::text(text).status(status).reporting()
    }

    /// Notes that it reports an error in words for which the application may have others.
    pub(crate) fn reporting(mut self) -> Self {
        self.reports = true;
        self
    }

    /// Puts the application's words for an error in the place of the server's.
    #[cold]
    pub(super) fn render(&mut self, form: &ErrorForm) {
        if !self.reports || self.status.code() < 400 {
            return;
        }
        let own = (self.content_type == Some(TEXT)).then(|| self.content.text()).flatten();
        let reason = own.map_or_else(|| self.status.reason().to_owned(), |text| text.trim_end().to_owned());
        let unnumbered = reason.strip_prefix(&format!("{} ", self.status.code())).unwrap_or(&reason);
        if let Some(ErrorContent { content_type, content }) = form.content(self.status, unnumbered) {
            self.content_type = None;
            self.fields.push(("Content-Type".into(), content_type));
            self.content = content.into();
            if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("Vary")) {
                self.fields.push(("Vary".into(), "Accept".into()));
            }
        }
    }

    /// Sets the status.
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Adds a field line. What is written is checked when the response is sent; one with a line break becomes a 500.
    #[doc(alias = "lws_add_http_header_by_name")]
    pub fn field(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Sets `Content-Type`.
    pub fn content_type(mut self, value: &'static str) -> Self {
        self.content_type = Some(value);
        self
    }

    /// Sets the content.
    pub fn content(mut self, content: impl Into<Content>) -> Self {
        self.reports = false;
        self.content = content.into();
        self
    }

    #[inline]
    pub(super) fn field_lines(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let content_type = self.content_type.map(|value| ("Content-Type", value.as_bytes()));
        let fields = self.fields.iter().map(|(name, value)| (&**name, value.as_bytes()));
        content_type.into_iter().chain(fields)
    }
}

/// Content that is there in whole.
#[derive(Clone, Debug)]
pub struct Content(Octets);

#[derive(Clone, Debug)]
enum Octets {
    Static(&'static [u8]),
    Own(Bytes),
}

impl Content {
    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Octets::Static(bytes) => bytes.len(),
            Octets::Own(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn text(&self) -> Option<&str> {
        let octets = match &self.0 {
            Octets::Static(octets) => *octets,
            Octets::Own(octets) => &octets[..],
        };
        std::str::from_utf8(octets).ok()
    }

    pub(super) fn into_payload(self) -> Payload<'static> {
        match self.0 {
            Octets::Static(bytes) => Payload::Static(bytes),
            Octets::Own(bytes) => Payload::Own(bytes),
        }
    }
}

impl Default for Content {
    fn default() -> Self {
        Self(Octets::Static(b""))
    }
}

impl From<&'static str> for Content {
    fn from(text: &'static str) -> Self {
        Self(Octets::Static(text.as_bytes()))
    }
}

impl From<&'static [u8]> for Content {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Octets::Static(bytes))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self(Octets::Own(text.into_bytes().into()))
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Octets::Own(bytes.into()))
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self(Octets::Own(bytes))
    }
}
