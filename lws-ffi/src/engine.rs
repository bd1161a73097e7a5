//! The engine alone: bytes in, events and bytes out. See `lwx_engine.h`.

use crate::error::Error;
use crate::event::EventMemory;
use crate::guard::{Answer, guard, guard_free};
use crate::limits::LimitOptions;
use crate::sys::{Given, In, Lender, Out, Ref, User};
use crate::types::{
    END, Field, InField, Key, PING, Str, TEXT, check_text, field_lines, key_of, known_flags, message_kind,
    sent_close, status, stream_key, text_lines,
};
use lws_proto::http::{Request, Scheme};
use lws_proto::ws::{self, Deflate};
use lws_proto::{Config, Connection, Entropy, Event, Expect, Payload, Stream, Time, WebSocket};
use std::cell::{Cell, RefCell};
use std::ffi::c_char;
use std::fmt;
use std::sync::Arc;

/// Fills memory with random bytes, for a client.
pub type FillRandom = extern "C" fn(user: User, bytes: *mut u8, size: usize);

/// `lwx_conn_options`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConnOptions {
    /// Of the struct.
    pub size: usize,
    /// Which side, and what it speaks.
    pub role: i32,
    /// What may be done.
    pub flags: u32,
    /// Where random bytes come from.
    pub fill_random: Option<FillRandom>,
    /// What that is called with.
    pub user: User,
    /// What a peer can make grow, and how long it may take.
    pub limits: LimitOptions,
    /// The date, for the `Date` of responses.
    pub unix_seconds: u64,
}

/// `lwx_conn_event`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConnEvent {
    /// Of the struct.
    pub size: usize,
    /// The stream.
    pub key: Key,
    /// What has happened.
    pub kind: i32,
    /// `END`, `FIRST`, `TEXT`, and so on.
    pub flags: u32,
    /// Content, a payload, a reason.
    pub data: Str,
    /// Bytes of the frame that are still to come; the budget of a permit.
    pub remaining: u64,
    /// Of a request.
    pub method: Str,
    /// Of a request.
    pub target: Str,
    /// Of a head.
    pub fields: *const Field,
    /// How many.
    pub field_count: usize,
    /// Of a response.
    pub status: u32,
    /// Of HTTP: 10, 11, 20.
    pub version: u32,
    /// Why a stream ended.
    pub cause: i32,
    /// The close code.
    pub code: u32,
}

/// `lwx_conn_interest`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConnInterest {
    /// Of the struct.
    pub size: usize,
    /// What is wanted.
    pub flags: u32,
    /// Nothing. Where a hole would be.
    pub reserved: u32,
    /// When `lwx_conn_handle_timeout` is due; the largest number is never.
    pub deadline_us: u64,
}

/// `lwx_conn_request_options`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConnRequest<'a> {
    /// Of the struct.
    pub size: usize,
    /// A token.
    pub method: In<'a, c_char>,
    /// A path, perhaps with a query.
    pub target: In<'a, c_char>,
    /// A name, perhaps with a port.
    pub host: In<'a, c_char>,
    /// Subprotocols to offer, with commas between them.
    pub protocols: In<'a, c_char>,
    /// Further fields.
    pub fields: In<'a, InField<'a>>,
    /// How many.
    pub field_count: usize,
    /// The content, or its beginning.
    pub content: In<'a, u8>,
    /// Bytes of it.
    pub content_size: usize,
    /// `END`.
    pub flags: u32,
    /// Nothing. Where a hole would be.
    pub reserved: u32,
}

mod role {
    pub(super) const SERVER: i32 = 0;
    pub(super) const SERVER_HTTP1: i32 = 1;
    pub(super) const SERVER_HTTP2: i32 = 2;
    pub(super) const SERVER_RAW: i32 = 3;
    pub(super) const CLIENT: i32 = 4;
    pub(super) const CLIENT_HTTP2: i32 = 5;
    pub(super) const CLIENT_RAW: i32 = 6;
}

/// What does not look like HTTP is a raw stream.
const OR_RAW: u32 = 1;
/// Compression of messages is offered, or accepted.
const DEFLATE: u32 = 2;
/// Messages come in parts.
const STREAMED: u32 = 4;
/// The scheme of an HTTP/2 client's requests is `https`.
const HTTPS: u32 = 8;

