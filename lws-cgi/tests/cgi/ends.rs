//! Every way in which a script, its client or its server can end: one outcome each, and nothing is left behind.

use crate::common::{Answer, Folder, Running, is_at_work, is_there, request, serve};
use lws_cgi::{Cgi, Limits};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use test_kit::{eventually, open_descriptors};

/// Deadlines that a test can wait for.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.head_timeout = Duration::from_millis(400);
    limits.time_max = Duration::from_millis(800);
    limits.term_grace = Duration::from_millis(100);
    limits.exit_grace = Duration::from_millis(100);
    limits
}

fn serve_with(program: PathBuf, limits: Limits) -> Running {
    serve(move |builder| {
        builder.route(Cgi::program(program).expect("the script").limits(limits).log(|_, _| {}).at("/script"))
    })
}

/// Writes its number, and goes on as `then` says.
fn numbered(folder: &Folder, then: &str) -> PathBuf {
    folder.shell("script", &format!("echo $$ > pid\n{then}"))
}

/// What the client sees of a script, which is gone then.
fn answer_of(then: &str, limits: Limits) -> Answer {
    let folder = Folder::new();
    let server = serve_with(numbered(&folder, then), limits);
    let answer = server.get("/script");
    let pid = folder.said("pid");
    eventually(|| !is_there(&pid));
    answer
}

const HEAD: &str = "printf 'Content-Type: a/b\\n\\n'";

#[test]
fn a_script_that_ends_or_stalls_anywhere_has_one_outcome() {
    let check = |then: String, status: u16, whole: bool| {
        let answer = answer_of(&then, limits());
        // A response that is cut before its head has left is a connection that is.
        let is_cut = answer.status == 0 && !answer.whole && !whole;
        assert!(is_cut || (answer.status, answer.whole) == (status, whole), "{then}: {answer:?}");
    };
    let stall = "exec sleep 1000";
    let deaf = "trap '' TERM; while :; do sleep 1; done";
    // Before its header.
    check("exit 0".into(), 502, true);
    check("exit 1".into(), 502, true);
    check("kill -KILL $$".into(), 502, true);
    check(stall.into(), 504, true);
    check(deaf.into(), 504, true);
    check(format!("exec 1>&-; {stall}"), 502, true);
    // Within it.
    for end in ["exit 0", "kill -KILL $$"] {
        check(format!("printf 'Content-Ty'; {end}"), 502, true);
    }
    check(format!("printf 'Content-Type: a/b\\n'; {stall}"), 504, true);
    // Behind it.
    check(format!("{HEAD}; exit 0"), 200, true);
    check(format!("{HEAD}; exit 1"), 200, true);
    check(format!("{HEAD}; kill -KILL $$"), 200, false);
    check(format!("{HEAD}; {stall}"), 200, false);
    // Within its content.
    check(format!("{HEAD}; printf content; exit 0"), 200, true);
    check(format!("{HEAD}; printf content; kill -SEGV $$"), 200, false);
    check(format!("{HEAD}; printf content; {stall}"), 200, false);
    check(format!("{HEAD}; printf content; {deaf}"), 200, false);
    check("printf 'Content-Type: a/b\\nContent-Length: 9\\n\\nshort'".into(), 200, false);
    check("printf 'Content-Type: a/b\\nTransfer-Encoding: chunked\\n\\n5\\r\\nhe'".into(), 200, false);
    check(
        format!(
            "printf 'Content-Type: a/b\\nTransfer-Encoding: chunked\\n\\n1\\r\\na\\r\\n'; sleep 0.1; echo bad; {stall}"
        ),
        200,
        false,
    );
    // Behind it.
    check(format!("{HEAD}; printf content; exec 1>&-; {stall}"), 200, true);
    check(format!("printf 'Content-Type: a/b\\nContent-Length: 5\\n\\nwhole'; {stall}"), 200, true);
}

#[test]
fn a_client_that_takes_its_time_uses_up_none_of_the_scripts() {
    let folder = Folder::new();
    let server = serve_with(numbered(&folder, &format!("cat > content; {HEAD}; cat content")), limits());
    let mut client = server.connect();
    client.send(request("POST", "/script", "Content-Length: 10\r\n") + "12345");
    folder.said("pid");
    // Longer than the script may take in all.
    std::thread::sleep(limits().time_max + limits().head_timeout);
    client.send("67890");
    let answer = Answer::parse(&client.rest());
    assert_eq!((answer.status, answer.text(), answer.whole), (200, "1234567890", true));
}

#[test]
fn a_script_that_does_not_take_what_its_client_has_sent_is_late() {
    let answer = answer_of_post("exec sleep 1000", &vec![b'x'; 1 << 20]);
    assert_eq!(answer.status, 504);
}

/// What the client sees of a script that is sent content, which is gone then.
fn answer_of_post(then: &str, content: &[u8]) -> Answer {
    let folder = Folder::new();
    let server = serve_with(numbered(&folder, then), limits());
    let mut client = server.connect();
    client.send(request("POST", "/script", &format!("Content-Length: {}\r\n", content.len())));
    let mut writer = client.0.try_clone().expect("a duplicate");
    // The server need not read all of it.
    let answer = std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut writer, content));
        Answer::parse(&client.rest())
    });
    let pid = folder.said("pid");
    eventually(|| !is_there(&pid));
    answer
}

#[test]
fn output_past_its_limit_is_cut() {
    let mut limits = limits();
    limits.output_bytes_max = Some(1000);
    for (octets, whole) in [(1000, true), (1001, false)] {
        let answer = answer_of(&format!("{HEAD}; sleep 0.1; head -c {octets} /dev/zero"), limits.clone());
        assert_eq!(answer.whole, whole, "{octets}");
    }
    let mut limits = Limits::default();
    limits.head_bytes_max = 100;
    let answer =
        answer_of("printf 'Content-Type: a/b\\nX: '; head -c 100 /dev/zero | tr '\\0' x; echo; echo", limits);
    assert_eq!(answer.status, 502);
}

