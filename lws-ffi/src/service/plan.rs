//! What a service serves, described call by call before its start.

use crate::error::{self, Error};
use crate::limits::{LimitOptions, set_size};
use crate::service::handlers::{Callbacks, Handler, RouteEndpoint, StreamHandler};
use crate::service::sites::PlannedSites;
use crate::service::table::{DropUser, UserData};
use crate::service::{Service, enter};
use crate::sys::{In, Out, Ref, User};
use crate::types::{Str, known_flags};
use lws_server::files::Files;
use lws_server::{Builder, Limits, Methods, Route, Server, Takes, ws};
use std::ffi::c_char;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// `lwx_service_options`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ServiceOptions {
    /// Of the struct.
    pub size: usize,
    /// What may be done.
    pub flags: u32,
    /// Nothing. Where a hole would be.
    pub reserved: u32,
    /// The most connections at a time.
    pub connections_max: u64,
    /// The most bytes that are held for all peers together.
    pub held_bytes_max: u64,
    /// What a peer can make grow, and how long it may take.
    pub limits: LimitOptions,
    /// How long what is going on may take to end after a drain.
    pub drain_timeout_us: u64,
    /// What is called with a line for a log: the end of the first version is before this.
    pub log: Option<LogCall>,
    /// What it is called with.
    pub log_user: User,
    /// Lets go of that.
    pub log_drop: Option<DropUser>,
    /// Up to which level.
    pub log_level: i32,
    /// Nothing. Where a hole would be.
    pub reserved_end: u32,
}

/// What is called with a line for a log.
pub type LogCall = extern "C" fn(user: User, level: i32, line: Str);

mod log_level {
    pub(super) const ERROR: i32 = 1;
    pub(super) const NOTICE: i32 = 2;
    pub(super) const ACCESS: i32 = 3;
}

/// The log of a program.
#[derive(Clone)]
struct Log {
    call: LogCall,
    user: Rc<UserData>,
}

impl Log {
    fn line(&self, level: i32, line: &dyn fmt::Display) {
        (self.call)(self.user.get(), level, Str::lend(line.to_string().as_bytes()));
    }
}

/// `lwx_listen_options`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions<'a> {
    /// Of the struct.
    pub size: usize,
    /// A certificate chain in a PEM file.
    pub tls_certificate: In<'a, c_char>,
    /// Its key in a PEM file.
    pub tls_key: In<'a, c_char>,
    /// Every connection is a raw stream of this handler.
    pub raw: In<'a, Handler<'a>>,
}

/// `lwx_files_options`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FilesOptions<'a> {
    /// Of the struct.
    pub size: usize,
    /// The file that stands for its directory.
    pub index: In<'a, c_char>,
    /// A value of `Cache-Control`.
    pub cache_control: In<'a, c_char>,
    /// What may be done.
    pub flags: u32,
    /// Nothing. Where a hole would be.
    pub reserved: u32,
}

/// Every name is served at listeners of this machine too.
const ANY_HOST: u32 = 1;
/// Pages of other origins may not ask.
const SAME_ORIGIN: u32 = 2;
/// Messages are compressed where a peer offers it.
const DEFLATE: u32 = 4;
/// The strict rules of a server that embeds nothing.
const STRICT_PAGES: u32 = 8;

/// Names that begin with a dot are served.
const DOT_FILES: u32 = 1;

mod kind {
    pub(super) const HTTP: i32 = 0;
    pub(super) const WEBSOCKET: i32 = 1;
}

/// What a service is to serve.
pub(crate) struct Plan {
    options: ServiceOptions,
    log: Option<Log>,
    limits: Limits,
    listeners: Vec<PlannedListener>,
    routes: Vec<PlannedRoute>,
    files: Vec<(String, Files)>,
    fallback: Option<Rc<Callbacks>>,
    pub(crate) sites: PlannedSites,
}

struct PlannedListener {
    address: String,
    tls: Option<tls::Server>,
    raw: Option<Rc<Callbacks>>,
}

struct PlannedRoute {
    path: String,
    takes: Takes,
    callbacks: Rc<Callbacks>,
}

impl Plan {
    pub(crate) fn new(options: ServiceOptions) -> Result<Self, Error> {
        // First, so that it is let go if something is wrong.
        let user = Rc::new(UserData::new(options.log_user, options.log_drop));
        known_flags(options.flags, ANY_HOST | SAME_ORIGIN | DEFLATE | STRICT_PAGES)?;
        if !(0..=log_level::ACCESS).contains(&options.log_level) {
            return Err(Error::Argument);
        }
        Ok(Self {
            log: options.log.map(|call| Log { call, user }),
            limits: options.limits.limits()?,
            options,
            listeners: Vec::new(),
            routes: Vec::new(),
            files: Vec::new(),
            fallback: None,
            sites: PlannedSites::default(),
        })
    }

