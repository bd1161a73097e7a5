//! A client that is part of an application: a server that asks another server before it answers.

use lws_client::{Client, Link, Options};
use lws_loop_external::{
    Accepted, Address, Application, ConnectError, ConnectionId, Driver, DriverContext, DriverOptions,
    ListenOptions, ListenerId, Peer,
};
use lws_loop_poll::PollLoop;
use lws_proto::http::Status;
use lws_proto::{Connection, Event, Payload, StreamKey};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What a connection is to the application.
enum State {
    Accepted,
    Upstream(Link),
}

impl From<Link> for State {
    fn from(link: Link) -> Self {
        Self::Upstream(link)
    }
}

/// An answer that has come for an exchange.
type Ready = (ConnectionId, StreamKey, u16, Vec<u8>);

struct Front {
    client: Client,
    upstream: SocketAddr,
    ready: Rc<RefCell<Vec<Ready>>>,
    answers: Vec<Ready>,
}

impl Front {
    fn serve(&mut self, cx: &mut DriverContext<'_, Self>) {
        let next = self.client.serve(cx);
        cx.set_timer(next);
        for ready in self.ready.borrow_mut().drain(..) {
            cx.wake(ready.0);
            self.answers.push(ready);
        }
    }
}

impl Application for Front {
    type State = State;
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        Some(Accepted { config: Arc::default(), state: State::Accepted })
    }

    fn connected(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut State,
        connection: &mut Connection,
    ) {
        if let State::Upstream(link) = state {
            self.client.on_connected(cx, *link, connection);
        }
        self.serve(cx);
    }

    fn connect_failed(&mut self, cx: &mut DriverContext<'_, Self>, state: State, error: ConnectError) {
        if let State::Upstream(link) = state {
            self.client.on_connect_failed(cx, link, &error);
        }
        self.serve(cx);
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut State, event: Event<'_>) {
        match (state, event) {
            (State::Upstream(link), event) => self.client.on_event(cx, *link, event),
            (State::Accepted, Event::Request { stream, head, .. }) => {
                let (key, ready) = (stream.key(), Rc::clone(&self.ready));
                let id = cx.connection().expect("it is about a connection");
                let request = self.client.get(&format!("http://{}{}", self.upstream, head.target()));
                request.expect("a URL").collect(1 << 20, move |_, outcome| {
                    let (status, body) = outcome.map_or((502, Vec::new()), |it| (it.status(), it.body));
                    ready.borrow_mut().push((id, key, status, body));
                });
            }
            (State::Accepted, _) => {}
        }
        self.serve(cx);
    }

    fn woken(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut State, connection: &mut Connection) {
        match state {
            State::Upstream(link) => self.client.on_woken(cx, *link, connection),
            State::Accepted => {
                let id = cx.connection();
                for (_, key, status, body) in self.answers.extract_if(.., |ready| Some(ready.0) == id) {
                    let Some(Ok(permit)) = connection.exchange(key).map(lws_proto::Exchange::permit) else {
                        continue;
                    };
                    let status = Status::new(status).expect("a status");
                    let none: [(&str, &str); 0] = [];
                    permit.respond(status, none, Payload::Own(body.into()), true).expect("an answer");
                }
            }
        }
        self.serve(cx);
    }

    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, state: State) {
        if let State::Upstream(link) = state {
            self.client.on_closed(cx, link);
        }
        self.serve(cx);
    }

    fn timer(&mut self, cx: &mut DriverContext<'_, Self>) {
        self.serve(cx);
    }
}

/// Answers each connection once with the target that was asked for.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut bytes = [0; 4_096];
            let n = socket.read(&mut bytes).unwrap_or(0);
            let head = String::from_utf8_lossy(&bytes[..n]).into_owned();
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let length = target.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{target}");
            let _ = socket.write_all(head.as_bytes());
        }
    });
    address
}

#[test]
fn a_server_asks_another_one_before_it_answers() {
    let front = Front {
        client: Client::new(Options::default()),
        upstream: upstream(),
        ready: Rc::default(),
        answers: Vec::new(),
    };
    let mut poll_loop = PollLoop::new().expect("a loop");
    let mut service = Driver::new(front, DriverOptions::default()).expect("a service");
    let address = service.with(poll_loop.now(), |_, cx| {
        let any = Address::Tcp(([127, 0, 0, 1], 0).into());
        let listener = cx.listen(&any, &ListenOptions::default()).expect("it listens");
        cx.listening_on(listener).expect("an address")
    });
    let Address::Tcp(address) = address else { panic!("TCP") };
    poll_loop.add(service).expect("there is room");
    let asker = std::thread::spawn(move || {
        let mut socket = TcpStream::connect(address).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut answers = String::new();
        for n in 0..3 {
            let close = if n == 2 { "Connection: close\r\n" } else { "" };
            socket
                .write_all(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n{close}\r\n").as_bytes())
                .expect("it reads");
        }
        socket.read_to_string(&mut answers).expect("answers");
        answers
    });
    while !asker.is_finished() {
        poll_loop.run_once(Some(Duration::from_millis(20))).expect("it runs");
    }
    let answers = asker.join().expect("answers");
    for n in 0..3 {
        assert!(answers.contains(&format!("\r\n\r\n/{n}")), "{answers}");
    }
}
