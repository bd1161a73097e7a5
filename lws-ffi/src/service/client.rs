//! Requests to other servers, and WebSockets to them, with the client of the service's thread.
//!
//! What the client reports comes without a context of the server. It is handed to C right after, with one, in the order in which it came.

use crate::error::{self, Error};
use crate::service::call::Lent;
use crate::service::handlers::{Callbacks, Ending, Handler, StreamHandler};
use crate::service::links::with_key;
use crate::service::table::Named;
use crate::service::{Service, enter};
use crate::sys::{In, Out, Ref};
use crate::types::{
    self, END, InField, Key, PING, TEXT, field_lines, known_flags, message_flags, message_kind,
};
use lws_proto::{Bytes, Control};
use lws_server::client::ws::{self, OutboxLimits, ReconnectRules, SendError, SocketId};
use lws_server::client::{
    self as client, Body, Deliveries, Failure, Fields, RedirectRules, Reply, Request, RequestOptions,
    ResponseHead, Timings, Versions,
};
use lws_server::ws::CloseCode;
use lws_server::{Address, Context};
use std::cell::RefCell;
use std::ffi::c_char;
use std::rc::Rc;
use std::time::Duration;

/// `lwx_connect_options`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions<'a> {
    /// Of the struct.
    pub size: usize,
    /// What may be done.
    pub flags: u32,
    /// Nothing. Where a hole would be.
    pub reserved: u32,
    /// Of a request.
    pub method: In<'a, c_char>,
    /// Subprotocols to offer, with commas between them.
    pub protocols: In<'a, c_char>,
    /// Further fields.
    pub fields: In<'a, InField<'a>>,
    /// How many.
    pub field_count: usize,
    /// The content of a request.
    pub content: In<'a, u8>,
    /// Bytes of it.
    pub content_size: usize,
    /// Certificates that are trusted, in a PEM file.
    pub tls_roots: In<'a, c_char>,
    /// Where the connection goes to in place of the host of the URL.
    pub connect_to: In<'a, c_char>,
    /// From the beginning to the end.
    pub timeout_us: u64,
}

/// Redirects are followed.
const FOLLOW: u32 = 1;
/// HTTP/2 without being asked.
const HTTP2: u32 = 2;
/// Compression of messages is offered.
const DEFLATE: u32 = 4;
/// A WebSocket that is lost comes back.
const RECONNECT: u32 = 8;

impl ConnectOptions<'_> {
    /// What holds for requests and WebSockets alike.
    fn apply(&self, service: &Service, options: &mut RequestOptions) -> Result<(), Error> {
        if self.flags & FOLLOW != 0 {
            options.redirects = RedirectRules::follow();
        }
        if self.flags & HTTP2 != 0 {
            options.versions = Versions::Http2;
        }
        if self.timeout_us != 0 {
            options.timeout = Some(Duration::from_micros(self.timeout_us));
        }
        if let Some(roots) = self.tls_roots.text_if_any()? {
            options.tls = Some(service.trusted.borrow_mut().by_file(roots)?);
        }
        if let Some(address) = self.connect_to.text_if_any()? {
            let address: Address = address.parse().map_err(|error| error::argument(&error))?;
            options.connect_to = Some(address);
        }
        Ok(())
    }

    fn fields(&self) -> Result<Fields, Error> {
        let mut fields = Fields::new();
        for (name, value) in field_lines(self.fields, self.field_count)? {
            fields.add(std::str::from_utf8(name).map_err(|_| Error::Field)?, value);
        }
        Ok(fields)
    }

    fn request(&self, service: &Service, url: &str) -> Result<Request, Error> {
        known_flags(self.flags, FOLLOW | HTTP2)?;
        let mut options = RequestOptions::default();
        self.apply(service, &mut options)?;
        let mut request = service.with_call(|call| {
            let builder = call.cx.client().get(url).map_err(|error| error::argument(&error))?;
            Ok(builder.options(|asked| *asked = options).build())
        })?;
        if request.url.is_websocket() {
            return Err(Error::Argument);
        }
        if let Some(method) = self.method.text_if_any()? {
            request.method = method.to_owned().into();
        }
        request.fields = self.fields()?;
        let content = self.content.slice(self.content_size)?;
        if !self.content.is_null() {
            request.body = Body::Bytes(Bytes::copy_from_slice(content));
        }
        Ok(request)
    }
}

