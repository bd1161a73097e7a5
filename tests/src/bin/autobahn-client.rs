//! A WebSocket client for the peers' tests: the engine's client role on one blocking TCP stream after the other.
//!
//! ```text
//! autobahn-client URL [--agent NAME]   runs every case of an Autobahn fuzzing server, sending back what comes
//! autobahn-client --echo URL COUNT     sends COUNT messages to an echo server, and checks what comes back
//! ```
//!
//! `--deflate[=NAME=VALUE,...]` before all that offers permessage-deflate. `--http2` before that opens the WebSockets over HTTP/2,
//! by prior knowledge.

use lws_proto::http::Scheme;
use lws_proto::ws::{CloseCode, Connect, Deflate};
use lws_proto::{
    Bytes, Cause, Config, Connection, Established, Event, MessageKind, Payload, Time, WebSocket,
    WebSocketPermit,
};
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use tests::transport::{Failure, SystemEntropy, Transport};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let http2 = arguments.first() == Some(&"--http2");
    arguments.drain(..usize::from(http2));
    let deflate = match arguments.first().and_then(|first| first.strip_prefix("--deflate")) {
        Some(options) => {
            let deflate = offered(options);
            arguments.remove(0);
            deflate.map(Some)
        }
        None => Ok(None),
    };
    let peer = |url, deflate| Peer::parse(url, deflate, http2);
    let done = deflate.and_then(|deflate| match arguments[..] {
        ["--echo", url, count] => echo(&peer(url, deflate)?, count),
        [url] => autobahn(&peer(url, deflate)?, "lws-proto"),
        [url, "--agent", agent] => autobahn(&peer(url, deflate)?, agent),
        _ => {
            Err("usage: autobahn-client [--http2] [--deflate] (URL [--agent NAME] | --echo URL COUNT)".into())
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("autobahn-client: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all cases that the server at `url` offers, and lets it write its report.
fn autobahn(url: &Peer, agent: &str) -> Result<(), Failure> {
    let mut reported = String::new();
    run(url, "/getCaseCount", &mut |event| {
        if let PeerEvent::Message(_, chunk, _) = event {
            reported.push_str(&String::from_utf8_lossy(chunk));
        }
        Next::NOTHING
    })?;
    let count: u32 =
        reported.trim().parse().map_err(|_| format!("a count of cases was expected, not {reported:?}"))?;
    for case in 1..=count {
        let cause = run(url, &format!("/runCase?case={case}&agent={agent}"), &mut send_back)?;
        println!("case {case} of {count}: {cause}");
    }
    run(url, &format!("/updateReports?agent={agent}"), &mut |_| Next::NOTHING)?;
    Ok(())
}

/// Sends every part of a message back as a frame.
fn send_back(event: PeerEvent<'_>) -> Next {
    match event {
        PeerEvent::Message(kind, chunk, end) => {
            Next::Send(vec![Part { kind, bytes: Bytes::copy_from_slice(chunk), end }])
        }
        PeerEvent::Established => Next::NOTHING,
    }
}

/// Sends `count` messages, one after the other, and compares each with what comes back.
fn echo(url: &Peer, count: &str) -> Result<(), Failure> {
    let count: u32 = count.parse().map_err(|_| "COUNT is a number")?;
    let target = url.target.clone();
    let mut index = 0;
    let mut message = Vec::new();
    let mut wrong = None;
    let cause = run(url, &target, &mut |event| {
        if let PeerEvent::Message(kind, chunk, end) = event {
            message.extend_from_slice(chunk);
            if !end {
                return Next::NOTHING;
            }
            if (kind, &message) != (kind_of(index), &content_of(index)) {
                wrong = Some(index);
            }
            message.clear();
            index += 1;
        }
        if index == count || wrong.is_some() { Next::Close } else { Next::Send(parts_of(index)) }
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

/// What `--deflate` offers: its options behind an equals sign.
fn offered(options: &str) -> Result<Deflate, Failure> {
    let mut deflate = Deflate::default();
    let options = options.strip_prefix('=').unwrap_or(options);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, "1"));
        deflate.set_option(name, value)?;
    }
    Ok(deflate)
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

/// What the peer event, as far as the two programs here want to know it.
enum PeerEvent<'a> {
    Established,
    Message(MessageKind, &'a [u8], bool),
}

/// What the program does about it.
enum Next {
    /// Sends this; perhaps nothing.
    Send(Vec<Part>),
    /// Begins the closing handshake.
    Close,
}

impl Next {
    const NOTHING: Self = Self::Send(Vec::new());
}

/// Where a server is, and what it is offered.
struct Peer {
    authority: String,
    target: String,
    deflate: Option<Deflate>,
    http2: bool,
}

impl Peer {
    fn parse(url: &str, deflate: Option<Deflate>, http2: bool) -> Result<Self, Failure> {
        let rest =
            url.strip_prefix("ws://").ok_or_else(|| format!("a URL begins with ws://, unlike {url:?}"))?;
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let target = if target.is_empty() { "/" } else { target };
        Ok(Self { authority: authority.into(), target: target.into(), deflate, http2 })
    }

    /// Host and port, to connect to.
    fn address(&self) -> String {
        let has_port = self.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { self.authority.clone() } else { format!("{}:80", self.authority) }
    }
}

/// One WebSocket to `target` at `url`: `answer` says what follows what the peer says. Returns why it ended.
fn run(url: &Peer, target: &str, answer: &mut dyn FnMut(PeerEvent<'_>) -> Next) -> Result<Cause, Failure> {
    let mut transport = Transport::open(&url.address())?;
    let mut config = Config::default();
    config.limits.message_bytes_max = 64 << 20;
    let (config, entropy) = (Arc::new(config), Box::new(SystemEntropy));
    let mut connection = match url.http2 {
        true => Connection::client_http2(Time::ZERO, config, entropy, Scheme::Http),
        false => Connection::client(Time::ZERO, config, entropy),
    };
    let mut connect = Connect::new(&url.authority, target).streamed();
    if let Some(deflate) = &url.deflate {
        connect = connect.deflate(deflate);
    }
    connection.connect_websocket(Time::ZERO, &connect)?;
    let mut conversation = Conversation { answer, waiting: VecDeque::new(), cause: None };
    let mut buffer = vec![0; 64 << 10];
    loop {
        while let Some(event) = connection.next_event() {
            conversation.event(event);
        }
        if url.http2 && conversation.cause.is_some() {
            // No other stream will follow.
            connection.drain(transport.time());
        }
        transport.write(&mut connection);
        let interest = connection.interest();
        if interest.close {
            break;
        }
        if interest.service {
            continue;
        }
        let received = transport.read(&mut connection, &mut buffer)?;
        let mut feed = connection.receive(transport.time(), received);
        while let Some(event) = feed.next_event() {
            conversation.event(event);
        }
    }
    conversation.cause.ok_or_else(|| "the connection ended before it began".into())
}

/// What both sides say to each other on one connection. What waits to be sent is as much as the peer has sent before it
/// reads: 16 MiB with these.
struct Conversation<'a> {
    answer: &'a mut dyn FnMut(PeerEvent<'_>) -> Next,
    waiting: VecDeque<Part>,
    cause: Option<Cause>,
}

impl Conversation<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Established { stream: Established::WebSocket(stream), .. } => {
                self.say(stream, PeerEvent::Established);
            }
            Event::Message { stream, kind, chunk, end, .. } => {
                self.say(stream, PeerEvent::Message(kind, chunk, end))
            }
            Event::Writable(permit) => {
                if let Ok(permit) = permit.into_websocket() {
                    self.spend(permit);
                }
            }
            Event::Closed { cause, .. } => self.cause = Some(cause),
            _ => {}
        }
    }

    fn say(&mut self, mut stream: WebSocket<'_>, event: PeerEvent<'_>) {
        match (self.answer)(event) {
            Next::Send(parts) => {
                self.waiting.extend(parts);
                stream.want_write();
            }
            // Misuse is impossible: the code is one for the wire and there is no reason.
            Next::Close => drop(stream.close(CloseCode::NORMAL, "")),
        }
    }

    fn spend(&mut self, permit: WebSocketPermit<'_>) {
        let Some(part) = self.waiting.pop_front() else { return };
        let sent = permit.message(part.kind, Payload::Own(part.bytes), part.end);
        if let (Ok(sent), false) = (sent, self.waiting.is_empty()) {
            sent.again();
        }
    }
}