    fn listen(
        &mut self,
        address: &str,
        options: &ListenOptions<'_>,
        raw: Option<Callbacks>,
    ) -> Result<usize, Error> {
        let tls = match (options.tls_certificate.text_if_any()?, options.tls_key.text_if_any()?) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(tls::server(certificate, key)?),
            _ => return Err(Error::Null),
        };
        self.listeners.push(PlannedListener { address: address.to_owned(), tls, raw: raw.map(Rc::new) });
        Ok(self.listeners.len() - 1)
    }

    /// The certificates of the listeners, to be read again.
    pub(crate) fn certificates(&self) -> Vec<Option<tls::Server>> {
        self.listeners.iter().map(|listener| listener.tls.clone()).collect()
    }

    /// Binds the listeners.
    pub(crate) fn build(self, service: &Rc<Service>) -> Result<Server, Error> {
        let mut builder = self.options.describe(Server::builder().limits(self.limits))?;
        if let Some(log) = self.log {
            builder = with_log(builder, &log, self.options.log_level);
        }
        for PlannedListener { address, tls, raw } in self.listeners {
            builder = match (tls, raw) {
                (None, None) => builder.listen(&address),
                (Some(tls), None) => tls::listen(builder, &address, tls),
                (None, Some(raw)) => builder.listen_raw(&address, raw_factory(service, raw)),
                (Some(tls), Some(raw)) => tls::listen_raw(builder, &address, tls, raw_factory(service, raw)),
            };
        }
        for PlannedRoute { path, takes, callbacks } in self.routes {
            let endpoint = RouteEndpoint { service: Rc::clone(service), callbacks };
            builder = builder.route(Route::new(takes, path, endpoint));
        }
        for (path, files) in self.files {
            builder = builder.mount(&path, files);
        }
        for site in self.sites.build(service)? {
            builder = builder.site(site);
        }
        if let Some(callbacks) = self.fallback {
            builder = builder.raw(raw_factory(service, callbacks));
        }
        builder.build().map_err(|error| error::system(&error))
    }
}

/// Has everything of a level and those below it written to the log of the program; notices and errors unless it says otherwise.
fn with_log(mut builder: Builder, log: &Log, level: i32) -> Builder {
    let level = if level == 0 { log_level::NOTICE } else { level };
    let panics = log.clone();
    builder = builder.on_panic(move |record| panics.line(log_level::ERROR, record));
    if level >= log_level::NOTICE {
        let (peers, handshakes) = (log.clone(), log.clone());
        builder = builder
            .on_sent_away(move |peer, cause| {
                peers.line(log_level::NOTICE, &format_args!("{peer}: connection ended: {cause}"));
            })
            .on_tls(move |peer, event| {
                if let lws_server::tls::Event::Failed(failure) = event {
                    handshakes.line(log_level::NOTICE, &format_args!("{peer}: TLS: {failure}"));
                }
                true
            });
    }
    if level >= log_level::ACCESS {
        let log = log.clone();
        builder = builder.access_log(move |record| log.line(log_level::ACCESS, record));
    }
    builder
}

/// Makes the handlers of raw streams.
fn raw_factory(service: &Rc<Service>, callbacks: Rc<Callbacks>) -> impl Fn() -> StreamHandler + use<> {
    let service = Rc::clone(service);
    move || StreamHandler::new(Rc::clone(&service), Rc::clone(&callbacks))
}

impl ServiceOptions {
    /// What holds for the server as a whole.
    fn describe(&self, mut builder: Builder) -> Result<Builder, Error> {
        // A program may be a client, or have UDP sockets and what it adopts alone.
        builder = builder.may_listen_nowhere();
        let (mut connections, mut held) = (0, 0);
        set_size(&mut connections, self.connections_max)?;
        set_size(&mut held, self.held_bytes_max)?;
        if connections > 0 {
            builder = builder.connections_max(connections);
        }
        if held > 0 {
            builder = builder.held_bytes_max(held);
        }
        if self.drain_timeout_us > 0 {
            builder = builder.drain_timeout(Duration::from_micros(self.drain_timeout_us));
        }
        if self.flags & ANY_HOST != 0 {
            builder = builder.any_host();
        }
        if self.flags & SAME_ORIGIN != 0 {
            builder = builder.same_origin();
        }
        if self.flags & DEFLATE != 0 {
            builder = builder.deflate(ws::Deflate::default());
        }
        if self.flags & STRICT_PAGES != 0 {
            builder = builder.security_best_practices();
        }
        Ok(builder)
    }
}

