//! The program as its user meets it: arguments, the line it greets with, what it serves, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;
use test_kit::free_port;

const PATIENCE: Duration = Duration::from_secs(20);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lwsws"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program runs")
}

/// The program while it serves. Dropping it kills it.
struct Serving {
    child: Child,
    out: BufReader<ChildStdout>,
    port: u16,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments)
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut out = BufReader::new(child.stdout.take().expect("its output is ours"));
        let mut greeting = String::new();
        out.read_line(&mut greeting).expect("it greets");
        let (what, port) = greeting.trim_end().rsplit_once(':').expect("the greeting ends with the port");
        let begin = format!("lwsws {} serving ", env!("CARGO_PKG_VERSION"));
        assert!(what.starts_with(&begin) && what.ends_with(" on http://127.0.0.1"), "{greeting}");
        assert_eq!(what.contains(" with 3 threads"), arguments.contains(&"3"), "{greeting}");
        let port = port.parse().expect("a port");
        Self { child, out, port }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
        stream
    }

    /// What is answered to `octets`, up to the end.
    fn ask(&self, octets: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(octets.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and ends");
        answer
    }

    fn get(&self, target: &str) -> String {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// An open WebSocket.
    fn open(&self, target: &str, protocol: &str) -> TcpStream {
        let mut stream = self.connect();
        let offer = if protocol.is_empty() {
            String::new()
        } else {
            format!("Sec-WebSocket-Protocol: {protocol}\r\n")
        };
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it answers");
            head.extend(byte);
        }
        let head = String::from_utf8(head).expect("ASCII");
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(&offer), "{head}");
        stream
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Looks at the names of its threads.
    fn has_loops(&self, loops: &[&str]) {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("this is Linux");
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
        let mut names: Vec<_> =
            tasks.flatten().filter_map(name).map(|name| name.trim_end().to_owned()).collect();
        // The program itself, its log, and what waits for signals, reloads and upgrades have the others.
        assert_eq!(names.len(), loops.len() + 5, "{names:?}");
        names.retain(|name| name.starts_with("loop-"));
        names.sort_unstable();
        assert_eq!(names, loops);
    }

    fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next unmasked frame: opcode and payload.
fn frame(stream: &mut TcpStream) -> (u8, String) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame comes");
    let mut len = usize::from(head[1]);
    if len >= 126 {
        let mut long = vec![0; if len == 126 { 2 } else { 8 }];
        stream.read_exact(&mut long).expect("its length comes");
        len = long.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    }
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).expect("its payload comes");
    (head[0] & 0xf, String::from_utf8_lossy(&payload).into_owned())
}

fn send_text(stream: &mut TcpStream, text: &str) {
    let len = u8::try_from(text.len()).ok().filter(|len| *len < 126).expect("a short text");
    let frame = [&[0x81, 0x80 | len, 0, 0, 0, 0], text.as_bytes()].concat();
    stream.write_all(&frame).expect("it reads");
}

