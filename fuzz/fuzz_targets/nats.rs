//! What a server of NATS sends, whole and cut; and names of topics as subjects.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::nats(input));
