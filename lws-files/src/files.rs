//! Files behind names: what a name means, and what is answered.
//!
//! Joins the pieces of this crate; how a name is opened is `vfs`, and what is said of a file is `response`.

use crate::cache::{Cache, Cost};
use crate::compress::{Compressed, Running};
use crate::content::{Body, Content, Wait};
use crate::flights::Flights;
use crate::listing::{self, LISTED_MAX, Sort};
use crate::pool::{Pool, Refusal, Slot};
use crate::request::Wants;
use crate::response::{Field, Response, Saying, Served};
use crate::types::{Types, is_compressible};
use crate::vfs::{Entry, Fault, Listing, Lookup, Opened, Vfs, is_downward};
use crate::{Accepted, CacheControl, CacheLimits, CachePolicy, Coding, Compression, Request, Ticket};
use bytes::Bytes;
use lws_proto::Time;
use lws_proto::http::{HttpDate, Method, Status};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How files are served. Plain data.
#[derive(Clone, Debug)]
pub struct Options {
    /// The files that stand for their directory; the first that is there. Default `index.html`.
    pub index: Vec<String>,
    /// Whether names that begin with a dot are served, besides `.well-known` in the root. Default no.
    pub hidden: bool,
    /// Whether a directory without an index is listed. Default no.
    pub listing: bool,
    /// The file that is sent where there is none, to a browser that goes there: the page of an application with paths of its own. It is
    /// not sent for names with an extension, nor to a page that loads what it consists of.
    pub fallback: Option<String>,
    /// The file that is sent with 404.
    pub not_found: Option<String>,
    /// Content types.
    pub types: Types,
    /// How long caches keep what.
    pub cache_control: CachePolicy,
    /// Which files are compressed on the way. Default none.
    pub compression: Option<Compression>,
    /// Field lines for all responses that carry a file or say that it has not changed.
    pub fields: Vec<Field>,
    /// What is kept of what was found.
    pub cache: CacheLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            index: vec!["index.html".into()],
            hidden: false,
            listing: false,
            fallback: None,
            not_found: None,
            types: Types::default(),
            cache_control: CachePolicy::default(),
            compression: None,
            fields: Vec::new(),
            cache: CacheLimits::default(),
        }
    }
}

/// What names a result, as far as it depends on the request. The same for all who would get the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    names: Arc<str>,
    accepted: Accepted,
    navigates: bool,
    wants: Wants,
    sort: Sort,
}

/// Hashes all that follows the name at once: it is few bits, and a hasher takes its time for each piece.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { names, accepted, navigates, wants, sort } = self;
        names.hash(state);
        let wants_json = *wants == Wants::Json;
        state.write_u32(
            accepted.bits() << 5 | u32::from(*navigates) << 4 | u32::from(wants_json) << 3 | sort.bits(),
        );
    }
}

/// What a name leads to. Made by [`Files::find`] or [`Files::fetch`], and given to [`Files::respond`].
#[derive(Clone, Debug)]
pub struct Found(LookupKind);

#[derive(Clone, Debug)]
enum LookupKind {
    File(Arc<Served>),
    /// A directory, without the `/` that its files are relative to.
    Redirect,
    /// Nothing; and the page that says so.
    Missing(Option<Arc<Served>>),
    Fault(Fault),
}

impl Found {
    /// Whether nothing could be looked for because descriptors, memory or places in a queue have run out: a moment later there may be
    /// some again.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        matches!(self.0, LookupKind::Fault(Fault::Shortage))
    }
}

/// A file that was read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// Its `Content-Type`, if it has one.
    pub content_type: Option<String>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Files to serve.
