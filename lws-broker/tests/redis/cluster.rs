//! Two nodes of a cluster: the slot of all topics moves from one to the other.

use crate::client::{Numbers, World, at, quick, with_history};
use crate::server::RedisServer;
use lws_broker::ServerList;
use lws_broker::redis::{RedisOptions, RedisServers};
use std::time::{Duration, Instant};

/// A node, and the port of its bus.
fn node() -> Option<(RedisServer, u16)> {
    let bus = test_kit::free_port();
    let server = RedisServer::start(&["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()])?;
    Some((server, bus))
}

pub(crate) fn wait(what: &str, mut done: impl FnMut() -> bool) {
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

/// Two nodes that know each other, of which the first has these slots and the second the others.
fn pair(first: &str, second: Option<&str>) -> Option<(RedisServer, RedisServer)> {
    let ((old, _), (new, bus)) = (node()?, node()?);
    ok(&old, &format!("CLUSTER ADDSLOTSRANGE {first}"));
    second.into_iter().for_each(|slots| ok(&new, &format!("CLUSTER ADDSLOTSRANGE {slots}")));
    ok(&old, &format!("CLUSTER MEET 127.0.0.1 {} {bus}", new.port()));
    wait("the cluster is there", || {
        [&old, &new].iter().all(|node| {
            let info = node.ask("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")
        })
    });
    Some((old, new))
}

#[test]
fn a_node_that_has_other_slots_leads_to_the_right_one_and_so_does_one_that_was_learnt() {
    // The slot of {lws} is 12592.
    let Some((mut other, right)) = pair("0 9999", Some("10000 16383")) else { return };
    let nodes = ServerList::new(vec![at(1), at(other.port())]).expect("two");
    let redis = RedisOptions {
        servers: RedisServers::Cluster(nodes),
        sharded: true,
        prefix: "{lws}/".into(),
        ..with_history(&other)
    };
    let mut world = World::new(2, &quick(), &redis);
    world.processes.iter_mut().for_each(|process| process.numbers = Numbers::OfServer);
    (0..2).for_each(|process| world.subscribe(process, "a"));
    world.until_all_confirmed();
    assert!(right.ask("PUBSUB SHARDCHANNELS").contains("{lws}/a"));
    for _ in 0..100 {
        world.until("it is accepted", |world| world.publish(0, "a").is_ok());
    }
    world.until("all have all", |world| (0..2).all(|process| world.oracle(process, "a").messages() == 100));
    // All nodes that were named are gone: the one that was learnt says itself where the slot is.
    ok(&right, "CONFIG SET cluster-require-full-coverage no");
    other.kill();
    world.processes.iter_mut().for_each(|process| process.confirmed.clear());
    assert!(right.ask("CLIENT KILL TYPE pubsub").starts_with(":2"));
    world.until_all_confirmed();
    for _ in 0..100 {
        world.until("it is accepted", |world| world.publish(0, "a").is_ok());
    }
    world.until("all have all", |world| (0..2).all(|process| world.oracle(process, "a").messages() == 200));
    assert_eq!((world.oracle(0, "a").gaps(), world.oracle(1, "a").gaps()), (0, 0));
}

#[test]
fn a_slot_moves_and_the_topics_with_it() {
    let Some((old, new)) = pair("0 16383", None) else { return };
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
