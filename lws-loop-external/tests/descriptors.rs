//! Descriptors other than sockets, under each trigger: read and written by the application, and as streams of the
//! engine.

#[expect(dead_code, reason = "other programs need the rest")]
mod host;

use host::{Counted, Delivery, Host};
use lws_loop_external::{
    Accepted, Application, ConnectionId, Descriptor, DescriptorEvent, DriverContext, DriverOptions, Interest,
    ListenerId, NotPollable, Peer, Service, Token,
};
use lws_proto::{Config, Connection, Established, Event, Expect, Payload};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, inotify, mkfifoat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An application that reads in pieces of three bytes, and writes what a test has queued. Streams are echoed.
struct Board {
    calls: u64,
    log: Vec<String>,
    read: Vec<u8>,
    to_write: Vec<u8>,
    /// The reaction to a wake.
    on_wake: fn(&mut Descriptor<'_>),
    /// The additional reaction to readiness.
    on_readable: fn(&mut Descriptor<'_>),
    raw: Arc<Config>,
}

impl Board {
    fn host(delivery: Delivery) -> Host<Self> {
        Self::host_with(delivery, DriverOptions::default())
    }

    fn host_with(delivery: Delivery, options: DriverOptions) -> Host<Self> {
        let raw = Arc::new(Config { expect: Expect::Raw, ..Config::default() });
        let (read, to_write, log) = (Vec::new(), Vec::new(), Vec::new());
        let board = Self { calls: 0, log, read, to_write, on_wake: |_| {}, on_readable: |_| {}, raw };
        Host::new(delivery, board, options)
    }

    fn note(&mut self, line: impl Into<String>) {
        self.calls += 1;
        self.log.push(line.into());
    }

    fn has(&self, line: &str) -> bool {
        self.log.iter().any(|entry| entry == line)
    }

    fn count(&self, line: &str) -> usize {
        self.log.iter().filter(|entry| *entry == line).count()
    }
}

impl Counted for Board {
    fn calls(&self) -> u64 {
        self.calls
    }
}

/// The behaviour of a stream.
enum Role {
    None,
    /// It echoes.
    Echo,
    /// It sends these bytes, ends its direction, and keeps what it receives.
    Say(Vec<u8>),
}

impl Application for Board {
    type State = Role;
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, role: &mut Role, event: Event<'_>) {
        self.calls += 1;
        match event {
            Event::Established { stream: Established::Raw(stream), .. } => {
                if let (Role::Say(first), Ok(permit)) = (role, stream.permit()) {
                    let first = std::mem::take(first);
                    permit.data(Payload::Own(first.into()), true).expect("an open stream");
                }
            }
            Event::Raw { stream, chunk, end } => {
                self.read.extend_from_slice(chunk);
                if end {
                    self.note("end");
                }
                if let (Role::Echo, Ok(permit)) = (role, stream.permit()) {
                    permit.data(Payload::Copy(chunk), end).expect("an open stream").throttle();
                }
            }
            Event::Closed { cause, .. } => self.note(cause.name()),
            _ => {}
        }
    }

    fn descriptor(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: &mut Role,
        event: DescriptorEvent,
        descriptor: &mut Descriptor<'_>,
    ) {
        self.calls += 1;
        match event {
            DescriptorEvent::Adopted => self.note("adopted"),
            DescriptorEvent::Readable => {
                let mut piece = [0; 3];
                let n = match descriptor.read(&mut piece) {
                    // An eventfd, a timerfd and inotify refuse a buffer that is too small.
                    Err(error) if error.kind() == ErrorKind::InvalidInput => {
                        let mut piece = [0; 512];
                        let n = descriptor.read(&mut piece).expect("something to read");
                        self.read.extend_from_slice(&piece[..n]);
                        return (self.on_readable)(descriptor);
                    }
                    result => result.expect("something to read"),
                };
                assert!(n > 0, "reported as readable, and nothing is there");
                self.read.extend_from_slice(&piece[..n]);
                (self.on_readable)(descriptor);
            }
            DescriptorEvent::Writable => match descriptor.write(&self.to_write) {
                Ok(n) => {
                    self.to_write.drain(..n);
                    if !self.to_write.is_empty() {
                        descriptor.want_write();
                    }
                }
                Err(error) => panic!("reported as writable: {error}"),
            },
            DescriptorEvent::HangUp => self.note("hang-up"),
            DescriptorEvent::Woken => {
                self.note("woken");
                (self.on_wake)(descriptor);
            }
            DescriptorEvent::Refused(error) => self.note(format!("refused: {:?}", error.kind())),
            _ => {}
        }
    }

    fn closed(&mut self, _: &mut DriverContext<'_, Self>, _: Role) {
        self.note("closed");
    }
}

/// The tests count the descriptors of this process, so they run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs a scenario under each delivery, and checks that no descriptor is left.
fn on_each_host(scenario: impl Fn(&mut Host<Board>)) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for delivery in Delivery::ALL {
        eprintln!("{delivery:?}");
        let before = test_kit::open_descriptors();
        let mut host = Board::host(delivery);
        let ours = test_kit::open_descriptors();
        scenario(&mut host);
        host.with(|_, cx| cx.drain(Duration::ZERO));
        host.until(|host| host.driver.is_done());
        assert_eq!(test_kit::open_descriptors(), ours, "a descriptor is left while the service lives");
        drop(host);
        assert_eq!(test_kit::open_descriptors(), before, "a descriptor is left");
    }
}

