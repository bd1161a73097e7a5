//! Programs behind a server of FastCGI 1.0, such as PHP's.

mod connection;
mod record;

use self::connection::{Conversation, Progress, ResponderLink, Shared, Task};
use crate::allowance::Allowance;
use crate::backend::{Backend, Launch, Received};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::messages::Lines;
use crate::meta::{self, Asked, ScriptPath, Variables, variables};
use crate::place::Place;
use crate::relay;
use crate::report::Reporter;
use lws_server::http::{self, Answer, Exchange, Method, Request, Response, Status};
use lws_server::upstream::{ConnectOptions, Speak, Target};
use lws_server::{Context, Endpoint, StreamId, TimerId};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// How long a connection that is kept may be idle.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// A server of FastCGI that answers requests, as a responder: an endpoint.
///
/// Each request gets a connection of its own, or one that was kept: servers answer one request at a time on each. When the client goes
/// away, its connection is closed.
///
/// ```no_run
/// use lws_cgi::FastCgi;
/// use lws_server::Server;
/// use std::path::PathBuf;
///
/// let server = Server::builder()
///     .listen("127.0.0.1:7681")
///     .route(FastCgi::new(PathBuf::from("/run/php/php-fpm.sock")).scripts("/srv/www", ".php").at("/app"));
/// server.build()?.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub type FastCgi = Gateway<Responders>;

/// A server of FastCGI, and which of its scripts answers.
#[derive(Clone, Debug)]
pub struct Responders {
    target: Target,
    found: ScriptLocation,
    pool: Rc<Pool>,
}

/// Which script answers.
#[derive(Clone, Debug)]
enum ScriptLocation {
    /// The server has one, or finds it by itself.
    One(Option<PathBuf>),
    /// The file that the path names below a folder, up to a segment with this end.
    Named { root: PathBuf, suffix: String },
}

/// Connections that were kept, the last one used at the back.
#[derive(Debug, Default)]
struct Pool {
    most: Cell<usize>,
    /// Each with the timer that closes it.
    idle: RefCell<VecDeque<(Shared, TimerId)>>,
}

impl FastCgi {
    /// Requests are answered by the server at `target`: a path is that of a Unix socket, `("localhost", 9000)` a host and port.
    pub fn new(target: impl Into<Target>) -> Self {
        Self::to(Responders { target: target.into(), found: ScriptLocation::One(None), pool: Rc::default() })
    }

    /// One script answers whatever follows the path: `SCRIPT_FILENAME`.
    pub fn script(mut self, file: impl Into<PathBuf>) -> Self {
        self.scripts.found = ScriptLocation::One(Some(file.into()));
        self
    }

    /// The path names the script: up to the first segment that ends in `suffix`, below `root`, which is `DOCUMENT_ROOT`. What is behind that
    /// segment is `PATH_INFO`. A path without such a segment is answered 404, and one that ends in a slash by `index` with the suffix.
    pub fn scripts(mut self, root: impl Into<PathBuf>, suffix: impl Into<String>) -> Self {
        let root = root.into();
        self.settings.document_root = Some(root.clone());
        self.scripts.found = ScriptLocation::Named { root, suffix: suffix.into() };
        self
    }

    /// Keeps up to so many connections for later requests, on each thread of the server. By default none is: a process of PHP
    /// that has a connection serves no other.
    pub fn keep(self, most: usize) -> Self {
        self.scripts.pool.most.set(most);
        self
    }

    /// The script that a path leads to, and how the path divides.
    fn find(&self, path: &str) -> Option<(Option<PathBuf>, ScriptPath)> {
        let rest = path.strip_prefix(&*self.mount)?;
        match &self.scripts.found {
            ScriptLocation::One(file) => Some((file.clone(), ScriptPath::divide(path, self.mount.len())?)),
            ScriptLocation::Named { root, suffix } => {
                let index = rest.ends_with('/').then(|| format!("{path}index{suffix}"));
                let path = index.as_deref().unwrap_or(path);
                let rest = &path[self.mount.len()..];
                let len = rest.len() - behind_script(rest, suffix)?.len();
                let script = ScriptPath::divide(path, self.mount.len() + len)?;
                let below = script.name.get(self.mount.len() + 1..)?;
                Some((Some(root.join(OsStr::from_bytes(below))), script))
            }
        }
    }
}

/// What follows the first segment that ends in `suffix`.
fn behind_script<'a>(path: &'a str, suffix: &str) -> Option<&'a str> {
    let is_end = |at: usize| matches!(path.as_bytes().get(at), None | Some(b'/'));
    let ends = path.match_indices(suffix).map(|(at, _)| at + suffix.len());
    let mut ends = ends.filter(|at| is_end(*at));
    // A name that is nothing but the suffix is none.
    ends.find(|at| !path[..*at].ends_with(&format!("/{suffix}"))).map(|at| &path[at..])
}

