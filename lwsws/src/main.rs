//! `lwsws`: serves a directory, or the demo, over HTTP and WebSocket.

mod arguments;
mod certificate;
mod demo;
mod echo;
mod log;
mod signals;

use arguments::Arguments;
use log::Log;
use lws_server::files::Files;
use lws_server::http::Response;
use lws_server::{Address, Builder, Limits, Server, tls};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lwsws: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> io::Result<()> {
    raise_open_files_limit();
    let log = if arguments.quiet { None } else { Some(Log::start()?) };
    let tls = arguments.tls()?;
    let server = describe(arguments, tls.as_ref(), log.as_ref())?.build()?;
    signals::drain_on_signal(server.handle())?;
    if let Some(tls) = &tls {
        signals::reload_on_signal(tls.clone(), log.clone())?;
    }
    if let Some(log) = &log {
        for address in server.addresses() {
            log.line(format!(
                "lwsws {} serving {} on {}",
                env!("CARGO_PKG_VERSION"),
                arguments.what(),
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

/// Everything that is served.
fn describe(arguments: &Arguments, tls: Option<&tls::Server>, log: Option<&Log>) -> io::Result<Builder> {
    let files = match &arguments.directory {
        Some(directory) => Files::directory(directory)?,
        None => demo::pages(),
    };
    let limits = Limits { keep_alive_requests_max: arguments.keep_alive_requests, ..Limits::default() };
    let builder = match tls {
        None => Server::builder().listen(&arguments.listen()),
        Some(tls) => {
            let listen = tls::Listen::from(tls).plain(tls::Plain::Redirect);
            Server::builder().listen_tls(&arguments.listen(), listen)
        }
    };
    let mut builder = builder
        .limits(limits)
        .drain_timeout(arguments.drain_timeout())
        .mount("/", files)
        .get("/hello", |_| Response::ok("text/plain", "Hello, world!"))
        .ws("/echo", echo::websockets())
        .post("/echo", echo::Content::new);
    builder = demo::websockets(builder);
    if let Some(deflate) = &arguments.deflate {
        builder = builder.deflate(deflate.clone());
    }
    if let Some(connections) = arguments.max_connections {
        builder = builder.connections_max(connections);
    }
    if let Some(log) = log {
        let (access, handshakes) = (log.clone(), log.clone());
        builder =
            builder.access_log(move |record| access.line(record.to_string())).on_tls(move |peer, event| {
                if let tls::Event::Failed(failure) = event {
                    handshakes.line(format!("{peer} {failure}"));
                }
                true
            });
    }
    Ok(builder)
}

/// Each connection needs a descriptor, and the soft limit is often 1,024 for the sake of select(2), which nothing here uses.
/// Where it cannot be raised there are fewer connections: no reason not to serve.
fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn url(address: &Address, secure: bool) -> String {
    match address {
        Address::Tcp(address) if secure => format!("https://{address}"),
        Address::Tcp(address) => format!("http://{address}"),
        other => other.to_string(),
    }
}
