//! WebSockets that come back.
//!
//! A socket is begun once and has one [`Handler`] for its whole life, however often its connection is lost in between:
//! `connecting`, then `open` or `lost`, and at the end `gave_up`, exactly once.

mod builder;
mod life;
mod outbox;
mod socket;

pub use builder::SocketBuilder;
pub use life::ReconnectRules;
pub use outbox::{CallError, OutboxLimits, SendError, WhenLost};

use crate::client::Client;
use crate::failure::{Cause, Failure};
use crate::options::RequestOptions;
use crate::response::ResponseHead;
use crate::slab::{Slab, SlabKey};
use crate::url::Url;
use crate::{Fields, RequestId};
use life::Lifecycle;
use lws_proto::ws::{CloseCode, Deflate};
use lws_proto::{Bytes, Control, MessageKind, StreamKey, Time};
use outbox::{Calls, Outbox};
use std::collections::VecDeque;
use std::time::Duration;

/// Names a WebSocket of a client, however often it has been lost and has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub(crate) SlabKey);

/// Receives what happens to a WebSocket. Of all calls only [`gave_up`](Self::gave_up) is certain, and it is the last one.
pub trait Handler {
    /// A connection is being made, for the first time or again.
    fn connecting(&mut self, cx: &mut Context<'_>, attempt: u32) {
        let _ = (cx, attempt);
    }

    /// It is open. The place to subscribe, and to subscribe again.
    fn open(&mut self, cx: &mut Context<'_>, opened: &Opened) {
        let _ = (cx, opened);
    }

    /// A message, or with [`streamed`](SocketBuilder::streamed) a part of one.
    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>);

    /// A Ping, Pong or Close has come. The engine answers them. A Pong may be the answer to a Ping of the engine's own.
    fn control(&mut self, cx: &mut Context<'_>, control: Control<'_>) {
        let _ = (cx, control);
    }

    /// Everything that waited has been handed to the connection: a good moment to send more. Also after [`Client::want_drained`].
    fn drained(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// A call that was begun with [`Client::call`] has no answer.
    fn call_failed(&mut self, cx: &mut Context<'_>, id: u64, error: CallError) {
        let _ = (cx, id, error);
    }

    /// It is not open any more, or could not be opened, and will be tried again.
    fn lost(&mut self, cx: &mut Context<'_>, lost: &Lost) {
        let _ = (cx, lost);
    }

    /// It is over: exactly once.
    fn gave_up(self: Box<Self>, cx: &mut Context<'_>, why: GaveUp);
}

/// A message that was received.
#[derive(Debug)]
#[non_exhaustive]
pub struct Message<'a> {
    /// Text, which has been checked, or binary.
    pub kind: MessageKind,
    /// Its bytes, or the next of them. A part of a text may end inside a character.
    pub bytes: &'a mut [u8],
    /// Whether these are its first bytes.
    pub first: bool,
    /// Whether these are its last bytes.
    pub last: bool,
}

/// That a WebSocket is open.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// Whether it was open before.
    pub resumed: bool,
    /// The subprotocol that the server has chosen.
    pub protocol: Option<String>,
    /// The answer to the opening handshake.
    pub head: ResponseHead,
}

/// That a WebSocket is not open, for now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lost {
    /// What ended it, or kept it from being opened.
    pub failure: Failure,
    /// The server's answer, if it refused the opening handshake with one.
    pub refusal: Option<Box<Refusal>>,
    /// When it is tried again.
    pub retry_at: Time,
    /// Tries in a row that have failed.
    pub failures: u32,
    /// Messages that were waiting and are gone: see [`WhenLost::Fail`].
    pub messages_lost: usize,
}

/// A server's answer that refused an opening handshake.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// Status and fields.
    pub head: ResponseHead,
    /// The first [`REFUSAL_BYTES_MAX`] bytes of its content.
    pub body: Vec<u8>,
}

/// Bytes that are kept of what a server says when it refuses an opening handshake.
pub const REFUSAL_BYTES_MAX: usize = 4 << 10;

/// Why a WebSocket is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GaveUp {
    /// [`Client::close`] was called.
    Closed {
        /// The server's code, 1005 if it had none; 1006 if it did not answer.
        code: CloseCode,
    },
    /// The client is ending, or it was closed while it was not open.
    Cancelled,
    /// It was lost, or could not be opened, and trying again would come to the same, or as many tries have failed as may.
    Failed {
        /// What ended it.
        failure: Failure,
        /// The server's answer, if it refused the opening handshake with one.
        refusal: Option<Box<Refusal>>,
    },
}

/// Lent to a [`Handler`] with every call: the client, and the WebSocket that the call is about.
pub struct Context<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) id: SocketId,
}

impl Context<'_> {
    /// The client.
    pub fn client(&mut self) -> &mut Client {
        self.client
    }

    /// The WebSocket.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// Sends a message: see [`Client::send`].
    ///
    /// # Errors
    /// It was not taken.
    pub fn send(&mut self, kind: MessageKind, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.client.send(self.id, kind, payload.into(), WhenLost::Fail)
    }

    /// Sends a Ping: see [`Client::ping`].
    ///
    /// # Errors
    /// It was not taken.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.client.ping(self.id, payload)
    }

    /// Says that the answer to a call has come. Whether the call was still waiting.
    pub fn answered(&mut self, call: u64) -> bool {
        self.client.answered(self.id, call)
    }

    /// Says that the server has let this side in, whatever that means to the application: failures before are forgotten, though the
    /// WebSocket has not been open for [`ReconnectRules::stable_after`].
    pub fn is_ready(&mut self) {
        if let Some(socket) = self.client.sockets.get_mut(self.id) {
            socket.life.reset();
        }
    }

    /// Closes it: see [`Client::close`].
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.client.close(self.id, code, reason);
    }
}

