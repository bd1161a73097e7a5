//! A client that stays connected: it connects by name, prints what it receives, and reconnects when the peer has gone,
//! with growing delays while that fails.
//!
//! Run it with a host and port, and stop and restart a server there: `nc -lk 7681`.

use lws_loop_external::{
    Accepted, Application, ConnectError, ConnectOptions, Driver, DriverContext, DriverOptions, ListenerId,
    NextTry, Peer, Reconnect, RetryPolicy, Speak, SystemEntropy, Target,
};
use lws_loop_poll::PollLoop;
use lws_proto::{Config, Connection, Event, Payload};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

struct Client<W> {
    target: Target,
    config: Arc<Config>,
    link: Reconnect,
    entropy: SystemEntropy,
    out: W,
}

impl<W: Write + 'static> Client<W> {
    /// Connects if a try is due.
    fn connect(&mut self, cx: &mut DriverContext<'_, Self>) {
        if !self.link.is_due(cx.now()) {
            return;
        }
        let options = ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() };
        if let Err(error) = cx.connect(self.target.clone(), Arc::clone(&self.config), &options, ()) {
            self.say(format_args!("{error}"));
            let next = self.link.failed(cx.now(), &mut self.entropy);
            self.wait(cx, next);
        }
    }

    fn wait(&mut self, cx: &mut DriverContext<'_, Self>, next: NextTry) {
        match next {
            NextTry::At(at) => cx.set_timer(Some(at)),
            NextTry::Never => cx.drain(Duration::ZERO),
        }
    }

    /// The reader of the output may have gone, which is no reason to stop.
    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.out, "{what}");
    }
}

impl<W: Write + 'static> Application for Client<W> {
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

    fn connected(&mut self, cx: &mut DriverContext<'_, Self>, (): &mut (), _: &mut Connection) {
        self.say(format_args!("connected to {}", self.target.clone()));
        self.link.connected(cx.now());
    }

    fn connect_failed(&mut self, cx: &mut DriverContext<'_, Self>, (): (), error: ConnectError) {
        self.say(format_args!("{error}"));
        let next = self.link.failed(cx.now(), &mut self.entropy);
        self.wait(cx, next);
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: Event<'_>) {
        let Event::Raw { stream, chunk, end } = event else { return };
        let _ = self.out.write_all(chunk);
        // The peer has ended its direction, so this side does, too.
        if let (true, Ok(permit)) = (end, stream.permit()) {
            let _ = permit.data(Payload::Static(b""), true);
        }
    }

    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, (): ()) {
        let next = self.link.closed(cx.now(), &mut self.entropy);
        self.wait(cx, next);
    }

    fn timer(&mut self, cx: &mut DriverContext<'_, Self>) {
        self.connect(cx);
    }
}

/// Keeps a connection to `target` until the policy ends the tries.
pub(crate) fn run(target: Target, policy: RetryPolicy, out: impl Write + 'static) -> io::Result<()> {
    let mut poll_loop = PollLoop::new()?;
    let link = Reconnect::new(policy, poll_loop.now());
    let entropy = SystemEntropy::new()?;
    let client = Client { target, config: Arc::default(), link, entropy, out };
    let mut service = Driver::new(client, DriverOptions::default())?;
    service.with(poll_loop.now(), |client, cx| client.connect(cx));
    poll_loop.add(service)?;
    poll_loop.run().map(drop)
}

pub(crate) fn main() -> io::Result<()> {
    let target = std::env::args().nth(1).unwrap_or_else(|| "localhost:7681".to_owned()).parse()?;
    run(target, RetryPolicy::default(), io::stdout())
}
