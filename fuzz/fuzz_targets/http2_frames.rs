//! Frames of HTTP/2, to both roles.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::http2_frames(input));
