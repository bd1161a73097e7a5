//! What is answered: status, fields and body, made of what was found and what was asked.
//!
//! Opens nothing. All that a response says of a file was put together when the file was found.

use crate::conditions::Decision;
use crate::content::{Body, Content};
use crate::multipart;
use crate::page;
use crate::pool::Refusal;
use crate::vfs::{Entry, Fault};
use crate::{Coding, Part, Representation, Request};
use bytes::Bytes;
use lws_proto::PreparedFields;
use lws_proto::http::{HttpDate, Method, Status};
use std::borrow::Cow;
use std::sync::Arc;

/// A field line of a response.
pub type Field = (Cow<'static, str>, Cow<'static, str>);

/// What is sent.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: Status,
    /// Field lines of a file, and which of them are said.
    shared: Option<(Arc<FileFields>, Extent)>,
    own: Vec<Field>,
    /// The content is a page that was made here, and `own` begins with its type.
    is_error_page: bool,
    /// What `Content-Length` says, which is not among the fields; `None` if that is not known, or if there is no content.
    pub length: Option<u64>,
    /// What is sent behind the head; nothing in the answer to a HEAD.
    pub body: Body,
}

impl Response {
    fn new(status: Status) -> Self {
        let own = Vec::new();
        Self { status, shared: None, own, is_error_page: false, length: None, body: Body::empty() }
    }

    fn shared(mut self, served: &Served, extent: Extent) -> Self {
        self.shared = Some((Arc::clone(&served.fields), extent));
        self
    }

    fn field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.own.push((name.into(), value.into()));
        self
    }

    fn content(mut self, request: &Request, length: Option<u64>, body: impl FnOnce() -> Body) -> Self {
        self.length = length;
        if request.method != Method::Head {
            self.body = body();
        }
        self
    }

    /// The field lines, but for `Content-Length`, `Date`, and what concerns the connection.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shared_lines().iter().chain(&self.own).map(|(name, value)| (&**name, &**value))
    }

    /// The same field lines: those that were made ready when the file was found, if they were, and the others. Ready ones have the
    /// `Content-Length` too, if there is one.
    pub fn prepared_and_other_fields(&self) -> (Option<&PreparedFields>, impl Iterator<Item = (&str, &str)>) {
        let prepared = self.shared.as_ref().and_then(|(fields, extent)| fields.prepared(*extent));
        let shared = if prepared.is_some() { &[] } else { self.shared_lines() };
        (prepared, shared.iter().chain(&self.own).map(|(name, value)| (&**name, &**value)))
    }

    fn shared_lines(&self) -> &[Field] {
        self.shared.as_ref().map(|(fields, extent)| fields.lines(*extent)).unwrap_or_default()
    }

    /// The value of the first field line called `name`, in whatever case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether it reports an error by a page that was made here, and not by a file.
    #[must_use]
    pub fn has_error_page(&self) -> bool {
        self.is_error_page && self.status.code() >= 400
    }

    /// Puts another page in the place of the one that was made here for an error; nothing if [there is none](Self::has_error_page).
    pub fn set_error_page(&mut self, request: &Request, content_type: Cow<'static, str>, page: Bytes) {
        if !self.has_error_page() {
            return;
        }
        debug_assert!(self.own.first().is_some_and(|(name, _)| name == "Content-Type"));
        if let Some((_, own)) = self.own.first_mut() {
            *own = content_type;
        }
        self.length = Some(page.len() as u64);
        if request.method != Method::Head {
            self.body = Content::from(page).body();
        }
    }

    /// An error, in the form that the client prefers.
    pub(crate) fn error(request: &Request, status: Status) -> Self {
        Self::error_varying(request, status, "Accept")
    }

    /// An error that another client would not get, or in another form: by the fields that `vary` names.
    pub(crate) fn error_varying(request: &Request, status: Status, vary: &'static str) -> Self {
        let page = page::of_error(status, request.wants);
        let response = Self { is_error_page: true, ..Self::new(status) };
        response.field("Content-Type", page.content_type).field("Vary", vary).content(
            request,
            Some(page.bytes.len() as u64),
            || Content::from(page.bytes).body(),
        )
    }

    /// A directory without the `/` that its files are relative to.
    ///
    /// Caches would keep a 301 for as long as they like (RFC 9110 §15.1), and the name may be that of a file one day.
    pub(crate) fn redirect(request: &Request) -> Self {
        let redirect = Self::error(request, Status::MOVED_PERMANENTLY);
        redirect.field("Location", request.with_slash()).field("Cache-Control", "no-cache")
    }

    /// A method that files do not have. RFC 9110 §15.5.6.
    pub(crate) fn method_not_allowed(request: &Request) -> Self {
        Self::error(request, Status::METHOD_NOT_ALLOWED).field("Allow", "GET, HEAD")
    }

    pub(crate) fn of_fault(request: &Request, fault: Fault) -> Self {
        match fault {
            Fault::Forbidden => Self::error(request, Status::FORBIDDEN),
            Fault::Shortage => Self::error(request, Status::SERVICE_UNAVAILABLE).field("Retry-After", "1"),
            Fault::Failed(_) => Self::error(request, Status::INTERNAL_SERVER_ERROR),
        }
    }

    /// What is answered when the pool takes no more.
    #[must_use]
    pub fn refused(request: &Request, refusal: Refusal) -> Self {
        let _ = refusal;
        Self::unavailable(request)
    }

    /// What is answered when a disk does not: 503, and that it may be otherwise in a second.
    #[must_use]
    pub fn unavailable(request: &Request) -> Self {
        Self::of_fault(request, Fault::Shortage)
    }
}

