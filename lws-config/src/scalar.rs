//! Values of one word: text, numbers and switches, read as leniently as libwebsockets reads them, but never silently.

use crate::report::Report;
use crate::tree::{Cursor, Value};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// What stands for the folder of shared data in a value, once for each value.
const DATA_DIRECTORY: &str = "_lws_ddir_";

/// How values are read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The folder that `_lws_ddir_` in a value means.
    pub data_directory: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { data_directory: PathBuf::from("/usr/share") }
    }
}

/// What reads values: how, and where findings go.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) options: &'a Options,
    pub(crate) report: &'a mut Report,
}

impl Reader<'_> {
    /// Text. A number, `true`, `false` and `null` are taken as their text.
    pub(crate) fn text(&mut self, at: &Cursor<'_>) -> Option<String> {
        let Value::Text(text) = at.value() else {
            self.report.error(at, "a text is wanted here");
            return None;
        };
        Some(text.replacen(DATA_DIRECTORY, &self.options.data_directory.to_string_lossy(), 1))
    }

    /// Text that says something.
    pub(crate) fn name(&mut self, at: &Cursor<'_>) -> Option<String> {
        let text = self.text(at)?;
        if text.is_empty() {
            self.report.error(at, "an empty text says nothing here");
            return None;
        }
        Some(text)
    }

    /// The path of a file or folder.
    pub(crate) fn path(&mut self, at: &Cursor<'_>) -> Option<PathBuf> {
        self.name(at).map(PathBuf::from)
    }

    /// A number: the digits that a text begins with. What stands behind them has no effect, which is said.
    pub(crate) fn number(&mut self, at: &Cursor<'_>, range: RangeInclusive<i64>) -> Option<i64> {
        let text = self.text(at)?;
        let trimmed = text.trim_start();
        let sign = usize::from(trimmed.starts_with(['-', '+']));
        let end = trimmed[sign..].find(|c: char| !c.is_ascii_digit()).map_or(trimmed.len(), |end| sign + end);
        let (digits, rest) = trimmed.split_at(end);
        let Ok(number) = digits.parse::<i64>() else {
            self.report.error(at, format!("\"{text}\" is no number"));
            return None;
        };
        if !range.contains(&number) {
            let message = format!("{number} is not between {} and {}", range.start(), range.end());
            self.report.error(at, message);
            return None;
        }
        if !rest.is_empty() {
            self.report.warning(at, format!("only {number} of \"{text}\" counts: a number has no unit here"));
        }
        Some(number)
    }

    /// A number of at least zero that a smaller type holds.
    pub(crate) fn count<T: TryFrom<i64>>(&mut self, at: &Cursor<'_>, max: i64) -> Option<T> {
        self.number(at, 0..=max).and_then(|number| T::try_from(number).ok())
    }

    /// A switch: on for `on`, `yes` and `true` in any case and for a number that is not zero.
    pub(crate) fn switch(&mut self, at: &Cursor<'_>) -> Option<bool> {
        let text = self.text(at)?;
        let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        if is(&["on", "yes", "true"]) {
            return Some(true);
        }
        let digits = text.trim_start().trim_start_matches(['-', '+']);
        let digits = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
        if digits.is_empty() && !is(&["off", "no", "false", ""]) {
            self.report
                .warning(at, format!("\"{text}\" means off: only on, yes, true and numbers but 0 mean on"));
        }
        Some(digits.bytes().any(|digit| digit != b'0'))
    }

    /// A switch that libwebsockets turns on for any value.
    pub(crate) fn present(&mut self, at: &Cursor<'_>) -> Option<bool> {
        if self.switch(at) == Some(false) {
            let message = format!("\"{}\" is on whatever its value is; leave it out for off", at.name());
            self.report.warning(at, message);
        }
        Some(true)
    }

    /// A text, or an array of them.
    pub(crate) fn texts(&mut self, at: &Cursor<'_>, texts: &mut Vec<String>) {
        let options = self.options;
        match at.value() {
            Value::Array(_) => at.each_element(self.report, |element, report| {
                texts.extend(Reader { options, report }.name(element));
            }),
            _ => texts.extend(self.name(at)),
        }
    }

    /// Names with values, from an array of objects, or one object.
    pub(crate) fn pairs(&mut self, at: &Cursor<'_>, pairs: &mut Vec<(String, String)>) {
        let options = self.options;
        let mut members = |object: &Cursor<'_>, report: &mut Report| {
            object.each_member(report, |member, report| {
                let value = Reader { options, report }.text(member);
                pairs.extend(value.map(|value| (member.name().to_owned(), value)));
            });
        };
        match at.value() {
            Value::Array(_) => at.each_element(self.report, members),
            _ => members(at, self.report),
        }
    }
}
