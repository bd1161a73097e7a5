//! Files behind a path: those of a directory, or embedded ones.
//!
//! Decides what a path means and what is answered; how a name is opened without leaving its root is `open.rs`, and the
//! rules of conditions and ranges are `conditions.rs` and `range.rs`.

mod assets;
mod conditions;
mod entity;
mod open;
mod range;
pub(crate) mod shelf;
mod transfer;
mod types;

use crate::Context;
use crate::http::{self, Answer, Exchange, Handler, HttpDate, Method, Request, Response, Status};
use crate::route::endpoint::Endpoint;
pub use assets::Asset;
use assets::Assets;
use conditions::Evaluation;
use entity::{Entity, Identity};
pub use open::Links;
use open::Root;
use range::Part;
use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::rc::Rc;
use transfer::Transfer;

/// Files to serve: GET and HEAD, with conditional requests and single ranges. RFC 9110 §13 and §14.
///
/// A directory is answered with its `index.html`, or 404: there are no listings. One that is asked for without the `/` at
/// its end is redirected. Only regular files are served, and none whose name, or that of a directory above it, begins
/// with a dot, except below `.well-known`.
///
/// ```no_run
/// use lws_server::{Server, files::{Files, Links}};
///
/// let files = Files::directory("public")?.links(Links::Refused).field("Cache-Control", "max-age=60");
/// let server = Server::builder().listen("127.0.0.1:7681").mount("/", files).build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Files {
    source: FileSource,
    index: Cow<'static, str>,
    dot_files: bool,
    fields: Vec<(&'static str, Cow<'static, str>)>,
}

#[derive(Clone, Debug)]
enum FileSource {
    Directory(Root),
    Assets(Assets),
}

impl Files {
    /// Those of `directory`.
    ///
    /// # Errors
    /// If it cannot be opened, with its name in the message.
    pub fn directory(directory: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::new(FileSource::Directory(Root::open(directory.as_ref())?)))
    }

    /// Embedded ones.
    pub fn assets(assets: &'static [Asset]) -> Self {
        Self::new(FileSource::Assets(Assets::new(assets)))
    }

    fn new(source: FileSource) -> Self {
        Self { source, index: "index.html".into(), dot_files: false, fields: Vec::new() }
    }

    /// Which symbolic links are followed. Default [`Links::Inside`].
    pub fn links(mut self, links: Links) -> Self {
        if let FileSource::Directory(root) = &mut self.source {
            root.links = links;
        }
        self
    }

    /// The file that stands for its directory. Default `index.html`.
    pub fn index(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.index = name.into();
        self
    }

    /// Whether names that begin with a dot are served. Default no.
    pub fn dot_files(mut self, served: bool) -> Self {
        self.dot_files = served;
        self
    }

    /// Adds a field line to the responses that carry a file or say that it has not changed: `Cache-Control` (RFC 9111 §5.2),
    /// say. Without that one caches decide by `Last-Modified`.
    #[doc(alias = "cache_max_age")]
    pub fn field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(crate) fn mounted_at(self, path: &str) -> Mount {
        Mount { prefix: path.trim_matches('/').into(), files: Rc::new(self) }
    }

    /// What `names` below the root stand for.
    fn find(self: &Rc<Self>, names: &str, now: Option<HttpDate>) -> Result<Found, Status> {
        if !self.dot_files && is_hidden(names) {
            return Err(Status::NOT_FOUND);
        }
        let directory = names.is_empty() || names.ends_with('/');
        let indexed;
        let name = if directory {
            indexed = format!("{names}{}", self.index);
            &*indexed
        } else {
            names
        };
        match &self.source {
            FileSource::Directory(_) => {
                let (metadata, file) = self.open(name).map_err(|error| status_of(&error))?;
                if metadata.is_dir() && !directory {
                    return Ok(Found::Directory);
                }
                let entity = Entity::of_file(name, &metadata, now).ok_or(Status::NOT_FOUND)?;
                let file = file.ok_or(Status::NOT_FOUND)?;
                let (name, identity) = (name.into(), Identity::of(&metadata));
                let opened = Opened { files: Rc::clone(self), name, file, identity };
                Ok(Found::File(entity, EntityContent::File(opened)))
            }
            FileSource::Assets(assets) => match assets.find(name) {
                Some((entity, content)) => Ok(Found::File(entity, EntityContent::Static(content))),
                None if assets.is_directory(name) => Ok(Found::Directory),
                None => Err(Status::NOT_FOUND),
            },
        }
    }

    /// Opens what a name below the root leads to, if that is a regular file.
    fn open(&self, name: &str) -> io::Result<(Metadata, Option<File>)> {
        let FileSource::Directory(root) = &self.source else { return Err(io::ErrorKind::NotFound.into()) };
        root.open_file(name)
    }

    /// The head of a response with all of `entity`, but for its length.
    fn whole(&self, entity: &Entity) -> Response {
        self.head(Status::OK, entity).content_type(entity.content_type).field("Accept-Ranges", "bytes")
    }

    /// The head of a response about `entity`.
    fn head(&self, status: Status, entity: &Entity) -> Response {
        let mut response = Response::new(status).field("ETag", entity.etag.clone());
        if let Some(date) = entity.last_modified {
            response = response.field("Last-Modified", date.to_string());
        }
        for (name, value) in &self.fields {
            response = response.field(*name, value.clone());
        }
        response
    }
}

