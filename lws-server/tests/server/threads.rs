//! Servers on several threads: who gets a connection, who hears what is published, and how all end.

use crate::common::{Peer, Running, serve};
use crate::sys::leaving;
use lws_loop_external::hosts::{OnPoll, poll};
use lws_loop_external::{Clock, DriverOptions, ListenOptions, Wait};
use lws_server::http::Response;
use lws_server::ws::{Accepted, Backlog, Broadcast, Deflate, Handler, LagPolicy, Message, Prepared};
use lws_server::{
    Builder, Context, MessageKind, Payload, PublishError, Server, ServerService, Stream, StreamId, WebSocket,
};
use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use test_kit::{PATIENCE, eventually};

/// Says on which thread it is, echoes, publishes what begins with `all `, and tells its name to the test.
struct Member {
    names: Option<Sender<StreamId>>,
    /// What only one thread may touch.
    _local: Rc<()>,
}

impl Handler for Member {
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        if let (Some(names), Some(id)) = (&self.names, cx.id()) {
            let _ = names.send(id);
        }
        if let Ok(permit) = stream.permit() {
            let _ = permit.text(&format!("thread {}", cx.thread()));
        }
    }

    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Some(news) = message.text().and_then(|text| text.strip_prefix("all ")) {
            cx.publish(&Broadcast::new(MessageKind::Text, news.to_owned())).expect("room");
        } else if let Ok(permit) = stream.permit() {
            let _ = permit.message(message.kind, Payload::Copy(message.chunk), true);
        }
    }

    fn published(&mut self, _: &mut Context<'_>, message: &Prepared) -> bool {
        message.bytes() != "not for you"
    }

    fn wake(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ = permit.text("woken");
        }
    }
}

fn describe(builder: Builder, names: Option<&Mutex<Sender<StreamId>>>) -> Builder {
    let names = names.map(|names| names.lock().expect("no panic").clone());
    let local = Rc::new(());
    builder
        .ws("/", move |_| Member { names: names.clone(), _local: Rc::clone(&local) })
        .get("/thread", |_| Response::text("here"))
}

/// A server of members on so many threads, and their names as they come.
fn members(
    threads: usize,
    settings: impl FnOnce(Builder) -> Builder + Send + 'static,
) -> (Running, Receiver<StreamId>) {
    let (names, named) = channel();
    let names = Mutex::new(names);
    let running = serve(move |builder| {
        settings(builder).threads(threads, move |builder| describe(builder, Some(&names)))
    });
    (running, named)
}

fn join(server: &Running) -> (Peer, String) {
    let (mut peer, answer) = server.open("/", "");
    assert_eq!(answer.status, 101);
    let thread = peer.text();
    (peer, thread)
}

#[test]
fn connections_are_spread_evenly_to_the_thread_that_has_the_fewest() {
    let (server, _named) = members(3, |builder| builder);
    assert_eq!(server.handle.threads(), 3);
    let mut peers: Vec<_> = (0..9).map(|_| join(&server)).collect();
    let of = |peers: &[(Peer, String)], thread: usize| {
        peers.iter().filter(|(_, name)| *name == format!("thread {thread}")).count()
    };
    assert_eq!([0, 1, 2].map(|thread| of(&peers, thread)), [3, 3, 3]);
    // Two of one thread end: the next two go there.
    let gone: Vec<_> = peers.extract_if(.., |(_, name)| name == "thread 1").take(2).collect();
    gone.into_iter().for_each(|(mut peer, _)| {
        peer.send([0x88, 0x80, 0, 0, 0, 0]);
        peer.rest();
    });
    eventually(|| server.handle.thread_connections(1) == 1);
    for _ in 0..2 {
        let (peer, thread) = join(&server);
        assert_eq!(thread, "thread 1");
        peers.push((peer, thread));
    }
    for (peer, _) in &mut peers {
        peer.send_text("ping");
        assert_eq!(peer.text(), "ping");
    }
}

#[test]
fn a_server_has_as_many_threads_as_were_asked_for() {
    let named = || {
        let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
        let names = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim_end() == "loop-7").count()
    };
    assert_eq!(named(), 0);
    // No other test has so many: the last is the eighth with the thread that runs the server.
    let (server, _named) = members(8, |builder| builder);
    assert_eq!(server.handle.threads(), 8);
    assert_eq!(server.get("/thread").text(), "here");
    assert_eq!(named(), 1);
    drop(server);
    assert_eq!(named(), 0);
}

