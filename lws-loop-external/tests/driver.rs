//! A driver under an auditing host, with each trigger.

#[expect(dead_code, reason = "other programs need the rest")]
mod host;
mod support;

use lws_loop_external::{
    Address, ConnectOptions, ConnectionId, Driver, DriverOptions, ListenOptions, Readiness, SendError,
    Service, Speak, Trigger, TurnLimits, Wait,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;
use support::{Echo, Host, TRIGGERS};

/// Runs a scenario on each kind of host.
fn on_each_host(scenario: impl Fn(Host)) {
    on_each_host_with(&DriverOptions::default(), scenario);
}

fn on_each_host_with(options: &DriverOptions, scenario: impl Fn(Host)) {
    for trigger in TRIGGERS {
        eprintln!("{trigger:?}");
        scenario(Host::new(trigger, Echo::default(), options.clone()));
    }
}

fn client(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("a connection");
    client.set_nodelay(true).expect("a socket");
    client
}

fn send(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).expect("room for a few bytes");
}

#[test]
fn what_a_peer_sends_comes_back() {
    on_each_host(|mut host| {
        let mut client = client(host.listen());
        for message in [&b"hello"[..], b"x", &[7; 5_000]] {
            send(&mut client, message);
            assert_eq!(host.read(&mut client, message.len()), message);
        }
        assert!(host.app().seconds > 1_700_000_000);
        drop(client);
        host.until(|host| host.driver.stats().connections == 0);
        assert_eq!(host.driver.stats().received_bytes_total, 5_006);
        assert_eq!(host.driver.stats().sent_bytes_total, 5_006);
    });
}

const OPENING: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Opens a WebSocket.
fn websocket(host: &mut Host, address: SocketAddr) -> TcpStream {
    host.with(|app, _| app.speaks_http = true);
    let mut client = client(address);
    send(&mut client, OPENING);
    assert_eq!(host.read(&mut client, 12), b"HTTP/1.1 101");
    let mut last = [0; 4];
    while last != *b"\r\n\r\n" {
        last.rotate_left(1);
        last[3] = host.read(&mut client, 1)[0];
    }
    client
}

#[test]
fn a_websocket_is_opened_echoes_and_is_closed() {
    on_each_host(|mut host| {
        let address = host.listen();
        let mut client = websocket(&mut host, address);
        send(&mut client, b"\x82\x85\0\0\0\0hello\x81\x82\0\0\0\0ho");
        assert_eq!(host.read(&mut client, 11), b"\x82\x05hello\x81\x02ho");
        send(&mut client, b"\x88\x82\0\0\0\0\x03\xe8");
        assert_eq!(host.read_to_end(&mut client), b"\x88\x02\x03\xe8");
        drop(client);
        host.until(|host| host.app().has("closed"));
        assert_eq!(host.driver.stats().closed_for("closed_by_peer"), 1);
    });
}

/// A client with a small receive buffer.
fn narrow_client(address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(8 << 10).expect("a small buffer");
    socket.connect(&address.into()).expect("a connection");
    socket.into()
}

/// Lets a second pass in which a client reads at most `bytes`. Returns false once there is nothing more to read.
fn reads_for_a_second(host: &mut Host, client: &mut TcpStream, bytes: usize) -> bool {
    client.set_nonblocking(true).expect("a socket");
    let read = client.read(&mut vec![0; bytes]);
    host.skip(Duration::from_secs(1));
    (0..3).for_each(|_| host.turn(Duration::from_millis(1)));
    !matches!(read, Ok(0))
}

#[test]
fn a_peer_that_is_slow_is_served_and_one_that_takes_nothing_is_not() {
    // The system takes megabytes at once. So for minutes nothing is taken from the engine, although bytes reach the
    // client.
    let content = vec![b'x'; 16 << 20];
    on_each_host(|mut host| {
        host.with(|app, _| app.greeting = Some(content.clone()));
        let address = host.listen();
        let mut slow = narrow_client(address);
        let dead = narrow_client(address);
        host.until(|host| host.driver.stats().accepted_total == 2);
        host.freeze();
        // The slowest rate of reading at which the system reports progress: 4 KiB/s.
        for second in 0..200 {
            assert!(reads_for_a_second(&mut host, &mut slow, 4 << 10), "it ends after {second} s");
            // In the first period the system may still deliver what it holds.
            if second == 65 {
                assert_eq!(
                    host.driver.stats().closed_for("stalled_timeout"),
                    1,
                    "the one that takes nothing"
                );
            }
        }
        assert_eq!(host.driver.stats().connections, 1);
        // From here on the client reads nothing. Bytes that have arrived still count as progress, but not for longer
        // than this.
        let limits = lws_proto::Limits::default();
        let patience = limits.stalled_grace_max + 2 * limits.stalled_timeout;
        for _ in 0..patience.as_secs() {
            if host.driver.stats().closed_for("stalled_timeout") == 2 {
                break;
            }
            host.skip(Duration::from_secs(1));
            host.turn(Duration::from_millis(1));
        }
        assert_eq!(host.driver.stats().closed_for("stalled_timeout"), 2);
        drop(dead);
    });
}

