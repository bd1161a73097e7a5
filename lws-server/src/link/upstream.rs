//! Outgoing connections that a handler begins: to another server, from the thread that it is on.

use crate::Context;
use lws_loop_external::tls::{Failure, Info};
pub use lws_loop_external::{ConnectError, ConnectOptions, Speak, Target};
pub use lws_proto::http::Request;
pub use lws_proto::{Connection, Established, Event};

/// The handler of an outgoing connection, from its making to its end. It is dropped after
/// [`failed`](Self::failed) or [`close`](Self::close), of which one comes.
///
/// What is lent is the engine's connection: [`Connection::request`] asks for something,
/// [`Connection::connect_websocket`] opens a WebSocket, and the events are those of the engine.
#[doc(alias = "LWS_CALLBACK_CLIENT_ESTABLISHED")]
pub trait Handler: 'static {
    /// The connection is there, with its TLS handshake done if there is one: the place to ask for something.
    fn connected(&mut self, cx: &mut Context<'_>, connection: &mut Connection);

    /// It could not be made: `error` says how far it came and what was tried.
    #[doc(alias = "LWS_CALLBACK_CLIENT_CONNECTION_ERROR")]
    fn failed(&mut self, cx: &mut Context<'_>, error: &ConnectError) {
        let _ = (cx, error);
    }

    /// Its TLS handshake is done: before [`connected`](Self::connected), or after [`Context::start_tls`]. What is sent from now on is
    /// inside of TLS.
    fn secured(&mut self, cx: &mut Context<'_>, info: &Info) {
        let _ = (cx, info);
    }

    /// TLS has failed after it was [`connected`](Self::connected). [`close`](Self::close) follows.
    fn tls_failed(&mut self, cx: &mut Context<'_>, failure: &Failure) {
        let _ = (cx, failure);
    }

    /// Something has come, or a permit to write.
    fn event(&mut self, cx: &mut Context<'_>, event: Event<'_>);

    /// [`Context::wake_link`] was called for the connection.
    fn wake(&mut self, cx: &mut Context<'_>, connection: &mut Connection) {
        let _ = (cx, connection);
    }

    /// The connection is over.
    fn close(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }
}