#[test]
fn when_every_thread_is_full_the_next_connection_waits_for_an_end_anywhere() {
    let (server, _named) = members(2, |builder| builder.connections_max(2));
    let mut peers: Vec<_> = (0..4).map(|_| join(&server)).collect();
    assert_eq!([0, 1].map(|thread| server.handle.thread_connections(thread)), [2, 2]);
    // The system takes it, the server does not.
    let mut waiting = server.connect();
    waiting.send("GET /thread HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    waiting.0.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout is set");
    assert!(waiting.0.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    waiting.0.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
    let last = peers.iter().position(|(_, thread)| thread == "thread 1").expect("one is there");
    drop(peers.swap_remove(last));
    assert!(waiting.rest().ends_with(b"here"));
}

#[test]
fn a_message_reaches_a_connection_of_any_thread_and_that_of_one_which_has_gone_none() {
    let (server, named) = members(3, |builder| builder);
    let peers: Vec<_> = (0..3).map(|_| join(&server).0).collect();
    let ids: Vec<_> = (0..3).map(|_| named.recv_timeout(PATIENCE).expect("a name")).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3, "they have different names");
    let mut peers = peers;
    for (id, peer) in ids.iter().zip(&mut peers) {
        assert!(server.handle.wake(*id));
        assert_eq!(peer.text(), "woken");
        let hello = |_: &mut Context<'_>, stream: Stream<'_>| {
            let websocket = stream.into_websocket().expect("a WebSocket");
            let _ = websocket.permit().map(|permit| permit.text("posted").map(drop));
        };
        assert!(server.handle.post_to(*id, hello));
        assert_eq!(peer.text(), "posted");
    }
    peers.drain(..).for_each(|mut peer| {
        peer.send([0x88, 0x80, 0, 0, 0, 0]);
        peer.rest();
    });
    eventually(|| (0..3).all(|thread| server.handle.thread_connections(thread) == 0));
    // Others take their places.
    let mut peers: Vec<_> = (0..3).map(|_| join(&server).0).collect();
    for id in ids {
        let called = |_: &mut Context<'_>, _: Stream<'_>| panic!("a name that means nothing any more");
        assert!(server.handle.post_to(id, called) && server.handle.wake(id));
    }
    for peer in &mut peers {
        peer.send_text("still there");
        assert_eq!(peer.text(), "still there");
    }
}

#[test]
fn what_is_published_reaches_everybody_once_and_in_order() {
    let (server, _named) = members(3, |builder| builder);
    let mut peers: Vec<_> = (0..7).map(|_| join(&server).0).collect();
    let news = |text: &str| Broadcast::new(MessageKind::Text, text.to_owned());
    for number in 0..100 {
        server.handle.publish("/", &news(&number.to_string())).expect("room");
    }
    server.handle.publish("/", &news("not for you")).expect("room");
    assert!(matches!(server.handle.publish("/elsewhere", &news("lost")), Err(PublishError::NoRoute)));
    for peer in &mut peers {
        for number in 0..100 {
            assert_eq!(peer.text(), number.to_string());
        }
    }
    // From a handler, the sender's own too; and nothing came twice before it.
    peers[4].send_text("all of you");
    for peer in &mut peers {
        assert_eq!(peer.text(), "of you");
        peer.send_text("next");
        assert_eq!(peer.text(), "next");
    }
}

#[test]
fn a_message_is_compressed_once_for_all_threads() {
    let deflate = Deflate::default();
    let (server, _named) = members(3, move |builder| builder.deflate(deflate));
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut peers: Vec<_> = (0..6).map(|_| server.open("/", offer).0).collect();
    let news = Broadcast::new(MessageKind::Text, "to all of you ".repeat(100));
    for peer in &mut peers {
        assert!(peer.text().starts_with("thread "));
    }
    server.handle.publish("/", &news).expect("room");
    let mut frames = HashSet::new();
    for peer in &mut peers {
        let [first, len] = peer.exactly();
        assert_eq!(first, 0xc1, "a compressed text");
        let mut payload = vec![0; len.into()];
        peer.0.read_exact(&mut payload).expect("the payload comes");
        frames.insert(payload);
    }
    assert_eq!((frames.len(), news.forms()), (1, 1));
}

