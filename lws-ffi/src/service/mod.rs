//! Servers for C: see `lwx.h`.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the service: its life, and who may call it when |
//! | `plan.rs`, `sites.rs` | what is served, described before the start |
//! | `host.rs` | who waits: one descriptor, each descriptor, libuv |
//! | `hosted.rs` | what they wait for: a server, or what tests put in its stead |
//! | `call.rs` | what a callback is lent |
//! | `table.rs` | keys, and the pointers of the program behind them |
//! | `handlers.rs`, `links.rs` | callbacks of C as handlers of Rust |
//! | `client.rs` | requests and WebSockets to other servers |
//! | `streams.rs`, `poster.rs` | calls on streams, calls of other threads |

pub(crate) mod call;
pub mod client;
pub mod handlers;
pub mod host;
pub(crate) mod hosted;
pub mod links;
pub mod plan;
pub mod poster;
pub mod sites;
pub mod streams;
pub mod table;

use crate::error::Error;
use crate::guard::{Answer, guard_with};
use crate::service::call::{Call, CallSlot, Lent};
use crate::service::client::Trusted;
use crate::service::host::Host;
use crate::service::hosted::Hosted;
use crate::service::plan::{Plan, ServiceOptions, TlsServer};
use crate::service::table::Table;
use crate::sys::{self, Counted, In, Out, Process, Ref, this_thread};
use lws_proto::Time;
use lws_server::{Address, Handle};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// `lwx_service`
///
/// C holds one count of it. Each call holds another, so that a callback may free the service that calls it.
pub struct Service {
    /// Names it to other threads.
    pub(crate) number: u64,
    /// Tells the thread that it belongs to from others; zero while it belongs to none. Released by the thread that leaves it and acquired by
    /// the one that enters it, so that the second sees all that the first has done.
    thread: AtomicUsize,
    health: Cell<Health>,
    /// Tells the process that it was started in from its children; `None` before the start, and while tests bring what is served.
    process: Cell<Option<Process>>,
    /// What is to be served, until the start.
    plan: RefCell<Option<Plan>>,
    /// Who waits, from the start on. Borrowed while the server is at work.
    host: RefCell<Option<Host>>,
    started: OnceCell<Started>,
    pub(crate) table: RefCell<Table>,
    /// Counts the pointers that streams were given in place of others. As long as it stays, a handler knows its own without a look into the
    /// table.
    pub(crate) users_changed: Cell<u64>,
    pub(crate) calls: CallSlot,
    pub(crate) trusted: RefCell<Trusted>,
}

/// Whether a service can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Well,
    /// A call has panicked: what it left behind is not to be trusted.
    Panicked,
    /// C has freed it; a callback is still at work, or a call.
    Freed,
}

/// What is known from the start on.
struct Started {
    handle: Handle,
    addresses: Vec<Address>,
    /// Of the listeners that have TLS.
    certificates: Vec<Option<TlsServer>>,
}

