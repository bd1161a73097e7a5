//! `lwsws`: serves a directory, or the demo, over HTTP and WebSocket.

#[cfg_attr(not(feature = "acme"), path = "acme/absent.rs")]
mod acme;
mod admin;
mod arguments;
#[cfg_attr(not(feature = "broker"), path = "broker/absent.rs")]
mod broker;
mod certificate;
mod configuration;
mod demo;
mod echo;
mod files;
mod init;
mod launch;
mod log;
mod loops;
mod manager;
mod pid_file;
mod plugins;
mod privileges;
mod process;
mod proxy;
mod readiness;
#[cfg(feature = "record")]
mod record;
mod reload;
mod signals;
mod sys;
#[cfg(feature = "tracing")]
mod trace;
mod upgrade;

use admin::{Admin, AdminAddress, Operated, Reloads};
use arguments::Arguments;
use broker::Sharing;
use configuration::Served;
use launch::Launcher;
use log::{Log, Rules};
use lws_config::LogRules;
use lws_server::files::{Files, PoolOptions};
use lws_server::http::Response;
use lws_server::{
    AccessRecord, Address, Builder, ConnectionKind, DriverOptions, Limits, ListenOptions, ListeningSocket,
    Server, TurnLimits, Versions, tls,
};
use manager::Manager;
use pid_file::PidFile;
use process::Duties;
use readiness::Readiness;
use reload::Reload;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use upgrade::Upgrade;

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    if let Some(status) = arguments.configuration.run(&arguments.broker) {
        return status;
    }
    if arguments.limits {
        let hosts = arguments.configuration.limits(&limits(&arguments));
        return hosts.map_or(ExitCode::FAILURE, |(hosts, receive_buffer_bytes)| {
            print_limits(&hosts, receive_buffer_bytes)
        });
    }
    run(&arguments).unwrap_or_else(|error| {
        eprintln!("lwsws: {error}");
        ExitCode::FAILURE
    })
}

/// Serves, in this process or another one.
fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let mut launcher = process::begin()?;
    if launcher.is_none()
        && let Some(status) = arguments.process.start_another()?
    {
        return Ok(status);
    }
    match (serve(arguments, &mut launcher), launcher) {
        (Ok(()), _) => Ok(ExitCode::SUCCESS),
        // Who has started this process says it.
        (Err(error), Some(mut launcher)) => {
            launcher.failed(&error);
            Ok(ExitCode::FAILURE)
        }
        (Err(error), None) => Err(error),
    }
}

/// A server that listens, with what stands around it in this process.
struct PreparedServer {
    server: Server,
    configured: Option<Served>,
    /// TLS of all listeners.
    tls: Vec<tls::Server>,
    /// What is served, for a person.
    what: String,
    manager: Manager,
    readiness: Readiness,
    /// Who waits for a reload; `None` where there is nothing to read again.
    reloads: Option<Reloads>,
    admin: Option<Admin>,
    log: Option<Log>,
    pid_file: Option<Arc<PidFile>>,
    /// It listens at sockets of the process whose place this one takes.
    takes_over: bool,
}

