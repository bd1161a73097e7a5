//! Names and values in the form that queries and simple forms have: `name=value&name=value`, with escapes.
//!
//! The crates that read it replace what is malformed; here it is an error, as a peer that sends it has a mistake that somebody should
//! see.

use super::{Rejection, Request};
use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

/// Pairs that one query or form may have. Past it: 400, or 413 for a form.
const PAIRS_MAX: usize = 1_000;

/// The decoded pairs of a query or of a simple form, in order. A name may stand there several times.
///
/// ```
/// use lws_server::http::Pairs;
///
/// let pairs = Pairs::parse("name=J%C3%B6rg+M.&tag=a&tag=b&limit=10")?;
/// assert_eq!(pairs.get("name"), Some("Jörg M."));
/// assert_eq!(pairs.all("tag").collect::<Vec<_>>(), ["a", "b"]);
/// assert_eq!(pairs.parse_value::<u32>("limit")?, Some(10));
/// assert_eq!(pairs.parse_value::<u32>("offset")?, None);
/// assert!(pairs.require::<u32>("offset").is_err());
/// # Ok::<(), lws_server::http::Rejection>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Pairs<'a> {
    /// Reads `application/x-www-form-urlencoded`: `+` is a space, `%` and two hexadecimal digits are an octet, and a piece without `=`
    /// is a name with an empty value. Empty pieces are left out.
    ///
    /// # Errors
    /// 400: an escape is incomplete, what is escaped is no UTF-8, or there are more than 1,000 pairs.
    pub fn parse(text: &'a str) -> Result<Self, Rejection> {
        let mut pairs = Vec::new();
        for piece in text.split('&').filter(|piece| !piece.is_empty()) {
            if pairs.len() == PAIRS_MAX {
                return Err(Rejection::bad_request(format!("more than {PAIRS_MAX} pairs")));
            }
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self(pairs))
    }

    /// The value of the first pair called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of all pairs called `name`.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The value of the first pair called `name`, as a number or whatever can be read from text. `None` if there is none.
    ///
    /// # Errors
    /// 400: it cannot be read so; the reason names the pair.
    pub fn parse_value<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Rejection> {
        let read =
            |value: &str| value.parse().map_err(|why| Rejection::bad_request(format!("{name}: {why}")));
        self.get(name).map(read).transpose()
    }

    /// As [`parse_value`](Self::parse_value), of a pair that must be there.
    ///
    /// # Errors
    /// 400: it is missing, or cannot be read.
    pub fn require<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Rejection> {
        self.parse_value(name)?.ok_or_else(|| Rejection::bad_request(format!("{name}: it is missing")))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Decodes one name or value. What has nothing to decode is lent.
fn decode(text: &str) -> Result<Cow<'_, str>, Rejection> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        octets.push(match byte {
            b'+' => b' ',
            b'%' => {
                let octet = hex(rest.next()).zip(hex(rest.next())).map(|(high, low)| high << 4 | low);
                octet
                    .ok_or_else(|| Rejection::bad_request("an escape is not % and two hexadecimal digits"))?
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(octets);
    text.map(Cow::Owned).map_err(|_| Rejection::bad_request("what is escaped is no UTF-8"))
}

fn hex(digit: Option<u8>) -> Option<u8> {
    // There are sixteen digits.
    char::from(digit?).to_digit(16).map(|digit| digit as u8)
}

impl<'a> Request<'a> {
    /// The decoded pairs of the query; none if there is no query.
    ///
    /// # Errors
    /// Those of [`Pairs::parse`].
    pub fn query_pairs(&self) -> Result<Pairs<'a>, Rejection> {
        Pairs::parse(self.query().unwrap_or_default())
    }

    /// The decoded pairs of a simple form: content of the type `application/x-www-form-urlencoded`. A form with files is
    /// [multipart](crate::http::multipart).
    ///
    /// # Errors
    /// 415 if the content has another type, 413 if there are more than 1,000 pairs; otherwise those of [`Pairs::parse`].
    pub fn form(&self) -> Result<Pairs<'a>, Rejection>
    where
        Self: 'a,
    {
        const FORM: &str = "application/x-www-form-urlencoded";
        let is_form = self.media_type()?.is_some_and(|media_type| media_type.is(FORM));
        if !is_form {
            return Err(Rejection::unsupported(format!("the content is to be {FORM}")));
        }
        let text = std::str::from_utf8(self.content());
        let text = text.map_err(|_| Rejection::bad_request("the form is no UTF-8"))?;
        if text.split('&').filter(|pair| !pair.is_empty()).count() > PAIRS_MAX {
            return Err(Rejection::too_large(format!("more than {PAIRS_MAX} pairs")));
        }
        Pairs::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_in_order() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let pairs = Pairs::parse(text).unwrap_or_else(|rejection| panic!("{text}: {rejection}"));
            assert_eq!(pairs.iter().collect::<Vec<_>>(), expected, "{text}");
        };
        check("", &[]);
        check("&&", &[]);
        check("a", &[("a", "")]);
        check("=", &[("", "")]);
        check("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]);
        check("a=b=c", &[("a", "b=c")]);
        check("a+b=%20%2b%26%3D", &[("a b", " +&=")]);
        check("%C3%B6=%e2%82%ac", &[("ö", "€")]);
        check("a=%00", &[("a", "\0")]);
    }

    #[test]
    fn what_is_malformed_is_an_error() {
        for text in ["%", "a=%2", "a=%zz", "a=%+1", "a=%ff", "a=%C3", "%C3=%B6"] {
            let rejection = Pairs::parse(text).expect_err(text);
            assert_eq!(rejection.status().code(), 400, "{text}");
        }
    }

    #[test]
    fn a_thousand_pairs_are_enough() {
        assert!(Pairs::parse(&"a&".repeat(PAIRS_MAX)).is_ok());
        assert!(Pairs::parse(&"a&".repeat(PAIRS_MAX + 1)).is_err());
    }

    #[test]
    fn a_value_that_cannot_be_read_is_named() {
        let pairs = Pairs::parse("n=ten").expect("pairs");
        let rejection = pairs.parse_value::<u8>("n").expect_err("it is no number");
        assert_eq!(rejection.reason(), "n: invalid digit found in string");
        assert_eq!(pairs.require::<u8>("m").expect_err("there is none").reason(), "m: it is missing");
    }
}
