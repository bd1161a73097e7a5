//! Everything that can go wrong, at every octet of every phase: exactly one outcome, and no act repeated that may not be.

use crate::memory::{Direction, Fault, Outcomes, Plan, World, echo};
use lws_client::{Options, Versions};
use test_kit::Chance;

fn world(versions: Versions) -> World {
    let mut options = Options::default();
    options.request.versions = versions;
    World::new(options, echo())
}

/// How many octets go each way for a request.
fn lengths(versions: Versions, reused: bool, post: bool) -> (usize, usize) {
    let mut world = world(versions);
    if reused {
        world.get("http://a/first").expect("a response");
    }
    let before = world.moved;
    ask(&mut world, post).expect("a response");
    (world.moved.0 - before.0, world.moved.1 - before.1)
}

fn ask(world: &mut World, post: bool) -> Result<lws_client::Response, lws_client::Failure> {
    if post { world.post("http://a/act", "content") } else { world.get("http://a/act") }
}

fn suffers(versions: Versions, reused: bool, post: bool, plan: Plan) {
    let what = format!("{versions:?} reused {reused} post {post} {plan:?}");
    let mut world = world(versions);
    if reused {
        world.get("http://a/first").expect("a response");
    }
    let before = world.acts.done.len();
    world.plan(plan);
    // `outcome` itself sees to it that there is exactly one.
    let outcome = ask(&mut world, post);
    let acts = world.acts.done.len() - before;
    match &outcome {
        Ok(response) => {
            let expected = if post { "POST /act done" } else { "GET /act done" };
            assert_eq!(
                response.text(),
                expected,
                "{what}: a response that is delivered as complete is complete"
            );
            assert!(acts >= 1, "{what}");
        }
        Err(failure) => {
            assert!(
                !failure.retryable || acts == 0,
                "{what}: retryable is what was not acted on: {failure:?}"
            );
        }
    }
    if post {
        assert!(acts <= 1, "{what}: acted on {acts} times");
    }
    // An idempotent request on a connection that had been idle does not fail because the server has closed it.
    if reused && !post && matches!(plan.fault, Fault::Cut | Fault::Reset) {
        let head_had_come = plan.direction == Direction::ToClient && plan.after > 10;
        assert!(outcome.is_ok() || head_had_come, "{what}: {outcome:?}");
    }
    assert_eq!(world.client.requests(), 0, "{what}: nothing is left");
}

#[test]
fn whatever_goes_wrong_there_is_one_outcome_and_no_act_is_repeated() {
    for versions in [Versions::Http1, Versions::Http2] {
        for reused in [false, true] {
            for post in [false, true] {
                let (to_server, to_client) = lengths(versions, reused, post);
                for fault in [Fault::Cut, Fault::Reset, Fault::Stall, Fault::Close] {
                    for after in 0..=to_server {
                        suffers(
                            versions,
                            reused,
                            post,
                            Plan { fault, direction: Direction::ToServer, after },
                        );
                    }
                    for after in 0..=to_client {
                        suffers(
                            versions,
                            reused,
                            post,
                            Plan { fault, direction: Direction::ToClient, after },
                        );
                    }
                }
            }
        }
    }
}

/// Requests to several places, while now and then something goes wrong anywhere.
fn storm(seed: u64) {
    let mut chance = Chance::of_seed(seed);
    let mut options = Options::default();
    options.request.versions = if seed.is_multiple_of(2) { Versions::Http1 } else { Versions::Http2 };
    options.limits.per_host_max = 2;
    options.limits.connections_max = 4;
    options.limits.streams_max = 3;
    let mut world = World::new(options, echo());
    let mut asked = Vec::new();
    for n in 0..20 {
        let post = chance.below(2) == 0;
        let url = format!("http://host-{}/{n}", chance.below(3));
        let outcomes = Outcomes::default();
        let builder = world.client.request(if post { "POST" } else { "GET" }, &url).expect("a URL");
        let builder = if post { builder.body("content") } else { builder };
        let id = builder.collect(1 << 20, outcomes.sink());
        asked.push((n, post, outcomes));
        match chance.below(6) {
            0 => world.close_servers(),
            1 => world.client.cancel(id),
            2 => world.refuses = !world.refuses,
            _ => {}
        }
        if chance.below(3) == 0 {
            let fault = [Fault::Cut, Fault::Reset, Fault::Stall, Fault::Close][chance.below(4) as usize];
            let direction = [Direction::ToServer, Direction::ToClient][chance.below(2) as usize];
            world.plan(Plan { fault, direction, after: chance.below(400) as usize });
        }
        for _ in 0..chance.below(4) {
            world.turn();
        }
        if chance.below(4) == 0 {
            world.run_for(std::time::Duration::from_millis(chance.below(20_000)));
        }
    }
    world.refuses = false;
    world.run_for(std::time::Duration::from_secs(300));
    for (n, post, outcomes) in asked {
        let ends = format!(" /{n}");
        let acts = world.acts.done.iter().filter(|act| act.ends_with(&ends)).count();
        match outcomes.only() {
            Ok(_) => assert!(acts >= 1, "{seed} {n}"),
            Err(failure) => assert!(!failure.retryable || acts == 0, "{seed} {n}: {failure:?}"),
        }
        assert!(!post || acts <= 1, "{seed} {n}: acted on {acts} times");
    }
    assert_eq!(
        (world.client.requests(), world.client.connections(), world.connections()),
        (0, 0, 0),
        "{seed}"
    );
    assert_eq!(world.client.next_timeout(), None, "{seed}");
}

#[test]
fn in_any_storm_every_request_has_one_outcome_and_no_post_acts_twice() {
    for seed in 1..=400 {
        storm(seed);
    }
}
