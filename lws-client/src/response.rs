//! Responses.

use crate::Fields;
use crate::failure::Timings;
use crate::url::Url;
use lws_proto::http::{Head, Status, Version};

/// The head of a response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResponseHead {
    /// The status code.
    pub status: Status,
    /// The version that it was sent with.
    pub version: Version,
    /// The fields. Of content that is decompressed they have neither `Content-Encoding` nor `Content-Length`.
    pub fields: Fields,
    /// What was asked for last, if redirects were followed.
    pub url: Url,
    /// The `Content-Encoding` that was taken off, if the content is decompressed.
    pub decoded: Option<Box<[u8]>>,
}

impl ResponseHead {
    pub(crate) fn of(head: &Head<'_>, url: &Url) -> Self {
        let fields = head.fields().collect();
        // Every response has a status code.
        let status = head.status().unwrap_or(Status::OK);
        Self { status, version: head.version(), fields, url: url.clone(), decoded: None }
    }

    /// The length of the content, if it is said.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.fields.text("content-length").and_then(|text| text.parse().ok())
    }
}

/// A whole response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Response {
    /// Status and fields.
    pub head: ResponseHead,
    /// The content.
    pub body: Vec<u8>,
    /// The trailer section; empty if there was none.
    pub trailers: Fields,
    /// How long it took.
    pub timings: Timings,
}

impl Response {
    /// The status code as a number.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status.code()
    }

    /// The content as text; what is no UTF-8 becomes the replacement character.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}
