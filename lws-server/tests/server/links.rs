//! What a handler opens beside its own stream: outgoing connections, timers, processes, descriptors, UDP sockets.

use crate::common::{Running, serve};
use lws_server::datagrams::{self, UdpEvent, UdpOptions};
use lws_server::descriptor::{self, Descriptor, DescriptorEvent, Interest};
use lws_server::http::{Exchange, Handler, Response, Status};
use lws_server::upstream::{self, ConnectError, ConnectOptions, Connection, Event, Speak};
use lws_server::{Cause, Context, Payload, RawStream, StreamId, raw};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use test_kit::PATIENCE;

/// A server that serves nothing: what is tried is posted to it.
fn idle() -> Running {
    serve(|builder| builder)
}

impl Running {
    /// Does something on the server's thread, and answers what came of it.
    fn with<R: Send + 'static>(&self, call: impl FnOnce(&mut Context<'_>) -> R + Send + 'static) -> R {
        let (says, hears) = channel();
        self.handle.post(move |cx| says.send(call(cx)).expect("the test waits"));
        hears.recv_timeout(PATIENCE).expect("the server goes on")
    }
}

fn hear<T>(hears: &Receiver<T>) -> T {
    hears.recv_timeout(PATIENCE).expect("something is heard")
}

/// What an exchange and the connection that it has begun have in common.
#[derive(Default)]
struct Fetched {
    content: Vec<u8>,
    end: Option<Result<(), String>>,
}

/// Answers with what another server says.
struct Forward {
    to: SocketAddr,
    fetched: Rc<RefCell<Fetched>>,
}

impl Handler for Forward {
    fn open(&mut self, cx: &mut Context<'_>, _: Exchange<'_>, _: bool) {
        let waits = cx.id().expect("it is about an exchange");
        let fetch = Fetch { waits, fetched: Rc::clone(&self.fetched) };
        cx.connect(self.to, &ConnectOptions::default(), fetch).expect("it can be begun");
    }

    fn wake(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        let mut fetched = self.fetched.borrow_mut();
        let response = match fetched.end.take().expect("it is woken at the end") {
            Ok(()) => Response::text(std::mem::take(&mut fetched.content)),
            Err(error) => Response::text(error).status(Status::BAD_GATEWAY),
        };
        exchange.reply(response).unwrap_or_else(|_| panic!("nothing is queued"));
    }
}

struct Fetch {
    waits: StreamId,
    fetched: Rc<RefCell<Fetched>>,
}

impl Fetch {
    fn end(&self, cx: &mut Context<'_>, result: Result<(), String>) {
        self.fetched.borrow_mut().end = Some(result);
        cx.wake(self.waits);
    }
}

impl upstream::Handler for Fetch {
    fn connected(&mut self, cx: &mut Context<'_>, connection: &mut Connection) {
        let request = upstream::Request::get("localhost", "/there");
        let fields = [("Accept", "text/plain")];
        connection
            .request(cx.now(), &request, fields, Payload::Static(b""), true)
            .expect("a connection that is new takes a request");
    }

    fn failed(&mut self, cx: &mut Context<'_>, error: &ConnectError) {
        self.end(cx, Err(error.to_string()));
    }

    fn event(&mut self, cx: &mut Context<'_>, event: Event<'_>) {
        match event {
            Event::Response { head, .. } => {
                let status = head.status().map_or(0, Status::code);
                self.fetched.borrow_mut().content.extend(format!("{status} ").bytes());
            }
            Event::Body { chunk, .. } => self.fetched.borrow_mut().content.extend_from_slice(chunk),
            Event::Closed { cause, .. } => {
                assert_eq!(cause, Cause::Complete);
                self.end(cx, Ok(()));
            }
            _ => {}
        }
    }
}

fn forwarding(to: SocketAddr) -> Running {
    serve(move |builder| builder.get("/", move |_| Forward { to, fetched: Rc::default() }))
}

#[test]
fn a_handler_asks_another_server_and_answers_with_what_that_says() {
    let there = serve(|builder| builder.get("/there", |_| Response::text("hello from there")));
    let here = forwarding(there.address);
    for _ in 0..2 {
        let answer = here.get("/");
        assert_eq!((answer.status, answer.text()), (200, "200 hello from there"));
    }
}

#[test]
fn a_handler_hears_that_a_connection_could_not_be_made() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let answer = forwarding(nobody).get("/");
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains(&nobody.port().to_string()), "{}", answer.text());
}

