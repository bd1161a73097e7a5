//! One client of a test: the engine's own, at the other end of a connection in memory.
//!
//! Writes down what the server says, and decides nothing.

use super::network::{Memory, PipeId, Received};
use lws_proto::{
    ByProtocol, Bytes, Cause, Config, Connection, Control, Event, MessageKind, Misuse, Payload, SLICES_MAX,
    Sent, StreamKey, Time, Writable, ws,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

/// What one client asks for: a request, a WebSocket, or neither.
pub(super) struct Client {
    connection: Connection,
    pipe: PipeId,
    key: Option<StreamKey>,
    outgoing: VecDeque<Outgoing>,
    pub(super) record: Record,
    /// Nothing is read from the connection: what the server sends fills it up.
    pub(super) paused: bool,
    /// What a write to the connection has left over, and the input of this side that has ended.
    ended: bool,
}

/// What waits to be sent.
pub(super) enum Outgoing {
    Content(Bytes, bool),
    Message(MessageKind, Bytes),
    Ping(Bytes),
    Close(ws::CloseCode, String),
}

/// What the server has said.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) interim: Vec<(u16, Fields)>,
    /// Of the final response; 101, or 200 of HTTP/2, if a WebSocket was opened.
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) content: Vec<u8>,
    pub(super) trailers: Fields,
    /// The response is complete.
    pub(super) complete: bool,
    /// The WebSocket is open, or was.
    pub(super) established: bool,
    pub(super) messages: VecDeque<(MessageKind, Vec<u8>)>,
    /// The last message has not ended.
    partial: bool,
    pub(super) pongs: VecDeque<Vec<u8>>,
    pub(super) close: Option<(u16, String)>,
    /// Why the stream has ended.
    pub(super) cause: Option<Cause>,
}

/// Field lines, in order.
pub(super) type Fields = Vec<(String, Vec<u8>)>;

impl Client {
    pub(super) fn new(connection: Connection, pipe: PipeId) -> Self {
        let (outgoing, record) = (VecDeque::new(), Record::default());
        Self { connection, pipe, key: None, outgoing, record, paused: false, ended: false }
    }

    /// The engine of a client. `entropy` may be the same each time.
    pub(super) fn engine(now: Time, http2: bool) -> Connection {
        let config = Arc::new(Config::default());
        let entropy = Box::new(|bytes: &mut [u8]| bytes.fill(0x5a));
        if http2 {
            Connection::client_http2(now, config, entropy, lws_proto::http::Scheme::Http)
        } else {
            Connection::client(now, config, entropy)
        }
    }

    /// # Errors
    /// The request cannot be written.
    pub(super) fn request(
        &mut self,
        now: Time,
        line: &lws_proto::Request<'_>,
        fields: &[(String, String)],
        end: bool,
    ) -> Result<(), Misuse> {
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let sent = self.connection.request(now, line, fields, Payload::Static(b""), end)?;
        self.key = Some(sent.key());
        Ok(())
    }

    /// # Errors
    /// The opening handshake cannot be written.
    pub(super) fn connect_websocket(&mut self, now: Time, connect: &ws::Connect<'_>) -> Result<(), Misuse> {
        self.key = Some(self.connection.connect_websocket(now, connect)?);
        Ok(())
    }

    pub(super) fn send(&mut self, outgoing: Outgoing) {
        self.outgoing.push_back(outgoing);
        if let Some(mut stream) = self.key.and_then(|key| self.connection.stream(key)) {
            stream.want_write();
        }
    }

    /// Ends the direction of this side.
    pub(super) fn finish(&mut self, memory: &RefCell<Memory>) {
        memory.borrow_mut().finish_client(self.pipe);
    }

    /// Leaves: by a reset, as a program that ends does with what it has not read, or in order.
    pub(super) fn leave(&mut self, memory: &RefCell<Memory>, reset: bool) {
        memory.borrow_mut().close_client(self.pipe, reset);
        self.ended = true;
    }

    /// Whether everything of the response is there, or nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        self.record.complete || self.record.cause.is_some()
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.connection.next_timeout().filter(|_| !self.ended)
    }

    /// Reads and writes what there is. Answers whether there was anything.
    pub(super) fn turn(&mut self, memory: &RefCell<Memory>) -> bool {
        if self.ended {
            return false;
        }
        let now = memory.borrow().now;
        if self.connection.next_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
        let read = !self.paused && self.read(now, memory);
        self.take_events();
        let written = self.write(now, memory);
        if self.connection.interest().close {
            self.leave(memory, false);
        }
        read || written || self.connection.needs_service()
    }

    fn read(&mut self, now: Time, memory: &RefCell<Memory>) -> bool {
        let received = memory.borrow_mut().read(self.pipe);
        match received {
            Received::Nothing => return false,
            Received::End => self.connection.received_eof(now),
            Received::Reset => self.connection.transport_failed(now),
            Received::Bytes(mut bytes) => {
                let Self { connection, outgoing, record, .. } = self;
                let mut feed = connection.receive(now, &mut bytes);
                while let Some(event) = feed.next_event() {
                    record.note(outgoing, event);
                }
                return true;
            }
        }
        self.take_events();
        // The end is said once; whatever this side has to say after it goes nowhere.
        self.ended = true;
        memory.borrow_mut().close_client(self.pipe, received == Received::Reset);
        true
    }

    fn take_events(&mut self) {
        let Self { connection, outgoing, record, .. } = self;
        while let Some(event) = connection.next_event() {
            record.note(outgoing, event);
        }
    }

    fn write(&mut self, now: Time, memory: &RefCell<Memory>) -> bool {
        let mut any = false;
        while let Some(transmit) = self.connection.transmit(now) {
            let mut slices = [&[][..]; SLICES_MAX];
            let count = transmit.slices(&mut slices);
            let bytes = slices[..count].concat();
            let taken = memory.borrow_mut().write(self.pipe, &bytes);
            if taken == 0 {
                break;
            }
            transmit.commit(taken);
            any = true;
        }
        any
    }
}

