//! Calls on streams: at once in a callback of the stream itself, otherwise with its next call.

use crate::engine::write_message;
use crate::error::Error;
use crate::guard::guard_with;
use crate::service::call::{Call, Lent};
use crate::service::table::{DropUser, Named, Pending, UserData};
use crate::service::{Service, client, enter, in_callback};
use crate::sys::{In, Out, Ref, User};
use crate::types::{
    END, InField, Key, Str, field_lines, known_flags, message_kind, sent_close, status, version_number,
};
use lws_proto::{Payload, Time};
use lws_server::Peer;
use lws_server::WebSocket;
use lws_server::http::Exchange;
use lws_server::ws::{Broadcast, CloseCode};
use lws_server::{PublishError, SubscribeError};
use std::ffi::c_char;

/// `lwx_request_info`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RequestInfo {
    /// Of the struct.
    pub size: usize,
    /// As the peer wrote it.
    pub method: Str,
    /// As the peer wrote it, with the query.
    pub target: Str,
    /// In normal form, decoded.
    pub path: Str,
    /// Without `?`, as the peer wrote it.
    pub query: Str,
    /// Of HTTP: 10, 11, 20.
    pub version: u32,
    /// Whether content follows.
    pub has_content: u32,
}

/// Does something with the stream of the callback at work. `None` if that is about another one, or about none.
fn with_lent<R>(
    service: &Service,
    key: Key,
    call: impl FnOnce(&mut Lent<'_>) -> Result<R, Error>,
) -> Result<Option<R>, Error> {
    if !service.calls.is_in_callback() {
        return Ok(None);
    }
    let used = service.calls.with(|at_work| match at_work.lent(key) {
        None | Some(Lent::Nothing) => Ok(None),
        Some(lent) => call(lent).map(Some),
    });
    used.unwrap_or(Err(Error::Recursive))
}

/// Does something with the stream of a callback that is about no other.
fn with_own<R>(
    service: &Service,
    key: Key,
    call: impl FnOnce(&mut Lent<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let found = with_lent(service, key, call)?;
    match found {
        Some(result) => Ok(result),
        None => match named(service, key)? {
            Named::Request(_) | Named::Socket(_) => Err(Error::Protocol),
            _ => Err(Error::Again),
        },
    }
}

/// Notes what is to be done with a stream in its next call, and asks for that.
fn later(service: &Service, key: Key, note: impl FnOnce(&mut Pending)) -> Result<(), Error> {
    let named = {
        let mut table = service.table.borrow_mut();
        let entry = table.get(key)?;
        note(&mut entry.pending);
        entry.named
    };
    service.with_call(|call| {
        match named {
            Named::Stream(id) => call.cx.wake(id),
            Named::Link(id) => call.cx.wake_link(id),
            // It looks at what is wanted when it has a name.
            Named::Coming => {}
            Named::Timer(_) | Named::Request(_) | Named::Socket(_) => return Err(Error::Protocol),
        }
        Ok(())
    })
}

/// Does what was noted. Answers whether the stream is still to be called.
pub(crate) fn apply(pending: Pending, lent: &mut Lent<'_>) -> bool {
    let Pending { pause, close, abort, timer, wake: _ } = pending;
    if abort {
        // Nothing to report to: the stream ends.
        let _ = abort_lent(lent);
        return false;
    }
    if let Some(paused) = pause {
        let _ = pause_lent(lent, paused);
    }
    if let Some(at) = timer {
        let _ = set_timer(lent, at);
    }
    if let Some((code, reason)) = close {
        // What can be refused was checked when it was noted.
        let _ = close_lent(lent, code, &reason);
    }
    true
}

fn pause_lent(lent: &mut Lent<'_>, paused: bool) -> Result<(), Error> {
    match (lent, paused) {
        (Lent::Exchange(exchange, _), true) => exchange.pause(),
        (Lent::Exchange(exchange, _), false) => exchange.resume(),
        (Lent::WebSocket(websocket), true) => websocket.pause(),
        (Lent::WebSocket(websocket), false) => websocket.resume(),
        (Lent::Raw(stream), true) => stream.pause(),
        (Lent::Raw(stream), false) => stream.resume(),
        (Lent::Udp(Some(socket), _), true) => socket.pause(),
        (Lent::Udp(Some(socket), _), false) => socket.resume(),
        _ => return Err(Error::State),
    }
    Ok(())
}

fn set_timer(lent: &mut Lent<'_>, at: Option<u64>) -> Result<(), Error> {
    let at = at.map(Time::from_micros);
    match lent {
        Lent::Exchange(exchange, _) => exchange.set_timeout(at),
        Lent::WebSocket(websocket) => websocket.set_timeout(at),
        Lent::Raw(stream) => stream.set_timeout(at),
        _ => return Err(Error::Protocol),
    }
    Ok(())
}

fn close_lent(lent: &mut Lent<'_>, code: CloseCode, reason: &str) -> Result<(), Error> {
    match lent {
        Lent::WebSocket(websocket) => Ok(websocket.reborrow().close(code, reason)?),
        _ => Err(Error::Protocol),
    }
}

fn abort_lent(lent: &mut Lent<'_>) -> Result<(), Error> {
    match lent {
        Lent::WebSocket(websocket) => websocket.reborrow().abort(),
        Lent::Raw(stream) => stream.reborrow().abort(),
        Lent::Exchange(exchange, _) => exchange.reborrow().abort(),
        Lent::Udp(socket, _) => socket.take().ok_or(Error::State)?.close(),
        Lent::Nothing | Lent::Opening(_) => return Err(Error::State),
    }
    Ok(())
}

/// The permit of an exchange.
fn permit<'e>(exchange: &'e mut Exchange<'_>) -> Result<lws_server::http::Permit<'e>, Error> {
    if exchange.has_ended() {
        return Err(Error::State);
    }
    exchange.reborrow().permit().map_err(|_| Error::Again)
}

fn write(lent: &mut Lent<'_>, bytes: &[u8], flags: u32) -> Result<(), Error> {
    let (content, end) = (Payload::Copy(bytes), flags & END != 0);
    match lent {
        Lent::Exchange(exchange, _) => {
            known_flags(flags, END)?;
            permit(exchange)?.data(content, end)?;
            Ok(())
        }
        Lent::WebSocket(websocket) => write_message(websocket.reborrow(), bytes, flags),
        Lent::Raw(stream) => {
            known_flags(flags, END)?;
            if stream.has_ended() {
                return Err(Error::State);
            }
            stream.reborrow().permit().map_err(|_| Error::Again)?.data(content, end)?;
            Ok(())
        }
        Lent::Nothing | Lent::Opening(_) | Lent::Udp(..) => Err(Error::Protocol),
    }
}

fn budget(lent: &mut Lent<'_>) -> usize {
    match lent {
        Lent::Exchange(exchange, _) => permit(exchange).map_or(0, |permit| permit.budget()),
        Lent::WebSocket(websocket) => websocket.reborrow().permit().map_or(0, |permit| permit.budget()),
        Lent::Raw(stream) => stream.reborrow().permit().map_or(0, |permit| permit.budget()),
        _ => 0,
    }
}

fn request_of<R>(
    service: &Service,
    key: Key,
    read: impl FnOnce(&lws_server::http::Request<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    if !service.calls.is_in_callback() {
        return Err(Error::State);
    }
    let read = service.calls.with(|call: &mut Call<'_, '_>| read(call.request(key)?));
    read.unwrap_or(Err(Error::Recursive))
}

/// What a publication answers.
pub(crate) fn publish_result(result: Result<(), PublishError>) -> Result<(), Error> {
    result.map_err(|error| match error {
        PublishError::NoRoute | PublishError::TopicName => Error::Argument,
        PublishError::Gone => Error::Gone,
        _ => Error::Limit,
    })
}

/// A message for many.
pub(crate) fn broadcast(bytes: &[u8], flags: u32) -> Result<Broadcast, Error> {
    known_flags(flags, crate::types::TEXT)?;
    let kind = message_kind(flags);
    crate::types::check_text(kind, bytes, true)?;
    Ok(Broadcast::new(kind, bytes.to_vec()))
}

// The interface, in the order of the header.

/// `lwx_get_request`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_get_request(service: Ref<'_, Service>, key: Key, out: Out<'_, RequestInfo>) -> i32 {
    enter(service, |service| {
        out.room()?;
        request_of(service, key, |request| {
            out.put_sized(RequestInfo {
                size: size_of::<RequestInfo>(),
                method: Str::lend(request.method_name().as_bytes()),
                target: Str::lend(request.target().as_bytes()),
                path: Str::lend(request.path().as_bytes()),
                query: Str::lend(request.query().unwrap_or_default().as_bytes()),
                version: version_number(request.version()),
                has_content: request.has_content().into(),
            })
        })
    })
}

/// `lwx_get_field`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_get_field(
    service: Ref<'_, Service>,
    key: Key,
    name: In<'_, c_char>,
    nth: usize,
    out: Out<'_, Str>,
) -> i32 {
    enter(service, |service| {
        out.put(Str::EMPTY)?;
        let name = name.text()?;
        request_of(service, key, |request| match request.get_all(name).nth(nth) {
            None => Ok(false),
            Some(value) => out.put(Str::lend(value)).map(|()| true),
        })
    })
}

/// `lwx_get_parameter`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_get_parameter(
    service: Ref<'_, Service>,
    key: Key,
    name: In<'_, c_char>,
    out: Out<'_, Str>,
) -> i32 {
    enter(service, |service| {
        out.put(Str::EMPTY)?;
        let name = name.text()?;
        request_of(service, key, |request| match request.parameter(name) {
            None => Ok(false),
            Some(value) => out.put(Str::lend(value.as_bytes())).map(|()| true),
        })
    })
}

