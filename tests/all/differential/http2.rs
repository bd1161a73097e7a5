//! `h2` on the other side of a connection, in both roles, and beside our server: the bodies of the fuzz targets over inputs that are the
//! same in every run. `replay` has many small ones; here each is long enough for several whole exchanges.

use tests::Random;
use tests::fuzz::{http2_acceptance, http2_differential};

fn check(body: fn(&[u8]), seeds: u64) {
    let passes = |seed: &u64| {
        let mut random = Random::new(*seed);
        let len = 100 + random.below(400);
        let input = random.bytes(len);
        std::panic::catch_unwind(|| body(&input)).is_ok()
    };
    let failed: Vec<u64> = (0..seeds).filter(|seed| !passes(seed)).collect();
    assert!(failed.is_empty(), "seeds {failed:?}");
}

#[test]
fn h2_and_the_engine_hear_what_the_other_says() {
    check(http2_differential, 400);
}

#[test]
fn h2_and_the_engine_take_and_refuse_the_same_frames() {
    check(http2_acceptance, 2_000);
}