fn adopt(host: &mut Host<Board>, descriptor: impl Into<OwnedFd>, interest: Interest) -> ConnectionId {
    host.with(|_, cx| cx.adopt_descriptor(descriptor.into(), interest, Role::None)).expect("an adopted one")
}

fn pipe() -> (OwnedFd, File) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    (reader, writer.into())
}

/// Both ends of a pseudo-terminal. The controller's side is adopted.
fn pty(raw: bool) -> (OwnedFd, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let controller =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudo-terminal");
    grantpt(&controller).expect("a terminal of ours");
    unlockpt(&controller).expect("an unlocked terminal");
    let name = ptsname(&controller, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(&name, flags, Mode::empty()).expect("the other side");
    if raw {
        let mut modes = tcgetattr(&terminal).expect("its modes");
        modes.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &modes).expect("raw bytes");
    }
    (controller, terminal.into())
}

/// A FIFO with a unique path, which is removed when it is dropped.
struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lws-{}-{name}.fifo", std::process::id()));
        let _ = std::fs::remove_file(&path);
        mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR).expect("a FIFO");
        Self(path)
    }

    fn open(&self, flags: OFlags) -> OwnedFd {
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(&self.0, flags, Mode::empty()).expect("an end of the FIFO")
    }

    fn writer(&self) -> File {
        self.open(OFlags::WRONLY).into()
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_pipe_is_reported_as_readable_until_it_is_empty_and_its_hang_up_once() {
    on_each_host(|host| {
        let (reader, mut writer) = pipe();
        let id = adopt(host, reader, Interest::READ);
        host.rest();
        assert_eq!(host.app().log, ["adopted"]);
        writer.write_all(b"ten bytes!").expect("room");
        host.until(|host| host.app().read.len() == 10);
        assert_eq!(host.rest(), 1, "nothing is left to be reported");
        drop(writer);
        host.until(|host| host.app().has("hang-up"));
        assert!(host.rest() <= 2, "a hang-up that lasts costs nothing");
        assert_eq!(host.app().log, ["adopted", "hang-up"]);
        assert_eq!(host.driver.stats().connections, 1);
        host.with(|_, cx| cx.close(id));
        host.until(|host| host.driver.stats().connections == 0);
        assert_eq!(host.app().log, ["adopted", "hang-up", "closed"]);
        assert_eq!(host.app().read, b"ten bytes!");
    });
}

#[test]
fn what_was_written_before_a_hang_up_is_read_before_it_is_reported() {
    on_each_host(|host| {
        let (reader, mut writer) = pipe();
        writer.write_all(b"last words").expect("room");
        drop(writer);
        adopt(host, reader, Interest::READ);
        host.until(|host| host.app().has("hang-up"));
        assert_eq!(host.app().read, b"last words");
    });
}

#[test]
fn a_pipe_is_written_when_there_is_room_and_a_pipe_without_a_reader_is_a_hang_up() {
    on_each_host(|host| {
        let (reader, writer) = pipe();
        let mut reader = File::from(reader);
        host.with(|app, _| app.to_write = vec![7; 300_000]);
        let id = adopt(host, writer, Interest::WRITE);
        host.rest();
        assert!(host.app().to_write.len() > 100_000, "more than the pipe holds");
        let mut read = 0;
        while read < 300_000 {
            let mut piece = [0; 50_000];
            read += reader.read(&mut piece).expect("bytes");
            host.rest();
        }
        assert!(host.app().to_write.is_empty());
        drop(reader);
        host.rest();
        assert!(!host.app().has("hang-up"), "it is watched for nothing");
        host.with(|app, cx| {
            app.on_wake = |it| it.want_write();
            cx.wake(id);
        });
        host.until(|host| host.app().has("hang-up"));
        assert!(host.rest() <= 2);
    });
}

#[test]
fn a_paused_descriptor_says_nothing_until_it_is_resumed() {
    on_each_host(|host| {
        let (reader, mut writer) = pipe();
        host.with(|app, _| app.on_readable = |it| it.pause());
        let id = adopt(host, reader, Interest::READ);
        writer.write_all(b"abcdef").expect("room");
        host.until(|host| host.app().read == b"abc");
        host.rest();
        assert_eq!(host.app().read, b"abc");
        host.with(|app, cx| {
            app.on_wake = |it| it.resume();
            cx.wake(id);
            cx.wake(id);
        });
        host.until(|host| host.app().read == b"abcdef");
        assert_eq!(host.app().count("woken"), 1);
        host.with(|app, cx| {
            app.on_wake = |it| it.close();
            cx.wake(id);
        });
        host.until(|host| host.app().has("closed"));
    });
}

#[test]
fn an_eventfd_a_timerfd_and_inotify_are_reported_when_something_has_happened() {
    on_each_host(|host| {
        let bell = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
        adopt(host, bell.try_clone().expect("a duplicate"), Interest::READ);
        host.rest();
        for count in 1..=3u64 {
            rustix::io::write(&bell, &count.to_ne_bytes()).expect("a ring");
            host.until(|host| host.app().read == count.to_ne_bytes());
            host.with(|app, _| app.read.clear());
        }

        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC);
        let timer = timer.expect("a timer");
        let at = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: 0, tv_nsec: 1_000_000 },
        };
        adopt(host, timer.try_clone().expect("a duplicate"), Interest::READ);
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &at).expect("a time");
        host.until(|host| host.app().read == 1u64.to_ne_bytes());

        let folder = std::env::temp_dir().join(format!("lws-{}-watched", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let watcher = inotify::init(inotify::CreateFlags::CLOEXEC).expect("inotify");
        inotify::add_watch(&watcher, &folder, inotify::WatchFlags::CREATE).expect("a watch");
        adopt(host, watcher, Interest::READ);
        host.rest();
        host.with(|app, _| app.read.clear());
        std::fs::write(folder.join("new"), "").expect("a file");
        host.until(|host| host.app().read.windows(3).any(|name| name == b"new"));
        std::fs::remove_dir_all(&folder).expect("a folder");
    });
}

