//! The examples as programs, with independent peers.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// An example, which is built with the tests.
fn example(name: &str) -> Command {
    Command::new(test_kit::example(name))
}

#[test]
fn lines_of_a_pipe_are_said_back_with_the_last_one_that_has_no_end() {
    let mut lines = example("lines");
    let mut lines = lines.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the example");
    let mut input = lines.stdin.take().expect("a pipe");
    let mut output = BufReader::new(lines.stdout.take().expect("a pipe"));
    let mut line = String::new();
    for word in ["one", "two"] {
        writeln!(input, "{word}").expect("room");
        line.clear();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line, format!("> {word}\n"));
    }
    // More than the pipes hold, so that the example has to wait for its output.
    let writing = std::thread::spawn(move || {
        for n in 0..50_000 {
            writeln!(input, "line {n}").expect("room in the end");
        }
        write!(input, "the end").expect("room");
    });
    let mut all = String::new();
    output.read_to_string(&mut all).expect("everything");
    writing.join().expect("no panic");
    let expected: String = (0..50_000).map(|n| format!("> line {n}\n")).collect();
    assert!(all == expected + "> the end", "{} bytes", all.len());
    assert!(lines.wait().expect("an exit").success());
}

#[test]
fn lines_of_a_terminal_are_said_back_until_it_hangs_up() {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let controller =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudo-terminal");
    grantpt(&controller).expect("a terminal of ours");
    unlockpt(&controller).expect("an unlocked terminal");
    let name = ptsname(&controller, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(&name, flags, Mode::empty()).expect("the other side");
    let mut modes = tcgetattr(&terminal).expect("its modes");
    modes.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &modes).expect("raw bytes");
    let output = terminal.try_clone().expect("a duplicate");
    let mut lines = example("lines");
    let mut lines =
        lines.stdin(Stdio::from(terminal)).stdout(Stdio::from(output)).spawn().expect("the example");
    let mut controller = std::fs::File::from(controller);
    controller.write_all(b"typed\n").expect("room");
    let mut said = [0; 8];
    controller.read_exact(&mut said).expect("the answer");
    assert_eq!(&said, b"> typed\n");
    drop(controller);
    assert!(lines.wait().expect("an exit").success());
}

#[test]
fn a_python_peer_gets_its_datagrams_back_over_ipv4_and_ipv6() {
    let peer = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/udp_peer.py");
    let mut python = Command::new("python3");
    let output = python.arg(peer).arg(example("udp_echo").get_program()).output().expect("python3");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("0 failed\n"), "{said}");
}
