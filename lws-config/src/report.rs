//! What is wrong with a configuration, and where.

use crate::tree::Cursor;
use std::fmt;
use std::path::PathBuf;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// The configuration is taken as it stands, but probably means something else.
    Warning,
    /// A key that nothing knows. A start goes on, as it may be of a later version; a check fails, as it may be a slip of the pen.
    UnknownKey,
    /// The configuration cannot be used.
    Error,
}

/// Where something stands in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, as it was opened.
    pub file: PathBuf,
    /// Counted from one.
    pub line: usize,
    /// In characters, counted from one.
    pub column: usize,
    /// The JSON pointer (RFC 6901) of the value within its file; empty for the file itself.
    pub pointer: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)?;
        if self.pointer.is_empty() { Ok(()) } else { write!(f, " {}", self.pointer) }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Where it is; absent where it concerns the configuration as a whole.
    pub location: Option<Location>,
    /// What it is, in words a person can act on.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Findings about all files of a configuration, in the order in which they were met.
///
/// A configuration may hold as many mistakes as it has bytes: those past [`Report::FINDINGS_MAX`] are only counted.
#[derive(Clone, Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
    worst: Option<Severity>,
    omitted: usize,
}

impl Report {
    /// Findings that are kept.
    pub const FINDINGS_MAX: usize = 1_000;

    /// The findings.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Findings that were not kept, as there were more than [`Report::FINDINGS_MAX`].
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether the configuration cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.worst == Some(Severity::Error)
    }

    /// Whether a check fails: on errors and on unknown keys.
    #[must_use]
    pub fn fails_check(&self) -> bool {
        self.worst >= Some(Severity::UnknownKey)
    }

    pub(crate) fn add(&mut self, severity: Severity, location: Option<Location>, message: impl Into<String>) {
        self.worst = self.worst.max(Some(severity));
        if self.findings.len() < Self::FINDINGS_MAX {
            self.findings.push(Finding { severity, location, message: message.into() });
        } else {
            self.omitted += 1;
        }
    }

    pub(crate) fn error(&mut self, at: &Cursor<'_>, message: impl Into<String>) {
        self.add(Severity::Error, Some(at.location()), message);
    }

    pub(crate) fn warning(&mut self, at: &Cursor<'_>, message: impl Into<String>) {
        self.add(Severity::Warning, Some(at.location()), message);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        match self.omitted {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}