fn serve(arguments: &Arguments, launcher: &mut Option<Launcher>) -> io::Result<()> {
    // Before anything that takes time: a signal that comes early must neither end the program nor be lost.
    let requests = signals::Requests::collect()?;
    #[cfg(feature = "tracing")]
    arguments.trace.begin()?;
    let prepared = prepare(arguments, launcher)?;
    arguments.process.take_over(launcher, prepared.pid_file.as_deref())?;
    if prepared.takes_over {
        prepared.server.handle().take_over_listeners();
        prepared.admin.iter().for_each(Admin::take_over);
    }
    let PreparedServer {
        server,
        configured,
        tls,
        what,
        manager,
        readiness,
        reloads,
        admin,
        log,
        pid_file,
        ..
    } = prepared;
    // Hosts of a configuration may differ in that.
    let secure = configured.is_none().then_some(!tls.is_empty());
    let reload = reload_of(configured.as_ref(), &server, tls, limits(arguments));
    let upgrade = Upgrade {
        handle: server.handle(),
        admin: admin.as_ref().map(Admin::handle),
        manager: manager.clone(),
        log: log.clone(),
        pid_file: pid_file.clone(),
        ready_timeout: arguments.process.ready_timeout(),
        retire_timeout: arguments.process.retire_timeout(),
    };
    signals::listen(readiness.clone(), log.clone())?;
    obey_signals(requests, reload, reloads.unwrap_or_default(), upgrade)?;
    let event_loop =
        arguments.process.event_loop(configured.as_ref().and_then(Served::event_loop), log.as_ref());
    manager.watch(&server.handle());
    if let Some(log) = &log {
        greet(log, &server, &what, secure, admin.as_ref());
    }
    manager.ready(format_args!("serving {what}"));
    readiness.ready();
    // Behind readiness: a start waits for no authority.
    configured.iter().for_each(|served| served.keep_certificates(log.as_ref()));
    let served = event_loop.run(server);
    configured.iter().for_each(Served::finish);
    admin.into_iter().for_each(Admin::finish);
    if let Some(log) = log {
        finish_log(log, &served);
    }
    // Threads that wait for signals have it, too, and end with the process.
    pid_file.iter().for_each(|file| file.remove());
    served
}

/// What is read again on SIGHUP: the configuration, or else the certificates of the command line.
fn reload_of(
    configured: Option<&Served>,
    server: &Server,
    tls: Vec<lws_server::tls::Server>,
    limits: Limits,
) -> Reload {
    match configured {
        Some(served) => {
            let reloader = served.reloader(server.handle(), server.sites(), limits);
            Reload::Configuration(Box::new(reloader))
        }
        None => tls.into_iter().next().map_or(Reload::Nothing, Reload::Certificates),
    }
}

/// Writes the last lines of the log. In the background there is no standard error, so an error that has ended the server is logged.
fn finish_log(log: Log, served: &io::Result<()>) {
    if let Err(error) = served {
        log.line(format!("lwsws: {error}"));
    }
    log.finish();
}

/// Opens everything that the server needs, and becomes the user that it is to run as.
fn prepare(arguments: &Arguments, launcher: &mut Option<Launcher>) -> io::Result<PreparedServer> {
    let manager = Manager::from_environment()?;
    let configured = arguments.configuration.prepare(&arguments.broker)?;
    set_open_files_limit(configured.as_ref().and_then(Served::descriptors))?;
    let pid_file = arguments.process.pid_file(launcher.as_mut())?;
    let mut sockets = Sockets { manager: manager::sockets()?, handed_over: process::handed_over(launcher) };
    let takes_over = !sockets.handed_over.is_empty();
    let format = log_rules(arguments, configured.as_ref().map(Served::log_rules)).format;
    let owner = configured.as_ref().map(Served::owner).transpose()?.flatten();
    let log = if arguments.quiet { None } else { Some(Log::start(&arguments.access_log, format, owner)?) };
    let admin_address = admin_address(arguments, configured.as_ref())?;
    let admin_socket = admin_address.as_ref().and_then(|address| sockets.take_handed_over(address));
    let (server, what, tls) = build(arguments, configured.as_ref(), sockets, log.as_ref())?;
    if !takes_over {
        check_sockets(&server)?;
    }
    let drain_delay = configured.as_ref().and_then(Served::drain_delay);
    let drain_delay = drain_delay.unwrap_or_else(|| arguments.drain_delay());
    let readiness = Readiness::new(server.handle(), manager.clone(), drain_delay);
    // What there is to be read again is known before the door opens through which somebody asks for it.
    let reloads = (configured.is_some() || !tls.is_empty()).then(Reloads::default);
    let operated = Operated {
        handle: server.handle(),
        readiness: readiness.clone(),
        reloads: reloads.clone(),
        log: log.clone(),
    };
    let admin = admin_address.map(|address| Admin::start(&address, admin_socket, operated)).transpose()?;
    if let Some(served) = &configured {
        served.become_user()?;
    }
    Ok(PreparedServer {
        server,
        configured,
        tls,
        what,
        manager,
        readiness,
        reloads,
        admin,
        log,
        pid_file,
        takes_over,
    })
}

