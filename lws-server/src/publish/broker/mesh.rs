//! The sockets of a mesh on the loop: one that listens, and the connections with the other processes of the machine.
//!
//! Each is a descriptor that is read and written here. Whom to connect to, and what is said, the mesh decides; everything happens on the
//! thread that owns the broker, and no call waits.

use super::bridge::Bridge;
use crate::Context;
use crate::descriptor::{self, Descriptor, DescriptorEvent, Interest};
use crate::id::LinkId;
use lws_broker::mesh::{ConnectError, LinkId as MeshLinkId, Mesh, MeshOptions, MeshRequest, SocketName};
use lws_broker::{Cause, Event};
use lws_proto::Time;
use rustix::net::SocketAddrUnix;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Octets that are read at a time.
const READ_BYTES: usize = 16 << 10;
/// Reads, writes, and connections that are accepted for one event: other connections have their turn then.
const STEPS_MAX: usize = 16;
/// Names in the folder that are looked at: more than sockets of a mesh that are in use.
const NAMES_MAX: usize = 4_096;
/// How long a listener rests that cannot accept, as descriptors have run out, for example.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// What only the owner of the folder may do.
const FOLDER_MODE: u32 = 0o700;

/// This process in its mesh.
pub(super) struct MeshCarrier {
    pub(super) mesh: Mesh,
    folder: PathBuf,
    name: SocketName,
    retry: Duration,
    listener: Listening,
    connections: BTreeMap<MeshLinkId, MeshConnection>,
    /// What has happened to the listener, for the application.
    complaint: Option<Event>,
}

/// The socket that others find.
enum Listening {
    /// There is none yet, and it is tried at this time: what waits for others waits until then.
    Due(Time),
    Open {
        id: LinkId,
        file: SocketFile,
        socket: Rc<UnixListener>,
        /// Until then it accepts nothing.
        rests_until: Option<Time>,
    },
    Closed,
}

/// A socket in the folder, which is removed with this value.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A connection with another process.
struct MeshConnection {
    id: LinkId,
    /// There was no room to write: it is written to when there is.
    is_blocked: bool,
    /// Nothing is read from it.
    is_paused: bool,
}

impl MeshCarrier {
    /// Begins in the folder at the first call that drives it.
    pub(super) fn new(now: Time, folder: &Path, options: MeshOptions, random: u64) -> Self {
        let name = SocketName::of_process(std::process::id(), random);
        Self {
            folder: folder.to_owned(),
            retry: options.scan_interval,
            mesh: Mesh::new(now, name.clone(), options),
            name,
            listener: Listening::Due(now),
            connections: BTreeMap::new(),
            complaint: None,
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len() + usize::from(matches!(self.listener, Listening::Open { .. }))
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        let listener = match self.listener {
            // Before it listens, nothing else is due.
            Listening::Due(at) => return Some(at),
            Listening::Open { rests_until, .. } => rests_until,
            Listening::Closed => None,
        };
        listener.into_iter().chain(self.mesh.next_timeout()).min()
    }

    /// What was reported of the listener.
    pub(super) fn take_complaint(&mut self) -> Option<Event> {
        self.complaint.take()
    }

    /// Listens in the folder, which is made if it is missing.
    fn bind(&self) -> io::Result<(UnixListener, SocketFile)> {
        make_private(&self.folder)?;
        // It listens before it is found: under another name first.
        let hidden = SocketFile(self.folder.join(format!("{}.new", self.name)));
        let socket = UnixListener::bind(&hidden.0)?;
        socket.set_nonblocking(true)?;
        let file = self.folder.join(self.name.as_str());
        fs::rename(&hidden.0, &file)?;
        Ok((socket, SocketFile(file)))
    }

    /// The names in the folder.
    fn look(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.folder)?.take(NAMES_MAX);
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// A connection has ended that is not closed by the mesh.
    fn ended(&mut self, now: Time, link: MeshLinkId) {
        if self.connections.remove(&link).is_some() {
            self.mesh.closed(now, link);
        }
    }
}

/// Makes a folder that only its owner may enter, or looks whether one is such: who can enter it is trusted.
///
/// # Errors
/// It cannot be made, or belongs to others or lets them in.
fn make_private(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = fs::metadata(folder)?;
    let is_private = found.is_dir() && found.mode() & 0o077 == 0;
    if is_private && found.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let why = "the folder of a mesh belongs to the user of its processes, and has mode 0700";
    Err(io::Error::new(ErrorKind::PermissionDenied, format!("{}: {why}", folder.display())))
}

/// A connection to a socket, which is there at once or not at all: no process is waited for that takes none.
fn connect(path: &Path) -> Result<OwnedFd, ConnectError> {
    let connected = || -> rustix::io::Result<OwnedFd> {
        let socket = stream_socket()?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket)
    };
    connected().map_err(|error| match error {
        rustix::io::Errno::CONNREFUSED => ConnectError::NoListener,
        _ => ConnectError::Other,
    })
}

