//! The opening handshake, both roles. RFC 6455 §4, and over HTTP/2 RFC 8441 §5.
//!
//! It checks heads, which become openings and agreements, and writes agreements as bytes. It knows no frame and no
//! connection. `Host` is checked for every request, and so not here.

use super::Codec;
#[cfg(feature = "deflate")]
use super::Deflate;
use super::extension::{self, ExtensionOffer, Extensions, Malformed, Negotiate};
use crate::http::{Authority, Head, Method, Version, is_field_value, is_token, is_visible_ascii};
use crate::{HandshakeFailure, Misuse, Violation};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// Subprotocols in one offer. They are compared with each other, so that many would cost time.
const PROTOCOLS_MAX: usize = 64;

/// The GUID that the server appends to the key. RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of `Sec-WebSocket-Accept`. RFC 6455 §4.2.2.
pub(crate) type AcceptKey = [u8; 28];

/// The base64 of the hash of `key`, the value of `Sec-WebSocket-Key` as it was sent, and the GUID. RFC 6455 §4.2.2.
pub(crate) fn accept_key(key: &[u8]) -> AcceptKey {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    base64_of(&hash)
}

/// The base64 of `bytes` in `LEN` characters, of which there must be exactly enough.
fn base64_of<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    let mut text = [b'='; LEN];
    let written = STANDARD.encode_slice(bytes, &mut text);
    debug_assert_eq!(written, Ok(LEN));
    text
}

/// The result of an opening handshake.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) agreed: Agreed,
    /// The codec of the agreed extensions, if they transform messages.
    pub(crate) codec: Option<Codec>,
}

impl Opened {
    fn new(extensions: &Extensions, streamed: bool, is_client: bool) -> Self {
        Self { agreed: Agreed::new(extensions, streamed), codec: extensions.codec(is_client) }
    }
}

/// What both sides have agreed on, as far as frames and messages depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// Bits of the first byte of a frame to which an extension gives a meaning.
    pub(crate) reserved_bits: u8,
    /// Whether each message is delivered in one event.
    pub(crate) whole_messages: bool,
}

impl Agreed {
    fn new(extensions: &Extensions, streamed: bool) -> Self {
        Self { reserved_bits: extensions.reserved_bits().bits(), whole_messages: !streamed }
    }
}

/// Why an opening handshake was not accepted: the fault is the peer's or the application's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The request violates the protocol, and has to be answered accordingly.
    Peer(Violation),
    /// The answer of the application cannot be written. Nothing has been written.
    Caller(Misuse),
}

/// Whether a request asks for WebSocket at all, well or badly: HTTP/1.1 and `Upgrade` has `websocket`, or HTTP/2 and it is an
/// extended CONNECT for it.
///
/// RFC 9110 §7.8: `Upgrade` in an HTTP/1.0 request is ignored. One whose `Connection` lacks `upgrade` counts as asking,
/// so that an operator who configured a proxy by halves gets a refusal to read, not a page.
#[must_use]
#[inline]
pub fn is_opening(head: &Head<'_>) -> bool {
    head.may_upgrade() && asks_for_websocket(head)
}

fn asks_for_websocket(head: &Head<'_>) -> bool {
    match head.version() {
        Version::Http10 => false,
        Version::Http11 => head.has_token("upgrade", "websocket"),
        Version::Http2 => head.connect_protocol() == Some("websocket"),
    }
}

