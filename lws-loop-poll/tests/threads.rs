//! Shards on threads of their own: they begin together, share the connections of one listener, and end together.

use lws_loop_external::{
    Accepted, Address, Application, ConnectionId, Driver, DriverContext, DriverOptions, DriverShard,
    GlobalId, ListenOptions, ListenerId, Peer, Shards,
};
use lws_loop_poll::{Outcome, PollLoop, Threads, ThreadsStopper};
use lws_proto::{Config, Connection, Event, Expect, Payload};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, ThreadId};
use std::time::Duration;
use test_kit::{PATIENCE, eventually, open_descriptors};

/// Echoes raw bytes, and reports to the test which connection is on which thread.
struct Echo {
    config: Arc<Config>,
    opened: Sender<(GlobalId, ThreadId)>,
    open: Arc<AtomicUsize>,
}

impl Application for Echo {
    type State = ();
    type Message = &'static str;

    fn accepted(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        let id = cx.connection().map(|id| cx.global(id))?;
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.send((id, thread::current().id())).ok()?;
        Some(Accepted { config: Arc::clone(&self.config), state: () })
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: Event<'_>) {
        if let Event::Raw { stream, chunk, end } = event
            && let Ok(permit) = stream.permit()
        {
            permit.data(Payload::Copy(chunk), end).expect("an open stream").throttle();
        }
    }

    fn message_to(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        (): &mut (),
        connection: &mut Connection,
        message: &'static str,
    ) {
        assert!(cx.connection().is_some());
        if message == "abort" {
            connection.abort();
        }
    }

    fn closed(&mut self, _: &mut DriverContext<'_, Self>, (): ()) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `count` shards, of which the first is run by this thread, while `test` talks to them on another one.
fn on_shards(
    count: u16,
    options: &DriverOptions,
    test: impl FnOnce(SocketAddr, &Shards<&'static str>, &dyn Fn() -> (GlobalId, ThreadId)) + Send + 'static,
) -> Outcome {
    let (opened, has_opened) = channel();
    let open = Arc::new(AtomicUsize::new(0));
    let echo = {
        let open = Arc::clone(&open);
        move || Echo {
            config: Arc::new(Config { expect: Expect::Raw, ..Config::default() }),
            opened: opened.clone(),
            open: Arc::clone(&open),
        }
    };
    let count = NonZeroU16::new(count).expect("one at least");
    let mut made = Shards::create(count, options).expect("shards");
    let others = made.split_off(1);
    let mut poll_loop = PollLoop::new().expect("a loop");
    let first = made.pop().expect("the first");
    let shards = first.shards().clone();
    let mut driver = Driver::sharded(echo(), first);
    let address = driver.with(poll_loop.now(), |_, cx| {
        let id = cx
            .listen(&Address::Tcp(([127, 0, 0, 1], 0).into()), &ListenOptions::default())
            .expect("a listener");
        cx.listening_on(id).expect("an address")
    });
    let Address::Tcp(address) = address else { panic!("not TCP") };
    poll_loop.add(driver).expect("room");
    let start = |shard: DriverShard<&'static str>| {
        let echo = echo.clone();
        move |poll_loop: &mut PollLoop<Driver<Echo>>| poll_loop.add(Driver::sharded(echo(), shard)).map(drop)
    };
    let threads = Threads::start(poll_loop.stopper(), others.into_iter().map(start)).expect("threads");
    assert_eq!(threads.count(), usize::from(count.get()) - 1);
    let (talked, stopper) = (shards.clone(), threads.stopper());
    let testing = thread::spawn(move || {
        // A test that fails ends the loops too.
        let mut end = End(Some(stopper));
        test(address, &talked, &|| has_opened.recv_timeout(PATIENCE).expect("a connection"));
        talked.drain(Duration::from_millis(200));
        end.0 = None;
    });
    let outcome = poll_loop.run().expect("a run");
    drop(poll_loop);
    threads.join().expect("all end well");
    testing.join().expect("no panic");
    assert_eq!(open.load(Ordering::Relaxed), 0, "each end was reported");
    for shard in 0..shards.count() {
        assert_eq!(shards.connections(shard), 0, "of shard {shard}");
    }
    outcome
}

/// Stops the loops of a test that fails.
struct End(Option<ThreadsStopper>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.iter().for_each(ThreadsStopper::stop);
    }
}

fn echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(bytes).expect("room");
    let mut received = vec![0; bytes.len()];
    stream.read_exact(&mut received).expect("everything comes back");
    assert_eq!(received, bytes);
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("a connection")
}

#[test]
fn the_connections_of_one_listener_are_spread_evenly_and_each_stays_on_its_thread() {
    let outcome = on_shards(4, &DriverOptions::default(), |address, shards, opened| {
        let mut peers: Vec<_> = (0..12).map(|_| connect(address)).collect();
        let mut of_shard: [Vec<ThreadId>; 4] = Default::default();
        for _ in 0..12 {
            let (id, thread) = opened();
            of_shard[usize::from(id.shard)].push(thread);
        }
        for threads in &of_shard {
            assert_eq!(threads.len(), 3);
            assert!(threads.iter().all(|thread| *thread == threads[0]), "one thread for one shard");
        }
        assert_eq!([0, 1, 2, 3].map(|shard| shards.connections(shard)), [3; 4]);
        peers.iter_mut().for_each(|peer| echo(peer, b"hello"));
    });
    assert_eq!(outcome, Outcome::Done);
}

