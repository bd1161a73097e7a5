//! The loops that the server can run on: the built-in one, and others that were built in. On every thread stands one.

use lws_server::{Server, ServerService, Shard};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

/// A loop by its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loop {
    name: &'static str,
    /// Hosts a service on this thread until it is done. The built-in loop brings its own threads.
    host: Option<Host>,
}

#[derive(Clone, Copy, Debug)]
struct Host {
    /// Whether there can be one now.
    check: fn() -> io::Result<()>,
    run: fn(ServerService) -> io::Result<()>,
}

/// The one that is always there: epoll or kqueue.
const BUILT_IN: Loop = Loop { name: "poll", host: None };

/// All that were built in.
static LOOPS: &[Loop] = &[
    BUILT_IN,
    #[cfg(feature = "uring")]
    Loop { name: "uring", host: Some(Host { check: uring::check, run: uring::run }) },
    #[cfg(feature = "uv")]
    Loop { name: "uv", host: Some(Host { check: uv::check, run: uv::run }) },
    #[cfg(feature = "libevent")]
    Loop { name: "libevent", host: Some(Host { check: libevent::check, run: libevent::run }) },
    #[cfg(feature = "glib")]
    Loop { name: "glib", host: Some(Host { check: glib::check, run: glib::run }) },
    #[cfg(feature = "tokio")]
    Loop { name: "tokio", host: Some(Host { check: tokio::check, run: tokio::run }) },
];

/// The names of all, for a person.
pub(crate) fn names() -> String {
    LOOPS.iter().map(|it| it.name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Loop {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = LOOPS.iter().find(|it| it.name == name);
        found.copied().ok_or_else(|| format!("no loop \"{name}\" is built in: there is {}", names()))
    }
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Loop {
    /// The loop that the command line wants, or else the configuration, or else the built-in one, which also stands in for one of the
    /// configuration that cannot be had: then with the reason.
    pub(crate) fn choose(wanted: Option<Self>, configured: Option<&str>) -> (Self, Option<String>) {
        let chosen = match (wanted, configured) {
            (Some(wanted), _) => Ok(wanted),
            (None, Some(name)) => name.parse(),
            (None, None) => Ok(BUILT_IN),
        };
        let available = chosen.and_then(|it: Self| {
            let check = it.host.map_or(Ok(()), |host| (host.check)());
            check.map(|()| it).map_err(|error| format!("the loop {it} cannot be had: {error}"))
        });
        match available {
            Ok(it) => (it, None),
            Err(reason) => (BUILT_IN, Some(format!("{reason}; {BUILT_IN} takes its place"))),
        }
    }

    /// Runs the server on loops of this kind until it has been drained or stopped.
    ///
    /// # Errors
    /// Those of a loop. If one of several threads fails the others end.
    pub(crate) fn run(self, server: Server) -> io::Result<()> {
        let Some(host) = self.host else { return server.run_without_signals() };
        let handle = server.handle();
        let (first, others) = server.into_shards();
        let (begun, wait) = channel();
        let mut threads = Vec::new();
        for shard in others {
            let (begun, ends) = (begun.clone(), handle.clone());
            let name = format!("loop-{}", shard.index());
            threads.push(thread::Builder::new().name(name).spawn(move || {
                let ran = run_shard(host, shard, begun);
                if ran.is_err() {
                    ends.drain();
                }
                ran
            })?);
        }
        drop(begun);
        // All or none: a thread that could not begin has said so by its end.
        let count = threads.len();
        if wait.iter().take(count).count() < count {
            handle.stop();
        }
        let ran = (host.run)(first);
        if ran.is_err() {
            handle.drain();
        }
        threads.into_iter().map(join).fold(ran, Result::and)
    }
}

fn run_shard(host: Host, shard: Shard, begun: Sender<()>) -> io::Result<()> {
    let service = shard.build()?;
    // The first thread waits for all, and for nothing of one that has failed.
    let _ = begun.send(());
    drop(begun);
    (host.run)(service)
}

fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    let name = thread.thread().name().unwrap_or("a loop").to_owned();
    let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("it has panicked")));
    ended.map_err(|error| io::Error::new(error.kind(), format!("thread {name}: {error}")))
}

#[cfg(feature = "uring")]
mod uring {
    use super::{ServerService, io};
    use lws_loop_uring::UringLoop;

    pub(super) fn check() -> io::Result<()> {
        UringLoop::<ServerService>::new()?;
        Ok(())
    }

    pub(super) fn run(service: ServerService) -> io::Result<()> {
        let mut uring_loop = UringLoop::new()?;
        uring_loop.add(service)?;
        uring_loop.run()?;
        Ok(())
    }
}

#[cfg(feature = "uv")]
mod uv {
    use super::{ServerService, io};
    use lws_loop_uv::{Liveness, UvLoop};

    pub(super) fn check() -> io::Result<()> {
        UvLoop::new().map(drop)
    }

    pub(super) fn run(service: ServerService) -> io::Result<()> {
        let mut uv_loop = UvLoop::new()?;
        let attached = uv_loop.attach(service).map_err(|error| error.error)?;
        attached.set_liveness(Liveness::UntilDone);
        uv_loop.run().map_err(|_| io::Error::other("the loop is at work already"))?;
        drop(attached);
        Ok(())
    }
}

#[cfg(feature = "libevent")]
mod libevent {
    use super::{ServerService, io};
    use lws_loop_external::hosts::OnLibevent;
    use lws_loop_external::hosts::libevent::Base;

    pub(super) fn check() -> io::Result<()> {
        Base::new().map(drop)
    }

    pub(super) fn run(service: ServerService) -> io::Result<()> {
        let base = Base::new()?;
        let hosted = OnLibevent::new(service, &base)?;
        while !hosted.is_done() {
            base.run_once()?;
        }
        Ok(())
    }
}

#[cfg(feature = "glib")]
mod glib {
    use super::{ServerService, io};
    use lws_loop_external::hosts::OnGlib;
    use lws_loop_external::hosts::glib::MainContext;

    pub(super) fn check() -> io::Result<()> {
        MainContext::new().map(drop)
    }

    pub(super) fn run(service: ServerService) -> io::Result<()> {
        let context = MainContext::new()?;
        let hosted = OnGlib::new(service, &context)?;
        while !hosted.is_done() {
            context.iteration(true);
        }
        Ok(())
    }
}

#[cfg(feature = "tokio")]
mod tokio {
    use super::{ServerService, io};
    use lws_loop_external::hosts::OnTokio;
    use tokio::runtime::{Builder, Runtime};

    fn runtime() -> io::Result<Runtime> {
        Builder::new_current_thread().enable_all().build()
    }

    pub(super) fn check() -> io::Result<()> {
        runtime().map(drop)
    }

    pub(super) fn run(service: ServerService) -> io::Result<()> {
        runtime()?.block_on(async { OnTokio::new(service)?.run().await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_and_what_cannot_be_had_gives_way_with_a_word() {
        let chosen = |wanted, configured| {
            let (chosen, word) = Loop::choose(wanted, configured);
            (chosen.to_string(), word)
        };
        assert_eq!(chosen(None, None), ("poll".into(), None));
        for it in LOOPS {
            assert_eq!(chosen(None, Some(it.name)), (it.name.to_owned(), None));
            assert_eq!(chosen(Some(*it), Some("another")), (it.name.to_owned(), None));
        }
        let (fallback, word) = chosen(None, Some("another"));
        let word = word.expect("it is said");
        assert!(fallback == "poll" && word.ends_with("; poll takes its place"), "{word}");
        assert!("another".parse::<Loop>().is_err_and(|error| error.contains("there is poll")));
    }
}
