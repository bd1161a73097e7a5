//! The client of a server's thread: handlers that ask other servers.

use crate::common::{Running, serve};
use lws_server::client::{self, Failure, Fetch, Reply, Request, Timings};
use lws_server::http::{Exchange, Handler, Response, Status};
use lws_server::{Context, Handle};
use std::cell::RefCell;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use test_kit::PATIENCE;

fn hear<T>(hears: &Receiver<T>) -> T {
    hears.recv_timeout(PATIENCE).expect("something is heard")
}

fn get(address: SocketAddr, path: &str) -> Request {
    Request::new("GET", format!("http://{address}{path}").parse().expect("a URL"))
}

/// Does something on the server's thread, and answers what came of it.
fn with<R: Send + 'static>(handle: &Handle, call: impl FnOnce(&mut Context<'_>) -> R + Send + 'static) -> R {
    let (says, hears) = channel();
    handle.post(move |cx| says.send(call(cx)).expect("the test waits"));
    hear(&hears)
}

/// A server whose `/` answers with what `upstream` says.
fn front(upstream: SocketAddr) -> Running {
    serve(move |builder| {
        builder.get("/", move |_| {
            Fetch::new(get(upstream, "/there"), |_, outcome| match outcome {
                Ok(upstream) => Response::text(upstream.body),
                Err(failure) => Response::text(failure.to_string()).status(Status::BAD_GATEWAY),
            })
        })
    })
}

#[test]
fn a_route_answers_with_what_another_server_says_on_one_connection() {
    let there = serve(|builder| builder.get("/there", |_| Response::text("hello from there")));
    let here = front(there.address);
    for _ in 0..3 {
        let answer = here.get("/");
        assert_eq!((answer.status, answer.text()), (200, "hello from there"));
    }
    let stats = with(&here.handle, |cx| cx.client().stats());
    assert_eq!((stats.completed_total, stats.connects_total, stats.reused_total), (3, 1, 2));
}

#[test]
fn a_route_answers_when_there_is_no_other_server() {
    let unused = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let answer = front(unused).get("/");
    assert_eq!(answer.status, 502);
    assert!(answer.text().starts_with("tcp: ") && answer.text().contains(&unused.port().to_string()));
}

#[test]
fn a_request_ends_with_the_exchange_that_waits_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let here = front(listener.local_addr().expect("it is bound"));
    let mut peer = here.connect();
    peer.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (mut upstream, _) = listener.accept().expect("the server asks");
    upstream.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
    assert!(upstream.read(&mut [0; 1_024]).expect("a request") > 0);
    // A reset: the exchange is over at once. (One that has only ended its direction may still read.)
    let socket = rustix::net::sockopt::set_socket_linger(&peer.0, Some(Duration::ZERO));
    socket.expect("an option is set");
    drop(peer);
    let ended = upstream.read(&mut [0; 1_024]);
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{ended:?}");
    assert_eq!(with(&here.handle, |cx| cx.client().requests()), 0);
}

#[test]
fn what_is_posted_asks_and_a_deadline_of_the_client_is_kept_beside_timers() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = silent.local_addr().expect("it is bound");
    let here = serve(|builder| builder);
    let (says, hears) = channel();
    here.handle.post(move |cx| {
        let mut request = get(address, "/");
        request.options.get_or_insert_default().timeout = Some(Duration::from_millis(30));
        let told = says.clone();
        cx.fetch(request, 100, move |cx, outcome| {
            let failure = outcome.map(|_| ()).expect_err("there is no answer");
            // A delivery may ask in turn.
            let mut request = get(address, "/");
            request.options.get_or_insert_default().timeout = Some(Duration::from_millis(30));
            cx.fetch(request, 100, move |_, outcome| {
                let again = outcome.map(|_| ()).expect_err("there is no answer");
                told.send((failure, again)).expect("the test waits");
            })
            .detach();
        })
        .detach();
        cx.after(PATIENCE * 10, |_| {});
    });
    let (failure, again) = hear(&hears);
    let timed_out = client::Cause::TimedOut(client::Deadline::Total);
    assert_eq!((failure.cause, again.cause), (timed_out.clone(), timed_out));
}

#[test]
fn a_request_that_is_given_up_delivers_nothing() {
    let there = serve(|builder| builder.get("/", |_| Response::text("late")));
    let here = serve(|builder| builder);
    let (address, (says, hears)) = (there.address, channel());
    here.handle.post(move |cx| {
        let dropped = says.clone();
        drop(cx.fetch(get(address, "/"), 100, move |_, _| dropped.send("given up").expect("the test waits")));
        cx.fetch(get(address, "/"), 100, move |_, _| says.send("kept").expect("the test waits")).detach();
    });
    assert_eq!(hear(&hears), "kept");
    assert!(hears.recv_timeout(PATIENCE).is_err(), "every sender is gone, and nothing else was said");
}