#[test]
fn full_shards_let_connections_wait_until_one_of_any_shard_ends() {
    let options = DriverOptions { connections_max: Some(2), ..DriverOptions::default() };
    let outcome = on_shards(3, &options, |address, shards, opened| {
        let mut peers: Vec<_> = (0..6).map(|_| connect(address)).collect();
        let ids: Vec<_> = (0..6).map(|_| opened().0).collect();
        for _ in 0..20 {
            let mut waiting = connect(address);
            // All shards are full, and a connection of another shard ends.
            let last = ids.iter().find(|id| id.shard == 2).expect("two of them");
            let _ = shards.send_to(*last, "abort");
            let gone = peers.swap_remove(0);
            drop(gone);
            echo(&mut waiting, b"at last");
            assert!((0..3).all(|shard| shards.connections(shard) <= 2));
            peers.push(waiting);
        }
    });
    assert_eq!(outcome, Outcome::Done);
}

#[test]
fn a_message_to_a_connection_that_has_gone_finds_nothing() {
    on_shards(2, &DriverOptions::default(), |address, shards, opened| {
        let mut peers = [connect(address), connect(address)];
        let ids: [(GlobalId, ThreadId); 2] = [opened(), opened()];
        for ((id, _), peer) in ids.iter().zip(&mut peers) {
            shards.send_to(*id, "abort").expect("room");
            peer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            match peer.read(&mut [0]) {
                Ok(0) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                other => panic!("not the end: {other:?}"),
            }
        }
        eventually(|| shards.connections(0) + shards.connections(1) == 0);
        // The indices are reused, and the names are not.
        let mut others = [connect(address), connect(address)];
        let new: [(GlobalId, ThreadId); 2] = [opened(), opened()];
        let places = |ids: &[(GlobalId, ThreadId)]| {
            let mut places: Vec<_> = ids.iter().map(|(id, _)| (id.shard, id.connection.index())).collect();
            places.sort_unstable();
            places
        };
        assert_eq!(places(&ids), places(&new));
        for (id, _) in ids {
            shards.send_to(id, "abort").expect("room");
        }
        let nowhere = GlobalId { shard: 7, connection: ids[0].0.connection };
        assert!(shards.send_to(nowhere, "abort").is_err());
        others.iter_mut().for_each(|peer| echo(peer, b"still here"));
    });
}

#[test]
fn no_descriptor_is_left_behind() {
    // The test runs in a process of its own, as other tests open and close descriptors.
    if std::env::var_os("ALONE").is_none() {
        let program = std::env::current_exe().expect("this program");
        let mut alone = std::process::Command::new(program);
        let status = alone.args(["--exact", "no_descriptor_is_left_behind"]).env("ALONE", "1").status();
        assert!(status.expect("it runs").success());
        return;
    }
    let before = open_descriptors();
    for _ in 0..10 {
        on_shards(3, &DriverOptions::default(), |address, _, opened| {
            let mut peers: Vec<_> = (0..9).map(|_| connect(address)).collect();
            peers.iter_mut().for_each(|peer| echo(peer, b"hello"));
            (0..9).for_each(|_| assert!(opened().0.shard < 3));
        });
        assert_eq!(open_descriptors(), before);
    }
}

/// Starts one thread that serves, and one that runs `start`.
fn start_with(start: fn() -> io::Result<()>) -> io::Result<()> {
    let poll_loop: PollLoop<Driver<Echo>> = PollLoop::new()?;
    let starts = [(|| Ok(())) as fn() -> io::Result<()>, start];
    let starts = starts.map(|start| move |_: &mut PollLoop<Driver<Echo>>| start());
    Threads::start(poll_loop.stopper(), starts).map(drop)
}

#[test]
fn a_start_that_fails_or_panics_is_reported_with_the_name_of_its_thread() {
    let failed = start_with(|| Err(io::ErrorKind::AddrInUse.into())).expect_err("a failure");
    assert_eq!(failed.kind(), io::ErrorKind::AddrInUse);
    assert!(failed.to_string().starts_with("thread loop-2: "), "{failed}");
    let panicked = start_with(|| panic!("no luck")).expect_err("a panic");
    assert!(panicked.to_string().contains("no luck"), "{panicked}");
    assert!(start_with(|| Ok(())).is_ok());
}

/// Names are small values that may go anywhere.
#[test]
fn a_global_name_is_copied_and_sent() {
    fn check<T: Copy + Send + Sync + Eq + std::hash::Hash>() {}
    check::<GlobalId>();
    check::<ConnectionId>();
    fn moves<T: Send>() {}
    moves::<DriverShard<String>>();
    moves::<Shards<String>>();
}
