//! A file on its way to a peer, as fast as the peer takes it.

use super::range::Part;
use crate::Context;
use crate::http::{Exchange, Handler, Permit, Response};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that are read at a time: as many as are queued for a peer at most.
const CHUNK_BYTES: u64 = 64 << 10;

pub(super) struct Transfer {
    /// The head, until it has been sent.
    head: Option<Response>,
    file: File,
    left: Part,
}

impl Transfer {
    /// Sends what can be sent now, and stays for the rest.
    pub(super) fn begin(
        head: Response,
        file: File,
        part: Part,
        mut exchange: Exchange<'_>,
    ) -> Option<Box<dyn Handler>> {
        let mut transfer = Self { head: Some(head), file, left: part };
        match exchange.permit() {
            Ok(permit) => transfer.go_on(permit),
            Err(waiting) => {
                exchange = waiting;
                exchange.want_write();
            }
        }
        (transfer.left.len > 0).then(|| -> Box<dyn Handler> { Box::new(transfer) })
    }

    /// Spends the permit, and the next one if the head took this.
    fn go_on(&mut self, permit: Permit<'_>) {
        let Some(head) = self.head.take() else { return self.send(permit) };
        match permit.reply_head(&head) {
            Some(exchange) => match exchange.permit() {
                Ok(permit) => self.send(permit),
                Err(mut exchange) => exchange.want_write(),
            },
            None => self.left.len = 0,
        }
    }

    /// Sends the next chunk.
    fn send(&mut self, permit: Permit<'_>) {
        let Self { file, left, .. } = self;
        let max = usize::try_from(left.len.min(CHUNK_BYTES)).unwrap_or(usize::MAX);
        let mut read = Ok(0);
        let spent = permit.fill(max, |room| {
            read = read_at(file, room, left.first);
            let n = *read.as_ref().unwrap_or(&0);
            (n, n as u64 == left.len)
        });
        let Ok(spent) = spent else { return };
        let read = read.unwrap_or(0);
        if read == 0 {
            // The file has become shorter, or the disk fails, and the length has been promised already. Only a stream that ends
            // early tells the peer so.
            left.len = 0;
            return spent.into_exchange().abort();
        }
        left.first += read as u64;
        left.len -= read as u64;
        if left.len > 0 {
            spent.again();
        }
    }
}

/// Reads once, from `offset` on. Zero bytes are the end of the file.
fn read_at(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    // A permit always lends room for a byte: reading into no room would look like the end.
    debug_assert!(!room.is_empty());
    loop {
        match file.read_at(room, offset) {
            // A signal came first. It says nothing about the file.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Handler for Transfer {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        self.go_on(permit);
    }
}