mod interest {
    pub(super) const READ: u32 = 1;
    pub(super) const WRITE: u32 = 2;
    pub(super) const SHUTDOWN: u32 = 4;
    pub(super) const SERVICE: u32 = 8;
    pub(super) const CLOSE: u32 = 16;
    pub(super) const RESET: u32 = 32;
}

/// `lwx_conn`
pub struct Conn {
    /// Whether something has panicked in it.
    poisoned: Cell<bool>,
    inside: RefCell<Inside>,
}

struct Inside {
    lender: Lender,
    memory: EventMemory,
    deflate: Option<Deflate>,
    streamed: bool,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("poisoned", &self.poisoned).finish_non_exhaustive()
    }
}

/// Random bytes of the program.
struct ProgramEntropy {
    fill: FillRandom,
    user: User,
}

impl Entropy for ProgramEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        (self.fill)(self.user, bytes.as_mut_ptr(), bytes.len());
    }
}

impl ConnOptions {
    fn config(&self) -> Result<Config, Error> {
        let mut config = Config { limits: self.limits.limits()?, ..Config::default() };
        config.wall_clock.set(u32::try_from(self.unix_seconds).map_err(|_| Error::Argument)?);
        config.expect = match (self.role, self.flags & OR_RAW != 0) {
            (role::SERVER_RAW, _) => Expect::Raw,
            (_, true) => Expect::HttpOrRaw,
            (_, false) => Expect::Http,
        };
        Ok(config)
    }

    fn connection(&self, now: Time) -> Result<Connection, Error> {
        let config = Arc::new(self.config()?);
        let entropy = || -> Result<Box<dyn Entropy>, Error> {
            let fill = self.fill_random.ok_or(Error::Null)?;
            Ok(Box::new(ProgramEntropy { fill, user: self.user }))
        };
        let scheme = if self.flags & HTTPS == 0 { Scheme::Http } else { Scheme::Https };
        Ok(match self.role {
            role::SERVER | role::SERVER_RAW => Connection::server(now, config),
            role::SERVER_HTTP1 => Connection::server_http1(now, config),
            role::SERVER_HTTP2 => Connection::server_http2(now, config),
            role::CLIENT => Connection::client(now, config, entropy()?),
            role::CLIENT_HTTP2 => Connection::client_http2(now, config, entropy()?, scheme),
            role::CLIENT_RAW => Connection::client_raw(now, config),
            _ => return Err(Error::Argument),
        })
    }
}

/// Does something with what a connection is made of, unless that is in another call or has panicked.
fn with<A: Answer>(conn: Ref<'_, Conn>, call: impl FnOnce(&mut Inside) -> Result<A, Error>) -> i32 {
    guard(|| {
        let conn = conn.get()?;
        let mut inside = conn.inside.try_borrow_mut().map_err(|_| Error::Recursive)?;
        if conn.poisoned.get() {
            return Err(Error::Panic);
        }
        // Taken back when nothing has panicked.
        conn.poisoned.set(true);
        let result = call(&mut inside);
        conn.poisoned.set(false);
        result
    })
}

/// Does something with a stream.
fn with_stream<A: Answer>(
    conn: Ref<'_, Conn>,
    key: Key,
    call: impl FnOnce(Stream<'_>) -> Result<A, Error>,
) -> i32 {
    with(conn, |inside| call(inside.stream(key)?))
}

impl Inside {
    fn stream(&mut self, key: Key) -> Result<Stream<'_>, Error> {
        self.lender.connection().stream(stream_key(key)?).ok_or(Error::Stale)
    }

    /// Accepts the opening handshake of the last event.
    fn accept(&mut self, key: Key, protocol: Option<&str>, fields: &[(&str, &str)]) -> Result<(), Error> {
        let mut accept = ws::Accept::new().fields(fields);
        if let Some(protocol) = protocol {
            accept = accept.protocol(protocol);
        }
        if let Some(deflate) = &self.deflate {
            accept = accept.deflate(deflate);
        }
        if self.streamed {
            accept = accept.streamed();
        }
        let accepted = self.lender.take(|event| match event {
            Event::Request { stream: exchange, head, .. } if key_of(exchange.key()) == key => {
                exchange.accept_websocket(&head, &accept).map_err(Error::from).map(drop)
            }
            _ => Err(Error::State),
        });
        // Any other call lets go of the request.
        accepted.unwrap_or(Err(Error::State))
    }
}

