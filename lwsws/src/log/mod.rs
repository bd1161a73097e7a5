//! The log of requests, written by a thread of its own: a terminal that stands still and a disk that is full do not stop the server.
//!
//! Lines are gathered in one buffer, which the writer takes as a whole: a line costs its server a copy, and the writer is woken once for
//! all that come within a moment.

mod rules;
mod target;

pub(crate) use rules::{Format, Rules};
pub(crate) use target::Target;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use target::Sink;

/// Bytes of lines that may wait to be written. Lines beyond are counted and left out.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// How long lines may wait for others to be written with.
const GATHER_TIME: Duration = Duration::from_millis(20);
/// How long the last lines may take when the program ends.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes lines, and never waits for what they are written to.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

struct Shared {
    waiting: Mutex<PendingLines>,
    /// There is something to do for the writer.
    wake: Condvar,
    /// The writer has ended.
    done: Condvar,
    losses: Losses,
    /// What lines look like.
    format: Format,
}

/// What waits for the writer.
#[derive(Default)]
struct PendingLines {
    /// Lines, each with its end.
    text: String,
    /// The file was moved away: a new one of its name is wanted.
    reopen: bool,
    /// Nothing more is to come.
    end: bool,
    /// Everything is written.
    done: bool,
}

impl PendingLines {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.reopen && !self.end
    }
}

/// Lines that could not be written.
#[derive(Default)]
struct Losses {
    /// Those that nothing has been written about yet.
    unsaid: AtomicU64,
    /// All since the start.
    total: AtomicU64,
}

impl Losses {
    fn add(&self) {
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, PendingLines> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the writer do something.
    fn ask(&self, what: impl FnOnce(&mut PendingLines)) {
        let mut waiting = self.waiting();
        let sleeps = waiting.is_empty();
        what(&mut waiting);
        drop(waiting);
        if sleeps {
            self.wake.notify_one();
        }
    }

    /// Takes what waits, as soon as something does. `buffer` is empty, and becomes the place where the next lines wait.
    fn take(&self, buffer: String) -> PendingLines {
        let mut waiting = self.waiting();
        while waiting.is_empty() {
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if !waiting.end && !waiting.reopen {
            let gathered = self.wake.wait_timeout(waiting, GATHER_TIME);
            waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::replace(&mut *waiting, PendingLines { text: buffer, ..PendingLines::default() })
    }
}

impl Log {
    pub(crate) fn start(target: &Target, format: Format) -> io::Result<Self> {
        Self::with_sink(target.open()?, format)
    }

    fn with_sink(mut sink: Box<dyn Sink>, format: Format) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
            losses: Losses::default(),
            format,
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log".into()).spawn(move || {
            write_lines(&writer, &mut *sink);
            writer.waiting().done = true;
            writer.done.notify_all();
        })?;
        Ok(Self(shared))
    }

    /// Has something written that is no request, in a line that holds no line end.
    pub(crate) fn line(&self, message: impl AsRef<str>) {
        match self.0.format {
            Format::Combined => self.record(message.as_ref()),
            Format::Json => self.record(&rules::json_message(message.as_ref())),
        }
    }

    /// Has a line written as it is, which holds no line end.
    pub(crate) fn record(&self, line: &str) {
        self.0.ask(|waiting| {
            if waiting.text.len() + line.len() >= WAITING_BYTES_MAX || waiting.end {
                self.0.losses.add();
                return;
            }
            waiting.text.push_str(line);
            waiting.text.push('\n');
        });
    }

    /// Lines that were lost since the start.
    pub(crate) fn lost_total(&self) -> u64 {
        self.0.losses.total.load(Ordering::Relaxed)
    }

    /// Closes the file and opens its name again, before the lines that wait are written.
    pub(crate) fn reopen(&self) {
        self.0.ask(|waiting| waiting.reopen = true);
        // It may gather lines.
        self.0.wake.notify_one();
    }

    /// Waits for the last line to be written, but not for ever.
    pub(crate) fn finish(self) {
        self.0.ask(|waiting| waiting.end = true);
        self.0.wake.notify_one();
        let until = Instant::now() + FINISH_TIMEOUT;
        let mut waiting = self.0.waiting();
        while !waiting.done {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting = self.0.done.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Writes lines as they come, and flushes when none waits.
fn write_lines(shared: &Shared, sink: &mut dyn Sink) {
    let mut buffer = String::new();
    loop {
        let PendingLines { text, reopen, end, .. } = shared.take(std::mem::take(&mut buffer));
        if reopen && let Err(error) = sink.reopen() {
            eprintln!("lwsws: the log stays as it is: {error}");
        }
        write_batch(sink, &text, &shared.losses);
        if end {
            return;
        }
        buffer = text;
        buffer.clear();
        // What a moment of many lines has needed is not kept for ever.
        buffer.shrink_to(WAITING_BYTES_MAX / 64);
    }
}

/// Writes lines, and how many are missing.
fn write_batch(sink: &mut dyn Sink, text: &str, losses: &Losses) {
    for line in text.lines() {
        if sink.line(line).is_err() {
            losses.add();
        }
    }
    say_what_is_lost(sink, losses);
    // What could not be written stays in the buffer, and is tried again with the next lines.
    let _ = sink.flush();
}

/// Says how many lines are missing, as soon as that can be written.
fn say_what_is_lost(sink: &mut dyn Sink, losses: &Losses) {
    let missing = losses.unsaid.swap(0, Ordering::Relaxed);
    if missing > 0
        && sink
            .line(&format!("lwsws: {missing} lines were lost, as they could not be written in time"))
            .is_err()
    {
        losses.unsaid.fetch_add(missing, Ordering::Relaxed);
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
        let (mut disk, losses) = (Disk { full: true, ..Disk::default() }, Losses::default());
        write_batch(&mut disk, "one\ntwo\n", &losses);
        disk.reopen().expect("there is room");
        write_batch(&mut disk, "three\n", &losses);
        assert_eq!(disk.lines, ["three", "lwsws: 2 lines were lost, as they could not be written in time"]);
        assert_eq!(losses.total.load(Ordering::Relaxed), 2);
    }

    /// Passes lines on, and stands still until it is let go on.
    struct Terminal {
        goes_on: std::sync::mpsc::Receiver<()>,
        lines: std::sync::mpsc::Sender<String>,
    }

    impl Sink for Terminal {
        fn line(&mut self, line: &str) -> io::Result<()> {
            let _ = self.goes_on.recv();
            let _ = self.lines.send(line.to_owned());
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reopen(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_that_stands_still_stops_nothing_and_holds_no_more_than_it_may() {
        let (go, goes_on) = std::sync::mpsc::channel();
        let (lines, written) = std::sync::mpsc::channel();
        let log = Log::with_sink(Box::new(Terminal { goes_on, lines }), Format::Combined).expect("a thread");
        log.line("first");
        let long = "x".repeat(1 << 20);
        // Some wait, and perhaps some are with the writer.
        (0..12).for_each(|_| log.line(&long));
        assert!((4..=9).contains(&log.lost_total()), "{}", log.lost_total());
        drop(go);
        assert_eq!(written.recv().as_deref(), Ok("first"));
        log.finish();
        let last = written.iter().last().expect("a line");
        assert!(last.contains(" lines were lost"), "{}", &last[..40.min(last.len())]);
    }
}