/// The roots that requests have named, once for each file: requests with the same ones share connections.
#[derive(Debug, Default)]
pub(crate) struct Trusted(Vec<(String, client::Tls)>);

impl Trusted {
    #[cfg(feature = "ring")]
    fn by_file(&mut self, path: &str) -> Result<client::Tls, Error> {
        use lws_server::tls::{Client, Roots};
        if let Some((_, known)) = self.0.iter().find(|(known, _)| known == path) {
            return Ok(known.clone());
        }
        let roots = Roots::file(path);
        // What cannot be read is said now, and not with the first request.
        Client::builder().roots(roots.clone()).build().map_err(|error| error::system(&error))?;
        let tls = client::Tls::rustls(move |alpn| Client::builder().roots(roots.clone()).alpn(alpn).build());
        self.0.push((path.to_owned(), tls.clone()));
        Ok(tls)
    }

    #[cfg(not(feature = "ring"))]
    fn by_file(&mut self, _: &str) -> Result<client::Tls, Error> {
        Err(Error::Unsupported)
    }
}

/// A request or WebSocket of C, and the way to its callbacks.
struct Outgoing {
    stream: Rc<RefCell<StreamHandler>>,
    deliveries: Deliveries,
}

impl Outgoing {
    fn new(service: &Rc<Service>, callbacks: Rc<Callbacks>, key: Key, deliveries: Deliveries) -> Self {
        let stream = StreamHandler::with_key(Rc::clone(service), callbacks, key);
        Self { stream: Rc::new(RefCell::new(stream)), deliveries }
    }

    fn later(&self, call: impl FnOnce(&StreamHandler, &mut Context<'_>) + 'static) {
        let stream = Rc::clone(&self.stream);
        self.deliveries.call(move |cx| call(&stream.borrow(), cx));
    }

    fn data(&self, bytes: &[u8], flags: u32) {
        let bytes = bytes.to_vec();
        self.later(move |stream, cx| stream.call_data(cx, Lent::Nothing, &bytes, flags));
    }

    fn response(&self, head: ResponseHead) {
        self.later(move |stream, cx| stream.call_response(cx, &head));
    }

    fn over(&self, ending: Ending) {
        let stream = Rc::clone(&self.stream);
        self.deliveries.call(move |cx| stream.borrow_mut().over(cx, &ending));
    }
}

impl Reply for Outgoing {
    fn head(&mut self, _: &mut client::Context<'_>, head: ResponseHead) {
        self.response(head);
    }

    fn body(&mut self, _: &mut client::Context<'_>, chunk: &mut [u8]) {
        self.data(chunk, 0);
    }

    fn end(self: Box<Self>, _: &mut client::Context<'_>, outcome: Result<Timings, Failure>) {
        match outcome {
            Ok(_) => {
                self.data(&[], END);
                self.over(Ending::COMPLETE);
            }
            Err(failure) => self.over(failed(&failure, 0)),
        }
    }
}

impl ws::Handler for Outgoing {
    fn open(&mut self, _: &mut ws::Context<'_>, opened: &ws::Opened) {
        self.response(opened.head.clone());
        self.later(|stream, cx| stream.call_open(cx));
    }

    fn message(&mut self, _: &mut ws::Context<'_>, message: ws::Message<'_>) {
        self.data(message.bytes, message_flags(message.kind, message.first, message.last));
    }

    fn control(&mut self, _: &mut ws::Context<'_>, control: Control<'_>) {
        if let Some((kind, bytes)) = types::control_frame(&control) {
            let bytes = bytes.to_vec();
            self.later(move |stream, cx| stream.call_control(cx, Lent::Nothing, kind, &bytes));
        }
    }

    fn drained(&mut self, _: &mut ws::Context<'_>) {
        self.later(|stream, cx| stream.call_if_wanted(cx));
    }