/// What a path stands for.
enum Found {
    File(Entity, EntityContent),
    /// A directory, without the `/` that its files are relative to.
    Directory,
}

enum EntityContent {
    File(Opened),
    Static(&'static [u8]),
}

/// A file that was opened, and how it is found again.
struct Opened {
    files: Rc<Files>,
    name: Box<str>,
    file: File,
    identity: Identity,
}

/// Files at a path.
pub(crate) struct Mount {
    /// Invariant: without a `/` at either end.
    prefix: Box<str>,
    files: Rc<Files>,
}

impl Endpoint for Mount {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn Handler>> {
        let now = Some(cx.unix_seconds()).filter(|seconds| *seconds > 0);
        let now = now.map(|seconds| HttpDate::from_unix(seconds.into()));
        match self.reply(request, now) {
            Reply::Whole(response) => response.answer(cx, exchange, end),
            Reply::Streamed(head, file, part) => Transfer::begin(cx, file, head, part, exchange),
        }
    }
}

/// What is answered to a request.
enum Reply {
    Whole(Response),
    /// The head, and then this part of the file.
    Streamed(Response, Opened, Part),
}

impl Mount {
    fn reply(&self, request: &Request<'_>, now: Option<HttpDate>) -> Reply {
        let found = match self.names_below(request) {
            Some(names) => self.files.find(&names, now),
            None => Err(Status::NOT_FOUND),
        };
        match found {
            Ok(Found::File(entity, content)) => self.files.reply(request, &entity, content, now),
            Ok(Found::Directory) => Reply::Whole(redirect(request)),
            Err(status) => Reply::Whole(Response::error(status)),
        }
    }

    /// What the path of the request leads through below the mount.
    fn names_below(&self, request: &Request<'_>) -> Option<String> {
        let names = http::normalize_path(request.path())?;
        if self.prefix.is_empty() {
            return Some(names);
        }
        match names.strip_prefix(&*self.prefix)? {
            // The mount itself, without its slash.
            "" => Some(".".into()),
            below => below.strip_prefix('/').map(Into::into),
        }
    }
}

impl Files {
    fn reply(
        &self,
        request: &Request<'_>,
        entity: &Entity,
        content: EntityContent,
        now: Option<HttpDate>,
    ) -> Reply {
        let (part, head) = match conditions::evaluate(request, entity, now) {
            Evaluation::NotModified => return Reply::Whole(self.head(Status::NOT_MODIFIED, entity)),
            Evaluation::Failed => return Reply::Whole(Response::error(Status::PRECONDITION_FAILED)),
            Evaluation::Unsatisfiable => {
                let range = format!("bytes */{}", entity.len);
                let response = Response::error(Status::RANGE_NOT_SATISFIABLE);
                return Reply::Whole(response.field("Content-Range", range));
            }
            Evaluation::Whole => (Part { first: 0, len: entity.len }, self.head(Status::OK, entity)),
            Evaluation::Part(part) => {
                let range = format!("bytes {}-{}/{}", part.first, part.last(), entity.len);
                (part, self.head(Status::PARTIAL_CONTENT, entity).field("Content-Range", range))
            }
        };
        let head = head.content_type(entity.content_type).field("Accept-Ranges", "bytes");
        match content {
            _ if request.method() == Method::Head => {
                Reply::Whole(head.field("Content-Length", part.len.to_string()))
            }
            EntityContent::Static(bytes) => Reply::Whole(head.content(part.of(bytes))),
            EntityContent::File(_) if part.len == 0 => Reply::Whole(head),
            EntityContent::File(file) => Reply::Streamed(head, file, part),
        }
    }
}

/// Whether a name on the way begins with a dot. RFC 8615 §3: `.well-known` is at the root.
fn is_hidden(names: &str) -> bool {
    names
        .split('/')
        .enumerate()
        .any(|(at, name)| name.len() > 1 && name.starts_with('.') && !(at == 0 && name == ".well-known"))
}

/// To the same name with `/` behind it, with the escapes that the peer has written. Relative, so that it holds behind a proxy too;
/// and beginning with `./`, so that no name is taken for a scheme or a server. RFC 3986 §4.2.
fn redirect(request: &Request<'_>) -> Response {
    let path = request.raw_path();
    let name = path.rsplit('/').next().unwrap_or_default();
    let location = match request.query() {
        Some(query) => format!("./{name}/?{query}"),
        None => format!("./{name}/"),
    };
    Response::error(Status::MOVED_PERMANENTLY).field("Location", location)
}

/// What a failure to open says to the peer.
fn status_of(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Status::FORBIDDEN,
        _ if open::is_shortage(error) => Status::SERVICE_UNAVAILABLE,
        // No such name, one that is no directory, a link that may not be followed, a name that is too long.
        _ => Status::NOT_FOUND,
    }
}
