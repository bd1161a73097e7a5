//! Random seeds, and properties of runs in general.

use lws_simulation::{Plan, Random};

/// The number of seeds in a test run.
const SEEDS: u64 = 600;

#[test]
fn seeds_find_nothing() {
    for seed in 0..SEEDS {
        let plan = Plan::draw(seed);
        if plan.try_once().is_err() {
            plan.run().unwrap_or_else(|failure| panic!("{failure}"));
        }
    }
}

#[test]
fn a_run_is_the_same_twice() {
    let mut random = Random::new(1);
    for _ in 0..40 {
        let plan = Plan::draw(random.next());
        let hash = |plan: &Plan| plan.try_once().map(|outcome| outcome.hash).map_err(|finding| finding.text);
        assert_eq!(hash(&plan), hash(&plan), "{plan:#?}");
    }
}
