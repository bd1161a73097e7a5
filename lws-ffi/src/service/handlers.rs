//! Callbacks of C as endpoints and handlers of Rust.

use crate::error::Error;
use crate::service::Service;
use crate::service::call::{Call, Lent};
use crate::service::streams;
use crate::service::table::{DropUser, Entry, Named, UserData};
use crate::sys::{In, Ref, User};
use crate::types::{self, Field, Key, Str, cause_number, close_code, end_flag, known_flags, message_flags};
use lws_server::client::ResponseHead;
use lws_server::http::{self, Exchange, Head, Permit, Request, Response, Status};
use lws_server::{
    Cause, Context, Control, Endpoint, RawPermit, RawStream, WebSocket, WebSocketPermit, raw, ws,
};
use std::cell::Cell;
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
    /// Another server has answered: the end of the first version is before this.
    pub response: Option<extern "C" fn(Ref<'_, Service>, Key, In<'_, ResponseInfo>, User)>,
    /// A WebSocket to another server was lost, and comes back.
    pub lost: Option<extern "C" fn(Ref<'_, Service>, Key, In<'_, Closed>, User)>,
}

/// `lwx_response`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ResponseInfo {
    /// Of the struct.
    pub size: usize,
    /// The status code.
    pub status: u32,
    /// Of HTTP: 10, 11, 20.
    pub version: u32,
    /// The field lines.
    pub fields: *const Field,
    /// How many.
    pub field_count: usize,
    /// What was asked for last, if redirects were followed.
    pub url: Str,
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
    /// For a person; often empty.
    pub detail: Str,
}

/// Why a stream is over, as C sees it.
pub(crate) struct Ending {
    pub(crate) cause: i32,
    pub(crate) code: u32,
    pub(crate) name: &'static str,
    pub(crate) detail: String,
}

impl Ending {
    pub(crate) const COMPLETE: Self = Self { cause: 1, code: 0, name: "complete", detail: String::new() };
    pub(crate) const ABORTED: Self =
        Self { cause: types::CAUSE_ABORTED, code: 0, name: "aborted", detail: String::new() };

    pub(crate) fn of(cause: Cause) -> Self {
        let detail = String::new();
        Self { cause: cause_number(cause), code: close_code(cause), name: cause.name(), detail }
    }

    /// Of a WebSocket that this side has closed.
    pub(crate) fn closed(code: u32) -> Self {
        Self { cause: 2, code, name: "closed", detail: String::new() }
    }

    /// With the status that has refused an opening handshake, if one has.
    pub(crate) fn refused_with(mut self, status: u32) -> Self {
        if status != 0 {
            self.code = status;
        }
        self
    }

