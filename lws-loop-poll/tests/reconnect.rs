//! The example that stays connected, against a peer that goes and comes.

#[path = "../examples/reconnect.rs"]
mod example;

use lws_loop_external::{Backoff, RetryPolicy};
use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

struct Sender(mpsc::Sender<Vec<u8>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_client_comes_back_until_its_policy_gives_up() {
    let _: fn() -> io::Result<()> = example::main;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let (sender, received) = mpsc::channel();
    let policy = RetryPolicy {
        backoff: Backoff::Table([1, 2, 3].map(Duration::from_millis).to_vec().into()),
        tries_max: Some(3),
        reset_after: Duration::ZERO,
        ..RetryPolicy::default()
    };
    let client = thread::spawn(move || example::run(("127.0.0.1", port).into(), policy, Sender(sender)));
    let speak = |word: &str| {
        let (mut peer, _) = listener.accept().expect("a connection");
        peer.write_all(word.as_bytes()).expect("room");
        peer
    };
    drop(speak("one\n"));
    drop(speak("two\n"));
    let last = speak("three\n");
    // The listener is closed before the peer goes, so that the next connection is refused.
    drop(listener);
    drop(last);
    client.join().expect("no panic").expect("a run");
    let text = String::from_utf8(received.into_iter().flatten().collect()).expect("text");
    let lines: Vec<_> = text.lines().collect();
    let connected = format!("connected to 127.0.0.1:{port}");
    assert_eq!(lines[..6], [&connected, "one", &connected, "two", &connected, "three"], "{text}");
    let failed = lines[6..].iter().filter(|line| line.contains("refused")).count();
    assert_eq!((failed, lines.len()), (2, 8), "closed, and refused twice: {text}");
}
