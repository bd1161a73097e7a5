//! Header compression alone: blocks as they come once the tables are filled, decoded or encoded many times.

use std::hint::black_box;

use clap::ValueEnum;
use lws_proto::hpack::{Decoder, Encoder, Indexing, NameId, Section, SectionLimits, TABLE_SIZE_DEFAULT};

use crate::Result;

/// What is compressed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Fields {
    /// What `h2load` sends.
    Load,
    /// What a browser sends: 13 field lines, of which two were never sent before.
    Browser,
    /// A small response.
    Response,
}

impl Fields {
    fn lines(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Load => &[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "127.0.0.1:7681"),
                (":path", "/"),
                ("user-agent", "h2load nghttp2/1.52.0"),
            ],
            Self::Browser => &[
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", "www.example.com"),
                (":path", "/assets/articles/2026/11/picture-0142.webp"),
                ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
                ("accept", "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"),
                ("accept-language", "en-US,en;q=0.5"),
                ("accept-encoding", "gzip, deflate, br, zstd"),
                ("referer", "https://www.example.com/articles/"),
                ("sec-fetch-dest", "image"),
                ("sec-fetch-mode", "no-cors"),
                ("sec-fetch-site", "same-origin"),
                ("if-none-match", "\"5f1e9a3c-2b7d\""),
            ],
            Self::Response => &[
                (":status", "200"),
                ("content-type", "text/plain"),
                ("content-length", "13"),
                ("date", "Mon, 23 Nov 2026 12:00:00 GMT"),
                ("server", "lws"),
            ],
        }
    }

    /// A block that brings the tables to where they stay, and the one that comes after it again and again.
    #[must_use]
    pub fn blocks(self) -> (Vec<u8>, Vec<u8>) {
        let mut encoder = Encoder::new();
        let (mut first, mut next) = (Vec::new(), Vec::new());
        self.encode(&mut encoder, &mut first);
        self.encode(&mut encoder, &mut next);
        (first, next)
    }

    /// A response as a server encodes it: what it adds itself by number, what the application says by name.
    fn encode(self, encoder: &mut Encoder, block: &mut Vec<u8>) {
        for (name, value) in self.lines() {
            match (self, *name) {
                (Self::Response, ":status") => encoder.encode_status(block, 200),
                (Self::Response, "content-length") => {
                    encoder.encode_known(block, NameId::CONTENT_LENGTH, value.as_bytes(), Indexing::Auto);
                }
                (Self::Response, "date") => {
                    encoder.encode_known(block, NameId::DATE, value.as_bytes(), Indexing::Auto);
                }
                _ => encoder.encode(block, name.as_bytes(), value.as_bytes(), Indexing::Auto),
            }
        }
    }
}

/// Encodes the same field lines `count` times.
///
/// # Errors
/// When a block is longer than the tables allow.
pub fn encode(fields: Fields, count: usize) -> Result<()> {
    let (mut encoder, mut block) = (Encoder::new(), Vec::new());
    let mut last = usize::MAX;
    for _ in 0..=count {
        block.clear();
        black_box(fields).encode(&mut encoder, &mut block);
        if black_box(&block).len() > last {
            return Err("a block is longer than the one before".into());
        }
        last = block.len();
    }
    Ok(())
}

/// Decodes the same block `count` times.
///
/// # Errors
/// When a block is refused or a field line is missing.
pub fn decode(fields: Fields, count: usize) -> Result<()> {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(TABLE_SIZE_DEFAULT));
    let (mut block, mut section) = (Vec::new(), Section::default());
    fields.encode(&mut encoder, &mut block);
    decoder.decode(&block, &mut section, SectionLimits::default())?;
    block.clear();
    fields.encode(&mut encoder, &mut block);
    for _ in 0..count {
        section.clear();
        decoder.decode(black_box(&block), &mut section, SectionLimits::default())?;
        if black_box(&section).len() != fields.lines().len() {
            return Err("a field line is missing".into());
        }
    }
    Ok(())
}