/// Checks that a request is an opening handshake, by every rule of RFC 6455 §4.2.1 but that of `Host`.
///
/// # Errors
/// [`Violation::OpeningVersion`] unless `Sec-WebSocket-Version` is there once and 13; otherwise [`Violation::Opening`].
pub fn check_request<'a>(head: &Head<'a>) -> Result<Opening<'a>, Violation> {
    let over_http2 = head.version() == Version::Http2;
    let upgrades = over_http2 || head.has_token("connection", "upgrade") && head.method() == Method::Get;
    if !is_opening(head) || !upgrades || has_content(head) {
        return Err(Violation::Opening);
    }
    // The version is checked before the other fields, as it defines what they mean.
    if once(head, "sec-websocket-version") != Some(b"13") {
        return Err(Violation::OpeningVersion);
    }
    // RFC 8441 §5: "the Sec-WebSocket-Key header field is not used".
    let key = match once(head, "sec-websocket-key").filter(|key| is_key(key)) {
        _ if over_http2 => None,
        Some(key) => Some(key),
        None => return Err(Violation::Opening),
    };
    let opening = Opening {
        key,
        protocols: list(head, "sec-websocket-protocol")?,
        extensions: list(head, "sec-websocket-extensions")?,
    };
    opening.check_lists().map_err(|Malformed| Violation::Opening)?;
    Ok(opening)
}

/// Whether a request is framed with content. RFC 6455 knows none in an opening handshake; we refuse it, as its bytes
/// and the first frames are easily taken for each other.
fn has_content(head: &Head<'_>) -> bool {
    head.get("transfer-encoding").is_some() || head.get_all("content-length").any(|length| length != b"0")
}

/// The value of a field that must be there exactly once.
fn once<'a>(head: &Head<'a>, name: &str) -> Option<&'a [u8]> {
    let mut values = head.get_all(name);
    values.next().filter(|_| values.next().is_none())
}

/// Whether `key` is the base64 of 16 bytes, canonical. RFC 6455 §4.2.1.
fn is_key(key: &[u8]) -> bool {
    let mut nonce = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut nonce) == Ok(16)
}

/// Joins a list that may be spread over several field lines. Lines with an empty value are skipped; the result is empty
/// if there are no others.
fn list<'a>(head: &Head<'a>, name: &str) -> Result<Cow<'a, str>, Violation> {
    let mut text = Cow::Borrowed("");
    for value in head.get_all(name) {
        let value = core::str::from_utf8(value).map_err(|_| Violation::Opening)?;
        match &mut text {
            _ if value.is_empty() => {}
            Cow::Borrowed("") => text = Cow::Borrowed(value),
            text => {
                let text = text.to_mut();
                text.push_str(", ");
                text.push_str(value);
            }
        }
    }
    Ok(text)
}

/// The members of a list of tokens, without empty ones. RFC 9110 §5.6.1.
fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty())
}

/// A request that is a valid opening handshake. RFC 6455 §4.2.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    /// Invariant: the base64 of 16 bytes, and there unless the handshake is one over HTTP/2.
    key: Option<&'a [u8]>,
    /// Invariant: unique tokens, at most `PROTOCOLS_MAX`; or empty.
    protocols: Cow<'a, str>,
    /// Invariant: an `extension-list`, or empty.
    extensions: Cow<'a, str>,
}

impl Opening<'_> {
    /// The subprotocols that the client offers, the one that it likes best first. RFC 6455 §1.9.
    #[doc(alias = "lws_protocols")]
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        members(&self.protocols)
    }

    /// The first offered subprotocol that is one of `known`: what libwebsockets chooses. `None` may be answered too,
    /// by accepting without a subprotocol.
    #[must_use]
    pub fn select<'k>(&self, known: &[&'k str]) -> Option<&'k str> {
        self.protocols().find_map(|offered| known.iter().find(|known| **known == offered).copied())
    }

    /// The extensions that the client offers, the one that it likes best first. RFC 6455 §9.1.
    pub fn extensions(&self) -> impl Iterator<Item = ExtensionOffer<'_>> {
        extension::parse(&self.extensions).map_while(Result::ok)
    }

    fn check_lists(&self) -> Result<(), Malformed> {
        if !self.protocols.is_empty() {
            check_protocols(members(&self.protocols))?;
        }
        if !self.extensions.is_empty() {
            extension::check(&self.extensions)?;
        }
        Ok(())
    }
}

