//! What a script is asked, and what its answer becomes.

use crate::common::{Folder, Running, request, serve};
use lws_cgi::{Cgi, Limits, WithoutLength};
use lws_server::http::Response;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::channel;

/// A server of one script.
fn script(program: PathBuf) -> Running {
    with(program, |cgi| cgi)
}

fn with(program: PathBuf, change: impl FnOnce(Cgi) -> Cgi + Send + 'static) -> Running {
    serve(move |builder| builder.route(change(Cgi::program(program).expect("the script")).at("/script")))
}

#[test]
fn the_environment_is_what_the_request_says_and_nothing_else() {
    let folder = Folder::new();
    let server = with(folder.shell("env", "echo 'Content-Type: text/plain'; echo; /usr/bin/env"), |cgi| {
        cgi.variable("MINE", "yes")
    });
    let answer = server.request("GET", "/script/a%20b/c?x=%20&y", "X-Test: 1\r\nProxy: evil\r\n");
    assert_eq!(answer.status, 200);
    let value = |name: &str| answer.text().lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    for (name, wanted) in [
        ("SCRIPT_NAME", Some("/script")),
        ("PATH_INFO", Some("/a b/c")),
        ("QUERY_STRING", Some("x=%20&y")),
        ("REQUEST_URI", Some("/script/a%20b/c?x=%20&y")),
        ("REMOTE_ADDR", Some("127.0.0.1")),
        ("SERVER_ADDR", Some("127.0.0.1")),
        ("HTTP_X_TEST", Some("1")),
        ("HTTP_PROXY", None),
        ("MINE", Some("yes")),
        ("CONTENT_LENGTH", None),
        // What the tests have, a script has not.
        ("CARGO_MANIFEST_DIR", None),
        ("HOME", None),
    ] {
        assert_eq!(value(name), wanted, "{name}");
    }
    let port = server.address.port().to_string();
    assert_eq!(value("SERVER_PORT"), Some(port.as_str()));
    let directory = std::fs::canonicalize(&folder.0).expect("it is there");
    assert_eq!(value("PWD").map(PathBuf::from), Some(directory));
}

#[test]
fn a_query_is_never_an_argument() {
    let folder = Folder::new();
    let server = script(folder.shell("count", "echo 'Content-Type: text/plain'; echo; echo \"$# $*\""));
    for target in ["/script?-s", "/script?a+b", "/script/-s?%AD+-d"] {
        assert_eq!(server.get(target).text(), "0 \n", "{target}");
    }
}

#[test]
fn content_arrives_with_a_length_whatever_it_came_with() {
    let folder = Folder::new();
    let echo = "echo 'Content-Type: text/plain'; echo; echo \"$CONTENT_LENGTH\"; cat";
    let echo = folder.shell("echo", echo);
    let gathering = with(echo.clone(), |cgi| cgi.without_length(WithoutLength::Gather(8)));
    let streaming = with(echo.clone(), |cgi| cgi.without_length(WithoutLength::Stream));
    let refusing = with(echo, |cgi| cgi.without_length(WithoutLength::Refuse));
    for server in [&gathering, &streaming, &refusing] {
        assert_eq!(server.post("/script", b"hello").text(), "5\nhello");
        assert_eq!(server.post("/script", b"").text(), "0\n");
        assert_eq!(server.get("/script").text(), "\n");
    }
    let chunked = |content: &str| {
        let head = request("POST", "/script", "Transfer-Encoding: chunked\r\n");
        format!("{head}{:x}\r\n{content}\r\n0\r\n\r\n", content.len())
    };
    assert_eq!(gathering.ask(chunked("gathered")).text(), "8\ngathered");
    assert_eq!(gathering.ask(chunked("too long.")).status, 413);
    assert_eq!(streaming.ask(chunked("streamed")).text(), "\nstreamed");
    assert_eq!(refusing.ask(chunked("refused")).status, 411);
}

#[test]
fn both_directions_stream_and_neither_waits_for_the_other() {
    let folder = Folder::new();
    // Reads and writes in turn: where one side is buffered up to its end this never ends.
    let server = script(folder.shell("cat", "echo 'Content-Type: a/b'; echo; exec cat"));
    let mut peer = server.connect();
    let piece = [b'x'; 40_000];
    let pieces = 100;
    peer.send(request("POST", "/script", &format!("Content-Length: {}\r\n", piece.len() * pieces)));
    peer.head();
    let mut writer = peer.0.try_clone().expect("a duplicate");
    let writing = std::thread::spawn(move || {
        for _ in 0..pieces {
            writer.write_all(&piece).expect("the server reads");
        }
    });
    let mut octets = 0;
    let mut room = [0; 5_000];
    while octets < piece.len() * pieces {
        let len = peer.0.read(&mut room).expect("content comes");
        assert_ne!(len, 0, "the end after {octets} octets");
        // Sizes of chunks are none of it.
        octets += room[..len].iter().filter(|octet| **octet == b'x').count();
    }
    writing.join().expect("all was written");
}