/// Reads nothing until it is asked to, with little room at the system.
fn slow_peer(server: &Running) -> Peer {
    let (peer, _) = join(server);
    rustix::net::sockopt::set_socket_recv_buffer_size(&peer.0, 256 << 10).expect("an option is set");
    peer
}

fn lost(server: &Running) -> u64 {
    let (tell, told) = channel();
    assert!(server.handle.post(move |cx| tell.send(cx.stats().lost).expect("the test waits")));
    told.recv_timeout(PATIENCE).expect("an answer")
}

#[test]
fn who_does_not_keep_up_loses_the_oldest_and_stops_no_other() {
    let backlog = Backlog { messages_max: 4, bytes_max: 1 << 20, lag: LagPolicy::DropOldest };
    let (server, _named) = members(2, move |builder| builder.backlog(backlog));
    let (mut quick, mut slow) = (join(&server).0, slow_peer(&server));
    let large = |first: u8| {
        let mut payload = vec![0; 1 << 20];
        payload[0] = first;
        Broadcast::new(MessageKind::Binary, payload)
    };
    for number in 0..40 {
        server.handle.publish("/", &large(number)).expect("room");
        assert_eq!(long_frame(&mut quick), number, "who keeps up loses nothing");
    }
    eventually(|| lost(&server) > 0);
    let mut received = Vec::new();
    while received.last() != Some(&39) {
        received.push(long_frame(&mut slow));
    }
    assert!(received.is_sorted_by(|a, b| a < b), "{received:?}");
    assert!(received.len() < 40);
    eventually(|| lost(&server) == 40 - received.len() as u64);
    slow.send_text("again");
    assert_eq!(slow.text(), "again");
}

#[test]
fn who_does_not_keep_up_is_closed_where_that_is_the_rule() {
    let backlog = Backlog { messages_max: 2, bytes_max: 1 << 20, lag: LagPolicy::Close };
    let (server, _named) = members(2, move |builder| builder.backlog(backlog));
    let (mut quick, mut slow) = (join(&server).0, slow_peer(&server));
    for number in 0..40 {
        let message = Broadcast::new(MessageKind::Binary, vec![number; 1 << 20]);
        server.handle.publish("/", &message).expect("room");
        assert_eq!(long_frame(&mut quick), number);
    }
    let rest = slow.rest();
    assert!(rest.ends_with(b"\x88\x0a\x03\xf5too slow"), "{:?}", &rest[rest.len().saturating_sub(16)..]);
}

/// A whole frame of 64 KiB or more: its first byte.
fn long_frame(peer: &mut Peer) -> u8 {
    let [first, kind] = peer.exactly();
    assert_eq!((first, kind), (0x82, 127));
    let len = u64::from_be_bytes(peer.exactly());
    let mut payload = vec![0; len as usize];
    peer.0.read_exact(&mut payload).expect("the payload comes");
    payload[0]
}

/// Sends its message in two halves, with something published in between.
struct Halves;

impl Handler for Halves {
    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        let end = message.text() == Some("end");
        if let Ok(permit) = stream.permit() {
            let _ = permit.message(MessageKind::Text, Payload::Copy(message.chunk), end);
        }
        if !end {
            cx.publish(&Broadcast::new(MessageKind::Text, "news")).expect("room");
        }
    }
}

#[test]
fn what_is_published_waits_for_the_end_of_a_message() {
    let server = serve(|builder| builder.ws("/", |_| Accepted::new(Halves)));
    let (mut peer, _) = server.open("/", "");
    peer.send_text("begin");
    assert_eq!(peer.exactly(), [0x01, 5]);
    assert_eq!(&peer.exactly::<5>(), b"begin");
    peer.send_text("end");
    assert_eq!(peer.frame(), (0, b"end".to_vec()));
    assert_eq!(peer.text(), "news");
}

