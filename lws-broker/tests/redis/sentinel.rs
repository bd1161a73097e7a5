//! A primary and its replica with sentinels that watch them: the primary dies, or changes places with the replica.

use crate::client::{Numbers, World, at, plain, quick, with_history};
use crate::cluster::wait;
use crate::server::RedisServer;
use lws_broker::redis::{RedisOptions, RedisServers, Sentinels};
use lws_broker::{Cause, ServerList};

struct Guarded {
    primary: RedisServer,
    replica: RedisServer,
    sentinels: Vec<RedisServer>,
}

impl Guarded {
    /// Three sentinels, of which two have to agree, with a password of their own.
    fn start() -> Option<Self> {
        let primary = RedisServer::start(&[])?;
        let port = primary.port().to_string();
        let replica =
            RedisServer::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"])?;
        let lines = format!(
            "sentinel monitor main 127.0.0.1 {port} 2
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 3000
requirepass watch
sentinel sentinel-pass watch
"
        );
        let sentinels = (0..3).map(|_| RedisServer::start_sentinel(&lines)).collect::<Option<Vec<_>>>()?;
        let it = Self { primary, replica, sentinels };
        wait("the sentinels know the replica and each other", || {
            it.sentinels.iter().all(|sentinel| {
                let master = sentinel.ask("AUTH watch\r\nSENTINEL MASTER main");
                let says = |name: &str, value: &str| {
                    master.contains(&format!("{name}\r\n${}\r\n{value}\r\n", value.len()))
                };
                says("num-slaves", "1") && says("num-other-sentinels", "2") && says("flags", "master")
            })
        });
        wait("the replica has what the primary has", || {
            it.replica.ask("INFO replication").contains("master_link_status:up")
        });
        Some(it)
    }

    fn options(&self, history: bool) -> RedisOptions {
        // One that is not there comes first.
        let ports = [1].into_iter().chain(self.sentinels.iter().map(RedisServer::port));
        let sentinels = Sentinels {
            endpoints: ServerList::new(ports.map(at).collect()).expect("sentinels"),
            master: "main".into(),
            user: None,
            password: Some("watch".into()),
        };
        let base = if history { with_history(&self.primary) } else { plain(&self.primary) };
        RedisOptions { servers: RedisServers::Sentinel(sentinels), ..base }
    }
}

/// Publishes until all subscribers have received something new, so that what was lost before is over.
fn settle(world: &mut World) {
    let before: Vec<_> = (0..2).map(|process| world.oracle(process, "a").messages()).collect();
    world.until("messages come again", |world| {
        let _ = world.publish(0, "a");
        (0..2).all(|process| world.oracle(process, "a").messages() > before[process])
    });
}

fn pair(redis: &RedisOptions) -> World {
    let mut world = World::new(2, &quick(), redis);
    (0..2).for_each(|process| world.subscribe(process, "a"));
    world.until_all_confirmed();
    for _ in 0..200 {
        let _ = world.publish(0, "a");
        world.turn();
    }
    world
}

#[test]
fn a_primary_that_dies_is_followed_by_its_replica() {
    for history in [false, true] {
        let Some(mut guarded) = Guarded::start() else { return };
        let mut world = pair(&guarded.options(history));
        assert!(
            world.processes[0].downs.iter().all(|cause| matches!(cause, Cause::Connect(_))),
            "only of the one that is not there"
        );
        world.processes.iter_mut().for_each(|process| process.confirmed.clear());
        guarded.primary.kill();
        world.until_all_confirmed();
        settle(&mut world);
        world.judge();
        assert!(guarded.replica.ask("ROLE").contains("master"));
        // What the replica did not have is lost, and its offsets are those of other messages now.
        (0..2).for_each(|process| assert!(world.oracle(process, "a").gaps() >= 1));
    }
}

#[test]
fn a_failover_that_an_operator_asks_for_ends_the_connections_to_the_old_primary() {
    let Some(guarded) = Guarded::start() else { return };
    let mut world = pair(&guarded.options(true));
    world.processes.iter_mut().for_each(|process| process.confirmed.clear());
    assert!(guarded.sentinels[0].ask("AUTH watch\r\nSENTINEL FAILOVER main").contains("+OK"));
    world.until_all_confirmed();
    settle(&mut world);
    world.judge();
    assert!(guarded.replica.ask("PUBSUB CHANNELS lws/*").contains("lws/a"));
}

#[test]
fn a_replica_that_lags_is_promoted_and_what_it_lacks_is_a_gap_though_its_offsets_go_on() {
    let Some(mut guarded) = Guarded::start() else { return };
    let mut world = pair(&guarded.options(true));
    world.processes.iter_mut().for_each(|process| process.numbers = Numbers::OfServer);
    // It hears nothing more of its primary.
    assert_eq!(guarded.replica.ask("REPLICAOF 127.0.0.1 1"), "+OK\r\n");
    for _ in 0..100 {
        world.until("it is accepted", |world| world.publish(0, "a").is_ok());
    }
    world.until("all have all", |world| (0..2).all(|process| world.oracle(process, "a").messages() >= 100));
    guarded.primary.kill();
    wait("the replica is promoted", || {
        guarded.replica.try_ask("ROLE").is_ok_and(|role| role.contains("master"))
    });
    // Others publish more than it lacks before our processes come back: their positions are in the middle of that.
    let mut others = World::new(1, &quick(), &with_history(&guarded.replica));
    for _ in 0..400 {
        others.until("it is accepted", |world| world.publish(0, "a").is_ok());
    }
    others.until("all is taken", |_| guarded.replica.ask("XLEN lws/history:a") == ":400\r\n");
    world.processes.iter_mut().for_each(|process| process.confirmed.clear());
    world.until_all_confirmed();
    assert_eq!((world.oracle(0, "a").gaps(), world.oracle(1, "a").gaps()), (1, 1));
}

#[test]
fn a_name_that_no_sentinel_knows_and_a_password_that_is_wrong_have_causes() {
    let Some(guarded) = Guarded::start() else { return };
    let with = |change: &dyn Fn(&mut Sentinels)| {
        let mut redis = guarded.options(false);
        if let RedisServers::Sentinel(sentinels) = &mut redis.servers {
            change(sentinels);
        }
        let mut world = World::new(1, &quick(), &redis);
        world.subscribe(0, "a");
        world.until("it is down", |world| world.processes[0].downs.len() >= 4);
        world.processes[0].downs[1].to_string()
    };
    let other = with(&|sentinels| sentinels.master = "other".into());
    assert!(other.contains("other") && other.contains("SENTINEL MASTERS"), "{other}");
    let wrong = with(&|sentinels| sentinels.password = Some("guess".into()));
    assert!(wrong.contains("WRONGPASS") && wrong.contains("sentinel-password"), "{wrong}");
    let none = with(&|sentinels| sentinels.password = None);
    assert!(none.contains("NOAUTH") && none.contains("sentinel-password"), "{none}");
    let server = RedisServer::start(&[]).expect("it was there before");
    let no_sentinel = with(&|sentinels| {
        sentinels.endpoints = ServerList::new(vec![at(1), at(server.port())]).expect("two");
        sentinels.password = None;
    });
    assert!(no_sentinel.contains("26379"), "{no_sentinel}");
}