#[test]
fn an_outcome_whose_pending_is_dropped_before_it_is_delivered_is_not_delivered() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let here = serve(|builder| builder);
    let (says, hears) = channel();
    here.handle.post(move |cx| {
        // Both fail at once, as they wait for one connection; the first delivery drops what the second one is for.
        let second = Rc::new(RefCell::new(None));
        let (dropped, told) = (Rc::clone(&second), says.clone());
        cx.fetch(get(nobody, "/"), 100, move |_, outcome| {
            assert!(outcome.is_err());
            drop(dropped.take());
            told.send("first").expect("the test waits");
        })
        .detach();
        let pending =
            cx.fetch(get(nobody, "/"), 100, move |_, _| says.send("second").expect("the test waits"));
        second.replace(Some(pending));
    });
    assert_eq!(hear(&hears), "first");
    assert!(hears.recv_timeout(PATIENCE).is_err(), "every sender is gone, and nothing else was said");
}

/// Panics where it says.
struct Panics(&'static str, Sender<&'static str>);

impl Reply for Panics {
    fn head(&mut self, _: &mut client::Context<'_>, _: client::ResponseHead) {
        assert_ne!(self.0, "head");
    }

    fn end(self: Box<Self>, _: &mut client::Context<'_>, _: Result<Timings, Failure>) {
        self.1.send(self.0).expect("the test waits");
        assert_ne!(self.0, "end");
    }
}

#[test]
fn a_panic_of_a_reply_or_a_delivery_ends_its_request_and_nothing_else() {
    let there = serve(|builder| builder.get("/", |_| Response::text("hello")));
    let here = serve(|builder| builder);
    let (address, (says, hears)) = (there.address, channel());
    for place in ["head", "end", "nowhere"] {
        let says = says.clone();
        let panicked = with(&here.handle, |cx| cx.stats().panics);
        here.handle.post(move |cx| {
            cx.client().start(get(address, "/"), Panics(place, says));
        });
        if place == "head" {
            // It is dropped, and its end is not delivered.
            while with(&here.handle, |cx| (cx.stats().panics, cx.client().requests())) != (panicked + 1, 0) {}
        } else {
            assert_eq!(hear(&hears), place);
        }
    }
    let panicked = with(&here.handle, |cx| cx.stats().panics);
    here.handle.post(move |cx| cx.fetch(get(address, "/"), 100, |_, _| panic!("a delivery")).detach());
    while with(&here.handle, |cx| cx.stats().panics) != panicked + 1 {}
    let (says, hears) = channel();
    here.handle.post(move |cx| {
        cx.fetch(get(address, "/"), 100, move |_, outcome| {
            says.send(outcome.is_ok()).expect("the test waits")
        })
        .detach();
    });
    assert!(hear(&hears));
    assert_eq!(with(&here.handle, |cx| cx.client().requests()), 0);
}

/// Relays content as it comes, woken for each piece.
struct Relay {
    to: SocketAddr,
    received: std::rc::Rc<std::cell::RefCell<(Vec<u8>, bool)>>,
}

impl Handler for Relay {
    fn open(&mut self, cx: &mut Context<'_>, _: Exchange<'_>, _: bool) {
        let waker = cx.waker().expect("it is about an exchange");
        let reply = Relayed { waker, received: self.received.clone() };
        cx.client().start(get(self.to, "/"), reply);
    }

    fn wake(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        let mut received = self.received.borrow_mut();
        if received.1 {
            let content = std::mem::take(&mut received.0);
            exchange.reply(Response::text(content)).unwrap_or_else(|_| panic!("nothing is queued"));
        }
    }
}

struct Relayed {
    waker: client::Waker,
    received: std::rc::Rc<std::cell::RefCell<(Vec<u8>, bool)>>,
}

impl Reply for Relayed {
    fn body(&mut self, _: &mut client::Context<'_>, chunk: &mut [u8]) {
        self.received.borrow_mut().0.extend_from_slice(chunk);
        self.waker.wake();
    }

    fn end(self: Box<Self>, _: &mut client::Context<'_>, _: Result<Timings, Failure>) {
        self.received.borrow_mut().1 = true;
        self.waker.wake();
    }
}

#[test]
fn a_reply_wakes_the_handler_that_it_is_for() {
    let there = serve(|builder| builder.get("/", |_| Response::text("x".repeat(100_000))));
    let to = there.address;
    let here = serve(move |builder| builder.get("/", move |_| Relay { to, received: Default::default() }));
    assert_eq!(here.get("/").content.len(), 100_000);
}

#[test]
fn a_server_with_idle_connections_of_its_client_drains_at_once() {
    let there = serve(|builder| builder.get("/there", |_| Response::text("hello")));
    let here = front(there.address);
    assert_eq!(here.get("/").status, 200);
    assert_eq!(with(&here.handle, |cx| cx.client().waiting_and_idle()), (0, 1));
    here.handle.drain();
    here.join();
}
