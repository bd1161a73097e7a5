//! What a program opens beside its listeners: timers, descriptors, UDP sockets.

use crate::error::{self, Error};
use crate::service::call::{Call, Lent};
use crate::service::handlers::{Callbacks, Handler, StreamHandler};
use crate::service::table::{DropUser, Entry, Named, UserData};
use crate::service::{Service, enter, now};
use crate::sys::{self, In, Out, Ref, User};
use crate::types::{Key, Str};
use lws_loop_external::{DATAGRAM_BYTES_MAX, Route};
use lws_proto::Time;
use lws_server::Context;
use lws_server::datagrams::{self, UdpEvent, UdpOptions};
use lws_server::descriptor::{self, Descriptor, DescriptorEvent, Interest};
use std::ffi::c_char;
use std::net::SocketAddr;
use std::rc::Rc;

/// What a timer calls.
pub type TimerCall = extern "C" fn(service: Ref<'_, Service>, timer: Key, user: User);

/// What is called when a watched descriptor is ready.
pub type ReadyCall = extern "C" fn(service: Ref<'_, Service>, key: Key, events: u32, user: User);

/// `lwx_udp_handler`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UdpCallbacks {
    /// Of the struct.
    pub size: usize,
    /// What the callbacks are called with.
    pub user: User,
    /// Lets go of it.
    pub drop: Option<DropUser>,
    /// A datagram has come.
    pub datagram: Option<extern "C" fn(Ref<'_, Service>, Key, Str, *const u8, usize, User)>,
    /// There is room.
    pub writable: Option<extern "C" fn(Ref<'_, Service>, Key, User)>,
}

struct UdpSocket {
    service: Rc<Service>,
    callbacks: UdpCallbacks,
    user: UserData,
    key: Key,
}

impl datagrams::Handler for UdpSocket {
    fn event(&mut self, cx: &mut Context<'_>, event: UdpEvent<'_>) {
        let user = self.user.get();
        match event {
            UdpEvent::Datagram { socket, datagram } => {
                let Some(callback) = self.callbacks.datagram else { return };
                let (from, way) = (datagram.source.to_string(), datagram.reply_to());
                let bytes = &*datagram.bytes;
                let mut lent = Call { cx, key: self.key, lent: Lent::Udp(Some(socket), Some(way)) };
                self.service.call_out(&mut lent, |service| {
                    callback(
                        service,
                        self.key,
                        Str::lend(from.as_bytes()),
                        bytes.as_ptr(),
                        bytes.len(),
                        user,
                    );
                });
            }
            UdpEvent::Writable(permit) => {
                let Some(callback) = self.callbacks.writable else { return };
                let mut lent = Call { cx, key: self.key, lent: Lent::Udp(Some(permit.into_socket()), None) };
                self.service.call_out(&mut lent, |service| callback(service, self.key, user));
            }
            // Datagrams get lost: that is theirs to expect.
            _ => {}
        }
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let entry = self.service.table.borrow_mut().remove(self.key);
        drop(entry);
    }
}

struct Watched {
    service: Rc<Service>,
    ready: ReadyCall,
    user: UserData,
    key: Key,
}

impl descriptor::Handler for Watched {
    fn event(&mut self, cx: &mut Context<'_>, event: DescriptorEvent, _: &mut Descriptor<'_>) {
        let events = match event {
            DescriptorEvent::Readable => 1,
            DescriptorEvent::Writable => 2,
            DescriptorEvent::HangUp => 4,
            DescriptorEvent::Refused(_) => 8,
            _ => return,
        };
        let mut lent = Call { cx, key: self.key, lent: Lent::Nothing };
        self.service.call_out(&mut lent, |service| (self.ready)(service, self.key, events, self.user.get()));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let entry = self.service.table.borrow_mut().remove(self.key);
        drop(entry);
    }
}

/// Gives something a key, and takes that back if it cannot be opened.
pub(crate) fn with_key(
    service: &Rc<Service>,
    open: impl FnOnce(Key) -> Result<Named, Error>,
) -> Result<Key, Error> {
    let key = service.table.borrow_mut().insert(Entry::new(Named::Coming));
    match open(key) {
        Ok(named) => {
            // It may be over already.
            if let Ok(entry) = service.table.borrow_mut().get(key) {
                entry.named = named;
            }
            Ok(key)
        }
        Err(error) => {
            let entry = service.table.borrow_mut().remove(key);
            drop(entry);
            Err(error)
        }
    }
}

// The interface, in the order of the header.

/// `lwx_timer_set`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_timer_set(
    service: Ref<'_, Service>,
    at: u64,
    fired: Option<TimerCall>,
    user: User,
    drop_user: Option<DropUser>,
    out: Out<'_, Key>,
) -> i32 {
    let user = UserData::new(user, drop_user);
    enter(service, |service| {
        let fired = fired.ok_or(Error::Null)?;
        if !out.is_null() {
            out.put(0)?;
        }
        let delay = Time::from_micros(at) - now();
        let mine = Rc::clone(service);
        let key = with_key(service, |key| {
            service.with_call(|call| {
                Ok(Named::Timer(call.cx.after(delay, move |cx| {
                    let entry = mine.table.borrow_mut().remove(key);
                    drop(entry);
                    let mut lent = Call { cx, key: 0, lent: Lent::Nothing };
                    mine.call_out(&mut lent, |service| fired(service, key, user.get()));
                })))
            })
        })?;
        if out.is_null() { Ok(()) } else { out.put(key) }
    })
}

/// `lwx_timer_cancel`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_timer_cancel(service: Ref<'_, Service>, timer: Key) -> i32 {
    enter(service, |service| {
        let named = service.table.borrow_mut().get(timer)?.named;
        let Named::Timer(id) = named else { return Err(Error::Protocol) };
        service.with_call(|call| {
            call.cx.cancel(id);
            Ok(())
        })?;
        let entry = service.table.borrow_mut().remove(timer);
        drop(entry);
        Ok(())
    })
}

/// `lwx_adopt`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_adopt<'a>(
    service: Ref<'_, Service>,
    fd: i32,
    handler: In<'a, Handler<'a>>,
    out: Out<'_, Key>,
) -> i32 {
    let (descriptor, callbacks) = (sys::own_descriptor(fd), Callbacks::new(handler));
    enter(service, |service| {
        out.put_if_any(0)?;
        let (descriptor, callbacks) = (descriptor?, Rc::new(callbacks?));
        let mine = Rc::clone(service);
        let key = with_key(service, |key| {
            service.with_call(|call| {
                let handler = StreamHandler::with_key(mine, callbacks, key);
                let adopted = call.cx.adopt(descriptor, handler);
                adopted.map(Named::Link).map_err(|error| error::system(&error))
            })
        })?;
        out.put_if_any(key)
    })
}

