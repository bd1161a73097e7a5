//! The log of requests, written by a thread of its own: a terminal that stands still and a disk that is full do not stop the server.
//!
//! Each thread that serves appends its lines to a buffer of its own, which the writer takes as a whole and writes as a whole: a line costs
//! its server little more than its octets, and the writer is woken once for all that come within a moment.

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

/// Bytes of lines that may wait to be written, of each thread. Lines beyond are counted and left out.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Bytes of a thread's lines for which the writer does not wait any longer: far below what is left out, and no more than a processor keeps
/// near.
const WRITE_BYTES: usize = 256 << 10;
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
    /// The lines of the threads that serve.
    threads: Mutex<Vec<Arc<ThreadLines>>>,
    losses: Losses,
    /// What lines look like.
    format: Format,
}

/// What waits for the writer.
#[derive(Default)]
struct PendingLines {
    /// Lines, each with its end, that are no requests.
    text: Vec<u8>,
    /// Some thread has lines.
    of_threads: bool,
    /// One of them has so many that they are written at once.
    at_once: bool,
    /// The file was moved away: a new one of its name is wanted.
    reopen: bool,
    /// Nothing more is to come.
    end: bool,
    /// Everything is written.
    done: bool,
}

impl PendingLines {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.of_threads && !self.reopen && !self.end
    }
}

/// Lines of a thread, each with its end. Only the writer takes them, and only for a moment.
#[derive(Default)]
struct ThreadLines(Mutex<Vec<u8>>);

impl ThreadLines {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // What panicked has left a part of a line at most.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the lines of one thread that serves, and never waits for what they are written to.
pub(crate) struct ThreadLog {
    log: Log,
    lines: Arc<ThreadLines>,
}

impl ThreadLog {
    /// Has a line written, which `append` adds to those that wait; without its end, and none if it adds nothing.
    #[inline]
    pub(crate) fn append(&self, append: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = self.lines.lock();
        let before = lines.len();
        append(&mut lines);
        let after = lines.len();
        if after == before {
            return;
        }
        // What is not to be written anyway is no loss.
        if before >= WAITING_BYTES_MAX {
            lines.truncate(before);
            return self.log.0.losses.add(1);
        }
        lines.push(b'\n');
        drop(lines);
        if before == 0 {
            self.log.0.ask(|waiting| waiting.of_threads = true);
        } else if before < WRITE_BYTES && after >= WRITE_BYTES {
            self.log.0.hurry();
        }
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
    fn add(&self, lines: u64) {
        self.unsaid.fetch_add(lines, Ordering::Relaxed);
        self.total.fetch_add(lines, Ordering::Relaxed);
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

    /// Has the writer, which may gather lines, go on at once.
    #[cold]
    fn hurry(&self) {
        self.waiting().at_once = true;
        self.wake.notify_one();
    }

    /// Takes what waits, as soon as something does. `buffer` is empty, and becomes the place where the next lines wait.
    fn take(&self, buffer: Vec<u8>) -> PendingLines {
        let mut waiting = self.waiting();
        while waiting.is_empty() {
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let gathers = |waiting: &mut PendingLines| !waiting.end && !waiting.reopen && !waiting.at_once;
        let gathered = self.wake.wait_timeout_while(waiting, GATHER_TIME, gathers);
        waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::replace(&mut *waiting, PendingLines { text: buffer, ..PendingLines::default() })
    }

    /// The threads that serve. One that has ended and has no more lines is forgotten.
    fn threads(&self) -> Vec<Arc<ThreadLines>> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| Arc::strong_count(thread) > 1 || !thread.lock().is_empty());
        threads.clone()
    }
}

impl Log {
    /// Begins to write. A file that is made for that belongs to the owner, if there is one: the user and group that the process becomes,
    /// who opens it again.
    ///
    /// # Errors
    /// The target cannot be opened, or there is no thread to be had.
    pub(crate) fn start(target: &Target, format: Format, owner: Option<(u32, u32)>) -> io::Result<Self> {
        Self::with_sink(target.open(owner)?, format)
    }

    fn with_sink(mut sink: Box<dyn Sink>, format: Format) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
            threads: Mutex::default(),
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
        self.record(&self.0.format.message(message.as_ref()));
    }

    /// Has a line written as it is, which holds no line end.
    fn record(&self, line: &str) {
        self.0.ask(|waiting| {
            if waiting.text.len() + line.len() >= WAITING_BYTES_MAX || waiting.end {
                self.0.losses.add(1);
                return;
            }
            waiting.text.extend_from_slice(line.as_bytes());
            waiting.text.push(b'\n');
        });
    }

