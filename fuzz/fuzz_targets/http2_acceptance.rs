//! The same frames for the project's server and that of `h2`: both accept them and receive the same, or both refuse
//! them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::http2_acceptance(input));
