//! Compression on the way.
//!
//! [`Encoder`] turns bytes into a coding and knows nothing else; [`Compressed`] is a file that is compressed for each response.

use crate::content::{Body, Content, Progress, Sequential, Stream, Wait};
use crate::{Accepted, Coding};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which files are compressed on the way, and how many at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Bytes below which it is not worth it. Default 512.
    pub bytes_min: u64,
    /// Responses that are being compressed at a time: each holds 300 KiB to 2 MiB. Past it the file is sent as it is. Default 64.
    pub streams_max: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self { bytes_min: 512, streams_max: 64 }
    }
}

impl Compression {
    /// The coding that a file of `len` bytes is compressed to for a client, if that is more welcome than the file itself.
    pub(crate) fn coding(&self, len: Option<u64>, accepted: &Accepted) -> Option<Coding> {
        if len.is_some_and(|len| len < self.bytes_min) {
            return None;
        }
        let can = |coding: &Coding| *coding == Coding::Identity || Encoder::can(*coding);
        accepted.choose(can).filter(|coding| *coding != Coding::Identity)
    }
}

/// Compresses bytes as they come.
///
/// ```
/// use lws_files::{Coding, Encoder};
///
/// let mut encoder = Encoder::new(Coding::Gzip).expect("the feature `gzip` is on");
/// encoder.write(b"an event");
/// // The peer can decode it now, though there will be more.
/// encoder.flush();
/// let mut out = [0; 100];
/// let n = encoder.take(&mut out);
/// assert!(out[..n].starts_with(&[0x1f, 0x8b]));
/// encoder.finish();
/// assert!(encoder.take(&mut out) > 0);
/// ```
pub struct Encoder {
    kind: CompressorKind,
    /// What has been made and not taken yet.
    out: Vec<u8>,
    taken: usize,
}

enum CompressorKind {
    #[cfg(feature = "gzip")]
    Gzip(Box<zlib_rs::Deflate>),
    #[cfg(feature = "brotli")]
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Finished,
}

impl CompressorKind {
    fn of(coding: Coding) -> Option<Self> {
        match coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip => {
                // Sixteen more than the window asks for the header and trailer of gzip.
                let config =
                    zlib_rs::DeflateConfig { window_bits: 15 + 16, ..zlib_rs::DeflateConfig::new(6) };
                Some(Self::Gzip(Box::new(zlib_rs::Deflate::new_with_config(config))))
            }
            // A window of 256 KiB, and not of 4 MiB: there may be many of these.
            #[cfg(feature = "brotli")]
            Coding::Brotli => {
                Some(Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 4, 18))))
            }
            #[cfg(feature = "zstd")]
            Coding::Zstd => {
                Some(Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 3).ok()?)))
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("made", &(self.out.len() - self.taken)).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Whether there is one for `coding`: a question of the features of this crate.
    #[must_use]
    pub const fn can(coding: Coding) -> bool {
        match coding {
            Coding::Identity => false,
            Coding::Gzip => cfg!(feature = "gzip"),
            Coding::Zstd => cfg!(feature = "zstd"),
            Coding::Brotli => cfg!(feature = "brotli"),
        }
    }

    /// An encoder for `coding`; `None` if there is none. Its levels suit what is compressed once and read once.
    #[must_use]
    pub fn new(coding: Coding) -> Option<Self> {
        Some(Self { kind: CompressorKind::of(coding)?, out: Vec::new(), taken: 0 })
    }

    /// Compresses `bytes`. What comes of them may come later.
    pub fn write(&mut self, bytes: &[u8]) {
        match &mut self.kind {
            #[cfg(feature = "gzip")]
            CompressorKind::Gzip(deflate) => {
                push_deflated(deflate, bytes, zlib_rs::DeflateFlush::NoFlush, &mut self.out)
            }
            #[cfg(feature = "brotli")]
            CompressorKind::Brotli(writer) => written(io::Write::write_all(writer, bytes)),
            #[cfg(feature = "zstd")]
            CompressorKind::Zstd(writer) => written(io::Write::write_all(writer, bytes)),
            CompressorKind::Finished => debug_assert!(bytes.is_empty(), "nothing comes behind the end"),
        }
        self.collect();
    }

    /// Makes all that was written so far readable for the peer. Each time costs a few bytes.
    pub fn flush(&mut self) {
        match &mut self.kind {
            #[cfg(feature = "gzip")]
            CompressorKind::Gzip(deflate) => {
                push_deflated(deflate, &[], zlib_rs::DeflateFlush::SyncFlush, &mut self.out)
            }
            #[cfg(feature = "brotli")]
            CompressorKind::Brotli(writer) => written(io::Write::flush(writer)),
            #[cfg(feature = "zstd")]
            CompressorKind::Zstd(writer) => written(io::Write::flush(writer)),
            CompressorKind::Finished => {}
        }
        self.collect();
    }

    /// Ends the coding. Nothing may be written any more.
    pub fn finish(&mut self) {
        match std::mem::replace(&mut self.kind, CompressorKind::Finished) {
            #[cfg(feature = "gzip")]
            CompressorKind::Gzip(mut deflate) => {
                push_deflated(&mut deflate, &[], zlib_rs::DeflateFlush::Finish, &mut self.out);
            }
            #[cfg(feature = "brotli")]
            CompressorKind::Brotli(writer) => self.out.extend(writer.into_inner()),
            #[cfg(feature = "zstd")]
            CompressorKind::Zstd(writer) => self.out.extend(writer.finish().unwrap_or_default()),
            CompressorKind::Finished => {}
        }
    }

    /// Moves what has been made into `out`, and returns how much.
    pub fn take(&mut self, out: &mut [u8]) -> usize {
        let ready = &self.out[self.taken..];
        let n = ready.len().min(out.len());
        out[..n].copy_from_slice(&ready[..n]);
        self.taken += n;
        if self.taken == self.out.len() {
            self.out.clear();
            self.taken = 0;
        }
        n
    }

    /// Moves what the writer of a library has made to ours.
    fn collect(&mut self) {
        match &mut self.kind {
            #[cfg(feature = "brotli")]
            CompressorKind::Brotli(writer) => self.out.append(writer.get_mut()),
            #[cfg(feature = "zstd")]
            CompressorKind::Zstd(writer) => self.out.append(writer.get_mut()),
            _ => {}
        }
    }
}

