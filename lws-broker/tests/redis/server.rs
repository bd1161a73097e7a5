//! A server of Debian's package on a port and a Unix socket of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) struct RedisServer {
    folder: PathBuf,
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl RedisServer {
    /// `None` if there is no such program.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        Self::start_with(arguments, "")
    }

    /// A sentinel, with these lines in its configuration.
    pub(crate) fn start_sentinel(lines: &str) -> Option<Self> {
        Self::start_with(&["--sentinel"], lines)
    }

    fn start_with(arguments: &[&str], lines: &str) -> Option<Self> {
        let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if found.is_err() {
            let required = std::env::var_os("LWS_BROKERS").is_some_and(|it| it == "required");
            assert!(!required, "redis-server is not installed");
            eprintln!("redis-server is not installed: nothing is checked");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lws-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let port = test_kit::free_port();
        let arguments = arguments.iter().map(ToString::to_string).collect();
        // A sentinel writes into it.
        let configuration = folder.join("redis.conf");
        fs::write(&configuration, lines).expect("a configuration");
        let mut server = Self { folder, port, arguments, child: None };
        server.run();
        Some(server)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, or starts it again.
    pub(crate) fn run(&mut self) {
        let patience = Instant::now() + Duration::from_secs(10);
        let mut child = self.spawn();
        // The Unix socket comes last. Connecting to the port before somebody listens there may connect to itself, and takes it.
        while UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < patience, "redis-server does not listen");
            if child.try_wait().is_ok_and(|ended| ended.is_some()) {
                // Its port was that of a connection of another process.
                child = self.spawn();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child = Some(child);
    }

    fn spawn(&self) -> Child {
        let child = Command::new("redis-server")
            .arg(self.folder.join("redis.conf"))
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--unixsocket", &self.socket().display().to_string()])
            .args(["--dir", &self.folder.display().to_string()])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn();
        child.expect("redis-server")
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().is_ok_and(|status| status.success()));
    }

    /// What the server answers to a command of an operator, in RESP2.
    pub(crate) fn ask(&self, command: &str) -> String {
        self.try_ask(command).expect("an answer")
    }

    /// Such an answer, of a server that may end the connection meanwhile.
    pub(crate) fn try_ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = [0; 4_096];
        let len = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
