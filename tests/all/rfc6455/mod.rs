//! RFC 6455, the WebSocket protocol, by section. What §10 asks of an engine is masking (§5.3) and the checks of §4.

mod s4_opening;
mod s5_framing;
mod s5_masking;
mod s6_messages;
mod s7_closing;
mod s8_text;
mod s9_extensions;