/// The server, what it serves for a person, and TLS of its listeners.
fn build(
    arguments: &Arguments,
    configured: Option<&Served>,
    sockets: Sockets,
    log: Option<&Log>,
) -> io::Result<(Server, String, Vec<tls::Server>)> {
    if let Some(served) = configured {
        return Ok((configured_server(arguments, served, sockets, log)?, served.what(), served.tls()));
    }
    let tls = arguments.tls()?;
    let server = describe(arguments, tls.as_ref(), sockets, log)?.build()?;
    Ok((server, arguments.what(), tls.into_iter().collect()))
}

/// Begins to act on the signals that ask for a reload or an upgrade. Those hear what came of a reload who wait for that.
fn obey_signals(
    requests: signals::Requests,
    mut reload: Reload,
    reloads: Reloads,
    upgrade: Upgrade,
) -> io::Result<()> {
    // One after the other: what is handed over is not to change meanwhile.
    let duties = Duties::default();
    let (reloading, log, manager) = (duties.clone(), upgrade.log.clone(), upgrade.manager.clone());
    let reload = move || {
        reloading.run(|| {
            reloads.begin();
            manager.reloading();
            let result = reload.run(log.as_ref());
            let stands = result.as_deref().map_err(String::as_str);
            manager.ready(stands.unwrap_or_else(|why| why));
            reloads.end(stands);
            false
        });
    };
    requests.obey(reload, move || duties.run(|| upgrade.run()))
}

/// Sockets that listen already.
struct Sockets {
    /// Those that a service manager has opened.
    manager: Vec<ListeningSocket>,
    /// Those of the process whose place this one takes.
    handed_over: Vec<ListeningSocket>,
}

impl Sockets {
    fn all(self) -> impl Iterator<Item = ListeningSocket> {
        self.manager.into_iter().chain(self.handed_over)
    }

    /// The socket of the admin listener of the other process, if it is at the same address.
    fn take_handed_over(&mut self, admin: &AdminAddress) -> Option<ListeningSocket> {
        let index = self.handed_over.iter().position(|socket| admin.is_at(socket.address()))?;
        Some(self.handed_over.swap_remove(index))
    }
}

/// Where operators come, by the command line or else by the configuration.
///
/// # Errors
/// It is no address that they may come to.
fn admin_address(arguments: &Arguments, configured: Option<&Served>) -> io::Result<Option<AdminAddress>> {
    if let Some(address) = &arguments.admin {
        return Ok(Some(address.clone()));
    }
    let Some(text) = configured.and_then(Served::admin) else { return Ok(None) };
    let wrong = |error| io::Error::other(format!("\"admin\": \"{text}\": {error}"));
    text.parse().map(Some).map_err(wrong)
}

