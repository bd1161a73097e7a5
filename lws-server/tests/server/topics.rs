//! Topics: who subscribes gets what is published, on whichever thread.

use crate::common::{Peer, serve};
use lws_server::ws::{Backlog, Broadcast, Handler, LagPolicy, Message};
use lws_server::{Builder, Context, MessageKind, PublishError, SubscribeError, WebSocket};

/// Does what a text says: `+ NAME` subscribes, `- NAME` unsubscribes, `! NAME TEXT` publishes, `% NAME TEXT` publishes to all others,
/// `? NAME` counts. Answers what came of it.
struct Commands;

fn text(text: &str) -> Broadcast {
    Broadcast::new(MessageKind::Text, text.to_owned())
}

impl Handler for Commands {
    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        let said = message.text().unwrap_or_default();
        let mut words = said.splitn(3, ' ');
        let (verb, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = words.next().unwrap_or_default();
        let answer = match verb {
            "+" => format!("{:?}", cx.subscribe(name)),
            "-" => format!("{:?}", cx.unsubscribe(name)),
            "!" => format!("{:?}", cx.publish_topic(name, &text(rest)).is_ok()),
            "%" => format!("{:?}", cx.publish_others(name, &text(rest)).is_ok()),
            "?" => format!("{:?}", cx.subscribers(name)),
            _ => String::new(),
        };
        if let Ok(permit) = stream.permit() {
            let _ = permit.text(&answer);
        }
    }
}

fn commands(builder: Builder) -> Builder {
    builder.ws("/", |_| Commands)
}

/// Says something, and reads the answer to it.
fn ask(peer: &mut Peer, text: &str) -> String {
    peer.send_text(text);
    peer.text()
}

#[test]
fn a_message_to_a_topic_reaches_its_subscribers_and_no_other() {
    let server = serve(commands);
    let [mut one, mut two, mut three] = std::array::from_fn(|_| server.open("/", "").0);
    assert_eq!(ask(&mut one, "+ room/a"), "Ok(())");
    assert_eq!(ask(&mut two, "+ room/a"), "Ok(())");
    assert_eq!(ask(&mut two, "+ room/b"), "Ok(())");
    assert_eq!(ask(&mut three, "+ room/+"), "Ok(())");
    assert_eq!(ask(&mut one, "? room/a"), "2");
    server.handle.publish_topic("room/a", &text("to a")).expect("room");
    server.handle.publish_topic("room/b", &text("to b")).expect("room");
    server.handle.publish_topic("room/c", &text("to c")).expect("room");
    assert_eq!(one.text(), "to a");
    assert_eq!((two.text(), two.text()), ("to a".into(), "to b".into()));
    assert_eq!((three.text(), three.text(), three.text()), ("to a".into(), "to b".into(), "to c".into()));
    assert_eq!(ask(&mut two, "- room/a"), "true");
    assert_eq!(ask(&mut two, "- room/a"), "false");
    server.handle.publish_topic("room/a", &text("again")).expect("room");
    assert_eq!((one.text(), three.text()), ("again".into(), "again".into()));
    // Nothing came in between.
    assert_eq!(ask(&mut two, "? room/a"), "1");
    drop(one);
    drop(two);
    test_kit::eventually(|| ask(&mut three, "? room/b") == "0");
    server.handle.publish_topic("room/b", &text("to nobody but one")).expect("room");
    assert_eq!(three.text(), "to nobody but one");
}

#[test]
fn the_sender_may_be_left_out() {
    let server = serve(commands);
    let [mut one, mut two] = std::array::from_fn(|_| server.open("/", "").0);
    for peer in [&mut one, &mut two] {
        assert_eq!(ask(peer, "+ a"), "Ok(())");
    }
    one.send_text("% a hello");
    assert_eq!((one.text(), two.text()), ("true".into(), "hello".into()));
    one.send_text("! a all");
    let mut got = [one.text(), one.text()];
    got.sort();
    assert_eq!((got, two.text()), (["all".into(), "true".into()], "all".into()));
}

#[test]
fn topics_reach_every_thread() {
    let server = serve(|builder| builder.threads(3, commands));
    let mut peers: Vec<_> = (0..6).map(|_| server.open("/", "").0).collect();
    for peer in &mut peers {
        assert_eq!(ask(peer, "+ room"), "Ok(())");
    }
    peers[0].send_text("% room hello");
    assert_eq!(peers[0].text(), "true");
    for peer in &mut peers[1..] {
        assert_eq!(peer.text(), "hello");
    }
    for number in 0..100 {
        server.handle.publish_topic("room", &text(&number.to_string())).expect("room");
    }
    for peer in &mut peers {
        for number in 0..100 {
            assert_eq!(peer.text(), number.to_string());
        }
    }
}

#[test]
fn a_name_that_is_none_is_refused() {
    let server = serve(|builder| commands(builder).subscriptions_max(1));
    let (mut peer, _) = server.open("/", "");
    for name in ["", "a+", "#/a"] {
        assert_eq!(ask(&mut peer, &format!("+ {name}")), format!("Err({:?})", SubscribeError::Name));
    }
    assert_eq!(ask(&mut peer, "! room/+ x"), "false");
    for name in ["", "#", "room/+"] {
        let published = server.handle.publish_topic(name, &text("x"));
        assert!(matches!(published, Err(PublishError::TopicName)), "{name}");
    }
    assert_eq!(ask(&mut peer, "+ a"), "Ok(())");
    assert_eq!(ask(&mut peer, "+ b"), format!("Err({:?})", SubscribeError::TooMany));
}

