//! A file on its way to a peer, as fast as the peer takes it.
//!
//! A small one is read whole when the response can be sent, and closed at once. A larger one is open only while its peer
//! takes it: who waits has none, or one that is closed when others need the descriptor, and opens it again by its name.

use super::entity::{Entity, Identity};
use super::open::is_shortage;
use super::range::Part;
use super::shelf::Ticket;
use super::{Files, Opened};
use crate::Context;
use crate::http::{Exchange, Handler, HttpDate, Permit, Response, Status};
use lws_proto::Cause;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Duration;

/// Bytes that are read at a time: as many as are queued for a peer at most.
const CHUNK_BYTES: u64 = 64 << 10;

/// A file of so many bytes or less is sent whole: it costs less to hold than to keep open.
const WHOLE_BYTES_MAX: u64 = 16 << 10;

/// How long a transfer waits when the system has no descriptor left.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// What is to be sent of which file.
pub(super) struct Transfer {
    files: Rc<Files>,
    name: Box<str>,
    /// The file as it was when the response was decided on. What is sent is of no other.
    identity: Identity,
    /// The head, until it has been sent.
    head: Option<Response>,
    left: Part,
    /// The file, if it was left open.
    ticket: Option<Ticket>,
}

/// What came of a permit.
enum Progress {
    /// It was spent, and the next one has been asked for.
    Again,
    /// Nothing is left to send.
    Done,
}

impl Transfer {
    /// Sends what can be sent now, and stays for the rest. `head` is without the length of the content.
    pub(super) fn begin(
        cx: &mut Context<'_>,
        opened: Opened,
        head: Response,
        part: Part,
        mut exchange: Exchange<'_>,
    ) -> Option<Box<dyn Handler>> {
        let Opened { files, name, file, identity } = opened;
        let head = Some(head);
        let mut transfer = Self { files, name, identity, head, left: part, ticket: None };
        let outcome = match exchange.permit() {
            Ok(permit) => transfer.go_on(cx, permit, file),
            Err(waiting) => {
                // Who cannot send has no descriptor.
                drop(file);
                exchange = waiting;
                exchange.want_write();
                Progress::Again
            }
        };
        matches!(outcome, Progress::Again).then(|| -> Box<dyn Handler> { Box::new(transfer) })
    }

    /// Spends the permit, and the next one if the head took this.
    fn go_on(&mut self, cx: &mut Context<'_>, permit: Permit<'_>, file: File) -> Progress {
        let Some(head) = self.head.take() else { return self.send(cx, permit, file) };
        if self.left.len <= WHOLE_BYTES_MAX {
            return self.send_whole(permit, head, &file);
        }
        let head = head.field("Content-Length", self.left.len.to_string());
        match permit.reply_head(&head).map(Exchange::permit) {
            Some(Ok(permit)) => self.send(cx, permit, file),
            Some(Err(mut exchange)) => {
                exchange.want_write();
                Progress::Again
            }
            None => Progress::Done,
        }
    }

    /// Sends head and content as one.
    fn send_whole(&mut self, permit: Permit<'_>, head: Response, file: &File) -> Progress {
        // It is small: see above.
        let mut content = vec![0; usize::try_from(self.left.len).unwrap_or(0)];
        permit.reply(match read_exact_at(file, &mut content, self.left.first) {
            Ok(()) => head.content(content),
            // It has become shorter since, or cannot be read.
            Err(_) => Response::error(Status::INTERNAL_SERVER_ERROR),
        });
        Progress::Done
    }

    /// Sends the next chunk.
    fn send(&mut self, cx: &mut Context<'_>, permit: Permit<'_>, file: File) -> Progress {
        let left = &mut self.left;
        let max = usize::try_from(left.len.min(CHUNK_BYTES)).unwrap_or(usize::MAX);
        let mut read = Ok(0);
        let spent = permit.fill(max, |room| {
            read = read_at(&file, room, left.first);
            let len = *read.as_ref().unwrap_or(&0);
            (len, len as u64 == left.len)
        });
        let Ok(spent) = spent else { return Progress::Done };
        let read = match read {
            Ok(read) if read > 0 => read as u64,
            // The length has been promised already, and the file has become shorter or cannot be read. Only an end that is
            // no success tells the peer so.
            _ => {
                spent.into_exchange().abort();
                return Progress::Done;
            }
        };
        left.first += read;
        left.len -= read;
        if left.len == 0 {
            return Progress::Done;
        }
        let connection = cx.id().map(|id| id.connection);
        self.ticket = Some(cx.state.shelf.put(connection, file));
        spent.again();
        Progress::Again
    }

    /// The file again, if it is still the same.
    fn open(&mut self, cx: &mut Context<'_>) -> io::Result<File> {
        let shelf = &mut cx.state.shelf;
        if let Some(file) = self.ticket.take().and_then(|ticket| shelf.take(ticket)) {
            return Ok(file);
        }
        let (metadata, file) = match self.files.open(&self.name) {
            Err(error) if is_shortage(&error) => {
                shelf.clear();
                self.files.open(&self.name)?
            }
            opened => opened?,
        };
        let file = file.ok_or(ErrorKind::NotFound)?;
        if Identity::of(&metadata) == self.identity {
            return Ok(file);
        }
        if self.head.is_none() {
            return Err(ErrorKind::InvalidData.into());
        }
        // Nothing was said of the other one yet. RFC 9110 §14.2: a server may ignore that a range was asked for.
        let now = Some(cx.unix_seconds()).filter(|seconds| *seconds > 0);
        let now = now.map(|seconds| HttpDate::from_unix(seconds.into()));
        let entity = Entity::of_file(&self.name, &metadata, now).ok_or(ErrorKind::NotFound)?;
        self.identity = Identity::of(&metadata);
        self.left = Part { first: 0, len: entity.len };
        self.head = Some(self.files.whole(&entity));
        Ok(file)
    }
}

/// Reads once. A signal is no end.
fn read_at(file: &File, room: &mut [u8], at: u64) -> io::Result<usize> {
    // A permit always lends room for a byte: reading into no room would look like the end.
    debug_assert!(!room.is_empty());
    loop {
        match file.read_at(room, at) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn read_exact_at(file: &File, mut room: &mut [u8], mut at: u64) -> io::Result<()> {
    while !room.is_empty() {
        match read_at(file, room, at)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => {
                room = &mut room[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

impl Handler for Transfer {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        match self.open(cx) {
            Ok(file) => {
                self.go_on(cx, permit, file);
            }
            Err(error) if is_shortage(&error) => {
                let at = cx.now() + SHORTAGE_PAUSE;
                permit.into_exchange().set_timeout(Some(at));
            }
            Err(_) if self.head.take().is_some() => permit.reply(Response::error(Status::NOT_FOUND)),
            // It was replaced or removed after its head had been sent.
            Err(_) => permit.into_exchange().abort(),
        }
    }

    fn timer(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>) {
        exchange.want_write();
    }

    fn close(&mut self, cx: &mut Context<'_>, _: Cause) {
        if let Some(ticket) = self.ticket.take() {
            cx.state.shelf.close(ticket);
        }
    }
}