/// What is written to memory is always written.
#[cfg(any(feature = "brotli", feature = "zstd"))]
fn written(result: io::Result<()>) {
    debug_assert!(result.is_ok(), "memory takes everything");
}

#[cfg(feature = "gzip")]
fn push_deflated(
    deflate: &mut zlib_rs::Deflate,
    mut bytes: &[u8],
    flush: zlib_rs::DeflateFlush,
    out: &mut Vec<u8>,
) {
    loop {
        let at = out.len();
        out.resize(at + (bytes.len() / 2).clamp(64, 16 << 10), 0);
        let before = (deflate.total_in(), deflate.total_out());
        let status = deflate.compress(bytes, &mut out[at..], flush);
        bytes = &bytes[(deflate.total_in() - before.0) as usize..];
        let made = (deflate.total_out() - before.1) as usize;
        let is_full = at + made == out.len();
        out.truncate(at + made);
        // Room that is left says that there is no more to say. An error is impossible: the state is one of ours.
        if !is_full || !matches!(status, Ok(zlib_rs::Status::Ok)) {
            debug_assert!(bytes.is_empty());
            return;
        }
    }
}

/// A file that is compressed anew for each response.
pub(crate) struct Compressed {
    content: Content,
    coding: Coding,
    running: Running,
}

/// How many responses are being compressed.
pub(crate) type Running = Arc<AtomicUsize>;

impl Compressed {
    pub(crate) fn new(content: Content, coding: Coding, running: Running) -> Self {
        debug_assert!(Encoder::can(coding));
        Self { content, coding, running }
    }

    /// All of it at once: for what is small and kept.
    pub(crate) fn whole(bytes: &[u8], coding: Coding) -> Option<Vec<u8>> {
        let mut encoder = Encoder::new(coding)?;
        encoder.write(bytes);
        encoder.finish();
        Some(encoder.out)
    }
}

impl Sequential for Compressed {
    fn begin(&self) -> Box<dyn Stream> {
        self.running.fetch_add(1, Ordering::Relaxed);
        Box::new(Compressing {
            body: self.content.body(),
            encoder: Encoder::new(self.coding),
            running: Arc::clone(&self.running),
            ended: false,
        })
    }

    fn announced(&self) -> Option<u64> {
        None
    }
}

/// One response that is being compressed.
struct Compressing {
    body: Body,
    encoder: Option<Encoder>,
    running: Running,
    ended: bool,
}

/// What is read at a time.
const INPUT_BYTES: usize = 8 << 10;

/// What is compressed in one call that may not wait. If nothing has come of so much, a thread goes on that has the time.
const TURN_BYTES: usize = 64 << 10;

