//! Another process of this program, which says when it serves: in the background, or in place of this one.
//!
//! It gets descriptors under the numbers that a variable names, one of them a socket to this process. It writes `ready` there when it could
//! serve, or what is wrong in one line, and serves when `go` comes back: until then it has changed nothing that this process needs. It
//! writes `serving` when its number stands in the file.

use crate::init;
use crate::sys;
use lws_server::ListeningSocket;
use rustix::process::{Pid, getpid, getppid};
use std::env;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

/// What names the descriptors: the process that has started this one, and its socket; the file of the process's number, or nothing; and
/// the sockets that listen.
const VARIABLE: &str = "LWSWS_LAUNCH";
/// Octets of the line that a process says.
const LINE_MAX: u64 = 4_096;
/// How long a process that may serve is waited for until it does. It has only to write its number.
const GO_TIMEOUT: Duration = Duration::from_secs(10);

/// How this program was called.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Notes which file this program was started from, by the name by which it was called: a later version may stand there. To be called at
/// the start.
pub(crate) fn note_program() {
    let called = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let is_path = called.components().count() > 1;
    let found = if is_path { std::path::absolute(&called).ok() } else { in_path(&called) };
    if let Some(program) = found.or_else(|| env::current_exe().ok()) {
        let _ = PROGRAM.set(program);
    }
}

/// What a shell would run by a name.
fn in_path(name: &Path) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// What another process of this program gets.
#[derive(Default)]
pub(crate) struct Launch<'a> {
    pub(crate) sockets: &'a [ListeningSocket],
    pub(crate) pid_file: Option<&'a OwnedFd>,
    /// It is no part of the session of this one, whose terminal may go.
    pub(crate) new_session: bool,
    /// The descriptor at which the first process of a container learns who the server is.
    pub(crate) successors: Option<RawFd>,
}

/// A process that was started. Unless it may [serve](Self::go), it is ended.
pub(crate) struct Launched {
    child: Child,
    serves: bool,
    socket: BufReader<UnixStream>,
}

impl Launch<'_> {
    /// Starts the program as this one was.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(&self) -> io::Result<Launched> {
        let program = PROGRAM.get().ok_or_else(|| io::Error::other("the program's own file is not known"))?;
        let (socket, theirs) = UnixStream::pair()?;
        let numbers: Vec<_> = self.sockets.iter().map(|socket| socket.as_fd().as_raw_fd()).collect();
        let pid_file = self.pid_file.map(AsRawFd::as_raw_fd);
        let mut command = Command::new(program);
        command.args(env::args_os().skip(1));
        command.env(VARIABLE, variable(theirs.as_raw_fd(), pid_file, &numbers));
        if let Some(number) = self.successors {
            command.env(init::VARIABLE, number.to_string());
        }
        // Those are about this process.
        for name in ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        let own = [theirs.as_raw_fd()].into_iter().chain(pid_file).chain(self.successors);
        sys::pass_on(&mut command, numbers.iter().copied().chain(own).collect(), self.new_session);
        let child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        Ok(Launched { child, serves: false, socket: BufReader::new(socket) })
    }
}

fn variable(socket: RawFd, pid_file: Option<RawFd>, sockets: &[RawFd]) -> String {
    let text = |numbers: &[RawFd]| numbers.iter().map(RawFd::to_string).collect::<Vec<_>>().join(",");
    let pid_file = pid_file.map(|number| number.to_string()).unwrap_or_default();
    format!("{}:{socket}:{pid_file}:{}", getpid().as_raw_nonzero(), text(sockets))
}

