//! A `Range` field, without its name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lws_files::fuzz::ranges(input));
