//! Responses to a client, whole and cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::response(input));