/// Says what comes on an upstream that speaks raw.
struct Bytes(Sender<Vec<u8>>);

impl upstream::Handler for Bytes {
    fn connected(&mut self, _: &mut Context<'_>, _: &mut Connection) {}

    fn event(&mut self, _: &mut Context<'_>, event: Event<'_>) {
        match event {
            Event::Established { stream: upstream::Established::Raw(stream), .. } => {
                let permit = stream.permit().expect("nothing is queued");
                let _ = permit.data(Payload::Static(b"hello"), true);
            }
            Event::Raw { chunk, .. } => self.0.send(chunk.to_vec()).expect("the test waits"),
            _ => {}
        }
    }

    fn close(&mut self, _: &mut Context<'_>) {
        self.0.send(b"closed".to_vec()).expect("the test waits");
    }
}

#[test]
fn an_upstream_carries_bytes_and_hears_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("an address");
    let (says, hears) = channel();
    let server = idle();
    server.with(move |cx| {
        let options = ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() };
        cx.connect(to, &options, Bytes(says)).expect("it can be begun");
    });
    let (mut peer, _) = listener.accept().expect("it connects");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
    let mut all = Vec::new();
    peer.read_to_end(&mut all).expect("it ends its direction");
    assert_eq!(all, b"hello");
    peer.write_all(b"and back").expect("it reads");
    drop(peer);
    let mut heard = Vec::new();
    while !heard.ends_with(b"closed") {
        heard.extend(hear(&hears));
    }
    assert_eq!(heard, b"and backclosed");
}

#[test]
fn a_link_that_is_closed_by_its_name_hears_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("an address");
    let (says, hears) = channel();
    let server = idle();
    let link = server.with(move |cx| {
        let options = ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() };
        cx.connect(to, &options, Bytes(says)).expect("it can be begun")
    });
    let (mut peer, _) = listener.accept().expect("it connects");
    peer.read_exact(&mut [0; 5]).expect("it is there");
    server.with(move |cx| cx.close_link(link));
    assert_eq!(hear(&hears), b"closed");
}

