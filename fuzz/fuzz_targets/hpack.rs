//! See `tests::fuzz::hpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::hpack(input));
