//! Commands of handlers, and work that the service has put off: carried out in order, between turns.

use crate::connect::Attempt;
use crate::slot::Slot;
use crate::tls::Provider;
use crate::token::ConnectionId;
use lws_proto::StreamKey;
use std::sync::Arc;
use std::time::Duration;

/// One command.
pub(crate) enum Command<S, M> {
    /// Opens messages of other threads. As a command they keep their order behind what was asked for before.
    OpenMessages,
    /// Ends a connection in an orderly way once the input in its socket has been read, or after this many more
    /// turns.
    Drain(ConnectionId, u8),
    /// Puts a descriptor into the table, with bytes that were received from it before.
    Insert(ConnectionId, Box<Slot<S>>, Box<[u8]>),
    /// Gives a message to a connection.
    Message(ConnectionId, M),
    /// Begins an outgoing connection.
    Connect(Box<Attempt<S>>),
    /// Calls [`Application::woken`](crate::Application::woken) for a connection.
    Wake(ConnectionId),
    /// Asks for a permit to write on a stream.
    WantWrite(ConnectionId, StreamKey),
    /// Begins TLS on an outgoing connection that is established, with a time for the handshake.
    StartTls(ConnectionId, Box<(Arc<dyn Provider>, Duration)>),
    /// Ends a connection in an orderly way.
    Close(ConnectionId),
    /// Lets a connection end by itself.
    Retire(ConnectionId),
    /// Ends a connection at once.
    Abort(ConnectionId),
}