#[test]
fn an_upstream_whose_handler_panics_ends_and_the_server_goes_on() {
    struct Panics(Sender<&'static str>);
    impl upstream::Handler for Panics {
        fn connected(&mut self, _: &mut Context<'_>, _: &mut Connection) {
            panic!("connected");
        }
        fn event(&mut self, _: &mut Context<'_>, _: Event<'_>) {
            let _ = self.0.send("called again");
        }
        fn close(&mut self, _: &mut Context<'_>) {
            let _ = self.0.send("called again");
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("an address");
    let (says, hears) = channel();
    let server = idle();
    server.with(move |cx| {
        let options = ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() };
        cx.connect(to, &options, Panics(says)).expect("it can be begun");
    });
    let (mut peer, _) = listener.accept().expect("it connects");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
    let ended = peer.read(&mut [0; 1]);
    assert!(matches!(ended, Ok(0) | Err(_)), "it is cut off");
    assert_eq!(server.with(|cx| cx.stats().panics), 1);
    assert!(hears.recv_timeout(PATIENCE).is_err(), "it was dropped and not called again");
}

#[test]
fn timers_of_a_thread_are_called_when_they_are_due() {
    let server = idle();
    let (says, hears) = channel();
    let begun = Instant::now();
    let cancelled = server.with(move |cx| {
        let (late, early, often, never) = (says.clone(), says.clone(), says.clone(), says);
        cx.after(Duration::from_millis(60), move |cx| {
            assert!(cx.id().is_none(), "it is about no stream");
            late.send("late").expect("the test waits");
        });
        cx.after(Duration::from_millis(20), move |_| early.send("early").expect("the test waits"));
        let mut times = 0;
        cx.every(Duration::from_millis(30), move |_| {
            times += 1;
            if times <= 3 {
                often.send("often").expect("the test waits");
            }
        });
        let timer = cx.after(Duration::from_millis(1), move |_| never.send("never").expect("the test waits"));
        (cx.cancel(timer), cx.cancel(timer))
    });
    assert_eq!(cancelled, (true, false));
    let mut heard: Vec<_> = (0..5).map(|_| hear(&hears)).collect();
    assert!(begun.elapsed() >= Duration::from_millis(90), "three periods have passed");
    assert_eq!(heard[0], "early");
    heard.sort_unstable();
    assert_eq!(heard, ["early", "late", "often", "often", "often"]);
}

#[test]
fn a_timer_that_panics_is_gone_and_the_others_are_not() {
    let server = idle();
    let (says, hears) = channel();
    server.with(move |cx| {
        cx.every(Duration::from_millis(1), |_| panic!("a timer"));
        cx.after(Duration::from_millis(30), move |cx| says.send(cx.stats().panics).expect("the test waits"));
    });
    assert_eq!(hear(&hears), 1);
}

/// Sends a text, and says what comes back.
struct Talks {
    text: &'static str,
    says: Sender<Vec<u8>>,
}

impl raw::Handler for Talks {
    fn open(&mut self, _: &mut Context<'_>, stream: RawStream<'_>) {
        let permit = stream.permit().expect("nothing is queued");
        let _ = permit.data(Payload::Static(self.text.as_bytes()), true);
    }

    fn chunk(&mut self, _: &mut Context<'_>, _: RawStream<'_>, chunk: &mut [u8], _: bool) {
        self.says.send(chunk.to_vec()).expect("the test waits");
    }

    fn close(&mut self, _: &mut Context<'_>, _: Cause) {
        let _ = self.says.send(b" closed".to_vec());
    }
}

#[test]
fn a_process_is_a_stream_over_its_pipes() {
    let server = idle();
    let (says, hears) = channel();
    let mut child = server.with(move |cx| {
        let talks = Talks { text: "through a process", says };
        cx.spawn(&mut Command::new("cat"), talks).expect("it is started").1
    });
    let mut heard = Vec::new();
    while !heard.ends_with(b" closed") {
        heard.extend(hear(&hears));
    }
    assert_eq!(String::from_utf8_lossy(&heard), "through a process closed");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_socket_of_elsewhere_is_a_stream() {
    let server = idle();
    let (says, hears) = channel();
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    server.with(move |cx| {
        cx.adopt(theirs.into(), Talks { text: "hello", says }).expect("it is taken over");
    });
    ours.write_all(b"hi").expect("it reads");
    assert_eq!(hear(&hears), b"hi");
    let mut octets = Vec::new();
    ours.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
    ours.read_to_end(&mut octets).expect("it writes");
    assert_eq!(octets, b"hello");
}

#[test]
fn a_handler_reads_and_writes_a_descriptor_by_itself() {
    struct Echo(Sender<&'static str>);
    impl descriptor::Handler for Echo {
        fn event(&mut self, _: &mut Context<'_>, event: DescriptorEvent, descriptor: &mut Descriptor<'_>) {
            let mut octets = [0; 64];
            match event {
                DescriptorEvent::Readable => {
                    let count = descriptor.read(&mut octets).expect("it is readable");
                    assert_eq!(descriptor.write(&octets[..count]).expect("there is room"), count);
                }
                DescriptorEvent::Woken => {
                    self.0.send("woken").expect("the test waits");
                    descriptor.close();
                }
                _ => {}
            }
        }

        fn close(&mut self, _: &mut Context<'_>) {
            self.0.send("closed").expect("the test waits");
        }
    }
    let server = idle();
    let (says, hears) = channel();
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let link = server.with(move |cx| {
        cx.adopt_descriptor(theirs.into(), Interest::READ, Echo(says)).expect("it is watched")
    });
    ours.write_all(b"echo").expect("there is room");
    let mut echoed = [0; 4];
    ours.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
    ours.read_exact(&mut echoed).expect("it comes back");
    assert_eq!(&echoed, b"echo");
    server.with(move |cx| cx.wake_link(link));
    assert_eq!((hear(&hears), hear(&hears)), ("woken", "closed"));
}

#[test]
fn a_handler_answers_datagrams() {
    struct Echo;
    impl datagrams::Handler for Echo {
        fn event(&mut self, _: &mut Context<'_>, event: UdpEvent<'_>) {
            if let UdpEvent::Datagram { socket, datagram } = event
                && let Ok(permit) = socket.permit()
            {
                let _ = permit.send(datagram.reply_to(), datagram.bytes);
            }
        }
    }
    let server = idle();
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let there =
        server.with(move |cx| cx.bind_udp(local, &UdpOptions::default(), Echo).expect("it is bound").1);
    let socket = UdpSocket::bind(local).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
    socket.send_to(b"datagram", there).expect("it is sent");
    let mut octets = [0; 64];
    let (count, from) = socket.recv_from(&mut octets).expect("it comes back");
    assert_eq!((&octets[..count], from), (&b"datagram"[..], there));
}
