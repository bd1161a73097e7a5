//! A tape that writes a record.

use crate::format::{self, Entry};
use crate::hash::Hash;
use crate::redact::{Redaction, Redactor, Unredactable};
use lws_proto::Time;
use lws_proto::record::{Command, Note, Role, Tape};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io::Write;

/// Writes the record of one connection.
///
/// Received octets are held back until they are known to contain no credential: until the end of a line or of a field
/// block. Later entries wait behind them. If the file cannot be written, the record ends and the connection goes on.
pub struct Recorder<W: Write> {
    /// `None` once the record has ended.
    out: Option<W>,
    /// Entries that are not written yet.
    queue: VecDeque<Waiting>,
    /// Received octets that may be written, as they are masked.
    released: Vec<u8>,
    input: Redactor,
    output: Redactor,
    /// Sent octets that may be hashed, as they are masked.
    sent: Vec<u8>,
    hash: Hash,
    hashed: Hash,
    encoded: Vec<u8>,
}

enum Waiting {
    /// A number of the received octets.
    Received {
        now: Time,
        own: bool,
        len: usize,
    },
    Ready(Note<'static>),
}

impl<W: Write> Recorder<W> {
    /// A recorder that writes to `out`. No one else should write there.
    #[must_use]
    pub fn new(out: W, redaction: Redaction) -> Self {
        Self {
            out: Some(out),
            queue: VecDeque::new(),
            released: Vec::new(),
            input: Redactor::new(redaction),
            output: Redactor::new(redaction),
            sent: Vec::new(),
            hash: Hash::default(),
            hashed: Hash::default(),
            encoded: format::begin(),
        }
    }

    fn take_down(&mut self, note: Note<'_>) -> Result<(), Unredactable> {
        match note {
            Note::Received { now, own, bytes } => {
                let len = bytes.len();
                self.input.redact(&bytes, &mut self.released)?;
                if self.input.speaks_http2() && self.output.is_fresh() {
                    self.output.begin_http2();
                }
                self.queue.push_back(Waiting::Received { now, own, len });
            }
            Note::Sent(bytes) => {
                self.output.redact(&bytes, &mut self.sent)?;
                self.hash.add(&self.sent);
                self.sent.clear();
            }
            Note::Begin { role, .. } => {
                if role == Role::ServerHttp2 {
                    self.output.begin_http2();
                }
                self.queue.push_back(Waiting::Ready(owned(note)));
            }
            Note::Command(key, command) => {
                let command = self.input.redact_command(command);
                self.queue.push_back(Waiting::Ready(owned(Note::Command(key, command))));
            }
            Note::Request { now, line, fields, content, end } => {
                let fields = self.input.redact_fields(&fields);
                let note = Note::Request { now, line, fields: fields.into(), content, end };
                self.queue.push_back(Waiting::Ready(owned(note)));
            }
            note => self.queue.push_back(Waiting::Ready(owned(note))),
        }
        Ok(())
    }

    /// Writes the entries that need not wait any more.
    fn write(&mut self) {
        while let Some(waiting) = self.queue.front() {
            let note = match waiting {
                Waiting::Received { len, .. } if *len > self.released.len() => break,
                Waiting::Received { now, own, len } => {
                    let bytes: Vec<u8> = self.released.drain(..*len).collect();
                    Note::Received { now: *now, own: *own, bytes: bytes.into() }
                }
                Waiting::Ready(note) => note.clone(),
            };
            let took = matches!(note, Note::Took(..));
            self.queue.pop_front();
            format::write(&mut self.encoded, &Entry::Note(note));
            // A hash is written only when all earlier entries are written and no sent octets are held back, because
            // only then a replay has sent the same octets at this point.
            if took && self.queue.is_empty() && !self.output.holds() && self.hash != self.hashed {
                self.hashed = self.hash;
                format::write(&mut self.encoded, &Entry::Hash(self.hash));
            }
        }
        let Some(out) = &mut self.out else { return };
        if out.write_all(&self.encoded).and_then(|()| out.flush()).is_err() {
            self.out = None;
        }
        self.encoded.clear();
    }

    /// Ends the record, because the next octets cannot be masked.
    fn give_up(&mut self, why: Unredactable) {
        self.queue.clear();
        format::write(&mut self.encoded, &Entry::Note(Note::Unsupported(why.to_string().into())));
        self.write();
        self.out = None;
    }
}

impl<W: Write + Send> Tape for Recorder<W> {
    fn note(&mut self, note: Note<'_>) {
        if self.out.is_none() {
            return;
        }
        match self.take_down(note) {
            Ok(()) => self.write(),
            Err(why) => self.give_up(why),
        }
    }
}

impl<W: Write> Drop for Recorder<W> {
    fn drop(&mut self) {
        self.input.finish(&mut self.released);
        self.write();
        // Octets that still wait belong to a value or a field block that has not ended, and may contain
        // credentials.
        if !self.queue.is_empty() {
            self.give_up(Unredactable::Unfinished);
        }
    }
}

impl<W: Write> fmt::Debug for Recorder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("sent", &self.hash.octets).finish_non_exhaustive()
    }
}