/// Closes a connection with a reset.
fn reset(client: TcpStream) {
    let linger = Some(Duration::ZERO);
    socket2::SockRef::from(&client).set_linger(linger).expect("a socket");
}

#[test]
fn a_reset_ends_a_connection_that_takes_no_input() {
    on_each_host(|mut host| {
        let address = host.listen();
        // With unread input, without input, and after the end of the peer's direction.
        for (last, ends) in [(&b"more"[..], false), (b"", false), (b"", true)] {
            let mut client = client(address);
            send(&mut client, b"P");
            host.until(|host| host.app().received.ends_with(b"P"));
            send(&mut client, last);
            if ends {
                client.shutdown(Shutdown::Write).expect("an open connection");
            }
            (0..5).for_each(|_| host.turn(Duration::from_millis(1)));
            assert_eq!(host.driver.stats().connections, 1);
            reset(client);
            host.until(|host| host.driver.stats().connections == 0);
        }
        assert_eq!(host.driver.stats().closed_for("disconnected"), 3);
    });
}

#[test]
fn a_connection_that_has_ended_in_both_directions_and_takes_no_input_is_not_reported_for_ever() {
    on_each_host(|mut host| {
        host.with(|app, _| {
            app.greeting = Some(b"bye".to_vec());
            app.says_no_more = true;
        });
        let address = host.listen();
        let mut client = client(address);
        assert_eq!(host.read(&mut client, 3), b"bye");
        send(&mut client, b"Pmore");
        host.until(|host| host.app().received.ends_with(b"more"));
        client.shutdown(Shutdown::Write).expect("an open connection");
        (0..10).for_each(|_| host.turn(Duration::from_millis(1)));
        assert_eq!(host.wait(Duration::ZERO), [], "nothing is reported any more");
        assert_eq!(
            host.driver.stats().connections,
            1,
            "it waits for the application, which has not resumed it"
        );
        host.with(|app, cx| assert!(app.open.iter().all(|id| cx.wake(*id))));
        host.until(|host| host.driver.stats().connections == 0);
    });
}

#[test]
fn many_connections_are_served_and_their_places_used_again() {
    on_each_host(|mut host| {
        let address = host.listen();
        for round in 1..=3 {
            let mut clients: Vec<_> = (0..100).map(|_| client(address)).collect();
            for (n, client) in clients.iter_mut().enumerate() {
                send(client, format!("{n:03}").as_bytes());
            }
            for (n, client) in clients.iter_mut().enumerate() {
                assert_eq!(host.read(client, 3), format!("{n:03}").as_bytes());
            }
            assert_eq!(host.driver.stats().connections, 100);
            drop(clients);
            host.until(|host| host.driver.stats().connections == 0);
            assert_eq!(host.driver.stats().accepted_total, round * 100);
        }
        assert_eq!(host.app().count("closed"), 300);
    });
}

#[test]
fn stale_readiness_does_nothing_even_when_the_descriptor_lives_again() {
    on_each_host(|mut host| {
        let address = host.listen();
        let first = client(address);
        host.until(|host| host.app().open.len() == 1);
        let old = *host.app().open.iter().next().expect("one");
        drop(first);
        host.until(|host| host.app().has("closed"));
        let _second = client(address);
        host.until(|host| host.app().open.len() == 1);
        host.turn(Duration::ZERO);
        let new = *host.app().open.iter().next().expect("one");
        assert_eq!(new.index(), old.index());
        assert_ne!(new, old);
        let calls = host.app().calls;
        let everything = Readiness::READABLE | Readiness::WRITABLE | Readiness::HANG_UP | Readiness::ERROR;
        let now = host.now();
        for bits in [old.as_u64(), 1 << 54 | 77, 2 << 54 | 1, 3 << 54, u64::MAX] {
            let token = lws_loop_external::Token::from_u64(bits);
            host.driver.handle_ready(now, token, everything);
            host.driver.removed(token);
            host.driver.refused(token, ErrorKind::Other.into());
        }
        assert_eq!(host.app().calls, calls);
        assert_eq!(host.driver.stats().connections, 1);
    });
}

#[test]
fn a_handler_ends_its_own_connection_or_another() {
    on_each_host(|mut host| {
        let address = host.listen();
        let (mut one, mut two, mut three) = (client(address), client(address), client(address));
        host.until(|host| host.app().open.len() == 3);
        send(&mut one, b"Abort me");
        assert_eq!(host.read_to_end(&mut one), b"");
        host.until(|host| host.app().open.len() == 2);
        send(&mut two, b"Others, abort");
        assert_eq!(host.read_to_end(&mut three), b"");
        host.until(|host| host.app().open.len() == 1);
        send(&mut two, b"Close me");
        assert_eq!(host.read_to_end(&mut two), b"");
        drop(two);
        host.until(|host| host.app().open.is_empty() && host.driver.stats().connections == 0);
        assert_eq!(host.app().count("ended: aborted"), 2);
        assert_eq!(host.app().count("ended: closed"), 1);
        assert_eq!(host.app().count("closed"), 3);
    });
}

