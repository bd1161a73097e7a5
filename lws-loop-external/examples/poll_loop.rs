//! An echo service in a loop that somebody else runs: plain poll(2), with a descriptor of its own beside ours.
//!
//! Run it and connect with any TCP client; a line on standard input prints the statistics, its end drains the service.

use lws_loop_external::{
    Accepted, Address, Application, Change, Context, Driver, Interest, ListenOptions, ListenerId, Peer,
    Readiness, Service, Token,
};
use lws_proto::{Config, Event, Expect, Payload, Time};
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Echo(Arc<Config>);

impl Application for Echo {
    type State = ();
    type Message = ();

    fn accepted(&mut self, _: &mut Context<'_, Self>, _: ListenerId, peer: &Peer) -> Option<Accepted<Self>> {
        println!("{peer} has come");
        Some(Accepted { config: Arc::clone(&self.0), state: () })
    }

    fn event(&mut self, _: &mut Context<'_, Self>, (): &mut (), event: Event<'_>) {
        if let Event::Raw { stream, chunk, end } = event
            && let Ok(permit) = stream.permit()
            && let Ok(sent) = permit.data(Payload::Copy(chunk), end)
        {
            sent.throttle();
        }
    }
}

fn main() -> io::Result<()> {
    let config = Config { expect: Expect::Raw, ..Config::default() };
    let mut service = Driver::new(Echo(config.into()), Default::default())?;
    let address: Address = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:7681").parse()?;
    service.with(Time::ZERO, |_, cx| cx.listen(&address, &ListenOptions::default()))?;

    let start = Instant::now();
    let clock = || Time::ZERO + start.elapsed();
    let (stdin, mut stdin_ends) = (io::stdin(), false);
    let mut watched: Vec<(Token, Interest)> = Vec::new();
    loop {
        // 1. How long may we sleep?
        let wait = service.settle(clock());
        // 2. What does the service want watched? A descriptor without interest is left out.
        while let Some(change) = service.poll_change() {
            match change {
                Change::Add { token, interest, .. } | Change::Modify { token, interest, .. } => {
                    watched.retain(|(other, _)| *other != token);
                    watched.push((token, interest));
                }
                Change::Remove { token, .. } => {
                    watched.retain(|(other, _)| *other != token);
                    service.removed(token);
                }
            }
        }
        if service.is_done() {
            return Ok(());
        }
        // 3. Our own wait, for our own descriptor too.
        let wanted: Vec<_> = watched.iter().filter(|(_, interest)| !interest.is_empty()).collect();
        let descriptor = |(token, interest): &&(Token, Interest)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, interest.contains(Interest::READ));
            flags.set(PollFlags::OUT, interest.contains(Interest::WRITE));
            Some(PollFd::from_borrowed_fd(service.descriptor(*token)?, flags))
        };
        let mut descriptors: Vec<_> = wanted.iter().filter_map(descriptor).collect();
        if !stdin_ends {
            descriptors.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        let timeout = wait.timeout(clock()).unwrap_or(Duration::from_secs(3_600));
        poll(&mut descriptors, timeout.try_into().ok().as_ref())?;
        let ready: Vec<_> = descriptors.iter().map(PollFd::revents).collect();
        // 4. What is ready?
        for ((token, _), flags) in wanted.iter().zip(&ready) {
            let ready = Readiness::READABLE.when(flags.contains(PollFlags::IN))
                | Readiness::WRITABLE.when(flags.contains(PollFlags::OUT))
                | Readiness::HANG_UP.when(flags.contains(PollFlags::HUP))
                | Readiness::ERROR.when(flags.contains(PollFlags::ERR));
            if !ready.is_empty() {
                service.handle_ready(clock(), *token, ready);
            }
        }
        if ready.len() > wanted.len() && !ready[wanted.len()].is_empty() {
            println!("{:?}", service.stats());
            stdin_ends = stdin.read_line(&mut String::new())? == 0;
            if stdin_ends {
                service.drain(Duration::from_secs(2));
            }
        }
    }
}
