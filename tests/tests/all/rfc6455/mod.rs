//! RFC 6455, the WebSocket protocol, by section.

mod s4_opening;
mod s5_framing;
mod s5_masking;
mod s6_messages;
mod s7_closing;
mod s8_text;
