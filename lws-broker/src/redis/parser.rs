//! Octets of RESP3 to values. Knows no command and no connection.
//!
//! Incremental: an octet is looked at once, however the input is cut. Bounded by [`RespLimits`].

use super::value::RespValue;
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;

/// What a server can make a parser hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespLimits {
    /// Octets of a line: a number, a simple text, an error. Default 8 KiB.
    pub line_bytes_max: usize,
    /// Octets of one bulk string. Default 1 MiB and 1 KiB: a payload with its frame.
    pub bulk_bytes_max: usize,
    /// Octets of all strings of one value, also of simple texts, errors and big numbers. Default 32 MiB: the longest history.
    pub value_bytes_max: usize,
    /// Values inside of one value, on all levels. Default 65,536.
    pub elements_max: usize,
    /// Levels. Default 8; what a server sends to pub/sub clients has three.
    pub depth_max: usize,
}

impl Default for RespLimits {
    fn default() -> Self {
        Self {
            line_bytes_max: 8 << 10,
            bulk_bytes_max: (1 << 20) + (1 << 10),
            value_bytes_max: 32 << 20,
            elements_max: 65_536,
            depth_max: 8,
        }
    }
}

/// Why octets are not RESP3, or are more than is taken. The connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RespError {
    /// A value begins with an octet that is no type.
    Type,
    /// A line does not end with CR LF, or has one of them inside.
    Line,
    /// A number, a length, a boolean or a null is not written as one.
    Number,
    /// A string is not followed by CR LF.
    Terminator,
    /// A verbatim string has no format in front.
    Format,
    /// A streamed string or aggregate, `$?`. No server sends them.
    Streamed,
    /// A push inside of another value.
    NestedPush,
    /// [`RespLimits::line_bytes_max`].
    LineTooLong,
    /// [`RespLimits::bulk_bytes_max`].
    BulkTooLong,
    /// [`RespLimits::value_bytes_max`].
    ValueTooLong,
    /// [`RespLimits::elements_max`].
    TooManyElements,
    /// [`RespLimits::depth_max`].
    TooDeep,
}

impl RespError {
    /// What is wrong, for a person.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "a value begins with an unknown type",
            Self::Line => "a line does not end with CR LF",
            Self::Number => "a number or length is malformed",
            Self::Terminator => "a string is not followed by CR LF",
            Self::Format => "a verbatim string has no format",
            Self::Streamed => "a streamed string or aggregate",
            Self::NestedPush => "a push inside of another value",
            Self::LineTooLong => "line_bytes_max",
            Self::BulkTooLong => "bulk_bytes_max",
            Self::ValueTooLong => "value_bytes_max",
            Self::TooManyElements => "elements_max",
            Self::TooDeep => "depth_max",
        }
    }

    /// Whether a limit of this side was reached, and no rule broken.
    #[must_use]
    pub fn is_limit(self) -> bool {
        matches!(
            self,
            Self::LineTooLong
                | Self::BulkTooLong
                | Self::ValueTooLong
                | Self::TooManyElements
                | Self::TooDeep
        )
    }
}

impl fmt::Display for RespError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for RespError {}

/// Reads values from octets that come in pieces.
pub struct RespParser {
    limits: RespLimits,
    input: BytesMut,
    /// Octets of `input` in which no end of line is.
    searched: usize,
    /// The string whose octets are awaited.
    string: Option<(StringKind, usize)>,
    /// Aggregates that are not complete, from the outermost to the innermost.
    open: Vec<OpenAggregate>,
    /// Strings and elements of the value that is being read.
    bytes: usize,
    elements: usize,
    failed: Option<RespError>,
}

#[derive(Clone, Copy)]
enum StringKind {
    Bulk,
    Error,
    Verbatim,
}

struct OpenAggregate {
    kind: AggregateKind,
    values: Vec<RespValue>,
    missing: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum AggregateKind {
    Array,
    Set,
    Map,
    Push,
    /// What the server says about the value behind it. Nothing here asks for it.
    Attribute,
}

/// One step of the parser.
enum Token {
    Scalar(RespValue),
    Open(AggregateKind, usize),
}

/// A payload up to this length is copied, so that it does not keep the whole buffer alive that it came in.
const COPIED_BYTES_MAX: usize = 4 << 10;

impl RespParser {
    /// A parser at the beginning of a connection.
    #[must_use]
    pub fn new(limits: RespLimits) -> Self {
        Self {
            limits,
            input: BytesMut::new(),
            searched: 0,
            string: None,
            open: Vec::new(),
            bytes: 0,
            elements: 0,
            failed: None,
        }
    }

    /// Octets have come. [`next`](Self::next) is to be called until it is `None`.
    pub fn feed(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// The next value, if all of it has come.
    ///
    /// # Errors
    /// The octets are no RESP3, or a limit is passed. The error is the same at every later call.
    #[expect(clippy::should_implement_trait, reason = "an iterator ends; this goes on with more octets")]
    pub fn next(&mut self) -> Result<Option<RespValue>, RespError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let next = self.read();
        self.failed = next.as_ref().err().copied();
        next
    }

