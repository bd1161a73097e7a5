//! The text of one file, and where in it a byte stands.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file: its name for messages, and its text with comments blanked.
#[derive(Debug)]
pub(crate) struct Source {
    name: PathBuf,
    text: String,
    /// The offset at which each line begins.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(name: impl Into<PathBuf>, text: &str) -> Self {
        let text = blank_comments(text);
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, lines }
    }

    pub(crate) fn name(&self) -> &Path {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line and the column of an offset, both counted from one. A column counts characters.
    pub(crate) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|begin| *begin <= offset).max(1);
        let begin = self.lines[line - 1];
        let column = self.text.get(begin..offset).map_or(0, |before| before.chars().count());
        (line, column + 1)
    }

    /// Where the first complete value of the file lies. libwebsockets' reader stops behind it, so that anything may follow.
    ///
    /// The end is that of the text where the value is cut short: what is wrong is found by the parser, which says so better.
    pub(crate) fn first_value(&self) -> Range<usize> {
        let mut depth = 0_usize;
        let mut quoted = false;
        let mut escaped = false;
        for (at, byte) in self.text.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return 0..at + 1;
                    }
                }
                _ => {}
            }
        }
        0..self.text.len()
    }
}

/// Replaces each comment, from a `#` outside of strings to the end of its line, by spaces, so that offsets stay what they were.
fn blank_comments(text: &str) -> String {
    let mut blanked = String::with_capacity(text.len());
    let mut quoted = false;
    let mut escaped = false;
    let mut comment = false;
    for character in text.chars() {
        match character {
            '\n' => comment = false,
            _ if comment => {
                blanked.extend(std::iter::repeat_n(' ', character.len_utf8()));
                continue;
            }
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => {
                comment = true;
                blanked.push(' ');
                continue;
            }
            _ => {}
        }
        blanked.push(character);
    }
    blanked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_blanked_and_everything_else_keeps_its_place() {
        for (text, blanked) in [
            ("a # b\nc", "a    \nc"),
            (r##""#no" #yes"##, r##""#no"     "##),
            (r##""\"#no" # é"##, r##""\"#no"     "##),
            ("# all", "     "),
        ] {
            assert_eq!(blank_comments(text), blanked);
        }
    }

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let source = Source::new("f", "ab\né{\n");
        for (offset, place) in [(0, (1, 1)), (1, (1, 2)), (3, (2, 1)), (5, (2, 2)), (7, (3, 1))] {
            assert_eq!(source.line_and_column(offset), place, "{offset}");
        }
    }

    #[test]
    fn the_first_value_ends_with_its_bracket() {
        for (text, end) in [("{}{}", 2), (r#"{"}": [1]} x"#, 10), ("[{}, []]#", 8), ("{", 1), ("", 0)] {
            assert_eq!(Source::new("f", text).first_value().end, end, "{text}");
        }
    }
}
