//! The process that serves: in the background, with its number in a file, as the first of a namespace; what a kill leaves behind, and what the
//! system may refuse.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use test_kit::free_port;

const PATIENCE: Duration = Duration::from_secs(20);
/// A user, and a group, that nothing belongs to.
const NOBODY: u32 = 65_534;

/// A folder of its own, for the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lwsws-process-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn at(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that is not a child of this one. Dropping it kills it.
struct Stranger(String);

impl Stranger {
    /// The one whose number is in a file.
    fn of(pid_file: &str) -> Self {
        let text = fs::read_to_string(pid_file).expect("its number");
        Self(text.lines().next().expect("a line").to_owned())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.0]).status();
        assert!(sent.expect("kill is there").success(), "{name}");
    }

    fn has_ended(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        // Its files are open as long as one of its threads is there, whatever is said of the first.
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).map_or(0, |threads| threads.count());
        status.is_empty() || status.contains("State:\tZ") && threads <= 1
    }

    fn wait(&self) {
        eventually(|| self.has_ended());
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-s", "KILL", &self.0]).stderr(Stdio::null()).status();
    }
}

fn eventually(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lwsws(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lwsws"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    lwsws(arguments).output().expect("the program runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn answers(mut stream: impl Read + Write) -> bool {
    let mut answer = String::new();
    stream.write_all(REQUEST).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.ends_with("Hello, world!")
}

fn answers_at(port: u16) -> bool {
    connect(port).is_ok_and(answers)
}

#[test]
fn in_the_background_it_returns_when_it_serves_and_says_what_is_wrong_otherwise() {
    let folder = Folder::new("daemon");
    let (pid_file, port) = (folder.at("pid"), free_port().to_string());
    let arguments = ["--daemon", "--pid-file", &pid_file, "--port", &port];
    // A reader of all its output is not kept waiting by the server.
    let output = run(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((output.stdout.as_slice(), said(&output).as_str()), (&b""[..], ""));
    assert!(answers_at(port.parse().expect("a port")), "it serves by now");
    let server = Stranger::of(&pid_file);
    let session = fs::read_to_string(format!("/proc/{}/stat", server.0)).expect("it runs");
    let fields: Vec<_> = session.rsplit_once(')').expect("its name").1.split_whitespace().collect();
    assert_eq!(fields[3], server.0, "it has a session of its own");

    let again = run(&arguments);
    let text = format!("lwsws: {pid_file}: the process {} has locked it: it serves already\n", server.0);
    assert_eq!((again.status.success(), said(&again)), (false, text));
    let busy = run(&["--daemon", "--pid-file", &folder.at("other"), "--port", &port]);
    assert!(!busy.status.success() && said(&busy).lines().count() == 1, "{}", said(&busy));
    assert!(said(&busy).contains(&port) && !Path::new(&folder.at("other")).exists(), "{}", said(&busy));
    server.signal("TERM");
    server.wait();
    assert!(!Path::new(&pid_file).exists());
}

#[test]
fn what_a_kill_leaves_behind_is_no_obstacle() {
    let folder = Folder::new("killed");
    let (pid_file, socket) = (folder.at("pid"), folder.at("socket"));
    let arguments = ["--daemon", "--pid-file", &pid_file, "--unix", &socket, "--any-host"];
    for _ in 0..3 {
        let output = run(&arguments);
        assert!(output.status.success(), "{}", said(&output));
        assert!(UnixStream::connect(&socket).is_ok_and(answers));
        let server = Stranger::of(&pid_file);
        server.signal("KILL");
        server.wait();
        assert!(Path::new(&pid_file).exists() && Path::new(&socket).exists());
    }
}

#[test]
fn what_the_system_refuses_is_one_line() {
    let folder = Folder::new("refused");
    let port = free_port().to_string();
    let (file, missing) = (folder.at("file"), folder.at("none/file"));
    fs::write(&file, "").expect("a file");
    let check = |arguments: &[&str], words: &str| {
        let output = lwsws(arguments).args(["--port", &port]).output().expect("the program runs");
        let text = said(&output);
        assert!(!output.status.success() && text.lines().count() == 1, "{arguments:?}: {text}");
        assert!(text.starts_with("lwsws: ") && text.contains(words), "{arguments:?}: {text}");
    };
    check(&["--access-log", &missing], &format!("the log {missing}: No such file or directory"));
    check(&["--access-log", &folder.at("")], "Is a directory");
    check(&["--pid-file", &missing], &format!("{missing}: No such file or directory"));
    check(&["--pid-file", "/dev/full"], "/dev/full: it is no regular file");
    let in_the_way = run(&["--unix", &file]);
    assert!(!in_the_way.status.success() && said(&in_the_way).lines().count() == 1, "{}", said(&in_the_way));
    assert!(said(&in_the_way).contains(&file) && Path::new(&file).exists(), "{}", said(&in_the_way));
    // So few descriptors that not even the loop has one.
    let output = Command::new("prlimit")
        .args(["--nofile=8:8", env!("CARGO_BIN_EXE_lwsws"), "--port", &port])
        .output()
        .expect("prlimit is there");
    let text = said(&output);
    assert!(!output.status.success() && text.lines().count() == 1, "{text}");
    assert!(text.contains("Too many open files"), "{text}");
}

/// Runs it as a user who may not do everything: another one, if this is root.
fn run_without_rights(arguments: &[&str]) -> Output {
    let mut command = lwsws(arguments);
    if fs::metadata("/proc/self").expect("it is there").uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().expect("the program runs")
}

#[test]
fn what_it_has_no_right_to_is_one_line_with_its_name() {
    let folder = Folder::new("rights");
    let (closed, served) = (folder.at("closed"), folder.at("served"));
    fs::create_dir_all(&served).expect("a folder");
    fs::create_dir_all(&closed).expect("a folder");
    let files = [("conf", "{}"), ("key.pem", ""), ("users", "")];
    let mode = |path: &str, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    for (file, text) in files {
        fs::write(folder.at(file), text).expect("a file");
        mode(&folder.at(file), 0);
    }
    mode(&folder.at(""), 0o755);
    mode(&closed, 0);
    let key = folder.at("key.pem");
    let inside = format!("{closed}/file");
    let refused = |path: &str| format!("{path}: Permission denied (os error 13)");
    for (arguments, words) in [
        (vec!["--access-log", &inside], refused(&format!("the log {inside}"))),
        (vec!["--pid-file", &inside], refused(&inside)),
        (vec!["--unix", &inside], refused(&inside)),
        (vec!["--admin", &inside], refused(&inside)),
        (vec![&closed], refused(&closed)),
        (vec!["--tls-cert", &key, "--tls-key", &key], refused(&key)),
        (vec!["--auth", &folder.at("users"), &served], refused(&folder.at("users"))),
    ] {
        let port: &[&str] = if arguments[0] == "--unix" { &[] } else { &["--port", "0"] };
        let output = run_without_rights(&[&arguments, port].concat());
        let text = said(&output);
        assert!(!output.status.success() && text.lines().count() == 1, "{arguments:?}: {text}");
        assert!(text.starts_with("lwsws: ") && text.contains(&words), "{arguments:?}: {text}");
    }
    let output = run_without_rights(&["--config", &folder.at("")]);
    let text = said(&output);
    assert!(!output.status.success() && text.lines().count() == 2, "{text}");
    assert!(text.contains("conf:1:1: cannot be read: Permission denied"), "{text}");
    mode(&closed, 0o755);
}

#[test]
fn a_log_that_it_makes_is_that_of_the_user_it_becomes_who_opens_it_again_in_an_upgrade() {
    let folder = Folder::new("owner");
    let (pid_file, log, port) = (folder.at("pid"), folder.at("log"), free_port());
    let own = fs::metadata("/proc/self").expect("it is there").uid();
    let (user, account) = if own == 0 {
        (NOBODY, format!("\"uid\": {NOBODY}, \"gid\": {NOBODY}"))
    } else {
        (own, String::new())
    };
    let text =
        format!("{{ \"global\": {{ {account} }}, \"vhosts\": [ {{ \"name\": \"a\", \"port\": {port} }} ] }}");
    fs::write(folder.at("conf"), text).expect("a file");
    chown(folder.at(""), Some(user), None).expect("it is ours");
    let output =
        run(&["--config", &folder.at(""), "--daemon", "--pid-file", &pid_file, "--access-log", &log]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::metadata(&log).expect("it is made").uid(), user);
    let first = Stranger::of(&pid_file);
    let number = fs::read_to_string(&pid_file).expect("a number");
    first.signal("USR2");
    eventually(|| fs::read_to_string(&pid_file).is_ok_and(|text| !text.is_empty() && text != number));
    let second = Stranger::of(&pid_file);
    first.wait();
    second.signal("TERM");
    second.wait();
    // One that is there already stays whose it is: it may be a link to another one.
    fs::remove_file(&log).expect("it is there");
    fs::write(folder.at("other"), "").expect("a file");
    std::os::unix::fs::symlink(folder.at("other"), &log).expect("a link");
    let output =
        run(&["--config", &folder.at(""), "--daemon", "--pid-file", &pid_file, "--access-log", &log]);
    assert!(output.status.success(), "{}", said(&output));
    let server = Stranger::of(&pid_file);
    assert_eq!(fs::metadata(folder.at("other")).expect("it is there").uid(), own);
    server.signal("TERM");
    server.wait();
}

#[test]
fn a_full_disk_stops_no_request() {
    let folder = Folder::new("full");
    let (pid_file, port) = (folder.at("pid"), free_port());
    let number = port.to_string();
    let output = run(&["--daemon", "--pid-file", &pid_file, "--access-log", "/dev/full", "--port", &number]);
    assert!(output.status.success(), "{}", said(&output));
    let server = Stranger::of(&pid_file);
    for _ in 0..100 {
        assert!(answers_at(port));
    }
    server.signal("TERM");
    server.wait();
}

/// Runs a script as the first process of namespaces of its own, where that is allowed.
fn in_a_namespace(script: &str, arguments: &[&str]) -> Option<Output> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]);
        command.args(["sh", "-c", script, env!("CARGO_BIN_EXE_lwsws")]);
        command
    };
    let allowed = unshare("exit 0").output().is_ok_and(|output| output.status.success());
    allowed.then(|| unshare(script).args(arguments).output().expect("unshare is there"))
}

