//! One message to many: what a delivery costs a server beside a bare loop of sends, and what an idle event stream costs it in memory.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lws_proto::Liveness;
use lws_server::ws::{Broadcast, Handler, Message};
use lws_server::{Context, MessageKind, Server as LwsServer, WebSocket, sse};
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::client::MAX_EVENTS;
use crate::process::Server;
use crate::procfs::{memory, schedule};
use crate::{Result, report};

/// The most that a delivery may cost, as a multiple of what it costs the bare loop.
const TARGET_RATIO: f64 = 1.08;
/// The most that an idle event stream may cost, in bytes of resident memory.
const TARGET_BYTES: f64 = 2048.0;
/// The octets of the message that is published.
const PAYLOAD_BYTES: usize = 128;
/// The same as a frame of a server.
const FRAME_BYTES: usize = PAYLOAD_BYTES + 4;
/// A masked frame of one octet, whose key is zero: publish.
const TRIGGER: [u8; 7] = [0x82, 0x81, 0, 0, 0, 0, b'p'];
/// How long a delivery to everybody may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Allocators and kernels give memory back, and servers finish their handshakes, within this.
const SETTLE: Duration = Duration::from_secs(1);

/// Which server a process is.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Kind {
    /// Topics and events of this workspace.
    Lws,
    /// A loop of sends.
    Bare,
}

struct Subscriber;

impl Handler for Subscriber {
    fn open(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        // No Ping is to come between the messages.
        let _ = stream.set_liveness(Some(Liveness::UNCHECKED));
        // Only a topic that a limit refuses could fail, and then no message would come, which the client reports.
        let _ = cx.subscribe("topic");
    }
}

struct Publisher;

impl Handler for Publisher {
    fn message(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, _: Message<'_>) {
        let _ = cx.publish_topic("topic", &Broadcast::new(MessageKind::Binary, vec![b'm'; PAYLOAD_BYTES]));
    }
}

/// Serves on `port` until the process is ended.
///
/// # Errors
/// When it cannot listen, or a loop ends.
pub fn serve(kind: Kind, port: u16) -> Result<()> {
    match kind {
        Kind::Lws => {
            let channel = sse::Channel::new(sse::Options::default());
            let server = LwsServer::builder()
                .listen(&format!("127.0.0.1:{port}"))
                .get("/", |_| lws_server::http::Response::text(""))
                .ws("/topic", |_| Subscriber)
                .ws("/publish", |_| Publisher)
                .get("/events", move |request| channel.subscribe(request));
            server.build()?.run()?;
            Ok(())
        }
        Kind::Bare => serve_bare(port),
    }
}

/// A client that says `c` first controls; what it says later is sent to all others that have connected.
fn serve_bare(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let mut frame = vec![0x82, 126, 0, 128];
    frame.resize(FRAME_BYTES, b'm');
    let mut control = loop {
        let mut client = listener.accept()?.0;
        let mut first = [0];
        if matches!(client.read(&mut first), Ok(1)) && first == *b"c" {
            break client;
        }
    };
    listener.set_nonblocking(true)?;
    let mut subscribers = Vec::new();
    let mut trigger = [0; TRIGGER.len()];
    while control.read_exact(&mut trigger).is_ok() {
        while let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            subscribers.push(socket);
        }
        for mut subscriber in &subscribers {
            subscriber.write_all(&frame)?;
        }
    }
    Ok(())
}

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Fanout {
    /// Connections that subscribe.
    pub connections: usize,
    /// Messages of a round.
    pub messages: usize,
    /// How often each server is measured.
    pub rounds: usize,
    /// The first of the two ports to use.
    pub port: u16,
    /// The core of the servers.
    pub core: usize,
}

/// Measures and prints what a delivery costs. True when the target is met.
///
/// # Errors
/// When a server does not start, a connection fails, or a delivery does not come.
pub fn run(fanout: &Fanout) -> Result<bool> {
    let start = |name: &str, port| {
        Server::start(&format!("{{bin}}/load fanout-server {name} --port {{port}}"), port, fanout.core)
    };
    let (lws, bare) = (start("lws", fanout.port)?, start("bare", fanout.port + 1)?);
    let mut audiences = [
        Audience::open(Kind::Lws, &lws, fanout.connections)?,
        Audience::open(Kind::Bare, &bare, fanout.connections)?,
    ];
    let mut ratios = Vec::new();
    let mut costs = [Vec::new(), Vec::new()];
    // The first round warms caches up and does not count.
    for round in 0..=fanout.rounds {
        let mut cost = [0.0; 2];
        for turn in 0..2 {
            // In turns, the other one first.
            let index = (round + turn) % 2;
            let audience = &mut audiences[index];
            let before = schedule(audience.server)?;
            for _ in 0..fanout.messages {
                audience.publish()?;
            }
            let ran = schedule(audience.server)?.since(before).ran;
            cost[index] = ran.as_nanos() as f64 / (fanout.messages * fanout.connections) as f64;
        }
        if round > 0 {
            ratios.push(cost[0] / cost[1]);
            costs.iter_mut().zip(cost).for_each(|(costs, cost)| costs.push(cost));
        }
    }
    let ratio = median(&mut ratios);
    let met = ratio <= TARGET_RATIO;
    println!(
        "a message of {PAYLOAD_BYTES} B to {} connections, {} times in each of {} rounds:",
        report::grouped(fanout.connections as f64),
        fanout.messages,
        fanout.rounds
    );
    let [ours, theirs] = &mut costs;
    println!("  a topic                 {:.0} ns of CPU time for each delivery", median(ours));
    println!("  a bare loop of sends    {:.0} ns", median(theirs));
    println!(
        "  ratio                   {ratio:.3} (rounds {:.3} to {:.3}); at most {TARGET_RATIO}: {}",
        ratios.first().copied().unwrap_or_default(),
        ratios.last().copied().unwrap_or_default(),
        if met { "met" } else { "missed" }
    );
    Ok(met)
}