#[test]
fn a_terminal_gives_its_bytes_and_then_its_hang_up() {
    on_each_host(|host| {
        let (controller, mut terminal) = pty(true);
        adopt(host, controller, Interest::READ);
        host.rest();
        terminal.write_all(b"bytes of a terminal").expect("room");
        drop(terminal);
        host.until(|host| host.app().has("hang-up"));
        assert_eq!(host.app().read, b"bytes of a terminal");
        assert!(host.rest() <= 2);
    });
}

#[test]
fn the_reader_of_a_fifo_sees_its_writer_go_and_hears_the_next_one_when_it_resumes() {
    on_each_host(|host| {
        let fifo = Fifo::new("read-only");
        let id = adopt(host, fifo.open(OFlags::RDONLY), Interest::READ);
        host.rest();
        fifo.writer().write_all(b"first").expect("room");
        host.until(|host| host.app().has("hang-up"));
        assert_eq!(host.app().read, b"first");
        assert!(host.rest() <= 2);
        fifo.writer().write_all(b"lost?").expect("room");
        host.rest();
        assert_eq!(host.app().read, b"first", "nothing is delivered before it is resumed");
        host.with(|app, cx| {
            app.on_wake = |it| it.resume();
            cx.wake(id);
        });
        host.until(|host| host.app().count("hang-up") == 2);
        assert_eq!(host.app().read, b"firstlost?");
    });
}

