//! The door for operators and their programs: metrics, health, reload, drain. It is a server of its own on a thread of its own, so that it
//! answers while the loops of the other hang or drain, and takes none of their time.
//!
//! A client that reaches it may end the server. So it is a Unix socket of mode 0600, or a loopback address at which the names of other
//! hosts are answered 421 and pages of other origins 403.

mod process;
mod waiting;

pub(crate) use waiting::Reloads;

use crate::log::Log;
use crate::readiness::{Phase, Readiness};
use lws_server::http::{Deferred, Promise, Request, Response, Status};
use lws_server::metrics::{Exposition, Format, Kind, Metrics};
use lws_server::{Address, Builder, Context, Handle, ListenOptions, ListeningSocket, Server};
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the threads of the server may take to show that they turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reload may take before its caller gets no answer to wait for.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(90);

/// Where the admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    Unix(PathBuf),
    Loopback(std::net::SocketAddr),
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') || text.starts_with('.') {
            return Ok(Self::Unix(text.into()));
        }
        let address: std::net::SocketAddr = text
            .parse()
            .map_err(|_| "a path such as /run/lwsws.sock or a loopback address with its port is wanted")?;
        if !address.ip().to_canonical().is_loopback() {
            return Err(
                "who reaches it may end the server: only a loopback address or a Unix socket can be had"
                    .into(),
            );
        }
        Ok(Self::Loopback(address))
    }
}

impl AdminAddress {
    fn listen(&self) -> String {
        match self {
            Self::Unix(path) => format!("unix:{}", path.display()),
            Self::Loopback(address) => address.to_string(),
        }
    }

    /// Whether a socket that listens there is one for the admin listener.
    pub(crate) fn is_at(&self, address: &Address) -> bool {
        match (self, address) {
            (Self::Unix(path), Address::Unix(other)) => path == other,
            (Self::Loopback(address), Address::Tcp(other)) => address == other,
            _ => false,
        }
    }
}

/// What the door leads to.
#[derive(Clone)]
pub(crate) struct Operated {
    pub(crate) handle: Handle,
    pub(crate) readiness: Readiness,
    /// Who waits for a reload; `None` where there is nothing to read again.
    pub(crate) reloads: Option<Reloads>,
    pub(crate) log: Option<Log>,
}

/// The admin listener while it is open.
pub(crate) struct Admin {
    handle: Handle,
    thread: JoinHandle<()>,
    address: Address,
}

impl Admin {
    /// Opens it, at a socket that listens there already if there is one.
    ///
    /// # Errors
    /// The address cannot be had.
    pub(crate) fn start(
        address: &AdminAddress,
        socket: Option<ListeningSocket>,
        operated: Operated,
    ) -> io::Result<Self> {
        let (listen, (opened, is_open)) = (address.listen(), sync_channel(1));
        let thread = thread::Builder::new().name("admin".into()).spawn(move || {
            let server = match describe(&listen, &operated).listening_sockets(socket).build() {
                Ok(server) => server,
                Err(error) => return drop(opened.send(Err(error))),
            };
            let Some(address) = server.addresses().first().cloned() else { return };
            if opened.send(Ok((server.handle(), address))).is_ok()
                && let Err(error) = server.run_without_signals()
            {
                eprintln!("lwsws: the admin listener has ended: {error}");
            }
        })?;
        let ended = |_| io::Error::other("the admin listener has ended");
        let (handle, address) = is_open
            .recv()
            .map_err(ended)?
            .map_err(|error| io::Error::new(error.kind(), format!("the admin listener: {error}")))?;
        Ok(Self { handle, thread, address })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// What hands it over to another process.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Keeps for good the socket of the process in whose place this one serves.
    pub(crate) fn take_over(&self) {
        self.handle.take_over_listeners();
    }

    /// Closes it, and leaves no file behind, unless another process has it by now.
    pub(crate) fn finish(self) {
        self.handle.drain();
        // It has a bound: the drain timeout of its server.
        let _ = self.thread.join();
    }
}

fn describe(listen: &str, operated: &Operated) -> Builder {
    let options = ListenOptions { unix_mode: Some(0o600), ..ListenOptions::default() };
    let [metrics, health, ready, reload, drain] = [(); 5].map(|()| operated.clone());
    Server::builder()
        .listen_options(options)
        .listen(listen)
        .same_origin()
        .connections_max(64)
        .drain_timeout(Duration::from_secs(1))
        .field("Cache-Control", "no-store")
        .get_with("/metrics", move |cx, request| metrics.metrics(cx, request))
        .get_with("/healthz", move |cx, _| health.health(cx))
        .get("/readyz", move |_| ready.ready())
        .post_with("/reload", move |cx, _| reload.reload(cx))
        .post("/drain", move |_| drain.drain())
}

impl Operated {
    /// Asks the threads of the server for their metrics, and answers with what is made of them on the thread of this door.
    fn gather(
        &self,
        cx: &mut Context<'_>,
        answer: impl FnOnce(&Metrics) -> Response + Send + 'static,
    ) -> Deferred {
        let (promise, deferred) = cx.defer();
        let door = cx.handle();
        self.handle.gather_metrics(move |metrics| {
            door.post(move |_| give(promise, answer(&metrics)));
        });
        deferred.within(TURN_TIMEOUT)
    }

