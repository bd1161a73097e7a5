//! Who waits for a service: a program that watches one descriptor, one that watches each, or libuv.

use crate::error::{self, Error};
use crate::service::hosted::Hosted;
use crate::service::{Service, enter, now};
use crate::sys::{In, InOut, Out, Ref, User};
use lws_loop_external::hosts::{self, PollFd};
use lws_loop_external::{Change, Interest, OneDescriptor, Readiness, Service as _, Token, Wait};
#[cfg(feature = "uv")]
use lws_loop_uv::{Attached, RawLoop};
use lws_proto::Time;
use std::collections::HashMap;
use std::ffi::c_char;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// `lwx_host`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HostCallbacks {
    /// Of the struct.
    pub size: usize,
    /// Watch a descriptor. Negative: it cannot be.
    pub add: Option<extern "C" fn(user: User, fd: i32, token: u64, events: u32) -> i32>,
    /// Watch it for something else.
    pub modify: Option<extern "C" fn(user: User, fd: i32, token: u64, events: u32) -> i32>,
    /// Let go of it.
    pub remove: Option<extern "C" fn(user: User, fd: i32, token: u64)>,
    /// What they are called with.
    pub user: User,
}

/// There is something to read.
const READ: u32 = 1;
/// There is room to write.
const WRITE: u32 = 2;
/// The peer has gone.
const HANG_UP: u32 = 4;
/// There is an error.
const ERROR: u32 = 8;

/// A server, and who waits for it.
pub(crate) enum Host {
    One(Box<OneDescriptor<Hosted>>),
    Each(Box<Each>),
    #[cfg(feature = "uv")]
    Uv(Attached<Hosted>),
}

/// A server whose descriptors the program watches.
pub(crate) struct Each {
    service: Hosted,
    callbacks: HostCallbacks,
    tokens: HashMap<RawFd, Token>,
    wait: Wait,
}

impl Host {
    pub(crate) fn one(service: Hosted) -> Result<Self, Error> {
        let one = OneDescriptor::new(service).map_err(|error| error::system(&error))?;
        Ok(Self::One(Box::new(one)))
    }

    /// Whether it waits on a loop that cannot be called on another thread.
    pub(crate) fn is_of_one_thread(&self) -> bool {
        !matches!(self, Self::One(_) | Self::Each(_))
    }

    /// Refuses a child of the process.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let forked = match self {
            Self::One(one) => one.service().is_forked(),
            Self::Each(each) => each.service.is_forked(),
            #[cfg(feature = "uv")]
            Self::Uv(attached) => attached.with(|service| service.is_forked()).unwrap_or(false),
        };
        if forked { Err(Error::Forked) } else { Ok(()) }
    }

    /// Lets go of it in a child of the process, without a word to the system about what the parent goes on to watch.
    pub(crate) fn abandon(self) {
        match self {
            // They close the child's copies of the descriptors, and nothing else.
            Self::One(one) => drop(one),
            Self::Each(each) => drop(each),
            // libuv would deregister the descriptors from an epoll that is the parent's, too.
            #[cfg(feature = "uv")]
            Self::Uv(attached) => std::mem::forget(attached),
        }
    }

    /// Lends the server, and lets it do what it was given to do.
    pub(crate) fn with<R>(&mut self, call: impl FnOnce(&mut Hosted) -> R) -> Result<R, Error> {
        match self {
            Self::One(one) => Ok(one.with(now(), call)),
            Self::Each(each) => {
                let result = call(&mut each.service);
                each.settle(now());
                Ok(result)
            }
            #[cfg(feature = "uv")]
            Self::Uv(attached) => attached.with(call).map_err(|_| Error::Recursive),
        }
    }

    /// Does what can be done now, for at most about `time` if the program has said how long. Answers whether there will be more.
    fn dispatch(&mut self, time: Option<Duration>) -> Result<bool, Error> {
        match self {
            Self::One(one) => {
                match time {
                    Some(time) => one.dispatch_within(now(), time),
                    None => one.dispatch(now()),
                };
                one.check().map_err(|error| error::system(&error))?;
                Ok(!one.is_done())
            }
            Self::Each(each) => {
                each.service.limit_turn(time);
                each.settle(now());
                each.service.limit_turn(None);
                Ok(!each.service.is_done())
            }
            #[cfg(feature = "uv")]
            Self::Uv(_) => Err(Error::State),
        }
    }

    fn wait(&self) -> Result<Wait, Error> {
        match self {
            Self::One(one) => Ok(one.wait()),
            Self::Each(each) => Ok(each.wait),
            #[cfg(feature = "uv")]
            Self::Uv(_) => Err(Error::State),
        }
    }

    fn descriptor(&self) -> Result<RawFd, Error> {
        match self {
            Self::One(one) => Ok(one.as_raw_fd()),
            _ => Err(Error::State),
        }
    }

    fn each(&mut self) -> Result<&mut Each, Error> {
        match self {
            Self::Each(each) => Ok(each),
            _ => Err(Error::State),
        }
    }
}