    fn lost(&mut self, _: &mut ws::Context<'_>, lost: &ws::Lost) {
        let ending = failed(&lost.failure, refused_with(lost.refusal.as_deref()));
        self.later(move |stream, cx| stream.call_lost(cx, &ending));
    }

    fn gave_up(self: Box<Self>, _: &mut ws::Context<'_>, why: ws::GaveUp) {
        self.over(match why {
            ws::GaveUp::Closed { code } => Ending::closed(code.get().into()),
            ws::GaveUp::Failed { failure, refusal } => failed(&failure, refused_with(refusal.as_deref())),
            // `Cancelled`, and what later versions of the client may add.
            _ => Ending::ABORTED,
        });
    }
}

/// The status with which a server has refused an opening handshake; zero if it has not.
fn refused_with(refusal: Option<&ws::Refusal>) -> u32 {
    refusal.map_or(0, |refusal| refusal.head.status.code().into())
}

fn failed(failure: &Failure, status: u32) -> Ending {
    let detail = failure.to_string();
    let (cause, name) = match &failure.cause {
        client::Cause::Stream(cause) => return Ending::of(*cause).refused_with(status).detail(detail),
        client::Cause::Cancelled => return Ending::ABORTED.detail(detail),
        client::Cause::TimedOut(_) => (types::CAUSE_TIMEOUT, "timeout"),
        client::Cause::TooLarge { .. } | client::Cause::TooManyWaiting => (types::CAUSE_LIMIT, "limit"),
        client::Cause::Encoding(_) => (types::CAUSE_VIOLATION, "encoding"),
        client::Cause::Request(_) => (types::CAUSE_OTHER, "request"),
        client::Cause::Redirect(_) => (types::CAUSE_OTHER, "redirect"),
        client::Cause::NotReplayable => (types::CAUSE_OTHER, "not_replayable"),
        // No connection, no TLS, no proxy.
        _ => (types::CAUSE_UNREACHABLE, "unreachable"),
    };
    Ending { cause, code: status, name, detail }
}

// Calls on what is outgoing: from anywhere on the thread, as what waits for a server is bounded.

/// Sends a message.
pub(crate) fn write(
    service: &Service,
    key: Key,
    id: SocketId,
    bytes: &[u8],
    flags: u32,
) -> Result<(), Error> {
    if flags & PING != 0 {
        return Err(Error::Unsupported);
    }
    known_flags(flags, END | TEXT)?;
    let (kind, end) = (message_kind(flags), flags & END != 0);
    let in_message = service.table.borrow_mut().get(key)?.in_message;
    types::check_text(kind, bytes, end && !in_message)?;
    let payload = Bytes::copy_from_slice(bytes);
    let sent = service.with_call(|call| {
        let sent = call.cx.client().send_part(id, kind, payload, end);
        sent.map_err(|error| match error {
            // What has begun cannot be completed on another connection.
            SendError::NotOpen if in_message => Error::State,
            SendError::Gone => Error::State,
            _ => Error::Again,
        })
    });
    if sent == Err(Error::State) {
        service.table.borrow_mut().get(key)?.in_message = false;
    }
    sent?;
    service.table.borrow_mut().get(key)?.in_message = !end;
    Ok(())
}

/// Bytes that a message may have now.
pub(crate) fn budget(service: &Service, id: SocketId) -> Result<usize, Error> {
    service.with_call(|call| Ok(call.cx.client().send_room(id)))
}

pub(crate) fn want_write(service: &Service, key: Key, id: SocketId) -> Result<(), Error> {
    service.table.borrow_mut().get(key)?.wants_write = true;
    service.with_call(|call| {
        call.cx.client().want_drained(id);
        Ok(())
    })
}

pub(crate) fn set_paused(service: &Service, named: Named, paused: bool) -> Result<(), Error> {
    service.with_call(|call| {
        let client = call.cx.client();
        match (named, paused) {
            (Named::Request(id), true) => client.pause(id),
            (Named::Request(id), false) => client.resume(id),
            (Named::Socket(id), true) => client.pause_socket(id),
            (Named::Socket(id), false) => client.resume_socket(id),
            _ => return Err(Error::Protocol),
        }
        Ok(())
    })
}

pub(crate) fn close(service: &Service, id: SocketId, code: CloseCode, reason: &str) -> Result<(), Error> {
    service.with_call(|call| {
        call.cx.client().close(id, code, reason);
        Ok(())
    })
}

pub(crate) fn abort(service: &Service, named: Named) -> Result<(), Error> {
    service.with_call(|call| {
        match named {
            Named::Request(id) => call.cx.client().cancel(id),
            Named::Socket(id) => call.cx.client().abort_socket(id),
            _ => return Err(Error::Protocol),
        }
        Ok(())
    })
}

// The interface, in the order of the header.

/// `lwx_fetch`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_fetch<'a>(
    service: Ref<'_, Service>,
    url: In<'_, c_char>,
    options: In<'a, ConnectOptions<'a>>,
    handler: In<'a, Handler<'a>>,
    out: Out<'_, Key>,
) -> i32 {
    let callbacks = Callbacks::new(handler);
    enter(service, |service| {
        out.put_if_any(0)?;
        let callbacks = Rc::new(callbacks?);
        let request = options.sized()?.request(service, url.text()?)?;
        let key = with_key(service, |key| {
            service.with_call(|call| {
                let outgoing = Outgoing::new(service, callbacks, key, call.cx.deliveries());
                let pending = call.cx.start(request, outgoing);
                let id = pending.id();
                pending.detach();
                Ok(Named::Request(id))
            })
        })?;
        out.put_if_any(key)
    })
}