/// RFC 6455 §4.1: subprotocols are tokens "and MUST all be unique strings". There has to be one.
fn check_protocols<'a>(protocols: impl Iterator<Item = &'a str>) -> Result<(), Malformed> {
    let mut seen = Vec::new();
    for protocol in protocols {
        if !is_token(protocol.as_bytes()) || seen.len() == PROTOCOLS_MAX || seen.contains(&protocol) {
            return Err(Malformed);
        }
        seen.push(protocol);
    }
    if seen.is_empty() { Err(Malformed) } else { Ok(()) }
}

/// A server's answer to an opening handshake: yes, and how. RFC 6455 §4.2.2.
///
/// ```
/// use lws_proto::ws::Accept;
///
/// let accept = Accept::new().protocol("chat").fields(&[("Set-Cookie", "seen=1")]).streamed();
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Accept<'a> {
    protocol: Option<&'a str>,
    fields: &'a [(&'a str, &'a str)],
    extensions: &'a [Arc<dyn Negotiate>],
    #[cfg(feature = "deflate")]
    deflate: Option<&'a Deflate>,
    streamed: bool,
}

impl<'a> Accept<'a> {
    /// No subprotocol, no further fields, no extension, whole messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// The subprotocol that is spoken: one of those offered. RFC 6455 §1.9.
    pub fn protocol(mut self, protocol: &'a str) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Further fields of the response.
    pub fn fields(mut self, fields: &'a [(&'a str, &'a str)]) -> Self {
        self.fields = fields;
        self
    }

    /// Extensions that may be agreed on. The client's order decides. RFC 6455 §9.1.
    #[doc(alias = "lws_extension")]
    pub fn extensions(mut self, extensions: &'a [Arc<dyn Negotiate>]) -> Self {
        self.extensions = extensions;
        self
    }

    /// Allows permessage-deflate, if the client offers it. RFC 7692.
    #[cfg(feature = "deflate")]
    #[doc(alias = "lws_extension_callback_pm_deflate")]
    pub fn deflate(mut self, deflate: &'a Deflate) -> Self {
        self.deflate = Some(deflate);
        self
    }

    fn all_extensions(&self) -> Cow<'a, [Arc<dyn Negotiate>]> {
        #[cfg(feature = "deflate")]
        if let Some(deflate) = self.deflate {
            let mut extensions = self.extensions.to_vec();
            extensions.push(Arc::new(deflate.clone()));
            return Cow::Owned(extensions);
        }
        Cow::Borrowed(self.extensions)
    }

    /// What is accepted, to be written down. Extensions of others are code, which cannot be.
    #[cfg(feature = "record")]
    pub(crate) fn command(&self) -> Option<crate::record::Command<'a>> {
        if !self.extensions.is_empty() {
            return None;
        }
        #[cfg(feature = "deflate")]
        let deflate = self.deflate.map(|deflate| deflate.options().into());
        #[cfg(not(feature = "deflate"))]
        let deflate = None;
        Some(crate::record::Command::AcceptWebSocket {
            protocol: self.protocol.map(Into::into),
            fields: crate::record::owned(self.fields.iter().copied()).into(),
            streamed: self.streamed,
            deflate,
        })
    }

    /// Messages are delivered as they arrive: nothing of them is held, so they may be of any size. Otherwise each comes whole,
    /// within [`Limits::message_bytes_max`](crate::Limits::message_bytes_max) and
    /// [`Limits::message_fragments_max`](crate::Limits::message_fragments_max).
    #[doc(alias = "lws_is_final_fragment")]
    pub fn streamed(mut self) -> Self {
        self.streamed = true;
        self
    }
}

