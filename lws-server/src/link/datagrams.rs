//! UDP sockets that a handler opens beside the connections of its server.

use crate::Context;
pub use lws_loop_external::{Datagram, DatagramPermit, Udp, UdpEvent, UdpOptions};

/// A UDP socket.
pub trait Handler: 'static {
    /// A datagram has come, there is room to send one, or one could not be sent.
    #[doc(alias = "LWS_CALLBACK_RAW_RX")]
    fn event(&mut self, cx: &mut Context<'_>, event: UdpEvent<'_>);

    /// It is closed.
    fn close(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }
}
