//! Files that are sent in place of the server's own words for errors.
//!
//! They lie in memory, as a response that reports an error waits for no disk. Behind responses that have used one it is read
//! again, by a thread that may wait.

use super::Files;
use crate::http::{CONTENT_BYTES_MAX, ErrorContent, ErrorRenderer, ErrorReport, RenderError, Status};
use lws_files::Pool;
use lws_proto::Time;
use lws_proto::http::HttpDate;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long a document is believed to be as it was.
const FRESH: Duration = Duration::from_secs(1);

/// The files that a site sends with responses that report an error, by their status codes: for
/// [`Builder::error_documents`](crate::Builder::error_documents) and [`SiteSettings::errors`](crate::SiteSettings::errors).
///
/// They stand in place of what the server says itself, wherever the error came about: no route (404), a method that a path does not have
/// (405), a guard (401, 403), files, an upstream server that does not answer (502), [`Response::error`](crate::http::Response::error) of a
/// handler, and, if they have at most [`REFUSAL_BYTES_MAX`](crate::http::REFUSAL_BYTES_MAX) bytes, requests that the engine cannot
/// understand. Status code and field lines stay. They do not stand in place of content that a handler has written, of a sentence that says
/// more than the status code does, or of [`Files::not_found`]; a client that likes JSON better than HTML gets problem details (RFC 9457) as
/// without them.
///
/// ```
/// use lws_server::files::{ErrorDocuments, Files, Memory};
/// use lws_server::{Server, http::Status, testing};
///
/// let pages = Files::new(Memory::new().file("404.html", "<h1>Not here</h1>").file("50x.html", "<h1>Later</h1>"));
/// let documents = ErrorDocuments::new().status(Status::NOT_FOUND, &pages, "404.html")?.server_errors(&pages, "50x.html")?;
/// let t = testing::Server::new(Server::builder().mount("/", pages).error_documents(documents))?;
/// assert_eq!(t.get("/nowhere").send().text(), "<h1>Not here</h1>");
/// assert_eq!(t.get("/nowhere").send().status(), 404);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Each is read when it is named here, and again about once a second while it is in use: what was put in its place is sent a moment
/// later. One that cannot be read any more is sent as it was.
#[derive(Clone, Debug, Default)]
#[doc(alias = "error_page")]
#[must_use]
pub struct ErrorDocuments(Vec<(ErrorCodes, Arc<Document>)>);

/// The status codes that a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorCodes {
    One(Status),
    /// Those that begin with this digit.
    Class(u16),
}

/// A file, and what it was when it was read last.
struct Document {
    files: lws_files::Files,
    name: Box<str>,
    read: Mutex<lws_files::Document>,
    /// It was sent since it was read last.
    used: AtomicBool,
    /// A thread is reading it.
    reading: AtomicBool,
    /// When it was read last, in microseconds of the server's clock.
    read_at: AtomicU64,
}

impl ErrorCodes {
    /// How well a document for these is one for `status`; `None` if it is not.
    fn suits(self, status: Status) -> Option<u8> {
        match self {
            Self::One(one) => (one == status).then_some(1),
            Self::Class(digit) => (status.code() / 100 == digit).then_some(0),
        }
    }
}

impl Document {
    /// Reads it, and waits for it.
    fn open(files: &Files, name: &str) -> io::Result<Arc<Self>> {
        let files = files.shared();
        let read = read(&files, name, Time::ZERO);
        let read = read.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        let (used, reading, read_at) = Default::default();
        Ok(Arc::new(Self { files, name: name.into(), read: Mutex::new(read), used, reading, read_at }))
    }

    fn content(&self) -> ErrorContent {
        self.used.store(true, Ordering::Relaxed);
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let content_type = read.content_type.map_or(Cow::Borrowed("application/octet-stream"), Cow::Owned);
        ErrorContent { content_type, content: read.bytes }
    }

