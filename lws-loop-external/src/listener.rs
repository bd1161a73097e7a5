//! Listeners: accepting in a budget, and pausing instead of spinning.

use crate::address::{Address, Peer};
use crate::listening::{ListeningSocket, Parts};
use crate::net::{self, Owned};
use crate::registration::{Changes, Registration};
use crate::service::{Interest, Trigger};
use crate::socket::{self, SocketFile};
use crate::socket_options::{ListenOptions, TcpOptions};
use crate::tls::ListenTls;
use crate::token::{GENERATION_MASK, ListenerId};
use lws_proto::Time;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// How long a listener pauses when the process or the system has no descriptor or memory left.
const PAUSE: Duration = Duration::from_millis(100);

/// The listeners of a service. There are few.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    entries: Vec<ListenerEntry>,
    /// Whether some listener may have connections that were not accepted yet.
    pub(crate) waiting: bool,
}

#[derive(Debug, Default)]
struct ListenerEntry {
    generation: u32,
    listener: Option<Listener>,
}

#[derive(Debug)]
pub(crate) struct Listener {
    socket: Owned,
    /// The listener's address, with the port that the system chose.
    address: Address,
    file: Option<SocketFile>,
    tcp: TcpOptions,
    pub(crate) tls: Option<ListenTls>,
    pub(crate) registration: Registration,
    /// Whether the accept queue may have connections.
    ready: bool,
    paused: Option<Paused>,
    /// Whether its connections stay with this shard, because the other shards have listeners of their own.
    stays: bool,
}

/// Why a listener is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    /// No descriptor or memory was left. It goes on at this time.
    Until(Time),
    /// The limit of connections is reached. It goes on when a connection has ended, or at this time, when idle ones may
    /// have become available to close.
    Full(Time),
}

/// The outcome of accepting one connection.
#[derive(Debug)]
pub(crate) enum Accept {
    Connection(Owned, Peer),
    /// One connection failed before it was accepted.
    Lost,
    /// The accept queue is empty.
    None,
    /// There is no descriptor or memory left.
    Exhausted,
}

impl Listeners {
    pub(crate) fn listen_on(
        &mut self,
        socket: ListeningSocket,
        options: &ListenOptions,
        changes: &mut Changes,
    ) -> io::Result<ListenerId> {
        let Parts { socket, file, address } = socket.into_parts(options)?;
        let index = self.entries.iter().position(|entry| entry.listener.is_none()).unwrap_or_else(|| {
            self.entries.push(ListenerEntry::default());
            self.entries.len() - 1
        });
        let entry = &mut self.entries[index];
        let id = ListenerId { index: index as u32, generation: entry.generation };
        let registration = Registration::default();
        let tcp = options.tcp.clone();
        let tls = options.tls.clone();
        let stays = options.reuse_port && matches!(address, Address::Tcp(_));
        let (ready, paused) = (false, None);
        let listener = Listener { socket, address, file, tcp, tls, registration, ready, paused, stays };
        let listener = entry.listener.insert(listener);
        listener.registration.want(Interest::READ, id.token(), changes);
        Ok(id)
    }

    pub(crate) fn peek(&self, id: ListenerId) -> Option<&Listener> {
        let entry = self.entries.get(id.index as usize)?;
        entry.listener.as_ref().filter(|_| entry.generation == id.generation)
    }

    pub(crate) fn get(&mut self, id: ListenerId) -> Option<&mut Listener> {
        let entry = self.entries.get_mut(id.index as usize)?;
        entry.listener.as_mut().filter(|_| entry.generation == id.generation)
    }

