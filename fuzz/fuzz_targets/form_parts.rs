//! Forms with files, whole and cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lws_server::fuzz::multipart(input));