/// Converts a note to one that borrows nothing.
fn owned(note: Note<'_>) -> Note<'static> {
    fn text(text: Cow<'_, str>) -> Cow<'static, str> {
        text.into_owned().into()
    }
    fn octets(octets: Cow<'_, [u8]>) -> Cow<'static, [u8]> {
        octets.into_owned().into()
    }
    match note {
        Note::Begin { role, now, config } => Note::Begin { role, now, config: text(config) },
        Note::Spread(spread) => Note::Spread(spread),
        Note::Date(seconds) => Note::Date(seconds),
        Note::Received { now, own, bytes } => Note::Received { now, own, bytes: octets(bytes) },
        Note::Event => Note::Event,
        Note::FeedEnd => Note::FeedEnd,
        Note::Transmit(now) => Note::Transmit(now),
        Note::Sent(bytes) => Note::Sent(octets(bytes)),
        Note::Took(now, n) => Note::Took(now, n),
        Note::Eof(now) => Note::Eof(now),
        Note::Truncation(now) => Note::Truncation(now),
        Note::Failed(now) => Note::Failed(now),
        Note::Timeout(now) => Note::Timeout(now),
        Note::Delivered(now, under_way) => Note::Delivered(now, under_way),
        Note::Select(key) => Note::Select(key),
        Note::Redeem(key) => Note::Redeem(key),
        Note::Drain(now) => Note::Drain(now),
        Note::Retire(now) => Note::Retire(now),
        Note::Abort => Note::Abort,
        Note::Chance(bytes) => Note::Chance(octets(bytes)),
        Note::Request { now, line, fields, content, end } => Note::Request {
            now,
            line: line.map(text),
            fields: fields.into_owned().into(),
            content: octets(content),
            end,
        },
        Note::Command(key, command) => Note::Command(
            key,
            match command {
                Command::TryQueue(kind, message) => Command::TryQueue(kind, octets(message)),
                Command::SetExtensionOption(words) => Command::SetExtensionOption(words.map(text)),
                Command::Interim(status, fields) => Command::Interim(status, fields.into_owned().into()),
                Command::AcceptWebSocket { protocol, fields, streamed, deflate } => {
                    Command::AcceptWebSocket {
                        protocol: protocol.map(text),
                        fields: fields.into_owned().into(),
                        streamed,
                        deflate: deflate.map(text),
                    }
                }
                Command::Close(code, reason) => Command::Close(code, text(reason)),
                Command::Respond { status, fields, content, end } => Command::Respond {
                    status,
                    fields: fields.into_owned().into(),
                    content: octets(content),
                    end,
                },
                Command::Data(content, end) => Command::Data(octets(content), end),
                Command::Trailers(fields) => Command::Trailers(fields.into_owned().into()),
                Command::Fill { room, content, end } => Command::Fill { room, content: octets(content), end },
                Command::Message { kind, payload, end, compress } => {
                    Command::Message { kind, payload: octets(payload), end, compress }
                }
                Command::Prepared(kind, message) => Command::Prepared(kind, octets(message)),
                Command::Ping(payload) => Command::Ping(octets(payload)),
                Command::WantWrite => Command::WantWrite,
                Command::Pause => Command::Pause,
                Command::Resume => Command::Resume,
                Command::SetTimeout(at) => Command::SetTimeout(at),
                Command::ConfirmLiveness(now) => Command::ConfirmLiveness(now),
                Command::SetLiveness(liveness) => Command::SetLiveness(liveness),
                Command::LastExchange => Command::LastExchange,
                Command::LimitContent(bytes) => Command::LimitContent(bytes),
                Command::Hold(bytes) => Command::Hold(bytes),
                Command::LetGo(bytes) => Command::LetGo(bytes),
                Command::KeepHalfClosed(keep) => Command::KeepHalfClosed(keep),
                Command::ExpectContent(bytes) => Command::ExpectContent(bytes),
                Command::AcceptTunnel => Command::AcceptTunnel,
                Command::AbortStream => Command::AbortStream,
                Command::Ticket => Command::Ticket,
                Command::Again => Command::Again,
                Command::Throttle => Command::Throttle,
                _ => return Note::Unsupported("a command that this version does not know".into()),
            },
        ),
        Note::Unsupported(what) => Note::Unsupported(text(what)),
        _ => Note::Unsupported("a call that this version does not know".into()),
    }
}
