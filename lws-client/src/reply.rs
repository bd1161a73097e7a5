//! The receiver of a response, and the context of its calls.

use crate::Fields;
use crate::client::{Client, RequestId};
use crate::failure::{Cause, Failure, Phase, Timings};
use crate::response::{Response, ResponseHead};
use lws_proto::{Cause as EngineCause, ExchangePermit, Misuse, Payload, Time};

/// Receives a response as it comes, and gives the content of the request as it can be sent.
///
/// Of all calls only [`end`](Self::end) is certain, and it is the last one.
pub trait Reply {
    /// An interim response has come: 100, 103. RFC 9110 §15.2.
    fn interim(&mut self, cx: &mut Context<'_>, head: &ResponseHead) {
        let _ = (cx, head);
    }

    /// The final response begins. Redirects that are followed and responses that lead to another try are not
    /// delivered.
    fn head(&mut self, cx: &mut Context<'_>, head: ResponseHead) {
        let _ = (cx, head);
    }

    /// Content has come. To slow the peer down there is [`Context::pause`].
    fn body(&mut self, cx: &mut Context<'_>, chunk: &mut [u8]) {
        let _ = (cx, chunk);
    }

    /// The trailer section has come. RFC 9110 §6.5.
    fn trailers(&mut self, cx: &mut Context<'_>, fields: Fields) {
        let _ = (cx, fields);
    }

    /// Content of a [`Body::Stream`](crate::Body::Stream) can be sent. An upload that is dropped sends nothing; then
    /// [`Client::want_write`] asks again.
    fn writable(&mut self, cx: &mut Context<'_>, upload: Upload<'_>) {
        let _ = (cx, upload);
    }

    /// The request is over: exactly once.
    fn end(self: Box<Self>, cx: &mut Context<'_>, outcome: Result<Timings, Failure>);
}

/// Lent to a [`Reply`] with every call: the client, and the request that the call is about.
pub struct Context<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) id: RequestId,
}

impl Context<'_> {
    /// The client, to ask for more.
    pub fn client(&mut self) -> &mut Client {
        self.client
    }

    /// The request.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.client.now()
    }

    /// Stops the delivery of content until [`Client::resume`], except for what has been received and decompressed
    /// already: at most what one turn reads.
    pub fn pause(&mut self) {
        self.client.pause(self.id);
    }

    /// Gives the request up. [`Reply::end`] follows with [`Cause::Cancelled`].
    pub fn cancel(&mut self) {
        self.client.cancel(self.id);
    }

    /// What is known so far: octets sent and received.
    #[must_use]
    pub fn progress(&self) -> Timings {
        self.client.progress(self.id).unwrap_or_default()
    }
}

/// The permit to send content of a request, once.
#[must_use = "an upload that is dropped sends nothing"]
pub struct Upload<'a> {
    pub(crate) permit: ExchangePermit<'a>,
    pub(crate) sent: &'a mut UploadState,
}

/// How far the content of a request has been sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UploadState {
    /// Octets that were handed to the connection.
    pub(crate) bytes: u64,
    /// Something of it, if only its end.
    pub(crate) begun: bool,
    /// All of it.
    pub(crate) ended: bool,
}

impl Upload<'_> {
    /// How many bytes can be sent before the peer or the queue says stop. More are taken all the same. At least 1.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.permit.budget()
    }

    /// Sends content; unless it is the last, [`Reply::writable`] follows when more can be sent.
    ///
    /// # Errors
    /// [`Misuse`]: the content is longer or shorter than was said. Nothing has been sent then.
    pub fn send(self, content: Payload<'_>, end: bool) -> Result<(), Misuse> {
        let len = content.len() as u64;
        let sent = self.permit.data(content, end)?;
        self.sent.bytes += len;
        self.sent.begun = true;
        self.sent.ended = end;
        if !end {
            sent.again();
        }
        Ok(())
    }

    /// Sends content that `fill` writes in place: up to `max` bytes. It returns how many, and whether they are the last.
    ///
    /// # Errors
    /// [`Misuse`]; `fill` has not been called then.
    pub fn fill(self, max: usize, fill: impl FnOnce(&mut [u8]) -> (usize, bool)) -> Result<(), Misuse> {
        let mut filled = (0, false);
        let sent = self.permit.fill(max, |room| {
            filled = fill(room);
            filled
        })?;
        self.sent.bytes += filled.0 as u64;
        self.sent.begun = true;
        self.sent.ended = filled.1;
        if !filled.1 {
            sent.again();
        }
        Ok(())
    }

    /// Ends content of unknown length with a trailer section.
    ///
    /// # Errors
    /// [`Misuse`] if the length was said.
    pub fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        self.permit.trailers(fields)?;
        self.sent.begun = true;
        self.sent.ended = true;
        Ok(())
    }
}

/// Gathers a whole response.
pub(crate) struct Collect<F> {
    max: usize,
    head: Option<ResponseHead>,
    body: Vec<u8>,
    trailers: Fields,
    done: F,
}

impl<F: FnOnce(&mut Context<'_>, Result<Response, Failure>)> Collect<F> {
    pub(crate) fn new(max: usize, done: F) -> Self {
        Self { max, head: None, body: Vec::new(), trailers: Fields::new(), done }
    }
}

impl<F: FnOnce(&mut Context<'_>, Result<Response, Failure>)> Reply for Collect<F> {
    fn head(&mut self, _: &mut Context<'_>, head: ResponseHead) {
        if let Some(length) = head.content_length() {
            // What a peer says is believed up to a page: the rest is made room for when it has come.
            self.body.reserve(usize::try_from(length).unwrap_or(usize::MAX).min(self.max).min(4_096));
        }
        self.head = Some(head);
    }

    fn body(&mut self, cx: &mut Context<'_>, chunk: &mut [u8]) {
        if chunk.len() > self.max - self.body.len() {
            let max = self.max;
            return cx.client.give_up(cx.id, Cause::TooLarge { max });
        }
        self.body.extend_from_slice(chunk);
    }

    fn trailers(&mut self, _: &mut Context<'_>, fields: Fields) {
        self.trailers = fields;
    }

    fn end(self: Box<Self>, cx: &mut Context<'_>, outcome: Result<Timings, Failure>) {
        let Self { head, body, trailers, done, .. } = *self;
        let outcome = outcome.and_then(|timings| match head {
            Some(head) => Ok(Response { head, body, trailers, timings }),
            // A request that ends well has had a head; if ever it has not, that is no response.
            None => Err(Failure::new(Phase::Head, Cause::Stream(EngineCause::Disconnected))),
        });
        done(cx, outcome);
    }
}