#[test]
fn a_refused_connection_is_closed_and_never_spoken_of_again() {
    on_each_host(|mut host| {
        let address = host.listen();
        host.with(|app, _| app.refuses = true);
        let mut client = client(address);
        assert_eq!(host.read_to_end(&mut client), b"");
        assert_eq!(host.app().log, ["accepted"]);
        assert_eq!(host.driver.stats().connections, 0);
    });
}

#[test]
fn half_a_close_lets_the_other_half_finish() {
    on_each_host(|mut host| {
        let address = host.listen();
        let mut client = client(address);
        send(&mut client, b"last words");
        client.shutdown(Shutdown::Write).expect("a socket");
        assert_eq!(host.read_to_end(&mut client), b"last words");
        host.until(|host| host.app().has("closed"));
        assert!(host.app().has("end"));
        assert_eq!(host.app().count("closed"), 1);
    });
}

#[test]
fn a_reset_ends_the_connection() {
    on_each_host(|mut host| {
        let address = host.listen();
        let mut client = client(address);
        send(&mut client, b"hello");
        host.until(|host| host.driver.stats().sent_bytes_total == 5);
        // Closing with unread input resets.
        drop(client);
        host.until(|host| host.app().has("closed"));
        assert!(host.app().has("ended: disconnected") || host.app().has("end"));
    });
}

#[test]
fn a_slow_reader_stops_its_own_writer_and_loses_nothing() {
    const MESSAGE: usize = 1 << 20;
    const MESSAGES: usize = 24;
    on_each_host(|mut host| {
        let address = host.listen();
        let reader = client(address);
        let mut writer = reader.try_clone().expect("a socket");
        let writing = std::thread::spawn(move || {
            for message in 0..MESSAGES {
                writer.write_all(&vec![message as u8; MESSAGE]).expect("room in the end");
            }
            writer.shutdown(Shutdown::Write).expect("a socket");
        });
        // The client does not read, so what the service holds stops growing at its queue and one receive buffer.
        let mut before = u64::MAX;
        host.until(|host| {
            for _ in 0..20 {
                host.turn(Duration::from_millis(5));
            }
            let received = host.driver.stats().received_bytes_total;
            std::mem::replace(&mut before, received) == received && received > 0
        });
        let stats = host.driver.stats();
        assert!(stats.received_bytes_total < (MESSAGE * MESSAGES) as u64, "the writer was stopped");
        assert!(stats.received_bytes_total - stats.sent_bytes_total <= 256 << 10);
        let mut reader = reader;
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).expect("everything");
            bytes
        });
        host.until(|_| reading.is_finished());
        let bytes = reading.join().expect("no panic");
        writing.join().expect("no panic");
        assert_eq!(bytes.len(), MESSAGE * MESSAGES);
        assert!(bytes.chunks(MESSAGE).enumerate().all(|(n, message)| message.iter().all(|b| *b == n as u8)));
    });
}

#[test]
fn one_turn_reads_no_more_than_its_budget() {
    let options = DriverOptions {
        receive_buffer_bytes: 1 << 10,
        read_bytes_per_turn: 4 << 10,
        ..DriverOptions::default()
    };
    on_each_host_with(&options, |mut host| {
        let address = host.listen();
        let mut greedy = client(address);
        host.until(|host| host.app().open.len() == 1);
        host.turn(Duration::ZERO);
        send(&mut greedy, &[1; 64 << 10]);
        let (now, ready) = (host.now(), host.wait(Duration::from_secs(5)));
        assert!(!ready.is_empty());
        for (token, ready) in ready {
            host.driver.handle_ready(now, token, ready);
        }
        assert_eq!(host.driver.stats().received_bytes_total, 4 << 10);
        assert_eq!(host.driver.settle(now), Wait::Now);
        assert_eq!(host.driver.stats().received_bytes_total, 8 << 10);
        assert_eq!(host.read(&mut greedy, 64 << 10), [1; 64 << 10]);
    });
}

#[test]
fn a_paused_stream_is_not_read_and_a_wake_lets_it_go_on() {
    on_each_host(|mut host| {
        let address = host.listen();
        let (mut paused, mut other) = (client(address), client(address));
        host.until(|host| host.app().open.len() == 2);
        send(&mut paused, b"Pause");
        host.until(|host| host.driver.stats().received_bytes_total == 5);
        send(&mut paused, b"later");
        for _ in 0..5 {
            host.turn(Duration::from_millis(1));
        }
        assert_eq!(host.driver.stats().received_bytes_total, 5);
        send(&mut other, b"Rouse");
        assert_eq!(host.read(&mut paused, 5), b"later");
        assert_eq!(host.app().count("woken"), 1, "asked for twice, called once");
    });
}

#[test]
fn a_handler_asks_for_a_permit_on_another_connection() {
    on_each_host(|mut host| {
        let address = host.listen();
        let (mut one, mut two) = (client(address), client(address));
        host.until(|host| host.app().keys.len() == 2);
        send(&mut one, b"Write to the others");
        assert_eq!(host.read(&mut two, 4), b"mail");
    });
}

