//! One connection to a server of FastCGI, and what it shares with the exchange that uses it.
//!
//! A connection carries one request at a time. What is on its way in either direction is bounded here: the exchange offers no more
//! content, and the connection reads no more, until the other side has taken what there is.

use super::record::{self, Fault, Item, RecordReader, Status};
use crate::failure::{Exit, Failure, Notice};
use crate::messages::Lines;
use crate::report::Reporter;
use lws_server::upstream::{self, ConnectError, Connection, Established, Event};
use lws_server::{Context, LinkId, Payload, RawStream, StreamId, StreamKey};
use std::cell::RefCell;
use std::rc::Rc;

/// Octets on their way to the server. Past them an exchange waits.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Octets of output that no client has taken yet. Past them nothing is read.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// A connection, as the exchange and the pool see it.
pub(crate) type Shared = Rc<RefCell<Conversation>>;

/// The state of a connection with its request.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Records that wait for their permit.
    request: Vec<u8>,
    reader: RecordReader,
    output: Vec<u8>,
    phase: RequestPhase,
    link: Option<LinkId>,
    task: Option<Task>,
    /// The stream on the connection, once that is there.
    key: Option<StreamKey>,
    /// The connection has ended, or is about to.
    is_gone: bool,
    /// Nothing of an answer has come yet.
    is_fresh: bool,
    /// The last record of the request is among those that wait, or has been sent.
    is_asked: bool,
}

/// What a request is to its connection.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) exchange: StreamId,
    pub(crate) reporter: Reporter,
    pub(crate) lines: Lines,
}

#[derive(Debug)]
enum RequestPhase {
    /// A request is on its way, or its answer is.
    Busy,
    /// The answer was received. It can be used again, if nothing else comes.
    Answered,
    /// For nothing any more.
    Over(Option<Failure>),
}

/// What there is for an exchange.
#[derive(Debug)]
pub(crate) enum Progress {
    Octets(usize),
    Pending,
    End,
    Failed(Failure),
    /// The server has closed a connection that it had kept, before it can have read the request.
    Stale,
}

impl Conversation {
    pub(crate) fn new(task: Task, request: Vec<u8>) -> Self {
        Self {
            request,
            reader: RecordReader::new(),
            output: Vec::new(),
            phase: RequestPhase::Busy,
            link: None,
            task: Some(task),
            key: None,
            is_gone: false,
            is_fresh: true,
            is_asked: false,
        }
    }

    /// Names the connection, which is being made.
    pub(crate) fn begun(&mut self, link: LinkId) {
        self.link = Some(link);
    }

    /// Uses the connection again.
    pub(crate) fn ask_again(&mut self, cx: &mut Context<'_>, task: Task, request: Vec<u8>) {
        (self.task, self.request, self.phase) = (Some(task), request, RequestPhase::Busy);
        (self.is_fresh, self.is_asked) = (true, false);
        self.wake(cx);
    }

