//! Descriptors that a handler reads and writes by itself: an eventfd, a signal descriptor, the socket of another library.

use crate::Context;
pub use lws_loop_external::{Descriptor, DescriptorEvent, Interest};

/// A descriptor that the server watches and its handler reads and writes.
pub trait Handler: 'static {
    /// It is ready, was woken by [`Context::wake_link`], or cannot be watched.
    #[doc(alias = "LWS_CALLBACK_RAW_RX_FILE")]
    fn event(&mut self, cx: &mut Context<'_>, event: DescriptorEvent, descriptor: &mut Descriptor<'_>);

    /// It is watched no more.
    #[doc(alias = "LWS_CALLBACK_RAW_CLOSE_FILE")]
    fn close(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }
}