#[test]
fn other_threads_send_messages_and_wake_the_host() {
    on_each_host(|mut host| {
        let _client = client(host.listen());
        host.until(|host| host.app().open.len() == 1);
        let handle = host.driver.handle();
        let sending = std::thread::spawn(move || {
            for n in 0..100 {
                handle.send(n).expect("room");
            }
            handle.wake();
        });
        host.until(|host| host.app().has("message 99") && host.app().has("notified"));
        sending.join().expect("no panic");
        let messages: Vec<_> = host.app().log.iter().filter(|line| line.starts_with("message")).collect();
        assert_eq!(messages.len(), 100);
        assert!(messages.iter().enumerate().all(|(n, line)| **line == format!("message {n}")));
        host.until(|host| host.app().has("woken"));
        let handle = host.driver.handle();
        drop(host);
        assert_eq!(handle.send(7), Err(SendError::Closed(7)));
    });
}

#[test]
fn deadlines_of_streams_and_of_the_service_come_when_time_has_passed() {
    on_each_host(|mut host| {
        let address = host.listen();
        let mut client = client(address);
        send(&mut client, b"Timer");
        host.until(|host| host.driver.stats().received_bytes_total == 5);
        host.with(|_, cx| cx.set_timer(Some(cx.now() + Duration::from_secs(3))));
        host.turn(Duration::ZERO);
        assert!(!host.app().has("timer"));
        host.skip(Duration::from_secs(4));
        host.turn(Duration::ZERO);
        assert!(host.app().has("timer"));
        assert!(!host.app().has("timeout"));
        host.skip(Duration::from_secs(2));
        host.turn(Duration::ZERO);
        assert_eq!(host.app().count("timeout"), 1);
        assert_eq!(host.app().count("timer"), 1);
        assert_eq!(host.read_to_end(&mut client), b"late");
    });
}

#[test]
fn a_look_at_one_deadline_that_has_moved_back_spares_those_of_its_kind() {
    on_each_host(|mut host| {
        let address = host.listen();
        host.freeze();
        // Each opening has a deadline of its own, a little after the one before it, and each WebSocket is open long before.
        let open = (0..8).map(|_| {
            host.skip(Duration::from_millis(100));
            websocket(&mut host, address)
        });
        let open: Vec<_> = open.collect();
        host.rest();
        let mut looks = 0;
        let until = host.now() + Duration::from_secs(20);
        while let Wait::Until(at) = host.driver.settle(host.now())
            && at <= until
        {
            host.skip(at - host.now());
            looks += 1;
        }
        assert!(looks <= 2, "{looks} looks in twenty seconds");
        assert_eq!(host.driver.stats().connections, open.len());
    });
}

#[test]
fn an_outgoing_connection_is_made_and_speaks() {
    on_each_host(|mut host| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = Address::Tcp(listener.local_addr().expect("an address"));
        let options = ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() };
        let id = host.with(|app, cx| {
            cx.connect(&address, app.raw.clone(), &options, Some(b"hi".to_vec())).expect("an attempt")
        });
        host.turn(Duration::ZERO);
        let (mut peer, _) = listener.accept().expect("a connection");
        assert_eq!(host.read(&mut peer, 2), b"hi");
        send(&mut peer, b"hello");
        assert_eq!(host.read(&mut peer, 5), b"hello");
        assert!(host.app().open.contains(&id));
        assert_eq!(host.driver.stats().connected_total, 1);
        drop(peer);
        host.until(|host| host.app().has("closed"));
    });
}

#[test]
fn a_refused_attempt_is_reported_once_with_its_reason() {
    on_each_host(|mut host| {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("an address");
        host.with(|app, cx| {
            cx.connect(address, app.raw.clone(), &ConnectOptions::default(), None).expect("an attempt")
        });
        host.until(|host| host.app().has("connect failed: ConnectionRefused"));
        host.turn(Duration::ZERO);
        host.turn(Duration::ZERO);
        assert_eq!(host.driver.stats().connections, 0);
        assert_eq!(host.app().log.len(), 1);
    });
}

/// A listener that answers no SYN, as its queue is full.
fn full_listener() -> (socket2::Socket, Vec<socket2::Socket>, SocketAddr) {
    let socket =
        || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let listener = socket();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    listener.listen(0).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let queued = (0..4).map(|_| socket()).collect::<Vec<_>>();
    for socket in &queued {
        socket.set_nonblocking(true).expect("a socket");
        let _ = socket.connect(&address);
    }
    let address = address.as_socket().expect("an address");
    (listener, queued, address)
}