/// A file that was found, with everything that is said of it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) content: Content,
    pub(crate) representation: Representation,
    content_type: Option<String>,
    vary: Option<&'static str>,
    fields: Arc<FileFields>,
    /// The file as it is, for when too many are being compressed.
    pub(crate) plain: Option<Arc<Served>>,
}

/// The field lines of a file.
#[derive(Debug)]
struct FileFields {
    /// First what a 304 says as well, then what belongs to the content, then `Content-Type` if there is one.
    lines: Box<[Field]>,
    /// How many of them a 304 has.
    about_len: usize,
    /// Whether the last one is `Content-Type`.
    has_type: bool,
    /// All of them, and the length; `None` if the application has added some that cannot be written.
    whole: Option<PreparedFields>,
    /// Those that a 304 has.
    about: Option<PreparedFields>,
}

/// Which field lines of a file a response has.
#[derive(Clone, Copy, Debug)]
enum Extent {
    /// All, and the length of the whole content.
    Whole,
    /// All, with content of another length.
    Part,
    /// Those without `Content-Type`, which stands in the parts of the content.
    Parts,
    /// Those that do not belong to content.
    About,
}

impl FileFields {
    fn new(lines: Vec<Field>, about_len: usize, has_type: bool, len: Option<u64>) -> Self {
        let octets = |(name, value): &Field| (name.clone().into_owned(), value.clone().into_owned());
        let len = len.map(|len| ("Content-Length".to_owned(), len.to_string()));
        let whole = PreparedFields::new(lines.iter().map(octets).chain(len)).ok();
        let about = PreparedFields::new(lines.iter().take(about_len).map(octets)).ok();
        Self { lines: lines.into(), about_len, has_type, whole, about }
    }

    fn lines(&self, extent: Extent) -> &[Field] {
        let len = match extent {
            Extent::Whole | Extent::Part => self.lines.len(),
            Extent::Parts => self.lines.len() - usize::from(self.has_type),
            Extent::About => self.about_len,
        };
        self.lines.get(..len).unwrap_or_default()
    }

    /// Those of a response, if they are made ready.
    fn prepared(&self, extent: Extent) -> Option<&PreparedFields> {
        match extent {
            Extent::Whole => self.whole.as_ref(),
            Extent::About => self.about.as_ref(),
            Extent::Part | Extent::Parts => None,
        }
    }

    /// Bytes of memory that those that are made ready take.
    fn held(&self) -> usize {
        [&self.whole, &self.about].into_iter().flatten().map(PreparedFields::held).sum()
    }
}

/// What is said of a file apart from what it is.
#[derive(Clone, Default)]
pub(crate) struct Saying<'a> {
    pub(crate) content_type: Option<&'a str>,
    pub(crate) cache_control: Option<Cow<'static, str>>,
    pub(crate) vary: Option<&'static str>,
    pub(crate) content_security_policy: Option<&'static str>,
    /// Field lines that the application has added.
    pub(crate) fields: &'a [Field],
    /// Whether parts are refused though the content could be read from any position.
    pub(crate) without_ranges: bool,
    /// Whether it is sent only to who goes there.
    pub(crate) by_navigation: bool,
}