#[test]
fn a_client_that_goes_away_takes_its_script_along() {
    for then in [
        "exec sleep 1000".to_owned(),
        "trap '' TERM; while :; do sleep 1; done".to_owned(),
        format!("{HEAD}; exec sleep 1000"),
        format!("{HEAD}; exec cat /dev/zero"),
        format!("{HEAD}; cat; exec sleep 1000"),
        "sleep 1000 & echo $! > grandchild; exec sleep 1000".to_owned(),
    ] {
        let folder = Folder::new();
        let mut limits = Limits::default();
        limits.term_grace = Duration::from_millis(100);
        let server = serve_with(numbered(&folder, &then), limits);
        // From here on the loop has all of its own descriptors.
        assert_eq!(server.get("/none").status, 404);
        eventually(|| server.handle.thread_connections(0) == 0);
        let descriptors = open_descriptors();
        let mut client = server.connect();
        // Content is missing, which some wait for.
        client.send(request("POST", "/script", "Content-Length: 10\r\n") + "12345");
        let pid = folder.said("pid");
        assert!(is_at_work(&pid), "{then}");
        if then.contains("grandchild") {
            folder.said("grandchild");
        }
        drop(client);
        eventually(|| !is_there(&pid));
        if then.contains("grandchild") {
            let grandchild = folder.said("grandchild");
            eventually(|| !is_at_work(&grandchild));
        }
        eventually(|| open_descriptors() <= descriptors);
    }
}

#[test]
fn a_script_that_has_answered_may_go_on_until_its_time_is_up() {
    let folder = Folder::new();
    let work = format!("{HEAD}; exec 1>&-; sleep 0.4; echo done > done");
    let server = serve_with(numbered(&folder, &work), limits());
    let started = Instant::now();
    assert!(server.get("/script").whole);
    assert!(started.elapsed() < Duration::from_millis(390), "the client need not wait");
    assert_eq!(folder.said("done"), "done");
}

#[test]
fn what_a_script_leaves_behind_ends_with_it() {
    let folder = Folder::new();
    let leaves = format!("{HEAD}; sleep 1000 & echo $! > sleeper; printf content");
    let server = serve_with(numbered(&folder, &leaves), limits());
    let answer = server.get("/script");
    assert_eq!((answer.text(), answer.whole), ("content", true));
    let sleeper = folder.said("sleeper");
    eventually(|| !is_at_work(&sleeper));
}

#[test]
fn more_scripts_than_there_may_be_are_refused() {
    let folder = Folder::new();
    let mut limits = limits();
    limits.running_max = 2;
    limits.head_timeout = Duration::from_secs(20);
    limits.time_max = Duration::from_secs(20);
    let wait =
        "case $QUERY_STRING in stay) echo . > $$.here; sleep 1000;; esac; printf 'Content-Type: a/b\\n\\nok'";
    let server = serve_with(numbered(&folder, wait), limits);
    let stay = || {
        let mut peer = server.connect();
        peer.send(request("GET", "/script?stay", ""));
        peer
    };
    let at_work = || {
        let names = std::fs::read_dir(&folder.0).expect("the folder").flatten();
        names.filter(|name| name.file_name().as_encoded_bytes().ends_with(b".here")).count()
    };
    let (first, _second) = (stay(), stay());
    eventually(|| at_work() == 2);
    let refused = server.get("/script");
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")));
    drop(first);
    eventually(|| server.get("/script").status == 200);
}

#[test]
fn a_server_that_stops_leaves_no_script_behind() {
    let folder = Folder::new();
    let stubborn = numbered(&folder, "trap '' TERM; while :; do sleep 1; done");
    let server = serve_with(stubborn, Limits::default());
    let mut client = server.connect();
    client.send(request("GET", "/script", ""));
    let pid = folder.said("pid");
    server.stop();
    eventually(|| !is_there(&pid));
}

#[test]
fn a_server_that_drains_lets_a_script_finish() {
    let folder = Folder::new();
    let server = serve_with(numbered(&folder, &format!("sleep 0.2; {HEAD}; printf done")), limits());
    let mut client = server.connect();
    client.send(request("GET", "/script", ""));
    folder.said("pid");
    server.handle.drain();
    let answer = Answer::parse(&client.rest());
    assert_eq!((answer.text(), answer.whole), ("done", true));
}

#[test]
fn children_of_the_embedding_program_stay_its_own() {
    let folder = Folder::new();
    let server = serve_with(numbered(&folder, HEAD), limits());
    let mut mine = Command::new("/bin/sh").args(["-c", "exit 9"]).spawn().expect("a shell starts");
    for _ in 0..5 {
        assert_eq!(server.get("/script").status, 200);
    }
    assert_eq!(mine.wait().expect("it is still mine").code(), Some(9));
}

#[test]
fn no_descriptor_and_no_process_is_left_after_many_requests() {
    let folder = Folder::new();
    let server = serve_with(numbered(&folder, &format!("{HEAD}; cat")), limits());
    assert_eq!(server.post("/script", b"first").text(), "first");
    let quiet = || server.handle.thread_connections(0) == 0;
    eventually(quiet);
    let descriptors = open_descriptors();
    for _ in 0..50 {
        assert_eq!(server.post("/script", b"content").text(), "content");
    }
    eventually(quiet);
    eventually(|| open_descriptors() <= descriptors);
    let pid = folder.said("pid");
    eventually(|| !is_there(&pid));
}
