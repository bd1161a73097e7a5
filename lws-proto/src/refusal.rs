//! What the responses say by which the engine itself refuses a request.
//!
//! Knows neither how a response is framed nor what is refused.

use crate::error::Cause;
use crate::http::Status;
use alloc::borrow::Cow;
use bytes::Bytes;
use core::fmt;

/// The content of a response that reports an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorContent {
    /// Its `Content-Type`.
    pub content_type: Cow<'static, str>,
    /// Its bytes.
    pub content: Bytes,
}

/// Says what the engine's own refusals look like: of a request that it cannot understand (400, 414, 431), that takes too long (408) or
/// brings too much (413), and so on. Without one they are a line of plain text.
///
/// It changes neither the status code nor the framing: what is longer than [`REFUSAL_BYTES_MAX`], cannot be written as a field, or does
/// not fit into the peer's windows of HTTP/2 at once, is left out for that line. It must not wait for anything.
pub trait RenderRefusal: fmt::Debug + Send + Sync {
    /// The content of the response with `status`. `None` leaves the line of plain text.
    fn render(&self, status: Status, cause: Cause) -> Option<ErrorContent>;
}

/// Bytes that the content of a refusal may have: it is queued at once, whatever the peer takes.
pub const REFUSAL_BYTES_MAX: usize = 16 << 10;

/// The content of a refusal as the application wants it, if that can be sent within `bytes_max`.
#[cold]
pub(crate) fn rendered(
    renderer: Option<&dyn RenderRefusal>,
    status: Status,
    cause: Cause,
    bytes_max: usize,
) -> Option<ErrorContent> {
    let content = renderer?.render(status, cause)?;
    (content.content.len() <= bytes_max.min(REFUSAL_BYTES_MAX)).then_some(content)
}