impl Endpoint for FastCgi {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn http::Handler>> {
        let Some((file, script)) = self.find(request.path()) else {
            return Response::error(Status::NOT_FOUND).answer(cx, exchange, end);
        };
        let (asked, carrier) = (Asked::new(request), meta::Carrier::new(cx));
        let variables = variables(&asked, &carrier, &script, file.as_deref(), None, &self.settings);
        let shown = file.unwrap_or_else(|| PathBuf::from(OsStr::from_bytes(&script.name)));
        let terms = self.terms(shown.into());
        let launch = Ask {
            target: self.scripts.target.clone(),
            variables,
            repeatable: end && matches!(request.method(), Method::Get | Method::Head),
            limits: terms.limits.clone(),
            reporter: terms.reporter.clone(),
            pool: Rc::clone(&self.scripts.pool),
            running: Rc::clone(&self.running),
        };
        relay::begin(cx, request, exchange, end, launch, terms)
    }
}

impl Pool {
    /// A connection that was kept.
    fn take(&self, cx: &mut Context<'_>) -> Option<Shared> {
        let mut idle = self.idle.borrow_mut();
        while let Some((shared, expiry)) = idle.pop_back() {
            cx.cancel(expiry);
            if shared.borrow().is_idle() {
                return Some(shared);
            }
        }
        None
    }

    /// Keeps a connection for a while.
    fn put(self: &Rc<Self>, cx: &mut Context<'_>, shared: Shared) {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|(other, expiry)| {
            let stays = other.borrow().is_idle();
            if !stays {
                cx.cancel(*expiry);
            }
            stays
        });
        if idle.len() >= self.most.get() {
            return shared.borrow_mut().close(cx);
        }
        let (pool, kept) = (Rc::clone(self), Rc::clone(&shared));
        let expiry = cx.after(IDLE_MAX, move |cx| pool.expire(cx, &shared));
        idle.push_back((kept, expiry));
    }

    /// Closes a connection that has not been used for a while.
    fn expire(&self, cx: &mut Context<'_>, shared: &Shared) {
        let mut idle = self.idle.borrow_mut();
        if let Some(at) = idle.iter().position(|(other, _)| Rc::ptr_eq(other, shared)) {
            idle.remove(at);
            shared.borrow_mut().close(cx);
        }
    }
}

/// A request that is going to be sent.
struct Ask {
    target: Target,
    variables: Variables,
    /// It changes nothing and has no content, so that it may be sent twice. RFC 9110 §9.2.1.
    repeatable: bool,
    limits: Limits,
    reporter: Reporter,
    pool: Rc<Pool>,
    running: Rc<Cell<usize>>,
}

impl Ask {
    fn task(&self, exchange: StreamId) -> Task {
        let lines = Lines::new(self.limits.message_bytes_max);
        Task { exchange, reporter: self.reporter.clone(), lines }
    }

    fn request(&self, length: Option<u64>) -> Vec<u8> {
        let length = length.map(|length| length.to_string());
        let length = length.iter().map(|length| (&b"CONTENT_LENGTH"[..], length.as_bytes()));
        let given = self.variables.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
        let mut request = Vec::new();
        record::begin(&mut request, self.pool.most.get() > 0, length.chain(given));
        request
    }

    /// Sends it on a connection that is made for it.
    fn connect(&self, cx: &mut Context<'_>, exchange: StreamId, request: Vec<u8>) -> Result<Shared, Failure> {
        let shared = Rc::new(RefCell::new(Conversation::new(self.task(exchange), request)));
        let options = ConnectOptions {
            speak: Speak::Raw,
            timeout: self.limits.head_timeout,
            ..ConnectOptions::default()
        };
        let link = cx.connect(self.target.clone(), &options, ResponderLink(Rc::clone(&shared)));
        shared.borrow_mut().begun(link.map_err(Failure::Start)?);
        Ok(shared)
    }
}

impl Launch for Ask {
    type Backend = Responder;

