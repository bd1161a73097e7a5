//! Processes, their links and a broker, by a seed: with cuts in the middle of a message, stalls, crashes that lose the streams, and
//! lost messages. The oracle judges what every subscriber received, and in the end, with everything healed, all are subscribed.

mod clients;
mod fleet;
mod server;
mod session;
mod world;

use fleet::{Fleet, Model, Size};
use std::time::Duration;
use world::{Mode, World};

/// Seeds of each mode, 90 simulated seconds each: an hour and a half, or as many as `SEEDS` says.
fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

fn run(mode: Mode) {
    let (mut messages, mut gaps, mut seconds) = (0, 0, 0);
    for seed in seeds() {
        let mut world = World::new(mode, seed);
        if let Err(wrong) = world.run() {
            panic!("{mode:?}, seed {seed}: {wrong}");
        }
        messages += world.messages();
        gaps += world.gaps();
        seconds += world.seconds();
    }
    // A simulation in which nothing happens finds nothing.
    assert!(messages > 1_000 && gaps > 10, "{mode:?}: {messages} messages and {gaps} gaps");
    println!("{mode:?}: {messages} messages, {gaps} gaps, {seconds} s");
}

#[test]
fn at_most_once_with_a_gap_for_each_hole() {
    run(Mode { history: false, echo: true, linked: false });
}

#[test]
fn at_most_once_from_a_broker_that_does_not_send_publications_back() {
    run(Mode { history: false, echo: false, linked: false });
}

#[test]
fn recovered_from_history_without_repeats() {
    run(Mode { history: true, echo: true, linked: false });
}

#[test]
fn recovered_from_a_stream_that_topics_share() {
    run(Mode { history: true, echo: true, linked: true });
}

#[test]
fn clients_that_come_back_get_what_they_have_missed_once_and_in_order() {
    for linked in [false, true] {
        let (mut recovered, mut reads) = (0, 0);
        for seed in seeds() {
            let mut world = World::new(Mode { history: true, echo: true, linked }, seed);
            world.clients_come_back = true;
            if let Err(wrong) = world.run() {
                panic!("seed {seed}, {linked}: {wrong}");
            }
            recovered += world.recovered();
            reads += world.reads();
        }
        // Or nothing is tested.
        assert!(
            reads > 20 * seeds().end && recovered > 20 * seeds().end,
            "{linked}: {recovered} messages and {reads} reads"
        );
    }
}

#[test]
fn history_makes_gaps_rare() {
    let gaps = |mode| {
        let mut world = World::new(mode, 7);
        world.lose_streams = false;
        world.run().map(|()| world.gaps())
    };
    let without = gaps(Mode { history: false, echo: true, linked: false });
    for linked in [false, true] {
        let with = gaps(Mode { history: true, echo: true, linked });
        assert!(
            matches!((&without, &with), (Ok(without), Ok(with)) if with * 4 < *without),
            "{linked}: {with:?} {without:?}"
        );
    }
}

#[test]
fn one_seed_is_one_run() {
    let outcome = |seed| {
        let mut world = World::new(Mode { history: true, echo: true, linked: false }, seed);
        (world.run(), world.messages(), world.gaps())
    };
    assert_eq!(outcome(11), outcome(11));
    assert_ne!(outcome(11), outcome(12));
}

/// What the model of `docs/scale.md` says of a thousand processes, and what they do.
#[test]
fn a_thousand_processes_have_the_queues_that_the_model_says() {
    let usual = Size {
        processes: 1_000,
        topics: 1_000,
        subscribed: 20,
        published: 1,
        capacity: 100_000,
        outage: Duration::from_secs(1),
    };
    // An outage that is over before the delays have grown, one under which they have, and a broker that is nearly used up.
    let long = Size { outage: Duration::from_secs(30), ..usual };
    let busy = Size { published: 2, capacity: 60_000, outage: Duration::from_secs(10), ..usual };
    for size in [usual, long, busy] {
        let (model, seen) = (Model(size), Fleet::new(size).run());
        println!("{size:?}: load {:.2}, {} connects, {:?}", model.load(), model.connects(), model.recovery());
        println!("{seen:?}");
        assert!(model.load() < 1.0 && seen.delivered > 100_000, "{size:?}");
        assert!(seen.queue <= model.queue(), "{size:?}: {seen:?}");
        assert!(seen.connects <= model.connects(), "{size:?}: {seen:?}");
        assert!(seen.recovery <= model.recovery(), "{size:?}: {seen:?}");
        assert_eq!(seen.refused, 0, "{size:?}");
        assert_eq!(seen.gaps as usize, size.processes * size.subscribed, "each topic of each process, once");
    }
}