    fn metrics(&self, cx: &mut Context<'_>, request: &Request<'_>) -> Deferred {
        let accept = String::from_utf8_lossy(request.get("accept").unwrap_or_default());
        let (format, operated) = (Format::of_accept(&accept), self.clone());
        self.gather(cx, move |metrics| {
            let mut text = Exposition::new(format);
            metrics.write(&mut text);
            operated.write(&mut text);
            Response::ok(format.media_type(), text.finish())
        })
    }

    /// The metrics of the program.
    fn write(&self, text: &mut Exposition) {
        text.family("lws_build", Kind::Info, "The version that runs.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        let ready = u64::from(self.readiness.phase() == Phase::Ready);
        text.family("lws_ready", Kind::Gauge, "Whether /readyz says yes.").sample(&[], ready);
        if let Some(log) = &self.log {
            let help = "Lines of the log that could not be written in time.";
            text.family("lws_log_lost", Kind::Counter, help).sample(&[], log.lost_total());
        }
        process::write(text);
    }

    /// Whether every loop turns.
    fn health(&self, cx: &mut Context<'_>) -> Deferred {
        let threads = self.handle.threads();
        self.gather(cx, move |metrics| match metrics.threads() {
            turning if turning == threads => Response::text("ok\n"),
            turning => Response::text(format!("{turning} of {threads} loops turn\n"))
                .status(Status::SERVICE_UNAVAILABLE),
        })
    }

    /// Whether the server wants new work.
    fn ready(&self) -> Response {
        let phase = self.readiness.phase();
        let response = Response::text(format!("{}\n", phase.name()));
        if phase == Phase::Ready { response } else { response.status(Status::SERVICE_UNAVAILABLE) }
    }

    /// Has the configuration read again, and answers what came of it.
    fn reload(&self, cx: &mut Context<'_>) -> Deferred {
        let Some(reloads) = &self.reloads else {
            let nothing =
                Response::text("there is nothing to read again: no configuration and no certificates\n");
            return nothing.status(Status::CONFLICT).into();
        };
        let (promise, deferred) = cx.defer();
        reloads.ask(promise);
        deferred.within(RELOAD_TIMEOUT)
    }

    fn drain(&self) -> Response {
        self.readiness.drain();
        Response::text("draining\n").status(Status::ACCEPTED)
    }
}

/// A client that has left meanwhile gets nothing.
fn give(promise: Promise, response: Response) {
    let _ = promise.answer(response);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_can_reach_the_door() {
        for (text, good) in [
            ("/run/lwsws.sock", true),
            ("./admin", true),
            ("127.0.0.1:9000", true),
            ("[::1]:9000", true),
            ("[::ffff:127.0.0.1]:9000", true),
            ("0.0.0.0:9000", false),
            ("192.0.2.1:9000", false),
            ("[::]:9000", false),
            ("localhost:9000", false),
            ("9000", false),
        ] {
            assert_eq!(text.parse::<AdminAddress>().is_ok(), good, "{text}");
        }
    }
}