#[test]
fn a_fifo_that_is_open_for_both_never_hangs_up() {
    on_each_host(|host| {
        let fifo = Fifo::new("both");
        adopt(host, fifo.open(OFlags::RDWR), Interest::READ);
        for n in 1..=3 {
            fifo.writer().write_all(b"words").expect("room");
            host.until(|host| host.app().read.len() == 5 * n);
            host.rest();
        }
        assert!(!host.app().has("hang-up"));
    });
}

#[test]
fn a_regular_file_is_refused_with_a_reason() {
    on_each_host(|host| {
        for path in [std::env::current_exe().expect("this program"), "/".into()] {
            let file = File::open(&path).expect("a file");
            let refused = host.with(|_, cx| cx.adopt_descriptor(file.into(), Interest::READ, Role::None));
            let error = refused.expect_err("it cannot be watched");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.get_ref().is_some_and(|source| source.is::<NotPollable>()), "{error}");
            let file = File::open(&path).expect("a file");
            let refused = host.with(|app, cx| {
                let connection = Connection::server(cx.now(), app.raw.clone());
                cx.adopt(file.into(), connection, Role::Echo)
            });
            assert_eq!(refused.expect_err("it cannot be watched").kind(), ErrorKind::Unsupported);
        }
        assert_eq!(host.driver.stats().connections, 0);
    });
}

#[test]
fn what_the_host_cannot_watch_is_reported_and_ends() {
    on_each_host(|host| {
        let (reader, _writer) = pipe();
        let id = adopt(host, reader, Interest::READ);
        host.rest();
        let (input, _writer) = pipe();
        let (_reader, output) = pipe();
        let stream = host.with(|app, cx| {
            let connection = Connection::server(cx.now(), app.raw.clone());
            cx.adopt_pair(input, output.into(), connection, Role::Echo).expect("a stream")
        });
        host.rest();
        host.refuse(id);
        host.rest();
        assert_eq!(host.app().log, ["adopted", "refused: PermissionDenied", "closed"]);
        host.refuse(stream);
        host.rest();
        assert_eq!(host.app().log[3..], ["aborted", "closed"]);
        assert_eq!(host.driver.stats().connections, 0);
    });
}

#[test]
fn a_device_that_epoll_cannot_watch_is_reported_and_ends() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for delivery in [Delivery::Level, Delivery::Edge, Delivery::OneShot] {
        let mut host = Board::host(delivery);
        // The device always has bytes; the service polls it once before it asks the host.
        adopt(&mut host, File::open("/dev/zero").expect("a device"), Interest::READ);
        host.until(|host| host.app().has("closed"));
        assert!(host.app().has("refused: PermissionDenied"), "{:?}", host.app().log);
    }
}

fn echo(host: &mut Host<Board>, descriptor: impl Into<OwnedFd>, received: &[u8]) -> ConnectionId {
    host.with(|app, cx| {
        let connection = Connection::server(cx.now(), app.raw.clone());
        cx.adopt_with_input(descriptor.into(), received, connection, Role::Echo).expect("a stream")
    })
}