/// Says where what is served, and where the admin listener is.
fn greet(log: &Log, server: &Server, what: &str, secure: Option<bool>, admin: Option<&Admin>) {
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
    if let Some(admin) = admin {
        log.line(format!("lwsws: the admin listener is {}", admin.address()));
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
fn configured_server(
    arguments: &Arguments,
    served: &Served,
    sockets: Sockets,
    log: Option<&Log>,
) -> io::Result<Server> {
    let threads = served.threads().map_or_else(|| threads(arguments), Ok)?;
    let rules = log_rules(arguments, Some(served.log_rules()));
    let builder = Server::builder().driver_options(served.driver_options(driver_options(arguments)));
    let mut builder = served.sharing().connect(builder, log);
    let drain_timeout = served.budget("drain-timeout-ms").map(Duration::from_millis);
    builder = builder.listening_sockets(sockets.all());
    builder = builder
        .drain_timeout(drain_timeout.unwrap_or_else(|| arguments.drain_timeout()))
        .held_bytes_max(budget(served, "held-bytes-max").unwrap_or(arguments.held_bytes_max))
        .disk(disk(served))
        .peer_limits(served.peer_limits())
        .client_options(lws_proxy::client_options());
    if let Some(connections) = budget(served, "connections-max").or(arguments.max_connections) {
        builder = builder.connections_max(connections.div_ceil(threads));
    }
    if let Some(files) = budget(served, "open-files-max") {
        builder = builder.open_files_max(files);
    }
    let (served, limits, log) = (served.clone(), limits(arguments), log.cloned());
    let described = builder.threads(threads, move |builder| {
        let builder = served.describe(builder, &limits);
        match log.clone() {
            Some(log) => logged(builder, log, &rules),
            None => builder,
        }
    });
    described.build()
}

/// What a configuration says of a budget.
fn budget(served: &Served, name: &str) -> Option<usize> {
    served.budget(name).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// The threads that wait for disks.
fn disk(served: &Served) -> PoolOptions {
    let default = PoolOptions::default();
    PoolOptions {
        threads_max: budget(served, "disk-threads-max").unwrap_or(default.threads_max).max(1),
        queued_max: budget(served, "disk-queue-max").unwrap_or(default.queued_max),
    }
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
    let measures_turns = arguments.admin.is_some();
    DriverOptions { turn, measures_turns, ..DriverOptions::default() }
}

/// Prints what one connection of each kind may cost, at the host where it may cost most.
fn print_limits(hosts: &[Limits], receive_buffer_bytes: usize) -> ExitCode {
    let mut text = String::new();
    for kind in ConnectionKind::ALL {
        let costs = hosts.iter().map(|limits| limits.worst_case(*kind, receive_buffer_bytes));
        let kibibytes = costs.max().unwrap_or_default().div_ceil(1 << 10);
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
fn describe(
    arguments: &Arguments,
    tls: Option<&tls::Server>,
    sockets: Sockets,
    log: Option<&Log>,
) -> io::Result<Builder> {
    let threads = threads(arguments)?;
    let listen = ListenOptions { reuse_port: arguments.reuse_port, ..ListenOptions::default() };
    let builder = Server::builder().driver_options(driver_options(arguments)).listen_options(listen);
    let builder = builder.listening_sockets(sockets.all());
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
    builder = names(builder, arguments);
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
    let sharing = Sharing::by(arguments.broker.url.as_deref())?;
    let builder = sharing.connect(builder, log);
    let (log, rules, demo) = (log.cloned(), log_rules(arguments, None), demo::Demo::new(&sharing));
    let proxies = arguments.proxies.clone();
    let builder = builder.client_options(lws_proxy::client_options());
    Ok(builder.threads(threads, move |builder| {
        let builder = proxies.iter().fold(builder, |builder, proxy| builder.route(proxy.route()));
        // What is passed on as a whole leaves nothing that is ours.
        let own = !proxies.iter().any(proxy::Forward::is_at_root);
        let builder = if own { handlers(builder, files.as_ref(), &demo) } else { builder };
        match log.clone() {
            Some(log) => logged(builder, log, &rules),
            None => builder,
        }
    }))
}

/// The hosts that it answers for, and the origins that may open WebSockets and post.
fn names(mut builder: Builder, arguments: &Arguments) -> Builder {
    if arguments.any_host {
        builder = builder.any_host();
    }
    for host in &arguments.hosts {
        builder = builder.host(host);
    }
    if arguments.any_origin {
        return builder;
    }
    builder.same_origin().origins(arguments.origins.iter().map(String::as_str))
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

/// Which requests are logged, and how.
fn log_rules(arguments: &Arguments, configured: Option<&LogRules>) -> Rules {
    let mut rules = configured.map(Rules::of_configuration).unwrap_or_default();
    rules.format = arguments.log_format.unwrap_or(rules.format);
    rules.sample = arguments.log_sample.unwrap_or(rules.sample);
    rules.skipped.extend_from_slice(&arguments.log_skipped);
    rules
}

/// Logs requests, failed handshakes, panics of handlers, and peers that got a GOAWAY.
fn logged(builder: Builder, log: Log, rules: &Rules) -> Builder {
    let (chosen, lines) = (rules.on_thread(), log.on_thread());
    let (handshakes, panics, sent_away) = (log.clone(), log.clone(), log.clone());
    let builder = builder.on_panic(move |record| panics.line(record.to_string()));
    let builder = builder.on_sent_away(move |peer, cause| {
        sent_away.line(format!("{peer} HTTP/2 peer was told to go away: {cause}"));
    });
    let write = move |record: &AccessRecord<'_>| lines.append(|text| chosen.append(record, text));
    builder.access_log(write).on_tls(move |peer, event| {
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
