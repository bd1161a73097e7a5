//! Where lines go: standard output, a file, syslog, the journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::fchown;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The socket of syslog.
const SYSLOG: &str = "/dev/log";
/// The socket of the journal.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// How long a daemon may take to make room for a record: their queues are short, ten records by default, and the writer is there to wait.
const ROOM_TIMEOUT: Duration = Duration::from_millis(200);
/// Facility `daemon` (3) and severity `informational` (6). RFC 5424 §6.2.1.
const PRIORITY: u8 = 3 * 8 + 6;

/// Where lines are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Standard,
    File(PathBuf),
    Syslog,
    Journal,
}

impl FromStr for Target {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "-" => Self::Standard,
            "syslog" => Self::Syslog,
            "journal" => Self::Journal,
            path => Self::File(path.into()),
        })
    }
}

impl Target {
    /// Opens it; where that fails the server does not start. A file that is made for it is given to the owner.
    pub(crate) fn open(&self, owner: Option<(u32, u32)>) -> io::Result<Box<dyn Sink>> {
        Ok(match self {
            Self::Standard => Box::new(Stream::default()),
            Self::File(path) => Box::new(NamedFile::open(path, owner)?),
            Self::Syslog => Box::new(Datagrams::connect(Path::new(SYSLOG), syslog_record)?),
            Self::Journal => Box::new(Datagrams::connect(Path::new(JOURNAL), journal_record)?),
        })
    }
}

/// What takes lines.
pub(crate) trait Sink: Send {
    /// Writes lines, each with its end. Answers how many could not be written.
    fn lines(&mut self, lines: &[u8]) -> u64;

    /// Opens the same name again.
    fn reopen(&mut self) -> io::Result<()>;
}

/// The standard output, which has no name.
#[derive(Default)]
struct Stream {
    cut: CutLine,
}

impl Sink for Stream {
    fn lines(&mut self, lines: &[u8]) -> u64 {
        // What is written at once needs no buffer of the library.
        self.cut.write(&mut io::stdout().lock(), lines)
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that others may move away.
struct NamedFile {
    path: PathBuf,
    file: File,
    cut: CutLine,
    /// Lines of which a file that was moved away has the beginning only. They count as lost with the next ones.
    left_cut: u64,
}

impl NamedFile {
    fn open(path: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: append(path, owner)?, cut: CutLine::default(), left_cut: 0 })
    }
}

fn append(path: &Path, owner: Option<(u32, u32)>) -> io::Result<File> {
    let opened = make(path, owner).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => OpenOptions::new().append(true).open(path),
        _ => Err(error),
    });
    opened.map_err(|error| io::Error::new(error.kind(), format!("the log {}: {error}", path.display())))
}

/// Makes the file. Only one that is new is given away: another one may be somebody's link to what root alone may write.
fn make(path: &Path, owner: Option<(u32, u32)>) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create_new(true).open(path)?;
    if let Some((user, group)) = owner {
        fchown(&file, Some(user), Some(group))?;
    }
    Ok(file)
}

impl Sink for NamedFile {
    fn lines(&mut self, lines: &[u8]) -> u64 {
        std::mem::take(&mut self.left_cut) + self.cut.write(&mut self.file, lines)
    }

    fn reopen(&mut self) -> io::Result<()> {
        // The new one comes first: where it cannot be had, the old one goes on.
        let file = append(&self.path, None)?;
        self.cut.write(&mut self.file, b"");
        self.left_cut += line_ends(&std::mem::take(&mut self.cut).0);
        self.file = file;
        Ok(())
    }
}

/// The rest of a line whose beginning was written before there was no more room: it comes before anything else, so that no line begins in
/// the middle of another.
#[derive(Default)]
struct CutLine(Vec<u8>);

