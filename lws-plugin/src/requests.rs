//! Requests to a protocol of a library: what it orders for their responses, and how an exchange ends that it fails.

use crate::codes::{self, CAUSE_ABORTED, END};
use crate::frame::{self, CallFrame, FieldLines, Orders, OutboundBytes, ResponseHead, ResponsePhase};
use crate::native::{NativeSite, next_key};
use crate::sys::{ForeignProtocol, HTTP, Opening, UserPointer};
use lws_server::http::{Exchange, Handler, Permit, Request, Response, Status};
use lws_server::{Cause, Context, Misuse, Payload};
use std::sync::Arc;

/// One exchange.
pub(crate) struct NativeExchange {
    site: Arc<NativeSite>,
    key: u64,
    response: ResponsePhase,
    session: ExchangeSession,
}

/// What the library has of an exchange.
enum ExchangeSession {
    /// `open` has answered well, and `closed` is due.
    Open(UserPointer),
    /// It has answered an error since, and is called once more, to be closed.
    Failed(UserPointer),
    /// Nothing is due.
    Closed,
}

/// The bytes of content that can be written now, none without a permit.
fn budget(exchange: Exchange<'_>) -> (usize, Exchange<'_>) {
    match exchange.permit() {
        Ok(permit) => (permit.budget(), permit.into_exchange()),
        Err(exchange) => (0, exchange),
    }
}

/// Sends what was ordered. Answers whether the exchange has said all of its response then.
fn send(
    exchange: &mut Exchange<'_>,
    head: Option<ResponseHead>,
    outbound: OutboundBytes,
) -> Result<bool, Misuse> {
    // There was a permit when the call began, and nothing has been written since.
    let permit = exchange.reborrow().permit().map_err(|_| Misuse::WrongState)?;
    let (content, end) = (Payload::Own(outbound.bytes.into()), outbound.flags & END != 0);
    let spent = match head {
        Some(ResponseHead { status, fields }) => {
            let fields = fields.into_iter().map(|(name, value)| (name.into_string(), value));
            permit.respond(status, fields, content, end)?
        }
        None => permit.data(content, end)?,
    };
    Ok(spent.into_exchange().has_ended())
}

impl NativeExchange {
    /// Begins the exchange of a request.
    pub(crate) fn begin(
        site: &Arc<NativeSite>,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Self {
        let opening = Opening {
            kind: HTTP,
            flags: if end { END } else { 0 },
            path: request.path().to_owned(),
            query: request.query().unwrap_or_default().to_owned(),
            peer: cx.peer().to_string(),
            method: request.method_name().to_owned(),
        };
        let fields: FieldLines = request.fields().map(|(name, value)| (name.into(), value.into())).collect();
        let mut begun = Self {
            site: Arc::clone(site),
            key: next_key(),
            response: ResponsePhase::Due,
            session: ExchangeSession::Closed,
        };
        let (budget, exchange) = budget(exchange);
        let frame = CallFrame::of_exchange(begun.key, budget, begun.response).with_request(fields);
        let open = || begun.site.protocol.open(begun.key, &opening, &begun.site.user);
        match frame::during(frame, open) {
            (Ok(user), orders) => {
                begun.session = ExchangeSession::Open(user);
                begun.carry_out(orders, cx, exchange);
            }
            (Err(_), _) => begun.fail(exchange),
        }
        begun
    }

    /// Calls the library for an exchange that it has not failed.
    fn call(
        &mut self,
        cx: &mut Context<'_>,
        exchange: Exchange<'_>,
        call: impl FnOnce(&ForeignProtocol, u64, &UserPointer) -> i32,
    ) {
        let ExchangeSession::Open(user) = &self.session else { return };
        let (budget, exchange) = budget(exchange);
        let frame = CallFrame::of_exchange(self.key, budget, self.response);
        match frame::during(frame, || call(&self.site.protocol, self.key, user)) {
            (0.., orders) => self.carry_out(orders, cx, exchange),
            (_, _) => self.fail(exchange),
        }
    }

    /// Carries out what was ordered, in the order of the header.
    fn carry_out(&mut self, orders: Orders, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        if let Some(timer) = orders.timer {
            exchange.set_timeout(timer.map(|after| cx.now() + after));
        }
        match orders.pause {
            Some(true) => exchange.pause(),
            Some(false) => exchange.resume(),
            None => {}
        }
        if let Some(bytes) = orders.limit_content {
            exchange.limit_content(bytes);
        }
        if let Some(outbound) = orders.write {
            match send(&mut exchange, orders.head, outbound) {
                Ok(has_ended) => {
                    self.response = if has_ended { ResponsePhase::Over } else { ResponsePhase::Begun }
                }
                // More or less content than its length says: this shows only now.
                Err(_) => return self.fail(exchange),
            }
        }
        if orders.want_write {
            exchange.want_write();
        }
        if orders.close.is_some() {
            exchange.abort();
        }
    }

    /// Ends an exchange that the library has failed: 500 if nothing of a response has been sent, and otherwise cut off, so that the peer
    /// does not take a part for the whole.
    fn fail(&mut self, exchange: Exchange<'_>) {
        self.session = match std::mem::replace(&mut self.session, ExchangeSession::Closed) {
            ExchangeSession::Open(user) => ExchangeSession::Failed(user),
            other => other,
        };
        match self.response {
            ResponsePhase::Due => {
                match exchange.reply(Response::error(Status::INTERNAL_SERVER_ERROR)) {
                    Ok(()) => self.response = ResponsePhase::Over,
                    // Too much is queued. It is answered by `writable`, when there is room.
                    Err((mut exchange, _)) => exchange.want_write(),
                }
            }
            ResponsePhase::Begun => exchange.abort(),
            ResponsePhase::Over => {}
        }
    }

    fn finish(&mut self, cause: i32) {
        match std::mem::replace(&mut self.session, ExchangeSession::Closed) {
            ExchangeSession::Open(user) | ExchangeSession::Failed(user) => {
                self.site.protocol.closed(&user, cause);
            }
            ExchangeSession::Closed => {}
        }
    }
}

impl Drop for NativeExchange {
    /// Of one that was ended without a last call, as a thread that goes down does.
    fn drop(&mut self) {
        self.finish(CAUSE_ABORTED);
    }
}

impl Handler for NativeExchange {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {
        // `begin` has done it, while the request was there.
    }

    fn content(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        let flags = if end { END } else { 0 };
        self.call(cx, exchange, |protocol, key, user| protocol.message(key, user, chunk, flags));
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        let exchange = permit.into_exchange();
        if !matches!(self.session, ExchangeSession::Open(_)) {
            // What `fail` had no room for.
            return self.fail(exchange);
        }
        self.call(cx, exchange, |protocol, key, user| protocol.writable(key, user));
    }

    fn timer(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        self.call(cx, exchange, |protocol, key, user| protocol.timer(key, user));
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        self.finish(codes::cause(&cause));
    }
}
