//! What a test is answered.

use super::client::{Fields, Record};
use lws_proto::Cause;
use std::fmt;

/// A response, whole; or what there is of it if its connection has ended.
#[must_use]
pub struct Response(Box<Record>);

impl Response {
    pub(super) fn new(record: Record) -> Self {
        Self(Box::new(record))
    }

    /// The status code; 0 if the connection has ended without one.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The value of the first field line called `name`, in whatever case. Octets that are no text are replaced.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields(name).next()
    }

    /// The values of all field lines called `name`, in whatever case, in order.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = String> {
        values(&self.0.fields, name)
    }

    /// The value of the first trailer field called `name`.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Option<String> {
        values(&self.0.trailers, name).next()
    }

    /// The status codes of the interim responses that came before.
    pub fn interim(&self) -> impl Iterator<Item = u16> {
        self.0.interim.iter().map(|(status, _)| *status)
    }

    /// The content.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.0.content
    }

    /// The content as text.
    ///
    /// # Panics
    /// It is not UTF-8.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        match std::str::from_utf8(&self.0.content) {
            Ok(text) => text,
            Err(error) => panic!("the content is no text: {error}: {:?}", self.0.content),
        }
    }

    /// Whether all of it has come: one that was cut off is not.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.0.complete
    }

    /// Why the exchange ended before the response was complete.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause.filter(|_| !self.0.complete)
    }
}

fn values(fields: &Fields, name: &str) -> impl Iterator<Item = String> {
    let named = fields.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
    let values: Vec<_> = named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
    values.into_iter()
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { status, fields, content, cause, .. } = &*self.0;
        let lossy =
            |(name, value): &(String, Vec<u8>)| (name.clone(), String::from_utf8_lossy(value).into_owned());
        let fields: Vec<_> = fields.iter().map(lossy).collect();
        let mut debug = f.debug_struct("Response");
        debug.field("status", status).field("fields", &fields);
        debug
            .field("content", &String::from_utf8_lossy(content))
            .field("cause", cause)
            .finish_non_exhaustive()
    }
}