impl Launched {
    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it could serve.
    ///
    /// # Errors
    /// It cannot, or takes longer.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let line = self.line(timeout).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                let seconds = timeout.as_secs();
                io::Error::new(ErrorKind::TimedOut, format!("not ready within {seconds} s (--ready-timeout)"))
            }
            _ => error,
        })?;
        match line.as_str() {
            "ready" => Ok(()),
            "" => Err(io::Error::other("it ended and said nothing")),
            wrong => Err(io::Error::other(wrong.to_owned())),
        }
    }

    /// Lets it serve, and waits until it does.
    pub(crate) fn go(mut self) {
        self.serves = true;
        // One that has ended since was ready all the same: there is nothing more to say to it, and nothing more comes.
        let _ = self.socket.get_mut().write_all(b"go\n");
        let _ = self.line(GO_TIMEOUT);
    }

    /// The next line that it says; an empty one if it has ended.
    fn line(&mut self, timeout: Duration) -> io::Result<String> {
        self.socket.get_ref().set_read_timeout(Some(timeout))?;
        let mut line = String::new();
        Read::by_ref(&mut self.socket).take(LINE_MAX).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if !self.serves {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The process that has started this one, and what it hands over.
pub(crate) struct Launcher {
    socket: UnixStream,
    pub(crate) sockets: Vec<ListeningSocket>,
    pub(crate) pid_file: Option<OwnedFd>,
    /// This process takes the place of the one that has started it.
    replaces: bool,
}

impl Launcher {
    /// What the environment says of one. To be called at the start, before there is another thread.
    ///
    /// # Errors
    /// What it names is not there.
    pub(crate) fn from_environment() -> io::Result<Option<Self>> {
        let Some(said) = sys::take_variable(VARIABLE) else { return Ok(None) };
        let wrong = || io::Error::new(ErrorKind::InvalidData, format!("{VARIABLE}: {said}"));
        let [parent, socket, pid_file, sockets]: [&str; 4] =
            said.split(':').collect::<Vec<_>>().try_into().map_err(|_| wrong())?;
        let number = |text: &str| text.parse::<RawFd>().map_err(|_| wrong());
        // One that came down from further above is not about this process.
        if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(number(parent)?) {
            return Ok(None);
        }
        let own = |text: &str| -> io::Result<OwnedFd> {
            let descriptor = sys::inherited(number(text)?)?;
            rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
            Ok(descriptor)
        };
        let listed = sockets.split(',').filter(|text| !text.is_empty());
        Ok(Some(Self {
            replaces: !sockets.is_empty(),
            socket: own(socket)?.into(),
            pid_file: Some(pid_file).filter(|text| !text.is_empty()).map(own).transpose()?,
            sockets: listed.map(|text| ListeningSocket::adopt(own(text)?)).collect::<io::Result<_>>()?,
        }))
    }

    /// Says that this process could serve, and waits until it may. One that has started it and has gone keeps nothing back, unless its
    /// place was to be taken.
    ///
    /// # Errors
    /// The socket cannot be used, or the process whose place this one was to take has ended.
    pub(crate) fn ready(&mut self) -> io::Result<()> {
        // Who has ended takes nothing.
        let _ = self.socket.write_all(b"ready\n");
        let mut answer = [0; 8];
        let count = match self.socket.read(&mut answer) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => return Err(error),
            read => read.unwrap_or(0),
        };
        // It was ended meanwhile, which means this one, too.
        if count == 0 && self.replaces {
            return Err(io::Error::other("the process whose place this one was to take has ended"));
        }
        Ok(())
    }

    /// Says that this process serves.
    pub(crate) fn serving(mut self) {
        // Who has ended has not waited for it.
        let _ = self.socket.write_all(b"serving\n");
    }

    /// Says why this process cannot serve.
    pub(crate) fn failed(&mut self, error: &io::Error) {
        let line: String =
            error.to_string().chars().map(|char| if char == '\n' { ' ' } else { char }).collect();
        let _ = writeln!(self.socket, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_named_in_one_variable() {
        let pid = getpid().as_raw_nonzero();
        assert_eq!(variable(5, None, &[]), format!("{pid}:5::"));
        assert_eq!(variable(5, Some(6), &[7, 8]), format!("{pid}:5:6:7,8"));
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        assert_eq!(in_path(Path::new("no such program")), None);
        assert!(in_path(Path::new("sh")).is_some_and(|path| path.is_absolute()));
    }
}
