//! `lwsws`: serves a directory, or the demo, over HTTP and WebSocket.

mod arguments;
mod certificate;
mod configuration;
mod demo;
mod echo;
mod files;
mod log;
mod manager;
mod privileges;
mod proxy;
#[cfg(feature = "record")]
mod record;
mod reload;
mod signals;
mod sys;

use arguments::Arguments;
use configuration::Served;
use log::Log;
use lws_server::files::Files;
use lws_server::http::Response;
use lws_server::{
    Address, Builder, ConnectionKind, DriverOptions, Limits, ListenOptions, Server, TurnLimits, Versions, tls,
};
use manager::Manager;
use reload::Reload;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    if let Some(status) = arguments.configuration.run() {
        return status;
    }
    if arguments.limits {
        return print_limits(&limits(&arguments));
    }
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lwsws: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> io::Result<()> {
    // Before anything that takes time: a signal that comes early must not end the program either.
    signals::survive()?;
    let manager = Manager::from_environment()?;
    let configured = arguments.configuration.prepare()?;
    set_open_files_limit(configured.as_ref().and_then(Served::descriptors))?;
    let log = if arguments.quiet { None } else { Some(Log::start(&arguments.access_log)?) };
    let (server, what, tls) = match &configured {
        Some(served) => (configured_server(arguments, served, log.as_ref())?, served.what(), served.tls()),
        None => {
            let tls = arguments.tls()?;
            let server = describe(arguments, tls.as_ref(), log.as_ref())?.build()?;
            (server, arguments.what(), tls.into_iter().collect())
        }
    };
    check_sockets(&server)?;
    if let Some(served) = &configured {
        served.become_user()?;
    }
    signals::listen(server.handle(), log.clone(), manager.clone())?;
    // Hosts of a configuration may differ in that.
    let secure = configured.is_none().then_some(!tls.is_empty());
    let reload = match &configured {
        Some(served) => {
            let reloader = served.reloader(server.handle(), server.sites(), limits(arguments));
            Some(Reload::Configuration(Box::new(reloader)))
        }
        None => tls.into_iter().next().map(Reload::Certificates),
    };
    if let Some(mut reload) = reload {
        let (log, manager) = (log.clone(), manager.clone());
        signals::reload_on_signal(move || {
            manager.reloading();
            manager.ready(reload.run(log.as_ref()));
        })?;
    }
    manager.watch(&server.handle());
    if let Some(log) = &log {
        greet(log, &server, &what, secure);
    }
    manager.ready(format_args!("serving {what}"));
    let served = server.run();
    if let Some(log) = log {
        log.finish();
    }
    served
}

/// Says where what is served.
fn greet(log: &Log, server: &Server, what: &str, secure: Option<bool>) {
    // Hosts share listeners.
    let mut said = Vec::new();
    for address in server.addresses() {
        if said.contains(&address) {
            continue;
        }
        said.push(address);
        log.line(format!(
            "lwsws {} serving {what}{} on {}",
            env!("CARGO_PKG_VERSION"),
            by(server.threads()),
            url(address, secure)
        ));
    }
}

/// # Errors
/// A socket of the service manager at which nothing is served: a client that connects there would wait for ever.
fn check_sockets(server: &Server) -> io::Result<()> {
    let served = server.addresses();
    match server.unclaimed_sockets().into_iter().find(|address| !served.contains(address)) {
        None => Ok(()),
        Some(address) => Err(io::Error::other(format!(
            "the service manager listens on {address}, and nothing is served there"
        ))),
    }
}

/// What a configuration describes, on as many threads as it or the command line says.
fn configured_server(arguments: &Arguments, served: &Served, log: Option<&Log>) -> io::Result<Server> {
    let threads = served.threads().map_or_else(|| threads(arguments), Ok)?;
    let (served, limits, log) = (served.clone(), limits(arguments), log.cloned());
    let mut builder =
        Server::builder().driver_options(driver_options(arguments)).drain_timeout(arguments.drain_timeout());
    builder = builder.listening_sockets(manager::sockets()?);
    builder = builder
        .held_bytes_max(arguments.held_bytes_max)
        .peer_limits(served.peer_limits())
        .client_options(lws_proxy::client_options());
    if let Some(connections) = arguments.max_connections {
        builder = builder.connections_max(connections.div_ceil(threads));
    }
    let described = builder.threads(threads, move |builder| {
        let builder = served.describe(builder, &limits);
        match log.clone() {
            Some(log) => logged(builder, log),
            None => builder,
        }
    });
    described.build()
}

fn limits(arguments: &Arguments) -> Limits {
    Limits {
        keep_alive_requests_max: arguments.keep_alive_requests,
        keep_alive_timeout: arguments.keep_alive_timeout(),
        linger_timeout: arguments.linger_timeout(),
        ..Limits::default()
    }
}

fn driver_options(arguments: &Arguments) -> DriverOptions {
    let turn = TurnLimits { time: arguments.turn_time(), ..TurnLimits::default() };
    DriverOptions { turn, ..DriverOptions::default() }
}

