//! RFC 7541, by section. The examples of its Appendix C are beside the code.

mod limits;
mod never_indexed;
mod s2_indices;
mod s4_table_size;
mod s5_literals;
mod stories;
mod validity;

use lws_proto::hpack::{DecodeError, Decoder, Section, SectionLimits, TABLE_SIZE_DEFAULT};
use tests::hpack::{Field, fields};

/// Limits that nothing meets by chance.
pub(crate) const LIMITS: SectionLimits =
    SectionLimits { bytes_max: 1 << 20, fields_max: 1_000, hard_bytes_max: 1 << 22 };

/// What one block comes to.
pub(crate) fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Field>, DecodeError> {
    let mut section = Section::default();
    decoder.decode(block, &mut section, LIMITS).map(|()| fields(&section))
}

/// The first block of a connection comes to `expected`.
pub(crate) fn check(block: &[u8], expected: Result<&[(&str, &str)], DecodeError>) {
    let mut decoder = Decoder::new(TABLE_SIZE_DEFAULT);
    let expected = expected.map(|fields| fields.iter().map(|&field| Field::from(field)).collect::<Vec<_>>());
    assert_eq!(decode(&mut decoder, block), expected, "{block:x?}");
}
