//! SIGUSR2: the program's file is run again, perhaps a later version, and serves in place of this process: at the same sockets, so that
//! no connection is refused. This process goes when its connections have ended. Where the new one does not become ready, everything goes on as
//! it was.

use crate::init;
use crate::launch::Launch;
use crate::log::Log;
use crate::manager::Manager;
use crate::pid_file::PidFile;
use lws_server::{Handle, ListeningSocket};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long the threads of the server may take to do what they are asked.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// What is needed to hand over.
pub(crate) struct Upgrade {
    pub(crate) handle: Handle,
    /// The server of the admin listener.
    pub(crate) admin: Option<Handle>,
    pub(crate) manager: Manager,
    pub(crate) log: Option<Log>,
    pub(crate) pid_file: Option<Arc<PidFile>>,
    /// How long the new process may take until it could serve.
    pub(crate) ready_timeout: Duration,
    /// How long connections of this one may go on then.
    pub(crate) retire_timeout: Duration,
}

impl Upgrade {
    /// Hands over. True if another process serves by now.
    pub(crate) fn run(&self) -> bool {
        match self.hand_over() {
            Ok(id) => {
                self.say(&format!(
                    "the process {id} serves, and this one goes when its connections have ended"
                ));
                true
            }
            Err(error) => {
                let failed = format!("there was no upgrade, and everything goes on as it was: {error}");
                eprintln!("lwsws: {failed}");
                self.say(&failed);
                self.manager.ready(failed);
                false
            }
        }
    }

    fn hand_over(&self) -> io::Result<u32> {
        let sockets = self.listeners()?;
        let pid_file = self.pid_file.as_ref().map(|file| file.descriptor());
        let launch =
            Launch { sockets: &sockets, pid_file, successors: init::descriptor(), ..Launch::default() };
        let mut launched = launch.start()?;
        launched.wait(self.ready_timeout)?;
        let id = launched.id();
        for server in self.servers() {
            server.leave_listener_files();
        }
        // What was asked for before has been done then: a listener that closes leaves its file.
        if let Err(error) = self.servers().try_for_each(everywhere) {
            for server in self.servers() {
                server.take_over_listeners();
            }
            return Err(error);
        }
        // From here on everything is the other's. It serves when all is, so that it takes nothing twice.
        self.pid_file.iter().for_each(|file| file.leave());
        self.manager.hand_over(id);
        init::hand_over(id);
        launched.go();
        self.handle.retire(self.retire_timeout);
        // Operators come to the other process from now on.
        self.admin.iter().for_each(|admin| _ = admin.drain());
        Ok(id)
    }

    fn servers(&self) -> impl Iterator<Item = &Handle> {
        std::iter::once(&self.handle).chain(&self.admin)
    }

    /// Other descriptors of all sockets that the server and its admin listener listen on.
    fn listeners(&self) -> io::Result<Vec<ListeningSocket>> {
        let listeners = self.servers().map(listeners).collect::<io::Result<Vec<_>>>()?;
        Ok(listeners.into_iter().flatten().collect())
    }

    fn say(&self, text: &str) {
        self.log.iter().for_each(|log| log.line(format!("lwsws: {text}")));
    }
}

/// Other descriptors of all sockets that a server listens on.
fn listeners(server: &Handle) -> io::Result<Vec<ListeningSocket>> {
    let (found, wait) = channel();
    server.duplicate_listeners(move |listeners| {
        let _ = found.send(listeners);
    });
    let mut all = Vec::new();
    for _ in 0..server.threads() {
        all.extend(wait.recv_timeout(TURN_TIMEOUT).map_err(|_| late())??);
    }
    Ok(all)
}

/// Waits until every thread of a server has done what was asked of it.
fn everywhere(server: &Handle) -> io::Result<()> {
    let (done, wait) = channel();
    server.post_everywhere(move |_| {
        let _ = done.send(());
    });
    (0..server.threads()).try_for_each(|_| wait.recv_timeout(TURN_TIMEOUT).map_err(|_| late()))
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "a thread of the server does not turn")
}
