//! What is sent to a thread of a server: by other threads, and by its own handlers for streams that are not lent.

use crate::Context;
use crate::id::{RouteId, SiteId};
use crate::publish::topics::{Publication, Subscription};
use crate::site::addition::{Addition, Bound};
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
    /// Adds a site, on the first thread.
    AddSite(Arc<Addition>),
    /// Adds a site that the first thread has, and listens where that does.
    FollowSite(Arc<Addition>, Followed),
}

/// A site that the first thread has added.
#[derive(Clone)]
pub(crate) struct Followed {
    pub(crate) id: SiteId,
    pub(crate) first_route: RouteId,
    pub(crate) bound: Arc<[Bound]>,
}

/// What a stream is asked to do.
pub(crate) enum StreamCommand {
    /// Has its handler's `wake` called.
    Wake,
    /// Asks for a permit on its behalf.
    WantWrite,
    /// There is something to read for a subscriber.
    Deliver(Subscription),
    /// Its site has been removed.
    GoAway,
    /// Calls something with the stream.
    Call(StreamCall),
}

pub(crate) type StreamCall = Box<dyn FnOnce(&mut Context<'_>, Stream<'_>) + Send>;
