//! A message for many peers, made once.
//!
//! Knows no extension: an encoder says under which name what it makes can be used again.

use super::{Encoder, ReservedBits};
use crate::MessageKind;
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
    forms: RefCell<Vec<(u64, ReservedBits, Bytes)>>,
}

impl Prepared {
    /// Text must be UTF-8.
    #[must_use]
    pub fn new(kind: MessageKind, message: impl Into<Bytes>) -> Self {
        Self { kind, plain: message.into(), forms: RefCell::default() }
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
        let mut made = Vec::new();
        let bits = encoder.encode_alone(&self.plain, &mut made);
        let payload = if bits.is_empty() { self.plain.clone() } else { Bytes::from(made) };
        if forms.len() < FORMS_MAX {
            forms.push((name, bits, payload.clone()));
        }
        (bits, payload)
    }
}

impl Clone for Prepared {
    fn clone(&self) -> Self {
        Self { kind: self.kind, plain: self.plain.clone(), forms: RefCell::new(self.forms.borrow().clone()) }
    }
}
