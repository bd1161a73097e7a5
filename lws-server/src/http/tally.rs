//! What was answered on an exchange, and what stands in for an answer that is still to come. Knows no route and no file.

use super::subrequest::Subrequest;
use super::{Attached, Compression, ErrorForm};
use crate::ws;
use crate::ws::Deflate;
use lws_proto::Time;
use lws_proto::http::{HeadBuf, Status};
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// What has been answered so far: for the access log, and to decide whether a 500 is owed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Zero until a final response was sent.
    pub(crate) status: u16,
    /// A response could not be written, and a 500 is owed in its place.
    pub(crate) failed: bool,
    /// The handler has panicked, and was dropped.
    pub(crate) panicked: bool,
    /// Content bytes that were handed to the engine to be sent.
    pub(crate) bytes: u64,
    /// The request was HEAD: content counts for its length, and is not sent. RFC 9110 §9.3.2.
    pub(crate) head: bool,
    /// How many requests have been answered in the place of the first one.
    pub(crate) reroutes: u8,
    /// Field lines of every final response, if there are any.
    pub(crate) always: Option<Rc<[FieldLine]>>,
    /// What few exchanges have.
    pub(crate) rare: Option<Box<RareTally>>,
}

/// What few exchanges have, apart from the rest, which is made and dropped for each of them.
#[derive(Debug, Default)]
pub(crate) struct RareTally {
    /// The exchange has become a WebSocket, whose handler this is.
    upgraded: Upgraded,
    /// What a WebSocket that the exchange may become is compressed with.
    deflate: Option<Deflate>,
    /// What is answered in place of the request.
    instead: Option<HeadBuf>,
    /// The application's words for errors, if it has some.
    errors: Option<ErrorForm>,
    /// What layers have attached.
    attached: Option<Attached>,
    /// What is answered decides about another request, which waits for it.
    subrequest: Option<Subrequest>,
}

/// The handler of a WebSocket that was accepted on an exchange.
#[derive(Default)]
struct Upgraded(Option<Box<dyn ws::Handler>>);

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgraded").field(&self.0.is_some()).finish()
    }
}

impl Tally {
    /// Adds to the field lines of every final response.
    #[cold]
    pub(crate) fn add_always(&mut self, lines: Vec<(&'static str, Cow<'static, str>)>) {
        let before = self.always.take();
        let lines = lines.into_iter().map(|(name, value)| (name.into(), value));
        self.always = Some(before.iter().flat_map(|before| before.iter().cloned()).chain(lines).collect());
    }

    fn rare_mut(&mut self) -> &mut RareTally {
        self.rare.get_or_insert_default()
    }

    /// Has errors reported in the application's words, if it has some, and lets the answer decide about another request, if one waits
    /// for it.
    #[cold]
    pub(crate) fn answer_for(&mut self, errors: Option<ErrorForm>, subrequest: Option<Subrequest>) {
        let rare = self.rare_mut();
        (rare.errors, rare.subrequest) = (errors, subrequest);
    }

    /// Has errors reported as another tally does.
    #[cold]
    pub(crate) fn report_as(&mut self, other: &mut Self) {
        self.always = other.always.take();
        if let Some(errors) = other.rare.as_mut().and_then(|rare| rare.errors.take()) {
            self.rare_mut().errors = Some(errors);
        }
    }

    /// Has a WebSocket that the exchange becomes agree on permessage-deflate, if its client offers that.
    pub(crate) fn open_with(&mut self, deflate: Deflate) {
        self.rare_mut().deflate = Some(deflate);
    }

    /// What a WebSocket that the exchange becomes is compressed with.
    pub(super) fn deflate(&self) -> Option<&Deflate> {
        self.rare.as_ref()?.deflate.as_ref()
    }

    /// The exchange has become a WebSocket, which this handles.
    pub(super) fn become_websocket(&mut self, handler: Box<dyn ws::Handler>) {
        self.rare_mut().upgraded = Upgraded(Some(handler));
    }

    /// Has another request answered in place of this one.
    pub(super) fn answer_instead(&mut self, head: HeadBuf) {
        self.rare_mut().instead = Some(head);
    }

    /// What layers have attached, to attach more.
    pub(super) fn attach(&mut self) -> &mut Attached {
        self.rare_mut().attached.get_or_insert_default()
    }

    /// What layers have attached, and the field lines of every final response.
    pub(super) fn attached_and_always(&mut self) -> (Option<&mut Attached>, &[FieldLine]) {
        let attached = self.rare.as_mut().and_then(|rare| rare.attached.as_mut());
        (attached, self.always.as_deref().unwrap_or_default())
    }

    /// The handler of the WebSocket that the exchange has become.
    #[inline]
    pub(crate) fn take_upgraded(&mut self) -> Option<Box<dyn ws::Handler>> {
        self.rare.as_mut()?.upgraded.0.take()
    }

    /// The request that is to be answered in place of this one.
    pub(crate) fn take_instead(&mut self) -> Option<HeadBuf> {
        self.rare.as_mut()?.instead.take()
    }

    /// Whether another request is to be answered in place of this one.
    #[inline]
    pub(crate) fn has_instead(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.instead.is_some())
    }

    /// What was decided about the request that waits for this answer.
    pub(crate) fn take_subrequest(&mut self) -> Option<Subrequest> {
        self.rare.as_mut()?.subrequest.take()
    }

    #[inline]
    pub(super) fn subrequest(&self) -> Option<&Subrequest> {
        self.rare.as_ref()?.subrequest.as_ref()
    }

    #[inline]
    pub(crate) fn errors(&self) -> Option<&ErrorForm> {
        self.rare.as_ref()?.errors.as_ref()
    }

    #[inline]
    pub(super) fn attached(&self) -> Option<&Attached> {
        self.rare.as_ref()?.attached.as_ref()
    }

    #[inline]
    pub(super) fn attached_mut(&mut self) -> Option<&mut Attached> {
        self.rare.as_mut()?.attached.as_mut()
    }

    /// The content coding of the response, if its content is being encoded.
    #[inline]
    pub(super) fn compression(&mut self) -> Option<&mut Compression> {
        let compression = self.attached_mut()?.compression.as_mut()?;
        compression.is_on().then_some(compression)
    }

    /// Whether the response should have begun.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        let deadline = self.attached().and_then(|attached| attached.deadline);
        self.status == 0 && deadline.is_some_and(|at| at <= now)
    }

    /// The final response has begun, with so much content.
    #[inline]
    pub(super) fn begin(&mut self, status: Status, bytes: u64) {
        self.status = status.code();
        self.count(bytes);
    }

    /// The request that waits for this answer goes on, with what `fields` have for it. Too much of that is the endpoint's fault, and the
    /// request is answered 500.
    #[cold]
    pub(super) fn grant<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, fields: impl IntoIterator<Item = (N, V)>) {
        let subrequest = self.rare.as_mut().and_then(|rare| rare.subrequest.as_mut());
        let granted = subrequest.is_some_and(|subrequest| subrequest.grant(fields));
        if !granted {
            self.take_subrequest();
            self.failed = true;
        }
    }

    /// Whether the request that waits for this answer goes on, so that nothing more is answered here.
    #[inline]
    pub(crate) fn is_granted(&self) -> bool {
        self.subrequest().is_some_and(Subrequest::is_granted)
    }

    /// Content was handed over with a head or behind it.
    #[inline]
    pub(super) fn count(&mut self, bytes: u64) {
        self.bytes += if self.head { 0 } else { bytes };
    }
}

/// A name and its value.
pub(crate) type FieldLine = (Cow<'static, str>, Cow<'static, str>);
