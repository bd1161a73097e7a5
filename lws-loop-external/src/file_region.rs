//! Content that the system sends from a file by itself: sendfile(2). Knows no protocol.

use crate::net;
use lws_proto::Region;
use rustix::io::{Errno, Result};
use std::any::Any;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Bytes of a file that are sent at a time: as many as a connection may send in one turn by default, where they count for a quarter.
const SENT_BYTES_MAX: usize = 1 << 20;

/// The source of a [`Region`] that a driver can send.
struct FileSource {
    file: Arc<File>,
    _kept: Box<dyn Any + Send + Sync>,
}

/// The `len` octets of `file` from `offset` on, for an exchange that
/// [takes regions](lws_proto::ExchangePermit::takes_region). `kept` is dropped with the region, when all of it was sent or its connection
/// has ended: the file stays open until then.
///
/// A part that [does not lie in memory](lies_in_memory) when it is sent keeps the loop waiting for its disk.
pub fn file_region(file: Arc<File>, offset: u64, len: usize, kept: impl Any + Send + Sync) -> Region {
    Region::new(Arc::new(FileSource { file, _kept: Box::new(kept) }), offset, len)
}

/// Whether all of a part of a file lies in the memory of the system, so that to send it waits for no disk. It may be gone a
/// moment later, and this system may not say, which is a no: cachestat(2), of Linux 6.5.
#[must_use]
pub fn lies_in_memory(file: &File, offset: u64, len: usize) -> bool {
    let page = rustix::param::page_size() as u64;
    let Some(end) = offset.checked_add(len as u64) else { return false };
    let pages = end.div_ceil(page) - offset / page;
    crate::sys::cached_pages(file.as_fd(), offset, len as u64).is_some_and(|cached| cached >= pages)
}

/// Whether regions can be sent through a socket.
pub(crate) fn are_sent_through(socket: BorrowedFd<'_>) -> bool {
    cfg!(any(target_os = "linux", target_os = "android")) && !net::is_simulated(socket)
}

/// Sends from the beginning of a region, once. Returns how much the socket has taken; nothing if the file has become shorter.
pub(crate) fn send(socket: BorrowedFd<'_>, region: &Region) -> Result<usize> {
    let source = region.source().downcast_ref::<FileSource>().ok_or(Errno::INVAL)?;
    net::send_file(socket, source.file.as_fd(), region.offset(), region.len().min(SENT_BYTES_MAX))
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::unix::net::UnixStream;

    /// A file without a name.
    fn file(content: &[u8]) -> Arc<File> {
        let path = std::env::temp_dir().join(format!("lws-region-{}-{}", std::process::id(), content.len()));
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        std::fs::remove_file(&path).expect("it was made");
        let file = file.as_mut().expect("a file");
        file.write_all(content).and_then(|()| file.seek(SeekFrom::Start(3))).expect("room");
        Arc::new(file.try_clone().expect("a descriptor"))
    }

    #[test]
    fn a_region_is_sent_from_its_position_up_to_the_end_of_the_file() {
        let file = file(b"0123456789");
        let (sender, mut peer) = UnixStream::pair().expect("sockets");
        for (offset, len, sent) in
            [(2, 4, "2345"), (0, 10, "0123456789"), (8, 9, "89"), (10, 1, ""), (99, 1, "")]
        {
            let region = file_region(Arc::clone(&file), offset, len, ());
            assert_eq!(send(sender.as_fd(), &region), Ok(sent.len()), "{offset} {len}");
            let mut taken = vec![0; sent.len()];
            peer.read_exact(&mut taken).expect("it was sent");
            assert_eq!(taken, sent.as_bytes());
        }
        let other = Region::new(Arc::new(7), 0, 1);
        assert_eq!(send(sender.as_fd(), &other), Err(Errno::INVAL));
    }

    #[test]
    fn what_is_kept_with_a_region_goes_with_its_last_copy() {
        let kept = Arc::new(());
        let region = file_region(file(b"a"), 0, 1, Arc::clone(&kept));
        let copy = region.clone();
        drop(region);
        assert_eq!(Arc::strong_count(&kept), 2);
        drop(copy);
        assert_eq!(Arc::strong_count(&kept), 1);
    }

    #[test]
    fn what_was_just_written_lies_in_memory_and_what_is_not_there_does_not() {
        let file = file(&[1; 10_000]);
        if crate::sys::cached_pages(file.as_fd(), 0, 1).is_none() {
            eprintln!("this kernel does not say what it has in memory");
            return;
        }
        for (offset, len, lies) in
            [(0, 10_000, true), (9_999, 1, true), (4_095, 2, true), (0, 40_000, false), (u64::MAX, 2, false)]
        {
            assert_eq!(lies_in_memory(&file, offset, len), lies, "{offset} {len}");
        }
    }
}
