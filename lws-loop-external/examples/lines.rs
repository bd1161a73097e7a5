//! Reads lines from a terminal or a pipe, and writes each one back.
//!
//! The application reads and writes the descriptors itself; the service only reports when they are ready. Standard
//! input and output are adopted as duplicates, so that the program keeps its own. The program ends with its input.

mod polled;

use lws_loop_external::{
    Accepted, Application, ConnectionId, Descriptor, DescriptorEvent, Driver, DriverContext, Interest,
    ListenerId, Peer,
};
use lws_proto::{Event, Time};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

/// The most bytes of a line: a longer one is written back in pieces.
const LINE_BYTES_MAX: usize = 4_096;

#[derive(Default)]
struct Lines {
    input: Option<ConnectionId>,
    output: Option<ConnectionId>,
    /// The beginning of a line whose end has not been read.
    line: Vec<u8>,
    to_say: Vec<u8>,
    /// Whether the input has ended or the output's reader has gone.
    over: bool,
}

impl Lines {
    fn read(&mut self, cx: &mut DriverContext<'_, Self>, input: &mut Descriptor<'_>) {
        let mut piece = [0; 512];
        match input.read(&mut piece) {
            Ok(0) => return self.end(cx),
            Ok(n) => self.line.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => return self.end(cx),
        }
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            self.say(cx, end + 1);
        }
        if self.line.len() > LINE_BYTES_MAX {
            self.say(cx, self.line.len());
        }
        if !self.to_say.is_empty() {
            // No more is read until this line has been written.
            input.pause();
        }
    }

    fn say(&mut self, cx: &mut DriverContext<'_, Self>, end: usize) {
        self.to_say.extend_from_slice(b"> ");
        self.to_say.extend(self.line.drain(..end));
        if let Some(output) = self.output {
            cx.wake(output);
        }
    }

    /// Ends the input. A last line without an end of line is written back, too.
    fn end(&mut self, cx: &mut DriverContext<'_, Self>) {
        if !self.line.is_empty() {
            self.say(cx, self.line.len());
        }
        self.over = true;
    }

    fn write(&mut self, cx: &mut DriverContext<'_, Self>, output: &mut Descriptor<'_>) {
        if let Ok(n) = output.write(&self.to_say) {
            self.to_say.drain(..n);
        }
        if self.to_say.is_empty() {
            if let Some(input) = self.input {
                cx.wake(input);
            }
        } else {
            output.want_write();
        }
    }
}

impl Application for Lines {
    /// Whether it is the output.
    type State = bool;
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, _: &mut bool, _: Event<'_>) {}

    fn descriptor(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        is_output: &mut bool,
        event: DescriptorEvent,
        descriptor: &mut Descriptor<'_>,
    ) {
        match (event, *is_output) {
            (DescriptorEvent::Readable, _) => self.read(cx, descriptor),
            (DescriptorEvent::Writable, _) => self.write(cx, descriptor),
            (DescriptorEvent::Woken, true) => descriptor.want_write(),
            (DescriptorEvent::Woken, false) if !self.over => descriptor.resume(),
            (DescriptorEvent::HangUp, false) => self.end(cx),
            (DescriptorEvent::HangUp | DescriptorEvent::Refused(_), _) => {
                (self.over, self.to_say) = (true, Vec::new());
            }
            _ => {}
        }
    }
}

fn main() -> io::Result<()> {
    let mut service = Driver::new(Lines::default(), Default::default())?;
    service.with(Time::ZERO, |lines, cx| -> io::Result<()> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        lines.input = Some(cx.adopt_descriptor(input, Interest::READ, false)?);
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        lines.output = Some(cx.adopt_descriptor(output, Interest::NONE, true)?);
        Ok(())
    })?;
    polled::run(&mut service, |service| {
        if service.application().over && service.application().to_say.is_empty() {
            service.drain(Duration::ZERO);
        }
    })
}
