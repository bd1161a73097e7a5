//! The path of a request for a file.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lws_files::fuzz::paths(input));
