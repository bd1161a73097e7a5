//! The program on io_uring, where that may be used and where it may not.
#![cfg(feature = "uring")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Runs a program with a filter that answers one system call with an error, as those of containers do: arguments are the number of the
/// call, the error, and the program with its arguments.
const FILTER: &str = r"
import ctypes, os, struct, sys
call, error = int(sys.argv[1]), int(sys.argv[2])
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
steps = [(LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, call), (RETURN, 0, 0, 0x00050000 | error), (RETURN, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
assert libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
assert libc.prctl(SECCOMP, FILTER, program, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[3], sys.argv[3:])
";

/// Both have the same number on every processor.
const SETUP: &str = "425";
const ENTER: &str = "426";
const EPERM: &str = "1";
const ENOSYS: &str = "38";

/// The program while it serves. Dropping it kills it.
struct Serving {
    child: Child,
    /// What its log said before it greeted.
    log: String,
    port: u16,
}

impl Serving {
    fn start(mut command: Command) -> Self {
        command.args(["--loop", "uring", "--threads", "2", "--port", "0"]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("its output is ours"));
        let mut serving = Self { child, log: String::new(), port: 0 };
        while serving.port == 0 {
            let mut line = String::new();
            assert!(
                out.read_line(&mut line).expect("text") > 0,
                "it ends without a greeting: {}",
                serving.log
            );
            let address = line.trim_end().rsplit_once(':').filter(|_| line.contains(" serving "));
            match address.and_then(|(_, port)| port.parse().ok()) {
                Some(port) => serving.port = port,
                None => serving.log.push_str(&line),
            }
        }
        serving
    }

    fn get(&self, target: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout is set");
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and ends");
        answer
    }

    /// The number of rings that it has.
    fn rings(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("its descriptors");
        let targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter(|target| target.to_string_lossy().contains("io_uring")).count()
    }

    /// Asks it to end. Returns whether it did so in good order, and what it has written to its standard error.
    fn end(mut self) -> (bool, String) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill(1)").success());
        let mut errors = String::new();
        self.child.stderr.take().expect("it is ours").read_to_string(&mut errors).expect("text");
        (self.child.wait().expect("it ends").success(), errors)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_thread_has_a_ring_where_the_system_allows_it() {
    let serving = Serving::start(Command::new(env!("CARGO_BIN_EXE_lwsws")));
    for _ in 0..8 {
        let answer = serving.get("/hello");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("Hello, world!"), "{answer}");
    }
    assert_eq!((serving.rings(), &serving.log[..]), (2, ""));
    assert_eq!(serving.end(), (true, String::new()));
}

#[test]
fn where_io_uring_is_forbidden_the_built_in_loop_serves_and_a_line_says_why() {
    let check = |call: &str, error: &str, reason: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", FILTER, call, error, env!("CARGO_BIN_EXE_lwsws")]);
        let serving = Serving::start(command);
        let answer = serving.get("/hello");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{call}, {error}: {answer}");
        assert_eq!(serving.rings(), 0, "{call}, {error}");
        let log = serving.log.clone();
        let (ended, errors) = serving.end();
        assert!(ended, "{call}, {error}: {errors}");
        let begin = format!("lwsws: the loop uring cannot be had: {reason}");
        for said in [log, errors] {
            assert!(said.starts_with(&begin), "{call}, {error}: {said}");
            assert!(said.trim_end().ends_with("; poll takes its place"), "{call}, {error}: {said}");
            assert_eq!(said.lines().count(), 1, "{call}, {error}: {said}");
        }
    };
    check(SETUP, EPERM, "io_uring is forbidden here");
    check(SETUP, ENOSYS, "this system has no io_uring");
    check(ENTER, EPERM, "io_uring is forbidden here");
}

#[test]
fn the_help_lists_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_lwsws")).arg("--help").output().expect("it runs");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(help.contains("Loops that are built in: poll, uring"), "{help}");
}
