//! Two nodes of a cluster: the slot of all topics moves from one to the other.

use crate::client::{Numbers, World, quick, with_history};
use crate::server::RedisServer;
use lws_broker::redis::RedisOptions;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A node, and the port of its bus.
fn node() -> Option<(RedisServer, u16)> {
    let bus = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let server = RedisServer::start(&["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()])?;
    Some((server, bus))
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < patience, "in vain: {what}");
        std::thread::yield_now();
    }
}

fn ok(server: &RedisServer, command: &str) {
    assert_eq!(server.ask(command), "+OK\r\n", "{command}");
}

/// The name of a node in its cluster.
fn id(server: &RedisServer) -> String {
    server.ask("CLUSTER MYID").lines().nth(1).expect("an id").trim().to_owned()
}

#[test]
fn a_slot_moves_and_the_topics_with_it() {
    let (Some((old, _)), Some((new, bus))) = (node(), node()) else { return };
    ok(&old, "CLUSTER ADDSLOTSRANGE 0 16383");
    ok(&old, &format!("CLUSTER MEET 127.0.0.1 {} {bus}", new.port()));
    wait("the cluster is there", || {
        [&old, &new].iter().all(|node| {
            let info = node.ask("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")
        })
    });
    let redis = RedisOptions { sharded: true, prefix: "{lws}/".into(), ..with_history(&old) };
    let mut world = World::new(2, &quick(), &redis);
    world.processes.iter_mut().for_each(|process| process.numbers = Numbers::OfServer);
    (0..2).for_each(|process| world.subscribe(process, "a"));
    world.until_all_confirmed();
    for _ in 0..100 {
        world.until("it is accepted", |world| world.publish(0, "a").is_ok());
    }
    world.until("all have all", |world| (0..2).all(|process| world.oracle(process, "a").messages() == 100));

    let slot = old.ask("CLUSTER KEYSLOT {lws}/");
    let slot = slot.trim_start_matches(':').trim();
    ok(&new, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(&old)));
    ok(&old, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(&new)));
    let keys = "{lws}/history:a {lws}/epoch:a";
    ok(&old, &format!("MIGRATE 127.0.0.1 {} \"\" 0 5000 KEYS {keys}", new.port()));
    world.processes.iter_mut().for_each(|process| process.confirmed.clear());
    ok(&new, &format!("CLUSTER SETSLOT {slot} NODE {}", id(&new)));
    ok(&old, &format!("CLUSTER SETSLOT {slot} NODE {}", id(&new)));
    world.until_all_confirmed();
    assert!(world.processes[0].downs[0].to_string().contains("MOVED"), "{:?}", world.processes[0].downs);
    assert!(new.ask("PUBSUB SHARDCHANNELS").contains("{lws}/a"));
    for _ in 0..100 {
        world.until("it is accepted", |world| world.publish(0, "a").is_ok());
    }
    world.until("all have all", |world| (0..2).all(|process| world.oracle(process, "a").messages() == 200));
    assert_eq!((world.oracle(0, "a").gaps(), world.oracle(1, "a").gaps()), (0, 0));
}
