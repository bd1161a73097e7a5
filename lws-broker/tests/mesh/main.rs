//! Processes of a mesh: in memory by a seed, with octets cut everywhere, crashes, ends in order, connections that break and processes that
//! read nothing; and over Unix sockets. The oracle judges what every subscriber received.

mod sockets;
mod subscriber;
mod world;

use lws_broker::mesh::{Mesh, MeshOptions, MeshRequest, SocketName};
use lws_broker::{Broker, Bytes, Cause, Event, Full, Limits, Time, Topic};
use std::time::Duration;
use world::World;

fn name(text: &str) -> SocketName {
    SocketName::parse(text).expect("a name")
}

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a name")
}

fn events(mesh: &mut Mesh) -> Vec<Event> {
    std::iter::from_fn(|| mesh.poll()).collect()
}

fn requests(mesh: &mut Mesh) -> Vec<MeshRequest> {
    std::iter::from_fn(|| mesh.poll_request()).collect()
}

#[test]
fn each_hole_has_a_gap_whatever_happens_to_processes_and_connections() {
    let (mut messages, mut gaps, mut dropped) = (0, 0, 0);
    for seed in 1..=120 {
        let mut world = World::new(seed);
        world.run(3_000);
        messages += world.messages();
        gaps += world.gaps();
        dropped += world.dropped();
    }
    // A simulation in which nothing happens finds nothing.
    assert!(
        messages > 10_000 && gaps > 500 && dropped > 100,
        "{messages} messages, {gaps} gaps, {dropped} dropped"
    );
    println!("{messages} messages, {gaps} gaps, {dropped} dropped");
}

