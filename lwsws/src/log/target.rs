//! Where lines go: standard output, a file, syslog, the journal.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The socket of syslog.
const SYSLOG: &str = "/dev/log";
/// The socket of the journal.
const JOURNAL: &str = "/run/systemd/journal/socket";
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
    /// Opens it; where that fails the server does not start.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Sink>> {
        Ok(match self {
            Self::Standard => Box::new(Stream(BufWriter::new(io::stdout()))),
            Self::File(path) => Box::new(NamedFile::open(path)?),
            Self::Syslog => Box::new(Datagrams::connect(Path::new(SYSLOG), syslog_record)?),
            Self::Journal => Box::new(Datagrams::connect(Path::new(JOURNAL), journal_record)?),
        })
    }
}

/// What takes lines.
pub(crate) trait Sink: Send {
    /// Takes one line, without its end.
    fn line(&mut self, line: &str) -> io::Result<()>;

    /// Writes what was taken.
    fn flush(&mut self) -> io::Result<()>;

    /// Opens the same name again.
    fn reopen(&mut self) -> io::Result<()>;
}

/// A stream that has no name.
struct Stream(BufWriter<io::Stdout>);

impl Sink for Stream {
    fn line(&mut self, line: &str) -> io::Result<()> {
        write_line(&mut self.0, line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that others may move away.
struct NamedFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl NamedFile {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: BufWriter::new(append(path)?) })
    }
}

fn append(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| io::Error::new(error.kind(), format!("the log {}: {error}", path.display())))
}

impl Sink for NamedFile {
    fn line(&mut self, line: &str) -> io::Result<()> {
        write_line(&mut self.file, line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn reopen(&mut self) -> io::Result<()> {
        // The new one comes first: where it cannot be had, the old one goes on.
        let file = append(&self.path)?;
        self.file.flush()?;
        self.file = BufWriter::new(file);
        Ok(())
    }
}

/// Writes a line whole or not at all, as far as the buffer goes: what does not fit into it makes it be written first.
fn write_line<W: Write>(out: &mut BufWriter<W>, line: &str) -> io::Result<()> {
    if out.capacity() - out.buffer().len() <= line.len() {
        out.flush()?;
    }
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")
}

/// A socket that takes one record in each datagram.
struct Datagrams {
    path: PathBuf,
    socket: UnixDatagram,
    record: fn(&str) -> Vec<u8>,
}

impl Datagrams {
    fn connect(path: &Path, record: fn(&str) -> Vec<u8>) -> io::Result<Self> {
        let socket = connect(path)?;
        Ok(Self { path: path.to_owned(), socket, record })
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let connected = UnixDatagram::unbound().and_then(|socket| {
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    connected.map_err(|error| io::Error::new(error.kind(), format!("the log at {}: {error}", path.display())))
}

impl Sink for Datagrams {
    fn line(&mut self, line: &str) -> io::Result<()> {
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

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.socket = connect(&self.path)?;
        Ok(())
    }
}

/// A record as programs on the same machine write it: RFC 3164 without its time, which the daemon knows as well.
fn syslog_record(line: &str) -> Vec<u8> {
    format!("<{PRIORITY}>lwsws[{}]: {line}", std::process::id()).into_bytes()
}

/// A record of the journal's native protocol: fields, a line each. No line holds a line end.
fn journal_record(line: &str) -> Vec<u8> {
    format!("MESSAGE={line}\nPRIORITY={}\nSYSLOG_IDENTIFIER=lwsws\n", PRIORITY % 8).into_bytes()
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
        let mut file = Target::File(name.clone()).open().expect("a file");
        file.line("one").expect("written");
        fs::rename(&name, &moved).expect("it is there");
        file.line("two").expect("written");
        file.reopen().expect("opened");
        file.line("three").expect("written");
        file.flush().expect("written");
        assert_eq!(fs::read_to_string(&moved).expect("text"), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&name).expect("text"), "three\n");
        fs::remove_dir_all(folder).expect("it was there");
    }

    #[test]
    fn each_line_is_one_datagram_and_a_daemon_may_be_started_again() {
        let folder = folder("socket");
        let path = folder.join("socket");
        for record in [syslog_record as fn(&str) -> Vec<u8>, journal_record] {
            let daemon = UnixDatagram::bind(&path).expect("bound");
            let mut sink = Datagrams::connect(&path, record).expect("connected");
            let mut buffer = [0; 256];
            sink.line("one").expect("sent");
            let n = daemon.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..n], &record("one")[..]);
            drop(daemon);
            fs::remove_file(&path).expect("it was there");
            assert!(sink.line("lost").is_err());
            let daemon = UnixDatagram::bind(&path).expect("bound");
            sink.line("two").expect("sent");
            let n = daemon.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..n], &record("two")[..]);
            fs::remove_file(&path).expect("it was there");
        }
        fs::remove_dir_all(folder).expect("it was there");
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
