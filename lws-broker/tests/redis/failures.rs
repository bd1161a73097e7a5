//! What becomes of messages when something fails.

use crate::client::{Numbers, World, plain, quick, with_history};
use crate::server::RedisServer;
use lws_broker::{Cause, Full, Limits, Options};
use std::time::Duration;

/// Two processes that subscribe, of which the first publishes.
fn pair(redis: &lws_broker::redis::RedisOptions, filling: usize) -> World {
    // A machine that is busy for some seconds is no failure of the server.
    let options = Options { ping_interval: Duration::from_secs(60), ..quick() };
    let mut world = World::new(2, &options, redis);
    world.filling = filling;
    world.subscribe(0, "a");
    world.subscribe(1, "a");
    world.until_all_confirmed();
    world
}

/// Publishes what is accepted for some turns.
fn publish(world: &mut World, turns: usize) {
    for _ in 0..turns {
        let _ = world.publish(0, "a");
        world.turn();
    }
}

/// All have noticed that the server has gone.
fn until_down(world: &mut World) {
    world.until("all are down", |world| world.processes.iter().all(|it| !it.remote.is_up()));
}

fn until_up(world: &mut World) {
    world.until("all are up", |world| world.processes.iter().all(|it| it.remote.is_up()));
}

/// What was accepted and lost on its way was never a message of the topic: only what comes behind tells that everything is over.
fn settle(world: &mut World) {
    until_up(world);
    let before: Vec<_> = (0..2).map(|process| world.oracle(process, "a").messages()).collect();
    world.until("messages come again", |world| {
        let _ = world.publish(0, "a");
        (0..2).all(|process| world.oracle(process, "a").messages() > before[process])
    });
}

#[test]
fn a_message_that_is_longer_than_the_client_takes_is_a_gap_and_not_the_end_again_and_again() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let mut redis = with_history(&server);
    redis.limits.bulk_bytes_max = 1_000;
    let mut world = pair(&redis, 10);
    // One that has come while the connection was away.
    server.ask("HINCRBY lws/epoch:a offset 1");
    server.ask(&format!("XADD lws/history:a 1-0 d {}", "x".repeat(1_001)));
    server.ask("CLIENT KILL TYPE pubsub");
    world.until("all have a gap", |world| (0..2).all(|process| world.oracle(process, "a").gaps() == 1));
    settle(&mut world);
    assert!(world.processes.iter().all(|process| process.downs.len() == 1));
}

#[test]
fn killed_in_the_middle_of_a_push_and_started_again() {
    let Some(mut server) = RedisServer::start(&[]) else { return };
    let mut world = pair(&plain(&server), 20_000);
    for round in 1..=3 {
        publish(&mut world, 200);
        server.kill();
        publish(&mut world, 20);
        until_down(&mut world);
        server.run();
        settle(&mut world);
        world.judge();
        assert!(world.oracle(1, "a").gaps() >= round, "each connection that was lost is a gap");
    }
}

#[test]
fn killed_with_its_streams_the_epoch_says_so() {
    let Some(mut server) = RedisServer::start(&[]) else { return };
    let mut world = pair(&with_history(&server), 1_000);
    world.processes.iter_mut().for_each(|process| process.numbers = Numbers::OfServer);
    for round in 1..=2 {
        publish(&mut world, 200);
        server.kill();
        until_down(&mut world);
        server.run();
        settle(&mut world);
        world.judge();
        assert!(world.oracle(1, "a").gaps() >= round);
    }
}