/// Opens event streams, lets them idle, and prints the growth of the server's memory. True when the target is met.
///
/// # Errors
/// When the server does not start, or a stream does not begin.
pub fn run_events(connections: usize, port: u16, core: usize) -> Result<bool> {
    let server = Server::start("{bin}/load fanout-server lws --port {port}", port, core)?;
    sleep(SETTLE);
    let before = memory(server.id())?;
    let request = "GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n";
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let (stream, head) = open(port, request)?;
        if !head.starts_with("HTTP/1.1 200 ") || !head.contains("text/event-stream") {
            return Err(format!("no event stream: {head}").into());
        }
        streams.push(stream);
    }
    sleep(SETTLE);
    let after = memory(server.id())?;
    let each = after.resident.saturating_sub(before.resident) as f64 / connections as f64;
    let met = each <= TARGET_BYTES;
    println!("{} idle event streams", report::grouped(connections as f64));
    println!(
        "  each                    {each:.0} bytes resident; at most {TARGET_BYTES:.0}: {}",
        if met { "met" } else { "missed" }
    );
    Ok(met)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The connections to one server: those that subscribe, and the one that publishes.
struct Audience {
    server: u32,
    control: TcpStream,
    epoll: OwnedFd,
    /// Each with the octets that have not come yet of the message in delivery.
    subscribers: Vec<(TcpStream, usize)>,
}

impl Audience {
    fn open(kind: Kind, server: &Server, connections: usize) -> Result<Self> {
        let mut control = match kind {
            Kind::Lws => open_websocket(server.port, "/publish")?,
            Kind::Bare => TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?,
        };
        if kind == Kind::Bare {
            control.write_all(b"c")?;
        }
        control.set_nodelay(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut subscribers = Vec::with_capacity(connections);
        for index in 0..connections {
            let subscriber = match kind {
                Kind::Lws => open_websocket(server.port, "/topic")?,
                Kind::Bare => {
                    // A short queue of the kernel's holds what the loop has not accepted yet.
                    if index % 64 == 0 {
                        sleep(Duration::from_millis(1));
                    }
                    TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?
                }
            };
            subscriber.set_nonblocking(true)?;
            epoll::add(&epoll, &subscriber, EventData::new_u64(index as u64), EventFlags::IN)?;
            subscribers.push((subscriber, 0));
            // The bare loop accepts when it is triggered.
            if kind == Kind::Bare && index % 64 == 63 {
                control.write_all(&TRIGGER)?;
                Self::drain(&epoll, &mut subscribers, FRAME_BYTES)?;
            }
        }
        Ok(Self { server: server.id(), control, epoll, subscribers })
    }

    /// Has one message published, and waits until it has come everywhere.
    fn publish(&mut self) -> Result<()> {
        self.control.write_all(&TRIGGER)?;
        Self::drain(&self.epoll, &mut self.subscribers, FRAME_BYTES)
    }

    fn drain(epoll: &OwnedFd, subscribers: &mut [(TcpStream, usize)], bytes: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        subscribers.iter_mut().for_each(|(_, left)| *left = bytes);
        let mut left = subscribers.len();
        let mut events = Vec::with_capacity(MAX_EVENTS);
        let mut buffer = [0; 4096];
        while left > 0 {
            if Instant::now() > deadline {
                return Err(format!("{left} connections did not get the message").into());
            }
            events.clear();
            // It never sleeps while a message is on its way: who sends to one that does also wakes it, which takes as long as two sends do,
            // and only a server that is slower than this client finds it asleep.
            let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&at_once)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let Some((socket, expected)) = subscribers.get_mut(event.data.u64() as usize) else {
                    continue;
                };
                match socket.read(&mut buffer) {
                    Ok(0) => return Err("the server has closed a connection".into()),
                    Ok(n) if n <= *expected => {
                        *expected -= n;
                        left -= usize::from(*expected == 0);
                    }
                    Ok(_) => return Err("more has come than was published".into()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

fn open_websocket(port: u16, path: &str) -> Result<TcpStream> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let (stream, head) = open(port, &request)?;
    if head.starts_with("HTTP/1.1 101 ") { Ok(stream) } else { Err(format!("no WebSocket: {head}").into()) }
}

/// Sends a request, and reads the head of its answer.
fn open(port: u16, request: &str) -> io::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(request.as_bytes())?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok((stream, String::from_utf8_lossy(&head).into_owned()))
}