#[test]
fn one_seed_is_one_run() {
    let run = |seed| {
        let mut world = World::new(seed);
        world.run(2_000);
        (world.messages(), world.gaps(), world.octets())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn a_rolling_restart_is_not_noticed() {
    for seed in 1..=6 {
        let mut world = World::new(seed);
        world.start_and_settle(4);
        world.subscribe_all();
        for _ in 0..4 {
            // The new one first, and then the old one ends in order, with messages all the time.
            let old = world.oldest();
            world.start();
            world.exchange(200);
            world.subscribe_all();
            world.leave(old);
            world.exchange(200);
        }
        world.heal();
        world.judge();
        assert_eq!((world.gaps(), world.dropped()), (0, 0), "seed {seed}");
        assert!(world.messages() > 1_000, "{}", world.messages());
    }
}

#[test]
fn a_process_alone_has_its_topics() {
    let mut mesh = Mesh::new(Time::ZERO, name("a.sock"), MeshOptions::default());
    let room = topic("room");
    mesh.subscribe(Time::ZERO, &room);
    assert_eq!(mesh.publish(Time::ZERO, &room, Bytes::from("early")).map(|it| it.0), Ok(1));
    assert_eq!(events(&mut mesh), [], "the folder was not looked through");
    assert_eq!(requests(&mut mesh), [MeshRequest::Scan]);
    mesh.found(Time::ZERO, ["a.sock", "README", ".hidden.sock", "../b.sock"]);
    assert_eq!(requests(&mut mesh), [], "it is alone");
    // What was published before the subscription was confirmed is not delivered here.
    assert_eq!(events(&mut mesh), [Event::Up, Event::Subscribed { topic: room.clone() }]);
    mesh.publish(Time::ZERO, &room, Bytes::from("hello")).expect("there is room");
    let message = Event::Message { topic: room.clone(), payload: Bytes::from("hello"), position: None };
    assert_eq!(events(&mut mesh), [message]);
    mesh.unsubscribe(Time::ZERO, &room);
    mesh.publish(Time::ZERO, &room, Bytes::from("hello")).expect("there is room");
    assert_eq!(events(&mut mesh), []);
    assert_eq!(mesh.next_timeout(), Some(Time::ZERO + Duration::from_secs(2)), "it looks again");
    mesh.leave(Time::ZERO);
    assert_eq!(mesh.publish(Time::ZERO, &room, Bytes::new()), Err(Full::Messages));
    assert_eq!((mesh.is_drained(), mesh.next_timeout()), (true, None));
}

#[test]
fn at_each_limit_there_is_room_and_one_past_it_there_is_not() {
    let limits = Limits {
        topics_max: 2,
        publish_messages_max: 3,
        publish_bytes_max: 30,
        payload_bytes_max: 20,
        events_max: 5,
        ..Limits::default()
    };
    let options = MeshOptions { peers_max: 2, limits, ..MeshOptions::default() };
    let mut mesh = Mesh::new(Time::ZERO, name("a.sock"), options);
    let room = topic("room");
    let publish =
        |mesh: &mut Mesh, len: usize| mesh.publish(Time::ZERO, &room, Bytes::from(vec![0; len])).err();
    let outcomes = [21, 20, 11, 5, 5, 5].map(|len| publish(&mut mesh, len));
    assert_eq!(outcomes, [Some(Full::Payload), None, Some(Full::Bytes), None, None, Some(Full::Messages)]);
    for name in ["a", "b", "c", "a"] {
        mesh.subscribe(Time::ZERO, &topic(name));
    }
    let refused = Event::Refused { topic: topic("c"), receipt: None, cause: Cause::Limit("topics_max") };
    assert_eq!(events(&mut mesh), [refused]);
    requests(&mut mesh);
    mesh.found(Time::ZERO, ["b.sock", "c.sock", "d.sock"]);
    assert_eq!(requests(&mut mesh).len(), 2);
    assert!(matches!(&events(&mut mesh)[..], [Event::Down { cause: Cause::Limit("peers_max"), .. }]));
    // One that connects again is there twice for a while.
    let accepted: Vec<_> = (0..5).map(|_| mesh.accepted(Time::ZERO).is_some()).collect();
    assert_eq!(accepted, [true, true, true, true, false]);
    // No one polls its events.
    mesh.handle_timeout(Time::ZERO + Duration::from_secs(1));
    mesh.subscribe(Time::ZERO, &topic("a"));
    mesh.unsubscribe(Time::ZERO, &topic("b"));
    mesh.subscribe(Time::ZERO, &room);
    let accepted = (0..9).filter(|_| publish(&mut mesh, 1).is_none()).count();
    assert_eq!(accepted, 1, "{:?}", events(&mut mesh));
}

#[test]
fn what_is_no_process_of_the_mesh_is_closed() {
    for octets in [
        &b"\x02"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\0\0\0\x01\x04",
        b"\x01\0\0\0\x08\x01../a.so",
        b"\x01\0\0\0\x01\x07",
    ] {
        for step in [1, 3, 100] {
            let mut mesh = Mesh::new(Time::ZERO, name("a.sock"), MeshOptions::default());
            let link = mesh.accepted(Time::ZERO).expect("there is room");
            octets.chunks(step).for_each(|part| mesh.receive(Time::ZERO, link, part));
            assert!(requests(&mut mesh).contains(&MeshRequest::Close(link)), "{octets:?}");
            assert!(
                events(&mut mesh)
                    .iter()
                    .any(|event| matches!(event, Event::Down { cause: Cause::Violation(_), .. }))
            );
            assert_eq!(mesh.links().count(), 0);
        }
    }
}

#[test]
fn a_process_of_another_version_is_tried_again_at_the_next_look() {
    let next = Time::ZERO + Duration::from_secs(2);
    for violates in [true, false] {
        let mut mesh = Mesh::new(Time::ZERO, name("a.sock"), MeshOptions::default());
        mesh.subscribe(Time::ZERO, &topic("room"));
        mesh.found(Time::ZERO, ["b.sock"]);
        let asked = requests(&mut mesh);
        let [MeshRequest::Scan, MeshRequest::Connect { link, .. }] = asked[..] else { panic!("{asked:?}") };
        mesh.connected(Time::ZERO, link);
        let now = Time::ZERO + Duration::from_millis(100);
        if violates {
            mesh.receive(now, link, b"\x02");
        } else {
            // It does not understand us.
            mesh.closed(now, link);
        }
        assert_eq!(mesh.next_timeout(), Some(next));
        let downs: Vec<_> =
            events(&mut mesh).into_iter().filter(|event| matches!(event, Event::Down { .. })).collect();
        match &downs[..] {
            [Event::Down { cause: Cause::Violation(_), retry_at }] if violates => assert_eq!(*retry_at, next),
            downs => assert!(downs.is_empty() && !violates, "{downs:?}"),
        }
    }
}

#[test]
fn a_process_that_hangs_is_waited_for_until_a_deadline() {
    let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
    let mut mesh = Mesh::new(at(0), name("a.sock"), MeshOptions::default());
    mesh.found(at(0), ["b.sock"]);
    let asked = requests(&mut mesh);
    let [MeshRequest::Scan, MeshRequest::Connect { link, .. }] = asked[..] else { panic!("{asked:?}") };
    mesh.connected(at(0), link);
    let silent = mesh.accepted(at(0)).expect("there is room");
    mesh.handle_timeout(at(1));
    assert_eq!(events(&mut mesh), [Event::Up]);
    mesh.subscribe(at(1), &topic("room"));
    mesh.found(at(9), []);
    mesh.handle_timeout(at(9));
    assert_eq!((events(&mut mesh), mesh.next_timeout()), (vec![], Some(at(10))));
    mesh.handle_timeout(at(10));
    assert_eq!((requests(&mut mesh), mesh.next_timeout()), (vec![MeshRequest::Close(silent)], Some(at(11))));
    mesh.handle_timeout(at(11));
    assert_eq!(events(&mut mesh), [Event::Subscribed { topic: topic("room") }]);
    mesh.subscribe(at(12), &topic("other"));
    assert_eq!(events(&mut mesh), [Event::Subscribed { topic: topic("other") }], "it hangs still");
    // It goes on, and has published meanwhile: another process of the mesh answers in its place.
    let mut other = Mesh::new(at(0), name("b.sock"), MeshOptions::default());
    other.found(at(0), []);
    other.handle_timeout(at(1));
    other.publish(at(1), &topic("room"), Bytes::from("missed")).expect("there is room");
    let sink = other.accepted(at(12)).expect("there is room");
    other.receive(at(12), sink, mesh.transmit(link));
    mesh.receive(at(12), link, other.transmit(sink));
    let gaps = ["room", "other"].map(|name| Event::Gap { topic: topic(name) });
    assert_eq!(events(&mut mesh), gaps);
    mesh.transmitted(link, mesh.transmit(link).len());
    mesh.subscribe(at(13), &topic("third"));
    assert_eq!(events(&mut mesh), [], "it is waited for again");
}

#[test]
fn a_socket_without_a_process_is_removed_and_a_folder_that_cannot_be_read_is_reported() {
    use lws_broker::mesh::ConnectError;
    let mut mesh = Mesh::new(Time::ZERO, name("a.sock"), MeshOptions::default());
    requests(&mut mesh);
    mesh.scan_failed(Time::ZERO, "Permission denied");
    let retry_at = Time::ZERO + Duration::from_secs(2);
    assert_eq!(
        events(&mut mesh),
        [Event::Down { cause: Cause::Connect("Permission denied".into()), retry_at }]
    );
    mesh.handle_timeout(retry_at);
    assert_eq!(requests(&mut mesh), [MeshRequest::Scan]);
    mesh.found(retry_at, ["b.sock", "c.sock"]);
    let asked = requests(&mut mesh);
    let [MeshRequest::Connect { link: b, .. }, MeshRequest::Connect { link: c, .. }] = asked[..] else {
        panic!("{asked:?}")
    };
    mesh.connect_failed(retry_at, b, ConnectError::NoListener);
    assert_eq!(requests(&mut mesh), [MeshRequest::Remove(name("b.sock"))]);
    assert_eq!(events(&mut mesh), []);
    mesh.connect_failed(retry_at, c, ConnectError::Other);
    assert_eq!((requests(&mut mesh), events(&mut mesh)), (vec![], vec![Event::Up]));
}