/// Reads exactly `len` bytes while the host turns.
#[track_caller]
fn read_exactly(host: &mut Host<Board>, peer: &mut (impl Read + AsFd), len: usize) -> Vec<u8> {
    rustix::io::ioctl_fionbio(&*peer, true).expect("a descriptor");
    let mut bytes = Vec::new();
    host.until(|_| {
        let mut piece = vec![0; len - bytes.len()];
        match peer.read(&mut piece) {
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        bytes.len() == len
    });
    bytes
}

#[test]
fn what_somebody_has_read_already_is_the_first_input() {
    on_each_host(|host| {
        for (received, sent) in [(5, 3), (1, 0), (200_000, 100_000), (0, 4)] {
            let all: Vec<u8> = (0..received + sent).map(|n| (n / 7) as u8).collect();
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            let rest = all[received..].to_vec();
            let mut writer = theirs.try_clone().expect("a duplicate");
            let writing = std::thread::spawn(move || writer.write_all(&rest).expect("room in the end"));
            echo(host, ours, &all[..received]);
            assert_eq!(read_exactly(host, &mut theirs, all.len()), all, "{received} and {sent}");
            writing.join().expect("no panic");
        }
    });
}

#[test]
fn a_terminal_is_a_stream_and_no_line_is_lost() {
    on_each_host(|host| {
        let (controller, mut terminal) = pty(true);
        echo(host, controller, b"");
        for words in [&b"hello"[..], &[b'x'; 3_000]] {
            terminal.write_all(words).expect("room");
            assert_eq!(read_exactly(host, &mut terminal, words.len()), words);
        }
        drop(terminal);
        host.until(|host| host.app().has("closed"));
        assert_eq!(host.app().count("end"), 1);

        // The terminal's side, which returns one line for each read.
        let (controller, terminal) = pty(false);
        let mut controller = File::from(controller);
        controller.write_all(b"one\ntwo\nthree\n").expect("room");
        host.with(|app, _| app.read.clear());
        host.with(|app, cx| {
            let connection = Connection::server(cx.now(), app.raw.clone());
            cx.adopt(terminal.into(), connection, Role::None).expect("a stream")
        });
        host.until(|host| host.app().read == b"one\ntwo\nthree\n");
    });
}

#[test]
fn a_pipe_is_a_stream_in_one_direction() {
    on_each_host(|host| {
        let (reader, mut writer) = pipe();
        host.with(|app, cx| {
            let connection = Connection::server(cx.now(), app.raw.clone());
            cx.adopt(reader, connection, Role::Say(Vec::new())).expect("a stream")
        });
        writer.write_all(b"one way").expect("room");
        drop(writer);
        host.until(|host| host.app().has("closed"));
        assert_eq!(host.app().read, b"one way");
    });
}

#[test]
fn the_pipes_of_a_child_are_one_stream_with_an_end_in_each_direction() {
    on_each_host(|host| {
        let mut child = Command::new("cat");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
        let (input, output) = (child.stdout.take().expect("a pipe"), child.stdin.take().expect("a pipe"));
        // More than two pipes hold.
        let sent: Vec<u8> = (0..1_000_000).map(|n| (n / 1_000) as u8).collect();
        host.with(|app, cx| {
            let connection = Connection::client_raw(cx.now(), app.raw.clone());
            let role = Role::Say(sent.clone());
            cx.adopt_pair(input.into(), output.into(), connection, role).expect("a stream")
        });
        host.until(|host| host.app().has("closed"));
        assert!(host.app().read == sent, "{} bytes came back", host.app().read.len());
        host.until(|host| host.driver.stats().connections == 0);
        assert!(child.wait().expect("an exit").success());
    });
}

#[test]
fn a_child_that_goes_away_ends_its_stream() {
    on_each_host(|host| {
        let mut child = Command::new("sleep");
        let child = child.arg("100").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("sleep");
        let (input, output) = (child.stdout.take().expect("a pipe"), child.stdin.take().expect("a pipe"));
        host.with(|app, cx| {
            let connection = Connection::client_raw(cx.now(), app.raw.clone());
            let role = Role::Say(vec![1; 500_000]);
            cx.adopt_pair(input.into(), output.into(), connection, role).expect("a stream")
        });
        host.rest();
        assert_eq!(host.driver.stats().connections, 2);
        child.kill().expect("a child");
        child.wait().expect("an exit");
        host.until(|host| host.driver.stats().connections == 0);
        assert!(host.app().has("closed"));
    });
}

#[test]
fn descriptors_move_from_one_host_to_another() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for from in Delivery::ALL {
        for to in Delivery::ALL {
            eprintln!("{from:?} to {to:?}");
            let mut host = Board::host(from);
            let (reader, mut writer) = pipe();
            adopt(&mut host, reader, Interest::READ);
            let ((input, mut request), (answer, output)) = (pipe(), pipe());
            let mut answer = File::from(answer);
            host.with(|app, cx| {
                let connection = Connection::server(cx.now(), app.raw.clone());
                cx.adopt_pair(input, output.into(), connection, Role::Echo).expect("a stream")
            });
            request.write_all(b"before").expect("room");
            assert_eq!(read_exactly(&mut host, &mut answer, 6), b"before");
            writer.write_all(b"between").expect("room");
            request.write_all(b"between").expect("room");
            let mut host = host.moved_to(to);
            assert_eq!(read_exactly(&mut host, &mut answer, 7), b"between");
            host.until(|host| host.app().read.len() == 6 + 7 + 7);
            request.write_all(b"after").expect("room");
            writer.write_all(b"after").expect("room");
            assert_eq!(read_exactly(&mut host, &mut answer, 5), b"after");
            host.until(|host| host.app().read.len() == 6 + 7 + 7 + 5 + 5);
        }
    }
}

