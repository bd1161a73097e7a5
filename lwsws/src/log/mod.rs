//! The log of requests, written by a thread of its own: a terminal that stands still and a disk that is full do not stop the server.

mod target;

pub(crate) use target::Target;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use target::Sink;

/// Lines that may wait to be written. Those beyond are counted and left out.
const LINES_MAX: usize = 4_096;
/// How long the last lines may take when the program ends.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes lines, and never waits.
#[derive(Clone)]
pub(crate) struct Log {
    entries: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
    /// The file was moved away: a new one of its name is wanted.
    reopen: Arc<AtomicBool>,
    written: Arc<Mutex<Receiver<()>>>,
}

enum Entry {
    Line(String),
    /// There is something else to do than to write.
    Wake,
    End,
}

impl Log {
    pub(crate) fn start(target: &Target) -> io::Result<Self> {
        let mut sink = target.open()?;
        let (entries, incoming) = sync_channel(LINES_MAX);
        let (finished, written) = sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let reopen = Arc::new(AtomicBool::new(false));
        let (counted, moved) = (Arc::clone(&lost), Arc::clone(&reopen));
        thread::Builder::new().name("log".into()).spawn(move || {
            write_entries(&incoming, &mut *sink, &counted, &moved);
            let _ = finished.try_send(());
        })?;
        Ok(Self { entries, lost, reopen, written: Arc::new(Mutex::new(written)) })
    }

    pub(crate) fn line(&self, line: String) {
        if self.entries.try_send(Entry::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Closes the file and opens its name again, before the next line is written.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // Where so many lines wait that this does not fit, the next of them is enough.
        let _ = self.entries.try_send(Entry::Wake);
    }

    /// Waits for the last line to be written, but not for ever.
    pub(crate) fn finish(self) {
        if self.entries.try_send(Entry::End).is_ok()
            && let Ok(written) = self.written.lock()
        {
            let _ = written.recv_timeout(FINISH_TIMEOUT);
        }
    }
}

/// Writes lines as they come, and flushes when none waits.
fn write_entries(entries: &Receiver<Entry>, sink: &mut dyn Sink, lost: &AtomicU64, moved: &AtomicBool) {
    while let Ok(entry) = entries.recv() {
        let mut next = Some(entry);
        while let Some(entry) = next {
            if moved.swap(false, Ordering::Acquire)
                && let Err(error) = sink.reopen()
            {
                eprintln!("lwsws: the log stays as it is: {error}");
            }
            match entry {
                Entry::Line(line) => write(sink, &line, lost),
                Entry::Wake => {}
                Entry::End => {
                    let _ = sink.flush();
                    return;
                }
            }
            next = entries.try_recv().ok();
        }
        say_what_is_lost(sink, lost);
        // What could not be written stays in the buffer, and is tried again with the next lines.
        let _ = sink.flush();
    }
}

fn write(sink: &mut dyn Sink, line: &str, lost: &AtomicU64) {
    if sink.line(line).is_err() {
        lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Says how many lines are missing, as soon as that can be written.
fn say_what_is_lost(sink: &mut dyn Sink, lost: &AtomicU64) {
    let missing = lost.swap(0, Ordering::Relaxed);
    if missing > 0
        && sink
            .line(&format!("lwsws: {missing} lines were lost, as they could not be written in time"))
            .is_err()
    {
        lost.fetch_add(missing, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full until it is not.
    #[derive(Default)]
    struct Disk {
        full: bool,
        lines: Vec<String>,
    }

    impl Sink for Disk {
        fn line(&mut self, line: &str) -> io::Result<()> {
            if self.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.lines.push(line.to_owned());
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reopen(&mut self) -> io::Result<()> {
            self.full = false;
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_how_many_when_there_is_room_again() {
        let (sender, entries) = sync_channel(8);
        let (mut disk, lost, moved) =
            (Disk { full: true, ..Disk::default() }, AtomicU64::new(0), AtomicBool::new(false));
        for (line, is_moved) in [("one", false), ("two", false), ("three", true)] {
            sender.send(Entry::Line(line.to_owned())).expect("it is there");
            if is_moved {
                moved.store(true, Ordering::Release);
            }
            if line != "one" {
                let (closed, rest) = sync_channel(8);
                while let Ok(entry) = entries.try_recv() {
                    closed.send(entry).expect("it is there");
                }
                drop(closed);
                write_entries(&rest, &mut disk, &lost, &moved);
            }
        }
        assert_eq!(disk.lines, ["three", "lwsws: 2 lines were lost, as they could not be written in time"]);
    }
}
