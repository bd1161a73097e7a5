//! UDP sockets under each trigger, with the standard library's as peers.

#[expect(dead_code, reason = "other programs need the rest")]
mod host;

use host::{Counted, Delivery, Host};
use lws_loop_external::{
    Accepted, Application, ConnectionId, DATAGRAM_BYTES_MAX, DriverContext, DriverOptions, ListenerId, Peer,
    Route, Service, TooLong, Udp, UdpEvent, UdpOptions, Wait,
};
use lws_proto::Event;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// An application that logs events, and reacts as the role of a socket says.
#[derive(Default)]
struct Board {
    calls: u64,
    log: Vec<String>,
    datagrams: Vec<Received>,
    errors: Vec<(Option<SocketAddr>, ErrorKind)>,
    /// The datagrams that a wake sends.
    to_send: Vec<(Route, Vec<u8>)>,
}

#[derive(Debug)]
struct Received {
    source: SocketAddr,
    destination: Option<IpAddr>,
    interface: Option<u32>,
    bytes: Vec<u8>,
    length: usize,
}

/// The behaviour of a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It echoes datagrams.
    Echo,
    /// It keeps datagrams.
    Keep,
    /// It keeps datagrams, and pauses after each.
    Pause,
    /// It keeps a datagram, and closes.
    Close,
}

impl Board {
    fn note(&mut self, line: impl Into<String>) {
        self.log.push(line.into());
    }

    fn count(&self, line: &str) -> usize {
        self.log.iter().filter(|entry| *entry == line).count()
    }

    /// Sends as far as there is room, and asks for the next permit if something is left.
    fn send<'a>(&mut self, mut socket: Udp<'a>) -> Udp<'a> {
        while let Some((route, datagram)) = self.to_send.first() {
            match socket.permit() {
                Ok(permit) => socket = permit.send(*route, datagram).expect("a possible length"),
                Err(mut full) => {
                    self.note("full");
                    full.want_write();
                    full.want_write();
                    return full;
                }
            }
            self.to_send.remove(0);
        }
        socket
    }
}

impl Counted for Board {
    fn calls(&self) -> u64 {
        self.calls
    }
}

impl Application for Board {
    type State = Role;
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, _: &mut Role, _: Event<'_>) {}

    fn udp(&mut self, cx: &mut DriverContext<'_, Self>, role: &mut Role, event: UdpEvent<'_>) {
        self.calls += 1;
        match event {
            UdpEvent::Opened(_) => {
                assert!(cx.local_address().is_some_and(|address| address.port() > 0));
                self.note("opened");
            }
            UdpEvent::Datagram { mut socket, datagram } => {
                let route = datagram.reply_to();
                self.datagrams.push(Received {
                    source: datagram.source,
                    destination: datagram.destination,
                    interface: datagram.interface,
                    bytes: datagram.bytes.to_vec(),
                    length: datagram.length,
                });
                assert_eq!(datagram.is_truncated(), datagram.bytes.len() < datagram.length);
                match role {
                    Role::Echo => {
                        if let Ok(permit) = socket.permit() {
                            permit.send(route, datagram.bytes).expect("a possible length");
                        }
                    }
                    Role::Keep => {}
                    Role::Pause => socket.pause(),
                    Role::Close => socket.close(),
                }
            }
            UdpEvent::Writable(permit) => {
                self.note("writable");
                self.send(permit.into_socket());
            }
            UdpEvent::Unsent { length, error, .. } => {
                self.errors.push((None, error.kind()));
                self.note(format!("unsent {length}"));
            }
            UdpEvent::Failed { reporter, error, .. } => {
                self.errors.push((reporter, error.kind()));
                self.note("failed");
            }
            UdpEvent::Woken(socket) => {
                let mut socket = self.send(socket);
                socket.resume();
            }
            UdpEvent::Refused(error) => self.note(format!("refused: {:?}", error.kind())),
            _ => {}
        }
    }

