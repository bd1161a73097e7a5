//! The streams of one connection.

use crate::link::stream::StreamState;
use lws_proto::StreamKey;

/// The states of the streams of a connection, by the indices of their keys. Most connections have one.
#[derive(Default)]
pub(crate) struct Streams {
    pub(crate) ingress: Ingress,
    one: StreamState,
    #[expect(clippy::box_collection, reason = "a connection with one stream pays for one pointer")]
    others: Option<Box<Vec<StreamState>>>,
}

/// How a connection came here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ingress {
    /// The index of the listener that has accepted it.
    pub(crate) listener: u16,
    /// The listener has TLS, the peer speaks none, and that is not to be.
    pub(crate) plain: bool,
}

impl Ingress {
    /// No listener: this side has begun the connection.
    pub(crate) const NONE: Self = Self { listener: u16::MAX, plain: false };
}

impl Streams {
    /// Those of a connection whose first stream has a state already.
    pub(crate) fn beginning_with(ingress: Ingress, one: StreamState) -> Self {
        Self { ingress, one, others: None }
    }

    /// The state of a stream, or what is left of the one that had its index before.
    #[inline]
    pub(crate) fn at(&mut self, key: StreamKey) -> &mut StreamState {
        match key.index() {
            0 => &mut self.one,
            index => self.other(index - 1),
        }
    }

    fn other(&mut self, index: usize) -> &mut StreamState {
        let others = self.others.get_or_insert_default();
        if others.len() <= index {
            others.resize_with(index + 1, StreamState::default);
        }
        &mut others[index]
    }

    /// The state of a stream that is there.
    pub(crate) fn find(&mut self, key: StreamKey) -> Option<&mut StreamState> {
        let state = match key.index() {
            0 => &mut self.one,
            index => self.others.as_mut()?.get_mut(index - 1)?,
        };
        (state.key == Some(key)).then_some(state)
    }

    /// Frees the memory of streams that have ended, once none but the first is there.
    pub(crate) fn shrink(&mut self) {
        if self.others.as_ref().is_some_and(|others| others.iter().all(StreamState::is_idle)) {
            self.others = None;
        }
    }

    /// Every stream that has not ended.
    pub(crate) fn into_open(self) -> impl Iterator<Item = StreamState> {
        let others = self.others.map(|others| *others).unwrap_or_default();
        std::iter::once(self.one).chain(others).filter(|state| !state.is_idle())
    }
}