#[test]
fn as_the_first_process_it_waits_for_orphans_passes_signals_on_and_ends_with_the_server() {
    let folder = Folder::new("first");
    let (pid_file, port) = (folder.at("pid"), free_port().to_string());
    // The program takes the place of the shell, and so is the first process; what runs beside it is without a parent soon.
    let script = r#"
        (
            until [ -s "$1" ]; do sleep 0.05; done
            (sleep 0.1 &)
            sleep 0.5
            grep -l '^State:.Z' /proc/[0-9]*/status | wc -l > "$1.zombies"
            cat "$1" > "$1.first"
            kill -USR2 1
            while cmp -s "$1" "$1.first" || [ ! -s "$1" ]; do sleep 0.05; done
            sleep 0.5
            cat "$1" > "$1.second"
            kill -TERM 1
        ) &
        exec "$0" --pid-file "$1" --port "$2" --quiet --drain-timeout 1
    "#;
    let Some(output) = in_a_namespace(script, &[&pid_file, &port]) else { return };
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), "");
    let read = |name: &str| fs::read_to_string(format!("{pid_file}.{name}")).expect("it was written");
    assert_eq!(read("zombies").trim(), "0", "nothing waits without a parent");
    let (first, second) = (read("first"), read("second"));
    assert!(first.trim() != "1" && second.trim() != "1" && first != second, "{first} {second}");
    assert!(!Path::new(&pid_file).exists(), "it ends when the second server has ended, and not before");
}

