//! RFC 9112, HTTP/1.1, by section.

mod s2_messages;
mod s3_request_line;
mod s4_status_line;
mod s5_fields;
mod s6_content;
mod s7_chunked;
mod s8_incomplete;
mod s9_connections;
mod smuggling;
