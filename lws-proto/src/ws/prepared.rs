//! A message that is encoded once and sent to many peers.
//!
//! A [`Prepared`] message belongs to one thread; a [`Broadcast`] is what several have in common. Knows no extension: an encoder says under which name what it makes can be used again.

use super::{Encoder, ReservedBits};
use crate::MessageKind;
#[cfg(feature = "std")]
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;

/// Different forms of one message. Peers with the same parameters share one, so there are few; past this many, messages
/// are made for one peer only.
const FORMS_MAX: usize = 32;

/// A whole message that is sent to many peers. Each form that an extension gives it is made once for all WebSockets that
/// agreed on the same parameters, and never copied for each.
///
/// ```
/// use lws_proto::{MessageKind, ws::Prepared};
///
/// let news = Prepared::new(MessageKind::Text, "to all of you");
/// assert_eq!(news.bytes(), "to all of you");
/// ```
#[derive(Debug)]
pub struct Prepared {
    kind: MessageKind,
    plain: Bytes,
    /// What encoders made of it, by their names.
    forms: RefCell<Vec<Form>>,
    /// Where other threads look for forms too.
    #[cfg(feature = "std")]
    origin: Option<Broadcast>,
}

/// What an encoder of this name made of a message.
type Form = (u64, ReservedBits, Bytes);

impl Prepared {
    /// Text must be UTF-8.
    #[must_use]
    pub fn new(kind: MessageKind, message: impl Into<Bytes>) -> Self {
        Self {
            kind,
            plain: message.into(),
            forms: RefCell::default(),
            #[cfg(feature = "std")]
            origin: None,
        }
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The message.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.plain
    }

    /// In how many forms it has been made besides the plain one.
    #[must_use]
    pub fn forms(&self) -> usize {
        self.forms.borrow().iter().filter(|(_, bits, _)| !bits.is_empty()).count()
    }

    /// What is sent to a peer with this encoder.
    pub(super) fn payload(&self, encoder: Option<&dyn Encoder>) -> (ReservedBits, Bytes) {
        let Some(encoder) = encoder else { return (ReservedBits::NONE, self.plain.clone()) };
        let name = encoder.parameter_set();
        let mut forms = self.forms.borrow_mut();
        if let Some((_, bits, payload)) = forms.iter().find(|(form, ..)| *form == name) {
            return (*bits, payload.clone());
        }
        let (bits, payload) = self.make(name, encoder);
        if forms.len() < FORMS_MAX {
            forms.push((name, bits, payload.clone()));
        }
        (bits, payload)
    }

    #[cfg(feature = "std")]
    fn make(&self, name: u64, encoder: &dyn Encoder) -> (ReservedBits, Bytes) {
        match &self.origin {
            Some(origin) => origin.form(name, encoder),
            None => made(&self.plain, encoder),
        }
    }

    #[cfg(not(feature = "std"))]
    fn make(&self, _: u64, encoder: &dyn Encoder) -> (ReservedBits, Bytes) {
        made(&self.plain, encoder)
    }
}

fn made(plain: &Bytes, encoder: &dyn Encoder) -> (ReservedBits, Bytes) {
    let mut made = Vec::new();
    let bits = encoder.encode_alone(plain, &mut made);
    (bits, if bits.is_empty() { plain.clone() } else { Bytes::from(made) })
}

impl Clone for Prepared {
    fn clone(&self) -> Self {
        Self {
            kind: self.kind,
            plain: self.plain.clone(),
            forms: RefCell::new(self.forms.borrow().clone()),
            #[cfg(feature = "std")]
            origin: self.origin.clone(),
        }
    }
}

/// A message for peers on several threads. Each form is made by one of them, and the others wait for it rather than make
/// it again; its octets are never copied.
///
/// ```
/// use lws_proto::{MessageKind, ws::Broadcast};
///
/// let news = Broadcast::new(MessageKind::Text, "to all of you");
/// let there = news.clone();
/// std::thread::spawn(move || {
///     let prepared = there.prepare();
///     // For each peer of this thread: `permit.prepared(&prepared)`.
///     assert_eq!(prepared.bytes(), "to all of you");
/// })
/// .join()
/// .expect("no panic");
/// ```
#[cfg(feature = "std")]
#[derive(Clone, Debug)]
pub struct Broadcast(Arc<PlainMessage>);

#[cfg(feature = "std")]
#[derive(Debug)]
struct PlainMessage {
    kind: MessageKind,
    plain: Bytes,
    forms: std::sync::Mutex<Vec<Form>>,
}

#[cfg(feature = "std")]
impl Broadcast {
    /// Text must be UTF-8.
    #[must_use]
    pub fn new(kind: MessageKind, message: impl Into<Bytes>) -> Self {
        Self(Arc::new(PlainMessage { kind, plain: message.into(), forms: std::sync::Mutex::default() }))
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.0.kind
    }

    /// The message.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.plain
    }

    /// In how many forms it has been made besides the plain one.
    #[must_use]
    pub fn forms(&self) -> usize {
        self.forms_held().iter().filter(|(_, bits, _)| !bits.is_empty()).count()
    }

    /// What one thread sends. It counts its own references, so that no two threads write to one cache line for each peer.
    #[must_use]
    pub fn prepare(&self) -> Prepared {
        Prepared {
            kind: self.0.kind,
            plain: Bytes::from_owner(self.0.plain.clone()),
            forms: RefCell::default(),
            origin: Some(self.clone()),
        }
    }

    fn form(&self, name: u64, encoder: &dyn Encoder) -> (ReservedBits, Bytes) {
        let mut forms = self.forms_held();
        let known =
            forms.iter().find(|(form, ..)| *form == name).map(|(_, bits, made)| (*bits, made.clone()));
        let (bits, payload) = known.unwrap_or_else(|| {
            let (bits, payload) = made(&self.0.plain, encoder);
            if forms.len() < FORMS_MAX {
                forms.push((name, bits, payload.clone()));
            }
            (bits, payload)
        });
        (bits, Bytes::from_owner(payload))
    }

    fn forms_held(&self) -> std::sync::MutexGuard<'_, Vec<Form>> {
        // A form is put there whole or not at all.
        self.0.forms.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
