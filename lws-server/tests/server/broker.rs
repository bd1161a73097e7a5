//! Topics that two servers share by a broker: a small one in the test, which speaks what a Redis server does.

use crate::common::{Peer, Running, serve};
use lws_server::broker::redis::{RedisOptions, RespLimits, RespParser, RespValue};
use lws_server::broker::{BrokerOptions, Endpoint, Event, Receipt, Security};
use lws_server::ws::{Broadcast, Handler, Message};
use lws_server::{Builder, Context, MessageKind, WebSocket};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use test_kit::eventually;

/// Channels with their subscribers, and every command that came.
#[derive(Clone, Default)]
struct Broker {
    channels: Arc<Mutex<HashMap<String, Vec<TcpStream>>>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Broker {
    /// Listens on a port of its own.
    fn start() -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        (Self::listen(listener), port)
    }

    fn listen(listener: TcpListener) -> Self {
        let broker = Self::default();
        let shared = broker.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        broker
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut parser = RespParser::new(RespLimits::default());
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            parser.feed(&buffer[..count]);
            while let Ok(Some(RespValue::Array(words))) = parser.next() {
                let words: Vec<_> = words.iter().filter_map(|word| word.octets().cloned()).collect();
                let name = String::from_utf8_lossy(&words[0]).into_owned();
                let channel = words.get(1).map(|word| String::from_utf8_lossy(word).into_owned());
                self.command(&mut stream, &name, channel.unwrap_or_default(), words.get(2));
            }
        }
    }

    fn command(
        &self,
        stream: &mut TcpStream,
        name: &str,
        channel: String,
        payload: Option<&lws_server::Bytes>,
    ) {
        self.commands.lock().expect("a lock").push(format!("{name} {channel}"));
        let mut channels = self.channels.lock().expect("a lock");
        let answer = match name {
            "HELLO" => "%0\r\n".to_owned(),
            "SUBSCRIBE" => {
                channels.entry(channel.clone()).or_default().push(stream.try_clone().expect("a clone"));
                format!(">3\r\n+subscribe\r\n+{channel}\r\n:1\r\n")
            }
            "UNSUBSCRIBE" => {
                channels.remove(&channel);
                format!(">3\r\n+unsubscribe\r\n+{channel}\r\n:0\r\n")
            }
            "PUBLISH" => {
                let payload = payload.cloned().unwrap_or_default();
                let head = format!(">3\r\n+message\r\n+{channel}\r\n${}\r\n", payload.len());
                let message = [head.as_bytes(), &payload, b"\r\n"].concat();
                for subscriber in channels.entry(channel).or_default() {
                    let _ = subscriber.write_all(&message);
                }
                ":1\r\n".to_owned()
            }
            _ => "+OK\r\n".to_owned(),
        };
        let _ = stream.write_all(answer.as_bytes());
    }

    /// How often a command came.
    fn count(&self, command: &str) -> usize {
        self.commands.lock().expect("a lock").iter().filter(|it| *it == command).count()
    }
}

fn redis(port: u16) -> RedisOptions {
    RedisOptions::new(Endpoint::Tcp { host: "127.0.0.1".into(), port, tls: Security::Plain })
}

fn options(port: u16) -> BrokerOptions {
    options_of(redis(port))
}

fn options_of(redis: RedisOptions) -> BrokerOptions {
    let mut options = BrokerOptions::redis("shared/", redis);
    options.options.linger = Duration::from_millis(50);
    options.options.retry_min = Duration::from_millis(10);
    options.options.retry_max = Duration::from_millis(20);
    reporting(options)
}

/// Subscribers receive a line when the broker has confirmed, and for each gap.
pub(crate) fn reporting(options: BrokerOptions) -> BrokerOptions {
    options.on_event(|cx, event| {
        let (topic, said) = match event {
            Event::Subscribed { topic } => (topic, "subscribed"),
            Event::Gap { topic } => (topic, "gap"),
            Event::Refused { topic, receipt: Some(Receipt(0)), .. } => (topic, "too large"),
            _ => return,
        };
        cx.publish_local(topic.as_str(), &text(said)).expect("room");
    })
}

pub(crate) fn text(text: &str) -> Broadcast {
    Broadcast::new(MessageKind::Text, text.to_owned())
}

/// Does what a text says: `+` subscribes, `-` unsubscribes, `!` publishes, `%` to all others, `=` in place of an earlier one, `.` in this
/// process; `@` is present by a text, `~` is not any more, and `#` asks who is. Answers what came of it, behind a `<`.
struct Commands;