/// Checks the opening handshake `head` and appends the 101 response of `accept`, or nothing. RFC 6455 §4.2.2.
pub(crate) fn accept(out: &mut Vec<u8>, head: &Head<'_>, accept: &Accept<'_>) -> Result<Opened, Refused> {
    let opening = check_request(head).map_err(Refused::Peer)?;
    let answer = answer(&opening, accept).map_err(Refused::Caller)?;
    let key = opening.key.unwrap_or_default();
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    write_field(out, "Sec-WebSocket-Accept", &accept_key(key));
    for (name, value) in answer.fields() {
        write_field(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    Ok(answer.opened)
}

/// Checks the opening handshake `head` over HTTP/2, and what the answer of `accept` is. RFC 8441 §5.
pub(crate) fn agree<'a>(head: &Head<'_>, accept: &Accept<'a>) -> Result<Answer<'a>, Refused> {
    let opening = check_request(head).map_err(Refused::Peer)?;
    answer(&opening, accept).map_err(Refused::Caller)
}

/// The content of a server's answer, independent of the version of HTTP that carries it.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) opened: Opened,
    protocol: Option<&'a str>,
    extensions: Option<String>,
    fields: &'a [(&'a str, &'a str)],
}

impl Answer<'_> {
    /// The fields of the answer.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let protocol = self.protocol.map(|protocol| ("Sec-WebSocket-Protocol", protocol));
        let extensions = self.extensions.as_deref().map(|answer| ("Sec-WebSocket-Extensions", answer));
        protocol.into_iter().chain(extensions).chain(self.fields.iter().copied())
    }
}

/// The answer that accepts `opening`. RFC 6455 §4.2.2.
///
/// # Errors
/// [`Misuse`] if the subprotocol was not offered or a field cannot be written.
fn answer<'a>(opening: &Opening<'_>, accept: &Accept<'a>) -> Result<Answer<'a>, Misuse> {
    check_fields(accept.fields)?;
    if accept.protocol.is_some_and(|chosen| opening.protocols().all(|offered| offered != chosen)) {
        return Err(Misuse::Subprotocol);
    }
    let extensions = accept.all_extensions();
    let extensions = extension::choose(&opening.extensions, &extensions);
    let answer = extensions.answer().map_err(|Malformed| Misuse::Field)?;
    Ok(Answer {
        opened: Opened::new(&extensions, accept.streamed, false),
        protocol: accept.protocol,
        extensions: answer,
        fields: accept.fields,
    })
}

/// A client's opening handshake. RFC 6455 §4.1.
///
/// ```
/// use lws_proto::ws::Connect;
///
/// let connect = Connect::new("example.com", "/chat").protocols(&["v2.chat", "v1.chat"]).origin("https://example.com");
/// ```
#[doc(alias = "lws_client_connect_info")]
#[doc(alias = "lws_client_connect_via_info")]
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Connect<'a> {
    host: &'a str,
    target: &'a str,
    protocols: &'a [&'a str],
    origin: Option<&'a str>,
    fields: &'a [(&'a str, &'a str)],
    extensions: &'a [Arc<dyn Negotiate>],
    #[cfg(feature = "deflate")]
    deflate: Option<&'a Deflate>,
    streamed: bool,
}

impl<'a> Connect<'a> {
    /// Asks for `target`, a path with perhaps a query, at `host`, a name or address with perhaps a port. RFC 6455 §3.
    pub fn new(host: &'a str, target: &'a str) -> Self {
        Self {
            host,
            target,
            protocols: &[],
            origin: None,
            fields: &[],
            extensions: &[],
            #[cfg(feature = "deflate")]
            deflate: None,
            streamed: false,
        }
    }