#[test]
fn an_unanswered_attempt_ends_at_its_deadline_or_when_it_is_aborted() {
    on_each_host(|mut host| {
        let (_listener, _queued, address) = full_listener();
        host.freeze();
        let connect = |host: &mut Host| -> ConnectionId {
            let options = ConnectOptions { timeout: Duration::from_secs(7), ..ConnectOptions::default() };
            host.with(|app, cx| cx.connect(address, app.raw.clone(), &options, None).expect("an attempt"))
        };
        connect(&mut host);
        host.turn(Duration::ZERO);
        host.skip(Duration::from_secs(6));
        host.turn(Duration::ZERO);
        assert_eq!(host.app().log, Vec::<String>::new());
        host.skip(Duration::from_secs(1));
        host.turn(Duration::ZERO);
        assert_eq!(host.app().log, ["connect failed: TimedOut"]);
        let id = connect(&mut host);
        host.with(|_, cx| cx.abort(id));
        host.turn(Duration::ZERO);
        assert_eq!(host.app().log[1..], ["connect failed: ConnectionAborted"]);
        host.turn(Duration::ZERO);
        assert_eq!(host.driver.stats().connections, 0);
        assert_eq!(host.driver.stats().connect_failed_total, 2);
        assert_eq!(host.watched(), 0);
    });
}

#[test]
fn at_the_most_connections_the_listener_pauses_until_one_ends() {
    let options = DriverOptions { connections_max: Some(2), ..DriverOptions::default() };
    on_each_host_with(&options, |mut host| {
        let address = host.listen();
        let mut clients: Vec<_> = (0..3).map(|_| client(address)).collect();
        clients.iter_mut().for_each(|client| send(client, b"hello"));
        host.until(|host| host.app().open.len() == 2);
        for _ in 0..5 {
            host.turn(Duration::from_millis(1));
        }
        assert_eq!(host.driver.stats().connections, 2);
        assert_eq!(host.driver.stats().accept_pauses_total, 1);
        let refused =
            host.with(|app, cx| cx.connect(address, app.raw.clone(), &ConnectOptions::default(), None));
        assert_eq!(refused.expect_err("one too many").kind(), ErrorKind::QuotaExceeded);
        clients.remove(0);
        assert_eq!(host.read(&mut clients[1], 5), b"hello");
        assert_eq!(host.driver.stats().accepted_total, 3);
    });
}

#[test]
fn without_descriptors_left_a_listener_pauses_for_a_tenth_of_a_second() {
    const CHILD: &str = "LWS_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        // The limit holds for the whole process, so the test runs in one of its own.
        let name = "without_descriptors_left_a_listener_pauses_for_a_tenth_of_a_second";
        let program = std::env::current_exe().expect("this program");
        let child = std::process::Command::new(program).args(["--exact", name]).env(CHILD, "1").output();
        let child = child.expect("a child");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let options = DriverOptions { connections_max: Some(100), ..DriverOptions::default() };
    on_each_host_with(&options, |mut host| {
        let address = host.listen();
        let mut first = client(address);
        let limits = getrlimit(Resource::Nofile);
        // No descriptor number is free below the limit, so nothing more can be opened.
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limits }).expect("a lower limit");
        host.until(|host| host.driver.stats().accept_pauses_total == 1);
        for _ in 0..3 {
            host.turn(Duration::ZERO);
        }
        assert_eq!(host.driver.stats().accept_pauses_total, 1, "it does not spin");
        setrlimit(Resource::Nofile, limits).expect("the limit from before");
        send(&mut first, b"hello");
        host.skip(Duration::from_millis(100));
        assert_eq!(host.read(&mut first, 5), b"hello");
    });
}

#[test]
fn a_drained_service_closes_its_listeners_says_goodbye_and_is_done() {
    on_each_host(|mut host| {
        let address = host.listen();
        let mut websocket = websocket(&mut host, address);
        host.driver.drain(Duration::from_secs(10));
        assert_eq!(host.read(&mut websocket, 4), b"\x88\x02\x03\xe9");
        assert!(!host.driver.is_done());
        assert!(TcpStream::connect(address).is_err());
        send(&mut websocket, b"\x88\x82\0\0\0\0\x03\xe9");
        assert_eq!(host.read_to_end(&mut websocket), b"");
        drop(websocket);
        host.until(|host| host.driver.is_done());
        assert_eq!(host.app().count("closed"), 1);
    });
}

#[test]
fn what_is_left_at_the_end_of_a_drain_is_cut_off() {
    on_each_host(|mut host| {
        let address = host.listen();
        let _silent = websocket(&mut host, address);
        let (_listener, _queued, full) = full_listener();
        host.with(|app, cx| {
            let options = ConnectOptions::default();
            cx.connect(full, app.raw.clone(), &options, None).expect("an attempt");
            cx.drain(Duration::from_secs(3));
            let late = cx.connect(address, app.raw.clone(), &options, None);
            assert_eq!(late.expect_err("it is ending").kind(), ErrorKind::ConnectionAborted);
        });
        host.until(|host| host.app().has("connect failed: ConnectionAborted"));
        assert!(!host.driver.is_done());
        host.skip(Duration::from_secs(3));
        host.turn(Duration::ZERO);
        host.turn(Duration::ZERO);
        assert!(host.driver.is_done(), "{:?}", host.app().log);
        assert_eq!(host.app().count("closed"), 1);
    });
}

