//! Media types: what content is. RFC 9110 §8.3.1.

use super::{Rejection, Request};
use std::borrow::Cow;

/// A media type with its parameters, as it was written. RFC 9110 §8.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    essence: &'a str,
    parameters: &'a str,
}

impl<'a> MediaType<'a> {
    /// Reads `type/subtype` and parameters behind it. `None` if it is none.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
        let essence = essence.trim_matches([' ', '\t']);
        let (kind, subtype) = essence.split_once('/')?;
        let media_type = Self { essence, parameters };
        let is_whole =
            is_token(kind) && is_token(subtype) && MediaTypeParameters(parameters).all(|it| it.is_some());
        is_whole.then_some(media_type)
    }

    /// `type/subtype`, as it was written.
    #[must_use]
    pub fn essence(&self) -> &'a str {
        self.essence
    }

    /// Whether it is this `type/subtype`, in whatever case and with whatever parameters.
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }

    /// The value of the parameter called `name`, in whatever case, without its quotes.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        parameter(self.parameters, name)
    }
}

/// The value of the first parameter called `name` in `;name=value;name="value"`.
pub(crate) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut whole = MediaTypeParameters(parameters).flatten();
    whole.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Parameters, without the semicolon before the first one. A malformed one is `None`, and the last. RFC 9110 §5.6.6.
struct MediaTypeParameters<'a>(&'a str);

impl<'a> Iterator for MediaTypeParameters<'a> {
    type Item = Option<(&'a str, Cow<'a, str>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0 = self.0.trim_start_matches([' ', '\t', ';']);
        if self.0.is_empty() {
            return None;
        }
        let parameter = self.parameter();
        if parameter.is_none() {
            self.0 = "";
        }
        Some(parameter)
    }
}

impl<'a> MediaTypeParameters<'a> {
    fn parameter(&mut self) -> Option<(&'a str, Cow<'a, str>)> {
        let (name, rest) = self.0.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(';').unwrap_or(rest.len());
                let (value, rest) = rest.split_at(end);
                let value = value.trim_end_matches([' ', '\t']);
                (is_token(value).then_some(Cow::Borrowed(value))?, rest)
            }
        };
        self.0 = rest.trim_start_matches([' ', '\t']);
        let ends = self.0.is_empty() || self.0.starts_with(';');
        (ends && is_token(name)).then_some((name, value))
    }
}

/// A quoted string whose first quote was taken, and what follows it. RFC 9110 §5.6.4.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut rest = text.char_indices();
    while let Some((at, char)) = rest.next() {
        match char {
            '"' => return Some((Cow::Owned(value), &text[at + 1..])),
            '\\' => value.push(rest.next()?.1),
            char => value.push(char),
        }
    }
    None
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

impl<'a> Request<'a> {
    /// The media type of the content. `None` if the request does not say. RFC 9110 §8.3.
    ///
    /// # Errors
    /// 400: what it says is no media type.
    pub fn media_type(&self) -> Result<Option<MediaType<'a>>, Rejection> {
        let Some(value) = self.get("Content-Type") else { return Ok(None) };
        let media_type = std::str::from_utf8(value).ok().and_then(MediaType::parse);
        media_type.map(Some).ok_or_else(|| Rejection::bad_request("Content-Type is no media type"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_has_parameters() {
        let check = |text: &str, essence: &str, name: &str, value: Option<&str>| {
            let media_type = MediaType::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert!(media_type.is(essence), "{text}");
            assert_eq!(media_type.parameter(name).as_deref(), value, "{text}");
        };
        check("text/plain", "TEXT/plain", "charset", None);
        check("text/html;charset=utf-8", "text/html", "Charset", Some("utf-8"));
        check(" text/html ; charset=\"utf-8\" ; a=b", "text/html", "a", Some("b"));
        check("a/b;x=\"a;\\\"b\\\\\"", "a/b", "x", Some("a;\"b\\"));
        check("multipart/form-data; boundary=\"a=b\"", "multipart/form-data", "boundary", Some("a=b"));
        check("a/b;", "a/b", "x", None);
    }

    #[test]
    fn what_is_no_media_type_is_none() {
        for text in
            ["", "text", "/", "a/", "a b/c", "a/b;x", "a/b;x=", "a/b;x=\"y", "a/b;x=y z", "a/b;x=\"y\"z"]
        {
            assert_eq!(MediaType::parse(text), None, "{text}");
        }
    }
}