#[test]
fn help_and_version_are_what_was_asked_for() {
    let help = run(&["--help"]);
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(help.status.success() && help.stderr.is_empty());
    for part in [
        "Usage: lwsws [OPTIONS] [DIR]",
        "--port",
        "--address",
        "--unix",
        "--threads",
        "7681",
        "/echo",
        "SIGTERM",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let version = run(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&version.stdout), concat!("lwsws ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_wrong_argument_is_named_in_one_line() {
    for (arguments, part) in [
        (&["--no-such-option"][..], "--no-such-option"),
        (&["--port", "65536"], "65536"),
        (&["--port", "many"], "many"),
        (&["--address", "not an address"], "not an address"),
        (&["--max-connections", "-1"], "-1"),
        (&["--threads", "many"], "many"),
        (&["/no/such/directory"], "/no/such/directory"),
        (&["/dev/null"], "/dev/null"),
        (&["one", "two"], "two"),
        (&["--unix", "x", "--port", "1"], "--unix"),
        (&["--tls-cert", "x"], "required arguments were not provided: --tls-key <FILE>"),
        (&["--tls-key", "x"], "required arguments were not provided: --tls-cert <FILE>"),
        (&["--cache", "for ever"], "--cache"),
        (&["--zip", "x", "/"], "--zip"),
        (&["--tls-self-signed", "--tls-cert", "x", "--tls-key", "x"], "--tls-self-signed"),
    ] {
        let output = run(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text.lines().count() == 1 && text.starts_with("lwsws: ") && text.contains(part), "{text}");
    }
}

#[test]
fn a_certificate_that_cannot_be_read_is_named_in_one_line() {
    for (file, part) in
        [("/no/such/file", "/no/such/file: No such file"), ("/dev/null", "/dev/null: there is no")]
    {
        let output = run(&["--port", "0", "--tls-cert", file, "--tls-key", file]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(text.lines().count() == 1 && text.contains(part), "{text}");
    }
}

#[test]
fn a_certificate_that_is_not_good_today_is_served_with_a_word_about_it() {
    // A port that somebody else has ends the program right behind it.
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = holder.local_addr().expect("it has an address").port().to_string();
    let file = std::env::temp_dir().join(format!("lwsws-times-{}.pem", std::process::id()));
    let path = file.to_str().expect("UTF-8");
    for (first, last, part) in [
        (2001, 2002, Some("lwsws: the certificate of CN=times has expired ")),
        (2001, 2999, None),
        (2998, 2999, Some("lwsws: the certificate of CN=times is not valid yet, but in ")),
    ] {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "times");
        params.not_before = rcgen::date_time_ymd(first, 1, 1);
        params.not_after = rcgen::date_time_ymd(last, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(&file, certificate.pem() + &key.serialize_pem()).expect("a file");
        let output = run(&["--port", &port, "--quiet", "--tls-cert", path, "--tls-key", path]);
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1 + usize::from(part.is_some()), "{text}");
        assert!(part.is_none_or(|part| lines[0].starts_with(part) && lines[0].contains(" days")), "{text}");
    }
    std::fs::remove_file(&file).expect("a file");
}

#[test]
fn a_busy_port_is_named_in_one_line() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = holder.local_addr().expect("it has an address").port().to_string();
    let output = run(&["--port", &port]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.lines().count() == 1 && text.contains(&format!("127.0.0.1:{port}: ")), "{text}");
}

#[test]
fn the_demo_is_served_without_a_directory_and_each_request_is_a_line() {
    let mut server = Serving::start(&[]);
    for (target, part) in [
        ("/hello", "Content-Type: text/plain\r\n"),
        ("/hello", "\r\nContent-Length: 13\r\n"),
        ("/hello", "\r\n\r\nHello, world!"),
        ("/", "Content-Type: text/html; charset=utf-8\r\n"),
        ("/demo.js", "Content-Type: text/javascript; charset=utf-8\r\n"),
        ("/favicon.svg", "Content-Type: image/svg+xml\r\n"),
    ] {
        let answer = server.get(target);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(part), "{target}: {answer}");
        let mut line = String::new();
        server.out.read_line(&mut line).expect("a line");
        assert!(line.contains(&format!("\"GET {target} HTTP/1.1\" 200 ")), "{line}");
    }
}

