//! The outcome of a request: it is answered, repeated, redirected, or has failed. Every path ends in `finish`.

use super::exchange::{Job, Stage};
use super::links::StreamUse;
use super::{Called, Client, Due, RequestId, Work};
use crate::Fields;
use crate::decode::Decoder;
use crate::failure::{Cause, Failure, Phase, Timings};
use crate::pool::Link;
use crate::redirect::{Hop, RedirectError};
use crate::reply::{Context, Reply};
use crate::response::ResponseHead;
use crate::retry::{Verdict, after_status, retry_after};
use lws_proto::StreamKey;
use lws_proto::http::{Head, Status};
use std::time::Duration;

/// The size of the buffer for decompressed content.
const SCRATCH_BYTES: usize = 16 << 10;

/// The meaning of a response for its request.
enum Meaning {
    /// It is the answer.
    Answer,
    /// The request is sent again, as it is now.
    Again { fresh: bool, after: Option<Duration> },
    /// The request has come to its end.
    Fail(Cause),
}

impl Client {
    /// Calls the reply of a request, unless it has gone.
    pub(super) fn call_reply<R>(
        &mut self,
        id: RequestId,
        call: impl FnOnce(&mut dyn Reply, &mut Context<'_>) -> R,
    ) -> Option<R> {
        // The reply is out of its place while it is called, so that it can be lent the client as well.
        let exchange = self.exchanges.get_mut(id.0)?;
        if exchange.wishes.cancel.is_some() {
            // The request was cancelled, so only its end is delivered.
            return None;
        }
        let Job::Reply(reply) = &mut exchange.job else { return None };
        let mut reply = reply.take()?;
        let result =
            self.calling(Called::Request(id), |client| call(&mut *reply, &mut Context { client, id }));
        if let Some(exchange) = self.exchanges.get_mut(id.0) {
            exchange.job = Job::Reply(Some(reply));
        }
        Some(result)
    }

    // Heads.

    /// An interim response has come.
    pub(super) fn on_interim(&mut self, id: RequestId, head: &Head<'_>) {
        if head.status().is_some_and(|status| status.code() == 100) {
            self.send_content(id);
        }
        let Some(exchange) = self.exchanges.get(id.0) else { return };
        let head = ResponseHead::of(head, &exchange.request.url);
        self.call_reply(id, |reply, cx| reply.interim(cx, &head));
    }

    /// Ends the wait of content for a 100 response.
    pub(super) fn send_content(&mut self, id: RequestId) {
        self.due.cancel(Due::Continue(id));
        if self.exchanges.get(id.0).is_some_and(|exchange| !exchange.upload.ended) {
            self.want_write(id);
        }
    }

    /// The final response begins on the stream of a request.
    pub(super) fn on_head(&mut self, id: RequestId, head: &Head<'_>, end: bool) {
        self.due.cancel(Due::FirstByte(id));
        if end || !head.status().is_some_and(Status::is_success) {
            // Its content is not wanted. Otherwise the response may have to wait for it: the server takes it without a 100.
            self.due.cancel(Due::Continue(id));
        }
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        let mut head = ResponseHead::of(head, &exchange.request.url);
        if let Some(jar) = &mut self.jar {
            for cookie in head.fields.get_all("set-cookie") {
                jar.store(&exchange.request.url, cookie, self.unix_seconds);
            }
        }
        match self.meaning(id, &head) {
            Meaning::Answer => {}
            Meaning::Fail(cause) => return self.fail_now(id, cause),
            Meaning::Again { fresh, after } => return self.ask_again(id, fresh, after),
        }
        let (now, ratio) = (self.now, self.options.limits.decoded_ratio_max);
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        exchange.timings.starttransfer = now - exchange.begun;
        exchange.answered = true;
        if let Stage::Running { phase, .. } = &mut exchange.stage {
            *phase = Phase::Body;
        }
        let content = !end && exchange.request.method != "HEAD";
        if exchange.options.decompress && content {
            exchange.decoder = take_off_coding(&mut head, ratio);
        }
        self.call_reply(id, |reply, cx| reply.head(cx, head));
        if end {
            self.on_content_end(id);
        }
    }

    fn meaning(&mut self, id: RequestId, head: &ResponseHead) -> Meaning {
        let unix_seconds = self.unix_seconds;
        if head.status.code() == 421 {
            self.keep_apart(id);
        }
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return Meaning::Answer };
        let (status, replayable) = (head.status.code(), exchange.is_replayable());
        // RFC 9110 §15.5.20: not acted on, whatever the method. Once, and on a connection of its own.
        if status == 421 && replayable && !std::mem::replace(&mut exchange.misdirected, true) {
            return Meaning::Again { fresh: true, after: None };
        }
        // RFC 9110 §10.1.1: the request is repeated without the expectation.
        let expected = !exchange.upload.ended && !exchange.upload.begun;
        if status == 417 && expected && !std::mem::replace(&mut exchange.without_expect, true) {
            return Meaning::Again { fresh: false, after: None };
        }
        #[cfg(feature = "digest")]
        if status == 401
            && replayable
            && exchange.digest.is_challenged(exchange.options.digest.is_some(), &head.fields)
        {
            return Meaning::Again { fresh: false, after: None };
        }
        let hint = head.fields.get("retry-after").and_then(|value| retry_after(value, unix_seconds));
        let rules = &exchange.options.retry;
        let tries = exchange.status_tries + 1;
        let delay = after_status(status, hint, tries, exchange.is_repeatable(), rules);
        if let Some(delay) = delay.filter(|_| replayable)
            && self.budget.spend()
        {
            exchange.status_tries = tries;
            exchange.timings.retries += 1;
            self.stats.retries_total += 1;
            return Meaning::Again { fresh: false, after: Some(delay) };
        }
        self.redirect(id, head)
    }