///
/// [`Files::find`] answers at once, or says that it would have to wait; then [`Files::fetch`] has the same done on a [`Pool`], and its
/// result comes by a closure. [`Files::respond`] makes the response of either. A clone shares everything.
///
/// ```
/// use lws_files::{Files, Memory, Options, Progress, Request};
/// use lws_proto::Time;
/// use lws_proto::http::{HttpDate, Method, Status};
///
/// let files = Files::new(Memory::new().file("hello.txt", "hello"), Options::default());
/// let date = HttpDate::from_unix(1_800_000_000);
/// let fields = [("range", &b"bytes=1-3"[..])];
/// let request = Request::new(Method::Get, "hello.txt", "/hello.txt", None, fields, date);
/// let found = files.find(&request, Time::ZERO, date).expect("memory never waits");
/// let mut response = files.respond(&request, &found, date, &mut || 4);
/// assert_eq!(response.status, Status::PARTIAL_CONTENT);
/// assert_eq!(response.get("Content-Range"), Some("bytes 1-3/5"));
/// let mut out = [0; 16];
/// assert_eq!(response.body.read(&mut out)?, Progress::Bytes(3));
/// assert_eq!(&out[..3], b"ell");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Files(Arc<SharedFiles>);

struct SharedFiles {
    vfs: Box<dyn Vfs>,
    options: Options,
    cache: Cache<Key, Found>,
    flights: Flights<Key, Found>,
    compressing: Running,
}

impl fmt::Debug for SharedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Files {
    /// Those of `vfs`.
    #[must_use]
    pub fn new(vfs: impl Vfs + 'static, options: Options) -> Self {
        let cache = Cache::new(options.cache);
        let (flights, compressing) = Default::default();
        Self(Arc::new(SharedFiles { vfs: Box::new(vfs), options, cache, flights, compressing }))
    }

    /// What the request is for, if that can be said without waiting.
    #[must_use]
    pub fn find(&self, request: &Request, now: Time, date: HttpDate) -> Option<Found> {
        let key = self.0.key(request);
        if let Some(found) = self.0.cache.get(&key, now) {
            return Some(found);
        }
        let found = self.0.look(&key, Clock { wait: Wait::Never, now, date })?;
        if !matches!(found.0, LookupKind::Fault(Fault::Shortage)) {
            return Some(found);
        }
        // What the cache keeps open is what others need now.
        self.0.cache.clear();
        self.0.look(&key, Clock { wait: Wait::Never, now, date })
    }

    /// Has the request looked for on `pool`, and `deliver` called there with what was found: after [`Files::find`] has said `None`. Those
    /// who want the same at the same time have it looked for once.
    ///
    /// # Errors
    /// The pool takes no more, which [`Response::refused`] answers.
    pub fn fetch(
        &self,
        request: &Request,
        now: Time,
        date: HttpDate,
        pool: &Pool,
        deliver: impl FnOnce(Found) + Send + 'static,
    ) -> Result<Ticket, Refusal> {
        let key = self.0.key(request);
        let (shared, wanted) = (Arc::clone(&self.0), key.clone());
        let clock = Clock { wait: Wait::Allowed, now, date };
        let failed = |kind| Found(LookupKind::Fault(Fault::Failed(kind)));
        let work = move || {
            let found = shared.look(&wanted, clock);
            // A tree that cannot make up its mind even when it may wait.
            found.unwrap_or_else(|| failed(io::ErrorKind::WouldBlock))
        };
        let deliver = move |found: Result<Found, _>| {
            deliver(found.unwrap_or_else(|_panicked| failed(io::ErrorKind::Other)));
        };
        self.0.flights.join(key, pool, work, deliver).map(|(ticket, _)| ticket)
    }

    /// Stops waiting for what [`Files::fetch`] was to bring: its request is gone.
    pub fn cancel(&self, ticket: Ticket) {
        self.0.flights.cancel(ticket);
    }

    /// The response to `request`, for which `found` was found. `chance` makes random numbers, for the boundary between several
    /// parts.
    #[must_use]
    pub fn respond(
        &self,
        request: &Request,
        found: &Found,
        date: HttpDate,
        chance: &mut dyn FnMut() -> u64,
    ) -> Response {
        if !matches!(request.method, Method::Get | Method::Head) {
            return Response::method_not_allowed(request);
        }
        match &found.0 {
            LookupKind::File(served) => self.0.admitted(served, request).respond(request, date, chance),
            LookupKind::Redirect => Response::redirect(request),
            LookupKind::Missing(Some(page)) => page.whole(request, Status::NOT_FOUND),
            LookupKind::Missing(None) => {
                // Who goes there is sent the fallback.
                let vary = self.0.options.fallback.as_ref().map_or("Accept", |_| "Accept, Sec-Fetch-Mode");
                Response::error_varying(request, Status::NOT_FOUND, vary)
            }
            LookupKind::Fault(fault) => Response::of_fault(request, *fault),
        }
    }

