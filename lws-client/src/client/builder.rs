//! The builder of requests.

use super::{Client, RequestId};
use crate::failure::Failure;
use crate::options::RequestOptions;
use crate::proxy::basic;
use crate::redirect::RedirectRules;
use crate::reply::{Context, Reply};
use crate::request::{Body, Request};
use crate::response::Response;
use bytes::Bytes;
use std::time::Duration;

/// A request that is being built. Nothing is sent before [`start`](Self::start) or [`collect`](Self::collect).
#[must_use = "nothing is asked for before `start` or `collect`"]
pub struct RequestBuilder<'c> {
    client: &'c mut Client,
    request: Request,
}

impl<'c> RequestBuilder<'c> {
    pub(super) fn new(client: &'c mut Client, request: Request) -> Self {
        Self { client, request }
    }

    /// Adds a field line.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.fields.add(name, value);
        self
    }

    /// Sets the content, all of which is in memory.
    pub fn body(mut self, content: impl Into<Bytes>) -> Self {
        self.request.body = Body::Bytes(content.into());
        self
    }

    /// Sends content as a stream: [`Reply::writable`] is called for each piece.
    pub fn stream(mut self, length: Option<u64>) -> Self {
        self.request.body = Body::Stream { length };
        self
    }

    /// Changes the options of the request.
    pub fn options(mut self, change: impl FnOnce(&mut RequestOptions)) -> Self {
        change(self.request.options.get_or_insert_with(|| self.client.options.request.clone()));
        self
    }

    /// Sets the time for the whole request.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.options(|options| options.timeout = Some(timeout))
    }

    /// Follows up to ten redirects.
    pub fn follow_redirects(self) -> Self {
        self.options(|options| options.redirects = RedirectRules::follow())
    }

    /// Credentials of Basic. They are dropped where a redirect leaves the origin. RFC 7617.
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.request.fields.set("authorization", basic(user, password));
        self
    }

    /// A bearer token. It is dropped where a redirect leaves the origin. RFC 6750.
    pub fn bearer(mut self, token: &str) -> Self {
        self.request.fields.set("authorization", format!("Bearer {token}"));
        self
    }

    /// Sends the user and password that the URL carries, as Basic.
    pub fn with_user_information(self) -> Self {
        match self.request.url.user_information() {
            Some((user, password)) => self.basic(&user, &password),
            None => self,
        }
    }

    /// The request, for [`Client::start`].
    pub fn build(self) -> Request {
        self.request
    }

    /// Queues the request. Its outcome is delivered exactly once, in a later call.
    pub fn start(self, reply: impl Reply + 'static) -> RequestId {
        self.client.start(self.request, reply)
    }

    /// Begins it, and gathers a response of up to `max` bytes of content. `done` is called once, later.
    pub fn collect(
        self,
        max: usize,
        done: impl FnOnce(&mut Context<'_>, Result<Response, Failure>) + 'static,
    ) -> RequestId {
        self.client.collect(self.request, max, done)
    }
}
