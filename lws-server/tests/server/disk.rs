//! File systems that hang, and what goes on beside them.

use crate::common::{Answer, Peer, Running, serve};
use lws_server::files::{
    Content, Entry, Fault, Files, Lookup, Opened, Piece, PoolOptions, Progress, ReadAt, Vfs, Wait,
};
use lws_server::{Context, MessageKind, Payload, WebSocket, ws};
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Everything waits while it is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let (open, changed) = &*self.0;
        let _open = changed.wait_while(open.lock().expect("no panic"), |open| !*open).expect("no panic");
    }

    fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }
}

/// Opens after a wait what has `open` in its name, and reads all others after a wait from their middle on.
struct Hangs(Gate);

const LEN: u64 = 300_000;

fn octet(at: u64) -> u8 {
    (at >> 8) as u8
}

impl Vfs for Hangs {
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        if lookup.names.contains("open") {
            match lookup.wait {
                Wait::Never => return Ok(Opened::WouldBlock),
                Wait::Allowed => self.0.pass(),
            }
        }
        assert!(!lookup.names.contains("panic"), "a tree with a fault");
        let reader = Arc::new(Hangs(self.0.clone()));
        let content = Content::One(Piece::Reader { reader, offset: 0, len: LEN });
        Ok(Opened::File(Entry { content, ..Entry::of_bytes("") }))
    }
}

impl ReadAt for Hangs {
    fn read_at(&self, out: &mut [u8], at: u64, wait: Wait) -> io::Result<Progress> {
        if at >= LEN / 2 {
            match wait {
                Wait::Never => return Ok(Progress::WouldBlock),
                Wait::Allowed => self.0.pass(),
            }
        }
        for (at, out) in (at..).zip(&mut *out) {
            *out = octet(at);
        }
        Ok(Progress::Bytes(out.len()))
    }
}

struct Echo;

impl ws::Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: ws::Message<'_>) {
        if let Ok(permit) = stream.permit() {
            permit.message(MessageKind::Text, Payload::Copy(message.chunk), true).expect("it is open");
        }
    }
}

fn server(gate: &Gate, describe: impl FnOnce(Files) -> Files + Send + 'static) -> Running {
    let gate = gate.clone();
    serve(move |builder| {
        builder
            .mount("/slow", describe(Files::new(Hangs(gate))))
            .ws("/echo", |_| Echo)
            .disk(PoolOptions { threads_max: 2, queued_max: 8 })
    })
}

fn ask(server: &Running, target: &str) -> Peer {
    let mut peer = server.connect();
    peer.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    peer
}

#[test]
fn beside_a_file_system_that_hangs_all_else_goes_on_and_what_waits_comes_whole() {
    let gate = Gate::default();
    let server = server(&gate, |files| files);
    // Two are looked for, two are read, and the rest waits in the queue.
    let mut waiting: Vec<_> = (0..4).map(|n| ask(&server, &format!("/slow/open-{n}"))).collect();
    waiting.extend((0..4).map(|_| ask(&server, "/slow/read")));
    let (mut echo, opened) = server.open("/echo", "");
    assert_eq!(opened.status, 101);
    let start = Instant::now();
    for n in 0..200 {
        let text = format!("message {n}");
        echo.send_text(&text);
        assert_eq!(echo.text(), text);
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    gate.open();
    for (n, mut peer) in waiting.into_iter().enumerate() {
        let answer = Answer::parse(&peer.rest());
        assert_eq!((answer.status, answer.content.len() as u64), (200, LEN), "{n}");
        assert!((0..).zip(&answer.content).all(|(at, found)| *found == octet(at)), "{n}");
    }
}

#[test]
fn who_waits_too_long_is_answered_503_or_cut_off_and_so_is_who_finds_no_place() {
    let gate = Gate::default();
    let server = server(&gate, |files| files.disk_timeout(Duration::from_millis(200)));
    let answer = server.get("/slow/open");
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    let cut = server.get("/slow/read");
    assert_eq!((cut.status, cut.field("content-length")), (200, Some("300000")));
    assert!((cut.content.len() as u64) < LEN, "{}", cut.content.len());
    gate.open();
    assert_eq!(server.get("/slow/open").content.len() as u64, LEN);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let gate = Gate::default();
    let server = server(&gate, |files| files);
    let waiting: Vec<_> = (0..20).map(|n| ask(&server, &format!("/slow/open-{n}"))).collect();
    // Two are being looked up and eight wait: the others have been answered.
    gate.open();
    let statuses = waiting.into_iter().map(|mut peer| Answer::parse(&peer.rest()).status);
    assert!(statuses.filter(|status| *status == 200).count() >= 10);
}

#[test]
fn a_tree_that_panics_is_an_error_of_its_request() {
    let gate = Gate::default();
    let server = server(&gate, |files| files);
    gate.open();
    assert_eq!(server.get("/slow/open-panic").status, 500);
    assert_eq!(server.get("/slow/open").status, 200);
}
