//! Exchanges through the public calls, byte for byte.