    /// The names of all listeners that are not being closed.
    pub(crate) fn ids(&self) -> Vec<ListenerId> {
        let open =
            |entry: &&ListenerEntry| entry.listener.as_ref().is_some_and(|it| !it.registration.is_removing());
        let id = |(index, entry): (usize, &ListenerEntry)| {
            let id = ListenerId { index: index as u32, generation: entry.generation };
            Some(entry).filter(open).map(|_| id)
        };
        self.entries.iter().enumerate().filter_map(id).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| entry.listener.is_none())
    }

    /// Closes the descriptor of a listener, as the host has let go of it.
    pub(crate) fn free(&mut self, id: ListenerId) {
        if self.get(id).is_some() {
            let entry = &mut self.entries[id.index as usize];
            entry.listener = None;
            entry.generation = entry.generation.wrapping_add(1) & GENERATION_MASK;
        }
    }

    /// Keeps the files of Unix listeners when the listeners close.
    pub(crate) fn forget_files(&mut self) {
        for listener in self.entries.iter_mut().filter_map(|entry| entry.listener.as_mut()) {
            std::mem::forget(listener.file.take());
        }
    }

    /// Has the files of adopted Unix listeners go with them.
    pub(crate) fn take_files(&mut self) {
        for listener in self.entries.iter_mut().filter_map(|entry| entry.listener.as_mut()) {
            if let (Address::Unix(path), None) = (&listener.address, &listener.file) {
                // Where there is no file there is nothing to take away.
                listener.file = SocketFile::new(path).ok();
            }
        }
    }

    /// Resumes the listeners that are paused until a connection has ended.
    pub(crate) fn resume_full(&mut self) {
        for listener in self.entries.iter_mut().filter_map(|entry| entry.listener.as_mut()) {
            if let Some(Paused::Full(_)) = listener.paused {
                listener.paused = None;
                self.waiting = true;
            }
        }
    }

    /// The time at which the next pause ends.
    pub(crate) fn next_resume(&self) -> Option<Time> {
        let paused = |entry: &ListenerEntry| {
            let listener = entry.listener.as_ref().filter(|listener| !listener.registration.is_removing())?;
            let (Paused::Until(at) | Paused::Full(at)) = listener.paused?;
            Some(at)
        };
        self.entries.iter().filter_map(paused).min()
    }
}

impl Listener {
    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The listener's address, with the port that the system chose.
    pub(crate) fn local_address(&self) -> &Address {
        &self.address
    }

    /// A duplicate of the socket's descriptor.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Notes that the host has reported a listener.
    pub(crate) fn reported(&mut self, trigger: Trigger, id: ListenerId, changes: &mut Changes) {
        self.ready = true;
        self.registration.reported(trigger, id.token(), changes);
    }

    /// Notes that there may be connections that no host has reported.
    pub(crate) fn expect(&mut self) {
        self.ready = true;
    }

    /// Whether to look for connections at `now`.
    pub(crate) fn is_waiting(&mut self, now: Time) -> bool {
        if matches!(self.paused, Some(Paused::Until(at) | Paused::Full(at)) if at <= now) {
            self.paused = None;
        }
        self.ready && self.paused.is_none() && !self.registration.is_removing()
    }

    /// Whether none of its connections goes to another shard.
    pub(crate) fn stays(&self) -> bool {
        self.stays
    }

    /// Pauses the listener because the limit of connections is reached.
    pub(crate) fn pause_while_full(&mut self, now: Time) {
        self.paused = Some(Paused::Full(now + PAUSE));
    }

    /// Pauses the listener because the system has no descriptor or memory left.
    pub(crate) fn pause_from(&mut self, now: Time) {
        self.paused = Some(Paused::Until(now + PAUSE));
    }

    /// Updates what the listener is watched for. A paused listener is not watched by a level-triggered host, which
    /// would report it for ever.
    pub(crate) fn update(&mut self, trigger: Trigger, id: ListenerId, changes: &mut Changes) {
        if trigger != Trigger::Edge && !self.registration.is_removing() {
            let interest = Interest::READ.when(self.paused.is_none());
            self.registration.want(interest, id.token(), changes);
        }
    }

    /// Accepts one connection.
    pub(crate) fn accept(&mut self) -> Accept {
        match net::accept(self.socket.as_fd()) {
            Ok((socket, address)) => {
                // On Linux accepted sockets inherit the options of the listener.
                if cfg!(not(target_os = "linux")) && self.file.is_none() {
                    // Setting options fails if the connection has ended already, which its first read will find.
                    let _ = socket::apply(&self.tcp, &(&socket).into());
                }
                Accept::Connection(socket, Peer::new(address))
            }
            Err(Errno::AGAIN) => {
                self.ready = false;
                Accept::None
            }
            // These are errors of that one connection only; the next one may be fine.
            Err(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::PERM
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH,
            ) => Accept::Lost,
            // EMFILE, ENFILE, ENOBUFS, ENOMEM. Unknown errors are treated alike, since trying again at once would
            // fail again.
            Err(_) => Accept::Exhausted,
        }
    }
}
