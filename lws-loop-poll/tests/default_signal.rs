//! What a signal does when it is no longer caught. In a process of its own, which it ends.

use lws_loop_poll::Signals;
use rustix::process::{Signal, getpid, kill_process};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Set in the process that the signal is to end.
const ROLE: &str = "LWS_LOOP_POLL_SIGNALLED";

#[test]
fn a_signal_ends_the_process_when_the_last_who_caught_it_has_gone() {
    if std::env::var_os(ROLE).is_some() {
        let first = Signals::new(&[Signals::HANG_UP]).expect("a descriptor");
        let second = Signals::to_end().and(Signals::new(&[Signals::HANG_UP])).expect("a descriptor");
        drop(first);
        kill_process(getpid(), Signal::HUP).expect("it is caught");
        drop(second);
        kill_process(getpid(), Signal::HUP).expect("it ends this process");
        unreachable!("it has ended");
    }
    let own = std::env::current_exe().expect("a path");
    let status = Command::new(own).arg("--nocapture").env(ROLE, "1").status().expect("it runs");
    assert_eq!(status.signal(), Some(Signal::HUP.as_raw()), "{status}");
}