thread_local! {
    /// The services of this thread, for what other threads have posted to them.
    static SERVICES: RefCell<HashMap<u64, Weak<Service>>> = RefCell::default();
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The time of the system's clock that never goes back.
pub(crate) fn now() -> Time {
    Time::from_micros(sys::monotonic_us())
}

impl Service {
    /// A service that is to be described, or one without a plan, which is started already.
    pub(crate) fn new(plan: Option<Plan>) -> Rc<Self> {
        let service = Rc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            thread: AtomicUsize::new(this_thread()),
            health: Cell::new(Health::Well),
            process: Cell::new(None),
            plan: RefCell::new(plan),
            host: RefCell::new(None),
            started: OnceCell::new(),
            table: RefCell::default(),
            users_changed: Cell::new(0),
            calls: CallSlot::default(),
            trusted: RefCell::default(),
        });
        service.make_known();
        service
    }

    /// Lets what other threads have posted find it on this thread.
    fn make_known(self: &Rc<Self>) {
        SERVICES.with_borrow_mut(|services| services.insert(self.number, Rc::downgrade(self)));
    }

    fn is_of_this_thread(&self) -> bool {
        self.thread.load(Ordering::Acquire) == this_thread()
    }

    /// Forgets what this thread has of it besides counts.
    fn leave_thread(&self) -> Result<(), Error> {
        if self.calls.is_in_callback() {
            return Err(Error::Recursive);
        }
        if self.host.try_borrow().map_err(|_| Error::Recursive)?.as_ref().is_some_and(Host::is_of_one_thread)
        {
            return Err(Error::State);
        }
        SERVICES.with_borrow_mut(|services| services.remove(&self.number));
        Ok(())
    }

    /// The service of this thread with a number, if it is still there.
    pub(crate) fn find(number: u64) -> Option<Rc<Self>> {
        let service = SERVICES.with_borrow(|services| services.get(&number)?.upgrade())?;
        (!service.is_freed()).then_some(service)
    }

    pub(crate) fn is_freed(&self) -> bool {
        self.health.get() == Health::Freed
    }

    /// Notes a panic. A service that was freed meanwhile stays that.
    pub(crate) fn poison(&self) {
        if self.health.get() == Health::Well {
            self.health.set(Health::Panicked);
        }
    }

    /// Whether this process is a child, by fork(2), of the one that has started it.
    fn is_forked(&self) -> bool {
        self.process.get().is_some_and(|process| process != Process::current())
    }

    fn check(&self) -> Result<(), Error> {
        if !self.is_of_this_thread() {
            return Err(Error::Thread);
        }
        if self.is_forked() {
            return Err(Error::Forked);
        }
        match self.health.get() {
            Health::Well => Ok(()),
            Health::Panicked => Err(Error::Panic),
            Health::Freed => Err(Error::Gone),
        }
    }

    /// Whether [`check`](Self::check) has nothing against a call on a service that was started, which is all that its callbacks need to know.
    #[inline]
    fn is_well(&self) -> bool {
        self.is_of_this_thread()
            && Process::is_current(self.process.get())
            && self.health.get() == Health::Well
    }

    fn started(&self) -> Result<&Started, Error> {
        self.started.get().ok_or(Error::State)
    }

    pub(crate) fn handle(&self) -> Result<&Handle, Error> {
        self.started().map(|started| &started.handle)
    }

    /// Does something with the plan, which is there until the start.
    pub(crate) fn plan<R>(&self, call: impl FnOnce(&mut Plan) -> Result<R, Error>) -> Result<R, Error> {
        let mut plan = self.plan.try_borrow_mut().map_err(|_| Error::Recursive)?;
        call(plan.as_mut().ok_or(Error::State)?)
    }

    /// Does something with the host, which no callback can.
    pub(crate) fn with_host<R>(&self, call: impl FnOnce(&mut Host) -> Result<R, Error>) -> Result<R, Error> {
        // libuv calls back without a call of ours around it, which would have the host.
        if self.calls.is_in_callback() {
            return Err(Error::Recursive);
        }
        let result = {
            let mut host = self.host.try_borrow_mut().map_err(|_| Error::Recursive)?;
            let host = host.as_mut().ok_or(Error::State)?;
            host.check()?;
            call(host)
        };
        self.bury();
        result
    }

    /// Takes the host away.
    pub(crate) fn take_host(&self) -> Result<Host, Error> {
        // As in `with_host`.
        if self.calls.is_in_callback() {
            return Err(Error::Recursive);
        }
        let mut host = self.host.try_borrow_mut().map_err(|_| Error::Recursive)?;
        host.take().ok_or(Error::State)
    }

    pub(crate) fn put_host(&self, host: Host) {
        // There is no other: it was taken away, or there was none.
        if let Ok(mut place) = self.host.try_borrow_mut() {
            *place = Some(host);
        }
        self.bury();
    }

    /// Ends the server of a service that was freed, unless it is at work.
    fn bury(&self) {
        if !self.is_freed() {
            return;
        }
        let host = self.host.try_borrow_mut().ok().and_then(|mut host| host.take());
        match host {
            Some(host) if self.is_forked() => host.abandon(),
            host => drop(host),
        }
        drop(self.plan.try_borrow_mut().ok().and_then(|mut plan| plan.take()));
    }

    /// Does something with what the callback at work was lent; between callbacks, with what is lent about no stream.
    pub(crate) fn with_call<R>(
        &self,
        call: impl for<'c, 'a> FnOnce(&mut Call<'c, 'a>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.calls.is_in_callback() {
            return self.calls.with(call).unwrap_or(Err(Error::Recursive));
        }
        self.with_host(|host| {
            host.with(|service| {
                service.server()?.with(now(), |cx| call(&mut Call { cx, key: 0, lent: Lent::Nothing }))
            })?
        })
    }

    /// Calls C, with what it may use meanwhile.
    pub(crate) fn call_out<R>(&self, call: &mut Call<'_, '_>, during: impl FnOnce(Ref<'_, Self>) -> R) -> R {
        self.calls.lend(call, || during(Ref::from(self)))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The thread may be ending, and the map be gone with it. A service is dropped by no other thread.
        let _ = SERVICES.try_with(|services| services.borrow_mut().remove(&self.number));
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What every call about a service does first: the service stays for as long as the call, whatever callbacks do.
pub(crate) fn enter<A: Answer>(
    service: Ref<'_, Service>,
    call: impl FnOnce(&Rc<Service>) -> Result<A, Error>,
) -> i32 {
    // Not counted before it is known that this is its thread: counts are of one thread.
    if let Err(error) = service.get().and_then(Service::check) {
        return error as i32;
    }
    let Some(service) = service.counted() else { return Error::Null as i32 };
    guard_with(|| call(&service), || service.poison())
}

/// The service of a callback at work, if nothing is against a call on it. Unlike [`enter`] it counts nothing: whatever calls C holds a count of
/// the service. So what is done with it must not call C.
#[inline]
pub(crate) fn in_callback<'a>(service: Ref<'a, Service>) -> Option<&'a Service> {
    service.get().ok().filter(|service| service.is_well())
}

// The interface, in the order of the header.

/// `lwx_service_new`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_new(options: In<'_, ServiceOptions>, out: Out<'_, Counted<Service>>) -> i32 {
    crate::guard::guard(|| {
        out.put(Counted::null())?;
        let plan = Plan::new(options.sized()?)?;
        out.put(Counted::new(Service::new(Some(plan))))
    })
}