    /// A request was answered 421: its origin uses the connection of another one no more. RFC 9110 §15.5.20.
    fn keep_apart(&mut self, id: RequestId) {
        let Some(exchange) = self.exchanges.get(id.0) else { return };
        let Stage::Running { link, .. } = exchange.stage else { return };
        let key = exchange.key_for(&self.options);
        if self.pool.key(link).is_some_and(|of_link| of_link != key) {
            self.pool.keep_apart(self.now, &key);
        }
    }

    /// Follows a redirect, if it is one.
    fn redirect(&mut self, id: RequestId, head: &ResponseHead) -> Meaning {
        let now = self.now;
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return Meaning::Answer };
        let replayable = exchange.is_replayable();
        let request = &mut exchange.request;
        let hop =
            Hop { url: &request.url, method: &request.method, hops: exchange.timings.redirects, replayable };
        let rules = exchange.options.redirects.clone();
        let next = match hop.next(head.status.code(), &head.fields, &rules) {
            None => return Meaning::Answer,
            Some(Err(error)) => return Meaning::Fail(Cause::Redirect(error)),
            Some(Ok(next)) => next,
        };
        next.strip(&mut request.fields, &rules);
        if let Some(method) = next.method {
            request.method = method.into();
            request.body = crate::Body::Empty;
        }
        if next.leaves {
            // What was said for one place alone.
            exchange.options.connect_to = None;
            #[cfg(feature = "digest")]
            {
                exchange.options.digest = None;
                exchange.digest = crate::digest::DigestState::default();
            }
        }
        (request.target, request.host) = (None, None);
        request.url = next.url;
        exchange.timings.redirects += 1;
        exchange.timings.redirect = now - exchange.begun;
        (exchange.fresh, exchange.misdirected) = (false, false);
        exchange.acted = true;
        exchange.tries = 0;
        self.stats.redirects_total += 1;
        Meaning::Again { fresh: false, after: None }
    }

    // Content.

    /// Content has come on the stream of a request.
    pub(super) fn on_content(&mut self, id: RequestId, chunk: &mut [u8], end: bool) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        exchange.timings.bytes_received += chunk.len() as u64;
        if exchange.decoder.is_some() {
            if exchange.held.is_empty() {
                self.decode(id, chunk);
            } else {
                exchange.held.extend_from_slice(chunk);
            }
        } else if !chunk.is_empty() {
            self.call_reply(id, |reply, cx| reply.body(cx, chunk));
        }
        if end {
            self.on_content_end(id);
        }
    }

    /// Decompresses and delivers content until the application pauses. The rest is kept.
    fn decode(&mut self, id: RequestId, mut input: &[u8]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(SCRATCH_BYTES, 0);
        while let Some(exchange) = self.exchanges.get_mut(id.0) {
            if exchange.wishes.cancel.is_some() {
                break;
            }
            if exchange.wishes.paused {
                exchange.held = input.to_vec();
                break;
            }
            let Some(decoder) = &mut exchange.decoder else { break };
            match decoder.decode(input, &mut scratch) {
                Ok((taken, made)) => {
                    input = &input[taken..];
                    if made > 0 {
                        self.call_reply(id, |reply, cx| reply.body(cx, &mut scratch[..made]));
                    }
                    if input.is_empty() && made < SCRATCH_BYTES {
                        break;
                    }
                }
                Err(error) => {
                    self.give_up(id, Cause::Encoding(error));
                    break;
                }
            }
        }
        self.scratch = scratch;
    }

    /// Goes on with content that was kept while the application paused.
    pub(super) fn tell_held(&mut self, id: RequestId) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        if exchange.wishes.paused {
            return;
        }
        let held = std::mem::take(&mut exchange.held);
        if !held.is_empty() {
            self.decode(id, &held);
        }
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        if exchange.held.is_empty() {
            if let Stage::Running { link, stream, .. } = exchange.stage {
                self.touch(link, stream);
            } else if exchange.stage == Stage::Held && exchange.wishes.cancel.is_none() {
                self.complete(id);
            }
        }
    }

    pub(super) fn on_trailers(&mut self, id: RequestId, head: &Head<'_>) {
        let fields: Fields = head.fields().collect();
        self.call_reply(id, |reply, cx| reply.trailers(cx, fields));
    }

    /// All content has come.
    pub(super) fn on_content_end(&mut self, id: RequestId) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        exchange.received = true;
        // The response came before the end of the request (RFC 9110 §15.4), and the server does not wait for the
        // rest of that.
        if !exchange.upload.ended
            && let Stage::Running { link, stream, .. } = exchange.stage
        {
            self.abandon(link, stream);
        }
    }

    // Ends.

    /// The stream of a request has ended.
    pub(super) fn on_stream_end(&mut self, id: RequestId, cause: lws_proto::Cause) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        if let Some(cause) = exchange.wishes.cancel.take() {
            let failure = exchange.failure(cause);
            return self.finish(id, Err(failure));
        }
        if !exchange.received {
            let failure = exchange.failure(Cause::Stream(cause));
            return self.failed_try(id, failure);
        }
        if exchange.held.is_empty() {
            self.complete(id);
        } else {
            exchange.stage = Stage::Held;
        }
    }

    /// Completes a request whose whole response has been delivered.
    fn complete(&mut self, id: RequestId) {
        let now = self.now;
        let Some(exchange) = self.exchanges.get(id.0) else { return };
        let outcome = match exchange.decoder.as_ref().map_or(Ok(()), Decoder::finish) {
            Ok(()) => Ok(exchange.timings_at(now)),
            Err(error) => Err(exchange.failure(Cause::Encoding(error))),
        };
        self.finish(id, outcome);
    }

    /// Handles a failed try: the request is repeated, or fails.
    pub(super) fn failed_try(&mut self, id: RequestId, failure: Failure) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        let verdict = match exchange.job {
            Job::Reply(_) => exchange.try_now().verdict(&failure, &exchange.options.retry),
            // A WebSocket has rules of its own.
            Job::Socket(_) => Verdict::Fail,
        };
        match verdict {
            Verdict::Again { fresh } if self.budget.spend() => {
                exchange.timings.retries += 1;
                exchange.acted |= !failure.retryable;
                self.stats.retries_total += 1;
                self.ask_again(id, fresh, None);
            }
            _ => self.finish(id, Err(failure)),
        }
    }

    /// Handles a request of which nothing was sent on its connection.
    pub(super) fn unsent(&mut self, id: RequestId) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        let most = exchange.options.retry.tries_max.max(UNSENT_TRIES_MIN);
        if exchange.tries >= most {
            let mut failure = exchange.failure(Cause::Stream(lws_proto::Cause::Disconnected));
            (failure.phase, failure.retryable) = (Phase::Pool, true);
            return self.finish(id, Err(failure));
        }
        exchange.fresh |= exchange.tries + 1 >= most;
        exchange.begin_again();
        self.enqueue(id);
    }

    /// Lets a request leave its stream and be sent again.
    fn ask_again(&mut self, id: RequestId, fresh: bool, after: Option<Duration>) {
        let Some(exchange) = self.exchanges.get(id.0) else { return };
        let before = exchange.stage;
        self.detach(id);
        let now = self.now;
        let after = after.or_else(|| self.wait_for_same(id, before).filter(|_| !fresh));
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        exchange.begin_again();
        exchange.fresh = fresh;
        exchange.hop_begun = now;
        match after {
            Some(delay) => {
                exchange.stage = Stage::Delayed;
                self.due.set(Due::Again(id), now + delay);
            }
            None => self.enqueue(id),
        }
    }

    /// Lets a request that goes to the same place again wait a little for the connection that it had, whose content is being read
    /// to its end. For how long, if it waits.
    fn wait_for_same(&mut self, id: RequestId, before: Stage) -> Option<Duration> {
        let Stage::Running { link, stream, .. } = before else { return None };
        let key = self.exchanges.get(id.0)?.key_for(&self.options);
        let record = self.links.get_mut(link.name()).filter(|record| record.key == key)?;
        match &mut record.streams.get_mut(stream)?.used {
            StreamUse::Discard { then, .. } => {
                *then = Some(id);
                Some(DISCARD_WAIT)
            }
            _ => None,
        }
    }

    /// The connection that a request waited for is free, or never will be.
    pub(super) fn wait_no_longer(&mut self, waits: Option<RequestId>) {
        if let Some(id) = waits
            && self.exchanges.get(id.0).is_some_and(|exchange| exchange.stage == Stage::Delayed)
        {
            self.due.cancel(Due::Again(id));
            self.enqueue(id);
        }
    }

    /// Detaches a request from the pool, its connection or its stream.
    fn detach(&mut self, id: RequestId) {
        self.due.cancel(Due::FirstByte(id));
        self.due.cancel(Due::Continue(id));
        self.due.cancel(Due::Again(id));
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        match std::mem::replace(&mut exchange.stage, Stage::New) {
            Stage::Waiting => self.pool.forget(id.0),
            Stage::Running { link, stream, .. } => {
                // An answer whose content was all seen costs the connection nothing.
                let whole = exchange.upload.ended;
                self.leave_stream(link, stream, whole);
            }
            // Its connection finds nothing to begin, and is given back then.
            Stage::Assigned(_) | Stage::New | Stage::Delayed | Stage::Held => {}
        }
    }

    fn leave_stream(&mut self, link: Link, stream: StreamKey, whole: bool) {
        let (limits, now) = (&self.options.limits, self.now);
        let (left, until) = (limits.discard_bytes_max, now + limits.discard_timeout);
        let Some(record) = self.links.get_mut(link.name()) else { return };
        let shared = record.is_shared();
        let Some(used) = record.streams.get_mut(stream) else { return };
        if whole && !shared {
            // A little content is read, so that the connection can be used again.
            used.used = StreamUse::Discard { left, then: None };
            self.due.set(Due::Discard(link), until);
            self.touch(link, stream);
        } else {
            used.used = StreamUse::Abandoned;
            self.touch(link, stream);
        }
    }

    fn fail_now(&mut self, id: RequestId, cause: Cause) {
        let Some(exchange) = self.exchanges.get(id.0) else { return };
        let mut failure = exchange.failure(cause);
        if matches!(failure.cause, Cause::Redirect(RedirectError::NotReplayable)) {
            failure.retryable = false;
        }
        self.finish(id, Err(failure));
    }

    /// The one end of every request. It is delivered in [`settle`](Client::settle), after what is being done here has been done.
    pub(super) fn finish(&mut self, id: RequestId, mut outcome: Result<Timings, Failure>) {
        let now = self.now;
        if let (Err(failure), Some(exchange)) = (&mut outcome, self.exchanges.get_mut(id.0)) {
            failure.retryable &= !exchange.acted;
            if !matches!(failure.cause, Cause::Stream(_)) {
                // The rest of a response that has failed here is not used.
                exchange.upload.ended = false;
            }
        }
        self.detach(id);
        self.due.cancel(Due::Total(id));
        let Some(exchange) = self.exchanges.remove(id.0) else { return };
        let outcome = outcome.map(|timings| Timings { total: now - exchange.begun, ..timings });
        match outcome {
            Ok(_) => self.stats.completed_total += 1,
            Err(_) => self.stats.failed_total += 1,
        }
        match exchange.job {
            Job::Reply(Some(reply)) => self.later(Work::End(id, reply, outcome)),
            // It has panicked. One that is being called ends its request only by a wish.
            Job::Reply(None) => {}
            Job::Socket(socket) => {
                if let Err(failure) = outcome {
                    self.later(Work::HandshakeFailed(socket, Box::new(failure)));
                }
            }
        }
    }
}

/// How long a request that goes to the same place again waits for the connection that it had.
const DISCARD_WAIT: Duration = Duration::from_millis(50);
/// Tries of a request that its connections did not take.
const UNSENT_TRIES_MIN: u32 = 3;

/// The decoder for a response, whose fields then are those of what it makes.
fn take_off_coding(head: &mut ResponseHead, ratio_max: u32) -> Option<Decoder> {
    let codings: Vec<&[u8]> = head.fields.get_all("content-encoding").collect();
    let [coding] = codings[..] else { return None };
    let coding: Box<[u8]> = coding.into();
    if head.status.is_without_content() || head.status.code() == 206 {
        return None;
    }
    let decoder = Decoder::new(&coding, ratio_max)?;
    head.decoded = Some(coding);
    head.fields.remove("content-encoding");
    head.fields.remove("content-length");
    Some(decoder)
}
