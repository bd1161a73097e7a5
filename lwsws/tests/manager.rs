//! The program under a service manager: a socket in its place that reads what systemd would.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A manager that has started the program.
struct Manager {
    socket: UnixDatagram,
    folder: PathBuf,
    child: Child,
}

impl Manager {
    /// Starts the program with what `started` adds, in a shell that knows the number of the process.
    fn start(name: &str, started: impl FnOnce(&mut Command)) -> Self {
        let folder = std::env::temp_dir().join(format!("lwsws-manager-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout is set");
        let mut command = Command::new("sh");
        command.env("NOTIFY_SOCKET", &path).stdout(Stdio::null()).stdin(Stdio::null());
        let script = r#"export LISTEN_PID=$$; exec "$0" "$@" 3<&0 </dev/null"#;
        command.args(["-c", script, env!("CARGO_BIN_EXE_lwsws")]);
        started(&mut command);
        let child = command.spawn().expect("the program starts");
        Self { socket, folder, child }
    }

    /// What the program says next, but for signs of life.
    fn next(&self) -> String {
        loop {
            let said = self.next_of_all();
            if said != "WATCHDOG=1" {
                return said;
            }
        }
    }

    fn next_of_all(&self) -> String {
        let mut octets = [0; 4_096];
        let n = self.socket.recv(&mut octets).expect("it says something");
        String::from_utf8_lossy(&octets[..n]).into_owned()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_manager_learns_of_the_start_of_reloads_of_turns_and_of_the_end() {
    let conf = std::env::temp_dir().join(format!("lwsws-manager-conf-{}", std::process::id()));
    std::fs::create_dir_all(&conf).expect("a folder");
    let text = r#"{ "global": { "count-threads": 2 }, "vhosts": [ { "name": "a", "port": 0 } ] }"#;
    std::fs::write(conf.join("conf"), text).expect("a file");
    let mut manager = Manager::start("signals", |command| {
        command.arg("--config").arg(&conf).env("WATCHDOG_USEC", "400000").stderr(Stdio::null());
    });
    assert!(manager.next().starts_with("READY=1\nSTATUS="));
    manager.signal("HUP");
    let reloading = manager.next();
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it reloads");
    assert!(micros.parse::<u64>().is_ok(), "{micros}");
    assert!(manager.next().starts_with("READY=1\nSTATUS=1 virtual host"));
    // A reload that fails ends as well, and says so.
    std::fs::write(conf.join("conf"), "{").expect("a file");
    manager.signal("HUP");
    assert!(manager.next().starts_with("RELOADING=1\n"));
    assert!(manager.next().starts_with("READY=1\nSTATUS=nothing was reloaded"));
    while manager.next_of_all() != "WATCHDOG=1" {}
    manager.signal("TERM");
    assert!(manager.next().starts_with("STOPPING=1"));
    assert!(manager.child.wait().expect("it ends").success());
    std::fs::remove_dir_all(&conf).expect("it is there");
}

#[test]
fn sockets_of_a_manager_are_served_and_those_that_nothing_asks_for_are_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let hand_over = |command: &mut Command, port: u16| {
        let socket: OwnedFd = listener.try_clone().expect("a descriptor").into();
        command.stdin(Stdio::from(socket)).env("LISTEN_FDS", "1").args(["--port", &port.to_string()]);
    };
    // It waits in the queue until there is a server.
    let mut early = TcpStream::connect(address).expect("the manager listens");
    early
        .write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    let manager = Manager::start("sockets", |command| hand_over(command, address.port()));
    assert!(manager.next().starts_with("READY=1"));
    let mut answer = String::new();
    early.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout is set");
    early.read_to_string(&mut answer).expect("it is answered");
    assert!(answer.ends_with("Hello, world!"), "{answer}");
    drop(manager);
    let mut other = Manager::start("unclaimed", |command| {
        hand_over(command, 0);
        command.stderr(Stdio::piped());
    });
    let mut said = String::new();
    other.child.stderr.take().expect("it is ours").read_to_string(&mut said).expect("text");
    let wanted = format!("lwsws: the service manager listens on {address}, and nothing is served there\n");
    assert_eq!(said, wanted);
}

#[test]
fn a_manager_gets_an_answer_where_there_is_nothing_to_read_again() {
    let manager = Manager::start("nothing", |command| {
        command.args(["--port", "0", "--quiet"]);
    });
    assert!(manager.next().starts_with("READY=1\n"));
    for _ in 0..2 {
        manager.signal("HUP");
        assert!(manager.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert!(manager.next().starts_with("READY=1\nSTATUS=there is nothing to read again"));
    }
}

#[test]
fn a_reload_that_waits_for_a_file_is_given_up_and_everything_stays_as_it_was() {
    let conf = std::env::temp_dir().join(format!("lwsws-manager-slow-{}", std::process::id()));
    std::fs::create_dir_all(&conf).expect("a folder");
    let pipe = conf.join("users");
    let host = |mount: &str| {
        format!("{{ \"vhosts\": [ {{ \"name\": \"a\", \"port\": 0, \"mounts\": [ {mount} ] }} ] }}")
    };
    std::fs::write(conf.join("conf"), host("")).expect("a file");
    let manager = Manager::start("slow", |command| {
        command.arg("--config").arg(&conf).args(["--reload-timeout", "1"]);
    });
    assert!(manager.next().starts_with("READY=1\n"));
    // Opening it for reading waits until another process has opened it for writing.
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there").success());
    let (folder, users) = (conf.display(), pipe.display());
    let mount =
        format!("{{ \"mountpoint\": \"/\", \"origin\": \"file://{folder}\", \"basic-auth\": \"{users}\" }}");
    std::fs::write(conf.join("conf"), host(&mount)).expect("a file");
    let reload = |outcome: &str| {
        manager.signal("HUP");
        assert!(manager.next().starts_with("RELOADING=1\n"));
        let said = manager.next();
        assert!(said.starts_with("READY=1\n") && said.contains(outcome), "{said}");
    };
    reload("as it was: files and keys could not be read within 1 s (--reload-timeout)");
    reload("as it was: the reload before this one still waits for a file");
    std::fs::write(&pipe, "").expect("it is read");
    std::fs::write(conf.join("conf"), host("")).expect("a file");
    // The one that waited has its answer by now, or will in a moment.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        manager.signal("HUP");
        assert!(manager.next().starts_with("RELOADING=1\n"));
        let said = manager.next();
        if said.contains("1 virtual host, reloaded") {
            break;
        }
        assert!(said.contains("still waits") && std::time::Instant::now() < deadline, "{said}");
    }
    std::fs::remove_dir_all(&conf).expect("it is there");
}