    fn closed(&mut self, _: &mut DriverContext<'_, Self>, _: Role) {
        self.calls += 1;
        self.note("closed");
    }
}

/// The tests count the descriptors of this process, so they run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn on_each_host(scenario: impl Fn(&mut Host<Board>)) {
    on_each_host_with(&DriverOptions::default(), scenario);
}

fn on_each_host_with(options: &DriverOptions, scenario: impl Fn(&mut Host<Board>)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for delivery in Delivery::ALL {
        eprintln!("{delivery:?}");
        let before = test_kit::open_descriptors();
        let mut host = Host::new(delivery, Board::default(), options.clone());
        scenario(&mut host);
        host.with(|_, cx| cx.drain(Duration::ZERO));
        host.until(|host| host.driver.is_done());
        drop(host);
        assert_eq!(test_kit::open_descriptors(), before, "a descriptor is left");
    }
}

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn bind(host: &mut Host<Board>, local: &str, role: Role) -> (ConnectionId, SocketAddr) {
    bind_with(host, local, &UdpOptions::default(), role)
}

fn bind_with(
    host: &mut Host<Board>,
    local: &str,
    options: &UdpOptions,
    role: Role,
) -> (ConnectionId, SocketAddr) {
    let local = local.parse().expect("an address");
    host.with(|_, cx| cx.bind_udp(local, options, role)).expect("a socket")
}

/// A socket of the standard library.
fn peer(local: impl Into<IpAddr>) -> UdpSocket {
    let socket = UdpSocket::bind((local.into(), 0)).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

/// The next datagram that the peer receives, and its sender.
#[track_caller]
fn receive(host: &mut Host<Board>, peer: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 70_000];
    let mut found = None;
    host.until(|_| {
        found = peer.recv_from(&mut bytes).ok();
        found.is_some()
    });
    let (len, source) = found.expect("a datagram");
    bytes.truncate(len);
    (bytes, source)
}

/// Makes a socket send, in its next turn.
fn send(host: &mut Host<Board>, id: ConnectionId, datagrams: impl IntoIterator<Item = (Route, Vec<u8>)>) {
    host.with(|app, cx| {
        app.to_send.extend(datagrams);
        cx.wake(id);
    });
}

#[test]
fn datagrams_come_back_whole_and_in_order() {
    on_each_host(|host| {
        let (_, address) = bind(host, "127.0.0.1:0", Role::Echo);
        let peer = peer(Ipv4Addr::LOCALHOST);
        for datagram in [&b"one"[..], b"", b"three", &[4; 60_000]] {
            peer.send_to(datagram, address).expect("room");
            assert_eq!(receive(host, &peer), (datagram.to_vec(), address));
        }
        // Several at once, of several lengths.
        for n in 0..20 {
            peer.send_to(&vec![n; 1 + usize::from(n % 3)], address).expect("room");
        }
        for n in 0..20 {
            assert_eq!(receive(host, &peer).0, vec![n; 1 + usize::from(n % 3)]);
        }
        let stats = host.driver.stats();
        assert_eq!((stats.datagrams_received_total, stats.datagrams_sent_total), (24, 24));
        assert_eq!(host.app().log, ["opened"]);
    });
}

