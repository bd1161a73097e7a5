//! A server of FastCGI that does what a test says, at each cut of what it sends.

use crate::common::{Answer, Running, request, serve};
use lws_cgi::{FastCgi, Limits};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use test_kit::{PATIENCE, eventually};

const BEGIN: u8 = 1;
const ABORT: u8 = 2;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;

/// What a server of FastCGI received.
#[derive(Debug, Default)]
struct Received {
    keeps: bool,
    parameters: Vec<u8>,
    content: Vec<u8>,
    aborted: bool,
}

/// A record as a server writes it.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("a length").to_be_bytes();
    [&[1, kind, 0, 1, high, low, 2, 0][..], content, &[0, 0]].concat()
}

fn stdout(content: &str) -> Vec<u8> {
    record(6, content.as_bytes())
}

fn end() -> Vec<u8> {
    record(3, &[0; 8])
}

/// An answer with everything in it.
fn answer() -> Vec<u8> {
    [stdout("Content-Type: text/plain\r\n"), record(7, b"oh\n"), stdout("\r\nhello"), stdout(""), end()]
        .concat()
}

/// Reads one request. `None` if the connection ends before it.
fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut received = Received::default();
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header).ok()?;
        let [_, kind, _, _, high, low, padding, _] = header;
        let mut content = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        stream.read_exact(&mut content).ok()?;
        stream.read_exact(&mut vec![0; padding.into()]).ok()?;
        match kind {
            BEGIN => received.keeps = content[2] == 1,
            PARAMS => received.parameters.extend(content),
            STDIN if content.is_empty() => return Some(received),
            STDIN => received.content.extend(content),
            ABORT => {
                received.aborted = true;
                return Some(received);
            }
            other => panic!("a record of type {other}"),
        }
    }
}

/// A server of FastCGI: each connection is handed to `with`.
fn responder(with: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let with = std::sync::Arc::new(with);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let with = std::sync::Arc::clone(&with);
            std::thread::spawn(move || with(stream));
        }
    });
    address
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.head_timeout = Duration::from_millis(300);
    limits.time_max = Duration::from_millis(600);
    limits
}

/// A server that asks the one at `address`, and what it logs.
fn front(
    address: SocketAddr,
    change: impl FnOnce(FastCgi) -> FastCgi + Send + 'static,
) -> (Running, Receiver<String>) {
    let (says, hears) = channel();
    let server = serve(move |builder| {
        let log = move |_: &std::path::Path, notice: &lws_cgi::Notice<'_>| {
            // A test that looks at no messages has no ear.
            let _ = says.send(notice.to_string());
        };
        builder.route(change(FastCgi::new(address).limits(limits()).log(log)).at("/script"))
    });
    (server, hears)
}

#[test]
fn a_request_is_asked_and_its_answer_handed_on() {
    let (says, hears) = channel();
    let address = responder(move |mut stream| {
        let received = read(&mut stream).expect("a request");
        stream.write_all(&answer()).expect("it is read");
        says.send(received).expect("the test waits");
    });
    let (server, logged) = front(address, |it| it.script("/srv/app").variable("MINE", "yes"));
    let content = vec![b'x'; 200_000];
    let answer = server.post("/script/a%20b?q", &content);
    assert_eq!((answer.status, answer.text(), answer.whole), (200, "hello", true));
    let received = hears.recv_timeout(PATIENCE).expect("a request");
    assert_eq!(received.content, content);
    assert!(!received.keeps);
    let parameters = String::from_utf8_lossy(&received.parameters).into_owned();
    for pair in
        ["SCRIPT_FILENAME/srv/app", "PATH_INFO/a b", "QUERY_STRINGq", "CONTENT_LENGTH200000", "MINEyes"]
    {
        assert!(parameters.contains(pair), "{pair} in {parameters}");
    }
    assert_eq!(logged.recv_timeout(PATIENCE).as_deref(), Ok("oh"));
}

#[test]
fn a_client_that_takes_its_time_uses_up_none_of_the_servers() {
    let address = responder(move |mut stream| {
        let received = read(&mut stream).expect("a request");
        assert_eq!(received.content, b"1234567890");
        stream.write_all(&answer()).expect("it is read");
    });
    let (server, _) = front(address, |it| it);
    let mut client = server.connect();
    client.send(request("POST", "/script", "Content-Length: 10\r\n") + "12345");
    std::thread::sleep(limits().time_max + limits().head_timeout);
    client.send("67890");
    let answer = Answer::parse(&client.rest());
    assert_eq!((answer.status, answer.text(), answer.whole), (200, "hello", true));
}

/// What a client gets of a server that sends `octets` and then does `then`.
fn outcome(octets: &[u8], then: fn(TcpStream)) -> Answer {
    let octets = octets.to_vec();
    let address = responder(move |mut stream| {
        if read(&mut stream).is_some() && stream.write_all(&octets).is_ok() {
            then(stream);
        }
    });
    front(address, |it| it).0.get("/script")
}

