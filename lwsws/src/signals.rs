//! SIGTERM and SIGINT: the first drains the server, the second ends the program.

use lws_server::Handle;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::process;
use std::thread;

/// Begins to listen for signals, on a thread of its own: a server that is busy hears them too.
pub(crate) fn drain_on_signal(handle: Handle) -> io::Result<()> {
    let (mut signals, bell) = UnixStream::pair()?;
    pipe::register(SIGTERM, bell.try_clone()?)?;
    pipe::register(SIGINT, bell)?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut one = [0];
        if signals.read_exact(&mut one).is_ok() {
            handle.drain();
        }
        if signals.read_exact(&mut one).is_ok() {
            process::exit(1);
        }
    })?;
    Ok(())
}
