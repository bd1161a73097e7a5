//! The process that serves: in the foreground or the background, its number in a file, and what takes its place.

use crate::init;
use crate::launch::{self, Launch, Launcher};
use crate::log::Log;
use crate::loops::Loop;
use crate::pid_file::PidFile;
use clap::Args;
use lws_server::ListeningSocket;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is said of the process.
#[derive(Debug, Args)]
pub(crate) struct ProcessArguments {
    /// Serve in the background: return when the server serves, or with what is wrong. It says nothing to this terminal any more
    #[arg(long, conflicts_with = "limits")]
    daemon: bool,

    /// The loop to run on, of those that are built in: see below [default: that of the configuration, or poll]
    #[arg(long = "loop", value_name = "NAME")]
    event_loop: Option<Loop>,

    /// Write the number of the process to this file, which is locked for as long as it serves
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Seconds that a server in the background, or one that is started by SIGUSR2, may take to become ready; past it, it is ended
    #[arg(long, value_name = "SECS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    ready_timeout: u32,

    /// Seconds that connections may go on when another process serves after SIGUSR2; what is left then has --drain-timeout
    #[arg(long, value_name = "SECS", default_value_t = 86_400)]
    retire_timeout: u32,
}

/// Notes how this process was started, while it has one thread.
///
/// # Errors
/// What it was handed is not there.
pub(crate) fn begin() -> io::Result<Option<Launcher>> {
    launch::note_program();
    init::note()?;
    Launcher::from_environment()
}

impl ProcessArguments {
    /// The loop to run on. What is said of it goes to standard error and the log.
    pub(crate) fn event_loop(&self, configured: Option<&str>, log: Option<&Log>) -> Loop {
        let (chosen, word) = Loop::choose(self.event_loop, configured);
        if let Some(word) = word {
            eprintln!("lwsws: {word}");
            log.iter().for_each(|log| log.line(format!("lwsws: {word}")));
        }
        chosen
    }

    pub(crate) fn ready_timeout(&self) -> Duration {
        Duration::from_secs(self.ready_timeout.into())
    }

    pub(crate) fn retire_timeout(&self) -> Duration {
        Duration::from_secs(self.retire_timeout.into())
    }

    /// Starts another process that is the server, where this one is not to be it. Answers the status to end with.
    ///
    /// # Errors
    /// That one cannot serve.
    pub(crate) fn start_another(&self) -> io::Result<Option<ExitCode>> {
        if init::is_first() {
            return init::run(self.ready_timeout()).map(Some);
        }
        if !self.daemon {
            return Ok(None);
        }
        let mut server = Launch { new_session: true, ..Launch::default() }.start()?;
        server.wait(self.ready_timeout())?;
        server.go();
        Ok(Some(ExitCode::SUCCESS))
    }

    /// The file of the process's number, if one is wanted: locked here, or by the process in whose place this one comes.
    ///
    /// # Errors
    /// Another process serves, or it cannot be written.
    pub(crate) fn pid_file(&self, launcher: Option<&mut Launcher>) -> io::Result<Option<Arc<PidFile>>> {
        let Some(path) = &self.pid_file else { return Ok(None) };
        let locked = launcher.and_then(|launcher| launcher.pid_file.take());
        let file = locked.map_or_else(|| PidFile::take(path), |file| Ok(PidFile::of(path, file)))?;
        Ok(Some(Arc::new(file)))
    }

    /// Says to the process that has started this one that it could serve, and takes over when it may.
    ///
    /// # Errors
    /// Nothing can be read from the other process. This one goes on then as it was.
    pub(crate) fn take_over(
        &self,
        launcher: &mut Option<Launcher>,
        pid_file: Option<&PidFile>,
    ) -> io::Result<()> {
        if let Some(started_by) = launcher {
            started_by.ready()?;
        }
        let Some(started_by) = launcher.take() else { return Ok(()) };
        // From here on no other process serves: what fails is said, and is no reason not to.
        if let Some(Err(error)) = pid_file.map(PidFile::write) {
            eprintln!("lwsws: the number of the process could not be written: {error}");
        }
        if let Err(error) = self.detach() {
            eprintln!("lwsws: the terminal stays: {error}");
        }
        started_by.serving();
        Ok(())
    }

    /// Lets go of the terminal, if the server is in the background.
    fn detach(&self) -> io::Result<()> {
        if self.daemon {
            let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
            rustix::stdio::dup2_stdin(&null)?;
            rustix::stdio::dup2_stdout(&null)?;
            rustix::stdio::dup2_stderr(&null)?;
        }
        Ok(())
    }
}

/// The listeners that another process has handed over.
pub(crate) fn handed_over(launcher: &mut Option<Launcher>) -> Vec<ListeningSocket> {
    launcher.as_mut().map(|launcher| std::mem::take(&mut launcher.sockets)).unwrap_or_default()
}

/// What signals ask for, one after the other, until another process serves.
#[derive(Clone, Default)]
pub(crate) struct Duties(Arc<Mutex<bool>>);

impl Duties {
    /// Does something, unless another process serves by now. It answers whether one does then.
    pub(crate) fn run(&self, duty: impl FnOnce() -> bool) {
        let mut is_over = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_over {
            *is_over = duty();
        }
    }
}
