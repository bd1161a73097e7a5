//! `lwsws`: serves a directory, or the demo, over HTTP and WebSocket.

mod arguments;
mod certificate;
mod demo;
mod echo;
mod log;
#[cfg(feature = "record")]
mod record;
mod signals;

use arguments::Arguments;
use log::Log;
use lws_server::files::Files;
use lws_server::http::Response;
use lws_server::{
    Address, Builder, ConnectionKind, DriverOptions, Limits, ListenOptions, Server, Versions, tls,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
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
    raise_open_files_limit();
    let log = if arguments.quiet { None } else { Some(Log::start(&arguments.access_log)?) };
    let tls = arguments.tls()?;
    let server = describe(arguments, tls.as_ref(), log.as_ref())?.build()?;
    signals::listen(server.handle(), log.clone())?;
    if let Some(tls) = &tls {
        signals::reload_on_signal(tls.clone(), log.clone())?;
    }
    if let Some(log) = &log {
        for address in server.addresses() {
            log.line(format!(
                "lwsws {} serving {}{} on {}",
                env!("CARGO_PKG_VERSION"),
                arguments.what(),
                by(server.threads()),
                url(address, tls.is_some())
            ));
        }
    }
    let served = server.run();
    if let Some(log) = log {
        log.finish();
    }
    served
}

fn limits(arguments: &Arguments) -> Limits {
    Limits {
        keep_alive_requests_max: arguments.keep_alive_requests,
        keep_alive_timeout: arguments.keep_alive_timeout(),
        linger_timeout: arguments.linger_timeout(),
        ..Limits::default()
    }
}

/// Tells what one connection may cost.
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

/// Everything that is served.
fn describe(arguments: &Arguments, tls: Option<&tls::Server>, log: Option<&Log>) -> io::Result<Builder> {
    let threads = match arguments.threads {
        0 => thread::available_parallelism()?.get(),
        threads => threads,
    };
    let listen = ListenOptions { reuse_port: arguments.reuse_port, ..ListenOptions::default() };
    let builder = Server::builder().listen_options(listen);
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
    let files = match &arguments.directory {
        Some(directory) => Files::directory(directory)?,
        None => demo::pages(),
    };
    let (log, demo) = (log.cloned(), demo::Demo::default());
    Ok(builder.threads(threads, move |builder| handlers(builder, &files, &demo, log.as_ref())))
}

/// What each thread serves.
fn handlers(builder: Builder, files: &Files, demo: &demo::Demo, log: Option<&Log>) -> Builder {
    let builder = builder
        .mount("/", files.clone())
        .get("/hello", |_| Response::ok("text/plain", "Hello, world!"))
        .ws("/echo", echo::websockets())
        .post("/echo", echo::Content::new);
    let builder = demo.websockets(builder);
    match log.cloned() {
        Some(log) => logged(builder, log),
        None => builder,
    }
}

/// Requests, handshakes that failed, handlers that did, and peers that were told to go away.
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
/// Where it cannot be raised there are fewer connections: no reason not to serve.
fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// How many serve, for a person, if it is not one.
fn by(threads: usize) -> String {
    if threads == 1 { String::new() } else { format!(" with {threads} threads") }
}

fn url(address: &Address, secure: bool) -> String {
    match address {
        Address::Tcp(address) if secure => format!("https://{address}"),
        Address::Tcp(address) => format!("http://{address}"),
        other => other.to_string(),
    }
}