/// `lwx_get_peer`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_get_peer(service: Ref<'_, Service>, key: Key, out: Out<'_, u8>, size: usize) -> i32 {
    enter(service, |service| {
        if !service.calls.is_in_callback() {
            return Err(Error::State);
        }
        let peer = service.with_call(|call| {
            if call.key == key && key != 0 { Ok(call.cx.peer()) } else { Err(Error::State) }
        })?;
        let mut text = match peer {
            Peer::Tcp(address) => address.to_string(),
            other => format!("{other:?}").to_lowercase(),
        };
        text.push('\0');
        if text.len() > size {
            return Err(Error::Length);
        }
        out.fill(text.as_bytes())
    })
}

/// `lwx_respond`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_respond<'a>(
    service: Ref<'_, Service>,
    key: Key,
    code: u32,
    fields: In<'a, InField<'a>>,
    count: usize,
    content: In<'_, u8>,
    size: usize,
    flags: u32,
) -> i32 {
    enter(service, |service| {
        known_flags(flags, END)?;
        let (lines, content) = (field_lines(fields, count)?, content.slice(size)?);
        let code = status(code)?;
        with_own(service, key, |lent| {
            let Lent::Exchange(exchange, _) = lent else { return Err(Error::Protocol) };
            if code.is_interim() {
                return Ok(exchange.interim(code, lines)?);
            }
            permit(exchange)?.respond(code, lines, Payload::Copy(content), flags & END != 0)?;
            Ok(())
        })
    })
}