    /// Takes content of the request, and returns how much.
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, content: &[u8]) -> usize {
        if !matches!(self.phase, RequestPhase::Busy) {
            return content.len();
        }
        let len = content.len().min(REQUEST_BYTES_MAX.saturating_sub(self.request.len()));
        record::content(&mut self.request, &content[..len]);
        self.wake(cx);
        len
    }

    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        if matches!(self.phase, RequestPhase::Busy) {
            self.is_asked = true;
            record::content_end(&mut self.request);
            self.wake(cx);
        }
    }

    /// Hands output on.
    pub(crate) fn receive(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Progress {
        if !self.output.is_empty() {
            let len = room.len().min(self.output.len());
            room[..len].copy_from_slice(&self.output[..len]);
            let was_full = self.is_full();
            self.output.drain(..len);
            if was_full && !self.is_full() {
                self.wake(cx);
            }
            return Progress::Octets(len);
        }
        match &mut self.phase {
            RequestPhase::Busy => Progress::Pending,
            RequestPhase::Answered => Progress::End,
            RequestPhase::Over(failure) => match failure.take() {
                Some(failure) => Progress::Failed(failure),
                None if self.is_fresh => Progress::Stale,
                None => Progress::Failed(Failure::Protocol("its connection ended before its answer")),
            },
        }
    }

    /// The exchange needs it no more. Answers whether another one can use it.
    pub(crate) fn release(&mut self, cx: &mut Context<'_>) -> bool {
        self.task = None;
        self.output = Vec::new();
        let reusable = self.is_idle() && self.is_asked && self.request.is_empty();
        if !reusable {
            self.close(cx);
        }
        reusable
    }

    /// Ends the connection. One that has a request on its way says so, for a server that looks; others see it closed.
    pub(crate) fn close(&mut self, cx: &mut Context<'_>) {
        let was_busy = matches!(self.phase, RequestPhase::Busy);
        self.phase = RequestPhase::Over(None);
        self.request.clear();
        match (self.key, self.link) {
            (Some(_), Some(link)) => {
                if was_busy {
                    record::abort(&mut self.request);
                }
                cx.wake_link(link);
            }
            (None, Some(link)) => cx.close_link(link),
            (_, None) => {}
        }
    }

    /// Whether it is there, and for the next request.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase, RequestPhase::Answered) && !self.is_gone
    }

    fn is_full(&self) -> bool {
        self.output.len() >= OUTPUT_BYTES_MAX
    }

    fn wake(&self, cx: &mut Context<'_>) {
        if let Some(link) = self.link {
            cx.wake_link(link);
        }
    }

    fn wake_exchange(&self, cx: &mut Context<'_>) {
        if let Some(task) = &self.task {
            cx.wake(task.exchange);
        }
    }

    /// Reads records of the server.
    fn read(&mut self, input: &[u8]) -> Result<(), Fault> {
        let mut at = 0;
        while let Some(item) = self.reader.next(input, &mut at)? {
            // Whatever comes without a request makes what follows uncertain.
            let (RequestPhase::Busy, Some(task)) = (&self.phase, &mut self.task) else {
                return Err(Fault::Request);
            };
            self.is_fresh = false;
            let mut report = |notice: &Notice<'_>| task.reporter.report(notice);
            match item {
                Item::Output(range) => self.output.extend_from_slice(&input[range]),
                Item::Messages(range) => task.lines.push(&input[range], &mut report),
                Item::End(status) => {
                    task.lines.flush(&mut report);
                    self.phase = ended(status, &task.reporter);
                }
            }
        }
        if !matches!(self.phase, RequestPhase::Busy) && !self.reader.is_between() {
            return Err(Fault::Request);
        }
        Ok(())
    }

    /// The connection is of no use any more. An answer that is whole stays so.
    fn fail(&mut self, cx: &mut Context<'_>, failure: Option<Failure>) {
        self.is_gone = true;
        if matches!(self.phase, RequestPhase::Busy) {
            self.phase = RequestPhase::Over(failure);
        }
        self.wake_exchange(cx);
    }

    /// Writes what waits, and takes input or not.
    fn advance(&mut self, cx: &mut Context<'_>, mut stream: RawStream<'_>) {
        if self.is_full() {
            stream.pause();
        } else {
            stream.resume();
        }
        let is_over = matches!(self.phase, RequestPhase::Over(_));
        if self.request.is_empty() {
            if is_over {
                stream.abort();
            }
            return;
        }
        match stream.permit() {
            Ok(permit) => {
                let request = std::mem::take(&mut self.request);
                match permit.data(Payload::Own(request.into()), is_over) {
                    Ok(_) if is_over => {}
                    Ok(sent) => sent.again(),
                    Err(_) => self.fail(cx, Some(Failure::Protocol("its connection takes nothing"))),
                }
                self.wake_exchange(cx);
            }
            Err(stream) if is_over => stream.abort(),
            Err(mut stream) => stream.want_write(),
        }
    }
}

/// What the end of a request makes of its connection.
fn ended(status: Status, reporter: &Reporter) -> RequestPhase {
    match status {
        Status::Complete { exit } => {
            if exit != 0 {
                // The status of a process is small; what is larger says as much.
                let code = i32::try_from(exit).unwrap_or(i32::MAX);
                reporter.report(&Notice::Exited(Exit::Code(code)));
            }
            RequestPhase::Answered
        }
        Status::CannotMultiplex | Status::Overloaded => RequestPhase::Over(Some(Failure::TooMany)),
        Status::UnknownRole => RequestPhase::Over(Some(Failure::Protocol("it is no responder"))),
    }
}

/// The connection on the loop.
pub(crate) struct ResponderLink(pub(crate) Shared);

impl upstream::Handler for ResponderLink {
    fn connected(&mut self, _: &mut Context<'_>, _: &mut Connection) {}

    fn failed(&mut self, cx: &mut Context<'_>, error: &ConnectError) {
        let failure = Failure::Unreachable(error.to_string());
        self.0.borrow_mut().fail(cx, Some(failure));
    }

    fn event(&mut self, cx: &mut Context<'_>, event: Event<'_>) {
        let mut conversation = self.0.borrow_mut();
        match event {
            Event::Established { stream: Established::Raw(stream), .. } => {
                conversation.key = Some(stream.key());
                conversation.advance(cx, stream);
            }
            Event::Raw { stream, chunk, end } => {
                if let Err(fault) = conversation.read(chunk) {
                    conversation.fail(cx, Some(Failure::Protocol(fault.text())));
                    return stream.abort();
                }
                if end {
                    conversation.fail(cx, None);
                    return stream.abort();
                }
                conversation.wake_exchange(cx);
                conversation.advance(cx, stream);
            }
            Event::Writable(permit) => {
                if let Ok(permit) = permit.into_raw() {
                    conversation.advance(cx, permit.into_stream());
                }
            }
            Event::Closed { .. } => conversation.fail(cx, None),
            _ => {}
        }
    }

    fn wake(&mut self, cx: &mut Context<'_>, connection: &mut Connection) {
        let mut conversation = self.0.borrow_mut();
        if let Some(stream) = conversation.key.and_then(|key| connection.raw_stream(key)) {
            conversation.advance(cx, stream);
        }
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        let mut conversation = self.0.borrow_mut();
        (conversation.key, conversation.link) = (None, None);
        conversation.fail(cx, None);
    }
}
