//! Programs that are started for each request. RFC 3875.

mod pipe;
mod process;
mod supervised;

use self::pipe::{Direction, Outcome, Pipe};
use self::process::{Pipes, Process};
use self::supervised::Supervised;
use crate::backend::{Backend, Launch, Received};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::meta::{Asked, Carrier, ScriptPath, Variables, variables};
use crate::place::Place;
use crate::relay;
use crate::report::Reporter;
use lws_server::http::{self, Answer, Exchange, Request, Response, Status};
use lws_server::{Context, Endpoint, StreamId};
use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

/// Where programs are looked for by scripts, unless the configuration says so: what login gives to users.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program, or a folder of them, that answers requests: an endpoint. RFC 3875.
///
/// A program is started for each request. It gets what the request says in its environment, which holds nothing else, and its content on
/// standard input; what it writes to standard output is the answer. It gets no arguments: a query never becomes one. It runs in a
/// process group of its own, which ends with the exchange: with SIGTERM and then SIGKILL when the client goes away or its time
/// is up. Nothing waits for it, and children of the embedding program are not touched.
///
/// ```no_run
/// use lws_cgi::{Cgi, WithoutLength};
/// use lws_server::Server;
///
/// // Repositories by git's smart HTTP, to clone and to push.
/// let server = Server::builder().listen("127.0.0.1:7681").route(
///     Cgi::program("/usr/lib/git-core/git-http-backend")?
///         .variable("GIT_PROJECT_ROOT", "/srv/git")
///         .variable("GIT_HTTP_EXPORT_ALL", "1")
///         .without_length(WithoutLength::Stream)
///         .at("/git"),
/// );
/// server.build()?.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub type Cgi = Gateway<Programs>;

/// Programs, each started for the request that it answers.
#[derive(Clone, Debug)]
pub struct Programs {
    found: ProgramLocation,
    /// Where they run.
    directory: Option<PathBuf>,
}

/// Which program answers.
#[derive(Clone, Debug)]
enum ProgramLocation {
    /// Always the same.
    One(Rc<Path>),
    /// That which the next segment of the path names.
    Folder(PathBuf),
}

impl Cgi {
    /// Requests are answered by one program, whatever follows its path.
    ///
    /// # Errors
    /// There is no such file, or its name begins with `nph-`: such a program expects to write to the connection itself.
    #[doc(alias = "LWSMPRO_CGI")]
    pub fn program(program: impl AsRef<Path>) -> io::Result<Self> {
        let program = std::fs::canonicalize(program)?;
        if is_nph(program.file_name()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a program with a non-parsed header"));
        }
        Ok(Self::new(ProgramLocation::One(program.into())))
    }

    /// Requests are answered by the programs of a folder: the segment behind the path of the route names one. Files that cannot be
    /// executed are answered 403, other names, folders and names that begin with `.` or `nph-` 404.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn folder(folder: impl AsRef<Path>) -> io::Result<Self> {
        let folder = std::fs::canonicalize(folder)?;
        if !folder.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self::new(ProgramLocation::Folder(folder)))
    }

    fn new(found: ProgramLocation) -> Self {
        Self::to(Programs { found, directory: None })
    }

    /// Sets `DOCUMENT_ROOT`, which `PATH_TRANSLATED` begins with. RFC 3875 §4.1.6.
    pub fn document_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.settings.document_root = Some(root.into());
        self
    }

    /// Where programs run, in place of the folder that each is in. RFC 3875 §7.2.
    #[doc(alias = "cgi-chdir")]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.scripts.directory = Some(directory.into());
        self
    }

    /// The program that a path leads to, and how the path divides.
    fn find(&self, path: &str) -> Result<(Rc<Path>, ScriptPath), Status> {
        let rest = path.strip_prefix(&*self.mount).ok_or(Status::NOT_FOUND)?;
        let (program, len) = match &self.scripts.found {
            ProgramLocation::One(program) => (Rc::clone(program), self.mount.len()),
            ProgramLocation::Folder(folder) => {
                let name = rest.strip_prefix('/').unwrap_or_default();
                let name = &name[..name.find('/').unwrap_or(name.len())];
                if name.is_empty()
                    || name.starts_with('.')
                    || name.contains('%')
                    || is_nph(Some(name.as_ref()))
                {
                    return Err(Status::NOT_FOUND);
                }
                (executable(folder, name)?, self.mount.len() + 1 + name.len())
            }
        };
        let script = ScriptPath::divide(path, len).ok_or(Status::NOT_FOUND)?;
        Ok((program, script))
    }
}

