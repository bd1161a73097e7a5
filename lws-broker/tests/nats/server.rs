//! A server of NATS for a test: its configuration, its port, its end.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use test_kit::free_port;

/// A server in a folder of its own. It ends with this value.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: PathBuf,
    process: Option<Child>,
}

impl Server {
    /// Starts a server with these lines in its configuration. `None` if there is no such program.
    pub(crate) fn start(lines: &str) -> Option<Self> {
        if Command::new("nats-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            let required = std::env::var_os("LWS_BROKERS").is_some_and(|it| it == "required");
            assert!(!required, "nats-server is not installed");
            eprintln!("nats-server is not installed: nothing is checked");
            return None;
        }
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("lws-broker-nats-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut server = Self { port, folder, process: None };
        server.configure(lines);
        server.run();
        Some(server)
    }

    /// A folder for files of the server: `$FOLDER` in its configuration.
    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.join(name), content).expect("a file");
    }

    /// Writes the configuration, for the next start or [`reload`](Self::reload).
    pub(crate) fn configure(&self, lines: &str) {
        let mut text = format!("listen: \"127.0.0.1:{}\"\n", self.port);
        let lines = lines.replace("$FOLDER", &self.folder.display().to_string());
        writeln!(text, "{lines}").expect("a line");
        self.write("nats.conf", &text);
    }

    /// Starts it again after [`kill`](Self::kill), on the same port.
    pub(crate) fn run(&mut self) {
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        let process = Command::new("nats-server")
            .arg("-c")
            .arg(self.folder.join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server");
        self.process = Some(process);
        // It listens when it has said who it is.
        let begin = Instant::now();
        let mut first = [0; 5];
        while TcpStream::connect(("127.0.0.1", self.port))
            .and_then(|mut it| it.read_exact(&mut first))
            .is_err()
        {
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(&first, b"INFO ");
    }

    /// Removes a folder of the server that has ended.
    pub(crate) fn lose(&self, name: &str) {
        fs::remove_dir_all(self.folder.join(name)).expect("a folder");
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a process");
            process.wait().expect("its end");
        }
    }

    /// `STOP`, `CONT`, or `HUP`, upon which it reads its configuration again.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.as_ref().expect("it runs").id();
        let status = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status();
        assert!(status.expect("kill").success(), "{name}");
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
