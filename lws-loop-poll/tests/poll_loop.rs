//! Services on the built-in loop, over real sockets.

use lws_loop_external::{
    Accepted, Address, Application, ConnectOptions, Driver, DriverContext, DriverOptions, ListenOptions,
    ListenerId, Peer, Speak,
};
use lws_loop_poll::{Outcome, PollLoop, Signals, Stopper};
use lws_proto::{Config, Event, Expect, Payload};
use mio::unix::SourceFd;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Echoes raw bytes.
struct Echo {
    config: Arc<Config>,
    /// Stops the loop on a command of the peer, or on a message.
    stopper: Option<Stopper>,
    open: usize,
    timers: usize,
}

impl Echo {
    fn new(stopper: Option<Stopper>) -> Self {
        let config = Arc::new(Config { expect: Expect::Raw, ..Config::default() });
        Self { config, stopper, open: 0, timers: 0 }
    }
}

impl Application for Echo {
    type State = ();
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        self.open += 1;
        Some(Accepted { config: Arc::clone(&self.config), state: () })
    }

    fn connected(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), _: &mut lws_proto::Connection) {
        self.open += 1;
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: Event<'_>) {
        if let Event::Raw { stream, chunk, end } = event {
            if let Some(stopper) = self.stopper.as_ref().filter(|_| *chunk == *b"stop") {
                stopper.stop();
            }
            if let Ok(permit) = stream.permit() {
                permit.data(Payload::Copy(chunk), end).expect("an open stream").throttle();
            }
        }
    }

    fn closed(&mut self, _: &mut DriverContext<'_, Self>, (): ()) {
        self.open -= 1;
    }

    fn message(&mut self, _: &mut DriverContext<'_, Self>, (): ()) {
        self.stopper.iter().for_each(Stopper::stop);
    }

    fn timer(&mut self, _: &mut DriverContext<'_, Self>) {
        self.timers += 1;
        self.stopper.iter().for_each(Stopper::stop);
    }
}

type Loop = PollLoop<Driver<Echo>>;

fn service(poll_loop: &Loop, stops: bool) -> (Driver<Echo>, SocketAddr) {
    let stopper = stops.then(|| poll_loop.stopper());
    let mut driver = Driver::new(Echo::new(stopper), DriverOptions::default()).expect("a driver");
    let address = driver.with(poll_loop.now(), |_, cx| {
        let any = Address::Tcp(([127, 0, 0, 1], 0).into());
        let id = cx.listen(&any, &ListenOptions::default()).expect("a listener");
        cx.listening_on(id).expect("an address")
    });
    let Address::Tcp(address) = address else { panic!("not TCP") };
    (driver, address)
}

/// Sends and receives on a thread of its own, so that the loop can sleep.
fn peer(address: SocketAddr, bytes: Vec<u8>) -> thread::JoinHandle<bool> {
    thread::spawn(move || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let mut sending = stream.try_clone().expect("a socket");
        let sent = bytes.clone();
        let writing = thread::spawn(move || {
            sending.write_all(&sent).expect("room in the end");
            sending.shutdown(Shutdown::Write).expect("a socket");
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("everything");
        writing.join().expect("no panic");
        received == bytes
    })
}

#[test]
fn the_loop_runs_until_a_handler_stops_it_and_can_run_again() {
    let mut poll_loop = Loop::new().expect("a loop");
    let (driver, address) = service(&poll_loop, true);
    let id = poll_loop.add(driver).expect("room");
    for _ in 0..3 {
        let peer = peer(address, b"stop".to_vec());
        assert_eq!(poll_loop.run().expect("a run"), Outcome::Stopped);
        while !peer.is_finished() || poll_loop.service(id).expect("a service").application().open > 0 {
            poll_loop.run_once(Some(Duration::from_millis(5))).expect("a turn");
        }
        assert!(peer.join().expect("no panic"));
    }
}

#[test]
fn large_streams_of_many_peers_come_back_whole() {
    let mut poll_loop = Loop::new().expect("a loop");
    let (driver, address) = service(&poll_loop, false);
    let id = poll_loop.add(driver).expect("room");
    let bytes = |n: usize| (0..1_000_003).map(|at| (at * 31 + n) as u8).collect::<Vec<_>>();
    let peers: Vec<_> = (0..16).map(|n| peer(address, bytes(n))).collect();
    while !peers.iter().all(thread::JoinHandle::is_finished) {
        poll_loop.run_once(Some(Duration::from_millis(5))).expect("a turn");
    }
    assert!(peers.into_iter().all(|peer| peer.join().expect("no panic")));
    poll_loop.service_mut(id).expect("a service").drain(Duration::from_secs(5));
    assert_eq!(poll_loop.run().expect("a run"), Outcome::Done);
    assert_eq!(poll_loop.service(id).expect("a service").stats().closed_for("closed"), 16);
}

#[test]
fn other_threads_stop_the_loop_or_have_a_service_do_it() {
    let mut poll_loop = Loop::new().expect("a loop");
    let (driver, _) = service(&poll_loop, true);
    let handle = driver.handle();
    poll_loop.add(driver).expect("room");
    let stopper = poll_loop.stopper();
    let thread = thread::spawn(move || stopper.stop());
    assert_eq!(poll_loop.run().expect("a run"), Outcome::Stopped);
    thread.join().expect("no panic");
    let thread = thread::spawn(move || handle.send(()).expect("room"));
    assert_eq!(poll_loop.run().expect("a run"), Outcome::Stopped);
    thread.join().expect("no panic");
}

#[test]
fn several_services_share_a_loop_and_speak_to_each_other() {
    let mut poll_loop = Loop::new().expect("a loop");
    let (first, address) = service(&poll_loop, false);
    let (second, _) = service(&poll_loop, false);
    let first = poll_loop.add(first).expect("room");
    let second = poll_loop.add(second).expect("room");
    let now = poll_loop.now();
    poll_loop.service_mut(second).expect("a service").with(now, |app, cx| {
        let options = ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() };
        cx.connect(address, app.config.clone(), &options, ()).expect("an attempt")
    });
    let open = |poll_loop: &Loop, id| poll_loop.service(id).expect("a service").application().open;
    while open(&poll_loop, first) + open(&poll_loop, second) < 2 {
        poll_loop.run_once(None).expect("a turn");
    }
    poll_loop.service_mut(second).expect("a service").drain(Duration::from_secs(5));
    while open(&poll_loop, first) > 0 {
        poll_loop.run_once(None).expect("a turn");
    }
}

