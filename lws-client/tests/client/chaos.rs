//! Everything that can go wrong, at every octet of every phase: exactly one outcome, and no act repeated that may not be.

use crate::memory::{Direction, Fault, Plan, World, echo};
use lws_client::{Options, Versions};

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
            assert_eq!(response.text(), expected, "{what}: what is told as whole is whole");
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