// The interface, in the order of the header.

/// `lwx_conn_new`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_new(options: In<'_, ConnOptions>, now: u64, out: Out<'_, Given<Conn>>) -> i32 {
    guard(|| {
        out.put(Given::null())?;
        let options = options.sized()?;
        known_flags(options.flags, OR_RAW | DEFLATE | STREAMED | HTTPS)?;
        let inside = Inside {
            lender: Lender::new(options.connection(Time::from_micros(now))?),
            memory: EventMemory::default(),
            deflate: (options.flags & DEFLATE != 0).then(Deflate::default),
            streamed: options.flags & STREAMED != 0,
        };
        out.put(Given::new(Conn { poisoned: Cell::new(false), inside: RefCell::new(inside) }))
    })
}

/// `lwx_conn_free`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_free(conn: Given<Conn>) {
    guard_free(|| {
        // A call on it is at work, which has called `fill_random`: it is left as it is, for ever.
        if conn.lend().get().is_ok_and(|conn| conn.inside.try_borrow().is_err()) {
            return;
        }
        drop(conn.take());
    });
}

/// `lwx_conn_receive`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_receive(
    conn: Ref<'_, Conn>,
    now: u64,
    bytes: In<'_, u8>,
    size: usize,
    taken: Out<'_, usize>,
) -> i32 {
    with(conn, |inside| {
        taken.put(0)?;
        let bytes = bytes.slice(size)?;
        let connection = inside.lender.connection();
        if !connection.interest().read || bytes.is_empty() {
            return Ok(());
        }
        let room = connection.recv_buf();
        let n = bytes.len().min(room.len());
        room[..n].copy_from_slice(&bytes[..n]);
        connection.received(Time::from_micros(now), n);
        taken.put(n)
    })
}

/// `lwx_conn_received_end`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_received_end(conn: Ref<'_, Conn>, now: u64, how: i32) -> i32 {
    with(conn, |inside| {
        let (connection, now) = (inside.lender.connection(), Time::from_micros(now));
        match how {
            0 => connection.received_eof(now),
            1 => connection.received_truncation(now),
            2 => connection.transport_failed(now),
            _ => return Err(Error::Argument),
        }
        Ok(())
    })
}

/// `lwx_conn_next_event`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_next_event(conn: Ref<'_, Conn>, event: Out<'_, ConnEvent>) -> i32 {
    with(conn, |inside| {
        event.room()?;
        let Inside { lender, memory, .. } = inside;
        match lender.advance(|next| memory.copy(next)) {
            None => Ok(false),
            Some(next) => event.put_sized(next).map(|()| true),
        }
    })
}

/// `lwx_conn_transmit`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_transmit(conn: Ref<'_, Conn>, now: u64, out: Out<'_, Str>) -> i32 {
    with(conn, |inside| {
        out.put(Str::EMPTY)?;
        match inside.lender.connection().transmit(Time::from_micros(now)) {
            None => Ok(false),
            Some(transmit) => out.put(Str::lend(transmit.first())).map(|()| true),
        }
    })
}

/// `lwx_conn_transmitted`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_transmitted(conn: Ref<'_, Conn>, now: u64, size: usize) -> i32 {
    with(conn, |inside| {
        let (connection, now) = (inside.lender.connection(), Time::from_micros(now));
        let queued = connection.transmit(now).map_or(0, |transmit| transmit.first().len());
        if size > queued {
            return Err(Error::Length);
        }
        connection.transmitted(now, size);
        Ok(())
    })
}

/// `lwx_conn_get_interest`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_get_interest(conn: Ref<'_, Conn>, out: Out<'_, ConnInterest>) -> i32 {
    with(conn, |inside| {
        out.room()?;
        let interest = inside.lender.connection().interest();
        let flags = [
            (interest.read, interest::READ),
            (interest.write, interest::WRITE),
            (interest.shutdown, interest::SHUTDOWN),
            (interest.service, interest::SERVICE),
            (interest.close, interest::CLOSE),
            (interest.reset, interest::RESET),
        ];
        let flags = flags.into_iter().fold(0, |all, (set, flag)| if set { all | flag } else { all });
        let deadline_us = interest.deadline.map_or(u64::MAX, Time::as_micros);
        out.put_sized(ConnInterest { size: size_of::<ConnInterest>(), flags, reserved: 0, deadline_us })
    })
}

