//! A process on the loop: its end, its deadlines and its messages. Outlives the exchange that it was started for, if it has to.
//!
//! One deadline holds at a time: for its work, then for its end after SIGTERM, then for the end of what it has left behind.

use super::process::Process;
use crate::allowance::Allowance;
use crate::failure::{Exit, Failure, Notice};
use crate::limits::Limits;
use crate::messages::Lines;
use crate::place::Place;
use crate::report::Reporter;
use lws_server::descriptor::{self, Descriptor, DescriptorEvent, Interest};
use lws_server::{Context, LinkId, StreamId, TimerId};
use rustix::process::Signal;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// How often a process is asked whether it has ended, where no descriptor says so.
const POLL: Duration = Duration::from_millis(100);
/// Octets of messages that are read at once.
const READ_BYTES: usize = 4096;
/// How often messages are read in one event, so that a process that writes them without end holds nothing up.
const READS_MAX: usize = 16;

/// What an exchange and the links of its process share.
pub(crate) struct Supervised {
    process: RefCell<Process>,
    limits: Limits,
    reporter: Reporter,
    exchange: StreamId,
    phase: Cell<ProcessPhase>,
    deadline: Cell<Option<TimerId>>,
    /// What is left of the time for its work.
    time: Cell<Allowance>,
    messages: Cell<Option<LinkId>>,
    /// The exchange is over.
    released: Cell<bool>,
    _place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProcessPhase {
    Running,
    /// SIGTERM was sent: because its time was up, or as it is needed no more.
    Ending {
        late: bool,
    },
    /// It has ended, and what it has started may be at work.
    Exited {
        exit: Exit,
        late: bool,
    },
    /// It was waited for, and nothing of its group is left.
    Gone {
        exit: Exit,
        late: bool,
    },
}

impl Supervised {
    /// Looks after a process from now on.
    ///
    /// # Errors
    /// The loop takes no more descriptors. The process is ended then.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        process: Process,
        messages: OwnedFd,
        exchange: StreamId,
        limits: Limits,
        reporter: Reporter,
        place: Place,
    ) -> io::Result<Rc<Self>> {
        let exit = process.exit_descriptor();
        let time_max = limits.time_max;
        let supervised = Rc::new(Self {
            process: RefCell::new(process),
            limits,
            reporter,
            exchange,
            phase: Cell::new(ProcessPhase::Running),
            deadline: Cell::new(None),
            time: Cell::new(Allowance::new(time_max)),
            messages: Cell::new(None),
            released: Cell::new(false),
            _place: place,
        });
        let lines = Lines::new(supervised.limits.message_bytes_max);
        let log = Messages { lines, supervised: Rc::clone(&supervised) };
        supervised.messages.set(Some(cx.adopt_descriptor(messages, Interest::READ, log)?));
        match exit {
            Some(exit) => {
                let watch = ExitWatch(Rc::clone(&supervised));
                if let Err(error) = cx.adopt_descriptor(exit, Interest::READ, watch) {
                    supervised.close_messages(cx);
                    return Err(error);
                }
            }
            None => supervised.poll(cx),
        }
        supervised.set_clock(cx, true);
        Ok(supervised)
    }

    /// Lets the time for its work run, or stand still.
    pub(crate) fn set_clock(self: &Rc<Self>, cx: &mut Context<'_>, runs: bool) {
        if self.phase.get() != ProcessPhase::Running {
            // Another deadline holds.
            return;
        }
        let (now, mut time) = (cx.now(), self.time.get());
        if runs {
            let at = time.run(now);
            self.set_deadline(cx, at - now, |supervised, cx| supervised.terminate(cx, true));
        } else {
            time.rest(now);
            if let Some(deadline) = self.deadline.take() {
                cx.cancel(deadline);
            }
        }
        self.time.set(time);
    }

    /// How it has ended, once that is known.
    pub(crate) fn verdict(&self) -> Option<Result<(), Failure>> {
        match self.phase.get() {
            ProcessPhase::Running | ProcessPhase::Ending { late: false } => None,
            // Its output ends as it is asked to, which makes nothing whole.
            ProcessPhase::Ending { late: true } => Some(Err(Failure::TimeMax)),
            ProcessPhase::Exited { late: true, .. } | ProcessPhase::Gone { late: true, .. } => {
                Some(Err(Failure::TimeMax))
            }
            ProcessPhase::Exited { exit, .. } | ProcessPhase::Gone { exit, .. } => Some(match exit {
                Exit::Signal(signal) => Err(Failure::Signal(signal)),
                Exit::Code(_) | Exit::Unknown => Ok(()),
            }),
        }
    }