    fn launch(
        self,
        cx: &mut Context<'_>,
        exchange: StreamId,
        length: Option<u64>,
    ) -> Result<Responder, Failure> {
        let place = Place::take(&self.running, self.limits.running_max).ok_or(Failure::TooMany)?;
        let request = self.request(length);
        // Only a request that can be repeated goes where the server may just be closing.
        let kept = if self.repeatable { self.pool.take(cx) } else { None };
        let reused = kept.is_some();
        let shared = match kept {
            Some(shared) => {
                shared.borrow_mut().ask_again(cx, self.task(exchange), request);
                shared
            }
            None => self.connect(cx, exchange, request)?,
        };
        let mut responder = Responder {
            shared,
            time: Allowance::new(self.limits.time_max),
            ask: self,
            exchange,
            length,
            reused,
            finished: false,
            late: Rc::default(),
            deadline: None,
            _place: place,
        };
        responder.set_clock(cx, true);
        Ok(responder)
    }
}

/// A request that was sent.
struct Responder {
    shared: Shared,
    ask: Ask,
    exchange: StreamId,
    length: Option<u64>,
    /// Its connection was kept: the server may have closed it.
    reused: bool,
    finished: bool,
    /// Its time is up.
    late: Rc<Cell<bool>>,
    /// What is left of its time, and what ends it while it runs.
    time: Allowance,
    deadline: Option<TimerId>,
    _place: Place,
}

impl Responder {
    /// Sends the request again, on a connection of its own.
    fn repeat(&mut self, cx: &mut Context<'_>) -> Received {
        self.reused = false;
        match self.ask.connect(cx, self.exchange, self.ask.request(self.length)) {
            Ok(shared) => {
                self.shared = shared;
                if self.finished {
                    self.shared.borrow_mut().finish(cx);
                }
                Received::Pending
            }
            Err(failure) => Received::Failed(failure),
        }
    }
}

impl Backend for Responder {
    fn send(&mut self, cx: &mut Context<'_>, content: &[u8]) -> usize {
        self.shared.borrow_mut().send(cx, content)
    }

    fn set_clock(&mut self, cx: &mut Context<'_>, runs: bool) {
        if let Some(deadline) = self.deadline.take() {
            cx.cancel(deadline);
        }
        let now = cx.now();
        if !runs {
            return self.time.rest(now);
        }
        let (late, exchange) = (Rc::clone(&self.late), self.exchange);
        self.deadline = Some(cx.after(self.time.run(now) - now, move |cx| {
            late.set(true);
            cx.wake(exchange);
        }));
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.finished = true;
        self.shared.borrow_mut().finish(cx);
    }

    fn receive(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Received {
        if self.late.get() {
            return Received::Failed(Failure::TimeMax);
        }
        let progress = self.shared.borrow_mut().receive(cx, room);
        match progress {
            Progress::Octets(len) => Received::Octets(len),
            Progress::Pending => Received::Pending,
            Progress::End => Received::End,
            Progress::Failed(failure) => Received::Failed(failure),
            Progress::Stale if self.reused => self.repeat(cx),
            Progress::Stale => {
                Received::Failed(Failure::Protocol("it has closed the connection and not answered"))
            }
        }
    }

    fn release(&mut self, cx: &mut Context<'_>, _: bool) {
        self.set_clock(cx, false);
        if self.shared.borrow_mut().release(cx) {
            self.ask.pool.put(cx, Rc::clone(&self.shared));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_script_and_what_is_for_it() {
        let mut named = FastCgi::new(PathBuf::from("/socket")).scripts("/srv/www", ".php");
        named.mount = "/app".to_owned();
        let check = |path: &str, wanted: Option<(&str, &str, &str)>| {
            let found = named.find(path).map(|(file, ScriptPath { name, info })| {
                let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
                (file.expect("a file").display().to_string(), text(name), text(info))
            });
            let wanted = wanted.map(|(file, name, info)| (file.to_owned(), name.to_owned(), info.to_owned()));
            assert_eq!(found, wanted, "{path}");
        };
        check("/app/a.php", Some(("/srv/www/a.php", "/app/a.php", "")));
        check("/app/a.php/x/y", Some(("/srv/www/a.php", "/app/a.php", "/x/y")));
        check("/app/a.php/b.php", Some(("/srv/www/a.php", "/app/a.php", "/b.php")));
        check("/app/d/a.phpx/b.php", Some(("/srv/www/d/a.phpx/b.php", "/app/d/a.phpx/b.php", "")));
        check("/app/d/", Some(("/srv/www/d/index.php", "/app/d/index.php", "")));
        check("/app/", Some(("/srv/www/index.php", "/app/index.php", "")));
        check("/app/\u{212a}.php/x", Some(("/srv/www/\u{212a}.php", "/app/\u{212a}.php", "/x")));
        check("/app/A.PHP", None);
        check("/app/.php", None);
        check("/app/a.txt", None);
        check("/app/a%2Fb.php", None);
        check("/app", None);
    }
}