/// TLS, where it is built in.
#[cfg(feature = "ring")]
mod tls {
    use crate::error::{self, Error};
    pub(crate) use lws_server::tls::Server;
    use lws_server::{Builder, raw};

    pub(super) fn server(certificate: &str, key: &str) -> Result<Server, Error> {
        Server::from_files(certificate, key).map_err(|error| error::system(&error))
    }

    pub(crate) fn reload(server: &Server) -> Result<(), Error> {
        server.reload().map_err(|error| error::system(&error))
    }

    pub(super) fn listen(builder: Builder, address: &str, server: Server) -> Builder {
        builder.listen_tls(address, server)
    }

    /// TLS of a listener of a site.
    pub(crate) fn of_site(server: Server) -> lws_server::tls::Listen {
        (&server).into()
    }

    pub(super) fn listen_raw<H: raw::Handler>(
        builder: Builder,
        address: &str,
        server: Server,
        factory: impl Fn() -> H + 'static,
    ) -> Builder {
        builder.listen_raw_tls(address, server, factory)
    }
}

/// Every call says that there is none.
#[cfg(not(feature = "ring"))]
mod tls {
    use crate::error::Error;
    use lws_server::{Builder, raw};

    /// There is none.
    #[derive(Clone, Copy)]
    pub(crate) enum Server {}

    pub(super) fn server(_: &str, _: &str) -> Result<Server, Error> {
        Err(Error::Unsupported)
    }

    pub(crate) fn reload(server: &Server) -> Result<(), Error> {
        match *server {}
    }

    pub(super) fn listen(_: Builder, _: &str, server: Server) -> Builder {
        match server {}
    }

    pub(crate) fn of_site(server: Server) -> lws_server::tls::Listen {
        match server {}
    }

    pub(super) fn listen_raw<H: raw::Handler>(
        _: Builder,
        _: &str,
        server: Server,
        _: impl Fn() -> H + 'static,
    ) -> Builder {
        match server {}
    }
}

pub(crate) use tls::{Server as TlsServer, of_site as tls_listen, reload};

// The interface, in the order of the header.

/// `lwx_listen`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_listen<'a>(
    service: Ref<'_, Service>,
    address: In<'_, c_char>,
    options: In<'a, ListenOptions<'a>>,
    listener: Out<'_, usize>,
) -> i32 {
    // What is taken over is taken over before anything can fail.
    let raw = options.sized().map(|options| (!options.raw.is_null()).then(|| Callbacks::new(options.raw)));
    enter(service, |service| {
        let (address, options, raw) = (address.text()?, options.sized()?, raw?.transpose()?);
        let index = service.plan(|plan| plan.listen(address, &options, raw))?;
        if listener.is_null() { Ok(()) } else { listener.put(index) }
    })
}

/// `lwx_route`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_route<'a>(
    service: Ref<'_, Service>,
    kind: i32,
    path: In<'_, c_char>,
    handler: In<'a, Handler<'a>>,
) -> i32 {
    let callbacks = Callbacks::new(handler);
    enter(service, |service| {
        let (path, callbacks) = (path.text()?.to_owned(), Rc::new(callbacks?));
        let takes = match kind {
            kind::HTTP => Takes::Requests(Methods::Any),
            kind::WEBSOCKET => Takes::Upgrades,
            _ => return Err(Error::Argument),
        };
        service.plan(|plan| {
            plan.routes.push(PlannedRoute { path, takes, callbacks });
            Ok(())
        })
    })
}

/// `lwx_raw_fallback`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_raw_fallback<'a>(service: Ref<'_, Service>, handler: In<'a, Handler<'a>>) -> i32 {
    let callbacks = Callbacks::new(handler);
    enter(service, |service| {
        let callbacks = Rc::new(callbacks?);
        service.plan(|plan| {
            if plan.fallback.is_some() {
                return Err(Error::State);
            }
            plan.fallback = Some(callbacks);
            Ok(())
        })
    })
}

/// `lwx_files`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_files<'a>(
    service: Ref<'_, Service>,
    path: In<'_, c_char>,
    directory: In<'_, c_char>,
    options: In<'a, FilesOptions<'a>>,
) -> i32 {
    enter(service, |service| {
        let (path, options) = (path.text()?.to_owned(), options.sized()?);
        known_flags(options.flags, DOT_FILES)?;
        let mut files = Files::directory(directory.text()?).map_err(|error| error::system(&error))?;
        files = files.dot_files(options.flags & DOT_FILES != 0);
        if let Some(index) = options.index.text_if_any()? {
            files = files.index(index.to_owned());
        }
        if let Some(value) = options.cache_control.text_if_any()? {
            files = files.field("Cache-Control", value.to_owned());
        }
        service.plan(|plan| {
            plan.files.push((path, files));
            Ok(())
        })
    })
}