    fn read(&mut self) -> Result<Option<RespValue>, RespError> {
        while let Some(token) = self.token()? {
            let done = match token {
                Token::Scalar(value) => self.fill(value),
                Token::Open(kind, missing) => self.open(kind, missing)?,
            };
            if let Some(value) = done {
                (self.bytes, self.elements) = (0, 0);
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn token(&mut self) -> Result<Option<Token>, RespError> {
        if let Some((kind, len)) = self.string {
            return self.string(kind, len);
        }
        let Some(&kind) = self.input.first() else { return Ok(None) };
        // Before the line is awaited: what is no type will not become one.
        if !b"+-:$_#,(!=*~%>|".contains(&kind) {
            return Err(RespError::Type);
        }
        let Some(line) = self.line()? else { return Ok(None) };
        let text = line.get(1..).unwrap_or_default();
        let scalar = |value| Ok(Some(Token::Scalar(value)));
        match kind {
            b'+' | b'-' => {
                self.count(text.len())?;
                let text = Bytes::copy_from_slice(text);
                scalar(if kind == b'+' { RespValue::Simple(text) } else { RespValue::Error(text) })
            }
            b':' => scalar(RespValue::Integer(integer(text)?)),
            b'_' => {
                if text.is_empty() {
                    scalar(RespValue::Null)
                } else {
                    Err(RespError::Number)
                }
            }
            b'#' => match text {
                b"t" => scalar(RespValue::Boolean(true)),
                b"f" => scalar(RespValue::Boolean(false)),
                _ => Err(RespError::Number),
            },
            b',' => scalar(RespValue::Double(double(text)?)),
            b'(' => {
                self.count(text.len())?;
                scalar(RespValue::BigNumber(big_number(text)?))
            }
            b'$' | b'*' if text == b"-1" => scalar(RespValue::Null),
            b'$' => self.begin_string(StringKind::Bulk, text),
            b'!' => self.begin_string(StringKind::Error, text),
            b'=' => self.begin_string(StringKind::Verbatim, text),
            b'*' => self.aggregate(AggregateKind::Array, text),
            b'~' => self.aggregate(AggregateKind::Set, text),
            b'%' => self.aggregate(AggregateKind::Map, text),
            b'>' => self.aggregate(AggregateKind::Push, text),
            _ => self.aggregate(AggregateKind::Attribute, text),
        }
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Option<BytesMut>, RespError> {
        let rest = self.input.get(self.searched..).unwrap_or_default();
        let Some(at) = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')) else {
            self.searched = self.input.len();
            return if self.searched > self.limits.line_bytes_max {
                Err(RespError::LineTooLong)
            } else {
                Ok(None)
            };
        };
        let end = self.searched + at;
        if end > self.limits.line_bytes_max {
            return Err(RespError::LineTooLong);
        }
        match self.input.get(end..end + 2) {
            Some(b"\r\n") => {}
            Some(_) => return Err(RespError::Line),
            None if self.input.last() == Some(&b'\r') => {
                self.searched = end;
                return Ok(None);
            }
            None => return Err(RespError::Line),
        }
        self.searched = 0;
        let line = self.input.split_to(end);
        self.input.advance(2);
        Ok(Some(line))
    }

    fn begin_string(&mut self, kind: StringKind, text: &[u8]) -> Result<Option<Token>, RespError> {
        let len = length(text)?;
        if len > self.limits.bulk_bytes_max {
            return Err(RespError::BulkTooLong);
        }
        self.count(len)?;
        self.string = Some((kind, len));
        self.string(kind, len)
    }

    /// A string of so many octets belongs to the value.
    fn count(&mut self, len: usize) -> Result<(), RespError> {
        self.bytes = self.bytes.saturating_add(len);
        if self.bytes > self.limits.value_bytes_max { Err(RespError::ValueTooLong) } else { Ok(()) }
    }

    /// The octets of a string, if all have come.
    fn string(&mut self, kind: StringKind, len: usize) -> Result<Option<Token>, RespError> {
        // Said as soon as it is known, so that it does not depend on how the input is cut.
        let terminator = self.input.get(len..).unwrap_or_default();
        let terminator = terminator.get(..2).unwrap_or(terminator);
        if !b"\r\n".starts_with(terminator) {
            return Err(RespError::Terminator);
        }
        if terminator.len() < 2 {
            return Ok(None);
        }
        let octets = self.input.split_to(len);
        self.input.advance(2);
        self.string = None;
        let octets = if len <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&octets) } else { octets.freeze() };
        Ok(Some(Token::Scalar(match kind {
            StringKind::Bulk => RespValue::Bulk(octets),
            StringKind::Error => RespValue::Error(octets),
            StringKind::Verbatim if octets.get(3) == Some(&b':') => RespValue::Verbatim(octets),
            StringKind::Verbatim => return Err(RespError::Format),
        })))
    }

    fn aggregate(&mut self, kind: AggregateKind, text: &[u8]) -> Result<Option<Token>, RespError> {
        let count = length(text)?;
        let pairs = matches!(kind, AggregateKind::Map | AggregateKind::Attribute);
        let missing = if pairs { count.saturating_mul(2) } else { count };
        if missing > self.limits.elements_max - self.elements {
            return Err(RespError::TooManyElements);
        }
        self.elements += missing;
        Ok(Some(Token::Open(kind, missing)))
    }

    /// An aggregate begins. It is the value itself if it is empty and inside of no other.
    fn open(&mut self, kind: AggregateKind, missing: usize) -> Result<Option<RespValue>, RespError> {
        if kind == AggregateKind::Push && !self.open.is_empty() {
            return Err(RespError::NestedPush);
        }
        if missing == 0 {
            return Ok(match kind {
                AggregateKind::Attribute => None,
                kind => self.fill(closed(kind, Vec::new())),
            });
        }
        if self.open.len() >= self.limits.depth_max {
            return Err(RespError::TooDeep);
        }
        // The server's number is not trusted for an allocation.
        self.open.push(OpenAggregate { kind, values: Vec::with_capacity(missing.min(16)), missing });
        Ok(None)
    }

    /// Puts a value where it belongs. Answers the outermost one when it is complete.
    fn fill(&mut self, value: RespValue) -> Option<RespValue> {
        let mut value = value;
        loop {
            let Some(innermost) = self.open.last_mut() else { return Some(value) };
            innermost.values.push(value);
            innermost.missing -= 1;
            if innermost.missing > 0 {
                return None;
            }
            let OpenAggregate { kind, values, .. } = self.open.pop()?;
            if kind == AggregateKind::Attribute {
                return None;
            }
            value = closed(kind, values);
        }
    }
}

fn closed(kind: AggregateKind, values: Vec<RespValue>) -> RespValue {
    match kind {
        AggregateKind::Array => RespValue::Array(values),
        AggregateKind::Set => RespValue::Set(values),
        AggregateKind::Push | AggregateKind::Attribute => RespValue::Push(values),
        AggregateKind::Map => {
            let mut pairs = Vec::with_capacity(values.len() / 2);
            let mut values = values.into_iter();
            while let (Some(key), Some(value)) = (values.next(), values.next()) {
                pairs.push((key, value));
            }
            RespValue::Map(pairs)
        }
    }
}

/// Decimal digits, perhaps behind a sign.
fn integer(text: &[u8]) -> Result<i64, RespError> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return Err(RespError::Number);
    }
    let mut value = 0_i64;
    for digit in digits {
        let digit = char::from(*digit).to_digit(10).ok_or(RespError::Number)?;
        let digit = i64::from(digit);
        let grown = value.checked_mul(10);
        // Downwards for a negative one, whose least value has no positive counterpart.
        let grown = grown.and_then(|it| if negative { it.checked_sub(digit) } else { it.checked_add(digit) });
        value = grown.ok_or(RespError::Number)?;
    }
    Ok(value)
}

