//! Lines on standard output, written by a thread of its own: a terminal that stands still does not stop the server.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Lines that may wait to be written. Those beyond are counted and left out.
const LINES_MAX: usize = 4_096;
/// How long the last lines may take when the program ends.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes lines, and never waits.
#[derive(Clone)]
pub(crate) struct Log {
    lines: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
    written: Arc<Mutex<Receiver<()>>>,
}

enum Entry {
    Line(String),
    End,
}

impl Log {
    pub(crate) fn start() -> io::Result<Self> {
        let (lines, incoming) = sync_channel(LINES_MAX);
        let (finished, written) = sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        thread::Builder::new().name("log".into()).spawn(move || {
            // Nobody reads any more: what comes later has nowhere to go.
            let _ = write_lines(&incoming, &counted);
            let _ = finished.try_send(());
        })?;
        Ok(Self { lines, lost, written: Arc::new(Mutex::new(written)) })
    }

    pub(crate) fn line(&self, line: String) {
        if self.lines.try_send(Entry::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for the last line to be written, but not for ever.
    pub(crate) fn finish(self) {
        if self.lines.try_send(Entry::End).is_ok()
            && let Ok(written) = self.written.lock()
        {
            let _ = written.recv_timeout(FINISH_TIMEOUT);
        }
    }
}

/// Writes lines as they come, and flushes when none waits.
fn write_lines(lines: &Receiver<Entry>, lost: &AtomicU64) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    while let Ok(entry) = lines.recv() {
        let mut next = Some(entry);
        while let Some(entry) = next {
            match entry {
                Entry::Line(line) => writeln!(out, "{line}")?,
                Entry::End => return out.flush(),
            }
            next = lines.try_recv().ok();
        }
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => writeln!(out, "lwsws: {lost} lines were lost, as nobody read them in time")?,
        }
        out.flush()?;
    }
    Ok(())
}
