//! A program that runs, as a process group of its own. Knows no loop.
//!
//! It is waited for by its own number and never in general, so that no other child of this process is touched; and only once its group
//! has been ended, as until then the number of the group cannot become another's.

use crate::Limits;
use crate::failure::Exit;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A process of ours.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// It has been waited for: its number may be another's.
    reaped: bool,
}

/// This side's ends of its standard streams.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) messages: OwnedFd,
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(command: &mut Command, limits: &Limits) -> io::Result<(Self, Pipes)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        let process = Self { pid: Pid::from_child(&child), reaped: false };
        process.limit(limits);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(messages)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok((process, Pipes { input: input.into(), output: output.into(), messages: messages.into() }))
    }

    /// Sets its limits from here. It has run for a moment without them: setting them on its own side would need code between fork and
    /// exec, where next to nothing is allowed.
    #[cfg(target_os = "linux")]
    fn limit(&self, limits: &Limits) {
        use rustix::process::{Resource, Rlimit, prlimit};
        let processor = limits.processor_time_max.map(|time| time.as_secs().max(1));
        for (resource, most) in [
            (Resource::Cpu, processor),
            (Resource::As, limits.memory_bytes_max),
            (Resource::Nofile, limits.descriptors_max),
        ] {
            if most.is_some() {
                // It fails where the process has ended already, or has a lower limit.
                let _ = prlimit(Some(self.pid), resource, Rlimit { current: most, maximum: most });
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn limit(&self, _: &Limits) {}

    /// A descriptor that is readable once it has ended, where the system has such.
    #[cfg(target_os = "linux")]
    pub(crate) fn exit_descriptor(&self) -> Option<OwnedFd> {
        rustix::process::pidfd_open(self.pid, rustix::process::PidfdFlags::empty()).ok()
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn exit_descriptor(&self) -> Option<OwnedFd> {
        None
    }

    /// How it has ended, if it has. It stays as a zombie, which keeps its number.
    pub(crate) fn exit(&mut self) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.pid), options) {
            Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unknown,
            }),
            Err(Errno::CHILD) => {
                self.reaped = true;
                Some(Exit::Unknown)
            }
            Ok(None) | Err(_) => None,
        }
    }

    /// Sends a signal to it and all that it has started in its group.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.reaped {
            // It fails if all of them have ended.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Ends its group, and lets go of its number. False if it has not ended yet.
    pub(crate) fn reap(&mut self) -> bool {
        if !self.reaped {
            self.signal(Signal::KILL);
            let waited = waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
            self.reaped = matches!(waited, Ok(Some(_)) | Err(Errno::CHILD));
        }
        self.reaped
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reap() {
            return;
        }
        // It was killed a moment ago. Its owner must not wait here, and a process that is not waited for stays as a zombie.
        let pid = self.pid;
        let wait = move || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
        let _ = std::thread::Builder::new().name("lws-cgi reaper".to_owned()).spawn(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use test_kit::eventually;

    fn start(script: &str) -> (Process, Pipes) {
        let mut command = Command::new("/bin/sh");
        Process::start(command.args(["-c", script]), &Limits::default()).expect("a shell starts")
    }

    fn ends(process: &mut Process) -> Exit {
        let mut exit = None;
        eventually(|| {
            exit = process.exit();
            exit.is_some()
        });
        exit.expect("it has ended")
    }

    #[test]
    fn a_process_ends_with_its_status_or_by_a_signal() {
        for (script, exit) in [
            ("exit 0", Exit::Code(0)),
            ("exit 7", Exit::Code(7)),
            ("kill -TERM $$; sleep 100", Exit::Signal(15)),
        ] {
            let (mut process, _pipes) = start(script);
            assert_eq!(ends(&mut process), exit, "{script}");
            assert_eq!(process.exit(), Some(exit), "looking does not wait");
            assert!(process.reap());
        }
    }

    #[test]
    fn what_a_process_has_started_ends_with_it() {
        // Otherwise the output would end with the sleeper.
        let (mut process, pipes) = start("sleep 1000 & echo $!; exit 3");
        assert_eq!(ends(&mut process), Exit::Code(3));
        assert!(process.reap());
        let mut output = String::new();
        std::fs::File::from(pipes.output).read_to_string(&mut output).expect("the end of the output");
        assert!(output.trim().parse::<u32>().is_ok(), "{output:?}");
    }

    #[test]
    fn a_process_that_is_dropped_is_killed_and_waited_for() {
        let (process, _pipes) = start("trap '' TERM; sleep 1000; sleep 1000");
        let pid = process.pid;
        drop(process);
        eventually(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).is_err());
    }

    #[test]
    fn other_children_are_not_touched() {
        let mut mine = Command::new("/bin/sh").args(["-c", "exit 9"]).spawn().expect("a shell starts");
        let (mut process, _pipes) = start("exit 0");
        ends(&mut process);
        assert!(process.reap());
        assert_eq!(mine.wait().expect("it is still mine").code(), Some(9));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn limits_hold_for_a_process() {
        let limits = Limits { descriptors_max: Some(17), ..Limits::default() };
        let mut command = Command::new("/bin/sh");
        let (_process, pipes) =
            Process::start(command.args(["-c", "read line; ulimit -n"]), &limits).expect("a shell starts");
        drop(pipes.input);
        let mut output = String::new();
        std::fs::File::from(pipes.output).read_to_string(&mut output).expect("the end of the output");
        assert_eq!(output.trim(), "17");
    }
}
