//! Recorded exchanges, as four other encoders compressed them, and as ours does.

use super::decode;
use lws_proto::hpack::{Decoder, Indexing, TABLE_SIZE_DEFAULT};
use std::path::Path;
use tests::hpack::{Ends, Field};

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hpack").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The field sections of each story.
fn stories() -> Vec<Vec<Vec<Field>>> {
    let mut stories: Vec<Vec<Vec<Field>>> = Vec::new();
    for line in fixture("fields.txt").lines() {
        if line.starts_with("story ") {
            stories.push(Vec::new());
            continue;
        }
        let story = stories.last_mut().expect("a story");
        if line == "block" {
            story.push(Vec::new());
            continue;
        }
        let (name, value) = line.split_once('\t').expect("a name and a value");
        story.last_mut().expect("a block").push(Field::new(name, value));
    }
    assert!(stories.len() == 8 && stories.iter().all(|story| !story.is_empty()));
    stories
}

fn hex(digits: &str) -> Vec<u8> {
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(octet).collect()
}

fn check(name: &str) {
    let stories = stories();
    let text = fixture(name);
    let recorded: Vec<_> = text.split("story ").skip(1).collect();
    assert_eq!(recorded.len(), stories.len());
    for (recorded, story) in recorded.iter().zip(&stories) {
        let mut decoder = Decoder::new(TABLE_SIZE_DEFAULT);
        let mut sections = story.iter();
        let (number, lines) = recorded.split_once('\n').expect("the number of the story");
        for line in lines.lines() {
            if let Some(size) = line.strip_prefix("table ") {
                decoder.set_table_size_max(size.parse().expect("a size"));
                continue;
            }
            let section = sections.next().expect("no more blocks than sections");
            assert_eq!(decode(&mut decoder, &hex(line)).as_ref(), Ok(section), "{name}, story {number}");
        }
        assert!(sections.next().is_none(), "{name}, story {number}: no fewer blocks than sections");
    }
}

#[test]
fn what_nghttp2_has_encoded_is_decoded() {
    check("nghttp2.txt");
}

#[test]
fn what_nghttp2_has_encoded_with_changing_table_sizes_is_decoded() {
    check("nghttp2-change-table-size.txt");
}

#[test]
fn what_go_has_encoded_is_decoded() {
    check("go-hpack.txt");
}

#[test]
fn what_haskell_http2_has_encoded_is_decoded() {
    check("haskell-http2-linear-huffman.txt");
}

/// Sends every story over with tables of these sizes in turn, and says how many octets that took.
fn send(sizes: &[usize]) -> usize {
    let mut sent = 0;
    for story in stories() {
        let mut ends = Ends::default();
        let mut sizes = sizes.iter().cycle();
        for section in story {
            if let Some(size) = sizes.next() {
                ends.settle(*size);
            }
            let lines: Vec<_> = section.into_iter().map(|field| (field, Indexing::Auto)).collect();
            sent += ends.send(&lines);
        }
    }
    sent
}

#[test]
fn every_story_survives_our_encoder() {
    let sent = send(&[]);
    // nghttp2 needs 12,178 octets.
    assert!(sent <= 13_000, "{sent} octets");
}

#[test]
fn every_story_survives_our_encoder_with_any_table_sizes() {
    for sizes in [&[0][..], &[100], &[4_096, 0], &[64, 1_000, 0, 256], &[1 << 20], &[4_096, 100, 50, 200]] {
        send(sizes);
    }
}