    /// Reads all of a file, not coded, and waits for it: for what is kept in memory for good, such as the pages of errors. Nothing of it is
    /// kept here.
    ///
    /// # Errors
    /// There is no such file, there are only coded forms of it, it has more than `bytes_max` bytes, or it cannot be read.
    pub fn read(&self, names: &str, bytes_max: usize, now: Time, date: HttpDate) -> io::Result<Document> {
        if !is_downward(names) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let lookup = Lookup { names, accepted: Accepted::IDENTITY, wait: Wait::Allowed, now, date };
        let entry = match self.0.vfs.open(&lookup) {
            Ok(Opened::File(entry)) if entry.coding == Coding::Identity => entry,
            Ok(Opened::File(entry)) => {
                let only = format!("there is only its form coded as {}", entry.coding.token());
                return Err(io::Error::new(io::ErrorKind::NotFound, only));
            }
            Ok(_) => return Err(io::ErrorKind::NotFound.into()),
            Err(Fault::Forbidden) => return Err(io::ErrorKind::PermissionDenied.into()),
            Err(Fault::Shortage) => return Err(io::Error::other("descriptors or memory have run out")),
            Err(Fault::Failed(kind)) => return Err(kind.into()),
        };
        let content_type = self.0.options.types.of(names).map(ToOwned::to_owned);
        Ok(Document { content_type, bytes: entry.content.body().read_all(bytes_max)? })
    }

    /// Closes files that were not used for a while, and returns whether others are kept: while some are it has to be
    /// called again, once a second, say.
    pub fn sweep(&self, now: Time) -> bool {
        self.0.cache.sweep(now)
    }

    /// Closes all files that are kept: descriptors have run out, or all is to be looked at anew.
    pub fn clear(&self) {
        self.0.cache.clear();
    }
}

impl Body {
    /// Has more of the body brought by the pool that gave `slot`, and `deliver` called there with the body: after [`Body::read`] has
    /// said that it would have to wait. `None` comes instead if the code behind it panicked.
    ///
    /// The place is reserved beforehand, so that a body that finds none is still in the hands of the caller, who tries again later.
    pub fn fetch(mut self, slot: Slot, deliver: impl FnOnce(Option<Self>) + Send + 'static) {
        let work = move || {
            self.wait();
            self
        };
        slot.call(work, |body| deliver(body.ok()));
    }
}

/// The circumstances of a lookup.
#[derive(Clone, Copy)]
struct Clock {
    wait: Wait,
    now: Time,
    date: HttpDate,
}