/// `lwx_watch`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_watch(
    service: Ref<'_, Service>,
    fd: i32,
    ready: Option<ReadyCall>,
    user: User,
    drop_user: Option<DropUser>,
    out: Out<'_, Key>,
) -> i32 {
    let (descriptor, user) = (sys::own_descriptor(fd), UserData::new(user, drop_user));
    enter(service, |service| {
        out.put_if_any(0)?;
        let (ready, descriptor) = (ready.ok_or(Error::Null)?, descriptor?);
        let mine = Rc::clone(service);
        let key = with_key(service, |key| {
            service.with_call(|call| {
                let watched = Watched { service: mine, ready, user, key };
                let adopted = call.cx.adopt_descriptor(descriptor, Interest::READ, watched);
                adopted.map(Named::Link).map_err(|error| error::system(&error))
            })
        })?;
        out.put_if_any(key)
    })
}

/// `lwx_udp_bind`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_udp_bind(
    service: Ref<'_, Service>,
    address: In<'_, c_char>,
    callbacks: In<'_, UdpCallbacks>,
    out: Out<'_, Key>,
    bound: Out<'_, u8>,
    size: usize,
) -> i32 {
    let callbacks = if callbacks.is_null() { Err(Error::Null) } else { callbacks.sized() };
    let callbacks = callbacks.map(|callbacks| (UserData::new(callbacks.user, callbacks.drop), callbacks));
    enter(service, |service| {
        out.put_if_any(0)?;
        let (user, callbacks) = callbacks?;
        let address: SocketAddr = address.text()?.parse().map_err(|_| Error::Argument)?;
        // Before the socket is there: a call that fails leaves none behind. The system may choose any port.
        let mut longest = address;
        longest.set_port(u16::MAX);
        if !bound.is_null() && longest.to_string().len() >= size {
            return Err(Error::Length);
        }
        let (mine, mut local) = (Rc::clone(service), None);
        let key = with_key(service, |key| {
            service.with_call(|call| {
                let socket = UdpSocket { service: mine, callbacks, user, key };
                let opened = call.cx.bind_udp(address, &UdpOptions::default(), socket);
                let (link, at) = opened.map_err(|error| error::system(&error))?;
                local = Some(at);
                Ok(Named::Link(link))
            })
        })?;
        if let (Some(local), false) = (local, bound.is_null()) {
            let mut text = local.to_string().into_bytes();
            text.push(0);
            bound.fill(text.get(..size.min(text.len())).unwrap_or_default())?;
        }
        out.put_if_any(key)
    })
}

/// `lwx_udp_send`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_udp_send(
    service: Ref<'_, Service>,
    key: Key,
    to: In<'_, c_char>,
    bytes: In<'_, u8>,
    size: usize,
) -> i32 {
    enter(service, |service| {
        let to = to.text_if_any()?.map(str::parse::<SocketAddr>).transpose().map_err(|_| Error::Argument)?;
        let bytes = bytes.slice(size)?;
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Error::Length);
        }
        service.table.borrow_mut().get(key)?;
        if !service.calls.is_in_callback() {
            return Err(Error::Again);
        }
        service.with_call(|call| {
            let Some(Lent::Udp(socket, way)) = call.lent(key) else { return Err(Error::Again) };
            let route = to.map(Route::from).or(*way).ok_or(Error::Null)?;
            let permit = match socket.take().ok_or(Error::State)?.permit() {
                Ok(permit) => permit,
                Err(full) => {
                    *socket = Some(full);
                    return Err(Error::Again);
                }
            };
            *socket = permit.send(route, bytes).ok();
            Ok(())
        })
    })
}