impl CutLine {
    /// Writes lines in one piece. Answers how many were not written.
    fn write(&mut self, out: &mut impl Write, lines: &[u8]) -> u64 {
        let before = write_some(out, &self.0);
        self.0.drain(..before);
        if !self.0.is_empty() {
            return line_ends(lines);
        }
        let left = &lines[write_some(out, lines)..];
        if left.is_empty() || left.len() == lines.len() {
            return line_ends(left);
        }
        let is_cut = lines[lines.len() - left.len() - 1] != b'\n';
        let end = left.iter().position(|octet| *octet == b'\n').filter(|_| is_cut).map_or(0, |at| at + 1);
        self.0.extend_from_slice(&left[..end]);
        line_ends(&left[end..])
    }
}

/// Lines that end here.
fn line_ends(lines: &[u8]) -> u64 {
    lines.iter().filter(|octet| **octet == b'\n').count() as u64
}

/// Writes as many octets as can be written now.
fn write_some(out: &mut impl Write, octets: &[u8]) -> usize {
    let mut written = 0;
    while written < octets.len() {
        match out.write(&octets[written..]) {
            Ok(0) => break,
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // The library keeps what has no end of the standard output. That nothing can be written shows with the next line.
    let _ = out.flush();
    written
}

/// A socket that takes one record in each datagram.
struct Datagrams {
    path: PathBuf,
    socket: UnixDatagram,
    record: fn(&[u8]) -> Vec<u8>,
}

impl Datagrams {
    fn connect(path: &Path, record: fn(&[u8]) -> Vec<u8>) -> io::Result<Self> {
        let socket = connect(path)?;
        Ok(Self { path: path.to_owned(), socket, record })
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let connected = UnixDatagram::unbound().and_then(|socket| {
        socket.connect(path)?;
        socket.set_write_timeout(Some(ROOM_TIMEOUT))?;
        Ok(socket)
    });
    connected.map_err(|error| io::Error::new(error.kind(), format!("the log at {}: {error}", path.display())))
}

impl Datagrams {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let record = (self.record)(line);
        match self.socket.send(&record) {
            // The daemon was started again, and listens on a new socket of the name.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotConnected) =>
            {
                self.reopen()?;
                self.socket.send(&record).map(drop)
            }
            sent => sent.map(drop),
        }
    }
}

impl Sink for Datagrams {
    fn lines(&mut self, lines: &[u8]) -> u64 {
        let mut lost = 0;
        let mut rest = lines;
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            match self.line(&rest[..end]) {
                Ok(()) => {}
                // A daemon that stands still is not waited for again with each line.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return lost + line_ends(rest),
                Err(_) => lost += 1,
            }
            rest = &rest[end + 1..];
        }
        lost
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.socket = connect(&self.path)?;
        Ok(())
    }
}

/// A record as programs on the same machine write it: RFC 3164 without its time, which the daemon knows as well.
fn syslog_record(line: &[u8]) -> Vec<u8> {
    [format!("<{PRIORITY}>lwsws[{}]: ", std::process::id()).as_bytes(), line].concat()
}

/// A record of the journal's native protocol: fields, a line each. No line holds a line end.
fn journal_record(line: &[u8]) -> Vec<u8> {
    let rest = format!("\nPRIORITY={}\nSYSLOG_IDENTIFIER=lwsws\n", PRIORITY % 8);
    [b"MESSAGE=", line, rest.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("lwsws-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew_and_no_line_is_lost() {
        let folder = folder("file");
        let (name, moved) = (folder.join("log"), folder.join("log.1"));
        let mut file = Target::File(name.clone()).open(None).expect("a file");
        assert_eq!(file.lines(b"one\n"), 0);
        fs::rename(&name, &moved).expect("it is there");
        assert_eq!(file.lines(b"two\n"), 0);
        file.reopen().expect("opened");
        assert_eq!(file.lines(b"three\n"), 0);
        assert_eq!(fs::read_to_string(&moved).expect("text"), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&name).expect("text"), "three\n");
        fs::remove_dir_all(folder).expect("it was there");
    }

    #[test]
    fn a_line_that_a_file_which_was_moved_away_has_the_beginning_of_counts_as_lost() {
        let folder = folder("cut");
        let path = folder.join("log");
        let full = OpenOptions::new().append(true).open("/dev/full").expect("a device");
        let cut = CutLine(b"its end\n".into());
        let mut file = NamedFile { path: path.clone(), file: full, cut, left_cut: 0 };
        file.reopen().expect("opened");
        assert_eq!((file.lines(b"next\n"), file.lines(b"last\n")), (1, 0));
        assert_eq!(fs::read_to_string(&path).expect("text"), "next\nlast\n");
        fs::remove_dir_all(folder).expect("it was there");
    }

    #[test]
    fn each_line_is_one_datagram_and_a_daemon_may_be_started_again() {
        let folder = folder("socket");
        let path = folder.join("socket");
        for record in [syslog_record as fn(&[u8]) -> Vec<u8>, journal_record] {
            let daemon = UnixDatagram::bind(&path).expect("bound");
            let mut sink = Datagrams::connect(&path, record).expect("connected");
            let mut buffer = [0; 256];
            assert_eq!(sink.lines(b"one\ntwo\n"), 0);
            for line in [b"one", b"two"] {
                let n = daemon.recv(&mut buffer).expect("received");
                assert_eq!(&buffer[..n], &record(line)[..]);
            }
            drop(daemon);
            fs::remove_file(&path).expect("it was there");
            assert_eq!(sink.lines(b"lost\nlost\n"), 2);
            let daemon = UnixDatagram::bind(&path).expect("bound");
            assert_eq!(sink.lines(b"three\n"), 0);
            let n = daemon.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..n], &record(b"three")[..]);
            fs::remove_file(&path).expect("it was there");
        }
        fs::remove_dir_all(folder).expect("it was there");
    }

    #[test]
    fn a_daemon_that_takes_its_time_loses_nothing_and_one_that_stands_still_is_waited_for_once() {
        let folder = folder("slow");
        let path = folder.join("socket");
        let daemon = UnixDatagram::bind(&path).expect("bound");
        let mut sink = Datagrams::connect(&path, syslog_record).expect("connected");
        // More than any queue has room for.
        let lines: Vec<_> = (0..2_000).flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let reader = daemon.try_clone().expect("a descriptor");
        let slow = std::thread::spawn(move || {
            let mut buffer = [0; 256];
            (0..2_000).for_each(|line| {
                let n = reader.recv(&mut buffer).expect("received");
                assert!(buffer[..n].ends_with(format!(": {line}").as_bytes()), "{line}");
            });
        });
        assert_eq!(sink.lines(&lines), 0);
        slow.join().expect("all of them, in their order");
        let begun = std::time::Instant::now();
        let lost = sink.lines(&lines);
        assert!(lost > 0 && lost < 2_000, "{lost}");
        assert!(
            begun.elapsed() >= ROOM_TIMEOUT && begun.elapsed() < 10 * ROOM_TIMEOUT,
            "{:?}",
            begun.elapsed()
        );
        fs::remove_dir_all(folder).expect("it was there");
    }

    /// A disk with so much room.
    struct Room {
        left: usize,
        written: Vec<u8>,
    }

    impl Write for Room {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let n = octets.len().min(self.left);
            if n == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.left -= n;
            self.written.extend_from_slice(&octets[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_cut_is_completed_before_others_and_what_is_lost_is_counted() {
        for room in 0..=16 {
            let (mut out, mut cut) = (Room { left: room, written: Vec::new() }, CutLine::default());
            let lost = cut.write(&mut out, b"one\ntwo\nthree\n") + cut.write(&mut out, b"late\n");
            out.left = 100;
            let lost = lost + cut.write(&mut out, b"four\n");
            let text = String::from_utf8(out.written).expect("text");
            let known = ["one", "two", "three", "late", "four"];
            assert!(
                text.ends_with("four\n") && text.lines().all(|line| known.contains(&line)),
                "{room}: {text:?}"
            );
            assert_eq!(lost + text.lines().count() as u64, 5, "{room}: {text:?}");
        }
    }

    #[test]
    fn words_name_what_is_no_file() {
        for (text, target) in [
            ("-", Target::Standard),
            ("syslog", Target::Syslog),
            ("journal", Target::Journal),
            ("/var/log/x", Target::File("/var/log/x".into())),
        ] {
            assert_eq!(text.parse(), Ok(target));
        }
    }
}