/// A socket that does not block and is not passed on to other programs.
#[cfg(not(target_vendor = "apple"))]
fn stream_socket() -> rustix::io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// A socket that does not block and is not passed on to other programs, on a system that needs three calls for it.
#[cfg(target_vendor = "apple")]
fn stream_socket() -> rustix::io::Result<OwnedFd> {
    use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
    use rustix::net::{AddressFamily, SocketType};
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

impl Context<'_> {
    /// Does what the mesh asks for.
    pub(super) fn make_mesh(&mut self, bridge: &Rc<RefCell<Bridge>>) {
        if !self.listen_in_mesh(bridge) {
            return;
        }
        loop {
            let now = self.now();
            let mut borrowed = bridge.borrow_mut();
            let Some(carrier) = borrowed.mesh() else { return };
            let Some(request) = carrier.mesh.poll_request() else { return };
            match request {
                MeshRequest::Scan => match carrier.look() {
                    Ok(names) => carrier.mesh.found(now, names.iter().map(String::as_str)),
                    Err(error) => carrier.mesh.scan_failed(now, &error.to_string()),
                },
                MeshRequest::Connect { link, name } => match connect(&carrier.folder.join(name.as_str())) {
                    Ok(socket) => {
                        // Before the descriptor is there: what is to be sent first is.
                        carrier.mesh.connected(now, link);
                        drop(borrowed);
                        self.add_to_mesh(bridge, link, socket);
                    }
                    Err(error) => carrier.mesh.connect_failed(now, link, error),
                },
                MeshRequest::Remove(name) => drop(fs::remove_file(carrier.folder.join(name.as_str()))),
                MeshRequest::Close(link) => {
                    if let Some(connection) = carrier.connections.remove(&link) {
                        self.close_link(connection.id);
                    }
                }
                _ => {}
            }
        }
    }

    /// Listens, if that is due. Answers whether the process is in the mesh.
    fn listen_in_mesh(&mut self, bridge: &Rc<RefCell<Bridge>>) -> bool {
        let now = self.now();
        let mut borrowed = bridge.borrow_mut();
        let Some(carrier) = borrowed.mesh() else { return false };
        match carrier.listener {
            Listening::Due(at) if at <= now => {}
            Listening::Due(_) => return false,
            Listening::Open { .. } | Listening::Closed => return true,
        }
        let opened = carrier.bind().and_then(|(socket, file)| {
            let watched = socket.try_clone()?;
            let socket = Rc::new(socket);
            let door = MeshDoor { bridge: Rc::clone(bridge), socket: Rc::clone(&socket) };
            let id = self.adopt_descriptor(watched.into(), Interest::READ, door)?;
            Ok(Listening::Open { id, file, socket, rests_until: None })
        });
        match opened {
            Ok(listener) => carrier.listener = listener,
            Err(error) => {
                let retry_at = now + carrier.retry;
                carrier.listener = Listening::Due(retry_at);
                let cause = Cause::Connect(Cause::words(error.to_string().as_bytes()));
                carrier.complaint = Some(Event::Down { cause, retry_at });
                return false;
            }
        }
        true
    }

    /// Carries a connection that the mesh knows.
    fn add_to_mesh(&mut self, bridge: &Rc<RefCell<Bridge>>, link: MeshLinkId, socket: OwnedFd) {
        let peer = MeshPeer { bridge: Rc::clone(bridge), link };
        let adopted = self.adopt_descriptor(socket, Interest::READ, peer);
        let now = self.now();
        let mut borrowed = bridge.borrow_mut();
        let Some(carrier) = borrowed.mesh() else { return };
        match adopted {
            Ok(id) => {
                let connection = MeshConnection { id, is_blocked: false, is_paused: false };
                carrier.connections.insert(link, connection);
            }
            // As many connections as there may be: the mesh looks again.
            Err(_) => carrier.mesh.closed(now, link),
        }
    }

    /// Has the connections send what waits, and read again where that is possible.
    pub(super) fn send_to_mesh(&mut self, bridge: &Rc<RefCell<Bridge>>) {
        let now = self.now();
        let mut borrowed = bridge.borrow_mut();
        let Some(MeshCarrier { mesh, connections, listener, .. }) = borrowed.mesh() else { return };
        for (link, connection) in connections.iter() {
            let writes = !connection.is_blocked && !mesh.transmit(*link).is_empty();
            if writes || connection.is_paused && mesh.wants_read(*link) {
                self.wake_link(connection.id);
            }
        }
        if let Listening::Open { id, rests_until, .. } = listener
            && rests_until.is_some_and(|until| until <= now)
        {
            *rests_until = None;
            self.wake_link(*id);
        }
    }

    /// Leaves the mesh: not found any more, it informs the others behind everything that it has published. Answers whether that is done,
    /// with which the connections are closed.
    pub(super) fn leave_mesh(&mut self, bridge: &Rc<RefCell<Bridge>>) -> bool {
        let listener = match bridge.borrow_mut().mesh() {
            Some(carrier) => std::mem::replace(&mut carrier.listener, Listening::Closed),
            None => return true,
        };
        if !matches!(listener, Listening::Closed) {
            if let Listening::Open { id, file, socket, .. } = listener {
                drop(file);
                // Those who have found it before are not to take it for one that has died.
                self.accept_in_mesh(bridge, &socket);
                self.close_link(id);
            }
            let now = self.now();
            if let Some(carrier) = bridge.borrow_mut().mesh() {
                carrier.mesh.leave(now);
            }
            self.drive_broker();
        }
        let mut borrowed = bridge.borrow_mut();
        let Some(carrier) = borrowed.mesh().filter(|carrier| carrier.mesh.is_drained()) else { return false };
        for connection in std::mem::take(&mut carrier.connections).into_values() {
            self.close_link(connection.id);
        }
        true
    }

    /// Accepts what waits. Answers whether that is possible at the moment.
    fn accept_in_mesh(&mut self, bridge: &Rc<RefCell<Bridge>>, socket: &UnixListener) -> bool {
        for _ in 0..STEPS_MAX {
            match socket.accept() {
                Ok((stream, _)) => {
                    let now = self.now();
                    let link = bridge.borrow_mut().mesh().and_then(|carrier| carrier.mesh.accepted(now));
                    if let Some(link) = link {
                        self.add_to_mesh(bridge, link, stream.into());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// Accepts connections of other processes.
struct MeshDoor {
    bridge: Rc<RefCell<Bridge>>,
    socket: Rc<UnixListener>,
}

impl descriptor::Handler for MeshDoor {
    fn event(&mut self, cx: &mut Context<'_>, event: DescriptorEvent, descriptor: &mut Descriptor<'_>) {
        match event {
            DescriptorEvent::Adopted => descriptor.outlast_drain(),
            DescriptorEvent::Woken => descriptor.resume(),
            DescriptorEvent::Readable => {
                if !cx.accept_in_mesh(&self.bridge, &self.socket) {
                    descriptor.pause();
                    let until = cx.now() + ACCEPT_PAUSE;
                    if let Some(MeshCarrier { listener: Listening::Open { rests_until, .. }, .. }) =
                        self.bridge.borrow_mut().mesh()
                    {
                        *rests_until = Some(until);
                    }
                }
                cx.drive_broker();
            }
            _ => {}
        }
    }
}

/// Carries the octets of one connection.
struct MeshPeer {
    bridge: Rc<RefCell<Bridge>>,
    link: MeshLinkId,
}

impl MeshPeer {
    /// Writes what waits, as far as there is room.
    fn write(&self, descriptor: &mut Descriptor<'_>) {
        let mut bridge = self.bridge.borrow_mut();
        let Some(MeshCarrier { mesh, connections, .. }) = bridge.mesh() else { return };
        let Some(connection) = connections.get_mut(&self.link) else { return };
        connection.is_blocked = false;
        for _ in 0..STEPS_MAX {
            let output = mesh.transmit(self.link);
            if output.is_empty() {
                return;
            }
            match descriptor.write(output) {
                Ok(count) => mesh.transmitted(self.link, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    // What it has sent before its end is read, and then that end.
                    connection.is_blocked = true;
                    return;
                }
            }
        }
        connection.is_blocked = true;
        descriptor.want_write();
    }

    /// Reads what has come. An error is the end of the connection.
    fn read(&self, cx: &Context<'_>, descriptor: &mut Descriptor<'_>) -> io::Result<()> {
        let mut bridge = self.bridge.borrow_mut();
        let Some(MeshCarrier { mesh, connections, .. }) = bridge.mesh() else { return Ok(()) };
        let Some(connection) = connections.get_mut(&self.link) else { return Ok(()) };
        let mut buffer = [0; READ_BYTES];
        for _ in 0..STEPS_MAX {
            if !mesh.wants_read(self.link) {
                connection.is_paused = true;
                descriptor.pause();
                return Ok(());
            }
            match descriptor.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => mesh.receive(cx.now(), self.link, &buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn resume(&self, descriptor: &mut Descriptor<'_>) {
        let mut bridge = self.bridge.borrow_mut();
        let Some(MeshCarrier { mesh, connections, .. }) = bridge.mesh() else { return };
        if let Some(connection) = connections.get_mut(&self.link)
            && mesh.wants_read(self.link)
        {
            connection.is_paused = false;
            descriptor.resume();
        }
    }

    fn ended(&self, cx: &mut Context<'_>) {
        if let Some(carrier) = self.bridge.borrow_mut().mesh() {
            carrier.ended(cx.now(), self.link);
        }
        cx.drive_broker();
    }
}

impl descriptor::Handler for MeshPeer {
    fn event(&mut self, cx: &mut Context<'_>, event: DescriptorEvent, descriptor: &mut Descriptor<'_>) {
        match event {
            DescriptorEvent::Adopted => {
                // The others are informed of the end, behind everything else.
                descriptor.outlast_drain();
                self.write(descriptor);
            }
            DescriptorEvent::Readable => {
                let read = self.read(cx, descriptor);
                // Delivered before more is read, so that no events pile up.
                cx.drive_broker();
                if read.is_err() {
                    descriptor.close();
                    self.ended(cx);
                }
            }
            DescriptorEvent::Writable => {
                self.write(descriptor);
                cx.drive_broker();
            }
            DescriptorEvent::Woken => {
                self.resume(descriptor);
                self.write(descriptor);
            }
            DescriptorEvent::HangUp | DescriptorEvent::Refused(_) => {
                descriptor.close();
                self.ended(cx);
            }
            _ => {}
        }
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        self.ended(cx);
    }
}
