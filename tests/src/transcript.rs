//! The events of an engine, owned and comparable.

use lws_proto::http::{Head, Version};
use lws_proto::ws::CloseCode;
use lws_proto::{Cause, Control, Event, MessageKind, Protocol};
use std::fmt;

/// Bytes that are shown as text.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Octets(pub Vec<u8>);

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        if self.0.len() <= SHOWN {
            write!(f, "\"{}\"", self.0.escape_ascii())
        } else {
            write!(f, "\"{}\"... {} bytes", self.0[..SHOWN].escape_ascii(), self.0.len())
        }
    }
}

impl From<&[u8]> for Octets {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for Octets {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Octets {
    fn from(bytes: &[u8; N]) -> Self {
        Self(bytes.to_vec())
    }
}

/// Field lines in order, names in lower case.
pub type Fields = Vec<(String, Octets)>;

/// An event without its borrows. Adjacent content of one message is joined.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// [`Event::Request`].
    Request {
        /// As the peer wrote it.
        method: String,
        /// As the peer wrote it.
        target: String,
        /// As it is understood.
        version: Version,
        /// All of them.
        fields: Fields,
        /// Whether there is no content.
        end: bool,
    },
    /// [`Event::Response`].
    Response {
        /// The status code.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// As it is understood.
        version: Version,
        /// All of them.
        fields: Fields,
        /// Whether there is no content.
        end: bool,
    },
    /// [`Event::Body`].
    Body {
        /// So far.
        content: Octets,
        /// Whether this is all of it.
        end: bool,
    },
    /// [`Event::Trailers`].
    Trailers {
        /// All of them.
        fields: Fields,
    },
    /// [`Event::Established`].
    Established {
        /// What is spoken.
        protocol: Protocol,
        /// Those of the response, for a client.
        fields: Option<Fields>,
    },
    /// [`Event::Message`].
    Message {
        /// Text or binary.
        kind: MessageKind,
        /// So far.
        content: Octets,
        /// Whether this is all of it.
        end: bool,
    },
    /// A received Ping.
    Ping(Octets),
    /// A received Pong.
    Pong(Octets),
    /// A received Close.
    Close {
        /// 1005 if there was none.
        code: CloseCode,
        /// Perhaps empty.
        reason: String,
    },
    /// [`Event::Raw`].
    Raw {
        /// So far.
        content: Octets,
        /// Whether the peer has ended its direction.
        end: bool,
    },
    /// [`Event::Writable`].
    Writable,
    /// [`Event::Timeout`].
    Timeout,
    /// [`Event::PeerEnded`].
    PeerEnded,
    /// [`Event::Closed`].
    Closed(Cause),
    /// An event that this harness does not know.
    Other(String),
}

fn fields(head: &Head<'_>) -> Fields {
    head.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.into())).collect()
}

impl Seen {
    /// The owned form of `event`.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Self {
        match event {
            Event::Request { head, end, .. } => Self::Request {
                method: head.method_name().into(),
                target: head.target().into(),
                version: head.version(),
                fields: fields(head),
                end: *end,
            },
            Event::Response { head, end, .. } => Self::Response {
                status: head.status().map_or(0, |status| status.code()),
                reason: head.reason().into(),
                version: head.version(),
                fields: fields(head),
                end: *end,
            },
            Event::Body { chunk, end, .. } => Self::Body { content: (&**chunk).into(), end: *end },
            Event::Trailers { head, .. } => Self::Trailers { fields: fields(head) },
            Event::Established { stream, head } => {
                Self::Established { protocol: stream.protocol(), fields: head.as_ref().map(fields) }
            }
            Event::Message { kind, chunk, end, .. } => {
                Self::Message { kind: *kind, content: (&**chunk).into(), end: *end }
            }
            Event::Control { control, .. } => match control {
                Control::Ping(payload) => Self::Ping((*payload).into()),
                Control::Pong(payload) => Self::Pong((*payload).into()),
                Control::Close { code, reason } => Self::Close { code: *code, reason: (*reason).into() },
                other => Self::Other(format!("{other:?}")),
            },
            Event::Raw { chunk, end, .. } => Self::Raw { content: (&**chunk).into(), end: *end },
            Event::Writable(_) => Self::Writable,
            Event::Timeout { .. } => Self::Timeout,
            Event::PeerEnded { .. } => Self::PeerEnded,
            Event::Closed { cause, .. } => Self::Closed(*cause),
            other => Self::Other(format!("{other:?}")),
        }
    }
}

/// All events of one engine, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript(pub Vec<Seen>);

impl Transcript {
    /// Adds what was seen; content is joined to the content before it.
    pub fn push(&mut self, seen: Seen) {
        self.push_of(seen, true);
    }

    /// Adds what was seen; content is joined to what was seen last if that was of the `same` stream.
    pub fn push_of(&mut self, seen: Seen, same: bool) {
        match (self.0.last_mut().filter(|_| same), seen) {
            (Some(Seen::Body { content, end: end @ false }), Seen::Body { content: more, end: now_end })
            | (Some(Seen::Raw { content, end: end @ false }), Seen::Raw { content: more, end: now_end })
            | (
                Some(Seen::Message { content, end: end @ false, .. }),
                Seen::Message { content: more, end: now_end, .. },
            ) => {
                content.0.extend_from_slice(&more.0);
                *end = now_end;
            }
            (_, seen) => self.0.push(seen),
        }
    }

    /// The causes of all `Closed` events, in order.
    #[must_use]
    pub fn causes(&self) -> Vec<Cause> {
        let cause = |seen: &Seen| match seen {
            Seen::Closed(cause) => Some(*cause),
            _ => None,
        };
        self.0.iter().filter_map(cause).collect()
    }

    /// Content of all messages and bodies, in order, and whether the last of it was the end.
    #[must_use]
    pub fn contents(&self) -> Vec<Octets> {
        let content = |seen: &Seen| match seen {
            Seen::Body { content, .. } | Seen::Message { content, .. } | Seen::Raw { content, .. } => {
                Some(content.clone())
            }
            _ => None,
        };
        self.0.iter().filter_map(content).collect()
    }

    /// How many of them `wanted` likes.
    #[must_use]
    pub fn count(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.0.iter().filter(|seen| wanted(seen)).count()
    }
}
