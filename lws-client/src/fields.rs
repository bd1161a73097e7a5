//! Field lines of a message that is kept: of a request that may be sent again, of a response that is handed over.

use std::fmt;

/// Field lines, in order. RFC 9110 §5.
///
/// Names are compared without regard to case. What is put in is checked when it is sent: a name or value that cannot be written
/// fails the request.
#[doc(alias = "headers")]
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// All names, one behind the other: as text, so that none is checked again whenever it is read.
    names: String,
    /// All values, likewise.
    values: Vec<u8>,
    lines: Vec<Line>,
}

/// Where the name and the value of one line end; they begin where those of the line before end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Line {
    name_end: u32,
    value_end: u32,
}

/// What is set aside with the first line, so that the head of a usual message makes nothing grow.
const NAMES_FIRST: usize = 192;
const VALUES_FIRST: usize = 512;
const LINES_FIRST: usize = 16;

impl Fields {
    /// No field lines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line at the end.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        // 4 GiB of fields are never sent: the engine's limits and those of peers are far below.
        let Ok(name_end) = u32::try_from(self.names.len() + name.len()) else { return };
        let Ok(value_end) = u32::try_from(self.values.len() + value.len()) else { return };
        if self.lines.is_empty() {
            self.names.reserve(NAMES_FIRST);
            self.values.reserve(VALUES_FIRST);
            self.lines.reserve(LINES_FIRST);
        }
        self.names.push_str(name);
        self.values.extend_from_slice(value);
        self.lines.push(Line { name_end, value_end });
    }

    /// Puts one line in place of all that are called `name`.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.add(name, value);
    }

    /// Takes out every line that is called `name`.
    pub fn remove(&mut self, name: &str) {
        self.retain(|known| !known.eq_ignore_ascii_case(name));
    }

    /// Keeps the lines whose names pass. The octets of the others are overwritten: they may be credentials.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        if self.iter().all(|(name, _)| keep(name)) {
            return;
        }
        let mut kept = Self::new();
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            kept.add(name, value);
        }
        self.values.fill(0);
        *self = kept;
    }

    /// The value of the first line called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The value of the first line called `name`, if it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The values of all lines called `name`.
    pub fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether there is a line called `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The members of the comma-separated list that all lines called `name` make together. RFC 9110 §5.6.1.
    pub fn list<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|member| !member.is_empty())
    }

    /// Whether the list `name` has `token`, in whatever case.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> + Clone {
        Iter { fields: self, names: 0, values: 0, lines: self.lines.iter() }
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Goes through the lines.
#[derive(Clone)]
struct Iter<'a> {
    fields: &'a Fields,
    /// Where the next name and value begin.
    names: usize,
    values: usize,
    lines: std::slice::Iter<'a, Line>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        let (names, values) = (line.name_end as usize, line.value_end as usize);
        let name = self.fields.names.get(self.names..names).unwrap_or_default();
        let value = self.fields.values.get(self.values..values).unwrap_or_default();
        (self.names, self.values) = (names, values);
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lines.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(lines: I) -> Self {
        let mut fields = Self::new();
        for (name, value) in lines {
            fields.add(name, value);
        }
        fields
    }
}

/// Fields whose values have no business in a log.
const SECRETS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "sec-websocket-key"];

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.iter() {
            let secret = SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(name));
            let value = if secret { "***".to_owned() } else { value.escape_ascii().to_string() };
            map.entry(&name, &value);
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_whatever_case_and_keep_their_order() {
        let mut fields = Fields::new();
        fields.add("A", "1");
        fields.add("b", "2");
        fields.add("a", "3, x ,,y");
        assert_eq!(fields.get("a"), Some(&b"1"[..]));
        assert_eq!(fields.get_all("A").count(), 2);
        assert_eq!(fields.list("a").collect::<Vec<_>>(), [&b"1"[..], b"3", b"x", b"y"]);
        assert!(fields.has_token("a", "X") && !fields.has_token("a", "z"));
        fields.set("A", "4");
        let lines: Vec<_> = fields.iter().collect();
        assert_eq!(lines, [("b", &b"2"[..]), ("A", b"4")]);
        fields.remove("B");
        assert_eq!((fields.len(), fields.is_empty()), (1, false));
    }

    #[test]
    fn a_log_does_not_show_credentials() {
        let mut fields = Fields::new();
        fields.add("Authorization", "Basic c2VjcmV0");
        fields.add("accept", "*/*");
        assert_eq!(format!("{fields:?}"), r#"{"Authorization": "***", "accept": "*/*"}"#);
    }
}
