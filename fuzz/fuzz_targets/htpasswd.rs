//! A file of users and passwords.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lws_files::fuzz::passwords(input));