fn stall(mut stream: TcpStream) {
    // Until the other side closes it.
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn an_answer_that_ends_or_stalls_anywhere_has_one_outcome() {
    let all = answer();
    let head = all.len() - stdout("\r\nhello").len() - stdout("").len() - end().len();
    for len in (0..=all.len()).step_by(3).chain([all.len()]) {
        for (then, late) in [(drop as fn(TcpStream), false), (stall, true)] {
            if late && len % 2 == 1 {
                continue;
            }
            let answer = outcome(&all[..len], then);
            let seen = (answer.status, answer.whole);
            if len == all.len() {
                assert_eq!(seen, (200, true));
            } else if len < head + 10 {
                assert_eq!(seen, (if late { 504 } else { 502 }, true), "{len} octets");
            } else {
                assert!(!answer.whole, "{len} octets: {answer:?}");
            }
        }
    }
}

#[test]
fn what_is_no_answer_is_answered_502_and_said() {
    let check = |octets: Vec<u8>, status: u16, said: &str| {
        let address = responder(move |mut stream| {
            if read(&mut stream).is_some() && stream.write_all(&octets).is_ok() {
                stall(stream);
            }
        });
        let (server, logged) = front(address, |it| it);
        assert_eq!(server.get("/script").status, status, "{said}");
        assert_eq!(logged.recv_timeout(PATIENCE).as_deref(), Ok(said));
    };
    check(b"HTTP/1.1 400 Bad Request".to_vec(), 502, "it speaks another version of FastCGI");
    check(end(), 502, "its output ended within the header");
    check(stdout("hello\n\n"), 502, "a line of its header is no field");
    check(record(3, &[0, 0, 0, 0, 2, 0, 0, 0]), 503, "too many requests are with scripts already");
    check(record(3, &[0, 0, 0, 0, 3, 0, 0, 0]), 502, "it is no responder");
    check(
        [stdout("Content-Type: a/b\n"), record(3, &[0, 0, 0, 1, 0, 0, 0, 0])].concat(),
        502,
        "it has ended with status 1",
    );
}

#[test]
fn a_server_that_is_not_there_is_answered_502() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let (server, logged) = front(nobody, |it| it);
    assert_eq!(server.get("/script").status, 502);
    let said = logged.recv_timeout(PATIENCE).expect("it is said");
    assert!(said.contains(&nobody.port().to_string()), "{said}");
}

#[test]
fn a_client_that_goes_away_ends_the_connection_of_its_request() {
    let (says, hears) = channel();
    let address = responder(move |mut stream| {
        says.send(read(&mut stream).map(|request| request.aborted)).expect("the test waits");
        says.send(read(&mut stream).map(|request| request.aborted)).expect("the test waits");
    });
    let (server, _) = front(address, |it| it.limits(Limits::default()));
    let mut client = server.connect();
    client.send(request("GET", "/script", ""));
    assert_eq!(hears.recv_timeout(PATIENCE), Ok(Some(false)), "it is asked");
    drop(client);
    assert_eq!(hears.recv_timeout(PATIENCE), Ok(Some(true)), "it is aborted");
    eventually(|| server.handle.thread_connections(0) == 0);
}

#[test]
fn a_client_that_reads_nothing_stops_the_server() {
    let (says, hears) = channel();
    let address = responder(move |mut stream| {
        read(&mut stream).expect("a request");
        stream.write_all(&stdout("Content-Type: a/b\n\n")).expect("it is read");
        stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let piece = record(6, &[b'y'; 60_000]);
        let written = (0..1000).take_while(|_| stream.write_all(&piece).is_ok()).count();
        says.send(written).expect("the test waits");
    });
    let (server, _) = front(address, |it| it.limits(Limits::default()));
    let mut client = server.connect();
    client.send(request("GET", "/script", ""));
    client.head();
    let written = hears.recv_timeout(PATIENCE).expect("it stops");
    assert!(written < 900, "{written} pieces were taken for a client that reads nothing");
}

/// Answers each request of a connection, and says which it was.
fn keeping(says: &Sender<(SocketAddr, bool)>, requests: usize) -> impl Fn(TcpStream) + Send + Sync + 'static {
    let says = std::sync::Mutex::new(says.clone());
    move |mut stream| {
        let peer = stream.peer_addr().expect("a peer");
        for _ in 0..requests {
            let Some(received) = read(&mut stream) else { return };
            says.lock().expect("no test panics here").send((peer, received.keeps)).expect("the test waits");
            stream.write_all(&answer()).expect("it is read");
        }
    }
}

#[test]
fn a_connection_that_is_kept_answers_again() {
    let (says, hears) = channel();
    let (server, _) = front(responder(keeping(&says, 100)), |it| it.keep(2));
    let ask = || {
        assert_eq!(server.get("/script").text(), "hello");
        hears.recv_timeout(PATIENCE).expect("a request")
    };
    let (first, keeps) = ask();
    assert!(keeps);
    assert_eq!(ask().0, first);
    // What cannot be sent twice does not go where the server may just be closing.
    assert_eq!(server.post("/script", b"content").text(), "hello");
    assert_ne!(hears.recv_timeout(PATIENCE).expect("a request").0, first);
}

#[test]
fn a_kept_connection_that_was_closed_meanwhile_is_replaced() {
    let (says, hears) = channel();
    let (server, _) = front(responder(keeping(&says, 1)), |it| it.keep(2));
    let mut peers = Vec::new();
    for _ in 0..20 {
        let answer = server.get("/script");
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        peers.push(hears.recv_timeout(PATIENCE).expect("a request").0);
    }
    peers.dedup();
    assert_eq!(peers.len(), 20);
}