    /// Subprotocols to offer, the best first. RFC 6455 §1.9.
    pub fn protocols(mut self, protocols: &'a [&'a str]) -> Self {
        self.protocols = protocols;
        self
    }

    /// The origin of the script that asks, which browsers send. RFC 6455 §10.2.
    pub fn origin(mut self, origin: &'a str) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Further fields of the request.
    pub fn fields(mut self, fields: &'a [(&'a str, &'a str)]) -> Self {
        self.fields = fields;
        self
    }

    /// Extensions to offer, the best first. RFC 6455 §9.1.
    #[doc(alias = "client_exts")]
    pub fn extensions(mut self, extensions: &'a [Arc<dyn Negotiate>]) -> Self {
        self.extensions = extensions;
        self
    }

    /// Offers permessage-deflate, behind the other extensions. RFC 7692.
    #[cfg(feature = "deflate")]
    #[doc(alias = "lws_extension_callback_pm_deflate")]
    pub fn deflate(mut self, deflate: &'a Deflate) -> Self {
        self.deflate = Some(deflate);
        self
    }

    fn all_extensions(&self) -> Cow<'a, [Arc<dyn Negotiate>]> {
        #[cfg(feature = "deflate")]
        if let Some(deflate) = self.deflate {
            let mut extensions = self.extensions.to_vec();
            extensions.push(Arc::new(deflate.clone()));
            return Cow::Owned(extensions);
        }
        Cow::Borrowed(self.extensions)
    }

    pub(crate) fn host(&self) -> &'a str {
        self.host
    }

    pub(crate) fn target(&self) -> &'a str {
        self.target
    }

    /// Messages are delivered as they arrive: nothing of them is held, so they may be of any size. Otherwise each comes whole,
    /// within [`Limits::message_bytes_max`](crate::Limits::message_bytes_max) and
    /// [`Limits::message_fragments_max`](crate::Limits::message_fragments_max).
    #[doc(alias = "lws_is_final_fragment")]
    pub fn streamed(mut self) -> Self {
        self.streamed = true;
        self
    }
}

/// What a client remembers of its request, to check the response against.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// Absent over HTTP/2.
    accept: Option<AcceptKey>,
    /// A list, as it was sent.
    protocols: String,
    extensions: Vec<Arc<dyn Negotiate>>,
    streamed: bool,
}

/// Appends the request of `connect`. `nonce` is "a randomly selected 16-byte value". RFC 6455 §4.1.
///
/// # Errors
/// [`Misuse`], and nothing has been appended, if something of it cannot be written.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    connect: &Connect<'_>,
    nonce: [u8; 16],
) -> Result<Expected, Misuse> {
    let Asked { mut expected, fields } = ask(connect)?;
    let key: [u8; 24] = base64_of(&nonce);
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(connect.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(out, "Host", connect.host.as_bytes());
    out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
    for (index, (name, value)) in fields.into_iter().enumerate() {
        write_field(out, name, value.as_bytes());
        // The version comes first.
        if index == 0 {
            write_field(out, "Sec-WebSocket-Key", &key);
        }
    }
    out.extend_from_slice(b"\r\n");
    expected.accept = Some(accept_key(&key));
    Ok(expected)
}

/// The content of a client's opening handshake, independent of the version of HTTP that carries it.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) expected: Expected,
    pub(crate) fields: Vec<(&'a str, Cow<'a, str>)>,
}

/// Checks `connect` and returns it as fields. RFC 6455 §4.1, RFC 8441 §5.
///
/// # Errors
/// [`Misuse`] if something of it cannot be written.
pub(crate) fn ask<'a>(connect: &Connect<'a>) -> Result<Asked<'a>, Misuse> {
    if !is_resource_name(connect.target) {
        return Err(Misuse::StartLine);
    }
    check_fields(connect.fields)?;
    let host = Authority::parse(connect.host).filter(|authority| !authority.host().is_empty());
    if host.is_none() || !connect.origin.is_none_or(|origin| is_field_value(origin.as_bytes())) {
        return Err(Misuse::Field);
    }
    if !connect.protocols.is_empty() {
        check_protocols(connect.protocols.iter().copied()).map_err(|Malformed| Misuse::Field)?;
    }
    let extensions = connect.all_extensions();
    let offer = extension::offer(&extensions).map_err(|Malformed| Misuse::Field)?;
    let protocols = connect.protocols.join(", ");
    let mut fields = alloc::vec![("Sec-WebSocket-Version", Cow::Borrowed("13"))];
    fields.extend(connect.origin.map(|origin| ("Origin", Cow::Borrowed(origin))));
    if !protocols.is_empty() {
        fields.push(("Sec-WebSocket-Protocol", Cow::Owned(protocols.clone())));
    }
    fields.extend(offer.map(|offer| ("Sec-WebSocket-Extensions", Cow::Owned(offer))));
    fields.extend(connect.fields.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))));
    let expected =
        Expected { accept: None, protocols, extensions: extensions.into_owned(), streamed: connect.streamed };
    Ok(Asked { expected, fields })
}

