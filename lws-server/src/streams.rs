//! What a server keeps of the streams of one connection.

use crate::app::State;
use lws_proto::StreamKey;

/// The states of the streams of a connection, by their places. Most connections have one.
#[derive(Default)]
pub(crate) struct Streams {
    pub(crate) origin: Origin,
    one: State,
    #[expect(clippy::box_collection, reason = "a connection with one stream pays for one pointer")]
    others: Option<Box<Vec<State>>>,
}

/// How a connection came here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    /// Which of the listeners has accepted it.
    pub(crate) listener: u16,
    /// Only this machine reaches that listener.
    pub(crate) local: bool,
    /// The listener has TLS, the peer speaks none, and that is not to be.
    pub(crate) plain: bool,
}

impl Streams {
    /// Those of a connection whose first stream has a state already.
    pub(crate) fn beginning_with(origin: Origin, one: State) -> Self {
        Self { origin, one, others: None }
    }

    /// The state of a stream, or what is left of the one that had its place before.
    #[inline]
    pub(crate) fn at(&mut self, key: StreamKey) -> &mut State {
        match key.index() {
            0 => &mut self.one,
            index => self.other(index - 1),
        }
    }

    fn other(&mut self, index: usize) -> &mut State {
        let others = self.others.get_or_insert_default();
        if others.len() <= index {
            others.resize_with(index + 1, State::default);
        }
        &mut others[index]
    }

    /// The state of a stream that is there.
    pub(crate) fn find(&mut self, key: StreamKey) -> Option<&mut State> {
        let state = match key.index() {
            0 => &mut self.one,
            index => self.others.as_mut()?.get_mut(index - 1)?,
        };
        (state.key == Some(key)).then_some(state)
    }

    /// Forgets the places of streams that have ended, once nobody else is there.
    pub(crate) fn shrink(&mut self) {
        if self.others.as_ref().is_some_and(|others| others.iter().all(State::is_idle)) {
            self.others = None;
        }
    }

    /// Every stream that has not ended.
    pub(crate) fn into_open(self) -> impl Iterator<Item = State> {
        let others = self.others.map(|others| *others).unwrap_or_default();
        std::iter::once(self.one).chain(others).filter(|state| !state.is_idle())
    }
}
