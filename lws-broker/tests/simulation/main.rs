//! Processes, their links and a broker, by a seed: with cuts in the middle of a message, stalls, crashes that lose the streams, and
//! lost messages. The oracle judges what every subscriber received, and in the end, with everything healed, all are subscribed.

mod clients;
mod server;
mod session;
mod world;

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
    run(Mode { history: false, echo: true });
}

#[test]
fn at_most_once_from_a_broker_that_does_not_send_publications_back() {
    run(Mode { history: false, echo: false });
}

#[test]
fn recovered_from_history_without_repeats() {
    run(Mode { history: true, echo: true });
}

#[test]
fn clients_that_come_back_get_what_they_have_missed_once_and_in_order() {
    let (mut recovered, mut reads) = (0, 0);
    for seed in seeds() {
        let mut world = World::new(Mode { history: true, echo: true }, seed);
        world.clients_come_back = true;
        if let Err(wrong) = world.run() {
            panic!("seed {seed}: {wrong}");
        }
        recovered += world.recovered();
        reads += world.reads();
    }
    // Or nothing is tested.
    assert!(
        reads > 20 * seeds().end && recovered > 20 * seeds().end,
        "{recovered} messages and {reads} reads"
    );
}

#[test]
fn history_makes_gaps_rare() {
    let gaps = |mode| {
        let mut world = World::new(mode, 7);
        world.lose_streams = false;
        world.run().map(|()| world.gaps())
    };
    let without = gaps(Mode { history: false, echo: true });
    let with = gaps(Mode { history: true, echo: true });
    assert!(
        matches!((&without, &with), (Ok(without), Ok(with)) if with * 4 < *without),
        "{with:?} {without:?}"
    );
}

#[test]
fn one_seed_is_one_run() {
    let outcome = |seed| {
        let mut world = World::new(Mode { history: true, echo: true }, seed);
        (world.run(), world.messages(), world.gaps())
    };
    assert_eq!(outcome(11), outcome(11));
    assert_ne!(outcome(11), outcome(12));
}
