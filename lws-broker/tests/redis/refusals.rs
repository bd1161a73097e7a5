//! What the server refuses, and what it says a person can do.

use crate::client::{World, plain, quick, topic};
use crate::server::RedisServer;
use lws_broker::redis::RedisOptions;
use lws_broker::{Broker, Bytes, Options};

/// The first cause for which the connection is not there.
fn down(options: &Options, redis: &RedisOptions) -> String {
    let mut world = World::new(1, options, redis);
    world.subscribe(0, "a");
    world.until("it is down", |world| !world.processes[0].downs.is_empty());
    world.processes[0].downs[0].to_string()
}

#[test]
fn a_missing_password_and_a_wrong_one_have_causes_of_their_own() {
    let Some(server) = RedisServer::start(&["--requirepass", "secret"]) else { return };
    let with =
        |password: Option<&str>| RedisOptions { password: password.map(str::to_owned), ..plain(&server) };
    let missing = down(&quick(), &with(None));
    assert!(missing.contains("NOAUTH") && missing.contains("password"), "{missing}");
    let wrong = down(&quick(), &with(Some("guess")));
    assert!(wrong.contains("WRONGPASS") && wrong.contains("wrong"), "{wrong}");
    let mut world = World::new(1, &quick(), &with(Some("secret")));
    world.subscribe(0, "a");
    world.until_all_confirmed();
}

#[test]
fn a_channel_that_the_user_may_not_have_is_refused_and_the_others_are_not() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let made =
        server.ask("ACL SETUSER web on >secret resetchannels &lws/open/* +@pubsub +@connection +hello");
    assert_eq!(made, "+OK\r\n");
    let redis = RedisOptions { user: Some("web".into()), password: Some("secret".into()), ..plain(&server) };
    let mut world = World::new(1, &quick(), &redis);
    ["open/a", "closed", "open/b"].iter().for_each(|name| world.subscribe(0, name));
    world.until("one is refused and two are not", |world| {
        world.processes[0].refusals.len() == 1 && world.processes[0].confirmed.len() == 2
    });
    let (refused, cause) = &world.processes[0].refusals[0];
    assert_eq!(refused, &topic("closed"));
    assert!(cause.to_string().contains("NOPERM") && cause.to_string().contains("ACL"), "{cause}");
    let now = world.now();
    world.processes[0].remote.publish(now, &topic("closed"), Bytes::from("x")).expect("room");
    world.until("the publication is refused, too", |world| world.processes[0].refusals.len() == 2);
    assert!(world.processes[0].downs.is_empty());
}

#[test]
fn a_replica_and_a_cluster_are_refused_by_name() {
    let Some(server) = RedisServer::start(&["--replicaof", "127.0.0.1", "1"]) else { return };
    let mut world = World::new(1, &quick(), &crate::client::with_history(&server));
    world.subscribe(0, "a");
    world.until("it is down", |world| !world.processes[0].downs.is_empty());
    let replica = world.processes[0].downs[0].to_string();
    assert!(replica.contains("READONLY") || replica.contains("MASTERDOWN"), "{replica}");
    assert!(replica.contains("primary"), "{replica}");
    // Without history it would take publications that reach no one.
    let replica = down(&quick(), &plain(&server));
    assert!(replica.contains("READONLY") && replica.contains("primary"), "{replica}");
    let Some(node) = RedisServer::start(&["--cluster-enabled", "yes"]) else { return };
    let sharded = RedisOptions { sharded: true, ..plain(&node) };
    let cluster = down(&quick(), &sharded);
    assert!(cluster.contains("CLUSTERDOWN") && cluster.contains("slots"), "{cluster}");
}

#[test]
fn where_no_server_is_the_system_says_why() {
    let Some(mut server) = RedisServer::start(&[]) else { return };
    let redis = plain(&server);
    server.kill();
    let cause = down(&quick(), &redis);
    assert!(cause.starts_with("no connection to the broker could be made: "), "{cause}");
}
