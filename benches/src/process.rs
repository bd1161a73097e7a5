//! Servers as child processes: started from a command line, awaited, measured by their id, ended.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::machine;

/// The server of this workspace, as cargo puts it beside the instruments.
pub const OWN_SERVER: &str = "{bin}/lwsws --port {port} --quiet --keep-alive-requests 1000000000";
/// The same where instructions are counted: under valgrind a turn takes fifty times as long, and must not end by the clock.
pub const OWN_SERVER_COUNTED: &str =
    "{bin}/lwsws --port {port} --quiet --keep-alive-requests 1000000000 --turn-time 0";

/// How long a server may take to listen. Generous, since valgrind starts slowly.
const START: Duration = Duration::from_secs(20);
/// How long a server may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A server process that listens on 127.0.0.1. Dropped, it is killed.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Server {
    /// Starts `template` on `core` and waits until it accepts connections on `port`.
    ///
    /// The template is split at spaces, without quoting; in each word `{port}` becomes the port and `{bin}`
    /// the directory of this program.
    ///
    /// # Errors
    /// When the program cannot be started, ends at once, does not listen in time, or when another
    /// process already listens on `port`.
    pub fn start(template: &str, port: u16, core: usize) -> Result<Self> {
        Self::start_with(template, port, core, &[])
    }

    /// As [`Server::start`], with additions to the environment.
    pub fn start_with(template: &str, port: u16, core: usize, environment: &[(&str, &str)]) -> Result<Self> {
        Self::spawn(template, port, environment, |command| {
            machine::with_children_on(core, || command.spawn())
        })
    }

    /// As [`Server::start`], on every core that this thread may use.
    ///
    /// # Errors
    /// As there.
    pub fn start_on_all(template: &str, port: u16) -> Result<Self> {
        Self::spawn(template, port, &[], Command::spawn)
    }

    fn spawn(
        template: &str,
        port: u16,
        environment: &[(&str, &str)],
        spawn: impl FnOnce(&mut Command) -> std::io::Result<Child>,
    ) -> Result<Self> {
        if accepts(port) {
            return Err(format!("port {port} is in use: choose another with --port").into());
        }
        let words = words(template, port)?;
        let (program, arguments) = words.split_first().ok_or("the server command is empty")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = spawn(&mut command).map_err(|error| format!("{program} cannot be started: {error}"))?;
        let mut server = Self { child, port };
        server.await_listening(program)?;
        Ok(server)
    }

    /// The process id, for the figures under `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to end with SIGTERM and waits for it.
    pub fn stop(mut self) -> Result<ExitStatus> {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(id, Signal::TERM)?;
        }
        let give_up = Instant::now() + STOP;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > give_up {
                return Err("the server does not end after SIGTERM".into());
            }
            sleep(POLL);
        }
    }

    fn await_listening(&mut self, program: &str) -> Result<()> {
        let give_up = Instant::now() + START;
        while !accepts(self.port) {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{program} ended before it listened: {status}").into());
            }
            if Instant::now() > give_up {
                return Err(format!("{program} does not listen on port {}", self.port).into());
            }
            sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the process has already ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn accepts(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn words(template: &str, port: u16) -> Result<Vec<String>> {
    let own = std::env::current_exe()?;
    let directory = own.parent().unwrap_or(Path::new(".")).display().to_string();
    Ok(template
        .split_whitespace()
        .map(|word| word.replace("{port}", &port.to_string()).replace("{bin}", &directory))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_becomes_words_with_the_port_filled_in() {
        let words = words("server  --port {port} -x", 9100);
        assert!(words.is_ok_and(|words| words == ["server", "--port", "9100", "-x"]));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Server::start("no-such-program {port}", 1, 0).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("no-such-program")));
    }
}