#[test]
fn the_demo_sends_back_what_is_posted() {
    let server = Serving::start(&[]);
    let post = "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/x\r\n";
    let answer = server.ask(&format!("{post}Content-Length: 5\r\n\r\nhello"));
    assert!(answer.contains("Content-Type: text/x\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
    let answer =
        server.ask(&format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"));
    assert!(answer.contains("Transfer-Encoding: chunked\r\n") && answer.ends_with("0\r\n\r\n"), "{answer}");
    let answer = server.ask(&format!("{post}Content-Length: 0\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    let mut echo = server.open("/echo", "");
    send_text(&mut echo, "again");
    assert_eq!(frame(&mut echo), (1, "again".into()));
}

#[test]
fn a_peer_that_writes_all_of_a_message_before_it_reads_gets_it_back() {
    const BYTES: usize = 24 << 20;
    let server = Serving::start(&[]);
    let mut echo = server.open("/echo", "");
    let mut message = vec![0x82, 0xff];
    message.extend((BYTES as u64).to_be_bytes());
    message.extend([0; 4]);
    message.resize(message.len() + BYTES, 7);
    echo.write_all(&message).expect("it takes it all");
    let mut received = 0;
    while received < BYTES {
        let (_, part) = frame(&mut echo);
        received += part.len();
    }
    assert_eq!(received, BYTES);
}

#[test]
fn the_counter_counts_and_starts_again_on_request() {
    let server = Serving::start(&[]);
    let mut counter = server.open("/demo/counter", "lws-counter");
    for number in 0..3 {
        assert_eq!(frame(&mut counter), (1, number.to_string()));
    }
    send_text(&mut counter, "reset");
    // Numbers that were on their way may come first.
    while frame(&mut counter).1 != "0" {}
    assert_eq!(frame(&mut counter), (1, "1".into()));
}

#[test]
fn the_board_is_shared_kept_for_later_and_cleared() {
    the_board_is_shared(&Serving::start(&[]));
}

#[test]
fn the_board_is_the_same_on_all_threads() {
    the_board_is_shared(&Serving::start(&["--threads", "3"]));
}

fn the_board_is_shared(server: &Serving) {
    let mut first = server.open("/demo/mirror", "lws-mirror");
    let mut second = server.open("/demo/mirror", "lws-mirror");
    send_text(&mut first, "d #aabbcc 1 2 3 4\nnonsense\nd #000000 5 6 7 8");
    let drawn = "d #aabbcc 1 2 3 4\nd #000000 5 6 7 8";
    assert_eq!(frame(&mut first), (1, drawn.into()));
    assert_eq!(frame(&mut second), (1, drawn.into()));
    let mut late = server.open("/demo/mirror", "");
    assert_eq!(frame(&mut late), (1, drawn.into()));
    send_text(&mut late, "c");
    for peer in [&mut first, &mut second, &mut late] {
        assert_eq!(frame(peer), (1, "c".into()));
    }
}

#[test]
fn the_status_tells_what_is_counted() {
    let server = Serving::start(&[]);
    let mut status = server.open("/demo/status", "lws-status");
    let (opcode, text) = frame(&mut status);
    assert_eq!(opcode, 1);
    for part in [
        "\"version\": \"",
        "\"uptime_s\": 0",
        "\"connections\": 1",
        "\"websockets\": 1",
        "\"requests\": 1",
        "\"bytes_in\": ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(frame(&mut status).1.starts_with('{'));
}

#[test]
fn a_signal_drains_and_ends_well() {
    for signal in ["TERM", "INT"] {
        let server = Serving::start(&[]);
        let mut echo = server.open("/echo", "");
        server.signal(signal);
        assert_eq!(frame(&mut echo), (8, "\u{3}\u{fffd}".into()), "1001");
        echo.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).expect("it reads");
        assert_eq!(server.wait(), Some(0), "{signal}");
    }
}

#[test]
fn signals_that_mean_nothing_do_nothing() {
    let server = Serving::start(&[]);
    for signal in ["HUP", "USR1", "WINCH", "HUP"] {
        server.signal(signal);
        assert!(server.get("/hello").ends_with("Hello, world!"), "{signal}");
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn pages_of_others_reach_neither_the_demo_nor_the_echoes() {
    let server = Serving::start(&["--host", "lan.example", "--origin", "https://front.example"]);
    let port = server.port;
    let status = |request: &str| {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("it answers");
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    let opening = |target: &str, host: &str, origin: &str| {
        status(&format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{origin}\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ))
    };
    let host = format!("localhost:{port}");
    for target in ["/echo", "/demo/mirror", "/demo/counter", "/demo/status"] {
        assert_eq!(opening(target, &host, ""), "101", "{target}");
        assert_eq!(opening(target, &host, &format!("Origin: http://{host}\r\n")), "101", "{target}");
        assert_eq!(opening(target, &host, "Origin: https://front.example\r\n"), "101", "{target}");
        assert_eq!(opening(target, &host, "Origin: http://evil.example\r\n"), "403", "{target}");
        assert_eq!(opening(target, "evil.example", ""), "421", "{target}");
        assert_eq!(opening(target, "lan.example", ""), "101", "{target}");
    }
    let post =
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nOrigin: http://evil.example\r\n\r\n";
    assert_eq!(status(post), "403");
    let open = Serving::start(&["--any-host", "--any-origin"]);
    let post = post.replace("localhost", "evil.example").replace("Content", "Connection: close\r\nContent");
    assert!(open.ask(&post).starts_with("HTTP/1.1 200 "));
}

#[test]
fn http_2_by_upgrade_is_off_unless_it_is_asked_for() {
    let asks = "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n";
    for (arguments, status) in [(&[][..], "200"), (&["--upgrade-h2c"], "101")] {
        let server = Serving::start(arguments);
        let mut stream = server.connect();
        stream.write_all(asks.as_bytes()).expect("it reads");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("it answers");
        assert_eq!(String::from_utf8_lossy(&head[9..]), status, "{arguments:?}");
    }
}

#[test]
fn the_secrets_of_tls_are_written_only_where_the_option_says() {
    // A port that somebody else has ends the program right behind it.
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = holder.local_addr().expect("it has an address").port().to_string();
    let named = std::env::temp_dir().join(format!("lwsws-secrets-{}", std::process::id()));
    let path = named.to_str().expect("UTF-8");
    let started = |more: &[&str]| {
        let arguments = [&["--port", &port, "--tls-self-signed"][..], more].concat();
        let output = command(&arguments).env("SSLKEYLOGFILE", path).output().expect("the program runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(started(&[]).lines().count(), 1);
    assert!(!named.exists(), "the environment alone says nothing");
    let told = started(&["--tls-key-log", path]);
    assert!(
        told.starts_with("lwsws: the secrets of all TLS sessions go to ") && told.contains(path),
        "{told}"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&named).expect("it is made").permissions(),
    );
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    std::fs::remove_file(&named).expect("it is there");
    let told = started(&["--tls-key-log", "/no/such/directory/file"]);
    assert!(told.contains("/no/such/directory/file: "), "{told}");
}

#[test]
fn the_certificate_of_an_authority_is_refused_with_what_to_do() {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let file = std::env::temp_dir().join(format!("lwsws-authority-{}.pem", std::process::id()));
    std::fs::write(&file, certificate.pem() + &key.serialize_pem()).expect("a file");
    let path = file.to_str().expect("UTF-8");
    let output = run(&["--port", "0", "--tls-cert", path, "--tls-key", path]);
    std::fs::remove_file(&file).expect("a file");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for part in [path, "certificate authority (CA:TRUE)", "basicConstraints=critical,CA:FALSE"] {
        assert!(text.lines().count() == 1 && text.contains(part), "{text}");
    }
}

#[test]
fn it_has_as_many_threads_as_requested_and_ends_them_all() {
    for arguments in [&["--threads", "3"][..], &["--threads", "3", "--reuse-port"]] {
        let server = Serving::start(arguments);
        let mut echoes: Vec<_> = (0..12).map(|_| server.open("/echo", "")).collect();
        // The first thread has accepted them all, which it does when the others have begun.
        if arguments.len() == 2 {
            server.has_loops(&["loop-1", "loop-2"]);
        }
        server.signal("TERM");
        for echo in &mut echoes {
            assert_eq!(frame(echo).0, 8);
            echo.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).expect("it reads");
        }
        assert_eq!(server.wait(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Serving::start(&["--drain-timeout", "600"]);
    let mut echo = server.open("/echo", "");
    server.signal("TERM");
    assert_eq!(frame(&mut echo).0, 8);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(1));
}

#[test]
fn the_access_log_is_a_file_that_is_opened_again_when_it_was_moved_away() {
    let folder = std::env::temp_dir().join(format!("lwsws-access-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (log, moved) = (folder.join("log"), folder.join("log.1"));
    let port = free_port();
    let mut child = command(&["--port", &port.to_string(), "--access-log", &log.display().to_string()])
        .spawn()
        .expect("the program starts");
    let within = |path: &std::path::Path, wanted: &str| {
        wait_until(|| std::fs::read_to_string(path).is_ok_and(|text| text.contains(wanted)));
    };
    within(&log, " serving ");
    get_from(port, "/one");
    within(&log, "GET /one ");
    std::fs::rename(&log, &moved).expect("it is there");
    let sent = Command::new("kill").args(["-s", "USR1", &child.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
    wait_until(|| log.exists());
    get_from(port, "/two");
    within(&log, "GET /two ");
    assert!(!std::fs::read_to_string(&moved).expect("text").contains("/two"));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    std::fs::remove_dir_all(folder).expect("it was there");
}

#[test]
fn a_log_that_cannot_be_opened_stops_the_start_with_its_name() {
    let output = run(&["--port", "0", "--access-log", "/nowhere/log"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "lwsws: the log /nowhere/log: No such file or directory (os error 2)\n");
}

fn get_from(port: u16, target: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    stream.read_to_end(&mut Vec::new()).expect("it answers and ends");
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !done() {
        assert!(std::time::Instant::now() < end, "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_turn_may_be_short_or_without_a_bound() {
    for micros in ["0", "1"] {
        let serving = Serving::start(&["--turn-time", micros]);
        assert!(serving.get("/hello").ends_with("Hello, world!"));
    }
}

#[cfg(feature = "tracing")]
#[test]
fn spans_are_written_to_standard_error_where_they_are_asked_for() {
    let mut child = command(&["--trace", "lws_server::request=info", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let out = BufReader::new(child.stdout.take().expect("its output is ours"));
    let mut spans = BufReader::new(child.stderr.take().expect("its output is ours"));
    let mut server = Serving { child, out, port: 0 };
    let mut greeting = String::new();
    server.out.read_line(&mut greeting).expect("it greets");
    server.port =
        greeting.trim_end().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    server.ask(&format!(
        "GET /hello HTTP/1.1\r\nHost: localhost\r\ntraceparent: {trace}\r\nConnection: close\r\n\r\n"
    ));
    let mut line = String::new();
    spans.read_line(&mut line).expect("a line");
    let ends = ["INFO request{", "uri=/hello host=localhost", trace, "status=200", "request ended"];
    assert!(ends.iter().all(|part| line.contains(part)), "{line}");
    let wrong = run(&["--trace", "lws_server=loud"]);
    let text = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && text.contains("'--trace <FILTER>'"), "{text}");
}
