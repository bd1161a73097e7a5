//! Field lines that tests own, and the decoder and encoder of two ends that are checked against each other.

use lws_proto::hpack::{
    Decoder, Encoder, FieldFlags, Indexing, NameId, Section, SectionLimits, TABLE_SIZE_DEFAULT,
};
use std::fmt;

/// A field line.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// In lower case where it has been sent.
    pub name: Vec<u8>,
    /// As it is sent.
    pub value: Vec<u8>,
}

impl Field {
    /// A field line of these octets.
    #[must_use]
    pub fn new(name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// What it counts in a section and a table. RFC 7541 §4.1.
    #[must_use]
    pub fn size(&self) -> usize {
        self.name.len() + self.value.len() + 32
    }
}

impl From<(&str, &str)> for Field {
    fn from((name, value): (&str, &str)) -> Self {
        Self::new(name, value)
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.escape_ascii(), self.value.escape_ascii())
    }
}

/// The field lines of a section.
#[must_use]
pub fn fields(section: &Section) -> Vec<Field> {
    section.fields().map(|field| Field::new(field.name, field.value)).collect()
}

/// An encoder, and the decoder of its output.
#[derive(Debug)]
pub struct Ends {
    /// Ours, as everywhere in the tests.
    pub encoder: Encoder,
    /// Ours, too.
    pub decoder: Decoder,
    section: Section,
    block: Vec<u8>,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            encoder: Encoder::new(),
            decoder: Decoder::new(TABLE_SIZE_DEFAULT),
            section: Section::default(),
            block: Vec::new(),
        }
    }
}

impl Ends {
    /// The decoder's end has announced a size of the table, and the encoder's has acknowledged it.
    pub fn settle(&mut self, table_size_max: usize) {
        self.encoder.set_table_size_max(table_size_max);
        self.decoder.set_table_size_max(table_size_max);
    }

    /// Sends a section over and says how long its block was.
    ///
    /// # Panics
    /// If it does not come out as it went in, or the tables differ.
    pub fn send(&mut self, lines: &[(Field, Indexing)]) -> usize {
        self.block.clear();
        self.section.clear();
        self.encoder.begin(&mut self.block);
        for (Field { name, value }, indexing) in lines {
            self.encoder.encode(&mut self.block, name, value, *indexing);
        }
        let size: usize = lines.iter().map(|(field, _)| field.size()).sum();
        let limits = SectionLimits { bytes_max: u32::MAX, fields_max: u32::MAX, hard_bytes_max: u32::MAX };
        if let Err(error) = self.decoder.decode(&self.block, &mut self.section, limits) {
            panic!("{error}: {:x?} for {lines:?}", self.block);
        }
        let sent = lines.iter().map(|(field, _)| Field::new(field.name.to_ascii_lowercase(), &*field.value));
        assert_eq!(fields(&self.section), sent.collect::<Vec<_>>(), "{:x?}", self.block);
        assert_eq!(self.section.size(), size);
        assert_eq!(self.encoder.table_size(), self.decoder.table_size(), "the tables differ");
        for (field, (_, indexing)) in self.section.fields().zip(lines) {
            assert_eq!(field.id, NameId::of(field.name));
            let never = field.flags.has(FieldFlags::NEVER_INDEXED);
            match indexing {
                Indexing::Never => assert!(never, "{field:?}"),
                Indexing::Index | Indexing::Without => assert!(!never, "{field:?}"),
                Indexing::Auto => {}
            }
        }
        self.block.len()
    }

    /// The block of the last section.
    #[must_use]
    pub fn block(&self) -> &[u8] {
        &self.block
    }
}
