//! Handlers of raw streams: one per connection.

use crate::Context;
use lws_proto::{Cause, RawPermit, RawStream};

/// One raw stream: bytes in, bytes out, each direction with an end of its own.
#[doc(alias = "LWS_CALLBACK_RAW")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `raw::Handler`",
    label = "not a handler of raw streams",
    note = "implement `lws_server::raw::Handler`"
)]
pub trait Handler: 'static {
    /// The stream is there.
    #[doc(alias = "LWS_CALLBACK_RAW_ADOPT")]
    fn open(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        let _ = (cx, stream);
    }

    /// Bytes of the peer; none only if `end`, which says that there will be no more. This side may still write, and
    /// ends its own direction with `permit.data(.., true)`.
    #[doc(alias = "LWS_CALLBACK_RAW_RX")]
    fn chunk(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>, chunk: &mut [u8], end: bool);

    /// The permit that was asked for.
    #[doc(alias = "LWS_CALLBACK_RAW_WRITEABLE")]
    fn writable(&mut self, cx: &mut Context<'_>, permit: RawPermit<'_>) {
        let _ = (cx, permit);
    }

    /// The moment of [`RawStream::set_timeout`].
    fn timer(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        let _ = (cx, stream);
    }

    /// [`Handle::wake`](crate::Handle::wake) or [`Context::wake`] was called for the stream.
    fn wake(&mut self, cx: &mut Context<'_>, stream: RawStream<'_>) {
        let _ = (cx, stream);
    }

    /// The stream is over. Exactly once.
    #[doc(alias = "LWS_CALLBACK_RAW_CLOSE")]
    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        let _ = (cx, cause);
    }
}