impl Stream for Compressing {
    fn read(&mut self, out: &mut [u8], wait: Wait) -> io::Result<Progress> {
        let Some(encoder) = &mut self.encoder else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut input = [0; INPUT_BYTES];
        let mut consumed = 0;
        loop {
            let made = encoder.take(out);
            if made > 0 {
                return Ok(Progress::Bytes(made));
            }
            if self.ended {
                return Ok(Progress::End);
            }
            if wait == Wait::Never && consumed >= TURN_BYTES {
                return Ok(Progress::WouldBlock);
            }
            match self.body.read(&mut input)? {
                Progress::Bytes(n) => {
                    consumed += n;
                    encoder.write(&input[..n]);
                }
                Progress::End => {
                    encoder.finish();
                    self.ended = true;
                }
                Progress::WouldBlock if wait == Wait::Allowed => self.body.wait(),
                Progress::WouldBlock => return Ok(Progress::WouldBlock),
            }
        }
    }
}

impl Drop for Compressing {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use super::*;
    use zlib_rs::{Inflate, InflateFlush};

    fn gunzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 1 << 20];
        let mut inflate = Inflate::new(true, 15 + 16);
        inflate.decompress(bytes, &mut out, InflateFlush::NoFlush).expect("gzip");
        out.truncate(inflate.total_out() as usize);
        out
    }

    fn text() -> String {
        (0..20_000).map(|n| format!("line {} ", n % 97)).collect()
    }

    fn drain(encoder: &mut Encoder) -> Vec<u8> {
        let (mut all, mut out) = (Vec::new(), [0; 7]);
        loop {
            match encoder.take(&mut out) {
                0 => return all,
                n => all.extend_from_slice(&out[..n]),
            }
        }
    }

    /// The first `len` bytes that come of what a coding has made so far.
    fn decoded(coding: Coding, bytes: &[u8], len: usize) -> Vec<u8> {
        use std::io::Read as _;
        let mut out = vec![0; len];
        match coding {
            #[cfg(feature = "brotli")]
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_exact(&mut out).expect("br"),
            #[cfg(feature = "zstd")]
            Coding::Zstd => {
                zstd::Decoder::new(bytes).and_then(|mut decoder| decoder.read_exact(&mut out)).expect("zstd");
            }
            _ => gunzip(bytes).as_slice().read_exact(&mut out).expect("gzip"),
        }
        out
    }

    #[test]
    fn what_was_flushed_can_be_read_before_the_end() {
        for coding in Coding::ALL.into_iter().filter(|coding| Encoder::can(*coding)) {
            let mut encoder = Encoder::new(coding).expect("there is one");
            encoder.write(b"first");
            encoder.flush();
            let flushed = drain(&mut encoder);
            assert_eq!(decoded(coding, &flushed, 5), b"first", "{coding:?}");
            encoder.write(b" second");
            encoder.finish();
            let all = [flushed, drain(&mut encoder)].concat();
            assert_eq!(decoded(coding, &all, 12), b"first second", "{coding:?}");
        }
    }

    #[test]
    fn a_file_is_compressed_in_parts_and_counted_while_it_is() {
        let (text, running) = (text(), Running::default());
        let compressed = Compressed::new(Content::from(text.clone()), Coding::Gzip, Arc::clone(&running));
        let mut stream = compressed.begin();
        assert_eq!(running.load(Ordering::Relaxed), 1);
        let (mut all, mut out) = (Vec::new(), [0; 1000]);
        loop {
            match stream.read(&mut out, Wait::Never).expect("memory") {
                Progress::Bytes(n) => all.extend_from_slice(&out[..n]),
                Progress::End => break,
                // So much that nothing came of it yet: elsewhere.
                Progress::WouldBlock => match stream.read(&mut out, Wait::Allowed).expect("memory") {
                    Progress::Bytes(n) => all.extend_from_slice(&out[..n]),
                    other => panic!("{other:?}"),
                },
            }
        }
        assert_eq!(gunzip(&all), text.as_bytes());
        assert!(all.len() < text.len() / 10);
        drop(stream);
        assert_eq!(running.load(Ordering::Relaxed), 0);
        assert_eq!(gunzip(&Compressed::whole(text.as_bytes(), Coding::Gzip).expect("gzip")), text.as_bytes());
    }

    #[test]
    fn short_files_and_unwelcome_codings_are_left_alone() {
        let compression = Compression::default();
        let gzip = Accepted::parse([&b"gzip"[..]]);
        assert_eq!(compression.coding(Some(512), &gzip), Some(Coding::Gzip));
        assert_eq!(compression.coding(None, &gzip), Some(Coding::Gzip));
        assert_eq!(compression.coding(Some(511), &gzip), None);
        let prefers_identity = Accepted::parse([&b"identity, gzip;q=0.5"[..]]);
        assert_eq!(compression.coding(Some(512), &prefers_identity), None);
        assert_eq!(compression.coding(Some(512), &Accepted::IDENTITY), None);
    }
}