#[test]
fn a_driver_moves_from_one_host_to_another_with_its_connections() {
    for (from, to) in [
        (Trigger::Level, Trigger::Edge),
        (Trigger::Edge, Trigger::OneShot),
        (Trigger::OneShot, Trigger::Level),
    ] {
        let mut host = Host::new(from, Echo::default(), DriverOptions::default());
        let address = host.listen();
        let mut before = client(address);
        send(&mut before, b"before");
        assert_eq!(host.read(&mut before, 6), b"before");
        let driver = host.driver;
        send(&mut before, b"between");
        let mut host = Host::of(driver, to);
        assert_eq!(host.read(&mut before, 7), b"between");
        let mut after = client(address);
        send(&mut after, b"after");
        assert_eq!(host.read(&mut after, 5), b"after");
    }
}

/// A unique path.
fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("lws-{}-{name}.sock", std::process::id()))
}

#[test]
fn a_unix_listener_replaces_a_stale_socket_and_takes_its_own_away() {
    let path = socket_path("stale");
    drop(UnixListener::bind(&path).expect("a socket that is left behind"));
    let mut host = Host::new(Trigger::Level, Echo::default(), DriverOptions::default());
    let options = ListenOptions { unix_mode: Some(0o600), ..ListenOptions::default() };
    let address = Address::Unix(path.clone());
    let id = host.with(|_, cx| cx.listen(&address, &options).expect("the stale one gives way"));
    let busy = host.with(|_, cx| cx.listen(&address, &options).expect_err("in use now"));
    assert_eq!(busy.kind(), ErrorKind::AddrInUse);
    assert_eq!(host.with(|_, cx| cx.listening_on(id).expect("an address")), address);
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = UnixStream::connect(&path).expect("a connection");
    client.write_all(b"hello").expect("room");
    host.until(|host| host.driver.stats().sent_bytes_total == 5);
    let mut reply = [0; 5];
    client.read_exact(&mut reply).expect("the echo");
    assert_eq!(&reply, b"hello");
    host.with(|_, cx| cx.unlisten(id));
    host.turn(Duration::ZERO);
    assert!(!path.exists());
}

#[test]
fn what_is_no_socket_is_never_taken_away() {
    let path = socket_path("file");
    std::fs::write(&path, "precious").expect("a file");
    let mut host = Host::new(Trigger::Level, Echo::default(), DriverOptions::default());
    let address = Address::Unix(path.clone());
    let error = host.with(|_, cx| cx.listen(&address, &ListenOptions::default()).expect_err("in use"));
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    std::fs::remove_file(&path).expect("a file");
}

#[test]
fn an_adopted_socket_is_served_like_any_other() {
    on_each_host(|mut host| {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs.write_all(b"hello").expect("room");
        host.with(|app, cx| {
            let connection = lws_proto::Connection::server(cx.now(), app.raw.clone());
            app.open.insert(cx.adopt(ours.into(), connection, None).expect("an adopted socket"));
        });
        host.until(|host| host.driver.stats().sent_bytes_total == 5);
        let mut reply = [0; 5];
        theirs.read_exact(&mut reply).expect("the echo");
        assert_eq!(&reply, b"hello");
    });
}

#[test]
fn an_address_in_use_is_an_error_at_once() {
    let mut host = Host::new(Trigger::Level, Echo::default(), DriverOptions::default());
    let address = Address::Tcp(host.listen());
    let error = host.with(|_, cx| cx.listen(&address, &ListenOptions::default()).expect_err("in use"));
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_on_one_interface_is_reached_by_that_one_only() {
    on_each_host(|mut host| {
        let any = Address::Tcp(([127, 0, 0, 1], 0).into());
        let on =
            |device: &str| ListenOptions { bind_device: Some(device.into()), ..ListenOptions::default() };
        let error = host.with(|_, cx| cx.listen(&any, &on("nosuch0"))).expect_err("no such interface");
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NODEV.raw_os_error()));
        let address = host.with(|_, cx| {
            let id = cx.listen(&any, &on("lo")).expect("a listener");
            cx.listening_on(id).expect("an address")
        });
        let Address::Tcp(address) = address else { panic!("not of TCP: {address}") };
        let mut client = client(address);
        send(&mut client, b"hello");
        assert_eq!(host.read(&mut client, 5), b"hello");
    });
}

#[test]
fn an_ipv6_listener_takes_ipv4_too_unless_told_otherwise() {
    let mut host = Host::new(Trigger::Level, Echo::default(), DriverOptions::default());
    for (v6_only, expected) in [(false, true), (true, false)] {
        let address: Address = "[::]:0".parse().expect("an address");
        let options = ListenOptions { v6_only, ..ListenOptions::default() };
        let listening = host.with(|_, cx| {
            let id = cx.listen(&address, &options).expect("a listener");
            cx.listening_on(id).expect("an address")
        });
        let Address::Tcp(listening) = listening else { panic!("not TCP") };
        let ipv4 = TcpStream::connect(("127.0.0.1", listening.port()));
        assert_eq!(ipv4.is_ok(), expected, "v6_only {v6_only}");
    }
}