/// `lwx_write`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_write(
    service: Ref<'_, Service>,
    key: Key,
    bytes: In<'_, u8>,
    size: usize,
    flags: u32,
) -> i32 {
    // A message in the callback of its own WebSocket, which is where almost all is written: a short way. Both ways are the last call of this
    // function and take what it takes, so that it needs no frame of its own.
    let short = in_callback(service).and_then(|it| {
        let written = it.calls.with_last(|call| match call.lent(key) {
            Some(Lent::WebSocket(websocket)) => Some(write_lent(service, websocket, bytes, size, flags)),
            _ => None,
        });
        written.flatten()
    });
    short.unwrap_or_else(|| write_elsewhere(service, key, bytes, size, flags))
}

/// What [`lwx_write`] does for the WebSocket of the callback at work.
#[inline(never)]
extern "C" fn write_lent(
    service: Ref<'_, Service>,
    websocket: &mut WebSocket<'_>,
    bytes: In<'_, u8>,
    size: usize,
    flags: u32,
) -> i32 {
    guard_with(
        || write_message(websocket.reborrow(), bytes.slice(size)?, flags),
        || service.get().iter().for_each(|service| service.poison()),
    )
}

/// What [`lwx_write`] does for exchanges, raw streams and WebSockets to other servers, and where nothing can be written.
#[inline(never)]
extern "C" fn write_elsewhere(
    service: Ref<'_, Service>,
    key: Key,
    bytes: In<'_, u8>,
    size: usize,
    flags: u32,
) -> i32 {
    enter(service, |service| {
        let bytes = bytes.slice(size)?;
        // What is lent first: an exchange or raw stream is written to in its own callbacks.
        match with_lent(service, key, |lent| write(lent, bytes, flags))? {
            Some(()) => Ok(()),
            None => match named(service, key)? {
                Named::Socket(id) => client::write(service, key, id, bytes, flags),
                Named::Request(_) => Err(Error::Protocol),
                _ => Err(Error::Again),
            },
        }
    })
}

