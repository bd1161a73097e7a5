//! A zip archive, as it is read to be served.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lws_files::fuzz::archive(input));