impl Served {
    pub(crate) fn new(entry: Entry, saying: Saying<'_>) -> Self {
        let mut representation = entry.representation();
        representation.ranges &= !saying.without_ranges;
        let mut fields: Vec<Field> = Vec::with_capacity(8);
        let mut push = |name: &'static str, value: Option<Cow<'static, str>>| {
            fields.extend(value.map(|value| (name.into(), value)));
        };
        push("ETag", entry.tag.as_ref().map(|tag| tag.to_string().into()));
        push("Last-Modified", entry.modified.map(|date| date.to_string().into()));
        push("Cache-Control", saying.cache_control);
        push("Vary", saying.vary.map(Into::into));
        fields.extend_from_slice(saying.fields);
        let about = fields.len();
        let mut push = |name: &'static str, value: Option<Cow<'static, str>>| {
            fields.extend(value.map(|value| (name.into(), value)));
        };
        let is_coded = entry.coding != Coding::Identity;
        push("Content-Encoding", is_coded.then(|| entry.coding.token().into()));
        push("Accept-Ranges", representation.ranges.then(|| "bytes".into()));
        push("Content-Security-Policy", saying.content_security_policy.map(Into::into));
        // Where nothing is known of the type, a browser is not to guess.
        let is_unknown = matches!(saying.content_type, None | Some("application/octet-stream"));
        push("X-Content-Type-Options", is_unknown.then(|| "nosniff".into()));
        push("Content-Type", saying.content_type.map(|kind| kind.to_owned().into()));
        let has_type = saying.content_type.is_some();
        let fields = FileFields::new(fields, about, has_type, representation.len);
        Self {
            content: entry.content,
            representation,
            content_type: saying.content_type.map(Into::into),
            vary: saying.vary,
            fields: Arc::new(fields),
            plain: None,
        }
    }

    /// Bytes of memory that its field lines take where they are made ready.
    pub(crate) fn fields_held(&self) -> usize {
        self.fields.held()
    }

    /// Answers to a request for this file.
    pub(crate) fn respond(
        &self,
        request: &Request,
        date: HttpDate,
        chance: &mut dyn FnMut() -> u64,
    ) -> Response {
        let Request { method, accepted, conditions, .. } = request;
        match conditions.decide(*method, accepted, &self.representation, date) {
            Decision::Whole => self.whole(request, Status::OK),
            Decision::Part(part) => self.part(request, part),
            Decision::Parts(parts) => self.parts(request, &parts, chance),
            Decision::NotModified => Response::new(Status::NOT_MODIFIED).shared(self, Extent::About),
            Decision::NotAcceptable => self.error(request, Status::NOT_ACCEPTABLE),
            Decision::PreconditionFailed => self.error(request, Status::PRECONDITION_FAILED),
            Decision::RangeNotSatisfiable => {
                let range = format!("bytes */{}", self.len());
                self.error(request, Status::RANGE_NOT_SATISFIABLE).field("Content-Range", range)
            }
        }
    }

    /// All of it, with `status`.
    pub(crate) fn whole(&self, request: &Request, status: Status) -> Response {
        let response = Response::new(status).shared(self, Extent::Whole);
        response.content(request, self.representation.len, || self.content.body())
    }

    fn part(&self, request: &Request, part: Part) -> Response {
        let range = format!("bytes {}-{}/{}", part.first, part.last(), self.len());
        let response = Response::new(Status::PARTIAL_CONTENT).shared(self, Extent::Part);
        response.field("Content-Range", range).content(request, Some(part.len), || {
            let mut pieces = Vec::with_capacity(1);
            self.content.push_part(part, &mut pieces);
            Body::of_pieces(pieces)
        })
    }

    fn parts(&self, request: &Request, parts: &[Part], chance: &mut dyn FnMut() -> u64) -> Response {
        let framed = multipart::frame(&self.content, self.len(), self.content_type.as_deref(), parts, chance);
        let body = Body::of_pieces(framed.pieces);
        // The type of the content stands in its parts.
        let response = Response::new(Status::PARTIAL_CONTENT).shared(self, Extent::Parts);
        response.field("Content-Type", framed.content_type).content(request, body.len(), || body)
    }

    fn len(&self) -> u64 {
        self.representation.len.unwrap_or_default()
    }

    /// An error about this file.
    fn error(&self, request: &Request, status: Status) -> Response {
        let vary = match self.vary {
            Some("Accept-Encoding") => "Accept, Accept-Encoding",
            Some(vary) => vary,
            None => "Accept",
        };
        Response::error_varying(request, status, vary)
    }
}
