//! The files of a configuration: `conf`, and what lies in `conf.d`.

use crate::report::{Location, Report, Severity};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Octets of one file. Real ones have a few thousand.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files in `conf.d`.
const FILES_MAX: usize = 10_000;

/// Ends of names that editors and package managers give to files that are not meant.
const LEFTOVERS: [&str; 7] = [".bak", ".orig", ".rpmnew", ".rpmsave", ".dpkg-dist", ".dpkg-old", ".swp"];

/// The files of a folder with their texts, `conf` first and then those of `conf.d` by the octets of their names. Whatever cannot be
/// read is reported, and the rest goes on.
pub(crate) fn read(directory: &Path, report: &mut Report) -> Vec<(PathBuf, String)> {
    let mut texts = Vec::new();
    texts.extend(text(directory.join("conf"), report));
    for path in below(&directory.join("conf.d"), report) {
        texts.extend(text(path, report));
    }
    texts
}

/// The files of `conf.d`. Symbolic links are followed: `sites-enabled` is made of them.
fn below(directory: &Path, report: &mut Report) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return paths,
        Err(error) => {
            complain(report, Severity::Error, directory, format!("cannot be read: {error}"));
            return paths;
        }
    };
    for entry in entries {
        match entry {
            Ok(entry) if entry.file_name().to_string_lossy().contains('~') => {}
            Ok(entry) if fs::metadata(entry.path()).is_ok_and(|data| data.is_dir()) => {}
            Ok(entry) => paths.push(entry.path()),
            Err(error) => complain(report, Severity::Error, directory, format!("cannot be read: {error}")),
        }
        if paths.len() > FILES_MAX {
            complain(report, Severity::Error, directory, format!("more than {FILES_MAX} files"));
            break;
        }
    }
    paths.sort();
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || LEFTOVERS.iter().any(|end| name.ends_with(end)) {
            let message = "read although its name looks like that of a copy; a name with ~ is passed over";
            complain(report, Severity::Warning, path, message.to_owned());
        }
    }
    paths
}

fn text(path: PathBuf, report: &mut Report) -> Option<(PathBuf, String)> {
    let read = fs::metadata(&path).and_then(|data| {
        if !data.is_file() {
            return Err(io::Error::other("not a file"));
        }
        if data.len() > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("more than {FILE_BYTES_MAX} octets")));
        }
        fs::read(&path)
    });
    let text = match read {
        Ok(octets) => String::from_utf8(octets).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            (line + 1, "not UTF-8".to_owned())
        }),
        Err(error) => Err((1, format!("cannot be read: {error}"))),
    };
    match text {
        Ok(text) => Some((path, text)),
        Err((line, message)) => {
            let location = Location { file: path, line, column: 1, pointer: String::new() };
            report.add(Severity::Error, Some(location), message);
            None
        }
    }
}

fn complain(report: &mut Report, severity: Severity, path: &Path, message: String) {
    let location = Location { file: path.to_owned(), line: 1, column: 1, pointer: String::new() };
    report.add(severity, Some(location), message);
}
