//! The transports of byte streams: a socket, or files such as pipes and terminals. Knows no protocol.

use crate::file_region;
use crate::net;
use lws_proto::{Region, SLICES_MAX, Transmit};
use rustix::fs::FileType;
use rustix::io::{self, Errno};
use std::fmt;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

/// Keeps a socket that was made elsewhere from raising SIGPIPE, on systems where no flag of a call does that.
pub(crate) fn silence(socket: BorrowedFd<'_>) {
    #[cfg(target_vendor = "apple")]
    // An accepted Unix socket refuses the option, which it has inherited from its listener.
    let _ = rustix::net::sockopt::set_socket_nosigpipe(socket, true);
    #[cfg(not(target_vendor = "apple"))]
    let _ = socket;
}

/// The outcome of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The transport took all that it was offered.
    All(usize),
    /// It took this much of a file, without copying it.
    OfFile(usize),
    /// It took this much, and has no room for more now.
    Part(usize),
    /// The transport has failed.
    Failed,
    /// What was promised cannot be sent: a file has become shorter, or cannot be read.
    Missing,
}

/// A byte stream without TLS: which system calls read and write it.
pub(crate) trait Transport<'t> {
    /// The descriptor that is read.
    fn input(&self) -> BorrowedFd<'t>;

    /// Reads once. Zero bytes are the end.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes once.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes once, from several buffers. `more` says that a region follows at once.
    fn write_several(&self, vectors: &[IoSlice<'_>], more: bool) -> io::Result<usize>;

    /// Writes once from a region, of a connection that sends regions. Zero bytes say that there are no more.
    fn write_region(&self, region: &Region) -> io::Result<usize> {
        let _ = region;
        Err(Errno::NOTSUP)
    }

    /// Offers queued bytes, once.
    #[inline(always)]
    fn send(&self, transmit: Transmit<'_>) -> Sent {
        if !transmit.is_contiguous() {
            return self.send_apart(transmit);
        }
        let bytes = transmit.first();
        let (offered, taken) = (bytes.len(), self.write(bytes));
        if let Ok(taken) = taken {
            transmit.commit(taken);
        }
        Sent::of(offered, taken)
    }

    /// Offers bytes of several buffers, or of a region. Out of line, as most output is in one buffer.
    #[inline(never)]
    fn send_apart(&self, transmit: Transmit<'_>) -> Sent {
        if let Some(region) = transmit.region() {
            let taken = self.write_region(region);
            return Sent::of_region(taken, transmit);
        }
        let mut slices: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
        let count = transmit.slices(&mut slices);
        let vectors = slices.map(IoSlice::new);
        let offered = slices[..count].iter().map(|slice| slice.len()).sum();
        let taken = self.write_several(&vectors[..count], transmit.precedes_region());
        if let Ok(taken) = taken {
            transmit.commit(taken);
        }
        Sent::of(offered, taken)
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

    fn write_several(&self, vectors: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        net::send_several(self.0, vectors, more)
    }

    fn write_region(&self, region: &Region) -> io::Result<usize> {
        file_region::send(self.0, region)
    }
}

/// Descriptors other than sockets: a pipe, a FIFO, a terminal, a serial line.
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
            // A terminal returns EIO once the other side has hung up.
            Err(Errno::IO) => Ok(0),
            result => result,
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        io::write(self.output.ok_or(Errno::PIPE)?, bytes)
    }

    fn write_several(&self, vectors: &[IoSlice<'_>], _: bool) -> io::Result<usize> {
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
            // An interrupted call has taken nothing; the caller offers the bytes again.
            Err(Errno::INTR) => Self::All(0),
            Err(_) => Self::Failed,
        }
    }

    /// The outcome of an attempt to send from the region that comes next.
    fn of_region(taken: io::Result<usize>, transmit: Transmit<'_>) -> Self {
        match taken {
            Ok(0) => Self::Missing,
            // Fewer than were offered may be all that the file has, and not all that the socket takes: the next attempt says so.
            Ok(taken) => {
                transmit.commit(taken);
                Self::OfFile(taken)
            }
            Err(error) => Self::of_file_error(error),
        }
    }

    /// The outcome of an attempt to send from a file that has failed: for a fault of the file its rest is missing, and any other is the
    /// socket's.
    fn of_file_error(error: Errno) -> Self {
        match error {
            Errno::IO
            | Errno::INVAL
            | Errno::OVERFLOW
            | Errno::STALE
            | Errno::ISDIR
            | Errno::SPIPE
            | Errno::NOSYS
            | Errno::NOTSUP => Self::Missing,
            _ => Self::of(0, Err(error)),
        }
    }
}

/// The state of a descriptor that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// At least one direction works.
    No,
    /// Both directions have ended in an orderly way.
    HungUp,
    /// The transport has failed, usually by a reset.
    Error,
}

/// Asks the system for the state of a descriptor, without reading from it.
pub(crate) fn failure(descriptor: BorrowedFd<'_>) -> Failed {
    match net::take_error(descriptor) {
        Ok(()) if net::has_hung_up(descriptor) => Failed::HungUp,
        Ok(()) => Failed::No,
        // A pipe. Its end is not a failure.
        Err(Errno::NOTSOCK) => Failed::No,
        Err(_) => Failed::Error,
    }
}

/// Ends the sending direction of a socket. Errors are ignored: the call fails if the peer has gone, which a read
/// finds.
pub(crate) fn finish(socket: BorrowedFd<'_>) {
    let _ = net::finish(socket);
}

/// Makes the close of a socket a reset, so that the peer does not take an incomplete response for a complete one.
/// Unsent bytes are discarded. Unix sockets have no reset.
#[cold]
pub(crate) fn reset_on_close(socket: BorrowedFd<'_>) {
    // The call fails if the peer has gone, and then there is no connection to reset.
    let _ = net::reset_on_close(socket);
}

/// The kind of a descriptor that can be watched.
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
            // Anonymous descriptors, such as those of an eventfd, have no file type.
            FileType::Fifo | FileType::CharacterDevice | FileType::Unknown => Ok(Self::File),
        }
    }
}

/// The error of adopting a regular file, a directory or a block device. No system reports when one is ready, although a
/// read may wait for the disk; read it on another thread, which sends the content through a
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_no_fault_of_the_socket() {
        for (error, sent) in [
            (Errno::IO, Sent::Missing),
            (Errno::STALE, Sent::Missing),
            (Errno::INVAL, Sent::Missing),
            (Errno::PIPE, Sent::Failed),
            (Errno::CONNRESET, Sent::Failed),
            (Errno::AGAIN, Sent::Part(0)),
            (Errno::INTR, Sent::All(0)),
        ] {
            assert_eq!(Sent::of_file_error(error), sent, "{error}");
        }
    }
}