    /// Has it read again if it was sent and is not fresh. It stays as it was if it cannot be read, or the pool takes no more.
    fn refresh(self: &Arc<Self>, now: Time, pool: &Pool) {
        let fresh_until = Time::from_micros(self.read_at.load(Ordering::Relaxed)) + FRESH;
        if now < fresh_until
            || !self.used.load(Ordering::Relaxed)
            || self.reading.swap(true, Ordering::Acquire)
        {
            return;
        }
        let Ok(slot) = pool.reserve() else {
            self.reading.store(false, Ordering::Release);
            return;
        };
        self.used.store(false, Ordering::Relaxed);
        self.read_at.store(now.as_micros(), Ordering::Relaxed);
        let (document, finished) = (Arc::clone(self), Arc::clone(self));
        let work = move || {
            if let Ok(read) = read(&document.files, &document.name, now) {
                *document.read.lock().unwrap_or_else(PoisonError::into_inner) = read;
            }
        };
        slot.call(work, move |_| finished.reading.store(false, Ordering::Release));
    }
}

/// Reads what becomes the content of a response.
fn read(files: &lws_files::Files, name: &str, now: Time) -> io::Result<lws_files::Document> {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let date = HttpDate::from_unix(i64::try_from(unix).unwrap_or(i64::MAX));
    files.read(name, CONTENT_BYTES_MAX, now, date)
}

impl ErrorDocuments {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends the file `name` of `files` with `status`. The path of the name begins at the root of `files`, without `/` in front.
    ///
    /// # Errors
    /// It cannot be read, or has more than [`CONTENT_BYTES_MAX`] bytes; with its name in the message.
    pub fn status(self, status: Status, files: &Files, name: &str) -> io::Result<Self> {
        self.add(ErrorCodes::One(status), files, name)
    }

    /// Sends the file `name` of `files` with 4xx that have no document of their own.
    ///
    /// # Errors
    /// As for [`status`](Self::status).
    pub fn client_errors(self, files: &Files, name: &str) -> io::Result<Self> {
        self.add(ErrorCodes::Class(4), files, name)
    }

    /// Sends the file `name` of `files` with 5xx that have no document of their own.
    ///
    /// # Errors
    /// As for [`status`](Self::status).
    pub fn server_errors(self, files: &Files, name: &str) -> io::Result<Self> {
        self.add(ErrorCodes::Class(5), files, name)
    }

    /// Of two documents for one status code the one that comes later counts.
    fn add(mut self, codes: ErrorCodes, files: &Files, name: &str) -> io::Result<Self> {
        let document = Document::open(files, name)?;
        self.0.retain(|(others, _)| *others != codes);
        self.0.push((codes, document));
        Ok(self)
    }

    /// Has those read again that were sent and may have changed since. Waits for nothing.
    fn refresh(&self, now: Time, pool: &Pool) {
        self.0.iter().for_each(|(_, document)| document.refresh(now, pool));
    }
}

impl From<ErrorDocuments> for ErrorRenderer {
    fn from(documents: ErrorDocuments) -> Self {
        let refreshed = documents.clone();
        Self::refreshed(documents, move |now, pool| refreshed.refresh(now, pool))
    }
}

impl RenderError for ErrorDocuments {
    fn render(&self, error: &ErrorReport<'_>) -> Option<ErrorContent> {
        let status = error.status();
        // Who reads a sentence about their request needs it more than a page that all get. The engine's are for peers that cannot be
        // understood, which no page would help either.
        let says_more = error.target().is_some() && error.reason() != status.reason();
        let kinds = ["text/html", "application/problem+json", "application/json"];
        let likes_json = error.preferred_type(&kinds).is_some_and(|kind| kind != kinds[0]);
        if says_more || likes_json {
            return None;
        }
        let suiting = self.0.iter().filter_map(|(codes, document)| Some((codes.suits(status)?, document)));
        suiting.max_by_key(|(fit, _)| *fit).map(|(_, document)| document.content())
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}
