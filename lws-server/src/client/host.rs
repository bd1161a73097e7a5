//! What a thread keeps of its client: the client itself, and what its replies have left for handlers.
//!
//! Knows no event and no driver: `app/client.rs` hands both on.

use crate::Context;
use crate::id::StreamId;
use lws_client::{Client, Options, RequestId};
use lws_proto::{HeldBytes, Time};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The client of one thread.
pub(crate) struct Host {
    options: Options,
    held: Rc<HeldBytes>,
    /// Made when it is first lent, as most servers have no use for one.
    client: Option<Box<Client>>,
    outbox: Option<Rc<Outbox>>,
    /// The client was lent, and may have been asked for something.
    lent: bool,
}

/// What is left on the thread for the end of the call.
#[derive(Default)]
pub(crate) struct Outbox {
    notes: RefCell<Vec<Note>>,
}

/// One thing that is to be done.
pub(crate) enum Note {
    /// A handler waits no longer for a request.
    Cancel(RequestId),
    /// A stream has something to look at.
    Wake(StreamId),
    /// An outcome is delivered.
    Call(Delivery),
}

pub(crate) type Delivery = Box<dyn FnOnce(&mut Context<'_>)>;

impl Outbox {
    pub(crate) fn call(&self, delivery: Delivery) {
        self.notes.borrow_mut().push(Note::Call(delivery));
    }

    /// Everything that was left, in order.
    pub(crate) fn take(&self) -> Vec<Note> {
        self.notes.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.notes.borrow().is_empty()
    }
}

impl Host {
    pub(crate) fn new(options: Options, held: HeldBytes) -> Self {
        Self { options, held: Rc::new(held), client: None, outbox: None, lent: false }
    }

    /// The client, for somebody who may ask it for something.
    pub(crate) fn lend(&mut self) -> &mut Client {
        self.lent = true;
        let Self { options, held, client, .. } = self;
        client.get_or_insert_with(|| {
            let mut client = Client::new(options.clone());
            client.share_held_bytes(held.share());
            Box::new(client)
        })
    }

    /// The client, if it was ever lent.
    pub(crate) fn client(&mut self) -> Option<&mut Client> {
        self.client.as_deref_mut()
    }

    /// What this thread holds for its peers.
    pub(crate) fn held(&self) -> Rc<HeldBytes> {
        Rc::clone(&self.held)
    }

    /// When something is due although nothing happens.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.client.as_ref()?.next_timeout()
    }

    pub(crate) fn outbox(&mut self) -> Rc<Outbox> {
        Rc::clone(self.outbox.get_or_insert_default())
    }

    /// Whether something is to be done before the call is over.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.lent || self.outbox.as_ref().is_some_and(|outbox| !outbox.is_empty())
    }

    /// Takes what was left, and notes that the client is being looked at.
    pub(crate) fn begin_service(&mut self) -> Vec<Note> {
        self.lent = false;
        self.outbox.as_ref().map(|outbox| outbox.take()).unwrap_or_default()
    }
}

/// A request that was asked for with [`Context::fetch`] or [`Context::start`]. Dropping it gives the request up, so that a handler that keeps it waits for
/// nothing after its end.
#[must_use = "a request whose `Pending` is dropped is given up"]
pub struct Pending {
    outbox: Rc<Outbox>,
    /// Its outcome has been delivered, or is not to be any more.
    over: Rc<Cell<bool>>,
    detached: bool,
    id: RequestId,
}

impl Pending {
    pub(super) fn new(outbox: Rc<Outbox>, over: Rc<Cell<bool>>, id: RequestId) -> Self {
        Self { outbox, over, detached: false, id }
    }

    /// The name of the request.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Lets the request go on whatever becomes of the caller.
    pub fn detach(mut self) {
        self.detached = true;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.detached && !self.over.replace(true) {
            self.outbox.notes.borrow_mut().push(Note::Cancel(self.id));
        }
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Has something called with a context of the server, at the end of the call that is going on: for a [`Reply`](super::Reply) or a handler of
/// [`ws`](super::ws), which are lent the client alone. In order, before the server sleeps, and never inside the call.
#[derive(Clone)]
pub struct Deliveries {
    outbox: Rc<Outbox>,
}

impl Deliveries {
    pub(super) fn new(outbox: Rc<Outbox>) -> Self {
        Self { outbox }
    }

    /// Has `call` called. Its context belongs to no stream.
    pub fn call(&self, call: impl FnOnce(&mut Context<'_>) + 'static) {
        self.outbox.call(Box::new(call));
    }
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries").finish_non_exhaustive()
    }
}

/// Wakes one stream of the thread: its handler's `wake` is called soon, and never inside the call. A stream that has gone is not there to
/// be woken.
#[derive(Clone)]
pub struct Waker {
    outbox: Rc<Outbox>,
    id: StreamId,
}

impl Waker {
    pub(super) fn new(outbox: Rc<Outbox>, id: StreamId) -> Self {
        Self { outbox, id }
    }

    /// Has the handler's `wake` called.
    pub fn wake(&self) {
        self.outbox.notes.borrow_mut().push(Note::Wake(self.id));
    }

    /// The stream.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Waker").field(&self.id).finish()
    }
}