/// `lwx_connect_websocket`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_connect_websocket<'a>(
    service: Ref<'_, Service>,
    url: In<'_, c_char>,
    options: In<'a, ConnectOptions<'a>>,
    handler: In<'a, Handler<'a>>,
    out: Out<'_, Key>,
) -> i32 {
    let callbacks = Callbacks::new(handler);
    enter(service, |service| {
        out.put_if_any(0)?;
        let (callbacks, options) = (Rc::new(callbacks?), options.sized()?);
        let terms = SocketTerms::new(service, &options, url.text()?)?;
        let key = with_key(service, |key| {
            service.with_call(|call| {
                let outgoing = Outgoing::new(service, Rc::clone(&callbacks), key, call.cx.deliveries());
                terms.start(call.cx.client(), callbacks.is_streamed(), outgoing).map(Named::Socket)
            })
        })?;
        out.put_if_any(key)
    })
}

/// A WebSocket as it is asked for.
struct SocketTerms<'a> {
    url: &'a str,
    flags: u32,
    protocols: Vec<&'a str>,
    fields: Fields,
    options: RequestOptions,
}

impl<'a> SocketTerms<'a> {
    fn new(service: &Service, asked: &ConnectOptions<'a>, url: &'a str) -> Result<Self, Error> {
        known_flags(asked.flags, FOLLOW | HTTP2 | DEFLATE | RECONNECT)?;
        let mut options = RequestOptions::default();
        asked.apply(service, &mut options)?;
        let protocols = asked.protocols.text_if_any()?.unwrap_or_default().split(',');
        Ok(Self {
            url,
            flags: asked.flags,
            protocols: protocols.map(str::trim).filter(|name| !name.is_empty()).collect(),
            fields: asked.fields()?,
            options,
        })
    }

    fn start(
        self,
        client: &mut client::Client,
        streamed: bool,
        outgoing: Outgoing,
    ) -> Result<SocketId, Error> {
        let builder = client.websocket(self.url).map_err(|error| error::argument(&error))?;
        let mut builder = builder.options(|options| *options = self.options).outbox(OutboxLimits::default());
        for (name, value) in self.fields.iter() {
            builder = builder.field(name, value);
        }
        for protocol in self.protocols {
            builder = builder.protocol(protocol);
        }
        if self.flags & DEFLATE != 0 {
            builder = builder.deflate(lws_server::ws::Deflate::default());
        }
        if self.flags & RECONNECT == 0 {
            builder = builder.reconnect(ReconnectRules::never());
        }
        if streamed {
            builder = builder.streamed();
        }
        Ok(builder.start(outgoing))
    }
}