/// What a WebSocket asks for, as it is kept for the next time.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) url: Url,
    /// In place of what the URL says.
    pub(crate) host: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) fields: Fields,
    pub(crate) protocols: Vec<String>,
    pub(crate) deflate: Option<Deflate>,
    pub(crate) streamed: bool,
    pub(crate) options: RequestOptions,
    pub(crate) rules: ReconnectRules,
    pub(crate) limits: OutboxLimits,
}

/// A WebSocket.
pub(crate) struct Socket {
    /// `None` of one that has been open and will not come back: it may idle for long.
    terms: Option<Box<Terms>>,
    limits: OutboxLimits,
    /// It is taken out while it is called.
    handler: Option<Box<dyn Handler>>,
    state: SocketState,
    life: Lifecycle,
    outbox: Outbox,
    calls: Calls,
    attempts: u32,
    /// When it is tried again.
    retry_at: Option<Time>,
    was_open: bool,
    /// Where redirects have led the opening handshake, since it was lost.
    redirected: Option<Box<Redirected>>,
    /// It is among those that something is to be done for.
    queued: bool,
    /// What refuses the opening handshake that runs.
    refusal: Option<Box<Refusal>>,
    /// This side wants it closed.
    closing: Option<Box<(CloseCode, String)>>,
    /// And at once, without the closing handshake.
    aborted: bool,
    /// The application asked to be called when nothing waits.
    wants_drained: bool,
    /// The payload of a Ping that is to be sent.
    ping: Option<Box<[u8]>>,
    /// Messages that may still be sent in this turn.
    burst: usize,
    /// The application takes no messages, and the engine knows.
    paused: bool,
    is_paused: bool,
    probe: Probe,
}

/// Where redirects have led an opening handshake.
#[derive(Debug)]
struct Redirected {
    url: Url,
    /// Those that have come along.
    fields: Fields,
    hops: u32,
}

/// Whether the server is asked if it is still there, because the machine has slept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Probe {
    /// It is not.
    #[default]
    No,
    /// It is to be asked.
    Wanted,
    /// It was asked, and has to say something soon.
    Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketState {
    /// A connection is to be made now.
    Due,
    /// The opening handshake waits for a connection, or runs.
    Opening(RequestId),
    Open {
        link: crate::Link,
        stream: StreamKey,
        since: Time,
        /// The close code that the server has sent.
        closed: Option<CloseCode>,
    },
    /// It is tried again later.
    Waiting,
}

/// The WebSockets of a client.
#[derive(Default)]
pub(crate) struct Sockets {
    slab: Slab<Socket>,
    /// Those that something is to be done for.
    work: VecDeque<SocketId>,
}

impl Sockets {
    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.slab.get_mut(id.0)
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<&Socket> {
        self.slab.get(id.0)
    }

    pub(crate) fn insert(&mut self, socket: Socket) -> SocketId {
        let id = SocketId(self.slab.insert(socket));
        self.work.push_back(id);
        id
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        self.slab.remove(id.0)
    }

    pub(crate) fn ask(&mut self, id: SocketId) {
        if let Some(socket) = self.get_mut(id)
            && !std::mem::replace(&mut socket.queued, true)
        {
            self.work.push_back(id);
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    pub(crate) fn pop_work(&mut self) -> Option<SocketId> {
        let id = self.work.pop_front()?;
        if let Some(socket) = self.get_mut(id) {
            socket.queued = false;
        }
        Some(id)
    }

    /// Closes all of them.
    pub(crate) fn close_all(&mut self) {
        let ids: Vec<_> = self.slab.keys().map(SocketId).collect();
        for id in ids {
            if let Some(socket) = self.get_mut(id) {
                socket.closing.get_or_insert_with(|| Box::new((CloseCode::GOING_AWAY, String::new())));
                socket.paused = false;
            }
            self.ask(id);
        }
    }

    /// Lets all that are open find out whether their servers are still there.
    pub(crate) fn probe_all(&mut self) {
        let ids: Vec<_> = self.slab.keys().map(SocketId).collect();
        for id in ids {
            if let Some(socket) = self.get_mut(id)
                && matches!(socket.state, SocketState::Open { .. })
            {
                socket.probe = Probe::Wanted;
                self.ask(id);
            }
        }
    }
}

impl Socket {
    pub(crate) fn new(terms: Terms, handler: Box<dyn Handler>) -> Self {
        Self {
            burst: terms.limits.burst,
            limits: terms.limits,
            terms: Some(Box::new(terms)),
            handler: Some(handler),
            state: SocketState::Due,
            life: Lifecycle::default(),
            outbox: Outbox::default(),
            calls: Calls::default(),
            attempts: 0,
            retry_at: None,
            was_open: false,
            redirected: None,
            queued: true,
            refusal: None,
            closing: None,
            aborted: false,
            wants_drained: false,
            ping: None,
            paused: false,
            is_paused: false,
            probe: Probe::default(),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, SocketState::Open { .. })
    }
}

/// How long after the wall clock has gone on and this machine's has not it is taken to have slept.
pub(crate) const SLEPT: Duration = Duration::from_secs(60);

/// The report about a WebSocket that has failed for good.
fn given_up(failure: Failure, refusal: Option<Box<Refusal>>) -> GaveUp {
    match failure.cause {
        Cause::Cancelled => GaveUp::Cancelled,
        _ => GaveUp::Failed { failure, refusal },
    }
}