impl Each {
    fn settle(&mut self, now: Time) {
        let Self { service, callbacks, tokens, .. } = self;
        self.wait = hosts::settle(service, now, |change, _| callbacks.apply(change, tokens));
    }
}

impl HostCallbacks {
    fn apply(&self, change: Change, tokens: &mut HashMap<RawFd, Token>) -> io::Result<()> {
        let refused = || io::Error::other("the program cannot watch this descriptor");
        let watched = |code: i32| if code < 0 { Err(refused()) } else { Ok(()) };
        match change {
            Change::Add { token, fd, interest } => {
                let add = self.add.ok_or_else(refused)?;
                watched(add(self.user, fd, token.as_u64(), events_of(interest)))?;
                tokens.insert(fd, token);
                Ok(())
            }
            Change::Modify { token, fd, interest } => {
                let modify = self.modify.ok_or_else(refused)?;
                watched(modify(self.user, fd, token.as_u64(), events_of(interest)))
            }
            Change::Remove { token, fd } => {
                tokens.remove(&fd);
                if let Some(remove) = self.remove {
                    remove(self.user, fd, token.as_u64());
                }
                Ok(())
            }
        }
    }
}

/// What is to be watched for. Nothing at all means that the descriptor is left out until it is modified.
fn events_of(interest: Interest) -> u32 {
    let flags = [(Interest::READ, READ), (Interest::WRITE, WRITE), (Interest::FAILURE, HANG_UP)];
    flags.into_iter().filter(|(flag, _)| interest.contains(*flag)).fold(0, |all, (_, flag)| all | flag)
}

fn readiness_of(events: u32) -> Readiness {
    Readiness::READABLE.when(events & READ != 0)
        | Readiness::WRITABLE.when(events & WRITE != 0)
        | Readiness::HANG_UP.when(events & HANG_UP != 0)
        | Readiness::ERROR.when(events & ERROR != 0)
}

/// Milliseconds for poll(2), rounded up; -1 is for ever.
fn millis(wait: Wait) -> i32 {
    let timeout = wait.timeout(now());
    timeout.map_or(-1, |timeout| i32::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX))
}

// The interface, in the order of the header.

/// `lwx_service_fd`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_fd(service: Ref<'_, Service>) -> i32 {
    enter(service, |service| service.with_host(|host| host.descriptor()))
}

/// `lwx_service_deadline`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_deadline(service: Ref<'_, Service>, out: Out<'_, u64>) -> i32 {
    enter(service, |service| {
        let wait = service.with_host(|host| host.wait())?;
        out.put(match wait {
            Wait::Now => 0,
            Wait::Until(at) => at.as_micros(),
            Wait::Forever => u64::MAX,
        })
    })
}