fn is_nph(name: Option<&OsStr>) -> bool {
    let prefix = |name: &OsStr| name.as_bytes().get(..4).is_some_and(|it| it.eq_ignore_ascii_case(b"nph-"));
    name.is_some_and(prefix)
}

/// The file of a folder, if it is one to execute.
fn executable(folder: &Path, name: &str) -> Result<Rc<Path>, Status> {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join(name);
    let metadata = program.metadata().map_err(|_| Status::NOT_FOUND)?;
    if !metadata.is_file() {
        return Err(Status::NOT_FOUND);
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(Status::FORBIDDEN);
    }
    Ok(program.into())
}

impl Endpoint for Cgi {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn http::Handler>> {
        let (program, script) = match self.find(request.path()) {
            Ok(found) => found,
            Err(status) => return Response::error(status).answer(cx, exchange, end),
        };
        let (asked, carrier) = (Asked::new(request), Carrier::new(cx));
        let variables = variables(&asked, &carrier, &script, Some(&program), None, &self.settings);
        let terms = self.terms(Rc::clone(&program));
        let launch = Program {
            directory: self.scripts.directory.clone(),
            program,
            variables,
            limits: terms.limits.clone(),
            reporter: terms.reporter.clone(),
            running: Rc::clone(&self.running),
        };
        relay::begin(cx, request, exchange, end, launch, terms)
    }
}

/// A program that is going to be started.
struct Program {
    program: Rc<Path>,
    directory: Option<PathBuf>,
    variables: Variables,
    limits: Limits,
    reporter: Reporter,
    running: Rc<Cell<usize>>,
}

impl Program {
    fn command(&self, length: Option<u64>) -> Command {
        let mut command = Command::new(&*self.program);
        command.env_clear().env("PATH", PATH);
        if let Some(length) = length {
            command.env("CONTENT_LENGTH", length.to_string());
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, OsStr::from_bytes(value))));
        if let Some(directory) = self.directory.as_deref().or_else(|| self.program.parent()) {
            command.current_dir(directory);
        }
        command
    }
}

impl Launch for Program {
    type Backend = Child;

    fn launch(self, cx: &mut Context<'_>, exchange: StreamId, length: Option<u64>) -> Result<Child, Failure> {
        let place = Place::take(&self.running, self.limits.running_max).ok_or(Failure::TooMany)?;
        let (process, pipes) =
            Process::start(&mut self.command(length), &self.limits).map_err(Failure::Start)?;
        let Pipes { input, output, messages } = pipes;
        let input = Pipe::adopt(cx, input, Direction::Write, exchange).map_err(Failure::Start)?;
        let output = match Pipe::adopt(cx, output, Direction::Read, exchange) {
            Ok(output) => output,
            Err(error) => {
                input.close(cx);
                return Err(Failure::Start(error));
            }
        };
        let begun = Supervised::begin(cx, process, messages, exchange, self.limits, self.reporter, place);
        match begun {
            Ok(supervised) => {
                Ok(Child { input: Some(input), output: Some(output), supervised, grace_over: None })
            }
            Err(error) => {
                input.close(cx);
                output.close(cx);
                Err(Failure::Start(error))
            }
        }
    }
}

/// A process at work on a request.
struct Child {
    input: Option<Pipe>,
    output: Option<Pipe>,
    supervised: Rc<Supervised>,
    /// When an answer counts as whole although the process goes on. Known once its output has ended.
    grace_over: Option<lws_server::Time>,
}

