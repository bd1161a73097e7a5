//! Callbacks of C as endpoints and handlers of Rust.

use crate::error::Error;
use crate::service::Service;
use crate::service::call::{Call, Lent};
use crate::service::streams;
use crate::service::table::{DropUser, Entry, Named, UserData};
use crate::sys::{In, Ref, User};
use crate::types::{self, Key, Str, cause_number, close_code, end_flag, known_flags, message_flags};
use lws_server::http::{self, Exchange, Head, Permit, Request, Response, Status};
use lws_server::{
    Cause, Context, Control, Endpoint, RawPermit, RawStream, WebSocket, WebSocketPermit, raw, ws,
};
use std::collections::BTreeSet;
use std::ffi::c_char;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

/// `lwx_handler`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Handler<'a> {
    /// Of the struct.
    pub size: usize,
    /// What may be done.
    pub flags: u32,
    /// Nothing. Where a hole would be.
    pub reserved: u32,
    /// Subprotocols that are spoken, with commas between them.
    pub protocols: In<'a, c_char>,
    /// What the callbacks are called with.
    pub user: User,
    /// Lets go of it.
    pub drop: Option<DropUser>,
    /// Whether an opening handshake is accepted.
    pub accept: Option<extern "C" fn(Ref<'_, Service>, Key, User) -> i32>,
    /// A request.
    pub request: Option<extern "C" fn(Ref<'_, Service>, Key, u32, User)>,
    /// A WebSocket or raw stream is there.
    pub open: Option<extern "C" fn(Ref<'_, Service>, Key, User)>,
    /// Content, a message, bytes.
    pub data: Option<extern "C" fn(Ref<'_, Service>, Key, *const u8, usize, u32, User)>,
    /// A permit.
    pub writable: Option<extern "C" fn(Ref<'_, Service>, Key, User)>,
    /// A moment has come.
    pub timer: Option<extern "C" fn(Ref<'_, Service>, Key, User)>,
    /// `lwx_wake` was called.
    pub wake: Option<extern "C" fn(Ref<'_, Service>, Key, User)>,
    /// A Ping, Pong or Close.
    pub control: Option<extern "C" fn(Ref<'_, Service>, Key, i32, Str, User)>,
    /// It is over.
    pub closed: Option<extern "C" fn(Ref<'_, Service>, Key, In<'_, Closed>, User)>,
}

/// `lwx_closed`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// Of the struct.
    pub size: usize,
    /// Why.
    pub cause: i32,
    /// The close code.
    pub code: u32,
    /// A short stable name of the cause.
    pub name: Str,
}

/// Messages come in parts.
const STREAMED: u32 = 1;

/// What a handler of C has, as Rust keeps it.
pub(crate) struct Callbacks {
    handler: Handler<'static>,
    protocols: Vec<&'static str>,
    user: UserData,
}

/// A name of a subprotocol, which is kept for ever: once however many services know it.
fn kept(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.into());
    names.insert(kept);
    kept
}

impl Callbacks {
    /// Takes over the pointer of the program, also if something is wrong.
    pub(crate) fn new<'a>(handler: In<'a, Handler<'a>>) -> Result<Self, Error> {
        if handler.is_null() {
            return Err(Error::Null);
        }
        let handler = handler.sized()?;
        // First, so that it is let go if something is wrong.
        let user = UserData::new(handler.user, handler.drop);
        known_flags(handler.flags, STREAMED)?;
        let protocols = handler.protocols.text_if_any()?.unwrap_or_default().split(',');
        let protocols = protocols.map(str::trim).filter(|name| !name.is_empty()).map(kept).collect();
        Ok(Self { handler: Handler { protocols: In::null(), ..handler }, protocols, user })
    }

    fn streamed(&self) -> bool {
        self.handler.flags & STREAMED != 0
    }
}

/// A route.
pub(crate) struct RouteEndpoint {
    pub(crate) service: Rc<Service>,
    pub(crate) callbacks: Rc<Callbacks>,
}

impl Endpoint for RouteEndpoint {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn http::Handler>> {
        let Some(call_request) = self.callbacks.handler.request else {
            return http::Answer::answer(Response::error(Status::NOT_FOUND), cx, exchange, end);
        };
        let mut stream = StreamHandler::new(Rc::clone(&self.service), Rc::clone(&self.callbacks));
        stream.begin(cx);
        stream.call(cx, Lent::Exchange(exchange, Some(request)), |service, key, user| {
            call_request(service, key, end_flag(end), user);
        });
        Some(Box::new(stream))
    }

    fn upgrade(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
        let mut stream = StreamHandler::new(Rc::clone(&self.service), Rc::clone(&self.callbacks));
        stream.begin(cx);
        if let Some(accept) = self.callbacks.handler.accept {
            let answer =
                stream.call(cx, Lent::Opening(request), |service, key, user| accept(service, key, user));
            if answer != 0 {
                return Err(Response::error(refusal(answer)));
            }
        }
        let protocol = request.select_protocol(&self.callbacks.protocols);
        let mut accepted = ws::Accepted::new(stream).protocol(protocol);
        if self.callbacks.streamed() {
            accepted = accepted.streamed();
        }
        Ok(accepted.boxed())
    }
}

/// The status that refuses an opening handshake: that of the callback, if it can be one.
fn refusal(answer: i32) -> Status {
    let status = u32::try_from(answer).ok().and_then(|code| types::status(code).ok());
    status.filter(|status| status.is_error()).unwrap_or(Status::FORBIDDEN)
}

/// One exchange, WebSocket or raw stream of C.
pub(crate) struct StreamHandler {
    service: Rc<Service>,
    callbacks: Rc<Callbacks>,
    /// Zero until it begins.
    key: Key,
}

impl StreamHandler {
    pub(crate) fn new(service: Rc<Service>, callbacks: Rc<Callbacks>) -> Self {
        Self { service, callbacks, key: 0 }
    }

    /// One that has a key already.
    pub(crate) fn with_key(service: Rc<Service>, callbacks: Rc<Callbacks>, key: Key) -> Self {
        Self { service, callbacks, key }
    }

    /// Notes what it is called, in place of what is known so far.
    fn begin(&mut self, cx: &mut Context<'_>) {
        let named = cx.id().map_or(Named::Coming, Named::Stream);
        let mut table = self.service.table.borrow_mut();
        if self.key == 0 {
            self.key = table.insert(Entry::new(named));
        } else if let Ok(entry) = table.get(self.key) {
            entry.named = named;
        }
    }

    /// What its callbacks are called with: a pointer of its own, or that of its route.
    fn user(&self) -> User {
        let mut table = self.service.table.borrow_mut();
        let own = table.get(self.key).ok().and_then(|entry| entry.user.as_ref());
        own.map_or(self.callbacks.user.get(), UserData::get)
    }

    fn call<R>(
        &self,
        cx: &mut Context<'_>,
        lent: Lent<'_>,
        call: impl FnOnce(Ref<'_, Service>, Key, User) -> R,
    ) -> R {
        let user = self.user();
        let mut lent = Call { cx, key: self.key, lent };
        self.service.call_out(&mut lent, |service| call(service, self.key, user))
    }

    fn call_if(
        &self,
        callback: Option<extern "C" fn(Ref<'_, Service>, Key, User)>,
        cx: &mut Context<'_>,
        lent: Lent<'_>,
    ) {
        if let Some(callback) = callback {
            self.call(cx, lent, |service, key, user| callback(service, key, user));
        }
    }

    fn call_data(&self, cx: &mut Context<'_>, lent: Lent<'_>, bytes: &[u8], flags: u32) {
        if let Some(data) = self.callbacks.handler.data {
            self.call(cx, lent, |service, key, user| {
                data(service, key, bytes.as_ptr(), bytes.len(), flags, user);
            });
        }
    }

    /// Does what other calls wanted done, and calls C if they wanted that.
    fn woken(&self, cx: &mut Context<'_>, mut lent: Lent<'_>) {
        let pending =
            self.service.table.borrow_mut().get(self.key).map(|entry| std::mem::take(&mut entry.pending));
        let Ok(pending) = pending else { return };
        let wake = pending.wake;
        if streams::apply(pending, &mut lent) && wake {
            self.call_if(self.callbacks.handler.wake, cx, lent);
        }
    }

    fn over(&mut self, cx: &mut Context<'_>, cause: Cause) {
        if let Some(closed) = self.callbacks.handler.closed {
            let report = Closed {
                size: size_of::<Closed>(),
                cause: cause_number(cause),
                code: close_code(cause),
                name: Str::lend(cause.name().as_bytes()),
            };
            self.call(cx, Lent::Nothing, |service, key, user| {
                closed(service, key, In::from(&report), user);
            });
        }
        self.forget();
    }

    /// Its key finds nothing from now on.
    fn forget(&mut self) {
        let key = std::mem::take(&mut self.key);
        let entry = self.service.table.borrow_mut().remove(key);
        drop(entry);
    }
}

impl Drop for StreamHandler {
    /// An end without a call: the service was freed.
    fn drop(&mut self) {
        self.forget();
    }
}

impl http::Handler for StreamHandler {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {
        // The endpoint has called C already, as it has the request.
    }

    fn content(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        self.call_data(cx, Lent::Exchange(exchange, None), chunk, end_flag(end));
    }

    fn trailers(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: Head<'_>) {}

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        let lent = Lent::Exchange(permit.into_exchange(), None);
        self.call_if(self.callbacks.handler.writable, cx, lent);
    }

    fn timer(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        self.call_if(self.callbacks.handler.timer, cx, Lent::Exchange(exchange, None));
    }

    fn wake(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        self.woken(cx, Lent::Exchange(exchange, None));
    }

    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        self.over(cx, cause);
    }
}

impl ws::Handler for StreamHandler {
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.begin(cx);
        self.call_if(self.callbacks.handler.open, cx, Lent::WebSocket(stream));
    }

    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: ws::Message<'_>) {
        let flags = message_flags(message.kind, message.first, message.end);
        self.call_data(cx, Lent::WebSocket(stream), message.chunk, flags);
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        let lent = Lent::WebSocket(permit.into_stream());
        self.call_if(self.callbacks.handler.writable, cx, lent);
    }

    fn control(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, control: Control<'_>) {
        let Some(callback) = self.callbacks.handler.control else { return };
        let (kind, bytes) = match control {
            Control::Ping(payload) => (crate::event::kind::PING, payload),
            Control::Pong(payload) => (crate::event::kind::PONG, payload),
            Control::Close { reason, .. } => (crate::event::kind::CLOSE, reason.as_bytes()),
            _ => return,
        };
        self.call(cx, Lent::WebSocket(stream), |service, key, user| {
            callback(service, key, kind, Str::lend(bytes), user);
        });
    }

    fn timer(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.call_if(self.callbacks.handler.timer, cx, Lent::WebSocket(stream));
    }

    fn wake(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.woken(cx, Lent::WebSocket(stream));
    }

    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        self.over(cx, cause);
    }
}

impl raw::Handler for StreamHandler {
    fn open(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        self.begin(cx);
        self.call_if(self.callbacks.handler.open, cx, Lent::Raw(stream));
    }

    fn chunk(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>, chunk: &mut [u8], end: bool) {
        self.call_data(cx, Lent::Raw(stream), chunk, end_flag(end));
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: RawPermit<'_>) {
        let lent = Lent::Raw(permit.into_stream());
        self.call_if(self.callbacks.handler.writable, cx, lent);
    }

    fn timer(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        self.call_if(self.callbacks.handler.timer, cx, Lent::Raw(stream));
    }

    fn wake(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        self.woken(cx, Lent::Raw(stream));
    }

    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        self.over(cx, cause);
    }
}
