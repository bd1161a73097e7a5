//! Fields of conditional requests, one in a line.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lws_files::fuzz::conditions(input));
