//! Requests to a server, whole and cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::request(input));
