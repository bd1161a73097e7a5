//! Services on a loop on io_uring, over real sockets.

use lws_loop_external::{
    Accepted, Address, Application, ConnectOptions, Driver, DriverContext, DriverOptions, ListenOptions,
    ListenerId, Peer, Speak,
};
use lws_loop_uring::{Outcome, Stopper, UringLoop};
use lws_proto::{Config, Event, Expect, Payload};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
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

type Loop = UringLoop<Driver<Echo>>;

fn service(uring_loop: &Loop, stops: bool) -> (Driver<Echo>, SocketAddr) {
    let stopper = stops.then(|| uring_loop.stopper());
    let mut driver = Driver::new(Echo::new(stopper), DriverOptions::default()).expect("a driver");
    let address = driver.with(uring_loop.now(), |_, cx| {
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
    let mut uring_loop = Loop::new().expect("a loop");
    let (driver, address) = service(&uring_loop, true);
    let id = uring_loop.add(driver).expect("room");
    for _ in 0..3 {
        let peer = peer(address, b"stop".to_vec());
        assert_eq!(uring_loop.run().expect("a run"), Outcome::Stopped);
        while !peer.is_finished() || uring_loop.service(id).expect("a service").application().open > 0 {
            uring_loop.run_once(Some(Duration::from_millis(5))).expect("a turn");
        }
        assert!(peer.join().expect("no panic"));
    }
}

#[test]
fn other_threads_stop_the_loop_or_have_a_service_do_it() {
    let mut uring_loop = Loop::new().expect("a loop");
    let (driver, _) = service(&uring_loop, true);
    let handle = driver.handle();
    uring_loop.add(driver).expect("room");
    let stopper = uring_loop.stopper();
    let thread = thread::spawn(move || stopper.stop());
    assert_eq!(uring_loop.run().expect("a run"), Outcome::Stopped);
    thread.join().expect("no panic");
    let thread = thread::spawn(move || handle.send(()).expect("room"));
    assert_eq!(uring_loop.run().expect("a run"), Outcome::Stopped);
    thread.join().expect("no panic");
}

#[test]
fn several_services_share_a_loop_and_speak_to_each_other() {
    let mut uring_loop = Loop::new().expect("a loop");
    let (first, address) = service(&uring_loop, false);
    let (second, _) = service(&uring_loop, false);
    let first = uring_loop.add(first).expect("room");
    let second = uring_loop.add(second).expect("room");
    let now = uring_loop.now();
    uring_loop.service_mut(second).expect("a service").with(now, |app, cx| {
        let options = ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() };
        cx.connect(address, app.config.clone(), &options, ()).expect("an attempt")
    });
    let open = |uring_loop: &Loop, id| uring_loop.service(id).expect("a service").application().open;
    while open(&uring_loop, first) + open(&uring_loop, second) < 2 {
        uring_loop.run_once(None).expect("a turn");
    }
    uring_loop.service_mut(second).expect("a service").drain(Duration::from_secs(5));
    while open(&uring_loop, first) > 0 {
        uring_loop.run_once(None).expect("a turn");
    }
}

#[test]
fn a_deadline_ends_the_sleep() {
    let mut uring_loop = Loop::new().expect("a loop");
    let (mut driver, _) = service(&uring_loop, true);
    let now = uring_loop.now();
    driver.with(now, |_, cx| cx.set_timer(Some(cx.now() + Duration::from_millis(20))));
    let id = uring_loop.add(driver).expect("room");
    assert_eq!(uring_loop.run().expect("a run"), Outcome::Stopped);
    assert_eq!(uring_loop.service(id).expect("a service").application().timers, 1);
    assert!(uring_loop.now() - now >= Duration::from_millis(20));
}

#[test]
fn services_of_different_kinds_fit_in_boxes() {
    let mut uring_loop = UringLoop::<Box<dyn lws_loop_external::Service>>::new().expect("a loop");
    let driver = || Driver::new(Echo::new(None), DriverOptions::default()).expect("a driver");
    let (mut done, waiting) = (driver(), driver());
    done.drain(Duration::ZERO);
    uring_loop.add(Box::new(done)).expect("room");
    let waiting = uring_loop.add(Box::new(waiting)).expect("room");
    assert_eq!(uring_loop.dispatch().expect("a look"), None);
    drop(uring_loop.remove(waiting));
    assert_eq!(uring_loop.run().expect("a run"), Outcome::Done);
}
