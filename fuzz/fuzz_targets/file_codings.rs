//! An `Accept-Encoding` field.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lws_files::fuzz::accept_encoding(input));