#[test]
fn a_deadline_ends_the_sleep() {
    let mut poll_loop = Loop::new().expect("a loop");
    let (mut driver, _) = service(&poll_loop, true);
    let now = poll_loop.now();
    driver.with(now, |_, cx| cx.set_timer(Some(cx.now() + Duration::from_millis(20))));
    let id = poll_loop.add(driver).expect("room");
    assert_eq!(poll_loop.run().expect("a run"), Outcome::Stopped);
    assert_eq!(poll_loop.service(id).expect("a service").application().timers, 1);
    assert!(poll_loop.now() - now >= Duration::from_millis(20));
}

#[test]
fn a_look_never_sleeps_and_another_loop_can_watch_this_one() {
    let mut poll_loop = Loop::new().expect("a loop");
    let (driver, address) = service(&poll_loop, false);
    let id = poll_loop.add(driver).expect("room");
    assert_eq!(poll_loop.dispatch().expect("a look"), None);
    let peer = peer(address, b"hello".to_vec());
    let mut outer = mio::Poll::new().expect("another loop");
    let fd = poll_loop.as_raw_fd();
    outer.registry().register(&mut SourceFd(&fd), mio::Token(0), mio::Interest::READABLE).expect("watched");
    let ended =
        |poll_loop: &Loop| poll_loop.service(id).expect("a service").stats().closed_for("closed") == 1;
    while !ended(&poll_loop) {
        let timeout = poll_loop.settle().timeout(poll_loop.now());
        outer.poll(&mut mio::Events::with_capacity(1), timeout).expect("a wait");
        poll_loop.dispatch().expect("a look");
    }
    assert!(peer.join().expect("no panic"));
}

#[test]
fn a_service_moves_from_one_loop_to_another_with_its_connections() {
    let mut first = Loop::new().expect("a loop");
    let (driver, address) = service(&first, false);
    let id = first.add(driver).expect("room");
    let mut client = TcpStream::connect(address).expect("a connection");
    while first.service(id).expect("a service").application().open == 0 {
        first.run_once(None).expect("a turn");
    }
    let driver = first.remove(id).expect("a service");
    assert!(first.remove(id).is_none());
    assert_eq!(first.run().expect("a run"), Outcome::Done);
    client.write_all(b"hello").expect("room");
    let mut second = Loop::new().expect("a loop");
    let id = second.add(driver).expect("room");
    while second.service(id).expect("a service").stats().sent_bytes_total < 5 {
        second.run_once(None).expect("a turn");
    }
    let mut reply = [0; 5];
    client.read_exact(&mut reply).expect("the echo");
    assert_eq!(&reply, b"hello");
}

#[test]
fn a_signal_ends_the_run_and_the_program_decides() -> io::Result<()> {
    let mut poll_loop = Loop::new()?;
    let (driver, _) = service(&poll_loop, false);
    let id = poll_loop.add(driver)?;
    // A signal that nothing else in this process uses.
    poll_loop.watch_signals(Signals::new(&[Signals::HANG_UP])?)?;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)?;
    assert_eq!(poll_loop.run()?, Outcome::Signal(Signals::HANG_UP));
    poll_loop.service_mut(id).expect("a service").drain(Duration::from_secs(5));
    assert_eq!(poll_loop.run()?, Outcome::Done);
    Ok(())
}

#[test]
fn services_of_different_kinds_fit_in_boxes() {
    let mut poll_loop = PollLoop::<Box<dyn lws_loop_external::Service>>::new().expect("a loop");
    let driver = || Driver::new(Echo::new(None), DriverOptions::default()).expect("a driver");
    let (mut done, waiting) = (driver(), driver());
    done.drain(Duration::ZERO);
    poll_loop.add(Box::new(done)).expect("room");
    let waiting = poll_loop.add(Box::new(waiting)).expect("room");
    assert_eq!(poll_loop.dispatch().expect("a look"), None);
    drop(poll_loop.remove(waiting));
    assert_eq!(poll_loop.run().expect("a run"), Outcome::Done);
}
