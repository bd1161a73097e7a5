//! Descriptors that an application reads and writes by itself: the service only says when. Knows no bytes.

use crate::service::Interest;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What happens to a descriptor that was adopted with [`DriverContext::adopt_descriptor`](crate::DriverContext::adopt_descriptor).
#[derive(Debug)]
#[non_exhaustive]
pub enum DescriptorEvent {
    /// It is watched from now on.
    #[doc(alias = "LWS_CALLBACK_RAW_ADOPT_FILE")]
    Adopted,
    /// There is something to read. Delivered again and again until it has been read, whatever kind of loop hosts the service.
    #[doc(alias = "LWS_CALLBACK_RAW_RX_FILE")]
    Readable,
    /// There is room to write: once for each [`Descriptor::want_write`].
    #[doc(alias = "LWS_CALLBACK_RAW_WRITEABLE_FILE")]
    Writable,
    /// The other side has gone, or there is an error, and nothing is left to read. It is watched for nothing until
    /// [`Descriptor::resume`] or [`Descriptor::want_write`], so that a hang-up which lasts costs nothing.
    ///
    /// The reader of a FIFO that wants to wait for the next writer opens it for reading and writing: it sees no hang-up.
    HangUp,
    /// [`DriverContext::wake`](crate::DriverContext::wake) was called for it.
    Woken,
    /// The host cannot watch it. [`Application::closed`](crate::Application::closed) follows.
    Refused(io::Error),
}

/// A descriptor, lent with each event about it.
///
/// Nothing blocks. To read and write with other means, keep what owns the descriptor and adopt a duplicate of it.
///
/// ```
/// use lws_loop_external::{Descriptor, DescriptorEvent};
/// use std::io;
///
/// /// Notes what comes, and asks for the event when there is room for the answer.
/// fn on_event(event: DescriptorEvent, descriptor: &mut Descriptor<'_>, lines: &mut Vec<u8>) -> io::Result<()> {
///     let mut piece = [0; 512];
///     match event {
///         DescriptorEvent::Readable => {
///             let n = descriptor.read(&mut piece)?;
///             lines.extend_from_slice(&piece[..n]);
///             descriptor.want_write();
///         }
///         DescriptorEvent::Writable => {
///             let n = descriptor.write(lines)?;
///             lines.drain(..n);
///         }
///         DescriptorEvent::HangUp => descriptor.close(),
///         _ => {}
///     }
///     Ok(())
/// }
/// ```
pub struct Descriptor<'a> {
    descriptor: BorrowedFd<'a>,
    watch: &'a mut Watch,
}

impl<'a> Descriptor<'a> {
    pub(crate) fn new(descriptor: BorrowedFd<'a>, watch: &'a mut Watch) -> Self {
        Self { descriptor, watch }
    }

    /// Reads once. Zero bytes are the end.
    ///
    /// # Errors
    /// What read(2) says; [`io::ErrorKind::WouldBlock`] if there is nothing now.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.descriptor, buffer)?)
    }

    /// Writes once, and says how many bytes were taken. Writing to a pipe without a reader raises SIGPIPE, which Rust
    /// programs ignore and others should.
    ///
    /// # Errors
    /// What write(2) says; [`io::ErrorKind::WouldBlock`] if there is no room now.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.descriptor, bytes)?)
    }

    /// Asks for one [`DescriptorEvent::Writable`], when there is room. Asking twice is asking once.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self) {
        self.watch.writing = true;
    }

    /// No [`DescriptorEvent::Readable`] any more.
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause(&mut self) {
        self.watch.reading = false;
    }

    /// [`DescriptorEvent::Readable`] again.
    pub fn resume(&mut self) {
        self.watch.reading = true;
    }

    /// Lets it stay while the service drains, which ends what is watched at once otherwise: for a descriptor that something needs which is
    /// let finish then, such as the pipe of a process that answers a request. It is closed at the end of the drain at the latest.
    pub fn outlast_drain(&mut self) {
        self.watch.outlasts_drain = true;
    }

    /// Ends it: nothing is delivered of it any more but [`Application::closed`](crate::Application::closed), and the host lets go of it before it is
    /// closed.
    pub fn close(&mut self) {
        self.watch.closing = true;
    }
}

impl AsFd for Descriptor<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor
    }
}

impl fmt::Debug for Descriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Descriptor").field(&self.descriptor).finish()
    }
}

/// A descriptor in the table.
pub(crate) struct Watched<S> {
    pub(crate) state: S,
    pub(crate) watch: Watch,
}

/// What the application wants of it.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) reading: bool,
    pub(crate) writing: bool,
    pub(crate) closing: bool,
    /// It is not ended by a drain.
    pub(crate) outlasts_drain: bool,
    /// To be delivered in the next turn.
    pub(crate) notice: Option<DescriptorEvent>,
}

impl Watch {
    pub(crate) fn new(interest: Interest) -> Self {
        Self {
            reading: interest.contains(Interest::READ),
            writing: interest.contains(Interest::WRITE),
            closing: false,
            outlasts_drain: false,
            notice: Some(DescriptorEvent::Adopted),
        }
    }

    /// Has something delivered in the next turn.
    pub(crate) fn notify(&mut self, event: DescriptorEvent) {
        self.closing |= matches!(event, DescriptorEvent::Refused(_));
        self.notice = Some(event);
    }

    pub(crate) fn interest(&self) -> Interest {
        Interest::READ.when(self.reading) | Interest::WRITE.when(self.writing)
    }
}
