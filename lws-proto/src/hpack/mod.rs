//! HPACK, header compression for HTTP/2. RFC 7541.
//!
//! [`Decoder`] turns whole field blocks into [`Section`]s, [`Encoder`] field lines into field blocks. Both keep a dynamic
//! table for the life of a connection. Nothing here knows a frame, a stream or a connection, nor which fields a message
//! may have: it says which names are well known, and which names and values RFC 9113 §8.2.1 allows.
//!
//! ```
//! use lws_proto::hpack::{Decoder, Encoder, Indexing, NameId, Section, SectionLimits};
//!
//! let (mut encoder, mut block) = (Encoder::new(), Vec::new());
//! encoder.encode_known(&mut block, NameId::METHOD, b"GET", Indexing::Auto);
//! encoder.encode(&mut block, b"Accept", b"*/*", Indexing::Auto);
//!
//! let (mut decoder, mut section) = (Decoder::new(4_096), Section::default());
//! decoder.decode(&block, &mut section, SectionLimits::default())?;
//! let fields: Vec<_> = section.fields().map(|field| (field.name, field.value)).collect();
//! assert_eq!(fields, [(&b":method"[..], &b"GET"[..]), (b"accept", b"*/*")]);
//! # Ok::<(), lws_proto::hpack::DecodeError>(())
//! ```

mod decoder;
mod dynamic_table;
mod encoder;
mod huffman;
mod integer;
mod name;
mod ready;
mod section;
mod static_table;
mod words;

#[cfg(feature = "record")]
pub(crate) mod strings;
#[cfg(test)]
mod tests;

pub use decoder::{DecodeError, Decoder};
pub use encoder::{Encoder, Indexing};
pub use name::NameId;
pub(crate) use ready::ReadyLines;
pub use section::{DecodedField, FieldFlags, Overflow, Section, SectionLimits};

/// What each entry of the dynamic table, and each field line of a section, counts besides its octets.
/// RFC 7541 §4.1, RFC 9113 §6.5.2.
pub(crate) const FIELD_OVERHEAD: usize = 32;

/// The size of a dynamic table until settings say otherwise, octets. RFC 9113 §6.5.2.
pub const TABLE_SIZE_DEFAULT: usize = 4_096;
