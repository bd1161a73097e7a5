//! What a Redis server sends: whole and cut, and beside another parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::resp(input));
