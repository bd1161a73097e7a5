//! The example, as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where cargo puts the examples. It builds them before the tests run, but not when tests are chosen by name.
fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("this program");
    path.pop();
    path.pop();
    path.join("examples").join(name)
}

#[test]
fn a_program_embeds_an_echo_service_beside_what_it_has() {
    let mut program = Command::new(example("embed"))
        .arg("127.0.0.1:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example, which `cargo build -p lws-loop-uv --examples` builds");
    let mut lines = BufReader::new(program.stdout.take().expect("its output")).lines();
    let mut next = || lines.next().expect("a line").expect("a line");
    let listening = next();
    let address: SocketAddr =
        listening.strip_prefix("listening on ").expect("an address").parse().expect("an address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"hello").expect("it is taken");
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("it comes back");
    assert_eq!(back, *b"hello");
    let mut input = program.stdin.take().expect("its input");
    writeln!(input, "how much?").expect("it is taken");
    assert!(next().starts_with("5 bytes received, "));
    // It ends while bytes are in flight.
    drop(input);
    assert_eq!((next(), next()), ("let go".to_owned(), "closed: 0".to_owned()));
    assert!(program.wait().expect("an end").success());
    assert_eq!(stream.read(&mut back).expect("an end"), 0);
    drop(stream.shutdown(Shutdown::Both));
}

#[test]
fn a_server_serves_on_a_loop_of_its_own() {
    let mut program = Command::new(example("echo_uv"))
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example, which `cargo build -p lws-loop-uv --examples` builds");
    let mut listening = String::new();
    let mut output = BufReader::new(program.stdout.take().expect("its output"));
    output.read_line(&mut listening).expect("a line");
    let address = listening.trim().strip_prefix("listening on ").expect("an address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
            \x82\x85\0\0\0\0hello",
        )
        .expect("it is taken");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x82\x05hello") {
        let mut piece = [0; 1_024];
        let n = stream.read(&mut piece).expect("an answer");
        assert!(n > 0, "it ended after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..n]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    program.kill().expect("it runs");
    program.wait().expect("an end");
}
