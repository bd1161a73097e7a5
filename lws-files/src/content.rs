//! What a file consists of, and how it is read without waiting.
//!
//! Knows no names and no fields.

use crate::Part;
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Whether a call may wait for a device, or for whatever else is behind a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It may not: what would have to wait says so instead. What a loop passes.
    Never,
    /// It may. What a thread of the pool passes.
    Allowed,
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes were read; one at least.
    Bytes(usize),
    /// There are no more.
    End,
    /// It would have to wait. Never the answer to [`Wait::Allowed`].
    WouldBlock,
}

/// Bytes behind an open descriptor: what can be sent by the system itself.
#[derive(Clone, Debug)]
pub struct Region {
    /// The file. Open for reading.
    pub file: Arc<File>,
    /// The position of the first byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

impl Region {
    /// Whether the byte at `at` of it can be read without waiting.
    #[must_use]
    pub fn has_now(&self, at: u64) -> bool {
        at < self.len
            && matches!(read_at(&self.file, &mut [0], self.offset + at, Wait::Never), Ok(Progress::Bytes(_)))
    }
}

/// Content that can be read from any position.
pub trait ReadAt: Send + Sync {
    /// Reads into `out`, which is not empty, what begins at `at`. The end is an error of the kind `UnexpectedEof` only if it comes
    /// before the length that was announced, which the caller sees to.
    ///
    /// # Errors
    /// What was announced cannot be sent, and the response is cut off.
    fn read_at(&self, out: &mut [u8], at: u64, wait: Wait) -> io::Result<Progress>;
}

/// Content that is made from its beginning to its end: decompressed, say.
pub trait Stream: Send {
    /// Reads into `out`, which is not empty.
    ///
    /// # Errors
    /// What was announced cannot be sent, and the response is cut off.
    fn read(&mut self, out: &mut [u8], wait: Wait) -> io::Result<Progress>;
}

/// Makes a [`Stream`] for each response.
pub trait Sequential: Send + Sync {
    /// Begins at the first byte.
    fn begin(&self) -> Box<dyn Stream>;

