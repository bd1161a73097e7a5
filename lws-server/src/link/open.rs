//! What a handler opens beside its own stream: outgoing connections, descriptors, UDP sockets. Streams over descriptors are `child.rs`.

use crate::Context;
use crate::id::LinkId;
use crate::link::Link;
use crate::upstream::{ConnectOptions, Target};
use crate::{datagrams, descriptor, upstream};
use lws_loop_external::{Interest, UdpOptions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

impl Context<'_> {
    /// Begins an outgoing connection to a [`Target`], or whatever becomes one, such as an [`Address`](crate::Address) or
    /// `("example.org", 80)`. The handler hears of it soon, and never inside this call. A name is resolved, and its addresses race
    /// (RFC 8305); nothing waits. [`close_link`](Self::close_link) gives it up.
    ///
    /// It counts as one of [`Builder::connections_max`](crate::Builder::connections_max), and what it holds counts with what the
    /// server holds.
    ///
    /// # Errors
    /// It cannot be begun: there are too many connections, the server is ending, no such host name is possible, or an option is
    /// not supported here. The handler is dropped then.
    #[doc(alias = "lws_client_connect_via_info")]
    pub fn connect(
        &mut self,
        target: impl Into<Target>,
        options: &ConnectOptions,
        handler: impl upstream::Handler,
    ) -> io::Result<LinkId> {
        let config = self.state.outgoing.clone();
        let link = Link::Upstream(Box::new(handler));
        let connection = self.driver.connect(target.into(), config, options, link)?;
        Ok(self.link_id(connection))
    }

    /// Watches a descriptor, at first for `interest`. It is made non-blocking, for everybody who shares it, and closed at its end.
    ///
    /// # Errors
    /// It cannot be made non-blocking, there are too many connections, the server is ending, or it is a regular file.
    #[doc(alias = "lws_adopt_descriptor_vhost")]
    #[doc(alias = "lws_adopt_file")]
    pub fn adopt_descriptor(
        &mut self,
        descriptor: OwnedFd,
        interest: Interest,
        handler: impl descriptor::Handler,
    ) -> io::Result<LinkId> {
        let link = Link::Descriptor(Box::new(handler));
        let connection = self.driver.adopt_descriptor(descriptor, interest, link)?;
        Ok(self.link_id(connection))
    }

    /// Opens a UDP socket at an address, and says where it is: port 0 lets the system choose one. It counts as a connection.
    ///
    /// # Errors
    /// What the system says, there are too many connections, or the server is ending.
    #[doc(alias = "lws_create_adopt_udp")]
    pub fn bind_udp(
        &mut self,
        local: SocketAddr,
        options: &UdpOptions,
        handler: impl datagrams::Handler,
    ) -> io::Result<(LinkId, SocketAddr)> {
        let link = Link::Datagrams(Box::new(handler));
        let (connection, local) = self.driver.bind_udp(local, options, link)?;
        Ok((self.link_id(connection), local))
    }
}