impl Record {
    fn note(&mut self, outgoing: &mut VecDeque<Outgoing>, event: Event<'_>) {
        match event {
            Event::Response { head, end, .. } => {
                let status = head.status().map_or(0, |status| status.code());
                let fields = fields_of(&head);
                if (100..200).contains(&status) {
                    self.interim.push((status, fields));
                } else {
                    (self.status, self.fields, self.complete) = (status, fields, end);
                }
            }
            Event::Body { chunk, end, .. } => {
                self.content.extend_from_slice(chunk);
                self.complete |= end;
            }
            Event::Trailers { head, .. } => self.trailers = fields_of(&head),
            Event::Established { stream, head, .. } => {
                self.established = true;
                self.status = head.and_then(|head| head.status()).map_or(101, |status| status.code());
                self.fields = head.map(|head| fields_of(&head)).unwrap_or_default();
                stream.into_stream().want_write();
            }
            Event::Message { kind, chunk, end, .. } => self.message(kind, chunk, end),
            Event::Control { control, .. } => self.control(control),
            Event::Writable(permit) => send_next(outgoing, permit),
            Event::Closed { cause, .. } => self.cause = Some(cause),
            _ => {}
        }
    }

    fn message(&mut self, kind: MessageKind, chunk: &[u8], end: bool) {
        match self.messages.back_mut().filter(|_| self.partial) {
            Some((_, message)) => message.extend_from_slice(chunk),
            None => self.messages.push_back((kind, chunk.to_vec())),
        }
        self.partial = !end;
    }

    fn control(&mut self, control: Control<'_>) {
        match control {
            Control::Pong(payload) => self.pongs.push_back(payload.to_vec()),
            Control::Close { code, reason } => self.close = Some((code.get(), reason.to_owned())),
            _ => {}
        }
    }

    /// Whether a message is there as a whole.
    pub(super) fn has_message(&self) -> bool {
        self.messages.len() > usize::from(self.partial)
    }

    /// Takes the next message that is there as a whole.
    pub(super) fn take_message(&mut self) -> Option<(MessageKind, Vec<u8>)> {
        if self.has_message() { self.messages.pop_front() } else { None }
    }
}

/// Spends a permit on what waits. What the stream no longer speaks is dropped, as a real client could not send it either.
fn send_next(outgoing: &mut VecDeque<Outgoing>, permit: Writable<'_>) {
    let sent = match (outgoing.pop_front(), permit.by_protocol()) {
        (Some(Outgoing::Content(content, end)), Ok(ByProtocol::Exchange(permit))) => {
            let (content, end) = split(outgoing, content, end, permit.budget());
            permit.data(content, end).map(Sent::into_any)
        }
        (Some(Outgoing::Content(content, end)), Ok(ByProtocol::Raw(permit))) => {
            let (content, end) = split(outgoing, content, end, permit.budget());
            permit.data(content, end).map(Sent::into_any)
        }
        (Some(outgoing), Ok(ByProtocol::WebSocket(permit))) => match outgoing {
            Outgoing::Message(kind, message) => permit.message(kind, Payload::Own(message), true),
            Outgoing::Ping(payload) => permit.ping(&payload),
            Outgoing::Close(code, reason) => {
                // One that is closing already needs no second Close.
                let _ = permit.into_stream().close(code, &reason);
                return;
            }
            Outgoing::Content(..) => return,
        }
        .map(Sent::into_any),
        _ => return,
    };
    // What cannot be sent any more, as the server has answered and gone, is what a real client could not send either.
    if let Ok(sent) = sent
        && !outgoing.is_empty()
    {
        sent.again();
    }
}

fn fields_of(head: &lws_proto::http::Head<'_>) -> Fields {
    head.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

/// As much of the content as the permit takes, and whether it is the end; the rest waits.
fn split(
    outgoing: &mut VecDeque<Outgoing>,
    mut content: Bytes,
    end: bool,
    budget: usize,
) -> (Payload<'static>, bool) {
    let rest = content.split_off(content.len().min(budget));
    let whole = rest.is_empty();
    if !whole {
        outgoing.push_front(Outgoing::Content(rest, end));
    }
    (Payload::Own(content), end && whole)
}
