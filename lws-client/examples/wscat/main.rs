//! Talks to a WebSocket by lines: `cargo run -p lws-client --example wscat -- [-b] [-p SUBPROTOCOL] [-i SECONDS] [-n] URL`.
//!
//! Each line of the input is a message, text or with `-b` binary; the end of the input closes. It comes back when it is lost, unless `-n`
//! says no; lines that are written meanwhile wait. `-i` is after how many seconds of silence the server is asked with a Ping whether
//! it is still there, 30 by itself.
//!
//! On a terminal the line can be edited, as in a shell: Ctrl-A and E, Ctrl-U and W, arrows, and those before it, in which Ctrl-R searches. A
//! line with `/` is a command there: `/ping`, `/binary HEX`, `/close`.

mod input;

use input::{Before, Input, Screen, Source};
use lws_client::ws::{Context, GaveUp, Handler, Lost, Message, Opened, ReconnectRules, SocketId, WhenLost};
use lws_client::{Client, ClientApp, Options, ProxyRules, Task};
use lws_loop_external::DriverHandle;
use lws_loop_poll::{PollLoop, Stopper};
use lws_proto::ws::{CloseCode, Deflate};
use lws_proto::{Bytes, Control, MessageKind, Time};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

struct Terminal {
    stopper: Stopper,
    screen: Screen,
    /// There are no more lines.
    ended: Arc<AtomicBool>,
}

impl Handler for Terminal {
    fn connecting(&mut self, _: &mut Context<'_>, attempt: u32) {
        self.screen.note(&format!("connecting ({attempt})"));
    }

    fn open(&mut self, _: &mut Context<'_>, opened: &Opened) {
        self.screen.note(&format!("open {}", opened.protocol.as_deref().unwrap_or_default()));
    }

    fn message(&mut self, _: &mut Context<'_>, message: Message<'_>) {
        match message.kind {
            MessageKind::Text => self.screen.print(&String::from_utf8_lossy(message.bytes)),
            MessageKind::Binary => self.screen.print(&message.bytes.escape_ascii().to_string()),
        }
    }

    fn control(&mut self, cx: &mut Context<'_>, control: Control<'_>) {
        // One of the engine's own has eight octets of chance.
        if let Control::Pong(payload) = control
            && let Some((at, text)) = std::str::from_utf8(payload).ok().and_then(|text| text.split_once(' '))
            && let Ok(at) = at.parse().map(Time::from_micros)
        {
            let took = cx.client().now() - at;
            self.screen.note(&format!("pong {text} in {:.1} ms", took.as_secs_f64() * 1e3));
        }
    }

    fn drained(&mut self, cx: &mut Context<'_>) {
        if self.ended.load(Ordering::SeqCst) {
            let id = cx.id();
            cx.client().close(id, CloseCode::NORMAL, "");
        }
    }

    fn lost(&mut self, cx: &mut Context<'_>, lost: &Lost) {
        let delay = lost.retry_at - cx.client().now();
        self.screen.note(&format!("lost: {}; again in {:.1} s", lost.failure, delay.as_secs_f64()));
    }

    fn gave_up(self: Box<Self>, _: &mut Context<'_>, why: GaveUp) {
        self.screen.note(&match why {
            GaveUp::Closed { code } => format!("closed: {code}"),
            GaveUp::Failed { failure, refusal: Some(refusal) } => {
                format!("refused: {failure}: {}", String::from_utf8_lossy(&refusal.body))
            }
            GaveUp::Failed { failure, .. } => format!("failed: {failure}"),
            _ => "given up".to_owned(),
        });
        self.stopper.stop();
    }
}

/// Does what is written until there is no more, from a thread of its own.
fn send_lines(
    source: Source,
    screen: &Screen,
    handle: &DriverHandle<Task>,
    socket: SocketId,
    kind: MessageKind,
    ended: &AtomicBool,
) {
    source.read(|input| {
        let screen = screen.clone();
        handle.send(Box::new(move |client| perform(client, socket, kind, input, &screen))).is_ok()
    });
    ended.store(true, Ordering::SeqCst);
    // What was written leaves before it closes, even if it has not opened yet.
    let _ = handle.send(Box::new(move |client| client.want_drained(socket)));
}

/// Does what a line says, on the thread of the client.
fn perform(client: &mut Client, socket: SocketId, kind: MessageKind, input: Input, screen: &Screen) {
    let sent = match input {
        Input::Line(line) => client.send(socket, kind, Bytes::from(line), WhenLost::Keep),
        Input::Binary(octets) => client.send(socket, MessageKind::Binary, octets.into(), WhenLost::Keep),
        Input::Ping(text) => {
            // When it was sent comes back with it.
            let payload = format!("{} {text}", client.now().as_micros());
            client.ping(socket, payload.as_bytes())
        }
        Input::Close(code, reason) => {
            match CloseCode::new(code).filter(|code| code.may_be_sent()) {
                Some(code) => client.close(socket, code, &reason),
                None => screen.note("no close frame has that code"),
            }
            Ok(())
        }
        Input::Unknown(told) => {
            screen.note(&told);
            Ok(())
        }
    };
    if let Err(error) = sent {
        screen.note(&format!("not sent: {error}"));
    }
}

fn main() -> io::Result<()> {
    let (mut kind, mut rules, mut protocols, mut url) =
        (MessageKind::Text, ReconnectRules::default(), Vec::new(), None);
    let mut options = Options::default();
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "-b" => kind = MessageKind::Binary,
            "-n" => rules = ReconnectRules::never(),
            "-p" => protocols.extend(given.next()),
            "-i" => {
                let seconds = given.next().and_then(|seconds| seconds.parse().ok()).filter(|it| *it > 0);
                options.engine.ping_interval = Duration::from_secs(seconds.unwrap_or(30));
            }
            _ => url = Some(argument),
        }
    }
    let Some(url) = url else {
        eprintln!("wscat [-b] [-p SUBPROTOCOL] [-i SECONDS] [-n] URL");
        std::process::exit(2);
    };
    options.proxies = ProxyRules::from_environment();
    let mut poll_loop = PollLoop::new()?;
    let mut service = ClientApp::driver(options)?;
    let handle = service.handle();
    let ended = Arc::new(AtomicBool::new(false));
    let _before = Before::now();
    let (source, screen) = input::open();
    let terminal =
        Terminal { stopper: poll_loop.stopper(), screen: screen.clone(), ended: Arc::clone(&ended) };
    let socket = service.with(poll_loop.now(), |app, cx| {
        let builder = app.client().websocket(&url)?.reconnect(rules).deflate(Deflate::default());
        let builder = protocols.iter().fold(builder, |builder, protocol| builder.protocol(protocol));
        let socket = builder.start(terminal);
        app.act(cx);
        Ok::<_, lws_client::UrlError>(socket)
    });
    let socket = socket.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    poll_loop.add(service)?;
    std::thread::spawn(move || send_lines(source, &screen, &handle, socket, kind, &ended));
    poll_loop.run().map(drop)
}