impl Child {
    /// All output was read: whether it is whole is known when the process has ended.
    fn ended(&mut self, cx: &mut Context<'_>) -> Received {
        if let Some(output) = self.output.take() {
            output.close(cx);
            self.grace_over = Some(cx.now() + self.supervised.exit_grace());
            self.supervised.output_ended(cx);
        }
        match self.supervised.verdict() {
            Some(Ok(())) => Received::End,
            Some(Err(failure)) => Received::Failed(failure),
            None if self.grace_over.is_some_and(|at| at <= cx.now()) => Received::End,
            None => Received::Pending,
        }
    }
}

impl Backend for Child {
    fn send(&mut self, cx: &mut Context<'_>, content: &[u8]) -> usize {
        let Some(input) = &self.input else { return content.len() };
        let mut taken = 0;
        // Up to the end or until the pipe is awaited: one that has room for a part only takes that, and wakes nothing.
        while taken < content.len() {
            match input.write(cx, &content[taken..]) {
                Outcome::Octets(octets) => taken += octets,
                Outcome::Pending => break,
                Outcome::Closed => {
                    // It reads no more, which is no failure: it may have read what it needs.
                    self.finish(cx);
                    return content.len();
                }
            }
        }
        taken
    }

    fn set_clock(&mut self, cx: &mut Context<'_>, runs: bool) {
        self.supervised.set_clock(cx, runs);
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(input) = self.input.take() {
            input.close(cx);
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Received {
        let Some(output) = &self.output else { return self.ended(cx) };
        let outcome = if self.supervised.is_gone() { output.read_rest(room) } else { output.read(cx, room) };
        match outcome {
            Outcome::Octets(octets) => Received::Octets(octets),
            Outcome::Pending => Received::Pending,
            Outcome::Closed => self.ended(cx),
        }
    }

    fn release(&mut self, cx: &mut Context<'_>, whole: bool) {
        self.finish(cx);
        if let Some(output) = self.output.take() {
            output.close(cx);
        }
        self.supervised.release(cx, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_program_or_to_one_of_a_folder() {
        let one = Cgi::program("/bin/sh").expect("a shell");
        let mut folder = Cgi::folder("/bin").expect("a folder");
        folder.mount = "/cgi-bin".to_owned();
        let found = |cgi: &Cgi, path: &str| {
            let (_, ScriptPath { name, info }) = cgi.find(path)?;
            Ok((String::from_utf8_lossy(&name).into_owned(), String::from_utf8_lossy(&info).into_owned()))
        };
        let divided = |name: &str, info: &str| Ok((name.to_owned(), info.to_owned()));
        for (path, wanted) in [
            ("/cgi-bin/sh/a/b", divided("/cgi-bin/sh", "/a/b")),
            ("/cgi-bin/sh", divided("/cgi-bin/sh", "")),
            ("/cgi-bin/sh/", divided("/cgi-bin/sh", "/")),
            ("/cgi-bin", Err(Status::NOT_FOUND)),
            ("/cgi-bin/", Err(Status::NOT_FOUND)),
            ("/cgi-bin/no-such-program", Err(Status::NOT_FOUND)),
            ("/cgi-bin/.hidden", Err(Status::NOT_FOUND)),
            ("/cgi-bin/nph-sh", Err(Status::NOT_FOUND)),
            ("/cgi-bin/..%2Fsh", Err(Status::NOT_FOUND)),
            ("/cgi-bin/sh/%00", Err(Status::NOT_FOUND)),
        ] {
            assert_eq!(found(&folder, path), wanted, "{path}");
        }
        assert_eq!(found(&one, "/a/b"), divided("", "/a/b"));
    }

    #[test]
    fn what_cannot_be_served_is_refused_at_once() {
        assert!(Cgi::program("/no/such/program").is_err());
        assert!(Cgi::folder("/bin/sh").is_err());
        assert!(is_nph(Some("NPH-x".as_ref())) && !is_nph(Some("nphx".as_ref())));
    }
}