    /// What takes the lines of a thread that serves.
    pub(crate) fn on_thread(&self) -> ThreadLog {
        let lines = Arc::<ThreadLines>::default();
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&lines));
        ThreadLog { log: self.clone(), lines }
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

/// Writes lines as they come.
fn write_lines(shared: &Shared, sink: &mut dyn Sink) {
    let (mut buffer, mut spare) = (Vec::new(), Vec::new());
    loop {
        let PendingLines { text, reopen, end, .. } = shared.take(std::mem::take(&mut buffer));
        if reopen && let Err(error) = sink.reopen() {
            // Standard error is nowhere for a server in the background, and the log is still there.
            let line = format!("lwsws: the log stays as it is: {error}");
            eprintln!("{line}");
            let line = shared.format.message(&line) + "\n";
            write_batch(sink, line.as_bytes(), &shared.losses);
        }
        write_batch(sink, &text, &shared.losses);
        buffer = emptied(text);
        for thread in shared.threads() {
            let lines = std::mem::replace(&mut *thread.lock(), spare);
            write_batch(sink, &lines, &shared.losses);
            spare = emptied(lines);
        }
        say_what_is_lost(sink, shared.format, &shared.losses);
        if end {
            return;
        }
    }
}

/// The buffer for other lines. What a moment of many lines has needed is not kept for ever.
fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.shrink_to(2 * WRITE_BYTES);
    buffer
}

/// Writes lines, each with its end.
fn write_batch(sink: &mut dyn Sink, lines: &[u8], losses: &Losses) {
    if !lines.is_empty() {
        losses.add(sink.lines(lines));
    }
}

/// Says how many lines are missing, as soon as that can be written.
fn say_what_is_lost(sink: &mut dyn Sink, format: Format, losses: &Losses) {
    let missing = losses.unsaid.swap(0, Ordering::Relaxed);
    if missing > 0 {
        let message = format!("lwsws: {missing} lines were lost, as they could not be written in time");
        let line = format.message(&message) + "\n";
        if sink.lines(line.as_bytes()) > 0 {
            losses.unsaid.fetch_add(missing, Ordering::Relaxed);
        }
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
        fn lines(&mut self, lines: &[u8]) -> u64 {
            let lines = std::str::from_utf8(lines).expect("text").lines();
            if self.full {
                return lines.count() as u64;
            }
            self.lines.extend(lines.map(str::to_owned));
            0
        }

        fn reopen(&mut self) -> io::Result<()> {
            self.full = false;
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_how_many_when_there_is_room_again() {
        let (mut disk, losses) = (Disk { full: true, ..Disk::default() }, Losses::default());
        write_batch(&mut disk, b"one\ntwo\n", &losses);
        say_what_is_lost(&mut disk, Format::Combined, &losses);
        disk.reopen().expect("there is room");
        write_batch(&mut disk, b"three\n", &losses);
        say_what_is_lost(&mut disk, Format::Combined, &losses);
        assert_eq!(disk.lines, ["three", "lwsws: 2 lines were lost, as they could not be written in time"]);
        assert_eq!(losses.total.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_is_lost_is_said_in_the_format_of_the_log() {
        let (mut disk, losses) = (Disk::default(), Losses::default());
        losses.add(3);
        say_what_is_lost(&mut disk, Format::Json, &losses);
        let said = &disk.lines[0];
        assert!(said.starts_with('{') && said.contains("3 lines were lost") && said.ends_with('}'), "{said}");
    }

    /// Passes lines on, and stands still until it is let go on.
    struct Terminal {
        goes_on: std::sync::mpsc::Receiver<()>,
        lines: std::sync::mpsc::Sender<String>,
    }

    impl Sink for Terminal {
        fn lines(&mut self, lines: &[u8]) -> u64 {
            for line in std::str::from_utf8(lines).expect("text").lines() {
                let _ = self.goes_on.recv();
                let _ = self.lines.send(line.to_owned());
            }
            0
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

    #[test]
    fn what_is_not_to_be_logged_is_not_lost_where_there_is_no_room() {
        let (_go, goes_on) = std::sync::mpsc::channel();
        let (lines, _written) = std::sync::mpsc::channel();
        let log = Log::with_sink(Box::new(Terminal { goes_on, lines }), Format::Combined).expect("a thread");
        let own = log.on_thread();
        // The writer stands still with what it has taken.
        let line = [b'x'; 1 << 20];
        while log.lost_total() == 0 {
            own.append(|text| text.extend_from_slice(&line));
        }
        own.append(|_| {});
        assert_eq!(log.lost_total(), 1);
        own.append(|text| text.push(b'x'));
        assert_eq!(log.lost_total(), 2);
    }

    #[test]
    fn lines_of_many_threads_are_written_whole_and_none_is_lost_or_twice_there() {
        let (go, goes_on) = std::sync::mpsc::channel();
        let (lines, written) = std::sync::mpsc::channel();
        drop(go);
        let log = Log::with_sink(Box::new(Terminal { goes_on, lines }), Format::Combined).expect("a thread");
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let own = log.on_thread();
                std::thread::spawn(move || {
                    // So many that the writer is called before the moment is over.
                    for line in 0..20_000 {
                        own.append(|text| text.extend_from_slice(format!("{thread} {line:060}").as_bytes()));
                        own.append(|_| {});
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(log.lost_total(), 0);
        log.finish();
        let mut next = [0; 4];
        for line in written.iter() {
            let (thread, number) = line.split_once(' ').expect("a whole line");
            let next = &mut next[thread.parse::<usize>().expect("a thread")];
            assert_eq!(number, format!("{next:060}"), "of each thread in its order");
            *next += 1;
        }
        assert_eq!(next, [20_000; 4]);
    }
}