#[test]
fn a_driver_is_debugged_without_its_application() {
    let driver = Driver::new(Echo::default(), DriverOptions::default()).expect("a driver");
    assert!(format!("{driver:?}").starts_with("Driver { stats: "));
}

#[test]
fn messages_are_opened_some_at_a_time_and_descriptors_are_looked_at_in_between() {
    on_each_host(|mut host| {
        let mut client = client(host.listen());
        send(&mut client, b"before");
        assert_eq!(host.read(&mut client, 6), b"before");
        host.freeze();
        let handle = host.driver.handle();
        (0..1_000).for_each(|number| handle.send(number).expect("room"));
        send(&mut client, b"between");
        let opened = |host: &Host| host.app().log.iter().filter(|line| line.starts_with("message")).count();
        let mut most = 0;
        let mut answered_after = None;
        while opened(&host) < 1_000 {
            let before = opened(&host);
            host.turn(Duration::ZERO);
            most = most.max(opened(&host) - before);
            if answered_after.is_none() && host.driver.stats().sent_bytes_total == 13 {
                answered_after = Some(opened(&host));
            }
        }
        // The host of this test settles twice in a turn.
        assert!(most <= 128, "{most} in one turn");
        assert!(answered_after.is_some_and(|opened| opened < 500), "{answered_after:?}");
        let order =
            host.app().log.iter().filter_map(|line| line.strip_prefix("message ")?.parse::<u32>().ok());
        assert!(order.eq(0..1_000));
    });
}

#[test]
fn what_was_accepted_is_delivered_before_the_service_is_done_and_nothing_after() {
    on_each_host(|mut host| {
        host.listen();
        host.turn(Duration::ZERO);
        let handle = host.driver.handle();
        (0..300).for_each(|number| handle.send(number).expect("room"));
        host.driver.drain(Duration::from_secs(10));
        let mut accepted = 300;
        while !host.driver.is_done() {
            host.turn(Duration::ZERO);
            accepted += u32::from(handle.send(accepted).is_ok());
            assert!(accepted < 10_000, "it never closes");
        }
        assert_eq!(handle.send(7), Err(SendError::Closed(7)));
        assert!(handle.is_closed());
        assert_eq!(
            host.app().log.iter().filter(|line| line.starts_with("message")).count(),
            accepted as usize
        );
    });
}

#[test]
fn what_came_while_the_host_was_away_counts_before_the_deadlines() {
    on_each_host(|mut host| {
        host.with(|app, _| app.speaks_http = true);
        let address = host.listen();
        let (early, late) = OPENING.split_at(30);
        let mut in_time = client(address);
        let mut silent = client(address);
        send(&mut in_time, early);
        send(&mut silent, early);
        host.until(|host| host.driver.stats().received_bytes_total == 60);
        send(&mut in_time, late);
        host.freeze();
        host.skip(Duration::from_secs(600));
        // The first call after the long absence is `settle` and not `handle_ready`.
        assert_ne!(host.driver.settle(host.now()), Wait::Forever);
        assert_eq!(host.read(&mut in_time, 12), b"HTTP/1.1 101");
        assert_eq!(host.read(&mut silent, 12), b"HTTP/1.1 408");
    });
}

#[test]
fn what_was_connected_while_the_host_was_away_is_connected() {
    on_each_host(|mut host| {
        let peer = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = Address::Tcp(peer.local_addr().expect("an address"));
        host.freeze();
        host.with(|app, cx| cx.connect(address, app.raw.clone(), &ConnectOptions::default(), None))
            .expect("begun");
        host.driver.settle(host.now());
        host.skip(Duration::from_secs(600));
        host.driver.settle(host.now());
        assert!(host.app().has("connected"), "{:?}", host.app().log);
    });
}

#[test]
fn a_drain_answers_what_lies_in_sockets_and_in_the_accept_queue() {
    on_each_host(|mut host| {
        let address = host.listen();
        let mut clients: Vec<_> = (0..100).map(|_| client(address)).collect();
        let (accepted, queued) = clients.split_at_mut(50);
        for client in accepted {
            send(client, b"hello");
        }
        host.until(|host| host.driver.stats().received_bytes_total >= 5);
        host.until(|host| host.driver.stats().accepted_total == 100);
        let mut later: Vec<_> = (0..50).map(|_| client(address)).collect();
        let big = vec![b'z'; 100_000];
        later.iter_mut().for_each(|client| send(client, b"hello"));
        queued.iter_mut().for_each(|client| send(client, &big));
        host.driver.drain(Duration::from_secs(10));
        for client in &mut later {
            assert_eq!(host.read_to_end(client), b"hello");
        }
        for client in &mut clients[..50] {
            assert_eq!(host.read_to_end(client), b"hello");
        }
        for client in &mut clients[50..] {
            assert_eq!(host.read_to_end(client).len(), big.len());
        }
        host.until(|host| host.driver.is_done());
    });
}