#[test]
fn each_thread_can_listen_itself() {
    let (server, _named) = members(4, |builder| {
        builder.listen_options(ListenOptions { reuse_port: true, ..ListenOptions::default() })
    });
    let threads: HashSet<_> = (0..64).map(|_| join(&server)).map(|(_, thread)| thread).collect();
    // The system chooses by a hash of the addresses: that it chose one of four 64 times is no chance.
    assert!(threads.len() > 1, "{threads:?}");
}

#[test]
fn a_drain_ends_all_threads_with_a_goodbye_and_a_stop_without() {
    for stop in [false, true] {
        let (server, _named) = members(3, |builder| builder);
        let mut peers: Vec<_> = (0..6).map(|_| join(&server).0).collect();
        let handle = server.handle.clone();
        assert!(if stop { handle.stop() } else { handle.drain() });
        for peer in &mut peers {
            if !stop {
                assert_eq!(peer.frame().0, 8);
                peer.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);
            }
            peer.rest();
        }
        server.join();
        assert!(!handle.drain() && !handle.stop() && !handle.post(|_| ()));
    }
}

#[test]
fn a_handler_can_end_all_threads() {
    let server = serve(|builder| {
        builder.threads(2, |builder| builder.get("/end", |_| Response::text("soon")).ws("/", |_| Ender))
    });
    let (mut first, _) = server.open("/", "");
    let (mut second, _) = server.open("/", "");
    second.send_text("end");
    for peer in [&mut first, &mut second] {
        assert_eq!(peer.frame().0, 8);
        peer.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);
        peer.rest();
    }
    server.join();
}

struct Ender;

impl Handler for Ender {
    fn message(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, _: Message<'_>) {
        cx.drain();
    }
}

#[test]
fn a_thread_that_does_not_start_is_reported_and_the_others_end() {
    let started = |on_others: fn()| {
        let first = Arc::new(Mutex::new(true));
        let describe = move |builder: Builder| {
            if !std::mem::take(&mut *first.lock().expect("no panic")) {
                on_others();
                return builder;
            }
            builder.get("/", |_| Response::text("here"))
        };
        Server::builder()
            .listen("127.0.0.1:0")
            .threads(3, describe)
            .build()
            .expect("the first is built")
            .run()
    };
    let error = started(|| ()).expect_err("the others have no route");
    assert!(error.to_string().contains("the same routes"), "{error}");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let error = started(|| std::panic::panic_any("no luck")).expect_err("the others panic");
    assert!(error.to_string().contains("no luck") || error.to_string().contains("panicked"), "{error}");
}

#[test]
fn handlers_outside_of_the_description_of_the_threads_are_a_mistake() {
    let wrong = [
        Server::builder().get("/", |_| Response::text("")).threads(2, |builder| builder),
        Server::builder().threads(100_000, |builder| builder),
    ];
    for builder in wrong {
        assert_eq!(builder.build().expect_err("a mistake").kind(), io::ErrorKind::InvalidInput);
    }
    let one_per_processor = Server::builder().listen("127.0.0.1:0").threads(0, |builder| builder);
    let one_per_processor = one_per_processor.build().expect("a server");
    let processors = std::thread::available_parallelism().expect("a number").get();
    assert_eq!(one_per_processor.threads(), processors);
}

#[test]
fn counters_are_those_of_all_threads() {
    let (server, _named) = members(3, |builder| builder);
    let peers: Vec<_> = (0..6).map(|_| join(&server).0).collect();
    let websockets = || {
        let (tell, told) = channel();
        assert!(server.handle.post(move |cx| {
            tell.send((cx.stats(), cx.thread_stats())).expect("the test waits");
        }));
        told.recv_timeout(PATIENCE).expect("an answer")
    };
    eventually(|| websockets().0.websockets == 6);
    assert_eq!(websockets().1.websockets, 2);
    drop(peers);
    eventually(|| websockets().0.connections == 0);
}