/// `lwx_service_free`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_free(service: Counted<Service>) {
    crate::guard::guard_free(|| {
        let Some(service) = service.take() else { return };
        if !service.is_of_this_thread() {
            // Its handlers belong to another thread: it is left as it is, for ever.
            std::mem::forget(service);
            return;
        }
        service.health.set(Health::Freed);
        // In a child the end is the parent's to ask for, whom the request would wake.
        if let Ok(handle) = service.handle()
            && !service.is_forked()
        {
            handle.stop();
        }
        service.bury();
    });
}

/// `lwx_service_leave_thread`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_leave_thread(service: Ref<'_, Service>) -> i32 {
    let code = enter(service, |service| service.leave_thread());
    if code == 0
        && let Ok(service) = service.get()
    {
        // Not before `enter` has given back its count: from here on counts are another thread's.
        service.thread.store(0, Ordering::Release);
    }
    code
}

/// `lwx_service_enter_thread`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_enter_thread(service: Ref<'_, Service>) -> i32 {
    crate::guard::guard(|| {
        let entered = service.get()?;
        if entered.is_forked() {
            return Err(Error::Forked);
        }
        entered
            .thread
            .compare_exchange(0, this_thread(), Ordering::Acquire, Ordering::Relaxed)
            .map_err(|_| Error::Thread)?;
        service.counted().ok_or(Error::Null)?.make_known();
        Ok(())
    })
}

/// `lwx_service_start`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_start(service: Ref<'_, Service>) -> i32 {
    enter(service, |service| {
        let plan = service.plan.try_borrow_mut().map_err(|_| Error::Recursive)?.take();
        let plan = plan.ok_or(Error::State)?;
        let certificates = plan.certificates();
        let server = plan.build(service)?;
        let started =
            Started { handle: server.handle(), addresses: server.addresses().to_vec(), certificates };
        // It was started no other time, as the plan was there.
        let _ = service.started.set(started);
        service.process.set(Some(Process::current()));
        service.put_host(Host::one(Hosted::Server(server.into_service()))?);
        Ok(())
    })
}

/// `lwx_service_address`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_address(
    service: Ref<'_, Service>,
    listener: usize,
    out: Out<'_, u8>,
    size: usize,
) -> i32 {
    enter(service, |service| {
        let address = service.started()?.addresses.get(listener).ok_or(Error::Argument)?;
        let mut text = address.to_string().into_bytes();
        text.push(0);
        if text.len() > size {
            return Err(Error::Length);
        }
        out.fill(&text)
    })
}

/// `lwx_tls_reload`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_tls_reload(service: Ref<'_, Service>, listener: usize) -> i32 {
    enter(service, |service| {
        let certificates = service.started()?.certificates.get(listener).ok_or(Error::Argument)?;
        plan::reload(certificates.as_ref().ok_or(Error::State)?)
    })
}

/// `lwx_service_drain`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_drain(service: Ref<'_, Service>) -> i32 {
    enter(service, |service| {
        service.handle()?.drain();
        Ok(())
    })
}

/// `lwx_service_stop`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_stop(service: Ref<'_, Service>) -> i32 {
    enter(service, |service| {
        service.handle()?.stop();
        Ok(())
    })
}

/// `lwx_now_us`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_now_us() -> u64 {
    now().as_micros()
}

/// `lwx_service_get_stats`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_get_stats(service: Ref<'_, Service>, out: Out<'_, ServiceStats>) -> i32 {
    enter(service, |service| {
        out.room()?;
        let stats = service.with_call(|call| Ok(call.cx.stats()))?;
        out.put_sized(ServiceStats {
            connections: stats.connections,
            websockets: stats.websockets,
            requests: stats.requests,
            messages: stats.messages,
            ..sys::zeroed()
        })
    })
}

/// `lwx_service_stats`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ServiceStats {
    /// Of the struct.
    pub size: usize,
    /// Connections that are open.
    pub connections: u64,
    /// WebSockets that are open.
    pub websockets: u64,
    /// Requests so far.
    pub requests: u64,
    /// Messages so far.
    pub messages: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::zeroed;

    #[test]
    fn nothing_is_kept_of_a_service_that_was_freed() {
        for _ in 0..3 {
            let mut service = Counted::null();
            assert_eq!(lwx_service_new(In::null(), Out::from(&mut service)), 0);
            assert_eq!(SERVICES.with_borrow(HashMap::len), 1);
            lwx_service_free(service);
            assert_eq!(SERVICES.with_borrow(HashMap::len), 0);
        }
        let mut refused = Counted::null();
        let options = ServiceOptions { size: 1, ..zeroed() };
        assert!(lwx_service_new(In::from(&options), Out::from(&mut refused)) < 0);
        assert_eq!(SERVICES.with_borrow(HashMap::len), 0);
    }
}
