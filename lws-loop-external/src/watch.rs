//! Descriptors that an application reads and writes by itself: the service only says when. Knows no bytes.

use crate::application::Application;
use crate::context::{Context, Core};
use crate::service::{Interest, Trigger};
use crate::table::{Body, Flags, Slot};
use crate::token::ConnectionId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What is told of a descriptor that was adopted with [`Context::adopt_descriptor`].
#[derive(Debug)]
#[non_exhaustive]
pub enum DescriptorEvent {
    /// It is watched from now on.
    #[doc(alias = "LWS_CALLBACK_RAW_ADOPT_FILE")]
    Adopted,
    /// There is something to read. Told again and again until it has been read, whatever kind of loop hosts the service.
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
    /// [`Context::wake`] was called for it.
    Woken,
    /// The host cannot watch it. [`Application::closed`] follows.
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
/// /// Notes what comes, and asks to be told when there is room for the answer.
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

impl Descriptor<'_> {
    /// Reads once. Zero bytes are the end.
    ///
    /// # Errors
    /// What read(2) says; [`io::ErrorKind::WouldBlock`] if there is nothing now.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.descriptor, buffer)?)
    }

    /// Writes once, and says how many bytes were taken. Writing to a pipe that nobody reads raises SIGPIPE, which Rust
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

    /// Ends it: nothing is told of it any more but [`Application::closed`], and the host lets go of it before it is
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
    reading: bool,
    writing: bool,
    closing: bool,
    /// To be told in the next turn.
    notice: Option<DescriptorEvent>,
}

impl Watch {
    pub(crate) fn new(interest: Interest) -> Self {
        Self {
            reading: interest.contains(Interest::READ),
            writing: interest.contains(Interest::WRITE),
            closing: false,
            notice: Some(DescriptorEvent::Adopted),
        }
    }

    /// Has something told in the next turn.
    pub(crate) fn notify(&mut self, event: DescriptorEvent) {
        self.closing |= matches!(event, DescriptorEvent::Refused(_));
        self.notice = Some(event);
    }

    pub(crate) fn interest(&self) -> Interest {
        Interest::READ.when(self.reading) | Interest::WRITE.when(self.writing)
    }
}

/// Gives a descriptor its turn, and sees to what is wanted of it next. True if it has ended.
///
/// A host's word is a hint, and an edge is told once: so the system is asked, which answers at once.
pub(crate) fn take<A: Application>(
    application: &mut A,
    core: &mut Core<A>,
    id: ConnectionId,
    slot: &mut Slot<A::State>,
) -> bool {
    let Slot { body: Body::Watched(watched), socket, flags, registration, .. } = slot else { return false };
    let Watched { state, watch } = &mut **watched;
    let mut turn = Turn { application, core, id, socket: socket.as_fd(), state, watch };
    if let Some(notice) = turn.watch.notice.take() {
        turn.tell(notice);
    }
    let asked = Interest::READ.when(turn.watch.reading && flags.has(Flags::READABLE))
        | Interest::WRITE.when(turn.watch.writing && flags.has(Flags::WRITABLE));
    if !turn.watch.closing && !asked.is_empty() {
        let found = turn.look(asked);
        // A host that reports as long as it lasts says so again.
        let told_again = turn.core.trigger != Trigger::Edge;
        flags.set(Flags::READABLE, found.contains(Interest::READ) && !told_again);
        flags.set(Flags::WRITABLE, found.contains(Interest::WRITE) && !told_again);
    }
    if watch.closing {
        return true;
    }
    let possible = watch.reading && flags.has(Flags::READABLE) || watch.writing && flags.has(Flags::WRITABLE);
    if possible {
        core.list(id, flags);
    }
    if core.trigger != Trigger::Edge {
        registration.want(watch.interest(), id.token(), &mut core.changes);
    }
    false
}

struct Turn<'t, A: Application> {
    application: &'t mut A,
    core: &'t mut Core<A>,
    id: ConnectionId,
    socket: BorrowedFd<'t>,
    state: &'t mut A::State,
    watch: &'t mut Watch,
}

impl<A: Application> Turn<'_, A> {
    fn tell(&mut self, event: DescriptorEvent) {
        let mut cx =
            Context { core: self.core, connection: Some(self.id), socket: Some(self.socket), tls: None };
        let mut descriptor = Descriptor { descriptor: self.socket, watch: self.watch };
        self.application.descriptor(&mut cx, self.state, event, &mut descriptor);
    }

    /// Asks the system, and tells what is so. Answers what may still be so.
    fn look(&mut self, asked: Interest) -> Interest {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, asked.contains(Interest::READ));
        flags.set(PollFlags::OUT, asked.contains(Interest::WRITE));
        let mut asked = [PollFd::from_borrowed_fd(self.socket, flags)];
        if poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_err() {
            // Interrupted: it is asked again.
            return Interest::BOTH;
        }
        let ready = asked[0].revents();
        let gone = ready.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
        if ready.contains(PollFlags::IN) {
            self.tell(DescriptorEvent::Readable);
        } else if gone {
            (self.watch.reading, self.watch.writing) = (false, false);
            self.tell(DescriptorEvent::HangUp);
            return Interest::BOTH;
        }
        if ready.contains(PollFlags::OUT) && !gone && !self.watch.closing {
            self.watch.writing = false;
            self.tell(DescriptorEvent::Writable);
        }
        Interest::READ.when(ready.contains(PollFlags::IN) || gone)
            | Interest::WRITE.when(ready.contains(PollFlags::OUT) || gone)
    }
}
