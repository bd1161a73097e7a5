//! What carries the bytes of a stream: a socket, or files such as pipes and terminals. Knows no protocol.

use crate::net;
use lws_proto::{SLICES_MAX, Transmit};
use rustix::fs::FileType;
use rustix::io::{self, Errno};
use std::fmt;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

/// Has a socket that was made elsewhere raise no SIGPIPE, where a flag of each call cannot.
pub(crate) fn silence(socket: BorrowedFd<'_>) {
    #[cfg(target_vendor = "apple")]
    // A Unix socket of an accepted connection refuses it, and has it from its listener.
    let _ = rustix::net::sockopt::set_socket_nosigpipe(socket, true);
    #[cfg(not(target_vendor = "apple"))]
    let _ = socket;
}

/// What came of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The transport took all that it was offered.
    All(usize),
    /// It took this much, and has no room for more now.
    Part(usize),
    /// It will take nothing any more.
    Failed,
}

/// A byte stream without TLS: which system calls read and write it.
pub(crate) trait Transport<'t> {
    /// The descriptor that is read.
    fn input(&self) -> BorrowedFd<'t>;

    /// Reads once. Zero bytes are the end.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes once.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes once, of several buffers.
    fn write_several(&self, vectors: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Offers queued bytes, once.
    #[inline(always)]
    fn send(&self, transmit: Transmit<'_>) -> Sent {
        let (offered, taken) = if transmit.is_contiguous() {
            let bytes = transmit.first();
            (bytes.len(), self.write(bytes))
        } else {
            self.send_several(&transmit)
        };
        if let Ok(taken) = taken {
            transmit.commit(taken);
        }
        Sent::of(offered, taken)
    }

    /// How much is offered in several buffers, and what came of it.
    fn send_several(&self, transmit: &Transmit<'_>) -> (usize, io::Result<usize>) {
        let mut slices: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
        let count = transmit.slices(&mut slices);
        let vectors = slices.map(IoSlice::new);
        let offered = slices[..count].iter().map(|slice| slice.len()).sum();
        (offered, self.write_several(&vectors[..count]))
    }
}

/// A stream socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket<'t>(pub(crate) BorrowedFd<'t>);

impl<'t> Transport<'t> for Socket<'t> {
    #[inline]
    fn input(&self) -> BorrowedFd<'t> {
        self.0
    }

    #[inline]
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        net::receive(self.0, buffer)
    }

    #[inline]
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        net::send(self.0, bytes)
    }

    fn write_several(&self, vectors: &[IoSlice<'_>]) -> io::Result<usize> {
        net::send_several(self.0, vectors)
    }
}

/// Descriptors that are no sockets: a pipe, a FIFO, a terminal, a serial line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'t> {
    input: BorrowedFd<'t>,
    /// `None` once this side has ended.
    output: Option<BorrowedFd<'t>>,
}

impl<'t> Files<'t> {
    pub(crate) fn new(input: BorrowedFd<'t>, output: Option<BorrowedFd<'t>>) -> Self {
        Self { input, output }
    }
}

impl<'t> Transport<'t> for Files<'t> {
    fn input(&self) -> BorrowedFd<'t> {
        self.input
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match io::read(self.input, buffer) {
            // What a terminal says once the other side has hung up.
            Err(Errno::IO) => Ok(0),
            result => result,
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        io::write(self.output.ok_or(Errno::PIPE)?, bytes)
    }

    fn write_several(&self, vectors: &[IoSlice<'_>]) -> io::Result<usize> {
        io::writev(self.output.ok_or(Errno::PIPE)?, vectors)
    }
}

/// Offers `bytes` to a socket, once.
pub(crate) fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8]) -> Sent {
    if bytes.is_empty() {
        return Sent::All(0);
    }
    Sent::of(bytes.len(), net::send(socket, bytes))
}

impl Sent {
    #[inline]
    fn of(offered: usize, taken: io::Result<usize>) -> Self {
        match taken {
            Ok(taken) if taken == offered => Self::All(taken),
            Ok(taken) => Self::Part(taken),
            Err(Errno::AGAIN) => Self::Part(0),
            // As if it had taken nothing yet: the caller offers again.
            Err(Errno::INTR) => Self::All(0),
            Err(_) => Self::Failed,
        }
    }
}

/// What has become of a descriptor that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It works, in one direction at least.
    No,
    /// Both directions have ended, in order.
    HungUp,
    /// The transport has failed: a reset, mostly.
    Error,
}

/// Asks what has become of a descriptor, without reading it.
pub(crate) fn failure(descriptor: BorrowedFd<'_>) -> Failed {
    match net::take_error(descriptor) {
        Ok(()) if net::has_hung_up(descriptor) => Failed::HungUp,
        Ok(()) => Failed::No,
        // A pipe, whose end is no failure.
        Err(Errno::NOTSOCK) => Failed::No,
        Err(_) => Failed::Error,
    }
}

/// Ends the sending direction of a socket. It fails if the peer has gone, which reading tells.
pub(crate) fn finish(socket: BorrowedFd<'_>) {
    let _ = net::finish(socket);
}

/// Has a socket end by a reset when it is closed, so that the peer does not take what it has got for all: what the system still
/// has to send is dropped. Unix sockets know no such end.
#[cold]
pub(crate) fn reset_on_close(socket: BorrowedFd<'_>) {
    // It fails where the peer has gone, which then does not matter any more.
    let _ = net::reset_on_close(socket);
}

/// What kind of descriptor it is, as far as it can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DescriptorKind {
    Socket,
    File,
}

impl DescriptorKind {
    /// # Errors
    /// [`NotPollable`], or what the system says.
    pub(crate) fn of(descriptor: BorrowedFd<'_>) -> std::io::Result<Self> {
        if net::is_simulated(descriptor) {
            return Ok(Self::Socket);
        }
        let kind = FileType::from_raw_mode(rustix::fs::fstat(descriptor)?.st_mode);
        match kind {
            FileType::Socket => Ok(Self::Socket),
            FileType::RegularFile | FileType::Directory | FileType::BlockDevice | FileType::Symlink => {
                Err(std::io::Error::new(std::io::ErrorKind::Unsupported, NotPollable(())))
            }
            // Descriptors without a name in a file system, such as those of an eventfd, have no kind at all.
            FileType::Fifo | FileType::CharacterDevice | FileType::Unknown => Ok(Self::File),
        }
    }
}

/// Why a regular file, a directory or a disk cannot be adopted: no system says when one is ready. A read may wait for the
/// disk all the same, so it belongs on another thread, which sends what it has read through a
/// [`DriverHandle`](crate::DriverHandle).
///
/// It is the source of an [`std::io::Error`] of kind [`Unsupported`](std::io::ErrorKind::Unsupported).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPollable(());

impl fmt::Display for NotPollable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no system says when a regular file, a directory or a disk is ready")
    }
}

impl std::error::Error for NotPollable {}
