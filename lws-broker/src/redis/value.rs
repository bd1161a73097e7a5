//! The values of RESP3.

use bytes::Bytes;

/// A value of RESP3. The types of RESP2 are among them: its null string and null array are [`Null`](Self::Null).
#[derive(Clone, Debug, PartialEq)]
pub enum RespValue {
    /// `+`: a short text on one line.
    Simple(Bytes),
    /// `-` and `!`: an error. Its first word is its code.
    Error(Bytes),
    /// `:`.
    Integer(i64),
    /// `$`: octets.
    Bulk(Bytes),
    /// `_`.
    Null,
    /// `#`.
    Boolean(bool),
    /// `,`.
    Double(f64),
    /// `(`: decimal digits, perhaps behind a sign.
    BigNumber(Bytes),
    /// `=`: text behind three octets that name its format, and a colon.
    Verbatim(Bytes),
    /// `*`.
    Array(Vec<Self>),
    /// `~`.
    Set(Vec<Self>),
    /// `%`.
    Map(Vec<(Self, Self)>),
    /// `>`: what the server says without being asked.
    Push(Vec<Self>),
}

impl RespValue {
    /// The octets of a text of whatever kind.
    #[must_use]
    pub fn octets(&self) -> Option<&Bytes> {
        match self {
            Self::Simple(octets) | Self::Bulk(octets) | Self::Verbatim(octets) => Some(octets),
            _ => None,
        }
    }
}
