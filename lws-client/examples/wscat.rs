//! Talks to a WebSocket by lines: `cargo run -p lws-client --example wscat -- [-b] [-p SUBPROTOCOL] [-n] URL`.
//!
//! Each line of the input is a message, text or with `-b` binary; the end of the input closes. It
//! comes back when it is lost, unless `-n` says no; lines that are written meanwhile wait.

use lws_client::ws::{Context, GaveUp, Handler, Lost, Message, Opened, ReconnectRules, SocketId, WhenLost};
use lws_client::{Client, ClientApp, Options, ProxyRules, Task};
use lws_loop_external::DriverHandle;
use lws_loop_poll::{PollLoop, Stopper};
use lws_proto::ws::{CloseCode, Deflate};
use lws_proto::{Bytes, MessageKind};
use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

struct Terminal {
    stopper: Stopper,
    /// There are no more lines.
    ended: Arc<AtomicBool>,
}

impl Handler for Terminal {
    fn connecting(&mut self, _: &mut Context<'_>, attempt: u32) {
        eprintln!("connecting ({attempt})");
    }

    fn open(&mut self, _: &mut Context<'_>, opened: &Opened) {
        eprintln!("open {}", opened.protocol.as_deref().unwrap_or_default());
    }

    fn message(&mut self, _: &mut Context<'_>, message: Message<'_>) {
        match message.kind {
            MessageKind::Text => println!("{}", String::from_utf8_lossy(message.bytes)),
            MessageKind::Binary => println!("{}", message.bytes.escape_ascii()),
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
        eprintln!("lost: {}; again in {:.1} s", lost.failure, delay.as_secs_f64());
    }

    fn gave_up(self: Box<Self>, _: &mut Context<'_>, why: GaveUp) {
        match why {
            GaveUp::Closed { code } => eprintln!("closed: {code}"),
            GaveUp::Failed { failure, refusal: Some(refusal) } => {
                eprintln!("refused: {failure}: {}", String::from_utf8_lossy(&refusal.body));
            }
            GaveUp::Failed { failure, .. } => eprintln!("failed: {failure}"),
            _ => eprintln!("given up"),
        }
        self.stopper.stop();
    }
}

/// Sends lines until there are no more, from a thread of its own: reading a terminal blocks.
fn send_lines(handle: &DriverHandle<Task>, socket: SocketId, kind: MessageKind, ended: &AtomicBool) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let task: Task = Box::new(move |client: &mut Client| {
            if let Err(error) = client.send(socket, kind, Bytes::from(line), WhenLost::Keep) {
                eprintln!("not sent: {error}");
            }
        });
        if handle.send(task).is_err() {
            return;
        }
    }
    ended.store(true, Ordering::SeqCst);
    // What was written leaves before it closes, even if it has not opened yet.
    let _ = handle.send(Box::new(move |client| client.want_drained(socket)));
}

fn main() -> io::Result<()> {
    let (mut kind, mut rules, mut protocols, mut url) =
        (MessageKind::Text, ReconnectRules::default(), Vec::new(), None);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "-b" => kind = MessageKind::Binary,
            "-n" => rules = ReconnectRules::never(),
            "-p" => protocols.extend(given.next()),
            _ => url = Some(argument),
        }
    }
    let Some(url) = url else {
        eprintln!("wscat [-b] [-p SUBPROTOCOL] [-n] URL");
        std::process::exit(2);
    };
    let mut options = Options::default();
    options.proxies = ProxyRules::from_environment();
    let mut poll_loop = PollLoop::new()?;
    let mut service = ClientApp::driver(options)?;
    let handle = service.handle();
    let ended = Arc::new(AtomicBool::new(false));
    let terminal = Terminal { stopper: poll_loop.stopper(), ended: Arc::clone(&ended) };
    let socket = service.with(poll_loop.now(), |app, cx| {
        let builder = app.client().websocket(&url)?.reconnect(rules).deflate(Deflate::default());
        let builder = protocols.iter().fold(builder, |builder, protocol| builder.protocol(protocol));
        let socket = builder.start(terminal);
        app.act(cx);
        Ok::<_, lws_client::UrlError>(socket)
    });
    let socket = socket.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    poll_loop.add(service)?;
    std::thread::spawn(move || send_lines(&handle, socket, kind, &ended));
    poll_loop.run().map(drop)
}