/// The length of a string or aggregate: digits only.
fn length(text: &[u8]) -> Result<usize, RespError> {
    match text {
        b"?" => Err(RespError::Streamed),
        [b'0'..=b'9', ..] => usize::try_from(integer(text)?).map_err(|_| RespError::Number),
        _ => Err(RespError::Number),
    }
}

/// `,[<+|->]<integral>[.<fractional>][<E|e>[sign]<exponent>]`, or `inf`, `-inf`, `nan`.
fn double(text: &[u8]) -> Result<f64, RespError> {
    match text {
        b"inf" => return Ok(f64::INFINITY),
        b"-inf" => return Ok(f64::NEG_INFINITY),
        b"nan" => return Ok(f64::NAN),
        _ => {}
    }
    let allowed = |octet: &u8| matches!(octet, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.iter().all(allowed) {
        return Err(RespError::Number);
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(RespError::Number)
}

fn big_number(text: &[u8]) -> Result<Bytes, RespError> {
    let digits = match text {
        [b'+' | b'-', digits @ ..] => digits,
        digits => digits,
    };
    let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if valid { Ok(Bytes::copy_from_slice(text)) } else { Err(RespError::Number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_all_kinds_count_for_their_value() {
        for text in ["+12345", "-12345", "(12345", "$5\r\n12345", "!5\r\n12345", "=5\r\ntxt:5"] {
            for (count, fits) in [(2, true), (3, false)] {
                let limits = RespLimits { value_bytes_max: 10, ..RespLimits::default() };
                let mut parser = RespParser::new(limits);
                // What one value has counts for no other.
                for _ in 0..2 {
                    parser.feed(format!("*{count}\r\n{}", format!("{text}\r\n").repeat(count)).as_bytes());
                    let next = parser.next();
                    if fits {
                        assert!(matches!(next, Ok(Some(RespValue::Array(_)))), "{text}: {next:?}");
                    } else {
                        assert_eq!(next, Err(RespError::ValueTooLong), "{text}");
                    }
                }
            }
        }
    }
}