/// `lwx_service_timeout_ms`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_timeout_ms(service: Ref<'_, Service>) -> i32 {
    let mut timeout = 0;
    let code = enter(service, |service| {
        timeout = millis(service.with_host(|host| host.wait())?);
        Ok(())
    });
    // A program that passes this on to poll(2) finds out with its next dispatch.
    if code < 0 { 0 } else { timeout }
}

/// `lwx_service_dispatch`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_dispatch(service: Ref<'_, Service>) -> i32 {
    dispatch(service, None)
}

/// `lwx_service_dispatch_within`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_dispatch_within(service: Ref<'_, Service>, time_us: u64) -> i32 {
    dispatch(service, Some(Duration::from_micros(time_us)))
}

fn dispatch(service: Ref<'_, Service>, time: Option<Duration>) -> i32 {
    enter(service, |service| {
        let more = service.with_host(|host| host.dispatch(time))?;
        Ok(more && !service.is_freed())
    })
}

/// `lwx_service_run`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_run(service: Ref<'_, Service>) -> i32 {
    enter(service, |service| {
        if service.calls.is_in_callback() {
            return Err(Error::Recursive);
        }
        while service.with_host(|host| host.dispatch(None))? && !service.is_freed() {
            let (fd, wait) = service.with_host(|host| Ok((host.descriptor()?, host.wait()?)))?;
            match hosts::poll(&mut [PollFd::new(fd, Interest::READ)], wait.timeout(now())) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error::system(&error));
                }
                _ => {}
            }
        }
        Ok(())
    })
}

/// `lwx_service_set_host`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_set_host(service: Ref<'_, Service>, callbacks: In<'_, HostCallbacks>) -> i32 {
    enter(service, |service| {
        let clear = callbacks.is_null();
        let callbacks = callbacks.sized()?;
        if !clear && (callbacks.add.is_none() || callbacks.modify.is_none() || callbacks.remove.is_none()) {
            return Err(Error::Null);
        }
        let server = release(service.take_host()?, service)?;
        if clear {
            service.put_host(Host::one(server)?);
            return Ok(());
        }
        let mut each = Each { service: server, callbacks, tokens: HashMap::new(), wait: Wait::Now };
        each.service.attach(lws_loop_external::Trigger::Level);
        service.put_host(Host::Each(Box::new(each)));
        Ok(())
    })
}

/// Takes the server from a host that lets go of it at once. The host stays if it cannot.
pub(crate) fn release(host: Host, service: &Service) -> Result<Hosted, Error> {
    match host {
        Host::One(one) => Ok(one.detach()),
        Host::Each(each) => {
            let Each { service: mut server, callbacks, tokens, .. } = *each;
            hosts::detach(&mut server, |descriptor| {
                let fd = descriptor.as_raw_fd();
                if let (Some(token), Some(remove)) = (tokens.get(&fd), callbacks.remove) {
                    remove(callbacks.user, fd, token.as_u64());
                }
            });
            Ok(server)
        }
        #[cfg(feature = "uv")]
        Host::Uv(attached) => {
            service.put_host(Host::Uv(attached));
            Err(Error::State)
        }
    }
}

/// `lwx_service_ready`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_ready(service: Ref<'_, Service>, token: u64, events: u32) -> i32 {
    enter(service, |service| {
        service.with_host(|host| {
            host.each()?.service.handle_ready(now(), Token::from_u64(token), readiness_of(events));
            Ok(())
        })
    })
}

/// `lwx_service_pollfd`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_pollfd(service: Ref<'_, Service>, entry: InOut<'_, PollFd>) -> i32 {
    enter(service, |service| {
        let mut fd = entry.get()?;
        service.with_host(|host| {
            let each = host.each()?;
            let Some(token) = each.tokens.get(&fd.fd) else { return Ok(false) };
            if fd.revents != 0 {
                each.service.handle_ready(now(), *token, fd.readiness());
                fd.revents = 0;
                entry.put(fd)?;
            }
            Ok(true)
        })
    })
}

