//! A tree that hangs, like a file system whose server is gone: only requests for it wait.

use crate::support::{date, read_all, request};
use lws_files::{
    Body, Content, Entry, Fault, Files, Lookup, Memory, Opened, Options, Piece, Pool, PoolOptions, Progress,
    ReadAt, Refusal, Response, Vfs, Wait,
};
use lws_proto::Time;
use lws_proto::http::Method;
use std::io;
use std::sync::{Arc, Condvar, Mutex, mpsc};
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

/// Hangs in `open` for names with `open` in them, and in reads for all others.
struct Hangs(Gate);

impl Vfs for Hangs {
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        if lookup.wait == Wait::Never {
            return Ok(Opened::WouldBlock);
        }
        if lookup.names.contains("open") {
            self.0.pass();
        }
        if lookup.names.contains("panic") {
            panic!("a tree with a fault");
        }
        let reader = Arc::new(Hangs(self.0.clone()));
        let content = Content::One(Piece::Reader { reader, offset: 0, len: 100_000 });
        Ok(Opened::File(Entry { content, ..Entry::of_bytes("") }))
    }
}

impl ReadAt for Hangs {
    fn read_at(&self, out: &mut [u8], _: u64, wait: Wait) -> io::Result<Progress> {
        if wait == Wait::Never {
            return Ok(Progress::WouldBlock);
        }
        self.0.pass();
        out.fill(b'x');
        Ok(Progress::Bytes(out.len()))
    }
}

#[test]
fn a_tree_that_hangs_keeps_only_those_waiting_who_ask_for_it() {
    let gate = Gate::default();
    let hanging = Files::new(Hangs(gate.clone()), Options::default());
    let other = Files::new(Memory::new().file("a", "a"), Options::default());
    let pool = Pool::new("disk", PoolOptions { threads_max: 2, queued_max: 4 });
    let (mailbox, letters) = mpsc::channel();
    let mut slowest = Duration::ZERO;
    let mut refused = 0;
    for n in 0..1000 {
        let turn = Instant::now();
        let path = format!("/open-{}", n % 50);
        let wanted = request(Method::Get, &path, &[]);
        assert!(hanging.find(&wanted, Time::ZERO, date()).is_none());
        let mailbox = mailbox.clone();
        let deliver = move |found| drop(mailbox.send(found).err());
        match hanging.fetch(&wanted, Time::ZERO, date(), &pool, deliver) {
            Ok(_) => {}
            Err(refusal) => {
                assert_eq!(refusal, Refusal::QueueFull);
                assert_eq!(Response::refused(&wanted, refusal).status.code(), 503);
                refused += 1;
            }
        }
        let wanted = request(Method::Get, "/a", &[]);
        assert!(other.find(&wanted, Time::ZERO, date()).is_some(), "what lies beside it is there at once");
        slowest = slowest.max(turn.elapsed());
    }
    assert!(letters.try_recv().is_err(), "nothing has come yet");
    // Two run and four wait; who wants the same as one of those waits with it.
    assert_eq!(refused, 1000 - 6 * 20);
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    gate.open();
    drop(mailbox);
    assert_eq!(letters.iter().count(), 120);
}

#[test]
fn a_body_that_hangs_goes_to_the_pool_and_comes_back() {
    let gate = Gate::default();
    let files = Files::new(Hangs(gate.clone()), Options::default());
    let pool = Pool::new("disk", PoolOptions::default());
    let (mailbox, letters) = mpsc::channel();
    let wanted = request(Method::Get, "/file", &[("Range", "bytes=10-99999")]);
    let deliver = move |found| drop(mailbox.send(found).err());
    files.fetch(&wanted, Time::ZERO, date(), &pool, deliver).expect("there is room");
    let found = letters.recv().expect("it comes");
    let mut body = files.respond(&wanted, &found, date(), &mut || 0).body;
    let mut out = [0; 4096];
    assert_eq!(body.read(&mut out).expect("it can be read"), Progress::WouldBlock);
    let (mailbox, letters) = mpsc::channel();
    body.fetch(pool.reserve().expect("there is room"), move |body: Option<Body>| {
        drop(mailbox.send(body).err())
    });
    assert!(letters.recv_timeout(Duration::from_millis(50)).is_err(), "it hangs");
    gate.open();
    let mut body = letters.recv().expect("it comes").expect("no panic");
    assert_eq!(body.len(), Some(99_990));
    assert_eq!(body.read(&mut out).expect("it can be read"), Progress::Bytes(4096));
    assert_eq!(read_all(body).expect("it can be read").len(), 99_990 - 4096);
}

#[test]
fn a_tree_that_panics_is_an_error_of_its_request() {
    let files = Files::new(Hangs(Gate::default()), Options::default());
    let pool = Pool::new("disk", PoolOptions::default());
    let (mailbox, letters) = mpsc::channel();
    let wanted = request(Method::Get, "/panic", &[]);
    let deliver = move |found| drop(mailbox.send(found).err());
    files.fetch(&wanted, Time::ZERO, date(), &pool, deliver).expect("there is room");
    let found = letters.recv().expect("it comes");
    assert_eq!(files.respond(&wanted, &found, date(), &mut || 0).status.code(), 500);
}
