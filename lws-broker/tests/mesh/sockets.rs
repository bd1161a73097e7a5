//! Over Unix sockets in a folder of their own.

use crate::subscriber::Subscriber;
use crate::topic;
use lws_broker::mesh::{ConnectError, LinkId, Mesh, MeshOptions, MeshRequest, SocketName};
use lws_broker::{Broker, Bytes, Event, Time, Topic};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lws-mesh-{}-{name}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One process, with its sockets.
struct Process {
    number: u64,
    folder: PathBuf,
    name: SocketName,
    listener: Option<UnixListener>,
    mesh: Mesh,
    sockets: HashMap<LinkId, UnixStream>,
    subscribers: BTreeMap<Topic, Subscriber>,
    published: u64,
    begin: Instant,
}

impl Process {
    fn start(number: u64, folder: &Path, begin: Instant) -> Self {
        let name = SocketName::of_process(std::process::id(), number);
        // It listens before it is found: under another name first.
        let hidden = folder.join(format!("{name}.new"));
        let listener = UnixListener::bind(&hidden).expect("a socket");
        listener.set_nonblocking(true).expect("an option");
        fs::rename(&hidden, folder.join(name.as_str())).expect("a name");
        let mesh = Mesh::new(Time::ZERO + begin.elapsed(), name.clone(), MeshOptions::default());
        Self {
            number,
            folder: folder.to_owned(),
            name,
            listener: Some(listener),
            mesh,
            sockets: HashMap::new(),
            subscribers: BTreeMap::new(),
            published: 0,
            begin,
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.begin.elapsed()
    }

    fn subscribe(&mut self, topic: &Topic) {
        self.subscribers.insert(topic.clone(), Subscriber::default());
        self.mesh.subscribe(self.now(), topic);
    }

    fn publish(&mut self, topic: &Topic, padding: usize) {
        let payload = format!("{} {} {}", self.number, self.published + 1, "x".repeat(padding));
        if self.mesh.publish(self.now(), topic, Bytes::from(payload)).is_ok() {
            self.published += 1;
        }
    }

    /// Does what can be done without waiting. Gives whether anything was done.
    fn step(&mut self) -> bool {
        let now = self.now();
        self.mesh.handle_timeout(now);
        let mut busy = false;
        while let Some(Ok((socket, _))) = self.listener.as_ref().map(UnixListener::accept) {
            if let Some(link) = self.mesh.accepted(now) {
                self.add(link, socket);
            }
            busy = true;
        }
        while let Some(request) = self.mesh.poll_request() {
            self.on_request(request);
            busy = true;
        }
        for link in self.mesh.links().collect::<Vec<_>>() {
            busy |= self.carry(link);
        }
        while let Some(event) = self.mesh.poll() {
            self.on_event(event);
            busy = true;
        }
        busy
    }

    fn add(&mut self, link: LinkId, socket: UnixStream) {
        socket.set_nonblocking(true).expect("an option");
        self.sockets.insert(link, socket);
    }

    fn on_request(&mut self, request: MeshRequest) {
        let now = self.now();
        match request {
            MeshRequest::Scan => {
                let entries = fs::read_dir(&self.folder).expect("a folder");
                let names: Vec<_> =
                    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
                self.mesh.found(now, names.iter().map(String::as_str));
            }
            MeshRequest::Connect { link, name } => match UnixStream::connect(self.folder.join(name.as_str()))
            {
                Ok(socket) => {
                    self.add(link, socket);
                    self.mesh.connected(now, link);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    self.mesh.connect_failed(now, link, ConnectError::NoListener);
                }
                Err(_) => self.mesh.connect_failed(now, link, ConnectError::Other),
            },
            MeshRequest::Close(link) => drop(self.sockets.remove(&link)),
            MeshRequest::Remove(name) => drop(fs::remove_file(self.folder.join(name.as_str()))),
            other => panic!("{other:?}"),
        }
    }

    fn carry(&mut self, link: LinkId) -> bool {
        match self.exchange(link) {
            Ok(busy) => busy,
            Err(_) => {
                self.sockets.remove(&link);
                self.mesh.closed(self.now(), link);
                true
            }
        }
    }

    /// Sends and receives. An error is the end of the connection.
    fn exchange(&mut self, link: LinkId) -> io::Result<bool> {
        let now = self.now();
        let Some(socket) = self.sockets.get_mut(&link) else { return Ok(false) };
        let mut busy = false;
        while !self.mesh.transmit(link).is_empty() {
            match socket.write(self.mesh.transmit(link)) {
                Ok(count) => self.mesh.transmitted(link, count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // What it has sent before its end is still there.
                Err(_) => break,
            }
            busy = true;
        }
        let mut buffer = [0; 4_099];
        while self.mesh.wants_read(link) {
            match socket.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.mesh.receive(now, link, &buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            busy = true;
        }
        Ok(busy)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Up => {}
            Event::Subscribed { topic } => {
                let subscriber = self.subscribers.get_mut(&topic).expect("it was asked for");
                subscriber.is_subscribed = true;
                subscriber.oracle.subscribed(&[]);
            }
            Event::Gap { topic } => {
                self.subscribers.get_mut(&topic).expect("it was asked for").oracle.gap();
            }
            Event::Message { topic, payload, .. } => {
                let text = String::from_utf8(payload.to_vec()).expect("text");
                let mut words = text.split(' ').map(|word| word.parse());
                let (Some(Ok(publisher)), Some(Ok(number))) = (words.next(), words.next()) else {
                    panic!("{text}")
                };
                self.subscribers.get_mut(&topic).expect("it was asked for").message(publisher, number);
            }
            other => panic!("{other:?}"),
        }
    }

    fn gaps(&self) -> u64 {
        self.subscribers.values().map(|subscriber| subscriber.oracle.gaps()).sum()
    }

    /// Ends in order: first it is not found any more.
    fn leave(mut self) {
        self.listener = None;
        fs::remove_file(self.folder.join(self.name.as_str())).expect("its socket");
        self.mesh.leave(self.now());
        let begin = Instant::now();
        while !self.mesh.is_drained() {
            assert!(begin.elapsed() < PATIENCE, "others read");
            self.step();
        }
    }
}

fn run(processes: &mut [Process], what: &str, mut act: impl FnMut(&mut [Process]) -> bool) {
    let begin = Instant::now();
    while !act(processes) {
        let mut busy = false;
        for process in processes.iter_mut() {
            busy |= process.step();
        }
        assert!(begin.elapsed() < PATIENCE, "in a minute there was not: {what}");
        if !busy {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
}

fn start(folder: &Folder, begin: Instant, room: &Topic, processes: &mut Vec<Process>, number: u64) {
    for process in processes.iter_mut() {
        process.subscribers.values_mut().for_each(|subscriber| subscriber.born(number));
    }
    let mut process = Process::start(number, &folder.0, begin);
    process.subscribe(room);
    processes.push(process);
    let count = processes.len();
    run(processes, "all subscriptions", |all| {
        let is_subscribed = |process: &Process| process.subscribers.values().all(|it| it.is_subscribed);
        all.iter().all(|process| is_subscribed(process) && process.mesh.peers() == count - 1)
    });
}

/// Each publishes `count` messages, and all have them in the end.
fn exchange(processes: &mut [Process], room: &Topic, count: u64) {
    let until: Vec<_> = processes.iter().map(|process| (process.number, process.published + count)).collect();
    run(processes, "all messages", |all| {
        for (process, (_, until)) in all.iter_mut().zip(&until) {
            for _ in 0..20 {
                if process.published < *until {
                    process.publish(room, 50);
                }
            }
        }
        all.iter().all(|process| {
            let last = &process.subscribers[room].last;
            until.iter().all(|(number, until)| last.get(number) == Some(until))
        })
    });
}

#[test]
fn three_processes_of_which_one_is_replaced_lose_nothing() {
    let (folder, begin, room) = (Folder::new("replaced"), Instant::now(), topic("room"));
    let mut processes = Vec::new();
    for number in 1..=3 {
        start(&folder, begin, &room, &mut processes, number);
    }
    exchange(&mut processes, &room, 2_000);
    // Its successor is there before it ends.
    start(&folder, begin, &room, &mut processes, 4);
    exchange(&mut processes, &room, 500);
    processes.remove(0).leave();
    exchange(&mut processes, &room, 2_000);
    assert_eq!(processes.iter().map(Process::gaps).sum::<u64>(), 0);
    assert_eq!(processes[0].subscribers[&room].oracle.messages(), 3 * 2_000 + 4 * 500 + 3 * 2_000);
    assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 3);
}

#[test]
fn a_process_that_dies_leaves_a_gap_and_a_socket_that_is_removed() {
    let (folder, begin, room) = (Folder::new("died"), Instant::now(), topic("room"));
    let mut processes = Vec::new();
    for number in 1..=3 {
        start(&folder, begin, &room, &mut processes, number);
    }
    exchange(&mut processes, &room, 500);
    // It has published what it has not sent.
    for _ in 0..200 {
        processes[0].publish(&room, 50);
    }
    let dead = processes.remove(0);
    let published = dead.published;
    drop(dead);
    run(&mut processes, "two gaps", |all| all.iter().all(|process| process.gaps() >= 1));
    for process in &processes {
        assert_eq!(process.subscribers[&room].oracle.end(&[(1, published)]), Ok(()));
        assert_eq!(process.subscribers[&room].last[&1], 500, "or nothing is tested");
    }
    run(&mut processes, "two sockets", |_| fs::read_dir(&folder.0).expect("a folder").count() == 2);
    start(&folder, begin, &room, &mut processes, 4);
    exchange(&mut processes, &room, 500);
}

#[test]
fn a_process_that_reads_nothing_holds_up_no_other_and_has_a_gap() {
    let (folder, begin, room) = (Folder::new("slow"), Instant::now(), topic("room"));
    let mut processes = Vec::new();
    for number in 1..=3 {
        start(&folder, begin, &room, &mut processes, number);
    }
    let slow = processes.pop().expect("the third");
    // 4 MiB wait for it, and what the system keeps.
    run(&mut processes, "messages that are dropped", |all| {
        let last = all[1].subscribers[&room].last.get(&1).copied().unwrap_or(0);
        if last != all[0].published {
            return false;
        }
        for _ in 0..20 {
            all[0].publish(&room, 4_000);
        }
        all[0].mesh.dropped() > 100
    });
    assert_eq!(processes[1].gaps(), 0);
    processes.push(slow);
    // What it was not sent stands behind what waits for it.
    run(&mut processes, "a gap", |all| all[2].gaps() == 1);
    exchange(&mut processes, &room, 10);
    assert_eq!(processes[2].gaps(), 1);
    assert_eq!(processes[0].gaps() + processes[1].gaps(), 0);
}