#[test]
fn content_goes_on_to_a_script_that_takes_it_in_small_pieces() {
    let folder = Folder::new();
    // A pipe that has room for a page takes a page of what it is offered: the rest has to follow although nothing is written yet.
    let counts = "import os, time\nread = 0\nwhile piece := os.read(0, 4096):\n    read += len(piece)\n    \
                  if read < 80_000:\n        time.sleep(0.01)\n\
                  os.write(1, b'Content-Type: a/b\\n\\n%d' % read)";
    let server = script(folder.python("counts", counts));
    assert_eq!(server.post("/script", &[b'x'; 1_000_000]).text(), "1000000");
}

#[test]
fn a_client_that_reads_nothing_stops_the_script_and_not_the_server() {
    let folder = Folder::new();
    let script_text = "import os, sys\nos.write(1, b'Content-Type: a/b\\n\\n')\n\
                       for n in range(2000):\n    os.write(1, b'y' * 65536)\n    \
                       open('progress', 'w').write(str(n) + '\\n')";
    let server = script(folder.python("much", script_text));
    let mut slow = server.connect();
    slow.send(request("GET", "/script", ""));
    slow.head();
    let mut before = String::new();
    // Until it stands still: what is on its way fits into the buffers of two sockets and a pipe.
    test_kit::eventually(|| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let now = std::fs::read_to_string(folder.0.join("progress")).unwrap_or_default();
        let still = !now.is_empty() && now == before;
        before = now;
        still
    });
    let written: u32 = before.trim().parse().expect("a number");
    assert!(written < 1_900, "the script has written {written} pieces to a client that reads nothing");
    let rest = slow.rest();
    let content = rest.iter().filter(|octet| **octet == b'y').count();
    assert_eq!(content, 2000 * 65536);
}

#[test]
fn an_answer_is_what_its_header_says() {
    let folder = Folder::new();
    let check = |output: &str, status: u16, field: (&str, Option<&str>), content: &str| {
        let server = script(folder.shell("answer", &format!("printf '{output}'")));
        let answer = server.get("/script");
        assert_eq!((answer.status, answer.whole), (status, true), "{output:?}");
        assert_eq!(answer.field(field.0), field.1, "{output:?}");
        assert_eq!(answer.text(), content, "{output:?}");
    };
    let text = ("Content-Type", Some("text/plain"));
    check("Content-Type: text/plain\\n\\nhello", 200, text, "hello");
    check("Content-Type: text/plain\\r\\nContent-Length: 5\\r\\n\\r\\nhello", 200, text, "hello");
    check("Content-Type: text/plain\\nContent-Length: 5\\n\\nhello and more", 200, text, "hello");
    check("Status: 404 No\\nContent-Type: text/plain\\n\\nhello", 404, text, "hello");
    check("HTTP/1.0 404 No\\nContent-Type: text/plain\\n\\nhello", 404, text, "hello");
    check("Status: 204\\nContent-Length: 5\\n\\nhello", 204, ("Content-Length", None), "");
    check("Location: http://a.example/x\\n\\n", 302, ("Location", Some("http://a.example/x")), "");
    check("Status: 303\\nLocation: /x\\n\\n", 303, ("Location", Some("/x")), "");
    check(
        "Content-Type: text/plain\\nTransfer-Encoding: chunked\\n\\n5\\r\\nhello\\r\\n0\\r\\n\\r\\n",
        200,
        text,
        "hello",
    );
    check("Content-Type: a/b\\nConnection: X\\nKeep-Alive: 1\\n\\n", 200, ("Keep-Alive", None), "");
    let bad = ("Content-Type", Some("text/plain; charset=utf-8"));
    for output in
        ["", "hello", "hello\\n\\n", "X: y\\n\\n", "Status: 101\\n\\n", "Content-Type: a\\001b\\n\\n"]
    {
        check(output, 502, bad, "502 Bad Gateway\n");
    }
}

