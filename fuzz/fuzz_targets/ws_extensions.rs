//! See `tests::fuzz::extensions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::extensions(input));