    pub(crate) fn detail(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// What C is lent.
    fn report(&self) -> Closed {
        Closed {
            size: size_of::<Closed>(),
            cause: self.cause,
            code: self.code,
            name: Str::lend(self.name.as_bytes()),
            detail: Str::lend(self.detail.as_bytes()),
        }
    }
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

    pub(crate) fn is_streamed(&self) -> bool {
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
        if self.callbacks.is_streamed() {
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
    known_user: Cell<KnownUser>,
}

/// What the callbacks of a stream are called with, as of a number of changes: see [`Service::users_changed`].
#[derive(Clone, Copy)]
struct KnownUser {
    user: User,
    as_of: u64,
}

impl KnownUser {
    /// Nothing is known: no service counts so far.
    const NONE: Self = Self { user: User::NULL, as_of: u64::MAX };
}

impl StreamHandler {
    pub(crate) fn new(service: Rc<Service>, callbacks: Rc<Callbacks>) -> Self {
        Self::with_key(service, callbacks, 0)
    }

    /// One that has a key already.
    pub(crate) fn with_key(service: Rc<Service>, callbacks: Rc<Callbacks>, key: Key) -> Self {
        Self { service, callbacks, key, known_user: Cell::new(KnownUser::NONE) }
    }

    /// Notes what it is called, in place of what is known so far.
    fn begin(&mut self, cx: &mut Context<'_>) {
        let named = cx.id().map_or(Named::Coming, Named::Stream);
        let mut table = self.service.table.borrow_mut();
        if self.key == 0 {
            self.key = table.insert(Entry::new(named));
            self.known_user.set(KnownUser::NONE);
        } else if let Ok(entry) = table.get(self.key) {
            entry.named = named;
        }
    }

    /// What its callbacks are called with: a pointer of its own, or that of its route.
    #[inline]
    fn user(&self) -> User {
        let known = self.known_user.get();
        if known.as_of == self.service.users_changed.get() { known.user } else { self.look_up_user() }
    }

    #[inline(never)]
    fn look_up_user(&self) -> User {
        let mut table = self.service.table.borrow_mut();
        let own = table.get(self.key).ok().and_then(|entry| entry.user.as_ref());
        let user = own.map_or(self.callbacks.user.get(), UserData::get);
        self.known_user.set(KnownUser { user, as_of: self.service.users_changed.get() });
        user
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

    pub(crate) fn call_open(&self, cx: &mut Context<'_>) {
        self.call_if(self.callbacks.handler.open, cx, Lent::Nothing);
    }

    pub(crate) fn call_response(&self, cx: &mut Context<'_>, head: &ResponseHead) {
        let Some(response) = self.callbacks.handler.response else { return };
        let lend = |(name, value): (&str, &[u8])| Field {
            name: Str::lend(name.as_bytes()),
            value: Str::lend(value),
        };
        let fields: Vec<_> = head.fields.iter().map(lend).collect();
        let info = ResponseInfo {
            size: size_of::<ResponseInfo>(),
            status: head.status.code().into(),
            version: types::version_number(head.version),
            fields: fields.as_ptr(),
            field_count: fields.len(),
            url: Str::lend(head.url.as_str().as_bytes()),
        };
        self.call(cx, Lent::Nothing, |service, key, user| response(service, key, In::from(&info), user));
    }

    pub(crate) fn call_lost(&self, cx: &mut Context<'_>, ending: &Ending) {
        // A message that had begun went with the connection.
        if let Ok(entry) = self.service.table.borrow_mut().get(self.key) {
            entry.in_message = false;
        }
        if let Some(lost) = self.callbacks.handler.lost {
            let report = ending.report();
            self.call(cx, Lent::Nothing, |service, key, user| lost(service, key, In::from(&report), user));
        }
    }

    /// Calls `writable` if it was asked for.
    pub(crate) fn call_if_wanted(&self, cx: &mut Context<'_>) {
        let mut table = self.service.table.borrow_mut();
        let wanted = table.get(self.key).is_ok_and(|entry| std::mem::take(&mut entry.wants_write));
        drop(table);
        if wanted {
            self.call_if(self.callbacks.handler.writable, cx, Lent::Nothing);
        }
    }

    pub(crate) fn call_control(&self, cx: &mut Context<'_>, lent: Lent<'_>, kind: i32, bytes: &[u8]) {
        if let Some(control) = self.callbacks.handler.control {
            self.call(cx, lent, |service, key, user| control(service, key, kind, Str::lend(bytes), user));
        }
    }

    pub(crate) fn call_data(&self, cx: &mut Context<'_>, lent: Lent<'_>, bytes: &[u8], flags: u32) {
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

    pub(crate) fn over(&mut self, cx: &mut Context<'_>, ending: &Ending) {
        if let Some(closed) = self.callbacks.handler.closed {
            let report = ending.report();
            self.call(cx, Lent::Nothing, |service, key, user| {
                closed(service, key, In::from(&report), user);
            });
        }
        self.forget();
    }

    /// Its key finds nothing from now on.
    fn forget(&mut self) {
        let key = std::mem::take(&mut self.key);
        self.known_user.set(KnownUser::NONE);
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
        self.over(cx, &Ending::of(cause));
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
        if let Some((kind, bytes)) = types::control_frame(&control) {
            self.call_control(cx, Lent::WebSocket(stream), kind, bytes);
        }
    }

    fn timer(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.call_if(self.callbacks.handler.timer, cx, Lent::WebSocket(stream));
    }

    fn wake(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.woken(cx, Lent::WebSocket(stream));
    }

    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        self.over(cx, &Ending::of(cause));
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
        self.over(cx, &Ending::of(cause));
    }
}