#[test]
fn every_kind_counts_as_a_connection() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let options = DriverOptions { connections_max: Some(2), ..DriverOptions::default() };
    let mut host = Board::host_with(Delivery::Level, options);
    let (first, _writer) = pipe();
    adopt(&mut host, first, Interest::READ);
    let pair = |host: &mut Host<Board>| {
        let ((input, _writer), (_reader, output)) = (pipe(), pipe());
        host.with(|app, cx| {
            let connection = Connection::server(cx.now(), app.raw.clone());
            cx.adopt_pair(input, output.into(), connection, Role::None)
        })
    };
    assert_eq!(pair(&mut host).expect_err("two are one too many").kind(), ErrorKind::QuotaExceeded);
    let (second, _writer) = pipe();
    adopt(&mut host, second, Interest::READ);
    let (third, _writer) = pipe();
    let refused = host.with(|_, cx| cx.adopt_descriptor(third, Interest::READ, Role::None));
    assert_eq!(refused.expect_err("one too many").kind(), ErrorKind::QuotaExceeded);
}

#[test]
fn readiness_of_a_descriptor_that_has_gone_does_nothing_when_its_number_lives_again() {
    use lws_loop_external::Readiness;
    on_each_host(|host| {
        let (reader, _writer) = pipe();
        let old = adopt(host, reader, Interest::READ);
        host.rest();
        host.with(|_, cx| cx.abort(old));
        host.until(|host| host.driver.stats().connections == 0);
        let (reader, _writer) = pipe();
        let new = adopt(host, reader, Interest::READ);
        host.rest();
        assert_eq!(new.index(), old.index());
        let calls = host.app().calls;
        let now = host.now();
        let everything = Readiness::READABLE | Readiness::WRITABLE | Readiness::HANG_UP | Readiness::ERROR;
        host.driver.handle_ready(now, Token::from_u64(old.as_u64()), everything);
        host.driver.removed(Token::from_u64(old.as_u64()));
        assert_eq!(host.app().calls, calls);
        // Readiness that is reported wrongly does no harm.
        host.driver.handle_ready(now, Token::from_u64(new.as_u64()), everything);
        assert_eq!(host.app().calls, calls);
        assert_eq!(host.driver.stats().connections, 1);
    });
}