/// `lwx_conn_handle_timeout`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_handle_timeout(conn: Ref<'_, Conn>, now: u64) -> i32 {
    with(conn, |inside| {
        inside.lender.connection().handle_timeout(Time::from_micros(now));
        Ok(())
    })
}

/// `lwx_conn_request`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_request<'a>(
    conn: Ref<'_, Conn>,
    now: u64,
    request: In<'a, ConnRequest<'a>>,
    out: Out<'_, Key>,
) -> i32 {
    with(conn, |inside| {
        out.put(0)?;
        let request = request.sized()?;
        known_flags(request.flags, END)?;
        let line = Request {
            method: request.method.text()?,
            target: request.target.text()?,
            host: request.host.text()?,
        };
        let lines = field_lines(request.fields, request.field_count)?;
        let (content, end) = (request.content.slice(request.content_size)?, request.flags & END != 0);
        let (connection, now) = (inside.lender.connection(), Time::from_micros(now));
        let sent = connection.request(now, &line, lines, Payload::Copy(content), end)?;
        out.put(key_of(sent.key()))
    })
}

/// `lwx_conn_connect_websocket`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_connect_websocket<'a>(
    conn: Ref<'_, Conn>,
    now: u64,
    request: In<'a, ConnRequest<'a>>,
    out: Out<'_, Key>,
) -> i32 {
    with(conn, |inside| {
        out.put(0)?;
        let request = request.sized()?;
        let protocols = request.protocols.text_if_any()?.unwrap_or_default();
        let protocols: Vec<_> = protocols.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let lines = field_lines(request.fields, request.field_count)?;
        let lines = text_lines(&lines)?;
        let connect = ws::Connect::new(request.host.text()?, request.target.text()?);
        let mut connect = connect.protocols(&protocols).fields(&lines);
        if let Some(deflate) = &inside.deflate {
            connect = connect.deflate(deflate);
        }
        if inside.streamed {
            connect = connect.streamed();
        }
        let connection = inside.lender.connection();
        out.put(key_of(connection.connect_websocket(Time::from_micros(now), &connect)?))
    })
}

/// `lwx_conn_accept_websocket`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_accept_websocket<'a>(
    conn: Ref<'_, Conn>,
    key: Key,
    protocol: In<'_, c_char>,
    fields: In<'a, InField<'a>>,
    count: usize,
) -> i32 {
    with(conn, |inside| {
        let lines = field_lines(fields, count)?;
        inside.accept(key, protocol.text_if_any()?, &text_lines(&lines)?)
    })
}

/// `lwx_conn_respond`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_respond<'a>(
    conn: Ref<'_, Conn>,
    key: Key,
    code: u32,
    fields: In<'a, InField<'a>>,
    count: usize,
    content: In<'_, u8>,
    size: usize,
    flags: u32,
) -> i32 {
    with_stream(conn, key, |stream| {
        known_flags(flags, END)?;
        let (lines, content) = (field_lines(fields, count)?, Payload::Copy(content.slice(size)?));
        let mut exchange = stream.into_exchange().map_err(|_| Error::Protocol)?;
        let code = status(code)?;
        if code.is_interim() {
            return Ok(exchange.interim(code, lines)?);
        }
        if exchange.has_ended() {
            return Err(Error::State);
        }
        let permit = exchange.permit().map_err(|_| Error::Again)?;
        permit.respond(code, lines, content, flags & END != 0)?;
        Ok(())
    })
}

/// `lwx_conn_write`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_write(
    conn: Ref<'_, Conn>,
    key: Key,
    bytes: In<'_, u8>,
    size: usize,
    flags: u32,
) -> i32 {
    with_stream(conn, key, |stream| write(stream, bytes.slice(size)?, flags))
}