/// Checks the server's response by every rule of RFC 6455 §4.1, and returns what it agrees to.
pub(crate) fn check_response(head: &Head<'_>, expected: &Expected) -> Result<Opened, HandshakeFailure> {
    let status = head.status().map_or(0, |status| status.code());
    if status != 101 {
        return Err(HandshakeFailure::Status(status));
    }
    // `Upgrade` means nothing in HTTP/1.0. RFC 9110 §7.8.
    if head.version() < Version::Http11 || !is_websocket(head) {
        return Err(HandshakeFailure::Upgrade);
    }
    if !head.has_token("connection", "upgrade") {
        return Err(HandshakeFailure::Connection);
    }
    if expected.accept.is_none()
        || once(head, "sec-websocket-accept") != expected.accept.as_ref().map(|key| &key[..])
    {
        return Err(HandshakeFailure::Accept);
    }
    check_answer(head, expected)
}

/// Checks the part of an answer that is independent of the version of HTTP. RFC 8441 §5.
pub(crate) fn check_answer(head: &Head<'_>, expected: &Expected) -> Result<Opened, HandshakeFailure> {
    if head.get("sec-websocket-protocol").is_some() {
        let chosen = once(head, "sec-websocket-protocol").ok_or(HandshakeFailure::Protocol)?;
        if members(&expected.protocols).all(|offered| offered.as_bytes() != chosen) {
            return Err(HandshakeFailure::Protocol);
        }
    }
    let extensions = agreed_extensions(head, expected).ok_or(HandshakeFailure::Extension)?;
    Ok(Opened::new(&extensions, expected.streamed, true))
}

/// Whether `Upgrade` is `websocket` and nothing else: in a response it names the protocol that the connection has
/// switched to.
fn is_websocket(head: &Head<'_>) -> bool {
    let mut protocols = head.list("upgrade");
    protocols.next().is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
}

/// RFC 6455 §11.3.2: the field "MUST NOT appear more than once in an HTTP response".
fn agreed_extensions(head: &Head<'_>, expected: &Expected) -> Option<Extensions> {
    if head.get("sec-websocket-extensions").is_none() {
        return Some(Extensions::default());
    }
    let answer = core::str::from_utf8(once(head, "sec-websocket-extensions")?).ok()?;
    extension::agree(answer, &expected.extensions).ok()
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn check_fields(fields: &[(&str, &str)]) -> Result<(), Misuse> {
    for (name, value) in fields {
        if !is_token(name.as_bytes()) || !is_field_value(value.as_bytes()) {
            return Err(Misuse::Field);
        }
        if is_managed(name) {
            return Err(Misuse::ManagedField);
        }
    }
    Ok(())
}

/// Whether a field is written by the handshake, or would frame content where there is none. RFC 9110 §8.6.
fn is_managed(name: &str) -> bool {
    const MANAGED: [&str; 6] = ["host", "upgrade", "connection", "content-length", "transfer-encoding", "te"];
    const PREFIX: &str = "sec-websocket-";
    MANAGED.iter().any(|managed| name.eq_ignore_ascii_case(managed))
        || name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// `"/" path [ "?" query ]`. RFC 6455 §3: no fragment.
fn is_resource_name(target: &str) -> bool {
    target.starts_with('/') && is_visible_ascii(target.as_bytes()) && !target.contains('#')
}

#[cfg(test)]
mod tests;