    /// Whether nothing of it can write any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.phase.get(), ProcessPhase::Gone { .. })
    }

    pub(crate) fn exit_grace(&self) -> Duration {
        self.limits.exit_grace
    }

    /// Its output has ended: so should it. Wakes the exchange when it has, or [`Limits::exit_grace`] is over.
    pub(crate) fn output_ended(self: &Rc<Self>, cx: &mut Context<'_>) {
        self.look(cx);
        let exchange = self.exchange;
        cx.after(self.limits.exit_grace, move |cx| {
            cx.wake(exchange);
        });
    }

    /// The exchange is over. A process that has given a whole answer may go on until its time is up.
    pub(crate) fn release(self: &Rc<Self>, cx: &mut Context<'_>, whole: bool) {
        self.released.set(true);
        match self.phase.get() {
            ProcessPhase::Running if !whole => self.terminate(cx, false),
            // The client owes no content any more, so that the time runs.
            ProcessPhase::Running => self.set_clock(cx, true),
            ProcessPhase::Exited { .. } => self.clear(cx),
            ProcessPhase::Ending { .. } | ProcessPhase::Gone { .. } => {}
        }
    }

    /// Asks it to end, and sees that it does.
    fn terminate(self: &Rc<Self>, cx: &mut Context<'_>, late: bool) {
        self.phase.set(ProcessPhase::Ending { late });
        self.process.borrow().signal(Signal::TERM);
        self.set_deadline(cx, self.limits.term_grace, |supervised, _| {
            supervised.process.borrow().signal(Signal::KILL);
        });
    }

    /// Looks whether it has ended.
    fn look(self: &Rc<Self>, cx: &mut Context<'_>) {
        let late = match self.phase.get() {
            ProcessPhase::Running => false,
            ProcessPhase::Ending { late } => late,
            ProcessPhase::Exited { .. } | ProcessPhase::Gone { .. } => return,
        };
        let Some(exit) = self.process.borrow_mut().exit() else { return };
        self.phase.set(ProcessPhase::Exited { exit, late });
        if !matches!(exit, Exit::Code(0)) && !self.released.get() && !late {
            self.reporter.report(&Notice::Exited(exit));
        }
        if self.released.get() {
            return self.clear(cx);
        }
        cx.wake(self.exchange);
        self.set_deadline(cx, self.limits.exit_grace, |supervised, cx| supervised.clear(cx));
    }

    /// Ends what it has left behind, and lets go of it. It has ended itself.
    fn clear(self: &Rc<Self>, cx: &mut Context<'_>) {
        let ProcessPhase::Exited { exit, late } = self.phase.get() else { return };
        self.process.borrow_mut().reap();
        self.phase.set(ProcessPhase::Gone { exit, late });
        if let Some(deadline) = self.deadline.take() {
            cx.cancel(deadline);
        }
        // What it has said last may not have been read.
        if let Some(messages) = self.messages.get() {
            cx.wake_link(messages);
        }
        cx.wake(self.exchange);
    }

    fn close_messages(&self, cx: &mut Context<'_>) {
        if let Some(messages) = self.messages.take() {
            cx.close_link(messages);
        }
    }

    /// Does something later, in place of what was to be done later before.
    fn set_deadline(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        delay: Duration,
        call: impl FnOnce(&Rc<Self>, &mut Context<'_>) + 'static,
    ) {
        let supervised = Rc::clone(self);
        let timer = cx.after(delay, move |cx| {
            supervised.deadline.set(None);
            call(&supervised, cx);
        });
        if let Some(before) = self.deadline.replace(Some(timer)) {
            cx.cancel(before);
        }
    }

    /// Asks again and again whether it has ended.
    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) {
        let supervised = Rc::clone(self);
        cx.after(POLL, move |cx| {
            supervised.look(cx);
            if matches!(supervised.phase.get(), ProcessPhase::Running | ProcessPhase::Ending { .. }) {
                supervised.poll(cx);
            }
        });
    }
}

/// Waits for the end of a process.
struct ExitWatch(Rc<Supervised>);

impl descriptor::Handler for ExitWatch {
    fn event(&mut self, cx: &mut Context<'_>, event: DescriptorEvent, descriptor: &mut Descriptor<'_>) {
        match event {
            DescriptorEvent::Adopted => descriptor.outlast_drain(),
            DescriptorEvent::Readable | DescriptorEvent::HangUp => {
                self.0.look(cx);
                descriptor.close();
            }
            DescriptorEvent::Refused(_) => self.0.poll(cx),
            _ => {}
        }
    }
}

/// Reads messages of a process, always: a pipe that is full would hold it up.
struct Messages {
    lines: Lines,
    supervised: Rc<Supervised>,
}

impl Messages {
    /// Answers whether there may be more.
    fn read(&mut self, descriptor: &Descriptor<'_>) -> bool {
        let mut octets = [0; READ_BYTES];
        let mut report = |notice: &Notice<'_>| self.supervised.reporter.report(notice);
        for _ in 0..READS_MAX {
            match descriptor.read(&mut octets) {
                Ok(0) => return false,
                Ok(len) => self.lines.push(&octets[..len], &mut report),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

impl descriptor::Handler for Messages {
    fn event(&mut self, _: &mut Context<'_>, event: DescriptorEvent, descriptor: &mut Descriptor<'_>) {
        let goes_on = match event {
            DescriptorEvent::Readable => self.read(descriptor),
            DescriptorEvent::Woken | DescriptorEvent::HangUp => {
                self.read(descriptor) && !self.supervised.is_gone()
            }
            DescriptorEvent::Adopted => {
                descriptor.outlast_drain();
                true
            }
            _ => true,
        };
        if !goes_on {
            self.lines.flush(&mut |notice| self.supervised.reporter.report(notice));
            self.supervised.messages.set(None);
            descriptor.close();
        }
    }
}
