//! The bodies of the fuzz targets, on inputs that look like something.

use lws_files::fuzz;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Numbers that are the same in each run. SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, max: usize) -> usize {
        (self.next() % max.max(1) as u64) as usize
    }

    /// Pieces of `words`, one after the other.
    fn sentence(&mut self, words: &[&str]) -> Vec<u8> {
        let len = self.below(12);
        (0..len).flat_map(|_| words[self.below(words.len())].bytes()).collect()
    }
}

fn archive() -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, method) in [("a", CompressionMethod::Stored), ("b/c", CompressionMethod::Deflated)] {
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).expect("a member");
        writer.write_all(&[b'x'; 100]).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

#[test]
fn archives_with_bytes_changed() {
    let archive = archive();
    let mut numbers = Numbers(1);
    for _ in 0..20_000 {
        let mut changed = archive.clone();
        for _ in 0..=numbers.below(4) {
            let (at, byte) = (numbers.below(changed.len()), numbers.next());
            // Small numbers are what lengths and places are made of.
            changed[at] = if byte & 1 == 0 { (byte >> 8) as u8 } else { (byte >> 8) as u8 & 0x3f };
        }
        changed.truncate(changed.len() - numbers.below(3) / 2);
        fuzz::archive(&changed);
    }
    fuzz::archive(b"");
}

#[test]
fn fields_made_of_words() {
    let mut numbers = Numbers(2);
    let ranges =
        ["bytes=", "0", "9", "-", ",", " ", "18446744073709551615", "99", "lines=", "a", "=", "100-200,"];
    let conditions = [
        "\n\0",
        "\n\u{1}",
        "\n\u{5}bytes=0-1",
        "\n\u{4}",
        "\"v1\"",
        "W/",
        "*",
        ",",
        " ",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ];
    let codings = ["gzip", "br", ";q=", "0", "1", ".5", ",", "*", "identity", " ", "zstd", "x-gzip"];
    for _ in 0..20_000 {
        fuzz::ranges(&[&b"bytes="[..], &numbers.sentence(&ranges)].concat());
        fuzz::conditions(&numbers.sentence(&conditions));
        fuzz::accept_encoding(&numbers.sentence(&codings));
    }
}

#[test]
fn paths_and_lines_made_of_words() {
    let mut numbers = Numbers(3);
    let paths = ["/", "a", "b", ".", "..", "%2e", "%2F", "%00", "\\", "%5c", ".a", "%", "~1", ":", "\u{e9}"];
    let lines = [
        "ann",
        ":",
        "\n",
        "\r",
        "#",
        "$2b$04$",
        "$2y$31$",
        "$argon2id$v=19$m=4096,t=1,p=1$",
        "$5$rounds=",
        "$6$",
        "{SHA}",
        "$apr1$",
        "abcdefghijklmnopqrstuu",
        "999999999",
        "$",
    ];
    for _ in 0..20_000 {
        fuzz::paths(&numbers.sentence(&paths));
        fuzz::passwords(&numbers.sentence(&lines));
    }
    fuzz::paths(b"/a/b");
}
