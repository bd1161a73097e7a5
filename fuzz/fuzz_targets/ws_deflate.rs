//! See `tests::fuzz::deflate_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::deflate_frames(input));