/// `lwx_budget`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_budget(service: Ref<'_, Service>, key: Key, out: Out<'_, usize>) -> i32 {
    enter(service, |service| {
        out.put(match with_lent(service, key, |lent| Ok(budget(lent)))? {
            Some(found) => found,
            None => match named(service, key)? {
                Named::Socket(id) => client::budget(service, id)?,
                _ => 0,
            },
        })
    })
}

/// `lwx_want_write`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_want_write(service: Ref<'_, Service>, key: Key) -> i32 {
    enter(service, |service| {
        let asked = with_lent(service, key, |lent| {
            match lent {
                Lent::Exchange(exchange, _) => exchange.want_write(),
                Lent::WebSocket(websocket) => websocket.want_write(),
                Lent::Raw(stream) => stream.want_write(),
                Lent::Udp(Some(socket), _) => socket.want_write(),
                _ => return Err(Error::State),
            }
            Ok(())
        })?;
        if asked.is_some() {
            return Ok(());
        }
        match named(service, key)? {
            Named::Socket(id) => client::want_write(service, key, id),
            Named::Stream(id) => service.with_call(|call| {
                call.cx.want_write(id);
                Ok(())
            }),
            _ => Err(Error::Protocol),
        }
    })
}

/// `lwx_pause`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_pause(service: Ref<'_, Service>, key: Key) -> i32 {
    enter(service, |service| set_paused(service, key, true))
}

/// `lwx_resume`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_resume(service: Ref<'_, Service>, key: Key) -> i32 {
    enter(service, |service| set_paused(service, key, false))
}

fn set_paused(service: &Service, key: Key, paused: bool) -> Result<(), Error> {
    match with_lent(service, key, |lent| pause_lent(lent, paused))? {
        Some(()) => Ok(()),
        None => match named(service, key)? {
            outgoing @ (Named::Request(_) | Named::Socket(_)) => {
                client::set_paused(service, outgoing, paused)
            }
            _ => later(service, key, |pending| pending.pause = Some(paused)),
        },
    }
}

fn named(service: &Service, key: Key) -> Result<Named, Error> {
    service.table.borrow_mut().get(key).map(|entry| entry.named)
}

/// `lwx_set_timer`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_set_timer(service: Ref<'_, Service>, key: Key, at: u64) -> i32 {
    enter(service, |service| {
        let at = (at != u64::MAX).then_some(at);
        match with_lent(service, key, |lent| set_timer(lent, at))? {
            Some(()) => Ok(()),
            None => later(service, key, |pending| pending.timer = Some(at)),
        }
    })
}