#[test]
fn a_script_may_refer_to_another_path_of_its_server() {
    let folder = Folder::new();
    let there = folder.shell(
        "script",
        "case $PATH_INFO in\n/circle) echo 'Location: /script/circle';;\n/file) echo 'Location: /text?x';;\n\
         /none) echo 'Location: /nowhere';;\n/two) echo 'Location: /script/file';;\n\
         /content) echo 'Location: /script/said';;\n\
         /said) echo 'Content-Type: a/b'; echo; echo \"$REQUEST_METHOD $CONTENT_LENGTH $HTTP_X\";;\nesac\necho",
    );
    let server = serve(move |builder| {
        builder
            .route(Cgi::program(there).expect("the script").at("/script"))
            .get("/text", |request| Response::text(format!("text {}", request.query().unwrap_or_default())))
    });
    let check = |target: &str, status: u16, content: &str| {
        let answer = server.request("GET", target, "X: y\r\n");
        assert_eq!((answer.status, answer.text()), (status, content), "{target}");
    };
    check("/script/file", 200, "text x");
    check("/script/two", 200, "text x");
    check("/script/none", 404, "404 Not Found\n");
    check("/script/circle", 500, "500 Internal Server Error\n");
    check("/script/content", 200, "GET  y\n\n");
    assert_eq!(server.post("/script/content", &[b'x'; 100_000]).text(), "GET  \n\n");
    let head = server.request("HEAD", "/script/file", "");
    assert_eq!((head.status, head.content.len()), (200, 0));
}

#[test]
fn the_answer_to_head_has_no_content() {
    let folder = Folder::new();
    let server = script(folder.shell("head", "printf 'Content-Type: a/b\\nContent-Length: 5\\n\\nhello'"));
    let answer = server.request("HEAD", "/script", "");
    assert_eq!((answer.status, answer.content.len()), (200, 0));
    assert_eq!(answer.field("Content-Length"), Some("5"));
}

#[test]
fn the_programs_of_a_folder_are_named_by_the_path() {
    let folder = Folder::new();
    folder.shell("one", "printf 'Content-Type: a/b\\n\\none %s %s' \"$SCRIPT_NAME\" \"$PATH_INFO\"");
    folder.shell("nph-two", "printf 'HTTP/1.1 200 OK\\r\\n\\r\\n'");
    std::fs::write(folder.0.join("data"), "no program").expect("a file");
    let path = folder.0.clone();
    let server = serve(move |builder| builder.route(Cgi::folder(path).expect("a folder").at("/cgi-bin/")));
    assert_eq!(server.get("/cgi-bin/one/x").text(), "one /cgi-bin/one /x");
    for (target, status) in [
        ("/cgi-bin/nph-two", 404),
        ("/cgi-bin/data", 403),
        ("/cgi-bin/none", 404),
        ("/cgi-bin/", 404),
        ("/cgi-bin/one/a%2Fb", 404),
    ] {
        assert_eq!(server.get(target).status, status, "{target}");
    }
}

#[test]
fn messages_are_logged_and_never_hold_a_script_up() {
    let folder = Folder::new();
    let text = "import sys\nsys.stderr.write('first\\n')\nsys.stderr.write('m' * (1 << 20))\n\
                sys.stderr.flush()\nprint('Content-Type: a/b')\nprint()\nprint('done')";
    let program = folder.python("talks", text);
    let (says, hears) = channel();
    let server = with(program, move |cgi| {
        let mut limits = Limits::default();
        limits.message_bytes_max = 100;
        cgi.limits(limits).log(move |_, notice| says.send(notice.to_string()).expect("the test waits"))
    });
    assert_eq!(server.get("/script").text(), "done\n");
    let logged: Vec<_> = (0..3).map(|_| hears.recv_timeout(test_kit::PATIENCE).expect("a message")).collect();
    assert_eq!(logged, ["first", &"m".repeat(94), "further messages are dropped"]);
}

#[test]
fn the_last_message_of_a_script_is_logged() {
    let folder = Folder::new();
    let program = folder.shell("last", "echo 'Content-Type: a/b'; echo; exec 1>&-; printf last >&2; exit 3");
    let (says, hears) = channel();
    let server = with(program, move |cgi| {
        cgi.log(move |_, notice| says.send(notice.to_string()).expect("the test waits"))
    });
    assert_eq!(server.get("/script").status, 200);
    let mut logged: Vec<_> =
        (0..2).map(|_| hears.recv_timeout(test_kit::PATIENCE).expect("a message")).collect();
    logged.sort();
    assert_eq!(logged, ["it has ended with status 3", "last"]);
}

#[test]
fn a_script_that_reads_nothing_answers_all_the_same() {
    let folder = Folder::new();
    let server = script(folder.shell("deaf", "printf 'Content-Type: a/b\\n\\ndone'"));
    assert_eq!(server.post("/script", &vec![b'x'; 1 << 20]).text(), "done");
}