/// Subscribes to two topics, and does nothing else.
struct Two;

impl Handler for Two {
    fn open(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>) {
        for topic in ["fast", "slow"] {
            cx.subscribe(topic).expect("a topic");
        }
    }
}

#[test]
fn a_topic_has_its_own_backlog_and_policy() {
    let backlog = |name: &str| match name {
        "slow" => Backlog { messages_max: 2, lag: LagPolicy::Close, ..Backlog::default() },
        _ => Backlog::default(),
    };
    let server = serve(move |builder| builder.topic_backlog(backlog).ws("/", |_| Two));
    let (mut reader, _) = server.open("/", "");
    let (mut sleeper, _) = server.open("/", "");
    // More than the kernel takes for a peer that does not read.
    let large = Broadcast::new(MessageKind::Binary, vec![0; 1 << 20]);
    for _ in 0..24 {
        server.handle.publish_topic("slow", &large).expect("room");
        assert_eq!(reader.frame().1.len(), 1 << 20);
    }
    // The one that did not read is closed with 1013, behind what was on its way.
    let close = loop {
        match sleeper.frame() {
            (8, close) => break close,
            (opcode, large) => assert_eq!((opcode, large.len()), (2, 1 << 20)),
        }
    };
    assert_eq!(close.get(..2), Some(&1013_u16.to_be_bytes()[..]));
}

#[test]
fn of_values_with_one_key_a_slow_subscriber_gets_the_last() {
    let server = serve(|builder| builder.ws("/", |_| Two));
    let (mut sleeper, _) = server.open("/", "");
    let (mut reader, _) = server.open("/", "");
    let large = Broadcast::new(MessageKind::Binary, vec![0; 1 << 20]);
    for _ in 0..3 {
        server.handle.publish_topic("fast", &large).expect("room");
        assert_eq!(reader.frame().1.len(), 1 << 20);
    }
    for _ in 0..8 {
        server.handle.publish_topic("slow", &large).expect("room");
        assert_eq!(reader.frame().1.len(), 1 << 20);
    }
    for number in 0..100 {
        server.handle.publish_latest("slow", "price", &text(&number.to_string())).expect("room");
        assert_eq!(reader.text(), number.to_string());
    }
    let mut texts = Vec::new();
    let mut large = 0;
    while texts.last().is_none_or(|last| last != "99") {
        match sleeper.frame() {
            (1, bytes) => texts.push(String::from_utf8(bytes).expect("text")),
            _ => large += 1,
        }
    }
    assert!(large <= 11 && texts.len() < 100, "{large} {texts:?}");
}

#[test]
fn a_process_that_watches_a_topic_is_called_with_each_message_with_and_without_subscribers() {
    use std::sync::mpsc::channel;
    let server = serve(|builder| builder.threads(2, commands));
    let (seen, has_seen) = channel();
    let (began, has_begun) = channel();
    server.handle.post(move |cx| {
        let pattern = cx.watch_topic("room/+", |_, _| ());
        let answer = seen.clone();
        let watch = cx.watch_topic("room/a", move |cx, message| {
            let said = String::from_utf8(message.bytes().to_vec()).expect("text");
            // It may publish, and is about no stream.
            assert_eq!(cx.id(), None);
            if said == "ping" {
                cx.publish_topic("room/b", &text("pong")).expect("room");
            }
            answer.send(said).expect("the test waits");
        });
        began.send((pattern, watch)).expect("the test waits");
    });
    let (pattern, watch) = has_begun.recv_timeout(test_kit::PATIENCE).expect("the thread is there");
    assert_eq!(pattern, Err(SubscribeError::Name));
    let watch = watch.expect("a topic");
    let next = || has_seen.recv_timeout(test_kit::PATIENCE).expect("it is called");
    server.handle.publish_topic("room/b", &text("elsewhere")).expect("room");
    server.handle.publish_topic("room/a", &text("without a subscriber")).expect("room");
    assert_eq!(next(), "without a subscriber");
    // On whichever thread someone publishes and subscribes.
    let [mut one, mut two] = std::array::from_fn(|_| server.open("/", "").0);
    assert_eq!((ask(&mut one, "+ room/b"), ask(&mut two, "+ room/b")), ("Ok(())".into(), "Ok(())".into()));
    assert_eq!(ask(&mut two, "% room/a ping"), "true");
    assert_eq!((next(), one.text(), two.text()), ("ping".into(), "pong".into(), "pong".into()));
    let (ended, has_ended) = channel();
    server.handle.post(move |cx| {
        let ends = [cx.unwatch_topic(watch), cx.unwatch_topic(watch)];
        cx.publish_topic("room/a", &text("behind its end")).expect("room");
        ended.send(ends).expect("the test waits");
    });
    assert_eq!(has_ended.recv_timeout(test_kit::PATIENCE), Ok([true, false]));
    assert!(has_seen.try_recv().is_err());
}