/// Answers with the address of a function of libuv by its name, or NULL: as `dlsym`.
pub type FindCall = extern "C" fn(user: User, name: *const c_char) -> User;

/// `lwx_service_attach_uv`
#[cfg(feature = "uv")]
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_attach_uv(service: Ref<'_, Service>, uv_loop: Ref<'_, RawLoop>) -> i32 {
    enter(service, |service| attach_uv(service, &crate::sys::uv_loop(uv_loop)?))
}

/// `lwx_service_attach_uv_of`
#[cfg(feature = "uv")]
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_attach_uv_of(
    service: Ref<'_, Service>,
    uv_loop: Ref<'_, RawLoop>,
    version: u32,
    find: Option<FindCall>,
    user: User,
) -> i32 {
    enter(service, |service| {
        let library = match find {
            Some(find) => crate::sys::uv_library(find, user),
            None => Ok(lws_loop_uv::Library::linked()),
        };
        let refused = |error| error::system(&io::Error::other(error));
        let library = library.map_err(refused)?;
        let version = if version == 0 { library.version() } else { version };
        let uv_loop = crate::sys::uv_loop_of(&library, uv_loop, version)?.map_err(refused)?;
        attach_uv(service, &uv_loop)
    })
}

/// Lets a loop of libuv serve. The server stays with the host that it has if the loop cannot.
#[cfg(feature = "uv")]
fn attach_uv(service: &std::rc::Rc<Service>, uv_loop: &lws_loop_uv::LoopRef) -> Result<(), Error> {
    let server = release(service.take_host()?, service)?;
    match uv_loop.attach(server) {
        Ok(attached) => {
            service.put_host(Host::Uv(attached));
            Ok(())
        }
        Err(refused) => {
            // The server comes back when the loop has let go of it.
            let (error, service) = (error::system(&refused), std::rc::Rc::clone(service));
            refused.service.then(move |server| {
                if let Ok(host) = Host::one(server) {
                    service.put_host(host);
                }
            });
            Err(error)
        }
    }
}

/// `lwx_service_attach_uv`
#[cfg(not(feature = "uv"))]
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_attach_uv(service: Ref<'_, Service>, _: User) -> i32 {
    enter(service, |_| -> Result<(), Error> { Err(Error::Unsupported) })
}

/// `lwx_service_attach_uv_of`
#[cfg(not(feature = "uv"))]
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_attach_uv_of(
    service: Ref<'_, Service>,
    _: User,
    _: u32,
    _: Option<FindCall>,
    _: User,
) -> i32 {
    enter(service, |_| -> Result<(), Error> { Err(Error::Unsupported) })
}

/// Called when libuv has let go.
pub type DetachedCall = extern "C" fn(service: Ref<'_, Service>, user: User);

/// `lwx_service_detach_uv`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_service_detach_uv(
    service: Ref<'_, Service>,
    done: Option<DetachedCall>,
    user: User,
) -> i32 {
    enter(service, |service| detach_uv(service, done, user))
}

#[cfg(feature = "uv")]
fn detach_uv(service: &std::rc::Rc<Service>, done: Option<DetachedCall>, user: User) -> Result<(), Error> {
    let attached = match service.take_host()? {
        Host::Uv(attached) => attached,
        other => {
            service.put_host(other);
            return Err(Error::State);
        }
    };
    let service = std::rc::Rc::clone(service);
    attached.detach().then(move |server| {
        if let Ok(host) = Host::one(server) {
            service.put_host(host);
        }
        if let Some(done) = done {
            done(Ref::from(&*service), user);
        }
    });
    Ok(())
}

#[cfg(not(feature = "uv"))]
fn detach_uv(_: &Service, _: Option<DetachedCall>, _: User) -> Result<(), Error> {
    Err(Error::State)
}
