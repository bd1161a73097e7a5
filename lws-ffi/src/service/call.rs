//! What a callback of C is lent, for as long as it runs. Whether a call comes from inside one is known at run time.

use crate::error::Error;
use crate::sys::Erased;
use crate::types::Key;
use lws_server::datagrams::Udp;
use lws_server::http::{Exchange, Request};
use lws_server::{Context, RawStream, WebSocket};
use std::cell::Cell;

/// What handlers of Rust get with a call, for those of C.
pub(crate) struct Call<'c, 'a> {
    pub(crate) cx: &'c mut Context<'a>,
    /// The stream that it is about; zero is none.
    pub(crate) key: Key,
    pub(crate) lent: Lent<'c>,
}

/// The stream of a call.
pub(crate) enum Lent<'c> {
    /// A timer, a message of another thread, the end of something: nothing can be written.
    Nothing,
    /// The head of an opening handshake, which is not answered yet.
    Opening(&'c Request<'c>),
    Exchange(Exchange<'c>, Option<&'c Request<'c>>),
    WebSocket(WebSocket<'c>),
    Raw(RawStream<'c>),
    Udp(Option<Udp<'c>>, Option<lws_loop_external::Route>),
}

impl<'c> Call<'c, '_> {
    /// What is lent, if that is about `key`.
    pub(crate) fn lent(&mut self, key: Key) -> Option<&mut Lent<'c>> {
        (key != 0 && self.key == key).then_some(&mut self.lent)
    }

    /// The head of the request of `key`, in the call that brings it.
    pub(crate) fn request(&self, key: Key) -> Result<&'c Request<'c>, Error> {
        match &self.lent {
            _ if key == 0 || self.key != key => Err(Error::State),
            Lent::Opening(request) | Lent::Exchange(_, Some(request)) => Ok(request),
            _ => Err(Error::State),
        }
    }
}

/// Where the call at work is found by what C calls meanwhile.
#[derive(Default)]
pub(crate) struct CallSlot(Cell<SlotState>);

#[derive(Clone, Copy, Default)]
enum SlotState {
    /// No callback is at work.
    #[default]
    Outside,
    Lent(Erased),
    /// What is lent is in use by a call already.
    Taken,
}

/// Puts back what was there, also when something panics.
struct Restore<'s>(&'s Cell<SlotState>, SlotState);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

impl CallSlot {
    pub(crate) fn is_in_callback(&self) -> bool {
        !matches!(self.0.get(), SlotState::Outside)
    }

    /// Lends something to whatever comes while `during` runs.
    pub(crate) fn lend<R>(&self, call: &mut Call<'_, '_>, during: impl FnOnce() -> R) -> R {
        let before = self.0.replace(SlotState::Lent(Erased::new(call)));
        let _restore = Restore(&self.0, before);
        during()
    }

    /// Uses what is lent. `None` if that is in use.
    pub(crate) fn with<R>(&self, call: impl for<'c, 'a> FnOnce(&mut Call<'c, 'a>) -> R) -> Option<R> {
        let SlotState::Lent(lent) = self.0.get() else { return None };
        self.0.set(SlotState::Taken);
        let _restore = Restore(&self.0, SlotState::Lent(lent));
        Some(lent.with(call))
    }

    /// As [`with`](Self::with), for a call that cannot come back here. Where debug assertions are on, that is checked.
    #[inline]
    pub(crate) fn with_last<R>(&self, call: impl for<'c, 'a> FnOnce(&mut Call<'c, 'a>) -> R) -> Option<R> {
        if cfg!(debug_assertions) {
            return self.with(call);
        }
        let SlotState::Lent(lent) = self.0.get() else { return None };
        Some(lent.with(call))
    }
}
