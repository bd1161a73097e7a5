//! The latency of waking a sleeping service from another thread: from the send to the handler. Compared with a thread
//! that sleeps on an eventfd, which is the minimum.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use lws_loop_external::hosts::{self, PollFd};
use lws_loop_external::{
    Accepted, Application, Clock, Driver, DriverContext, DriverHandle, DriverOptions, Interest, ListenerId,
    OneDescriptor, Peer,
};
use lws_loop_poll::PollLoop;
use lws_proto::Event;
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::AsRawFd;

use crate::histogram::Histogram;
use crate::{Result, machine};

/// What to measure.
pub struct Wake {
    /// How often the service is woken.
    pub messages: usize,
    /// The pause before each wake.
    pub pause: Duration,
    /// The core of the service.
    pub core: usize,
}

/// A message to the service.
enum Message {
    Sent(Instant),
    End,
}

/// An application that reports the latency of each message.
struct Listens(Sender<Duration>);

impl Application for Listens {
    type State = ();
    type Message = Message;

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), _: Event<'_>) {}

    fn message(&mut self, cx: &mut DriverContext<'_, Self>, message: Message) {
        match message {
            Message::Sent(at) => {
                // Sending fails only if the measurement has ended.
                let _ = self.0.send(at.elapsed());
            }
            Message::End => cx.drain(Duration::ZERO),
        }
    }
}

/// Measures and prints, for a bare eventfd, for the built-in loop and for one descriptor in a loop on poll(2).
///
/// # Errors
/// When a loop cannot be made, or ends too early.
pub fn run(wake: &Wake) -> Result<()> {
    println!("from another thread to the handler, the service asleep, {} times:", wake.messages);
    let report = |name: &str, histogram: &Histogram| {
        let micros = |share| histogram.quantile(share) as f64 / 1e3;
        println!("  {name:<16} p50 {:.1} µs, p99 {:.1} µs", micros(0.5), micros(0.99));
    };
    report("bare eventfd", &bare(wake)?);
    report(
        "built-in loop",
        &measure(wake, |service| {
            let mut poll_loop = PollLoop::new()?;
            poll_loop.add(service)?;
            poll_loop.run()?;
            Ok(())
        })?,
    );
    report(
        "one descriptor",
        &measure(wake, |service| {
            let clock = Clock::new();
            let mut one = OneDescriptor::new(service)?;
            while !one.is_done() {
                let mut fds = [PollFd::new(one.as_raw_fd(), Interest::READ)];
                hosts::poll(&mut fds, one.wait().timeout(clock.now()))?;
                one.dispatch(clock.now());
            }
            Ok(())
        })?,
    );
    Ok(())
}

/// Lets `host` run a service on a thread of its own, and wakes it repeatedly.
fn measure(wake: &Wake, host: fn(Driver<Listens>) -> std::io::Result<()>) -> Result<Histogram> {
    let (sender, durations) = channel();
    let (ready, handle) = channel();
    let core = wake.core;
    let thread = thread::spawn(move || {
        machine::pin(core);
        let service = Driver::new(Listens(sender), DriverOptions::default())?;
        // Sending fails only if the measurement has ended.
        let _ = ready.send(service.handle());
        host(service)
    });
    let handle: DriverHandle<Message> = handle.recv()?;
    let mut histogram = Histogram::default();
    for _ in 0..wake.messages {
        thread::sleep(wake.pause);
        handle.send(Message::Sent(Instant::now())).map_err(|error| error.to_string())?;
        histogram.add(durations.recv()?.as_nanos() as u64);
    }
    handle.send(Message::End).map_err(|error| error.to_string())?;
    thread.join().map_err(|_| "the thread of the service has panicked")??;
    Ok(histogram)
}

/// Measures a thread that reads an eventfd, without a service.
fn bare(wake: &Wake) -> Result<Histogram> {
    let bell = eventfd(0, EventfdFlags::CLOEXEC)?;
    let ear = bell.try_clone()?;
    let (letters, mailbox) = channel::<Instant>();
    let (sender, durations) = channel();
    let core = wake.core;
    let thread = thread::spawn(move || -> std::io::Result<()> {
        machine::pin(core);
        loop {
            rustix::io::read(&ear, &mut [0; 8])?;
            // The last wake has no message.
            let Ok(at) = mailbox.try_recv() else { return Ok(()) };
            // Sending fails only if the measurement has ended.
            let _ = sender.send(at.elapsed());
        }
    });
    let ring = || rustix::io::write(&bell, &1_u64.to_ne_bytes());
    let mut histogram = Histogram::default();
    for _ in 0..wake.messages {
        thread::sleep(wake.pause);
        letters.send(Instant::now())?;
        ring()?;
        histogram.add(durations.recv()?.as_nanos() as u64);
    }
    ring()?;
    thread.join().map_err(|_| "the bare thread has panicked")??;
    Ok(histogram)
}