#[test]
fn killed_with_its_streams_on_disk_nothing_is_lost() {
    let Some(mut server) = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let mut world = pair(&with_history(&server), 100);
    world.processes.iter_mut().for_each(|process| process.numbers = Numbers::OfServer);
    // Once only: a Redis 7.0 that is killed in the middle of a transaction leaves its begin in the file, and applies it when it starts
    // for the second time after that. The offset counts one message too many then, which is a gap.
    publish(&mut world, 200);
    server.kill();
    until_down(&mut world);
    server.run();
    until_up(&mut world);
    publish(&mut world, 50);
    // Publications that were on their way are lost, as they may be; what the server has taken is not.
    let stored = server.ask("XLEN lws/history:a");
    let stored: u64 = stored.trim_start_matches(':').trim().parse().expect("a number");
    world.until("everything that was stored has come, or a gap", |world| {
        let oracle = world.oracle(1, "a");
        oracle.messages() >= stored || oracle.gaps() > 0
    });
    let oracle = world.oracle(1, "a");
    assert_eq!(
        oracle.gaps(),
        0,
        "{} of {stored} messages, {:?}",
        oracle.messages(),
        world.processes[1].downs
    );
}

#[test]
fn cut_off_by_an_operator_without_history_is_a_gap_and_with_it_none() {
    let Some(server) = RedisServer::start(&[]) else { return };
    for (redis, recovered) in [(plain(&server), false), (with_history(&server), true)] {
        let mut world = World::new(3, &quick(), &redis);
        (0..2).for_each(|process| world.subscribe(process, "a"));
        world.until_all_confirmed();
        for round in 0..5 {
            for _ in 0..50 {
                // The one that publishes subscribes to nothing: it is not cut off.
                world.until("it is accepted", |world| world.publish(2, "a").is_ok());
                world.turn();
            }
            world.processes.iter_mut().for_each(|process| process.confirmed.clear());
            assert_eq!(server.ask("CLIENT KILL TYPE pubsub"), ":2\r\n", "round {round}");
            world.until("both have noticed", |world| {
                let _ = world.publish(2, "a");
                world.processes[..2].iter().all(|it| it.downs.len() > round)
            });
            world.until_all_confirmed();
        }
        let _ = world.publish(2, "a");
        world.judge();
        for process in 0..2 {
            let oracle = world.oracle(process, "a");
            assert_eq!(oracle.gaps(), if recovered { 0 } else { 5 });
        }
    }
}

#[test]
fn a_slow_process_is_cut_off_by_the_server_and_recovers() {
    let Some(server) = RedisServer::start(&["--client-output-buffer-limit", "pubsub", "64kb", "0", "0"])
    else {
        return;
    };
    for (redis, recovered) in [(plain(&server), false), (with_history(&server), true)] {
        let mut world = pair(&redis, 2_000);
        world.processes[1].is_slow = true;
        for _ in 0..5_000 {
            let _ = world.publish(0, "a");
            world.turn();
        }
        let subscribers = || server.ask("CLIENT LIST TYPE pubsub").matches("name=lws").count();
        // On a busy machine the other one, too.
        assert!(subscribers() < 2, "the slow one was cut off");
        world.processes[1].is_slow = false;
        world.until("it notices", |world| !world.processes[1].downs.is_empty());
        settle(&mut world);
        world.judge();
        // What the server keeps is more than what may be recovered at once.
        let gaps = world.oracle(1, "a").gaps();
        assert!(recovered || gaps > 0, "{gaps}");
    }
}

#[test]
fn a_server_that_is_stopped_counts_as_dead_and_publications_wait_within_their_bounds() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let limits = Limits { publish_messages_max: 10, publish_bytes_max: 10_000, ..Limits::default() };
    let answer_timeout = Duration::from_millis(500);
    let options = Options { limits, answer_timeout, ..quick() };
    let mut world = World::new(1, &options, &plain(&server));
    world.subscribe(0, "a");
    world.until_all_confirmed();
    server.signal("-STOP");
    world.until("the connection is given up", |world| !world.processes[0].downs.is_empty());
    assert_eq!(world.processes[0].downs[0], Cause::Timeout("ping"));
    let accepted = (0..100).take_while(|_| world.publish(0, "a").is_ok()).count();
    assert_eq!((accepted, world.publish(0, "a")), (10, Err(Full::Messages)));
    server.signal("-CONT");
    until_up(&mut world);
    world.until("what waited is delivered, or a gap says so", |world| {
        let _ = world.publish(0, "a");
        world.oracle(0, "a").messages() > 5
    });
    assert!(world.oracle(0, "a").gaps() >= 1);
}