/// Prints what one connection of each kind may cost.
fn print_limits(limits: &Limits) -> ExitCode {
    let receive_buffer_bytes = DriverOptions::default().receive_buffer_bytes;
    let mut text = String::new();
    for kind in ConnectionKind::ALL {
        let kibibytes = limits.worst_case(*kind, receive_buffer_bytes).div_ceil(1 << 10);
        text.push_str(&format!("{:<10} {kibibytes:>6} KiB\n", kind.name()));
    }
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn threads(arguments: &Arguments) -> io::Result<usize> {
    Ok(match arguments.threads {
        0 => thread::available_parallelism()?.get(),
        threads => threads,
    })
}

/// Everything that is served.
fn describe(arguments: &Arguments, tls: Option<&tls::Server>, log: Option<&Log>) -> io::Result<Builder> {
    let threads = threads(arguments)?;
    let listen = ListenOptions { reuse_port: arguments.reuse_port, ..ListenOptions::default() };
    let builder = Server::builder().driver_options(driver_options(arguments)).listen_options(listen);
    let builder = builder.listening_sockets(manager::sockets()?);
    let builder = match tls {
        None => builder.listen(&arguments.listen()),
        Some(tls) => {
            builder.listen_tls(&arguments.listen(), tls::Listen::from(tls).plain(tls::Plain::Redirect))
        }
    };
    let mut builder = builder.limits(limits(arguments)).drain_timeout(arguments.drain_timeout());
    builder = builder.held_bytes_max(arguments.held_bytes_max);
    if arguments.http1 {
        builder = builder.versions(Versions::Http1);
    }
    if arguments.upgrade_h2c {
        builder = builder.upgrade_to_http2();
    }
    if arguments.any_host {
        builder = builder.any_host();
    }
    for host in &arguments.hosts {
        builder = builder.host(host);
    }
    if !arguments.any_origin {
        builder = builder.same_origin().origins(arguments.origins.iter().map(String::as_str));
    }
    #[cfg(feature = "record")]
    {
        builder = arguments.record.begin(builder, arguments.max_connections.is_none(), log)?;
    }
    if let Some(deflate) = &arguments.deflate {
        builder = builder.deflate(deflate.clone());
    }
    if let Some(connections) = arguments.max_connections {
        builder = builder.connections_max(connections.div_ceil(threads));
    }
    if let Some(gate) = arguments.files.gate()? {
        builder = builder.authentication(gate);
    }
    let files = arguments.files.files(arguments.directory.as_deref())?;
    let (log, demo) = (log.cloned(), demo::Demo::default());
    let proxies = arguments.proxies.clone();
    let builder = builder.client_options(lws_proxy::client_options());
    Ok(builder.threads(threads, move |builder| {
        let builder = proxies.iter().fold(builder, |builder, proxy| builder.route(proxy.route()));
        // What is passed on as a whole leaves nothing that is ours.
        let own = !proxies.iter().any(proxy::Forward::is_at_root);
        let builder = if own { handlers(builder, files.as_ref(), &demo) } else { builder };
        match log.clone() {
            Some(log) => logged(builder, log),
            None => builder,
        }
    }))
}

/// What each thread serves: the files, below which nothing else is, or the demo.
fn handlers(builder: Builder, files: Option<&Files>, demo: &demo::Demo) -> Builder {
    match files {
        Some(files) => builder.mount("/", files.clone()),
        None => demonstrate(builder, demo),
    }
}

fn demonstrate(builder: Builder, demo: &demo::Demo) -> Builder {
    let builder = builder
        .mount("/", demo::pages())
        .get("/hello", |_| Response::ok("text/plain", "Hello, world!"))
        .ws("/echo", echo::websockets())
        .post("/echo", echo::Content::new);
    demo.websockets(builder)
}

/// Logs requests, failed handshakes, panics of handlers, and peers that got a GOAWAY.
fn logged(builder: Builder, log: Log) -> Builder {
    let (handshakes, panics, sent_away) = (log.clone(), log.clone(), log.clone());
    let builder = builder.on_panic(move |record| panics.line(record.to_string()));
    let builder = builder.on_sent_away(move |peer, cause| {
        sent_away.line(format!("{peer} HTTP/2 peer was told to go away: {cause}"));
    });
    builder.access_log(move |record| log.line(record.to_string())).on_tls(move |peer, event| {
        if let tls::Event::Failed(failure) = event {
            handshakes.line(format!("{peer} {failure}"));
        }
        true
    })
}

/// Each connection needs a descriptor, and the soft limit is often 1,024 for the sake of select(2), which nothing here uses.
///
/// # Errors
/// A configuration wants a number of them that it cannot have. Without one there are fewer connections: no reason not to serve.
fn set_open_files_limit(wanted: Option<u64>) -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let Some(wanted) = wanted else {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        return Ok(());
    };
    // Only who may raise the hard limit can have more.
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .map_err(|error| io::Error::other(format!("rlimit-nofile: {wanted} descriptors: {error}")))
}

/// How many serve, for a person, if it is not one.
fn by(threads: usize) -> String {
    if threads == 1 { String::new() } else { format!(" with {threads} threads") }
}

/// An address as one types it, if it is known whether TLS is spoken there.
fn url(address: &Address, secure: Option<bool>) -> String {
    match (address, secure) {
        (Address::Tcp(address), Some(true)) => format!("https://{address}"),
        (Address::Tcp(address), Some(false)) => format!("http://{address}"),
        (other, _) => other.to_string(),
    }
}
