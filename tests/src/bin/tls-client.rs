//! A client for the peers' tests: WebSockets over TLS on the built-in loop, one after the other.
//!
//! ```text
//! tls-client HOST:PORT/PATH COUNT [--name NAME] [--ca FILE | --pin FILE | --insecure] [--cert FILE --key FILE]
//!            [--version NAME] [--times N] [--http2]
//! ```
//!
//! Over HTTP/2 with `--http2`, which ALPN has to choose. Sends COUNT messages of growing size and compares what comes back. Prints what TLS has agreed on; a failure is one line
//! on standard error that begins with its name.

use lws_loop_external::tls::{Failure, Info, Provider};
use lws_loop_external::{
    Accepted, Application, ConnectCause, ConnectError, ConnectOptions, Driver, DriverContext, DriverOptions,
    ListenerId, Peer, Speak,
};
use lws_loop_poll::PollLoop;
use lws_proto::ws::{CloseCode, Connect};
use lws_proto::{Cause, Config, Connection, Established, Event, MessageKind, Payload, Time, WebSocket};
use lws_tls::{Client, Identity, Pin, Roots};
use std::collections::HashMap;
use std::error::Error;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (plain, options) = arguments.split_at_checked(2).ok_or("usage: HOST:PORT/PATH COUNT [OPTION]...")?;
    let (authority, path) = plain[0].split_once('/').ok_or("HOST:PORT/PATH")?;
    let options = parse(options)?;
    let name = options.get("--name").copied().or(authority.rsplit_once(':').map(|(host, _)| host));
    let tls = client(&options)?.to(name.unwrap_or(authority))?;
    let speak = if options.contains_key("--http2") { Speak::Http2 } else { Speak::Http };
    for _ in 0..options.get("--times").map_or(Ok(1), |times| times.parse())? {
        once(authority, path, plain[1].parse()?, speak, &tls)?;
    }
    Ok(())
}

/// Options by name; a switch has an empty value.
fn parse(arguments: &[String]) -> Result<HashMap<&str, &str>, String> {
    let mut options = HashMap::new();
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(name) = rest.next() {
        let value = match name {
            "--insecure" | "--http2" => "",
            "--name" | "--ca" | "--pin" | "--cert" | "--key" | "--version" | "--times" => {
                rest.next().ok_or_else(|| format!("{name} needs a value"))?
            }
            _ => return Err(format!("unknown option {name}")),
        };
        options.insert(name, value);
    }
    Ok(options)
}

fn client(options: &HashMap<&str, &str>) -> Result<Client, Box<dyn Error>> {
    let mut client = Client::builder();
    if let Some(file) = options.get("--ca") {
        client = client.roots(Roots::file(file));
    }
    if let Some(file) = options.get("--pin") {
        client = client.pins([Pin::Certificate(std::fs::read(file)?)]);
    }
    if options.contains_key("--insecure") {
        client = client.danger_accept_any_certificate();
    }
    if let (Some(certificate), Some(key)) = (options.get("--cert"), options.get("--key")) {
        client = client.identity(Identity::files(certificate, key));
    }
    if options.contains_key("--http2") {
        client = client.alpn(&["h2"]);
    }
    if let Some(version) = options.get("--version") {
        client = client.versions(&[version]);
    }
    Ok(client.build()?)
}

/// One connection, from its beginning to its end.
fn once(
    authority: &str,
    path: &str,
    count: u32,
    speak: Speak,
    tls: &Arc<dyn Provider>,
) -> Result<(), Box<dyn Error>> {
    let address = authority.to_socket_addrs()?.next().ok_or("no address")?;
    let app = App { host: authority.into(), path: format!("/{path}"), count, ..App::default() };
    let mut driver = Driver::new(app, DriverOptions::default())?;
    let options = ConnectOptions { speak, tls: Some(Arc::clone(tls)), ..ConnectOptions::default() };
    driver.with(Time::ZERO, |_, cx| cx.connect(address, Arc::new(Config::default()), &options, ()))?;
    let mut poll_loop = PollLoop::new()?;
    let id = poll_loop.add(driver)?;
    poll_loop.run()?;
    let app = poll_loop.remove(id).ok_or("no driver")?;
    let app = app.application();
    match (&app.error, app.cause) {
        (Some(error), _) => Err(error.clone().into()),
        (None, Some(cause)) if cause.is_clean() && app.index == count => Ok(()),
        (None, cause) => Err(format!("{:?} after {} of {count} messages", cause, app.index).into()),
    }
}

#[derive(Default)]
struct App {
    host: String,
    path: String,
    count: u32,
    /// Messages that have come back.
    index: u32,
    received: Vec<u8>,
    cause: Option<Cause>,
    error: Option<String>,
}

impl App {
    fn send_next(&mut self, stream: WebSocket<'_>) {
        if self.index == self.count {
            // Misuse is impossible: the code is one for the wire and there is no reason.
            let _ = stream.close(CloseCode::NORMAL, "");
        } else if let Ok(permit) = stream.permit() {
            let sent = permit.message(MessageKind::Binary, Payload::Own(content(self.index).into()), true);
            if let Err(misuse) = sent {
                self.error = Some(misuse.to_string());
            }
        }
    }
}

/// Growing content, past the length of a record.
fn content(index: u32) -> Vec<u8> {
    (0..index * 997).map(|at| (at * 7 + index) as u8).collect()
}

impl Application for App {
    type State = ();
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn tls_established(&mut self, _: &mut DriverContext<'_, Self>, _: &mut (), info: &Info) -> bool {
        println!("{info}");
        true
    }

    fn connected(&mut self, cx: &mut DriverContext<'_, Self>, _: &mut (), connection: &mut Connection) {
        let connect = Connect::new(&self.host, &self.path);
        if let Err(misuse) = connection.connect_websocket(cx.now(), &connect) {
            self.error = Some(misuse.to_string());
        }
    }

    fn connect_failed(&mut self, cx: &mut DriverContext<'_, Self>, _: (), error: ConnectError) {
        self.error = Some(match error.cause() {
            ConnectCause::Tls(failure) => format!("{}: {failure}", failure.name()),
            _ => error.to_string(),
        });
        cx.drain(Duration::ZERO);
    }

    fn tls_failed(&mut self, _: &mut DriverContext<'_, Self>, _: &mut (), failure: &Failure) {
        self.error = Some(format!("{}: {failure}", failure.name()));
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, _: &mut (), event: Event<'_>) {
        match event {
            Event::Established { stream: Established::WebSocket(stream), .. } => self.send_next(stream),
            Event::Message { stream, chunk, end, .. } => {
                self.received.extend_from_slice(chunk);
                if !end {
                    return;
                }
                if self.received != content(self.index) {
                    self.error = Some(format!("message {} came back changed", self.index));
                }
                self.received.clear();
                self.index += 1;
                self.send_next(stream);
            }
            Event::Closed { cause, .. } => {
                self.cause = Some(cause);
                // A connection of HTTP/2 would wait for more.
                cx.drain(Duration::from_secs(5));
            }
            _ => {}
        }
    }

    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, _: ()) {
        cx.drain(Duration::ZERO);
    }
}