#[test]
fn a_datagram_says_where_it_came_from_where_to_and_on_which_interface() {
    let check = |host: &mut Host<Board>, bound: &str, ours: IpAddr, theirs: IpAddr| {
        let (_, address) = bind(host, bound, Role::Echo);
        let peer = peer(theirs);
        peer.send_to(b"hello", (ours, address.port())).expect("room");
        // It answers from the address that the datagram was sent to, which the system would not choose.
        assert_eq!(receive(host, &peer), (b"hello".to_vec(), (ours, address.port()).into()));
        let received = host.with(|app, _| app.datagrams.pop()).expect("a datagram");
        assert_eq!(received.source, peer.local_addr().expect("an address"), "on {bound}");
        assert_eq!(received.destination, Some(ours), "on {bound}");
        let loopback = std::fs::read_to_string("/sys/class/net/lo/ifindex").expect("a loopback interface");
        let index = loopback.trim().parse().expect("a number");
        assert!(received.interface.is_none_or(|interface| interface == index), "on {bound}");
    };
    on_each_host(|host| {
        let v4 = |last| IpAddr::from([127, 0, 0, last]);
        check(host, "0.0.0.0:0", v4(7), v4(9));
        check(host, "[::1]:0", Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        check(host, "[::]:0", Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        check(host, "[::]:0", v4(7), v4(9));
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    on_each_host(|host| {
        let (peer, other) = (peer(Ipv4Addr::LOCALHOST), peer(Ipv4Addr::LOCALHOST));
        let to = peer.local_addr().expect("an address");
        let (id, address) =
            host.with(|_, cx| cx.connect_udp(to, &UdpOptions::default(), Role::Keep)).expect("a socket");
        send(host, id, [(to.into(), b"hello".to_vec())]);
        assert_eq!(receive(host, &peer), (b"hello".to_vec(), address));
        let _ = other.send_to(b"not for you", address);
        peer.send_to(b"for you", address).expect("room");
        host.until(|host| host.app().datagrams.len() == 1);
        assert_eq!(host.app().datagrams[0].bytes, b"for you");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_interface_is_used_if_there_is_one_of_the_name() {
    on_each_host(|host| {
        let on = |device: &str| UdpOptions { bind_device: Some(device.into()), ..UdpOptions::default() };
        let (_, address) = bind_with(host, "127.0.0.1:0", &on("lo"), Role::Echo);
        let peer = peer(Ipv4Addr::LOCALHOST);
        peer.send_to(b"hello", address).expect("room");
        assert_eq!(receive(host, &peer), (b"hello".to_vec(), address));
        let nowhere = host.with(|_, cx| cx.bind_udp(ANY_PORT, &on("nosuch0"), Role::Keep));
        assert_eq!(nowhere.expect_err("no such interface").raw_os_error(), Some(19));
    });
}

#[test]
fn a_closed_port_is_reported_and_the_socket_goes_on() {
    on_each_host(|host| {
        let unused = UdpSocket::bind(ANY_PORT).expect("a socket");
        let to = unused.local_addr().expect("an address");
        drop(unused);
        let connected = host.with(|_, cx| cx.connect_udp(to, &UdpOptions::default(), Role::Keep));
        let (connected, _) = connected.expect("a socket");
        let (bound, _) = bind(host, "127.0.0.1:0", Role::Keep);
        for id in [connected, bound] {
            for round in 1..=2 {
                send(host, id, [(to.into(), b"hello".to_vec())]);
                host.until(|host| host.app().count("failed") == round);
                host.rest();
            }
            let (reporter, kind) = host.app().errors[0];
            assert_eq!(kind, ErrorKind::ConnectionRefused);
            assert!(reporter.is_none_or(|reporter| reporter.ip() == to.ip()));
            assert_eq!(host.app().errors.len(), 2, "each is reported once");
            // A datagram after a refusal is not lost with the refused one.
            let somebody = UdpSocket::bind(to).expect("the same address");
            somebody.set_nonblocking(true).expect("a socket");
            send(host, id, [(to.into(), b"again".to_vec())]);
            assert_eq!(receive(host, &somebody).0, b"again");
            host.with(|app, _| (app.log.clear(), app.errors.clear()));
        }
        assert_eq!(host.driver.stats().datagrams_unsent_total, 0);
        assert_eq!(host.driver.stats().connections, 2);
    });
}

#[test]
fn a_datagram_that_is_too_long_is_refused_and_the_next_one_is_sent() {
    on_each_host(|host| {
        let peer = peer(Ipv4Addr::LOCALHOST);
        let to = Route::from(peer.local_addr().expect("an address"));
        let (id, _) = bind(host, "127.0.0.1:0", Role::Keep);
        // IPv4 takes 20 bytes more than IPv6, whose longest datagram is the limit of a permit.
        let lengths = [65_507, 65_508, DATAGRAM_BYTES_MAX, 1];
        send(host, id, lengths.map(|length| (to, vec![1; length])));
        assert_eq!(receive(host, &peer).0.len(), 65_507);
        assert_eq!(receive(host, &peer).0.len(), 1);
        let unsent: Vec<_> = host.app().log.iter().filter(|line| line.starts_with("unsent")).collect();
        assert_eq!(unsent, ["unsent 65508", "unsent 65527"]);
        assert_eq!(host.driver.stats().datagrams_unsent_total, 2);
    });
}

#[test]
fn datagrams_to_many_places_arrive_each_at_its_own() {
    on_each_host(|host| {
        for (any, local) in [("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            let local: IpAddr = local.parse().expect("an address");
            let peers: Vec<_> = (0..50).map(|_| peer(local)).collect();
            let (id, address) = bind(host, any, Role::Keep);
            // Some datagrams leave alone, and some as a run; empty ones are among them.
            let datagram = |n: usize, copy: u8| {
                let to = peers[n].local_addr().expect("an address");
                (Route { to, from: Some(local).filter(|_| !n.is_multiple_of(3)) }, vec![copy; n])
            };
            let copies = |n: usize| if n % 10 == 5 { 3 } else { 1 };
            send(host, id, (0..50).flat_map(|n| (0..copies(n)).map(move |copy| datagram(n, copy))));
            for (n, peer) in peers.iter().enumerate() {
                for copy in 0..copies(n) {
                    let (bytes, source) = receive(host, peer);
                    assert_eq!(bytes, vec![copy; n]);
                    assert_eq!(source, SocketAddr::new(local, address.port()));
                }
            }
        }
        assert_eq!(host.driver.stats().datagrams_sent_total, 3 * 60);
    });
}

#[test]
fn of_many_datagrams_the_one_that_is_refused_is_reported_and_the_others_are_sent() {
    on_each_host(|host| {
        let (id, _) = bind(host, "127.0.0.1:0", Role::Keep);
        for refused in [0, 1, 7, 19] {
            let peers: Vec<_> = (0..20).map(|_| peer(Ipv4Addr::LOCALHOST)).collect();
            let datagrams = (0..20).map(|n| match peers[n].local_addr().expect("an address") {
                // A broadcast, which is not allowed.
                _ if n == refused => (SocketAddr::from(([255, 255, 255, 255], 9)).into(), vec![1; 700]),
                to => (to.into(), vec![n as u8]),
            });
            send(host, id, datagrams.collect::<Vec<_>>());
            for (n, peer) in peers.iter().enumerate().filter(|(n, _)| *n != refused) {
                assert_eq!(receive(host, peer).0, [n as u8]);
            }
            assert_eq!(host.app().count("unsent 700"), 1, "number {refused}");
            host.with(|app, _| app.log.clear());
        }
        assert_eq!(host.driver.stats().datagrams_sent_total, 4 * 19);
    });
}

#[test]
fn no_permit_takes_what_no_datagram_can_hold() {
    struct Sender(Option<TooLong>);
    impl Counted for Sender {
        fn calls(&self) -> u64 {
            0
        }
    }
    impl Application for Sender {
        type State = ();
        type Message = ();
        fn accepted(
            &mut self,
            _: &mut DriverContext<'_, Self>,
            _: ListenerId,
            _: &Peer,
        ) -> Option<Accepted<Self>> {
            None
        }
        fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), _: Event<'_>) {}
        fn udp(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: UdpEvent<'_>) {
            if let UdpEvent::Opened(socket) = event {
                let permit = socket.permit().expect("room");
                self.0 = permit.send(ANY_PORT, &vec![0; DATAGRAM_BYTES_MAX + 1]).err();
            }
        }
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut host = Host::new(Delivery::Level, Sender(None), DriverOptions::default());
    host.with(|_, cx| cx.bind_udp(ANY_PORT, &UdpOptions::default(), ())).expect("a socket");
    host.until(|host| host.app().0 == Some(TooLong { length: DATAGRAM_BYTES_MAX + 1 }));
}

#[test]
fn a_longer_datagram_than_the_application_wants_is_cut_and_says_so() {
    on_each_host(|host| {
        let options = UdpOptions { datagram_bytes_max: 10, ..UdpOptions::default() };
        let (_, address) = bind_with(host, "127.0.0.1:0", &options, Role::Keep);
        let peer = peer(Ipv4Addr::LOCALHOST);
        for length in [10, 11, 1_000] {
            peer.send_to(&vec![7; length], address).expect("room");
        }
        host.until(|host| host.app().datagrams.len() == 3);
        let seen: Vec<_> = host.app().datagrams.iter().map(|it| (it.bytes.len(), it.length)).collect();
        assert_eq!(seen, [(10, 10), (10, 11), (10, 1_000)]);
    });
}

#[test]
fn there_is_a_permit_up_to_the_limit_of_the_queue_and_one_after_it_when_there_is_room() {
    let check = |host: &mut Host<Board>, options: &UdpOptions, count: usize, turns: usize| {
        let peer = peer(Ipv4Addr::LOCALHOST);
        let to = Route::from(peer.local_addr().expect("an address"));
        let (id, _) = bind_with(host, "127.0.0.1:0", options, Role::Keep);
        send(host, id, (0..count).map(|n| (to, vec![n as u8; 10])));
        for n in 0..count {
            assert_eq!(receive(host, &peer).0, [n as u8; 10]);
        }
        host.rest();
        // Each permit was asked for twice, and delivered once.
        assert_eq!((host.app().count("full"), host.app().count("writable")), (turns, turns));
        host.with(|app, _| app.log.clear());
    };
    on_each_host(|host| {
        let datagrams = |queue_datagrams_max| UdpOptions { queue_datagrams_max, ..UdpOptions::default() };
        check(host, &datagrams(5), 5, 0);
        check(host, &datagrams(5), 6, 1);
        check(host, &datagrams(5), 11, 2);
        let bytes = |queue_bytes_max| UdpOptions { queue_bytes_max, ..UdpOptions::default() };
        check(host, &bytes(50), 5, 0);
        check(host, &bytes(50), 6, 1);
        check(host, &bytes(41), 5, 0);
    });
}

#[test]
fn many_datagrams_between_two_sockets_arrive_in_order_however_the_system_joins_them() {
    on_each_host(|host| {
        let options = UdpOptions { receive_buffer_bytes: Some(4 << 20), ..UdpOptions::default() };
        for (local, to_len) in [("127.0.0.1:0", 1_200), ("[::1]:0", 1), ("127.0.0.1:0", 30_000)] {
            let (_, to) = bind_with(host, local, &options, Role::Keep);
            let (from, _) = bind(host, local, Role::Keep);
            let datagram = |n: usize| {
                let mut datagram = vec![n as u8; if n % 7 == 6 { to_len / 2 + 1 } else { to_len }];
                datagram[0] = (n / 256) as u8;
                datagram
            };
            // In small portions, as the receiver's system drops datagrams for which it has no room.
            for portion in 0..20 {
                let numbers = portion * 20..portion * 20 + 20;
                send(host, from, numbers.clone().map(|n| (to.into(), datagram(n))));
                host.until(|host| host.app().datagrams.len() == numbers.end);
            }
            for (n, received) in host.app().datagrams.iter().enumerate() {
                assert!(received.bytes == datagram(n), "datagram {n} of {to_len} bytes");
            }
            host.with(|app, _| app.datagrams.clear());
        }
        assert_eq!(host.driver.stats().datagrams_received_total, 1_200);
        assert_eq!(host.driver.stats().datagrams_sent_total, 1_200);
    });
}

#[test]
fn one_turn_tells_no_more_than_its_budget() {
    let options = DriverOptions { events_per_turn: 4, ..DriverOptions::default() };
    on_each_host_with(&options, |host| {
        let (_, address) = bind(host, "127.0.0.1:0", Role::Keep);
        host.rest();
        let peer = peer(Ipv4Addr::LOCALHOST);
        for n in 0..40u8 {
            peer.send_to(&[n], address).expect("room");
        }
        let mut waited = 0;
        host.until(|host| {
            let now = host.now();
            let before = host.app().datagrams.len();
            waited += usize::from(host.driver.settle(now) == Wait::Now);
            // Everything that one call has received is delivered, whatever the budget.
            assert!(host.app().datagrams.len() - before <= 8);
            host.app().datagrams.len() == 40
        });
        assert!(waited > 0 || host.app().datagrams.len() == 40);
        let order: Vec<_> = host.app().datagrams.iter().map(|it| it.bytes[0]).collect();
        assert_eq!(order, (0..40).collect::<Vec<_>>());
    });
}

#[test]
fn a_paused_socket_receives_nothing_until_it_is_resumed() {
    on_each_host(|host| {
        let (id, address) = bind(host, "127.0.0.1:0", Role::Pause);
        host.rest();
        let peer = peer(Ipv4Addr::LOCALHOST);
        peer.send_to(b"one", address).expect("room");
        host.until(|host| host.app().datagrams.len() == 1);
        peer.send_to(b"two", address).expect("room");
        assert!(host.rest() <= 2);
        assert_eq!(host.app().datagrams.len(), 1);
        host.with(|_, cx| cx.wake(id));
        host.until(|host| host.app().datagrams.len() == 2);
    });
}

#[test]
fn a_closed_socket_sends_what_waits_and_tells_nothing_more() {
    on_each_host(|host| {
        let (id, address) = bind(host, "127.0.0.1:0", Role::Close);
        let peer = peer(Ipv4Addr::LOCALHOST);
        let to = peer.local_addr().expect("an address");
        send(host, id, (0..5).map(|n| (to.into(), vec![n])));
        host.with(|_, cx| cx.close(id));
        for n in 0..5 {
            assert_eq!(receive(host, &peer).0, [n]);
        }
        host.until(|host| host.driver.stats().connections == 0);
        assert_eq!(host.app().log, ["opened", "closed"]);

        let (_, address_2) = bind(host, "127.0.0.1:0", Role::Close);
        assert_ne!(address.port(), 0);
        for _ in 0..5 {
            peer.send_to(b"the first is the last", address_2).expect("room");
        }
        host.until(|host| host.driver.stats().connections == 0);
        assert_eq!(host.app().datagrams.len(), 1);
        assert_eq!(host.app().count("closed"), 2);
    });
}

#[test]
fn what_the_host_cannot_watch_is_reported_and_ends() {
    on_each_host(|host| {
        let (id, _) = bind(host, "127.0.0.1:0", Role::Keep);
        host.rest();
        host.refuse(id);
        host.rest();
        assert_eq!(host.app().log, ["opened", "refused: PermissionDenied", "closed"]);
        assert_eq!(host.driver.stats().connections, 0);
    });
}

#[test]
fn a_socket_moves_from_one_host_to_another_with_what_waits_for_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for from in Delivery::ALL {
        for to in Delivery::ALL {
            eprintln!("{from:?} to {to:?}");
            let mut host = Host::new(from, Board::default(), DriverOptions::default());
            let (_, address) = bind(&mut host, "127.0.0.1:0", Role::Echo);
            let peer = peer(Ipv4Addr::LOCALHOST);
            peer.send_to(b"before", address).expect("room");
            assert_eq!(receive(&mut host, &peer).0, b"before");
            peer.send_to(b"between", address).expect("room");
            let mut host = host.moved_to(to);
            assert_eq!(receive(&mut host, &peer).0, b"between");
            peer.send_to(b"after", address).expect("room");
            assert_eq!(receive(&mut host, &peer).0, b"after");
        }
    }
}

#[test]
fn an_address_in_use_is_an_error_at_once_unless_it_may_be_shared() {
    on_each_host(|host| {
        let (_, taken) = bind(host, "127.0.0.1:0", Role::Keep);
        let again = host.with(|_, cx| cx.bind_udp(taken, &UdpOptions::default(), Role::Keep));
        assert_eq!(again.expect_err("in use").kind(), ErrorKind::AddrInUse);
        let shared = UdpOptions { reuse_port: true, ..UdpOptions::default() };
        let (_, one) = bind_with(host, "127.0.0.1:0", &shared, Role::Keep);
        let (_, two) = bind_with(host, &one.to_string(), &shared, Role::Keep);
        assert_eq!(one, two);
    });
}

#[test]
fn a_broadcast_has_to_be_allowed() {
    on_each_host(|host| {
        let to = SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), 9));
        for (broadcast, unsent) in [(false, 1), (true, 0)] {
            let options = UdpOptions { broadcast, ..UdpOptions::default() };
            let (id, _) = bind_with(host, "127.0.0.1:0", &options, Role::Keep);
            host.with(|app, _| app.log.clear());
            send(host, id, [(to.into(), b"everybody".to_vec())]);
            host.rest();
            assert_eq!(host.app().count("unsent 9"), unsent, "allowed: {broadcast}");
            host.with(|app, _| app.errors.clear());
        }
    });
}

#[test]
fn a_member_of_a_group_hears_it_until_it_leaves() {
    struct Member {
        calls: u64,
        received: Vec<(Vec<u8>, Option<IpAddr>)>,
        leave: bool,
        left: bool,
    }
    const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 255, 76, 81));
    const LOOPBACK: Option<u32> = Some(1);
    impl Counted for Member {
        fn calls(&self) -> u64 {
            self.calls
        }
    }
    impl Application for Member {
        type State = ();
        type Message = ();
        fn accepted(
            &mut self,
            _: &mut DriverContext<'_, Self>,
            _: ListenerId,
            _: &Peer,
        ) -> Option<Accepted<Self>> {
            None
        }
        fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), _: Event<'_>) {}
        fn udp(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: UdpEvent<'_>) {
            self.calls += 1;
            match event {
                UdpEvent::Opened(socket) => {
                    socket.join(GROUP, LOOPBACK).expect("a member");
                    socket.join(GROUP, LOOPBACK).expect_err("a member already");
                    socket.join(Ipv4Addr::LOCALHOST.into(), LOOPBACK).expect_err("no group");
                }
                UdpEvent::Datagram { datagram, .. } => {
                    // A group cannot be the sender of an answer.
                    assert_eq!(datagram.reply_to().from.is_some(), datagram.destination != Some(GROUP));
                    self.received.push((datagram.bytes.to_vec(), datagram.destination));
                }
                UdpEvent::Woken(socket) if self.leave => {
                    socket.leave(GROUP, LOOPBACK).expect("a member");
                    socket.leave(GROUP, LOOPBACK).expect_err("no member any more");
                    self.left = true;
                }
                _ => {}
            }
        }
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for delivery in Delivery::ALL {
        let member = Member { calls: 0, received: Vec::new(), leave: true, left: false };
        let mut host = Host::new(delivery, member, DriverOptions::default());
        let local = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let opened = host.with(|_, cx| cx.bind_udp(local, &UdpOptions::default(), ()));
        let (id, address) = opened.expect("a socket");
        host.rest();
        let sender =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
        sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).expect("an interface");
        let to = SocketAddr::new(GROUP, address.port());
        sender.send_to(b"members", &to.into()).expect("room");
        host.until(|host| host.app().received == [(b"members".to_vec(), Some(GROUP))]);
        host.with(|_, cx| cx.wake(id));
        host.until(|host| host.app().left);
        sender.send_to(b"others", &to.into()).expect("room");
        let direct = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        sender.send_to(b"direct", &direct.into()).expect("room");
        host.until(|host| host.app().received.len() == 2);
        assert_eq!(host.app().received[1].0, b"direct");
    }
}
