//! What the bare servers share: one epoll, one listener, and the sockets by their numbers.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};

use crate::Result;
use crate::client::MAX_EVENTS;

const LISTENER: u64 = u64::MAX;

/// A server on 127.0.0.1 that keeps a `T` for each socket.
pub(crate) struct EpollServer<T> {
    epoll: OwnedFd,
    listener: TcpListener,
    /// By descriptor number.
    sockets: Vec<Option<T>>,
}

impl<T> EpollServer<T> {
    /// Listens on `port`; 0 leaves the choice to the kernel.
    ///
    /// # Errors
    /// When the port is taken or the kernel refuses an epoll.
    pub(crate) fn bind(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self { epoll, listener, sockets: Vec::new() })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Serves until the process is ended: `accepted` with each connection that has come, `ready` with the number of each socket that is.
    ///
    /// # Errors
    /// When the kernel refuses to wait or to accept, or what `accepted` says.
    pub(crate) fn run(
        mut self,
        mut accepted: impl FnMut(&mut Self, TcpStream) -> Result<()>,
        mut ready: impl FnMut(&mut Self, usize),
    ) -> Result<()> {
        let mut events = Vec::with_capacity(MAX_EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => {
                        while let Some(socket) = self.accept()? {
                            accepted(&mut self, socket)?;
                        }
                    }
                    number => ready(&mut self, number as usize),
                }
            }
        }
    }

    fn accept(&self) -> Result<Option<TcpStream>> {
        match self.listener.accept() {
            Ok((socket, _)) => Ok(Some(socket)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Watches a socket for reading.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn add(&mut self, socket: TcpStream, keep: impl FnOnce(TcpStream) -> T) -> Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let number = socket.as_raw_fd() as usize;
        epoll::add(&self.epoll, &socket, EventData::new_u64(number as u64), EventFlags::IN)?;
        if self.sockets.len() <= number {
            self.sockets.resize_with(number + 1, || None);
        }
        self.sockets[number] = Some(keep(socket));
        Ok(())
    }

    /// What is kept for a socket.
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.sockets.get(number)?.as_ref()
    }

    /// What is kept for a socket, and the epoll that watches it.
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<(&mut T, &OwnedFd)> {
        Some((self.sockets.get_mut(number)?.as_mut()?, &self.epoll))
    }

    /// Closes a socket.
    pub(crate) fn close(&mut self, number: usize) {
        if let Some(socket) = self.sockets.get_mut(number) {
            *socket = None;
        }
    }
}

/// Watches a socket for something else.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn watch(epoll: &OwnedFd, socket: &TcpStream, flags: EventFlags) -> io::Result<()> {
    Ok(epoll::modify(epoll, socket, EventData::new_u64(socket.as_raw_fd() as u64), flags)?)
}
