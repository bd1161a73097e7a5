//! Descriptors that a handler opens or takes over, beside listeners and outgoing connections.

use crate::application::Application;
use crate::context::DriverContext;
use crate::flags::Flags;
use crate::open::Open;
use crate::piped::Piped;
use crate::service::Interest;
use crate::slot::Body;
use crate::token::ConnectionId;
use crate::transport::{DescriptorKind, silence};
use crate::udp::open::{open, unspecified_for};
use crate::udp::{Datagrams, Io, UdpOptions};
use crate::watch::{WatchState, Watched};
use lws_proto::Connection;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

impl<A: Application> DriverContext<'_, A> {
    /// Takes over a stream descriptor that was opened elsewhere, with the side of the connection that was made for it: a
    /// socket, a FIFO, a terminal, a serial line. A child's pipes are [`adopt_pair`](Self::adopt_pair)'s.
    ///
    /// # Errors
    /// It cannot be made non-blocking, there are too many connections, the service is ending, or it is a regular file:
    /// [`NotPollable`](crate::NotPollable).
    #[doc(alias = "lws_adopt_socket")]
    pub fn adopt(
        &mut self,
        descriptor: OwnedFd,
        connection: Connection,
        state: A::State,
    ) -> io::Result<ConnectionId> {
        self.adopt_with_input(descriptor, &[], connection, state)
    }

    /// Takes over a stream descriptor as [`adopt`](Self::adopt) does, from which bytes were read before: `received` is
    /// delivered before anything else.
    ///
    /// # Errors
    /// As for [`adopt`](Self::adopt).
    #[doc(alias = "lws_adopt_socket_readbuf")]
    pub fn adopt_with_input(
        &mut self,
        descriptor: OwnedFd,
        received: &[u8],
        connection: Connection,
        state: A::State,
    ) -> io::Result<ConnectionId> {
        self.core.admit(1)?;
        let kind = DescriptorKind::of(descriptor.as_fd())?;
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        let open = Open { connection, state, secure: None };
        let (flags, body) = match kind {
            DescriptorKind::Socket => {
                silence(descriptor.as_fd());
                (Flags::WRITABLE, Body::Open(open))
            }
            // A terminal returns one line per read, so a short read does not mean that it is empty.
            DescriptorKind::File => {
                (Flags::WRITABLE | Flags::HANG_UP, Body::Piped(Box::new(Piped::new(open, None))))
            }
        };
        Ok(self.core.insert(descriptor.into(), flags, body, received.into()))
    }

    /// Takes over a descriptor to read and another one to write as one stream: the ends of a child's pipes, or standard
    /// input and output. Each of them counts as a connection.
    ///
    /// Writing to a pipe without a reader raises SIGPIPE, which Rust programs ignore and others should.
    ///
    /// # Errors
    /// As for [`adopt`](Self::adopt); or the system has no descriptor left for a duplicate of `output`.
    #[doc(alias = "LWS_ADOPT_RAW_FILE_DESC")]
    pub fn adopt_pair(
        &mut self,
        input: OwnedFd,
        output: OwnedFd,
        connection: Connection,
        state: A::State,
    ) -> io::Result<ConnectionId> {
        self.core.admit(2)?;
        for descriptor in [&input, &output] {
            DescriptorKind::of(descriptor.as_fd())?;
            rustix::io::ioctl_fionbio(descriptor, true)?;
        }
        let watched = output.try_clone()?.into();
        let (place, own) = (self.core.allocate(), self.core.allocate());
        let piped = Piped::new(Open { connection, state, secure: None }, Some((output.into(), place)));
        self.core.insert_at(place, watched, Flags::default(), Body::Output(own), Box::default());
        let flags = Flags::WRITABLE | Flags::HANG_UP;
        self.core.insert_at(own, input.into(), flags, Body::Piped(Box::new(piped)), Box::default());
        Ok(own)
    }

    /// Takes over a descriptor that the application reads and writes by itself, whatever can be watched: a FIFO, a
    /// terminal, an eventfd, a timerfd, an inotify or a signal descriptor, the socket of another library. Its events
    /// are delivered to [`Application::descriptor`], the first one when it is ready for `interest`.
    ///
    /// It is made non-blocking, for every process that shares it, and is closed when it ends. Adopt a duplicate of a
    /// descriptor that must stay open or belongs to another library.
    ///
    /// # Errors
    /// It cannot be made non-blocking, there are too many connections, the service is ending, or it is a regular file:
    /// [`NotPollable`](crate::NotPollable).
    #[doc(alias = "lws_adopt_descriptor_vhost")]
    #[doc(alias = "lws_adopt_file")]
    pub fn adopt_descriptor(
        &mut self,
        descriptor: OwnedFd,
        interest: Interest,
        state: A::State,
    ) -> io::Result<ConnectionId> {
        self.core.admit(1)?;
        DescriptorKind::of(descriptor.as_fd())?;
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        let body = Body::Watched(Box::new(Watched { state, watch: WatchState::new(interest) }));
        Ok(self.core.insert(descriptor.into(), Flags::READABLE | Flags::WRITABLE, body, Box::default()))
    }

    /// Opens a UDP socket at an address, and returns its address: port 0 lets the system choose one. Its events are
    /// delivered to [`Application::udp`], and it counts as a connection.
    ///
    /// # Errors
    /// What the system says, there are too many connections, or the service is ending.
    #[doc(alias = "lws_create_adopt_udp")]
    pub fn bind_udp(
        &mut self,
        local: SocketAddr,
        options: &UdpOptions,
        state: A::State,
    ) -> io::Result<(ConnectionId, SocketAddr)> {
        self.open_udp(local, None, options, state)
    }

    /// Opens a UDP socket that talks with one peer: datagrams of others are not received, and the peer's refusals are
    /// reported as [`UdpEvent::Failed`](crate::UdpEvent::Failed). In everything else it is like
    /// [`bind_udp`](Self::bind_udp).
    ///
    /// # Errors
    /// As for [`bind_udp`](Self::bind_udp).
    pub fn connect_udp(
        &mut self,
        peer: SocketAddr,
        options: &UdpOptions,
        state: A::State,
    ) -> io::Result<(ConnectionId, SocketAddr)> {
        self.open_udp(options.local.unwrap_or(unspecified_for(peer)), Some(peer), options, state)
    }

    fn open_udp(
        &mut self,
        local: SocketAddr,
        peer: Option<SocketAddr>,
        options: &UdpOptions,
        state: A::State,
    ) -> io::Result<(ConnectionId, SocketAddr)> {
        self.core.admit(1)?;
        let (socket, local) = open(local, peer, options)?;
        let io = Io::new(socket.as_fd(), local, peer, options)?;
        let body = Body::Datagrams(Box::new(Datagrams { state, io }));
        let flags = Flags::READABLE | Flags::WRITABLE;
        Ok((self.core.insert(socket.into(), flags, body, Box::default()), local))
    }
}