/// Why a lookup has come to no result.
enum Stop {
    WouldBlock,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl SharedFiles {
    fn key(&self, request: &Request) -> Key {
        let Options { listing, fallback, .. } = &self.options;
        // What makes no difference here is left out, so that one file is not kept several times.
        let (wants, sort) = match listing {
            true if is_directory(&request.names) => (request.wants, Sort::of_query(request.query.as_deref())),
            _ => Default::default(),
        };
        let navigates = fallback.is_some() && request.navigates && !has_extension(&request.names);
        Key { names: Arc::clone(&request.names), accepted: request.accepted, navigates, wants, sort }
    }

    /// What a key leads to; `None` if that would have to be waited for.
    fn look(&self, key: &Key, clock: Clock) -> Option<Found> {
        let kind = match self.resolve(key, clock) {
            Ok(kind) => kind,
            Err(Stop::Fault(fault)) => LookupKind::Fault(fault),
            Err(Stop::WouldBlock) => return None,
        };
        let found = Found(kind);
        if let LookupKind::File(served) = &found.0 {
            let (bytes, descriptors) = served.content.cost();
            let plain = served.plain.as_ref().map_or((0, 0), |plain| plain.content.cost());
            let fields =
                served.plain.iter().map(|plain| plain.fields_held()).sum::<usize>() + served.fields_held();
            let bytes = bytes + plain.0 + key.names.len() + FIELDS_BYTES + fields;
            let cost = Cost { bytes, descriptors: descriptors.max(plain.1) };
            self.cache.put(key.clone(), found.clone(), cost, clock.now);
        }
        Some(found)
    }

    fn resolve(&self, key: &Key, clock: Clock) -> Result<LookupKind, Stop> {
        let leads_down = &*key.names == "." || is_downward(key.names.strip_suffix('/').unwrap_or(&key.names));
        if !leads_down || (!self.options.hidden && is_hidden(&key.names)) {
            return self.missing(key, clock);
        }
        if is_directory(&key.names) {
            return self.directory(key, clock);
        }
        // `.` is how the root is named without its slash.
        let names = if &*key.names == "." { "" } else { &key.names };
        match self.open(names, key, clock)? {
            Opened::File(entry) => Ok(LookupKind::File(self.serve(names, entry, key, clock)?)),
            Opened::Directory => Ok(LookupKind::Redirect),
            Opened::NotHere | Opened::WouldBlock => self.missing(key, clock),
        }
    }

    /// A directory with its slash: its index, or a listing.
    fn directory(&self, key: &Key, clock: Clock) -> Result<LookupKind, Stop> {
        let directory = key.names.trim_end_matches('/');
        for index in &self.options.index {
            let names = if directory.is_empty() { index.clone() } else { format!("{directory}/{index}") };
            if let Opened::File(entry) = self.open(&names, key, clock)? {
                return Ok(LookupKind::File(self.serve(&names, entry, key, clock)?));
            }
        }
        if !self.options.listing {
            return self.missing(key, clock);
        }
        // To sort and to write thousands of names takes longer than a turn of a loop should, wherever they come from.
        if clock.wait == Wait::Never {
            return Err(Stop::WouldBlock);
        }
        match self.vfs.list(&lookup(directory, key, clock), LISTED_MAX)? {
            Listing::WouldBlock => Err(Stop::WouldBlock),
            Listing::NotHere => self.missing(key, clock),
            Listing::Names(mut listed, more) => {
                let hidden = self.options.hidden;
                listed.retain(|entry| hidden || !is_hidden_name(&entry.name, directory.is_empty()));
                let page = listing::document(directory, listed, more, key.sort, key.wants);
                let saying = Saying {
                    content_type: Some(page.content_type),
                    cache_control: CacheControl::NoCache.value(),
                    vary: Some("Accept"),
                    content_security_policy: Some(listing::CONTENT_SECURITY_POLICY),
                    fields: &self.options.fields,
                    ..Saying::default()
                };
                Ok(LookupKind::File(Arc::new(Served::new(Entry::of_bytes(page.bytes), saying))))
            }
        }
    }

    /// What is sent where there is nothing.
    fn missing(&self, key: &Key, clock: Clock) -> Result<LookupKind, Stop> {
        if let Some(fallback) = self.options.fallback.as_deref().filter(|_| key.navigates)
            && let Opened::File(entry) = self.open(fallback, key, clock)?
        {
            let saying = Saying {
                cache_control: CacheControl::NoCache.value(),
                by_navigation: true,
                ..Saying::default()
            };
            return Ok(LookupKind::File(self.serve_as(fallback, entry, key, clock, saying)?));
        }
        let Some(page) = &self.options.not_found else { return Ok(LookupKind::Missing(None)) };
        let Opened::File(entry) = self.open(page, key, clock)? else { return Ok(LookupKind::Missing(None)) };
        // It is no representation of what was asked for: it has no validators, no parts, and no conditions.
        let entry = Entry { tag: None, modified: None, ..entry };
        let content_type = self.options.types.of(page);
        let by_navigation = self.options.fallback.is_some();
        let saying = Saying {
            content_type,
            vary: vary(entry.varies, by_navigation),
            without_ranges: true,
            ..Saying::default()
        };
        Ok(LookupKind::Missing(Some(Arc::new(Served::new(entry, saying)))))
    }

    fn open(&self, names: &str, key: &Key, clock: Clock) -> Result<Opened, Stop> {
        match self.vfs.open(&lookup(names, key, clock))? {
            Opened::WouldBlock => Err(Stop::WouldBlock),
            opened => Ok(opened),
        }
    }

    fn serve(&self, names: &str, entry: Entry, key: &Key, clock: Clock) -> Result<Arc<Served>, Stop> {
        let control = self.options.cache_control.of(names, self.options.types.of(names));
        self.serve_as(
            names,
            entry,
            key,
            clock,
            Saying { cache_control: control.value(), ..Saying::default() },
        )
    }

    /// Puts together what is said of a file, of which `saying` has the beginning, and compresses it if that is to be.
    fn serve_as<'a>(
        &'a self,
        names: &str,
        entry: Entry,
        key: &Key,
        clock: Clock,
        saying: Saying<'a>,
    ) -> Result<Arc<Served>, Stop> {
        let content_type = self.options.types.of(names);
        let compression = self.options.compression.filter(|_| content_type.is_some_and(is_compressible));
        let vary = vary(entry.varies || compression.is_some(), saying.by_navigation);
        let saying = Saying { content_type, vary, fields: &self.options.fields, ..saying };
        let coding = compression
            .filter(|_| entry.coding == Coding::Identity)
            .and_then(|compression| compression.coding(entry.content.len(), &key.accepted));
        let coded = match coding {
            Some(coding) => self.compressed(&entry, coding, clock)?,
            None => None,
        };
        let Some(coded) = coded else { return Ok(Arc::new(Served::new(entry, saying))) };
        let plain = Arc::new(Served::new(entry, saying.clone()));
        let mut served = Served::new(coded, Saying { without_ranges: true, ..saying });
        served.plain = Some(plain);
        Ok(Arc::new(served))
    }