#[test]
fn a_file_system_that_cannot_be_written_stops_only_who_wants_to_write() {
    let folder = Folder::new("read-only");
    let port = free_port().to_string();
    let script = r#"
        mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77
        "$0" --access-log "$1/log" --port "$2" && exit 1
        "$0" --pid-file "$1/pid" --port "$2" && exit 1
        timeout -s TERM 2 "$0" --port "$2" --quiet --drain-timeout 0 "$1"
    "#;
    let Some(output) = in_a_namespace(script, &[&folder.at(""), &port]) else { return };
    let text = said(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines.iter().all(|line| line.ends_with("Read-only file system (os error 30)")), "{text}");
    assert_eq!(output.status.code(), Some(124), "it serves until its time is over");
}

/// Whether the admin listener says that the server wants new work.
fn is_ready(mut stream: impl Read + Write) -> bool {
    let mut answer = String::new();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn operators_are_refused_at_no_time_of_an_upgrade() {
    let folder = Folder::new("operators");
    let (pid_file, socket, number) = (folder.at("pid"), folder.at("admin"), free_port());
    for admin in [socket.clone(), format!("127.0.0.1:{number}")] {
        let is_unix = admin == socket;
        let port = free_port().to_string();
        let output = run(&["--daemon", "--pid-file", &pid_file, "--port", &port, "--admin", &admin]);
        assert!(output.status.success(), "{admin}: {}", said(&output));
        let old = Stranger::of(&pid_file);
        old.signal("USR2");
        while !old.has_ended() {
            let connected =
                if is_unix { UnixStream::connect(&socket).map(drop) } else { connect(number).map(drop) };
            assert!(connected.is_ok(), "{admin}: {connected:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        let new = Stranger::of(&pid_file);
        assert_ne!(old.0, new.0, "{admin}");
        eventually(|| match is_unix {
            true => UnixStream::connect(&socket).is_ok_and(is_ready),
            false => connect(number).is_ok_and(is_ready),
        });
        new.signal("TERM");
        new.wait();
        assert!(!Path::new(&socket).exists(), "{admin}");
    }
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", port))
}