impl Handler for Commands {
    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        let said = message.text().unwrap_or_default().to_owned();
        let mut words = said.splitn(3, ' ');
        let (verb, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = words.next();
        let said = text(rest.unwrap_or_default());
        let answer = match verb {
            "+" => format!("{:?}", cx.subscribe(name)),
            "-" => format!("{:?}", cx.unsubscribe(name)),
            "!" => format!("{:?}", cx.publish_topic(name, &said)),
            "%" => format!("{:?}", cx.publish_others(name, &said)),
            "=" => format!("{:?}", cx.publish_latest(name, "key", &said)),
            "@" => format!("{:?}", cx.join_presence(name, rest)),
            "~" => format!("{:?}", cx.leave_presence(name)),
            "#" => {
                let present = cx.presence(name);
                format!("{} {}", present.count, present.members.join(" "))
            }
            "." => format!("{:?}", cx.publish_local(name, &said)),
            _ => String::new(),
        };
        if let Ok(permit) = stream.permit() {
            let _ = permit.text(&format!("<{answer}"));
        }
    }
}

pub(crate) fn process(options: BrokerOptions, threads: usize) -> Running {
    serve(move |builder: Builder| {
        builder.broker(options).threads(threads, |builder| builder.ws("/", |_| Commands))
    })
}

/// Says something, and reads the answer to it.
pub(crate) fn ask(peer: &mut Peer, said: &str) -> String {
    peer.send_text(said);
    peer.text()
}

/// A subscriber of a topic, of a process in which it is the first.
pub(crate) fn first(process: &Running, name: &str) -> Peer {
    let (mut peer, _) = process.open("/", "");
    assert_eq!(ask(&mut peer, &format!("+ {name}")), "<Ok(())");
    assert_eq!(peer.text(), "subscribed");
    peer
}

/// The next two texts, in whatever order: the answer does not wait for what the broker sends.
fn two(peer: &mut Peer) -> [String; 2] {
    let mut both = [peer.text(), peer.text()];
    both.sort();
    both
}

#[test]
fn what_one_process_publishes_reaches_all_once() {
    let (broker, port) = Broker::start();
    let processes = [process(options(port), 1), process(options(port), 3)];
    let mut here = first(&processes[0], "shared/a");
    let mut there = first(&processes[1], "shared/a");
    let (mut beside, _) = processes[1].open("/", "");
    assert_eq!(ask(&mut beside, "+ shared/a"), "<Ok(())");
    test_kit::eventually(|| {
        // The first thread learns of it soon: until then there is nothing to receive.
        processes[0].handle.publish_topic("shared/a", &text("warm")).expect("room");
        beside.0.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        beside.0.peek(&mut [0]).is_ok()
    });
    beside.0.set_read_timeout(Some(test_kit::PATIENCE)).expect("a timeout");
    here.send_text("! shared/a hello");
    let until = |peer: &mut Peer, text: &str| while peer.text() != text {};
    until(&mut there, "hello");
    until(&mut beside, "hello");
    until(&mut here, "hello");
    processes[1].handle.publish_topic("shared/a", &text("again")).expect("room");
    // Its own answer is somewhere before it.
    until(&mut here, "again");
    assert_eq!((there.text(), beside.text()), ("again".into(), "again".into()), "nothing came twice");
    assert_eq!(broker.count("SUBSCRIBE lws/shared/a"), 2, "once for each process");
}

#[test]
fn what_cannot_be_read_is_a_gap_and_what_is_too_large_is_no_refused_subscription() {
    let (_broker, port) = Broker::start();
    let limits = RespLimits { bulk_bytes_max: 150, ..RespLimits::default() };
    let process = process(options_of(RedisOptions { limits, ..redis(port) }), 1);
    let mut here = first(&process, "shared/a");
    let mut other = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    // The head of an envelope with a flag that is not known.
    other.write_all(b"*3\r\n$7\r\nPUBLISH\r\n$12\r\nlws/shared/a\r\n$6\r\n\0lws\x01\x80\r\n").expect("room");
    assert_eq!(here.text(), "gap");
    here.send_text(&format!("! shared/a {}", "x".repeat(100)));
    assert_eq!(two(&mut here), ["<Ok(())", "too large"]);
    here.send_text("! shared/a hello");
    assert_eq!(two(&mut here), ["<Ok(())", "hello"]);
}

