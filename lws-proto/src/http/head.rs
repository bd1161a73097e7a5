//! A request or response head, or a trailer section, as the application sees it. RFC 9110 §6.
//!
//! Positions in borrowed bytes: nothing is copied, no map is built.

use super::chars::{is_field_value, is_token};
use super::target::split_query;
use super::{Authority, Method, Status, Target};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// The version that a message was sent with. RFC 9110 §2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, or a later minor version of HTTP/1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// The position of a field line in the bytes of its section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldSpan {
    pub(crate) name: u32,
    pub(crate) name_len: u32,
    pub(crate) value: u32,
    pub(crate) value_len: u32,
}

/// The positions of the parts of the first line in the bytes of the head.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StartLine {
    Request {
        method: Method,
        method_span: (u32, u32),
        target: (u32, u32),
        version: Version,
        /// The value of `:protocol` of an extended CONNECT; empty for every other request. RFC 8441 §4.
        protocol: (u32, u32),
        /// The value of `Host`, which almost every request is looked up by.
        host: Option<(u32, u32)>,
        /// Whether it may ask for another protocol: false where neither an `Upgrade` field nor `:protocol` is, so that most requests
        /// are not searched for them.
        upgrade: bool,
    },
    Response {
        status: Status,
        reason: (u32, u32),
        version: Version,
    },
    /// A trailer section has none.
    Trailers,
}

/// A head or trailer section: the first line, and field lines in the order in which they came. RFC 9110 §5.2.
#[doc(alias = "headers")]
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) start: &'a StartLine,
    pub(crate) fields: &'a [FieldSpan],
}

/// A head that outlives the event that lent it, for an answer that comes later.
#[derive(Clone)]
pub struct HeadBuf {
    bytes: Box<[u8]>,
    start: StartLine,
    fields: Box<[FieldSpan]>,
}

impl HeadBuf {
    /// The head again.
    #[must_use]
    pub fn lend(&self) -> Head<'_> {
        Head { bytes: &self.bytes, start: &self.start, fields: &self.fields }
    }

    /// The head of a request for `target` in the place of this one, for a server that answers with another of its own
    /// resources. It is a GET, or HEAD if this is one, with the fields of this one but those about content. `None` if
    /// `target` is no path with perhaps a query, or this is no request.
    ///
    /// RFC 3875 §6.2.2 has local redirects for scripts.
    ///
    /// ```
    /// use lws_proto::{Connection, Event, Time};
    ///
    /// let mut server = Connection::server(Time::ZERO, Default::default());
    /// let mut input = *b"POST /script HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX: 1\r\n\r\n";
    /// let mut feed = server.receive(Time::ZERO, &mut input);
    /// let Some(Event::Request { head, .. }) = feed.next_event() else { panic!("it is a request") };
    /// let redirected = head.to_buf().local_redirect("/other?q").expect("a path");
    /// let head = redirected.lend();
    /// assert_eq!((head.method_name(), head.path(), head.query()), ("GET", "/other", Some("q")));
    /// assert_eq!((head.get("x"), head.get("content-length")), (Some(&b"1"[..]), None));
    /// assert!(redirected.local_redirect("http://a.example/").is_none());
    /// ```
    #[must_use]
    pub fn local_redirect(&self, target: &str) -> Option<Self> {
        let StartLine::Request { version, host, upgrade, .. } = self.start else { return None };
        let Some(Target::Origin { .. }) = Target::parse(Method::Get, target) else { return None };
        let head = self.lend();
        let method = if head.method() == Method::Head { Method::Head } else { Method::Get };
        let mut bytes = self.bytes.to_vec();
        let mut append = |text: &str| {
            let at = u32::try_from(bytes.len()).ok()?;
            bytes.extend_from_slice(text.as_bytes());
            Some((at, u32::try_from(text.len()).ok()?))
        };
        let method_span = append(if method == Method::Head { "HEAD" } else { "GET" })?;
        let (target, protocol) = (append(target)?, (0, 0));
        // RFC 9112 §3.2.2: the authority of the target overrides `Host`, and the new target has none.
        let authority = head.parsed_target().and_then(|target| target.authority());
        let host = match authority {
            Some(authority) => Some(append(&alloc::format!("{authority}"))?),
            None => host,
        };
        let start = StartLine::Request { method, method_span, target, version, protocol, host, upgrade };
        let is_about_content = |field: &FieldSpan| {
            let name = head.text((field.name, field.name_len));
            ["content-length", "content-type", "content-encoding", "transfer-encoding", "expect", "trailer"]
                .iter()
                .any(|other| name.eq_ignore_ascii_case(other))
        };
        let with_host = |field: &FieldSpan| match host {
            Some((value, value_len))
                if head.text((field.name, field.name_len)).eq_ignore_ascii_case("host") =>
            {
                FieldSpan { value, value_len, ..*field }
            }
            _ => *field,
        };
        let fields = self.fields.iter().filter(|field| !is_about_content(field)).map(with_host).collect();
        Some(Self { bytes: bytes.into(), start, fields })
    }

    /// The same head with other fields: without those whose names `is_kept` refuses, and with `added` behind the rest. `None` if a field that
    /// is added could not be written, or the fields have no room in 32 bits.
    ///
    /// ```
    /// use lws_proto::{Connection, Event, Time};
    ///
    /// let mut server = Connection::server(Time::ZERO, Default::default());
    /// let mut input = *b"GET / HTTP/1.1\r\nHost: a\r\nRemote-User: root\r\n\r\n";
    /// let mut feed = server.receive(Time::ZERO, &mut input);
    /// let Some(Event::Request { head, .. }) = feed.next_event() else { panic!("it is a request") };
    /// let is_kept = |name: &str| !name.eq_ignore_ascii_case("remote-user");
    /// let changed = head.to_buf().with_fields(is_kept, [("Remote-User", &b"ann"[..])]).expect("a field");
    /// assert!(changed.lend().get_all("remote-user").eq([b"ann"]));
    /// assert_eq!(changed.lend().host(), Some(&b"a"[..]));
    /// ```
    #[must_use]
    pub fn with_fields<'f>(
        &self,
        is_kept: impl Fn(&str) -> bool,
        added: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    ) -> Option<Self> {
        let head = self.lend();
        let mut bytes = self.bytes.to_vec();
        let mut append = |octets: &[u8]| {
            let at = u32::try_from(bytes.len()).ok()?;
            bytes.extend_from_slice(octets);
            u32::try_from(bytes.len()).ok()?;
            Some((at, u32::try_from(octets.len()).ok()?))
        };
        let kept = self.fields.iter().filter(|field| is_kept(head.text((field.name, field.name_len))));
        let mut fields: Vec<_> = kept.copied().collect();
        for (name, value) in added {
            if !is_token(name.as_bytes()) || !is_field_value(value) {
                return None;
            }
            let ((name, name_len), (value, value_len)) = (append(name.as_bytes())?, append(value)?);
            fields.push(FieldSpan { name, name_len, value, value_len });
        }
        let mut start = self.start;
        if let StartLine::Request { upgrade, .. } = &mut start {
            *upgrade = true;
        }
        Some(Self { bytes: bytes.into(), start, fields: fields.into() })
    }

    /// The bytes of memory that it holds: this value itself, the section as far as a part of the head stands in it, and where each field stands.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len() + size_of_val(&*self.fields)
    }
}

