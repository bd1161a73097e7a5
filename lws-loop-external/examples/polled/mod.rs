//! A plain poll(2) loop, as any program may have one: hosts a service until it is done.

use lws_loop_external::{Application, Change, Driver, Interest, Readiness, Service, Token};
use lws_proto::Time;
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::time::Instant;

/// `each_turn` is called before each sleep.
pub(crate) fn run<A: Application>(
    service: &mut Driver<A>,
    mut each_turn: impl FnMut(&mut Driver<A>),
) -> io::Result<()> {
    let start = Instant::now();
    let clock = || Time::ZERO + start.elapsed();
    let mut watched: Vec<(Token, Interest)> = Vec::new();
    loop {
        each_turn(service);
        let wait = service.settle(clock());
        while let Some(change) = service.poll_change() {
            let (Change::Add { token, .. } | Change::Modify { token, .. } | Change::Remove { token, .. }) =
                change;
            watched.retain(|(other, _)| *other != token);
            match change {
                Change::Add { interest, .. } | Change::Modify { interest, .. } => {
                    watched.push((token, interest));
                }
                Change::Remove { .. } => service.removed(token),
            }
        }
        if service.is_done() {
            return Ok(());
        }
        let wanted: Vec<_> = watched.iter().filter(|(_, interest)| !interest.is_empty()).collect();
        let descriptor = |(token, interest): &&(Token, Interest)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, interest.contains(Interest::READ));
            flags.set(PollFlags::OUT, interest.contains(Interest::WRITE));
            Some(PollFd::from_borrowed_fd(service.descriptor(*token)?, flags))
        };
        let mut descriptors: Vec<_> = wanted.iter().filter_map(descriptor).collect();
        let timeout = wait.timeout(clock()).and_then(|timeout| timeout.try_into().ok());
        poll(&mut descriptors, timeout.as_ref())?;
        let ready: Vec<_> = descriptors.iter().map(PollFd::revents).collect();
        for ((token, _), flags) in wanted.iter().zip(&ready) {
            let ready = Readiness::READABLE.when(flags.contains(PollFlags::IN))
                | Readiness::WRITABLE.when(flags.contains(PollFlags::OUT))
                | Readiness::HANG_UP.when(flags.contains(PollFlags::HUP))
                | Readiness::ERROR.when(flags.intersects(PollFlags::ERR | PollFlags::NVAL));
            if !ready.is_empty() {
                service.handle_ready(clock(), *token, ready);
            }
        }
    }
}
