//! `lws-replay FILE...`: replays recorded connections, and reports whether they behave as recorded.
//!
//! `--corpus FOLDER` writes the received octets as inputs of the fuzz targets that take octets, and `--notes` prints
//! the calls.

use lws_proto::{Config, Expect, Versions};
use lws_record::{Record, replay};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut corpus: Option<PathBuf> = None;
    let (mut notes, mut files) = (false, Vec::new());
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--corpus") => corpus = words.next().map(Into::into),
            Some("--notes") => notes = true,
            Some("--help" | "-h") => files.clear(),
            _ => files.push(PathBuf::from(word)),
        }
    }
    if files.is_empty() {
        eprintln!("usage: lws-replay [--corpus FOLDER] [--notes] FILE...");
        return ExitCode::from(2);
    }
    let mut failed = 0;
    for file in &files {
        match one(file, corpus.as_deref(), notes) {
            Ok(line) => println!("ok   {}: {line}", file.display()),
            Err(error) => {
                failed += 1;
                println!("FAIL {}: {error}", file.display());
            }
        }
    }
    println!("{} passed, {failed} failed", files.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(file: &Path, corpus: Option<&Path>, notes: bool) -> Result<String, Box<dyn std::error::Error>> {
    let record = Record::read(&std::fs::read(file)?)?;
    if notes {
        record.notes().for_each(|note| println!("{note:?}"));
    }
    if let Some(corpus) = corpus {
        std::fs::create_dir_all(corpus)?;
        let name = file.file_stem().unwrap_or(file.as_os_str());
        std::fs::write(corpus.join(name), record.corpus_entry())?;
    }
    let outcome = replay(&record, config(&record))?;
    let complete = if outcome.complete { "" } else { ", and then it cannot be replayed" };
    Ok(format!("{} octets sent, compared {} times{complete}", outcome.sent, outcome.compared))
}

/// The configuration of a record. `Limits` are the defaults; records of a program with other limits need a test of
/// their own to replay them.
fn config(record: &Record) -> Config {
    let mut words = record.config().unwrap_or_default().split(' ');
    let expect = match words.next() {
        Some("Raw") => Expect::Raw,
        Some("HttpOrRaw") => Expect::HttpOrRaw,
        _ => Expect::Http,
    };
    let versions = if words.next() == Some("Http1") { Versions::Http1 } else { Versions::Any };
    let upgrade_to_http2 = words.next() == Some("true");
    Config { expect, versions, upgrade_to_http2, ..Config::default() }
}