/// Clients that have each sent `len` bytes, none of which the service has read.
fn flooding(host: &mut Host, count: usize, len: usize) -> Vec<TcpStream> {
    let address = host.listen();
    let mut clients: Vec<_> = (0..count).map(|_| client(address)).collect();
    host.until(|host| host.app().open.len() == count);
    host.turn(Duration::ZERO);
    host.freeze();
    clients.iter_mut().for_each(|client| send(client, &vec![b'z'; len]));
    clients
}

/// The number of bytes that a client can read without waiting.
fn waiting(client: &TcpStream) -> usize {
    client.set_nonblocking(true).expect("a socket");
    let mut room = vec![0; 1 << 20];
    client.peek(&mut room).unwrap_or(0)
}

#[test]
fn a_turn_of_the_whole_service_keeps_to_its_bytes_and_every_connection_gets_its_share() {
    const CLIENTS: usize = 16;
    const LEN: usize = 48 << 10;
    let options = DriverOptions {
        read_bytes_per_turn: 2 << 10,
        turn: TurnLimits { time: Duration::MAX, bytes: 10 << 10, ..TurnLimits::default() },
        ..DriverOptions::default()
    };
    on_each_host_with(&options, |mut host| {
        let mut clients = flooding(&mut host, CLIENTS, LEN);
        let moved =
            |host: &Host| host.driver.stats().received_bytes_total + host.driver.stats().sent_bytes_total;
        for _ in 0..40 {
            let before = moved(&host);
            let ready = host.wait(Duration::ZERO);
            // One turn of a host that settles twice.
            let now = host.now();
            ready.into_iter().for_each(|(token, ready)| host.driver.handle_ready(now, token, ready));
            assert_eq!(host.driver.settle(now), Wait::Now);
            host.flush();
            host.driver.settle(now);
            host.flush();
            let moved = moved(&host) - before;
            assert!(moved <= (10 << 10) + (4 << 10), "{moved} bytes in one turn");
            assert!(moved > 0, "nothing was done");
        }
        let answered: Vec<_> = clients.iter().map(waiting).collect();
        let (least, most) = (answered.iter().min(), answered.iter().max());
        assert!(least.zip(most).is_some_and(|(least, most)| most - least <= 4 << 10), "{answered:?}");
        for client in &mut clients {
            assert_eq!(host.read(client, LEN).len(), LEN);
        }
    });
}

#[test]
fn a_turn_of_the_whole_service_ends_by_its_clock() {
    /// A clock that advances by a tenth of a millisecond at each reading.
    fn clock() -> Duration {
        thread_local! {
            static LOOKS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
        }
        LOOKS.set(LOOKS.get() + 1);
        Duration::from_micros(100) * LOOKS.get()
    }
    let options = DriverOptions {
        turn: TurnLimits { time: Duration::from_millis(1), bytes: usize::MAX, clock },
        ..DriverOptions::default()
    };
    on_each_host_with(&options, |mut host| {
        // Short commands, each of which is an event.
        let mut clients = flooding(&mut host, 64, 100);
        let (mut turns, mut most) = (0, 0);
        while host.driver.stats().received_bytes_total < 6_400 {
            let before = host.driver.stats().received_bytes_total;
            host.turn(Duration::ZERO);
            most = most.max(host.driver.stats().received_bytes_total - before);
            turns += 1;
            assert!(turns < 1_000);
        }
        assert!(most < 6_400, "all in one turn");
        for client in &mut clients {
            assert_eq!(host.read(client, 100).len(), 100);
        }
    });
}

#[test]
fn fewer_bytes_than_the_receive_buffer_has_are_kept_to() {
    let options = DriverOptions { read_bytes_per_turn: 1_000, ..DriverOptions::default() };
    on_each_host_with(&options, |mut host| {
        let mut clients = flooding(&mut host, 1, 10_000);
        let now = host.now();
        for (token, ready) in host.wait(Duration::from_secs(5)) {
            host.driver.handle_ready(now, token, ready);
        }
        assert_eq!(host.driver.stats().received_bytes_total, 1_000);
        assert_eq!(host.read(&mut clients[0], 10_000).len(), 10_000);
    });
}

#[test]
fn a_handler_that_always_has_more_to_do_stops_neither_timers_nor_messages_nor_peers() {
    on_each_host(|mut host| {
        let address = host.listen();
        let (mut busy, mut other) = (client(address), client(address));
        send(&mut busy, b"x");
        assert_eq!(host.read(&mut busy, 1), b"x");
        // It wakes itself each time that it is woken.
        host.with(|app, cx| {
            app.restless = true;
            for id in &app.open {
                cx.wake(*id);
            }
            cx.set_timer(Some(cx.now() + Duration::from_millis(5)));
        });
        host.driver.handle().send(7).expect("room");
        send(&mut other, b"hello");
        assert_eq!(host.read(&mut other, 5), b"hello");
        host.until(|host| host.app().has("timer") && host.app().has("message 7"));
        host.with(|app, _| app.restless = false);
    });
}
