//! Descriptors that an application reads and writes itself, while the service reports readiness. Knows no bytes.

use crate::service::Interest;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// An event of a descriptor that was adopted with
/// [`DriverContext::adopt_descriptor`](crate::DriverContext::adopt_descriptor).
#[derive(Debug)]
#[non_exhaustive]
pub enum DescriptorEvent {
    /// It is watched from now on.
    #[doc(alias = "LWS_CALLBACK_RAW_ADOPT_FILE")]
    Adopted,
    /// There is something to read. Delivered in each turn until it has been read, whatever the trigger of the host.
    #[doc(alias = "LWS_CALLBACK_RAW_RX_FILE")]
    Readable,
    /// There is room to write: once for each [`Descriptor::want_write`].
    #[doc(alias = "LWS_CALLBACK_RAW_WRITEABLE_FILE")]
    Writable,
    /// The other side has gone, or there is an error, and nothing is left to read. The descriptor is not watched
    /// until [`Descriptor::resume`] or [`Descriptor::want_write`], so that a lasting hang-up costs nothing.
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
/// No call blocks. To read and write by other means, keep the owner of the descriptor and adopt a duplicate of it.
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
    watch: &'a mut WatchState,
}

impl<'a> Descriptor<'a> {
    pub(crate) fn new(descriptor: BorrowedFd<'a>, watch: &'a mut WatchState) -> Self {
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

    /// Asks for one [`DescriptorEvent::Writable`] when there is room. Several requests count as one.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self) {
        self.watch.writing = true;
    }

    /// Stops the delivery of [`DescriptorEvent::Readable`].
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause(&mut self) {
        self.watch.reading = false;
    }

    /// Resumes the delivery of [`DescriptorEvent::Readable`].
    pub fn resume(&mut self) {
        self.watch.reading = true;
    }

    /// Keeps the descriptor during a drain, which otherwise ends watched descriptors at once: for a descriptor that an
    /// exchange needs to finish, such as the pipe of a process that answers a request. It is closed at the end of the
    /// drain at the latest.
    pub fn outlast_drain(&mut self) {
        self.watch.outlasts_drain = true;
    }

    /// Ends the descriptor: only [`Application::closed`](crate::Application::closed) follows, and it is closed when the
    /// host has let go of it.
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
    pub(crate) watch: WatchState,
}

/// The wishes of the application, and what waits to be delivered.
#[derive(Debug)]
pub(crate) struct WatchState {
    pub(crate) reading: bool,
    pub(crate) writing: bool,
    pub(crate) closing: bool,
    /// Whether a drain does not end it at once.
    pub(crate) outlasts_drain: bool,
    /// The event to deliver in the next turn.
    pub(crate) notice: Option<DescriptorEvent>,
}

impl WatchState {
    pub(crate) fn new(interest: Interest) -> Self {
        Self {
            reading: interest.contains(Interest::READ),
            writing: interest.contains(Interest::WRITE),
            closing: false,
            outlasts_drain: false,
            notice: Some(DescriptorEvent::Adopted),
        }
    }

    /// Queues an event for the next turn.
    pub(crate) fn notify(&mut self, event: DescriptorEvent) {
        self.closing |= matches!(event, DescriptorEvent::Refused(_));
        self.notice = Some(event);
    }

    pub(crate) fn interest(&self) -> Interest {
        Interest::READ.when(self.reading) | Interest::WRITE.when(self.writing)
    }
}
