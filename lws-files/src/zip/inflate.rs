//! A deflated member, decompressed in constant memory.

use super::index::Member;
use crate::content::{Body, Piece, Progress, Region, Sequential, Stream, Wait};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use zlib_rs::crc32::crc32;
use zlib_rs::{InflateFlush, Status};

/// A deflated member of an archive.
pub(super) struct Deflated {
    pub(super) file: Arc<File>,
    pub(super) member: Member,
}

impl Deflated {
    /// Its compressed bytes.
    pub(super) fn region(&self) -> Region {
        Region { file: Arc::clone(&self.file), offset: self.member.data, len: self.member.compressed }
    }
}

impl Sequential for Deflated {
    fn begin(&self) -> Box<dyn Stream> {
        Box::new(Inflating {
            input: Body::of_pieces([Piece::Region(self.region())]),
            buffer: Vec::new(),
            used: 0,
            inflate: Box::new(zlib_rs::Inflate::new(false, 15)),
            left: self.member.size,
            crc: 0,
            expected: self.member.crc,
        })
    }

    fn announced(&self) -> Option<u64> {
        Some(self.member.size)
    }
}

/// A member while it is decompressed: 48 KiB of window and state, and the buffer.
struct Inflating {
    input: Body,
    /// What was read, of which the first `used` bytes are decompressed.
    buffer: Vec<u8>,
    used: usize,
    inflate: Box<zlib_rs::Inflate>,
    /// Bytes that it has still to become.
    left: u64,
    crc: u32,
    expected: u32,
}

/// What is read at a time.
const INPUT_BYTES: usize = 8 << 10;

/// What is decompressed in one call that may not wait. Blocks that are empty would keep a loop busy for as long as the member is.
const TURN_BYTES: usize = 64 << 10;

impl Inflating {
    /// Reads more, if all that was read is decompressed.
    fn refill(&mut self, wait: Wait) -> io::Result<Progress> {
        self.buffer.resize(INPUT_BYTES, 0);
        self.used = 0;
        loop {
            let progress = self.input.read(&mut self.buffer)?;
            match progress {
                Progress::WouldBlock if wait == Wait::Allowed => self.input.wait(),
                Progress::Bytes(n) => {
                    self.buffer.truncate(n);
                    return Ok(progress);
                }
                _ => {
                    self.buffer.clear();
                    return Ok(progress);
                }
            }
        }
    }

    /// Decompresses into `out`, and says how much that was.
    fn step(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let before = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(&self.buffer[self.used..], out, InflateFlush::NoFlush);
        self.used += (self.inflate.total_in() - before.0) as usize;
        let made = (self.inflate.total_out() - before.1) as usize;
        self.crc = crc32(self.crc, &out[..made]);
        self.left -= made as u64;
        match status {
            Ok(Status::StreamEnd) if self.left > 0 => Err(ErrorKind::UnexpectedEof.into()),
            // The last bytes are held back if the whole is not what it should be: the response must not look complete.
            Ok(_) if self.left == 0 && self.crc != self.expected => Err(ErrorKind::InvalidData.into()),
            Ok(_) => Ok(made),
            Err(_) => Err(ErrorKind::InvalidData.into()),
        }
    }
}

impl Stream for Inflating {
    fn read(&mut self, out: &mut [u8], wait: Wait) -> io::Result<Progress> {
        let max = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        if max == 0 {
            return Ok(Progress::End);
        }
        let mut consumed = 0;
        loop {
            if self.used == self.buffer.len() {
                match self.refill(wait)? {
                    Progress::Bytes(n) => consumed += n,
                    // It may still hold what it had no room for.
                    Progress::End => {
                        let made = self.step(&mut out[..max])?;
                        return if made > 0 {
                            Ok(Progress::Bytes(made))
                        } else {
                            Err(ErrorKind::UnexpectedEof.into())
                        };
                    }
                    Progress::WouldBlock => return Ok(Progress::WouldBlock),
                }
            }
            match self.step(&mut out[..max])? {
                0 if wait == Wait::Never && consumed > TURN_BYTES => return Ok(Progress::WouldBlock),
                0 => {}
                made => return Ok(Progress::Bytes(made)),
            }
        }
    }
}