#[test]
fn who_reads_fast_loses_nothing_of_what_is_published_in_a_row() {
    const MESSAGES: usize = 5_000;
    for (threads, messages_max) in [(1, 1_024), (2, 1_024), (1, 4)] {
        let backlog = Backlog { messages_max, ..Backlog::default() };
        let (server, _named) = members(threads, move |builder| builder.backlog(backlog));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (mut peer, _) = join(&server);
                std::thread::spawn(move || {
                    let in_order = (0..MESSAGES).all(|number| peer.text() == number.to_string());
                    assert!(in_order, "each message once, and in order");
                })
            })
            .collect();
        for number in 0..MESSAGES {
            let message = Broadcast::new(MessageKind::Text, number.to_string());
            server.handle.publish("/", &message).expect("room");
        }
        readers.into_iter().for_each(|reader| reader.join().expect("every message comes"));
        assert_eq!(lost(&server), 0);
    }
}

#[test]
fn a_thread_that_misses_a_message_is_named_and_trying_again_makes_no_duplicates() {
    let options = DriverOptions { mailbox_messages_max: 8, ..DriverOptions::default() };
    let (server, named) = members(2, move |builder| builder.driver_options(options.clone()));
    let (mut first, thread) = join(&server);
    let (mut second, _) = join(&server);
    let ids = [named.recv_timeout(PATIENCE).expect("a name"), named.recv_timeout(PATIENCE).expect("a name")];
    let there = ids[usize::from(thread == "thread 0")];
    // The second thread stands still until it is let go, and its mailbox fills.
    let (release, wait) = channel::<()>();
    let (stand, stands) = channel();
    assert!(server.handle.post_to(there, move |_, _| {
        stand.send(()).expect("the test waits");
        let _ = wait.recv();
    }));
    stands.recv_timeout(PATIENCE).expect("it stands still");
    let message = |number: usize| Broadcast::new(MessageKind::Text, number.to_string());
    let mut missed = Vec::new();
    for number in 0..20 {
        match server.handle.publish("/", &message(number)) {
            Ok(()) => {}
            Err(PublishError::Missed(threads)) => {
                assert_eq!(threads.threads().collect::<Vec<_>>(), [1], "message {number}");
                missed.push(threads);
            }
            Err(error) => panic!("{error}"),
        }
        // The other thread keeps up.
        let (tell, told) = channel();
        while !server.handle.post({
            let tell = tell.clone();
            move |_| tell.send(()).expect("the test waits")
        }) {}
        told.recv_timeout(PATIENCE).expect("it goes on");
    }
    assert_eq!(missed.len(), 12, "the others fit into the mailbox");
    release.send(()).expect("it waits");
    for threads in missed {
        eventually(|| server.handle.publish_again(&threads).is_ok());
    }
    for peer in [&mut first, &mut second] {
        for number in 0..20 {
            assert_eq!(peer.text(), number.to_string());
        }
        peer.send_text("nothing twice");
        assert_eq!(peer.text(), "nothing twice");
    }
}

/// Serves on poll(2) until `done`, and takes the service out again.
fn serve_until(service: ServerService, done: impl Fn() -> bool) -> ServerService {
    let clock = Clock::new();
    let mut fds = Vec::new();
    let mut hosted = OnPoll::new(service);
    while !done() {
        let wait = hosted
            .settle(&mut fds, clock.now())
            .earliest(Wait::Until(clock.now() + Duration::from_millis(5)));
        poll(&mut fds, wait.timeout(clock.now())).expect("poll(2) works");
        for fd in &mut fds {
            hosted.service_fd(fd, clock.now());
        }
    }
    hosted.detach(&mut fds)
}

#[test]
fn a_server_goes_to_another_thread_with_its_open_websockets() {
    let server = describe(Server::builder().listen("127.0.0.1:0"), None).build().expect("a server");
    let running = Running::served_by_the_test(&server);
    let (says, said) = channel();
    let client = thread::spawn(move || {
        let (mut peer, thread) = join(&running);
        assert_eq!(thread, "thread 0");
        let mut talk = |text: &str| {
            peer.send_text(text);
            assert_eq!(peer.text(), text);
        };
        talk("on the first thread");
        says.send(()).expect("the test listens");
        talk("on the way, or on the second");
        talk("on the second");
        assert_eq!(running.get("/thread").text(), "here");
    });
    let service = serve_until(server.into_service(), || said.try_recv().is_ok());
    let leaving = leaving(service);
    let second = thread::spawn(move || drop(serve_until(leaving.into_inner(), || client.is_finished())));
    second.join().expect("the second thread serves");
}
