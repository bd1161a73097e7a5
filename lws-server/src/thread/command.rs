//! What is sent to a thread of a server: by other threads, and by its own handlers for streams that are not lent.

use crate::Context;
use crate::id::RouteId;
use crate::publish::topics::{Publication, Subscription};
use crate::site::transition::Transition;
use lws_proto::{Stream, StreamKey};
use std::sync::Arc;

/// What a thread is asked to do.
pub(crate) enum Command {
    /// About one stream of the connection that it is sent to.
    ToStream(StreamKey, StreamCommand),
    /// Wakes every WebSocket of a route.
    WakeAll(RouteId),
    /// Puts a message into the logs of its subscribers here.
    Publish(Arc<Publication>),
    /// Calls something with a context that belongs to no stream.
    Call(Box<dyn FnOnce(&mut Context<'_>) + Send>),
    /// Changes the sites, together with the other threads.
    Sites(SitesCommand),
}

/// A step of a change of the sites.
pub(crate) enum SitesCommand {
    /// Begins it, on the first thread, when those before it are done.
    Change(Arc<Transition>),
    /// Prepares it on a thread that follows the first.
    Prepare(Arc<Transition>),
    /// Prepares the next site.
    PrepareNext,
    /// Says to the first thread that all are ready, or that one cannot be.
    Prepared,
    /// Serves what was prepared.
    Commit,
    /// Forgets what was prepared.
    Abort,
    /// Says to the first thread that all have done it.
    Committed,
}

/// What a stream is asked to do.
pub(crate) enum StreamCommand {
    /// Has its handler's `wake` called.
    Wake,
    /// Asks for a permit on its behalf.
    WantWrite,
    /// There is something to read for a subscriber.
    Deliver(Subscription),
    /// It is subscribed to a topic behind a position.
    #[cfg(feature = "broker")]
    Recovered(Box<crate::publish::broker::StreamRecovery>),
    /// Its site has been removed.
    GoAway,
    /// Calls something with the stream.
    Call(StreamCall),
}

pub(crate) type StreamCall = Box<dyn FnOnce(&mut Context<'_>, Stream<'_>) + Send>;
