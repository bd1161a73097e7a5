//! What handlers have asked for, and what the service has put off: done in order, between turns.

use crate::connect::Attempt;
use crate::slot::Slot;
use crate::token::ConnectionId;
use lws_proto::StreamKey;

/// One thing to do.
pub(crate) enum Command<S, M> {
    /// Opens messages of other threads: they wait until what was asked for before has been done.
    OpenMessages,
    /// Ends a connection in an orderly way once what lies in its socket was read: so many more looks at most.
    Drain(ConnectionId, u8),
    /// Puts a descriptor into the table, with what was received from it before.
    Insert(ConnectionId, Box<Slot<S>>, Box<[u8]>),
    /// Gives a message to a connection.
    Message(ConnectionId, M),
    /// Begins an outgoing connection.
    Connect(Box<Attempt<S>>),
    /// Tells a connection that it was woken.
    Wake(ConnectionId),
    /// Asks for a permit to write on a stream.
    WantWrite(ConnectionId, StreamKey),
    /// Ends a connection in an orderly way.
    Close(ConnectionId),
    /// Ends a connection at once.
    Abort(ConnectionId),
}
