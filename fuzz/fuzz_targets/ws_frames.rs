//! WebSocket frames in both roles, whole and cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::frames(input));