impl fmt::Debug for HeadBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lend().fmt(f)
    }
}

impl<'a> Head<'a> {
    /// No fields and no first line: where there is no head to lend.
    pub(crate) const EMPTY: Self = Self { bytes: &[], start: &StartLine::Trailers, fields: &[] };

    /// Copies it, to be kept.
    #[must_use]
    pub fn to_buf(&self) -> HeadBuf {
        // The slice may continue behind the head with input of later items, which is not copied.
        let first_line = match *self.start {
            StartLine::Request { method_span, target, protocol, .. } => vec![method_span, target, protocol],
            StartLine::Response { reason, .. } => vec![reason],
            StartLine::Trailers => Vec::new(),
        };
        // The name of a field may stand behind all values: `host`, which an `:authority` of HTTP/2 becomes.
        let parts = |field: &FieldSpan| [(field.name, field.name_len), (field.value, field.value_len)];
        let fields = self.fields.iter().flat_map(parts);
        let end = first_line.into_iter().chain(fields).map(|(at, len)| at as usize + len as usize).max();
        let bytes = self.bytes.get(..end.unwrap_or(0)).unwrap_or(self.bytes);
        HeadBuf { bytes: bytes.into(), start: *self.start, fields: self.fields.into() }
    }

    fn span(&self, at: u32, len: u32) -> &'a [u8] {
        self.bytes.get(at as usize..at as usize + len as usize).unwrap_or_default()
    }

    fn text(&self, (at, len): (u32, u32)) -> &'a str {
        core::str::from_utf8(self.span(at, len)).unwrap_or_default()
    }

    /// The method of a request; [`Method::Get`] where there is none.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.start {
            StartLine::Request { method, .. } => *method,
            _ => Method::Get,
        }
    }

    /// The method as the peer wrote it; empty where there is none.
    #[must_use]
    pub fn method_name(&self) -> &'a str {
        match self.start {
            StartLine::Request { method_span, .. } => self.text(*method_span),
            _ => "",
        }
    }

    /// The request target as the peer wrote it, visible ASCII; empty where there is none. RFC 9112 §3.2.
    #[doc(alias = "uri")]
    #[must_use]
    pub fn target(&self) -> &'a str {
        match self.start {
            StartLine::Request { target, .. } => self.text(*target),
            _ => "",
        }
    }

    /// The request target in its parts; `None` where there is none. Every request that becomes an event has one.
    #[must_use]
    pub fn parsed_target(&self) -> Option<Target<'a>> {
        // An extended CONNECT has the target of a GET.
        let method = if self.connect_protocol().is_some() { Method::Get } else { self.method() };
        Target::parse(method, self.target())
    }

    /// The protocol that an extended CONNECT asks for, such as `websocket`: the value of `:protocol`. RFC 8441 §4.
    #[must_use]
    pub fn connect_protocol(&self) -> Option<&'a str> {
        match self.start {
            StartLine::Request { protocol, .. } if protocol.1 > 0 => Some(self.text(*protocol)),
            _ => None,
        }
    }

    /// The request target as octets, which costs less than [`target`](Self::target) as it is not checked again to be ASCII.
    #[inline]
    #[must_use]
    pub fn target_bytes(&self) -> &'a [u8] {
        match *self.start {
            StartLine::Request { target: (at, len), .. } => self.span(at, len),
            _ => &[],
        }
    }

    /// The path of the request target, with its escapes; empty for the forms that have none.
    /// [`normalize_path`](crate::http::normalize_path) makes names of it.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path_and_query().0
    }

    /// The query of the request target, without `?` and with its escapes.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.path_and_query().1
    }

    /// What [`path`](Self::path) and [`query`](Self::query) say, for those who want both.
    #[must_use]
    pub fn path_and_query(&self) -> (&'a str, Option<&'a str>) {
        let other_form = || match self.parsed_target() {
            Some(target) => (target.path(), target.query()),
            None => ("", None),
        };
        self.origin_form().unwrap_or_else(other_form)
    }

    /// The path and query of almost every target, which need not be parsed again.
    #[inline]
    fn origin_form(&self) -> Option<(&'a str, Option<&'a str>)> {
        let target = self.target();
        if !target.starts_with('/') {
            return None;
        }
        debug_assert!(
            self.parsed_target().is_some(),
            "a head that is lent has a target that its method allows"
        );
        Some(split_query(target))
    }

    /// The value of `Host`, or what stands for it in HTTP/2, as the peer wrote it; `None` where there is none. Of a request it is found
    /// without a search. RFC 9110 §7.2.
    #[inline]
    #[must_use]
    pub fn host(&self) -> Option<&'a [u8]> {
        match *self.start {
            StartLine::Request { host, .. } => host.map(|(at, len)| self.span(at, len)),
            _ => None,
        }
    }

    /// Whether a request may ask for another protocol. Of one that may not there is no need to look for it.
    #[inline]
    pub(crate) fn may_upgrade(&self) -> bool {
        matches!(*self.start, StartLine::Request { upgrade: true, .. })
    }

    /// The server that a request is meant for: the authority of its target, or else its `Host`. RFC 9110 §7.2.
    #[must_use]
    pub fn authority(&self) -> Option<Authority<'a>> {
        let host = || Authority::parse(core::str::from_utf8(self.host()?).ok()?);
        self.parsed_target().and_then(|target| target.authority()).or_else(host)
    }

    /// The status code of a response; `None` where there is none.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self.start {
            StartLine::Response { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The reason phrase of a response; empty where there is none or it is not UTF-8.
    #[must_use]
    pub fn reason(&self) -> &'a str {
        match self.start {
            StartLine::Response { reason, .. } => self.text(*reason),
            _ => "",
        }
    }

    /// The version that the message was sent with; HTTP/1.1 for trailers.
    #[must_use]
    pub fn version(&self) -> Version {
        match self.start {
            StartLine::Request { version, .. } | StartLine::Response { version, .. } => *version,
            StartLine::Trailers => Version::Http11,
        }
    }

    /// The field lines, in order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + Clone + use<'a> {
        let head = *self;
        self.fields.iter().map(move |field| {
            (head.text((field.name, field.name_len)), head.span(field.value, field.value_len))
        })
    }

    /// The field lines, in order, with their names as octets, which cost less as they are not checked again to be ASCII.
    #[inline]
    pub fn field_octets(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        let head = *self;
        self.fields.iter().map(move |field| {
            (head.span(field.name, field.name_len), head.span(field.value, field.value_len))
        })
    }

    /// The value of the first field line called `name`, in whatever case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// The values of all field lines called `name`, in whatever case, in order.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let head = *self;
        self.fields
            .iter()
            .filter(move |field| {
                field.name_len as usize == name.len()
                    && head.span(field.name, field.name_len).eq_ignore_ascii_case(name.as_bytes())
            })
            .map(move |field| head.span(field.value, field.value_len))
    }

    /// The members of the comma-separated list that all field lines called `name` make together, without the
    /// white space around them and without empty ones. RFC 9110 §5.6.1. Commas in quoted strings divide too, so
    /// this is for lists of tokens.
    pub fn list<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(super::trim_ows)
            .filter(|member| !member.is_empty())
    }

    /// Whether the list of tokens `name` has `token`, in whatever case.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Head");
        match self.start {
            StartLine::Request { .. } => {
                debug.field("method", &self.method_name()).field("target", &self.target());
            }
            StartLine::Response { status, .. } => {
                debug.field("status", status);
            }
            StartLine::Trailers => {}
        }
        for (name, value) in self.fields() {
            debug.field(name, &format_args!("{}", value.escape_ascii()));
        }
        debug.finish()
    }
}