/// `lwx_wake`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_wake(service: Ref<'_, Service>, key: Key) -> i32 {
    enter(service, |service| later(service, key, |pending| pending.wake = true))
}

/// `lwx_close`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_close(
    service: Ref<'_, Service>,
    key: Key,
    code: u32,
    reason: In<'_, u8>,
    size: usize,
) -> i32 {
    enter(service, |service| {
        let (code, reason) = sent_close(code, reason.slice(size)?)?;
        match with_lent(service, key, |lent| close_lent(lent, code, reason))? {
            Some(()) => Ok(()),
            None => match named(service, key)? {
                Named::Socket(id) => client::close(service, id, code, reason),
                _ => later(service, key, |pending| pending.close = Some((code, reason.to_owned()))),
            },
        }
    })
}

/// `lwx_abort`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_abort(service: Ref<'_, Service>, key: Key) -> i32 {
    enter(service, |service| {
        if with_lent(service, key, abort_lent)?.is_some() {
            return Ok(());
        }
        match named(service, key)? {
            outgoing @ (Named::Request(_) | Named::Socket(_)) => client::abort(service, outgoing),
            Named::Link(id) => service.with_call(|call| {
                call.cx.close_link(id);
                Ok(())
            }),
            _ => later(service, key, |pending| pending.abort = true),
        }
    })
}

/// `lwx_set_user`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_set_user(
    service: Ref<'_, Service>,
    key: Key,
    user: User,
    drop_user: Option<DropUser>,
) -> i32 {
    let user = UserData::new(user, drop_user);
    enter(service, |service| {
        let before = {
            let mut table = service.table.borrow_mut();
            let before = table.get(key)?.user.replace(user);
            service.users_changed.set(service.users_changed.get() + 1);
            before
        };
        // Not before the table is free: a destructor may call.
        drop(before);
        Ok(())
    })
}

/// `lwx_get_user`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_get_user(service: Ref<'_, Service>, key: Key, out: Out<'_, User>) -> i32 {
    enter(service, |service| {
        let user = service.table.borrow_mut().get(key)?.user.as_ref().map(UserData::get);
        out.put(user.unwrap_or(User::NULL))
    })
}

/// `lwx_subscribe`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_subscribe(service: Ref<'_, Service>, key: Key, topic: In<'_, c_char>) -> i32 {
    enter(service, |service| {
        let topic = topic.text()?;
        own_topic(service, key, |call| {
            call.cx.subscribe(topic).map_err(|error| match error {
                SubscribeError::TooMany => Error::Limit,
                SubscribeError::NoWebSocket => Error::Protocol,
                _ => Error::Argument,
            })
        })
    })
}

/// `lwx_unsubscribe`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_unsubscribe(service: Ref<'_, Service>, key: Key, topic: In<'_, c_char>) -> i32 {
    enter(service, |service| {
        let topic = topic.text()?;
        own_topic(service, key, |call| Ok(call.cx.unsubscribe(topic)))
    })
}

/// Subscriptions are the affair of the WebSocket itself.
fn own_topic<R>(
    service: &Service,
    key: Key,
    change: impl FnOnce(&mut Call<'_, '_>) -> Result<R, Error>,
) -> Result<R, Error> {
    service.table.borrow_mut().get(key)?;
    if !service.calls.is_in_callback() {
        return Err(Error::State);
    }
    service.with_call(|call| if call.key == key { change(call) } else { Err(Error::State) })
}

/// `lwx_publish`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_publish(
    service: Ref<'_, Service>,
    topic: In<'_, c_char>,
    bytes: In<'_, u8>,
    size: usize,
    flags: u32,
) -> i32 {
    enter(service, |service| {
        let (topic, message) = (topic.text()?, broadcast(bytes.slice(size)?, flags)?);
        service.with_call(|call| publish_result(call.cx.publish_topic(topic, &message)))
    })
}
