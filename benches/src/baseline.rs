//! Counts that were accepted once, in a text file: one `name = count` a line, `#` starts a comment.
//!
//! The file is TOML, but only this much of it is read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Result;

/// A count may grow by this share before it is a regression; callgrind repeats within it.
pub const TOLERANCE: f64 = 0.02;

const HEADING: &str = "# User instructions per operation. Written by `instructions update`; a change of more than 2 % is\n\
                       # looked at before it is accepted.\n";

/// Counts by name.
pub type Counts = BTreeMap<String, f64>;

/// Reads a baseline. A file that is not there is an empty one.
///
/// # Errors
/// With the line that is not `name = count`.
pub fn read(path: &Path) -> Result<Counts> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Counts::new()),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

/// Writes a baseline.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, counts: &Counts) -> Result<()> {
    let lines: String = counts.iter().map(|(name, count)| format!("{name} = {count:.0}\n")).collect();
    Ok(fs::write(path, format!("{HEADING}{lines}"))?)
}

/// Whether `count` is more than the tolerance above `accepted`.
pub fn regressed(count: f64, accepted: f64) -> bool {
    count > accepted * (1.0 + TOLERANCE)
}

fn parse(text: &str) -> Result<Counts> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or("").trim())
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, count) = line.split_once('=').ok_or_else(|| format!("not `name = count`: {line}"))?;
            let count = count.trim().parse().map_err(|_| format!("not a count: {line}"))?;
            Ok((name.trim().to_string(), count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_are_skipped() {
        let counts = parse("# heading\n\necho-128 = 400 # note\nhello=2500\n").expect("two counts");
        assert_eq!(counts, Counts::from([("echo-128".into(), 400.0), ("hello".into(), 2500.0)]));
    }

    #[test]
    fn a_line_that_is_no_count_is_reported() {
        for text in ["echo-128", "echo-128 = many"] {
            assert!(parse(text).is_err_and(|error| error.to_string().contains(text)), "{text}");
        }
    }

    #[test]
    fn two_percent_more_is_allowed() {
        assert!(!regressed(1020.0, 1000.0));
        assert!(regressed(1021.0, 1000.0));
        assert!(!regressed(10.0, 1000.0));
    }
}
