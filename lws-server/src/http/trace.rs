//! Who traces a request: the field `traceparent` of W3C Trace Context.

use std::fmt;

/// The trace that a request belongs to, and the span that has caused it. W3C Trace Context, Level 1, §3.2.
///
/// `Display` writes it as the field of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TraceParent {
    /// The identity of the trace: not all zero.
    pub trace_id: [u8; 16],
    /// The identity of the span of the caller: not all zero.
    pub parent_id: [u8; 8],
    /// Flags, of which the lowest bit says that the caller may have recorded the trace.
    pub flags: u8,
}

/// Octets of a field of version 00: `00-` and 32 digits, `-` and 16 digits, `-` and two digits.
const LENGTH: usize = 55;

impl TraceParent {
    /// Reads a field. One of a later version may have more behind what is known of it. `None` of everything that is not valid, such as
    /// digits in upper case or identities of zeros.
    #[must_use]
    pub fn parse(field: &[u8]) -> Option<Self> {
        let (known, more) = field.split_at_checked(LENGTH)?;
        let mut parts = known.split(|octet| *octet == b'-');
        let [version] = digits::<1>(parts.next()?)?;
        let (trace_id, parent_id) = (digits::<16>(parts.next()?)?, digits::<8>(parts.next()?)?);
        let [flags] = digits::<1>(parts.next()?)?;
        let ends = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.first().is_none_or(|octet| *octet == b'-'),
        };
        let is_valid = ends && parts.next().is_none() && trace_id != [0; 16] && parent_id != [0; 8];
        is_valid.then_some(Self { trace_id, parent_id, flags })
    }

    /// What the fields of a request say. Two of them are as good as none.
    pub(crate) fn of_fields<'a>(mut fields: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let field = fields.next()?;
        if fields.next().is_some() { None } else { Self::parse(field) }
    }

    /// Whether the caller may have recorded the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 != 0
    }

    /// The identity of the trace, as it is written.
    #[must_use]
    pub fn trace_text(&self) -> impl fmt::Display + use<> {
        Hex(self.trace_id)
    }

    /// The identity of the span of the caller, as it is written.
    #[must_use]
    pub fn parent_text(&self) -> impl fmt::Display + use<> {
        Hex(self.parent_id)
    }
}

/// `N` octets, of two digits in lower case each.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (octet, pair) in octets.iter_mut().zip(text.chunks_exact(2)) {
        *octet = digit(*pair.first()?)? << 4 | digit(*pair.last()?)?;
    }
    Some(octets)
}

/// Octets as digits.
struct Hex<const N: usize>([u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_text(), self.parent_text(), self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_field_of_the_specification_is_read_and_written() {
        let parent = TraceParent::parse(VALID.as_bytes()).expect("it is valid");
        assert_eq!(parent.to_string(), VALID);
        assert_eq!(parent.trace_text().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(parent.is_sampled());
    }

    #[test]
    fn what_is_not_valid_is_none() {
        let later = VALID.replacen("00", "cc", 1);
        let rows = [
            (VALID.to_owned(), true),
            (later.clone(), true),
            (format!("{later}-what-comes"), true),
            (format!("{later}."), false),
            (format!("{VALID}-"), false),
            (VALID.replacen("00", "ff", 1), false),
            (VALID.to_uppercase(), false),
            (VALID.replace("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"), false),
            (VALID.replace("b7ad6b7169203331", "0000000000000000"), false),
            (VALID.replace('-', "_"), false),
            (VALID.replace("-01", "-0g"), false),
            (VALID[..54].to_owned(), false),
            (String::new(), false),
        ];
        for (field, valid) in rows {
            assert_eq!(TraceParent::parse(field.as_bytes()).is_some(), valid, "{field}");
        }
        let twice = [VALID.as_bytes(); 2];
        assert_eq!(TraceParent::of_fields(twice.into_iter()), None);
        assert!(TraceParent::of_fields(twice.into_iter().take(1)).is_some());
    }
}
