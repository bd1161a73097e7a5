//! An established connection: its engine, and the application's state.

use crate::secure::Secure;
use crate::tls::Info;
use lws_proto::Connection;

/// An established connection.
pub(crate) struct Open<S> {
    pub(crate) connection: Connection,
    pub(crate) state: S,
    /// TLS between the socket and the engine, if there is any.
    pub(crate) secure: Option<Box<Secure>>,
}

impl<S> Open<S> {
    /// Borrows the parts that a handler is lent at the same time.
    #[inline]
    pub(crate) fn parts(&mut self) -> (&mut Connection, &mut S, Option<&Info>) {
        (&mut self.connection, &mut self.state, self.secure.as_deref().map(|secure| &secure.info))
    }
}
