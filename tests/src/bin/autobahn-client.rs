//! A WebSocket client for the peers' tests: the engine's client role on one blocking TCP stream after the other.
//!
//! ```text
//! autobahn-client URL [--agent NAME]   runs every case of an Autobahn fuzzing server, sending back what comes
//! autobahn-client --echo URL COUNT     sends COUNT messages to an echo server, and checks what comes back
//! ```

use lws_proto::ws::{CloseCode, Connect};
use lws_proto::{Bytes, Cause, Config, Connection, Entropy, Event, MessageKind, Payload, Protocol, StreamKey, Time};
use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// How long the suite may keep silent before a case is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--echo", url, count] => echo(url, count),
        [url] => autobahn(url, "lws-proto"),
        [url, "--agent", agent] => autobahn(url, agent),
        _ => Err("usage: autobahn-client URL [--agent NAME] | autobahn-client --echo URL COUNT".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("autobahn-client: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all cases that the server at `url` offers, and lets it write its report.
fn autobahn(url: &str, agent: &str) -> Result<(), Failure> {
    let url = Url::parse(url)?;
    let mut told = String::new();
    run(&url, "/getCaseCount", &mut |said| {
        if let Said::Message(_, chunk, _) = said {
            told.push_str(&String::from_utf8_lossy(chunk));
        }
        Vec::new()
    })?;
    let count: u32 = told.trim().parse().map_err(|_| format!("a count of cases was expected, not {told:?}"))?;
    for case in 1..=count {
        let cause = run(&url, &format!("/runCase?case={case}&agent={agent}"), &mut send_back)?;
        println!("case {case} of {count}: {cause}");
    }
    run(&url, &format!("/updateReports?agent={agent}"), &mut |_| Vec::new())?;
    Ok(())
}

/// Sends every part of a message back as a frame.
fn send_back(said: Said<'_>) -> Vec<Part> {
    match said {
        Said::Message(kind, chunk, end) => vec![Part { kind, bytes: Bytes::copy_from_slice(chunk), end }],
        Said::Established => Vec::new(),
    }
}

/// Sends `count` messages, one after the other, and compares each with what comes back.
fn echo(url: &str, count: &str) -> Result<(), Failure> {
    let url = Url::parse(url)?;
    let count: u32 = count.parse().map_err(|_| "COUNT is a number")?;
    let target = url.target.clone();
    let mut index = 0;
    let mut heard = Vec::new();
    let mut wrong = None;
    let cause = run(&url, &target, &mut |said| {
        if let Said::Message(kind, chunk, end) = said {
            heard.extend_from_slice(chunk);
            if !end {
                return Vec::new();
            }
            if (kind, &heard) != (kind_of(index), &content_of(index)) {
                wrong = Some(index);
            }
            heard.clear();
            index += 1;
        }
        if index == count || wrong.is_some() { vec![] } else { parts_of(index) }
    })?;
    match wrong {
        Some(index) => Err(format!("message {index} came back changed").into()),
        None if index < count => Err(format!("{index} of {count} messages came back: {cause}").into()),
        None if !cause.is_clean() => Err(format!("the connection was not closed cleanly: {cause}").into()),
        None => {
            println!("{count} messages came back: {cause}");
            Ok(())
        }
    }
}

fn kind_of(index: u32) -> MessageKind {
    if index.is_multiple_of(2) { MessageKind::Text } else { MessageKind::Binary }
}

/// Growing content: nothing at first, then around every length at which the form of a frame changes.
fn content_of(index: u32) -> Vec<u8> {
    let len = match index {
        0 => 0,
        1..32 => index as usize * 5,
        _ => (index as usize - 31) * 997,
    };
    let alphabet: &[u8] = match kind_of(index) {
        MessageKind::Text => b"abcdefghijklmnopqrstuvwxyz 0123456789",
        MessageKind::Binary => &[0, 0xff, 0x80, 0x7f, 0xc3, 0x28, 1],
    };
    alphabet.iter().copied().cycle().skip(index as usize % alphabet.len()).take(len).collect()
}

/// The message `index`; every third one in three fragments.
fn parts_of(index: u32) -> Vec<Part> {
    let kind = kind_of(index);
    let bytes = Bytes::from(content_of(index));
    if !index.is_multiple_of(3) {
        return vec![Part { kind, bytes, end: true }];
    }
    let third = bytes.len() / 3;
    let part = |range: std::ops::Range<usize>, end| Part { kind, bytes: bytes.slice(range), end };
    vec![part(0..third, false), part(third..2 * third, false), part(2 * third..bytes.len(), true)]
}

/// A message or a part of one, to send as a frame.
struct Part {
    kind: MessageKind,
    bytes: Bytes,
    end: bool,
}

/// What the peer said, as far as the two programs here want to know it.
enum Said<'a> {
    Established,
    Message(MessageKind, &'a [u8], bool),
}

/// Where a server is.
struct Url {
    authority: String,
    target: String,
}

impl Url {
    fn parse(url: &str) -> Result<Self, Failure> {
        let rest = url.strip_prefix("ws://").ok_or_else(|| format!("a URL begins with ws://, unlike {url:?}"))?;
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let target = if target.is_empty() { "/" } else { target };
        Ok(Self { authority: authority.into(), target: target.into() })
    }

    fn connect(&self) -> Result<TcpStream, Failure> {
        let has_port = self.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { self.authority.clone() } else { format!("{}:80", self.authority) };
        let stream = TcpStream::connect(&address).map_err(|error| format!("{address}: {error}"))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Random bytes of the operating system.
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Without random bytes there is no WebSocket: a mask that can be guessed is against RFC 6455 §5.3.
        getrandom::fill(bytes).expect("the operating system has no random bytes");
    }
}

/// One WebSocket to `target` at `url`: whatever `answer` returns is sent. When it has nothing to send for a whole message
/// (or at the beginning), and nothing is waiting, the connection stays open until the peer closes it, unless `answer`
/// never answers, which the peers of both programs end themselves. Returns why it ended.
fn run(url: &Url, target: &str, answer: &mut dyn FnMut(Said<'_>) -> Vec<Part>) -> Result<Cause, Failure> {
    let mut client = Client::open(url, target)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        client.write()?;
        let interest = client.connection.interest();
        if interest.close {
            break;
        }
        if interest.shutdown && !interest.write {
            // The peer may be gone already; what matters then comes with the next read.
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
        }
        if !client.read(&mut buffer)? {
            client.connection.handle_timeout(client.time());
        }
        client.take_events(answer);
    }
    client.cause.ok_or_else(|| "the connection ended before it began".into())
}

/// One connection.
struct Client {
    connection: Connection,
    stream: TcpStream,
    begin: Instant,
    key: StreamKey,
    waiting: VecDeque<Part>,
    /// Whether the program had nothing more to say when it was last asked for a whole message.
    finished: bool,
    cause: Option<Cause>,
    read: usize,
}

impl Client {
    fn open(url: &Url, target: &str) -> Result<Self, Failure> {
        let stream = url.connect()?;
        let mut config = Config::default();
        config.limits.message_bytes_max = 64 << 20;
        config.limits.message_fragments_max = 1 << 20;
        let mut connection = Connection::client(Time::ZERO, Arc::new(config), Box::new(SystemEntropy));
        let connect = Connect::new(&url.authority, target).streamed();
        let key = connection.connect_websocket(Time::ZERO, connect)?;
        let waiting = VecDeque::new();
        Ok(Self { connection, stream, begin: Instant::now(), key, waiting, finished: false, cause: None, read: 0 })
    }

    fn time(&self) -> Time {
        Time::ZERO + self.begin.elapsed()
    }

    /// Writes all that is queued.
    fn write(&mut self) -> Result<(), Failure> {
        loop {
            let now = self.time();
            let Some(transmit) = self.connection.transmit(now) else { return Ok(()) };
            match self.stream.write(transmit.first()) {
                Ok(0) => self.connection.transport_failed(now),
                Ok(written) => transmit.commit(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.connection.transport_failed(now),
            }
        }
    }

    /// Waits for bytes of the peer until the next deadline. Returns whether there were some, or their end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        let now = self.time();
        let until = self.connection.next_timeout().map_or(SILENCE_MAX, |due| due - now);
        self.stream.set_read_timeout(Some(until.clamp(Duration::from_millis(1), SILENCE_MAX)))?;
        self.read = 0;
        match self.stream.read(buffer) {
            Ok(0) => self.connection.received_eof(self.time()),
            Ok(len) => {
                // The engine's own buffer: what the application cannot answer yet is kept there.
                let mut bytes = &buffer[..len];
                while !bytes.is_empty() {
                    let room = self.connection.recv_buf();
                    let part = room.len().min(bytes.len());
                    room[..part].copy_from_slice(&bytes[..part]);
                    self.connection.received(Time::ZERO + self.begin.elapsed(), part);
                    bytes = &bytes[part..];
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::TimedOut => {
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            Err(_) => self.connection.transport_failed(self.time()),
        }
        Ok(true)
    }

    fn take_events(&mut self, answer: &mut dyn FnMut(Said<'_>) -> Vec<Part>) {
        while let Some(event) = self.connection.next_event() {
            match event {
                Event::Established { mut stream, protocol: Protocol::WebSocket, .. } => {
                    self.waiting.extend(answer(Said::Established));
                    stream.want_write();
                }
                Event::Message { mut stream, kind, chunk, end, .. } => {
                    self.waiting.extend(answer(Said::Message(kind, chunk, end)));
                    self.finished = end;
                    stream.want_write();
                }
                Event::Writable(permit) => {
                    let Some(part) = self.waiting.pop_front() else { continue };
                    let sent = permit.message(part.kind, Payload::Own(part.bytes), part.end);
                    if let (Ok(sent), false) = (sent, self.waiting.is_empty()) {
                        sent.again();
                    }
                }
                Event::Closed { cause, .. } => self.cause = Some(cause),
                _ => {}
            }
        }
        let _ = (self.key, CloseCode::NORMAL);
    }
}
