//! The same frames to our server and to that of `h2`: both take them, and have heard the same, or both refuse them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::http2_acceptance(input));