    /// Bytes, if that is known beforehand.
    fn announced(&self) -> Option<u64>;
}

/// One piece of content.
#[derive(Clone)]
pub enum Piece {
    /// In memory.
    Bytes(Bytes),
    /// Behind a descriptor.
    Region(Region),
    /// Behind code of the application.
    Reader {
        /// What is read.
        reader: Arc<dyn ReadAt>,
        /// The position of the first byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Bytes(_) => "Bytes",
            Self::Region(_) => "Region",
            Self::Reader { .. } => "Reader",
        };
        f.debug_struct(kind).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Piece {
    /// Bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Region(Region { len, .. }) | Self::Reader { len, .. } => *len,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes `n` bytes, of which there are so many, at the front.
    fn advance(&mut self, n: u64) {
        debug_assert!(n <= self.len());
        match self {
            Self::Bytes(bytes) => drop(bytes.split_to(to_usize(n).min(bytes.len()))),
            Self::Region(Region { offset, len, .. }) | Self::Reader { offset, len, .. } => {
                *offset += n;
                *len -= n;
            }
        }
    }

    /// The part of it from `first`, of `len` bytes, all of which it has.
    fn slice(&self, first: u64, new_len: u64) -> Self {
        let mut piece = self.clone();
        piece.advance(first);
        match &mut piece {
            Self::Bytes(bytes) => bytes.truncate(to_usize(new_len)),
            Self::Region(Region { len, .. }) | Self::Reader { len, .. } => *len = new_len,
        }
        piece
    }

    /// Reads from the front, without removing it.
    fn read(&self, out: &mut [u8], wait: Wait) -> io::Result<Progress> {
        let max = to_usize(self.len()).min(out.len());
        let out = &mut out[..max];
        match self {
            Self::Bytes(bytes) => {
                out.copy_from_slice(&bytes[..max]);
                Ok(Progress::Bytes(max))
            }
            Self::Region(region) => read_at(&region.file, out, region.offset, wait),
            Self::Reader { reader, offset, .. } => reader.read_at(out, *offset, wait),
        }
    }
}

/// The content of a file, in one coding.
#[derive(Clone)]
pub enum Content {
    /// One piece.
    One(Piece),
    /// Several, in order.
    Pieces(Arc<[Piece]>),
    /// Only from its beginning to its end.
    Sequential(Arc<dyn Sequential>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(piece) => piece.fmt(f),
            Self::Pieces(pieces) => pieces.fmt(f),
            Self::Sequential(source) => {
                f.debug_struct("Sequential").field("len", &source.announced()).finish()
            }
        }
    }
}

impl<B: Into<Bytes>> From<B> for Content {
    fn from(bytes: B) -> Self {
        Self::One(Piece::Bytes(bytes.into()))
    }
}

impl Content {
    /// Bytes, if that is known.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::One(piece) => Some(piece.len()),
            Self::Pieces(pieces) => Some(pieces.iter().map(Piece::len).sum()),
            Self::Sequential(source) => source.announced(),
        }
    }

    /// Whether it is known to have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Whether it can be read from any position.
    #[must_use]
    pub fn is_seekable(&self) -> bool {
        !matches!(self, Self::Sequential(_))
    }

    /// All of it, if that lies in memory as one piece.
    #[must_use]
    pub fn in_memory(&self) -> Option<&Bytes> {
        match self {
            Self::One(Piece::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// All of it, to be sent.
    #[must_use]
    pub fn body(&self) -> Body {
        match self {
            Self::One(piece) => Body::of_piece(piece.clone()),
            Self::Pieces(pieces) => Body::of_pieces(pieces.iter().cloned()),
            Self::Sequential(source) => Body::of_stream(source.begin(), source.announced()),
        }
    }

    /// Adds the pieces that make `part`. What is sequential has none.
    pub(crate) fn push_part(&self, part: Part, out: &mut Vec<Piece>) {
        let pieces = match self {
            Self::One(piece) => std::slice::from_ref(piece),
            Self::Pieces(pieces) => pieces,
            Self::Sequential(_) => &[],
        };
        let mut start = 0;
        for piece in pieces {
            let end = start + piece.len();
            let (first, last) = (part.first.max(start), part.end().min(end));
            if first < last {
                out.push(piece.slice(first - start, last - first));
            }
            start = end;
        }
    }

    /// What keeping it costs: bytes of memory, and descriptors.
    pub(crate) fn cost(&self) -> (usize, usize) {
        let of = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => (bytes.len(), 0),
            Piece::Region(_) => (0, 1),
            Piece::Reader { .. } => (64, 0),
        };
        match self {
            Self::One(piece) => of(piece),
            // The pieces of one file share its descriptor.
            Self::Pieces(pieces) => pieces.iter().map(of).fold((0, 0), |a, b| (a.0 + b.0 + 64, a.1.max(b.1))),
            // A stream holds what it needs only while it runs; the source may hold a descriptor.
            Self::Sequential(_) => (256, 1),
        }
    }
}

/// Bytes that are fetched at a time by a thread that may wait. As many as are queued for a peer at most.
pub const FETCH_BYTES: usize = 64 << 10;

/// The content of a response, while it is sent.
///
/// [`Body::read`] never waits. When it says [`Progress::WouldBlock`], [`Body::fetch`] brings more on a thread that may, and the
/// body goes there and comes back by value: so no two threads ever have it.
pub struct Body {
    source: ContentSource,
    /// Bytes that `source` still has to give, if that is known.
    left: Option<u64>,
    /// What was fetched, and comes before the rest.
    ahead: Bytes,
    failed: Option<io::Error>,
}

enum ContentSource {
    Pieces(Pieces),
    Stream(Box<dyn Stream>),
}

/// Pieces that are left. The usual body is one, and costs no allocation.
#[derive(Default)]
struct Pieces {
    /// Invariant: not empty; there if there are any.
    front: Option<Piece>,
    /// Invariant: none of them is empty.
    #[expect(clippy::box_collection, reason = "almost no body has any, and each is moved and dropped")]
    rest: Option<Box<VecDeque<Piece>>>,
}

impl Pieces {
    /// Whether there is none but the first.
    fn has_one(&self) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.is_empty())
    }

    /// Removes `n` bytes of the first piece, and the piece if that was all of it.
    fn pop(&mut self, n: u64) {
        if let Some(piece) = &mut self.front {
            piece.advance(n);
            if piece.is_empty() {
                self.front = self.rest.as_mut().and_then(|rest| rest.pop_front());
            }
        }
    }

    /// Reads as many pieces as have room, up to the first that would have to wait.
    fn read(&mut self, out: &mut [u8], wait: Wait) -> io::Result<Progress> {
        let mut read = 0;
        while let Some(piece) = &self.front
            && read < out.len()
        {
            match piece.read(&mut out[read..], wait) {
                // A reader of the application that gives nothing would be asked for ever.
                Ok(Progress::Bytes(0)) if read == 0 => return Ok(Progress::End),
                Ok(Progress::Bytes(n @ 1..)) => {
                    debug_assert!(
                        n as u64 <= piece.len() && n <= out.len() - read,
                        "more than there was room for"
                    );
                    read += n;
                    self.pop(n as u64);
                }
                // What was read so far is given first; whatever this is, it will be so again.
                _ if read > 0 => break,
                other => return other,
            }
        }
        Ok(if read > 0 { Progress::Bytes(read) } else { Progress::End })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Body {
    /// Nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::of_pieces([])
    }

    /// Pieces, one after the other.
    #[must_use]
    pub fn of_pieces(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut left = 0;
        let mut pieces =
            pieces.into_iter().filter(|piece| !piece.is_empty()).inspect(|piece| left += piece.len());
        let front = pieces.next();
        let rest: VecDeque<_> = pieces.collect();
        let pieces = Pieces { front, rest: (!rest.is_empty()).then(|| Box::new(rest)) };
        Self { source: ContentSource::Pieces(pieces), left: Some(left), ahead: Bytes::new(), failed: None }
    }

    fn of_piece(piece: Piece) -> Self {
        let left = piece.len();
        let pieces = Pieces { front: Some(piece).filter(|piece| !piece.is_empty()), rest: None };
        Self { source: ContentSource::Pieces(pieces), left: Some(left), ahead: Bytes::new(), failed: None }
    }

    /// What `stream` makes: of `len` bytes, if that was announced.
    #[must_use]
    pub fn of_stream(stream: Box<dyn Stream>, len: Option<u64>) -> Self {
        Self { source: ContentSource::Stream(stream), left: len, ahead: Bytes::new(), failed: None }
    }

    /// Bytes that are left; `None` if that is not known.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        Some(self.left? + self.ahead.len() as u64)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Whether it could be made again and go on in its middle, by [`Body::skip`].
    #[must_use]
    pub fn is_seekable(&self) -> bool {
        matches!(self.source, ContentSource::Pieces(_))
    }

    /// All that is left, if it lies in memory as one piece: such a body is queued as it is.
    #[must_use]
    pub fn in_memory(&self) -> Option<&Bytes> {
        match &self.source {
            ContentSource::Pieces(pieces) if self.ahead.is_empty() => match &pieces.front {
                Some(Piece::Bytes(bytes)) if pieces.has_one() => Some(bytes),
                _ => None,
            },
            _ => None,
        }
    }

    /// What comes next, if it lies behind a descriptor: a transport may send from it, and then say how much by
    /// [`Body::advance`].
    #[must_use]
    pub fn region(&self) -> Option<&Region> {
        match &self.source {
            ContentSource::Pieces(pieces) if self.ahead.is_empty() => match &pieces.front {
                Some(Piece::Region(region)) => Some(region),
                _ => None,
            },
            _ => None,
        }
    }

    /// Removes `n` bytes of the region that comes next.
    pub fn advance(&mut self, n: u64) {
        debug_assert!(self.region().is_some_and(|region| n <= region.len), "only of a region");
        if let ContentSource::Pieces(pieces) = &mut self.source {
            pieces.pop(n);
        }
        self.left = self.left.map(|left| left.saturating_sub(n));
    }

    /// Removes the next `n` bytes without reading them: a response that is made a second time goes on where the first one was. Answers
    /// whether it can; a stream has to be read.
    #[must_use]
    pub fn skip(&mut self, mut n: u64) -> bool {
        let (ContentSource::Pieces(pieces), Some(left)) = (&mut self.source, &mut self.left) else {
            return n == 0;
        };
        if !self.ahead.is_empty() || n > *left {
            return n == 0;
        }
        *left -= n;
        while let Some(piece) = pieces.front.as_ref().filter(|_| n > 0) {
            let removed = piece.len().min(n);
            pieces.pop(removed);
            n -= removed;
        }
        debug_assert_eq!(n, 0, "the pieces are as long as was announced");
        true
    }

    /// Reads the next bytes into `out`, and never waits.
    ///
    /// # Errors
    /// The content has become shorter than it was announced, or cannot be read. The response must be cut off visibly: nothing
    /// that looks like its end may be sent.
    pub fn read(&mut self, out: &mut [u8]) -> io::Result<Progress> {
        debug_assert!(!out.is_empty(), "reading into no room would look like the end");
        if !self.ahead.is_empty() {
            let n = self.ahead.len().min(out.len());
            out[..n].copy_from_slice(&self.ahead.split_to(n));
            return Ok(Progress::Bytes(n));
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.read_source(out, Wait::Never),
        }
    }

    /// Brings up to [`FETCH_BYTES`] more, and waits for them: what [`Body::fetch`] does on a thread of the pool. An error is
    /// the answer of the next read.
    pub fn wait(&mut self) {
        if !self.ahead.is_empty() || self.failed.is_some() {
            return;
        }
        let room = self.left.map_or(FETCH_BYTES, |left| to_usize(left).min(FETCH_BYTES));
        let mut fetched = vec![0; room.max(1)];
        match self.read_source(&mut fetched, Wait::Allowed) {
            Ok(Progress::Bytes(n)) => {
                fetched.truncate(n);
                self.ahead = fetched.into();
            }
            Ok(Progress::End) => {}
            Ok(Progress::WouldBlock) => self.failed = Some(ErrorKind::WouldBlock.into()),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Reads all that is left, and waits for it.
    ///
    /// # Errors
    /// There are more than `bytes_max` bytes, or they cannot be read.
    pub(crate) fn read_all(mut self, bytes_max: usize) -> io::Result<Bytes> {
        let too_large =
            || io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes"));
        if self.len().is_some_and(|len| len > bytes_max as u64) {
            return Err(too_large());
        }
        let mut all = Vec::with_capacity(self.len().map_or(0, to_usize));
        let mut room = [0; 8 << 10];
        loop {
            match self.read(&mut room)? {
                Progress::Bytes(n) if n > bytes_max - all.len() => return Err(too_large()),
                Progress::Bytes(n) => all.extend_from_slice(&room[..n]),
                Progress::End => return Ok(all.into()),
                Progress::WouldBlock => self.wait(),
            }
        }
    }

    fn read_source(&mut self, out: &mut [u8], wait: Wait) -> io::Result<Progress> {
        let max = self.left.map_or(out.len(), |left| to_usize(left).min(out.len()));
        if max == 0 {
            return Ok(Progress::End);
        }
        let progress = match &mut self.source {
            ContentSource::Pieces(pieces) => pieces.read(&mut out[..max], wait)?,
            ContentSource::Stream(stream) => stream.read(&mut out[..max], wait)?,
        };
        // A stream of the application that gives nothing has ended.
        let progress = if progress == Progress::Bytes(0) { Progress::End } else { progress };
        match (progress, &mut self.left) {
            (Progress::Bytes(n), Some(left)) => *left = left.saturating_sub(n as u64),
            // Fewer than announced. Only an end that is no success tells the peer so.
            (Progress::End, Some(_)) => return Err(ErrorKind::UnexpectedEof.into()),
            (Progress::End, left @ None) => *left = Some(0),
            _ => {}
        }
        Ok(progress)
    }
}

/// Reads once from `at`. A signal is no end.
pub(crate) fn read_at(file: &File, out: &mut [u8], at: u64, wait: Wait) -> io::Result<Progress> {
    loop {
        let read = match wait {
            Wait::Allowed => file.read_at(out, at),
            Wait::Never => return read_now(file, out, at),
        };
        match read {
            Ok(0) => return Ok(Progress::End),
            Ok(n) => return Ok(Progress::Bytes(n)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads what the page cache has: all of `out`, or only its beginning.
#[cfg(target_os = "linux")]
fn read_now(file: &File, out: &mut [u8], at: u64) -> io::Result<Progress> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    match preadv2(file, &mut [io::IoSliceMut::new(out)], at, ReadWriteFlags::NOWAIT) {
        Ok(0) => Ok(Progress::End),
        Ok(n) => Ok(Progress::Bytes(n)),
        // Not in memory; or a file system, or a kernel, that cannot tell.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(Progress::WouldBlock),
        Err(error) => Err(error.into()),
    }
}

/// No other system tells what it has in memory.
#[cfg(not(target_os = "linux"))]
fn read_now(_: &File, _: &mut [u8], _: u64) -> io::Result<Progress> {
    Ok(Progress::WouldBlock)
}

/// Reads exactly `out`.
pub(crate) fn read_exact_at(
    file: &File,
    mut out: &mut [u8],
    mut at: u64,
    wait: Wait,
) -> io::Result<Progress> {
    let len = out.len();
    // Nothing is read of what is empty.
    while !out.is_empty() {
        match read_at(file, out, at, wait)? {
            Progress::Bytes(n) => {
                out = &mut out[n..];
                at += n as u64;
            }
            Progress::End => return Err(ErrorKind::UnexpectedEof.into()),
            Progress::WouldBlock => return Ok(Progress::WouldBlock),
        }
    }
    Ok(Progress::Bytes(len))
}

/// A length that was made from one, or the largest there is.
fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `have` bytes of `b`, and every second time says that it would have to wait.
    struct Slow {
        have: usize,
        ready: bool,
    }

    impl Stream for Slow {
        fn read(&mut self, out: &mut [u8], wait: Wait) -> io::Result<Progress> {
            self.ready = !self.ready || wait == Wait::Allowed;
            let n = self.have.min(out.len()).min(3);
            match (self.ready, n) {
                (false, _) => Ok(Progress::WouldBlock),
                (true, 0) => Ok(Progress::End),
                (true, n) => {
                    out[..n].fill(b'b');
                    self.have -= n;
                    Ok(Progress::Bytes(n))
                }
            }
        }
    }

    fn read_all(mut body: Body, room: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut out = vec![0; room];
        loop {
            match body.read(&mut out)? {
                Progress::Bytes(n) => all.extend_from_slice(&out[..n]),
                Progress::End => return Ok(all),
                Progress::WouldBlock => body.wait(),
            }
        }
    }

    #[test]
    fn pieces_come_one_after_the_other_however_they_are_read() {
        let pieces = ["abc", "", "d", "efgh"].map(|text| Piece::Bytes(Bytes::from_static(text.as_bytes())));
        for room in 1..10 {
            let body = Body::of_pieces(pieces.clone());
            assert_eq!(body.len(), Some(8));
            assert_eq!(read_all(body, room).expect("memory"), b"abcdefgh", "{room}");
        }
    }

    #[test]
    fn a_part_is_cut_out_of_all_pieces() {
        let pieces = ["abc", "d", "efgh"].map(|text| Piece::Bytes(Bytes::from_static(text.as_bytes())));
        let content = Content::Pieces(pieces.into());
        for first in 0..8_u64 {
            for len in 0..=8 - first {
                let mut out = Vec::new();
                content.push_part(Part { first, len }, &mut out);
                let expected = &b"abcdefgh"[first as usize..(first + len) as usize];
                assert_eq!(read_all(Body::of_pieces(out), 3).expect("memory"), expected);
            }
        }
    }

    #[test]
    fn what_is_skipped_is_not_read_and_what_is_not_there_cannot_be_skipped() {
        let pieces = ["abc", "d", "efgh"].map(|text| Piece::Bytes(Bytes::from_static(text.as_bytes())));
        for n in 0..=8 {
            let mut body = Body::of_pieces(pieces.clone());
            assert!(body.skip(n as u64));
            assert_eq!(body.len(), Some(8 - n as u64));
            assert_eq!(read_all(body, 3).expect("memory"), &b"abcdefgh"[n..], "{n}");
        }
        assert!(!Body::of_pieces(pieces).skip(9));
        let mut stream = Body::of_stream(Box::new(Slow { have: 7, ready: false }), Some(7));
        assert!(stream.skip(0) && !stream.skip(1));
    }

    #[test]
    fn a_stream_that_is_shorter_than_announced_is_an_error_and_a_longer_one_is_cut() {
        let read = |have, len| read_all(Body::of_stream(Box::new(Slow { have, ready: false }), len), 2);
        assert_eq!(read(7, None).expect("as long as it is"), b"bbbbbbb");
        assert_eq!(read(7, Some(7)).expect("as announced"), b"bbbbbbb");
        assert_eq!(read(7, Some(5)).expect("cut"), b"bbbbb");
        assert_eq!(read(7, Some(8)).map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof));
    }

    /// Gives nothing, and does not say that it has ended.
    struct Nothing;

    impl ReadAt for Nothing {
        fn read_at(&self, _: &mut [u8], _: u64, _: Wait) -> io::Result<Progress> {
            Ok(Progress::Bytes(0))
        }
    }

    #[test]
    fn a_reader_that_gives_nothing_is_not_asked_for_ever() {
        let reader = Piece::Reader { reader: Arc::new(Nothing), offset: 0, len: 9 };
        let body = Body::of_pieces([Piece::Bytes(Bytes::from_static(b"before")), reader]);
        assert_eq!(read_all(body, 100).map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_region_can_be_sent_by_others_and_read_on() {
        let file = Arc::new(File::open("/proc/self/exe").or_else(|_| File::open("/bin/sh")).expect("a file"));
        let region = Region { file, offset: 0, len: 16 };
        let mut body = Body::of_pieces([Piece::Region(region), Piece::Bytes(Bytes::from_static(b"tail"))]);
        assert_eq!(body.region().map(|region| region.len), Some(16));
        body.advance(16);
        assert!(body.region().is_none());
        assert_eq!(body.in_memory().map(|bytes| &bytes[..]), Some(&b"tail"[..]));
        assert_eq!(read_all(body, 8).expect("memory"), b"tail");
    }
}
