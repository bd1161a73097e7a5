//! What works.

use crate::client::{World, plain, quick, topic, with_history};
use crate::server::RedisServer;
use lws_broker::Broker;
use lws_broker::redis::RedisOptions;

/// Three processes, of which two publish and all subscribe.
fn exchange(redis: &RedisOptions) {
    let mut world = World::new(3, &quick(), redis);
    for process in 0..3 {
        ["room/a", "room/b"].iter().for_each(|name| world.subscribe(process, name));
    }
    world.until_all_confirmed();
    for _ in 0..500 {
        for (process, name) in [(0, "room/a"), (1, "room/a"), (1, "room/b")] {
            world.until("it is accepted", |world| world.publish(process, name).is_ok());
        }
    }
    world.judge();
    for process in 0..3 {
        assert_eq!(
            (world.oracle(process, "room/a").messages(), world.oracle(process, "room/a").gaps()),
            (1_000, 0)
        );
        assert_eq!(
            (world.oracle(process, "room/b").messages(), world.oracle(process, "room/b").gaps()),
            (500, 0)
        );
    }
}

#[test]
fn every_process_receives_every_message_once_and_in_order() {
    let Some(server) = RedisServer::start(&[]) else { return };
    exchange(&plain(&server));
}

#[test]
fn so_it_is_with_history() {
    let Some(server) = RedisServer::start(&[]) else { return };
    exchange(&with_history(&server));
    assert!(
        server.ask("TTL lws/history:room/a").starts_with(":300")
            || server.ask("TTL lws/history:room/a").starts_with(":29")
    );
    assert_eq!(server.ask("XLEN lws/history:room/a"), ":1000\r\n");
}

#[test]
fn so_it_is_with_sharded_channels_and_large_messages() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let redis = RedisOptions { sharded: true, ..with_history(&server) };
    let mut world = World::new(2, &quick(), &redis);
    world.filling = 300_000;
    world.subscribe(0, "a");
    world.subscribe(1, "a");
    world.until_all_confirmed();
    assert!(server.ask("PUBSUB SHARDCHANNELS").contains("lws/a"));
    for _ in 0..10 {
        world.until("it is accepted", |world| world.publish(0, "a").is_ok());
    }
    world.judge();
    assert_eq!((world.oracle(1, "a").messages(), world.oracle(1, "a").gaps()), (10, 0));
}

#[test]
fn one_subscription_of_a_process_begins_with_the_first_and_lingers_behind_the_last() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let mut world = World::new(2, &quick(), &plain(&server));
    world.subscribe(0, "a");
    world.subscribe(0, "a");
    world.subscribe(1, "a");
    world.until_all_confirmed();
    assert_eq!(server.ask("PUBSUB NUMSUB lws/a"), "*2\r\n$5\r\nlws/a\r\n:2\r\n");
    let now = world.now();
    world.processes[1].remote.unsubscribe(now, &topic("a"));
    world.turn();
    assert_eq!(server.ask("PUBSUB NUMSUB lws/a"), "*2\r\n$5\r\nlws/a\r\n:2\r\n", "it lingers");
    world.until("it ends", |_| server.ask("PUBSUB NUMSUB lws/a") == "*2\r\n$5\r\nlws/a\r\n:1\r\n");
}

#[test]
fn ten_thousand_topics_are_subscribed_to_in_batches() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let mut world = World::new(1, &quick(), &with_history(&server));
    (0..10_000).for_each(|number| world.subscribe(0, &format!("room/{number}")));
    world.until_all_confirmed();
    let commands = server.ask("INFO commandstats");
    let subscribe = commands.lines().find(|line| line.starts_with("cmdstat_subscribe:"));
    assert!(subscribe.is_some_and(|line| line.contains("calls=20,")), "{subscribe:?}");
}

#[test]
fn what_others_publish_is_a_message_without_a_position() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let mut world = World::new(1, &quick(), &with_history(&server));
    world.subscribe(0, "a");
    world.until_all_confirmed();
    assert_eq!(server.ask("PUBLISH lws/a \"7 1\""), ":1\r\n");
    world.until("it comes", |world| world.oracle(0, "a").messages() == 1);
}
