//! What a compressed message can make of itself: at each limit, and one past it. Bombs.

use super::{all, compressed_frame, fails_with, server_receives_with};
use lws_proto::{Cause, Config, Limit};
use std::sync::Arc;
use tests::deflate::compressed;
use tests::endpoint::limits;
use tests::wire::{BINARY, BINARY_BEGINS, ENDS, GOES_ON, masked};
use tests::{Seen, deliver};

/// What a server that wants whole messages makes of it.
fn whole(config: &Arc<Config>, input: &[u8]) -> tests::Delivered {
    deliver(|| tests::deflate::server(Arc::clone(config), &all(), false, super::OFFER), input)
}

#[test]
fn message_bytes_max_counts_what_was_inflated() {
    for limit in [1, 100, 16_383, 16_384, 16_385, 40_000] {
        let config = limits(|limits| limits.message_bytes_max = limit);
        let check = |cut: usize| {
            let [at, past] = [limit, limit + 1].map(|len| {
                let payload = compressed(&vec![b'x'; len]);
                let cut = cut.min(payload.len());
                [compressed_frame(BINARY_BEGINS, &payload[..cut]), masked(ENDS, &payload[cut..])].concat()
            });
            let taken = whole(&config, &at);
            assert_eq!(taken.seen.contents(), [vec![b'x'; limit][..].into()]);
            assert!(taken.seen.causes().is_empty());
            let refused = whole(&config, &past);
            assert_eq!(refused.seen.causes(), [Cause::Limit(Limit::MessageBytes)], "{} bytes", limit + 1);
            assert!(refused.seen.contents().is_empty());
        };
        check(0);
        check(2);
        check(usize::MAX);
    }
}

#[test]
fn message_fragments_max_counts_compressed_fragments() {
    let config = limits(|limits| limits.message_fragments_max = 5);
    let payload = compressed(b"five fragments, or six");
    let fragments = |count: usize| {
        let empty = masked(GOES_ON, b"").repeat(count - 2);
        [compressed_frame(BINARY_BEGINS, b""), empty, masked(ENDS, &payload)].concat()
    };
    assert!(whole(&config, &fragments(5)).seen.causes().is_empty());
    assert_eq!(whole(&config, &fragments(6)).seen.causes(), [Cause::Limit(Limit::MessageFragments)]);
}

#[test]
fn inflate_ratio_max_bounds_streamed_messages_too() {
    let payload = compressed(&vec![0; 1_000_000]);
    let exact = 1_000_000_usize.div_ceil(payload.len()) as u32;
    let config = |ratio| {
        limits(|limits| {
            limits.message_bytes_max = 2_000_000;
            limits.inflate_ratio_max = Some(ratio);
        })
    };
    let input = compressed_frame(BINARY, &payload);
    assert!(server_receives_with(&config(exact), &all(), &input).seen.causes().is_empty());
    fails_with(&config(exact - 1), &all(), &input, 1009, Cause::Limit(Limit::InflateRatio));
    // A small message may grow by any ratio.
    let small = compressed(&vec![0; 64 << 10]);
    assert!(
        server_receives_with(&config(1), &all(), &compressed_frame(BINARY, &small)).seen.causes().is_empty()
    );
    let larger = compressed(&vec![0; (64 << 10) + 1]);
    fails_with(
        &config(1),
        &all(),
        &compressed_frame(BINARY, &larger),
        1009,
        Cause::Limit(Limit::InflateRatio),
    );
}

/// Messages that are small on the wire, and large or endless behind it. Each ends with 1009 or 1007, or passes in parts.
#[test]
fn bombs_do_no_harm() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/ws_deflate");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !name.starts_with("bomb-") {
            continue;
        }
        count += 1;
        let input = std::fs::read(&path).expect("a bomb");
        let config = Arc::new(Config::default());
        for streamed in [false, true] {
            let mut server = tests::deflate::server(Arc::clone(&config), &all(), streamed, super::OFFER)
                .with_app(|_: lws_proto::Event<'_>| {});
            server.receive(&input, tests::endpoint::Buffer::Lent);
            let largest = server.seen.0.iter().map(|seen| match seen {
                Seen::Message { content, .. } => content.0.len(),
                _ => 0,
            });
            let largest = largest.max().unwrap_or(0);
            assert!(streamed || largest <= 1 << 20, "{name}: {largest} bytes");
            let causes = server.seen.causes();
            assert!(streamed || !causes.is_empty(), "{name} passed");
        }
    }
    assert!(count >= 5, "{count} bombs");
}