    /// The entry in another coding. `None` if that would not be shorter.
    fn compressed(&self, entry: &Entry, coding: Coding, clock: Clock) -> Result<Option<Entry>, Stop> {
        let content = match entry.content.in_memory() {
            // What is small is kept compressed. It takes longer than a turn of a loop should.
            Some(_) if clock.wait == Wait::Never => return Err(Stop::WouldBlock),
            Some(bytes) => match Compressed::whole(bytes, coding) {
                Some(coded) if coded.len() < bytes.len() => Content::from(coded),
                _ => return Ok(None),
            },
            None => {
                let running = Arc::clone(&self.compressing);
                Content::Sequential(Arc::new(Compressed::new(entry.content.clone(), coding, running)))
            }
        };
        let tag = entry.tag.as_ref().map(|tag| tag.coded(coding));
        Ok(Some(Entry { content, coding, tag, modified: entry.modified, varies: true }))
    }

    /// The file, or the file as it is if too many are being compressed and the client takes that as well.
    fn admitted<'a>(&self, served: &'a Arc<Served>, request: &Request) -> &'a Arc<Served> {
        let max = self.options.compression.map_or(usize::MAX, |compression| compression.streams_max);
        let is_full = || self.compressing.load(Ordering::Relaxed) >= max;
        match &served.plain {
            Some(plain)
                if !served.content.is_seekable()
                    && request.accepted.allows(Coding::Identity)
                    && is_full() =>
            {
                plain
            }
            _ => served,
        }
    }
}

/// What is said of a file, put together, apart from what is made ready of it.
const FIELDS_BYTES: usize = 768;

fn lookup<'a>(names: &'a str, key: &Key, clock: Clock) -> Lookup<'a> {
    Lookup { names, accepted: key.accepted, wait: clock.wait, now: clock.now, date: clock.date }
}

/// What another client might be answered otherwise for.
fn vary(by_coding: bool, by_navigation: bool) -> Option<&'static str> {
    match (by_coding, by_navigation) {
        (false, false) => None,
        (true, false) => Some("Accept-Encoding"),
        (false, true) => Some("Accept, Sec-Fetch-Mode"),
        (true, true) => Some("Accept, Accept-Encoding, Sec-Fetch-Mode"),
    }
}

fn is_directory(names: &str) -> bool {
    names.is_empty() || names.ends_with('/')
}

fn has_extension(names: &str) -> bool {
    names.rsplit('/').next().unwrap_or_default().contains('.')
}

/// Whether a name on the way begins with a dot.
fn is_hidden(names: &str) -> bool {
    names.split('/').enumerate().any(|(at, name)| is_hidden_name(name, at == 0))
}

/// RFC 8615 §3: `.well-known` is at the root.
fn is_hidden_name(name: &str, at_root: bool) -> bool {
    name.len() > 1 && name.starts_with('.') && !(at_root && name == ".well-known")
}