/// Writes on whatever a stream speaks.
fn write(stream: Stream<'_>, bytes: &[u8], flags: u32) -> Result<(), Error> {
    let stream = match stream.into_websocket() {
        Ok(websocket) => return write_message(websocket, bytes, flags),
        Err(stream) => stream,
    };
    known_flags(flags, END)?;
    if stream.has_ended() {
        return Err(Error::State);
    }
    let (permit, end) = (stream.permit().map_err(|_| Error::Again)?, flags & END != 0);
    match permit.into_exchange() {
        Ok(permit) => permit.data(Payload::Copy(bytes), end).map(drop)?,
        Err(permit) => {
            let permit = permit.into_raw().map_err(|_| Error::Stale)?;
            permit.data(Payload::Copy(bytes), end).map(drop)?;
        }
    }
    Ok(())
}

/// Writes a message, a part of one, or a Ping.
#[inline]
pub(crate) fn write_message(websocket: WebSocket<'_>, bytes: &[u8], flags: u32) -> Result<(), Error> {
    known_flags(flags, END | TEXT | PING)?;
    let (kind, end) = (message_kind(flags), flags & END != 0);
    if flags & (TEXT | PING) != 0 {
        check_payload(&websocket, bytes, flags)?;
    }
    let permit = websocket.permit().map_err(|refused| without_permit(&refused))?;
    if flags & PING != 0 {
        permit.ping(bytes)?;
    } else {
        permit.message(kind, Payload::Copy(bytes), end)?;
    }
    Ok(())
}

/// What not every payload can be: that of a Ping has an end, and text is UTF-8. Apart from the binary messages, which need none of it.
#[inline(never)]
fn check_payload(websocket: &WebSocket<'_>, bytes: &[u8], flags: u32) -> Result<(), Error> {
    if flags & PING != 0 {
        return if bytes.len() > 125 { Err(Error::Length) } else { Ok(()) };
    }
    let whole = flags & END != 0 && !websocket.is_in_message();
    check_text(message_kind(flags), bytes, whole)
}

/// What has said its last gets no permit any more, which is no reason to wait for one.
#[cold]
fn without_permit(websocket: &WebSocket<'_>) -> Error {
    if websocket.has_ended() { Error::State } else { Error::Again }
}

/// `lwx_conn_budget`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_budget(conn: Ref<'_, Conn>, key: Key, out: Out<'_, usize>) -> i32 {
    with_stream(conn, key, |stream| {
        let budget = stream.permit().map_or(0, |permit| permit.budget());
        out.put(budget)
    })
}

/// `lwx_conn_want_write`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_want_write(conn: Ref<'_, Conn>, key: Key) -> i32 {
    with_stream(conn, key, |mut stream| {
        stream.want_write();
        Ok(())
    })
}

/// `lwx_conn_pause`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_pause(conn: Ref<'_, Conn>, key: Key) -> i32 {
    with_stream(conn, key, |mut stream| {
        stream.pause();
        Ok(())
    })
}

/// `lwx_conn_resume`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_resume(conn: Ref<'_, Conn>, key: Key) -> i32 {
    with_stream(conn, key, |mut stream| {
        stream.resume();
        Ok(())
    })
}

/// `lwx_conn_set_timer`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_set_timer(conn: Ref<'_, Conn>, key: Key, at: u64) -> i32 {
    with_stream(conn, key, |mut stream| {
        stream.set_timeout((at != u64::MAX).then_some(Time::from_micros(at)));
        Ok(())
    })
}

/// `lwx_conn_close`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_close(
    conn: Ref<'_, Conn>,
    key: Key,
    code: u32,
    reason: In<'_, u8>,
    size: usize,
) -> i32 {
    with_stream(conn, key, |stream| {
        let (code, reason) = sent_close(code, reason.slice(size)?)?;
        let websocket = stream.into_websocket().map_err(|_| Error::Protocol)?;
        Ok(websocket.close(code, reason)?)
    })
}

/// `lwx_conn_abort`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_abort(conn: Ref<'_, Conn>, key: Key) -> i32 {
    with_stream(conn, key, |stream| {
        stream.abort();
        Ok(())
    })
}

/// `lwx_conn_drain`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_conn_drain(conn: Ref<'_, Conn>, now: u64) -> i32 {
    with(conn, |inside| {
        inside.lender.connection().drain(Time::from_micros(now));
        Ok(())
    })
}
