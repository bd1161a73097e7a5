//! The examples as programs: a client talks to them while their own timer ticks and their own input is read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use test_kit::PATIENCE;

const BYTES: usize = 1 << 20;

/// An example that runs.
struct Example {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(test_kit::example(name))
            .arg("127.0.0.1:0")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let input = child.stdin.take();
        Self { child, input, lines }
    }

    /// The rest of the next line that begins with `start`.
    #[track_caller]
    fn line(&self, start: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("another line");
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Both calls fail only if the example has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends `bytes` and receives them again.
fn echo(client: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    thread::scope(|scope| {
        scope.spawn(|| { client }.write_all(bytes).expect("a peer that reads"));
        let mut echoed = vec![0; bytes.len()];
        { client }.read_exact(&mut echoed).expect("the echo");
        echoed
    })
}

fn check(name: &str, arguments: &[&str]) {
    let mut example = Example::start(name, arguments);
    let address = example.line("listening on ");
    let client = TcpStream::connect(&address).expect("a connection");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let bytes: Vec<u8> = (0..BYTES).map(|at| (at * 31 % 251) as u8).collect();
    for round in 1..=3_usize {
        assert!(echo(&client, &bytes) == bytes, "other bytes came back");
        let input = example.input.as_mut().expect("a pipe");
        input.write_all(&vec![b'x'; round]).expect("a reader");
        assert_eq!(example.line("own input: "), format!("{round} bytes"));
        example.line("tick");
    }
    drop(client);
    example.input = None;
    assert_eq!(example.line("own input: "), "0 bytes");
    let status = example.child.wait().expect("its end");
    assert!(status.success(), "{status}");
}

#[test]
fn poll_serves_and_the_program_goes_on() {
    check("on_poll", &[]);
}

#[cfg(target_os = "linux")]
#[test]
fn epoll_serves_in_each_of_its_ways_and_the_program_goes_on() {
    for trigger in ["level", "edge", "one-shot"] {
        check("on_epoll", &[trigger]);
    }
}

macro_rules! examples {
    ($($feature:literal $test:ident $name:literal $arguments:expr;)*) => {$(
        #[cfg(feature = $feature)]
        #[test]
        fn $test() {
            check($name, &$arguments);
        }
    )*};
}

examples! {
    "mio" mio_serves_and_the_program_goes_on "on_mio" [];
    "polling" polling_serves_and_the_program_goes_on "on_polling" [];
    "async-io" async_io_serves_and_the_program_goes_on "on_async_io" [];
    "tokio" tokio_serves_and_the_program_goes_on "on_tokio" [];
    "tokio" tokio_with_threads_serves_and_the_program_goes_on "on_tokio" ["multi"];
    "calloop" calloop_serves_and_the_program_goes_on "on_calloop" [];
    "glib" glib_serves_and_the_program_goes_on "on_glib" [];
    "libevent" libevent_serves_and_the_program_goes_on "on_libevent" [];
    "libev" libev_serves_and_the_program_goes_on "on_libev" [];
}