#[test]
fn the_sender_may_be_left_out_wherever_the_others_are() {
    let (_broker, port) = Broker::start();
    let processes = [process(options(port), 2), process(options(port), 1)];
    let mut here = first(&processes[0], "shared/a");
    let mut there = first(&processes[1], "shared/a");
    assert_eq!(ask(&mut here, "% shared/a others"), "<Ok(())");
    assert_eq!(there.text(), "others");
    assert_eq!(ask(&mut there, "= shared/a latest"), "<Ok(())");
    assert_eq!((here.text(), there.text()), ("latest".into(), "latest".into()), "it got none of its own");
}

#[test]
fn other_topics_and_local_messages_stay_in_their_process() {
    let (broker, port) = Broker::start();
    let processes = [process(options(port), 1), process(options(port), 1)];
    let mut here = first(&processes[0], "shared/a");
    let mut there = first(&processes[1], "shared/a");
    for peer in [&mut here, &mut there] {
        assert_eq!(ask(peer, "+ own"), "<Ok(())");
        assert_eq!(ask(peer, "+ own/+"), "<Ok(())");
    }
    here.send_text("! own mine");
    assert_eq!(two(&mut here), ["<Ok(())", "mine"]);
    here.send_text(". shared/a local");
    assert_eq!(two(&mut here), ["<Ok(())", "local"]);
    processes[0].handle.publish_topic("shared/a", &text("all")).expect("room");
    assert_eq!((here.text(), there.text()), ("all".into(), "all".into()));
    assert_eq!(broker.count("PUBLISH lws/own"), 0);
}

#[test]
fn patterns_that_may_stand_for_shared_topics_are_refused() {
    let (_broker, port) = Broker::start();
    let process = process(options(port), 1);
    let (mut peer, _) = process.open("/", "");
    for (name, expected) in [
        ("shared/+", "<Err(Pattern)"),
        ("shared/a/#", "<Err(Pattern)"),
        ("+/a", "<Err(Pattern)"),
        ("#", "<Err(Pattern)"),
        ("own/+", "<Ok(())"),
        ("shared/a", "<Ok(())"),
    ] {
        assert_eq!(ask(&mut peer, &format!("+ {name}")), expected, "{name}");
        if expected == "<Ok(())" && name == "shared/a" {
            assert_eq!(peer.text(), "subscribed");
        }
    }
}

#[test]
fn behind_its_last_subscriber_a_topic_lingers_and_ends() {
    let (broker, port) = Broker::start();
    let process = process(options(port), 2);
    let mut one = first(&process, "shared/a");
    let (mut two, _) = process.open("/", "");
    assert_eq!(ask(&mut two, "+ shared/a"), "<Ok(())");
    assert_eq!(ask(&mut one, "- shared/a"), "<true");
    // A WebSocket that ends unsubscribes.
    drop(two);
    eventually(|| broker.count("UNSUBSCRIBE lws/shared/a") == 1);
    assert_eq!(ask(&mut one, "+ shared/a"), "<Ok(())");
    assert_eq!(one.text(), "subscribed");
    assert_eq!(broker.count("SUBSCRIBE lws/shared/a"), 2);
}

#[test]
fn while_the_broker_is_away_publications_wait_within_their_bounds() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let mut options = options(address.port());
    options.options.limits.publish_messages_max = 2;
    options.options.limits.payload_bytes_max = 400;
    let process = process(options, 1);
    let (mut peer, _) = process.open("/", "");
    assert_eq!(ask(&mut peer, "+ shared/a"), "<Ok(())");
    let large = Broadcast::new(MessageKind::Binary, vec![0; 400]);
    let refused = process.handle.publish_topic("shared/a", &large);
    assert_eq!(format!("{refused:?}"), "Err(Broker(Payload))");
    // Two wait at the broker's client, and two before it.
    let mut accepted = 0;
    while ask(&mut peer, &format!("! shared/a {accepted}")) == "<Ok(())" {
        accepted += 1;
    }
    assert_eq!(accepted, 4);
    assert_eq!(ask(&mut peer, "! shared/a more"), "<Err(Broker(Messages))");
    let broker = Broker::listen(TcpListener::bind(address).expect("the same port"));
    assert_eq!(peer.text(), "subscribed");
    // They are sent, and come back if they were sent behind the subscription.
    eventually(|| broker.count("PUBLISH lws/shared/a") == 4);
    let accepted = || process.handle.publish_topic("shared/a", &text("last")).is_ok();
    eventually(accepted);
    while peer.text() != "last" {}
}
