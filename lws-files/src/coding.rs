//! Content codings, and the choice between them. RFC 9110 §8.4 and §12.5.3.
//!
//! Compresses nothing and opens nothing.

use crate::list;

/// A content coding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Coding {
    /// None: the bytes of the file.
    #[default]
    Identity,
    /// `gzip`, RFC 9110 §8.4.1.3.
    Gzip,
    /// `zstd`, RFC 8878.
    Zstd,
    /// `br`, RFC 7932.
    Brotli,
}

impl Coding {
    /// Every coding, in the order that this server prefers among those that a client likes equally well: the smallest first.
    pub const ALL: [Self; 4] = [Self::Brotli, Self::Zstd, Self::Gzip, Self::Identity];

    /// The name in `Content-Encoding`; `identity` is never sent.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Brotli => "br",
        }
    }

    /// What a precompressed sibling of a file has behind its name; `None` for the file itself.
    #[must_use]
    pub const fn extension(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some(".gz"),
            Self::Zstd => Some(".zst"),
            Self::Brotli => Some(".br"),
        }
    }

    /// RFC 9110 §8.4.1.3: "A recipient SHOULD consider \"x-gzip\" to be equivalent to \"gzip\"".
    fn from_token(token: &[u8]) -> Option<Self> {
        if token.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| token.eq_ignore_ascii_case(coding.token().as_bytes()))
    }
}

/// The codings that a client accepts, the most welcome first.
///
/// Weights are not kept, only the order that they make: so there are few different values, whatever clients write, and a cache
/// may be keyed by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Accepted {
    order: [Coding; 4],
    len: u8,
}

impl Default for Accepted {
    fn default() -> Self {
        Self::IDENTITY
    }
}

/// A weight in thousandths. RFC 9110 §12.4.2.
type Weight = u16;

impl Accepted {
    /// The bytes of the file and nothing else: what a client without `Accept-Encoding` gets.
    pub const IDENTITY: Self = Self { order: [Coding::Identity; 4], len: 1 };

    /// A number below 2¹¹, another one for each.
    pub(crate) fn bits(self) -> u32 {
        self.order.iter().fold(u32::from(self.len), |bits, coding| bits << 2 | *coding as u32)
    }

    /// Reads the field lines `Accept-Encoding` of a request.
    ///
    /// ```
    /// use lws_files::{Accepted, Coding};
    ///
    /// let accepted = Accepted::parse([&b"gzip;q=0.5, br, zstd;q=0"[..]]);
    /// assert!(accepted.iter().eq([Coding::Brotli, Coding::Gzip, Coding::Identity]));
    /// ```
    #[must_use]
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut said = Said::default();
        values.into_iter().for_each(|value| said.line(value));
        said.accepted()
    }

    /// The accepted codings, the most welcome first.
    pub fn iter(&self) -> impl Iterator<Item = Coding> + use<> {
        self.order.into_iter().take(usize::from(self.len))
    }

    /// Whether `coding` is accepted.
    #[must_use]
    pub fn allows(&self, coding: Coding) -> bool {
        self.iter().any(|accepted| accepted == coding)
    }

    /// The most welcome coding of those that there are. `None` is answered with 406.
    #[must_use]
    pub fn choose(&self, exists: impl FnMut(&Coding) -> bool) -> Option<Coding> {
        self.iter().find(exists)
    }
}

/// What the members of the field said, by the position in [`Coding::ALL`].
#[derive(Default)]
pub(crate) struct Said {
    weights: [Option<Weight>; 4],
    others: Option<Weight>,
    /// Whether there was a field line at all.
    any: bool,
}

impl Said {
    /// Reads one field line.
    pub(crate) fn line(&mut self, value: &[u8]) {
        self.any = true;
        list::members(value).for_each(|member| self.note(member));
    }

    pub(crate) fn accepted(&self) -> Accepted {
        if self.any { self.order() } else { Accepted::IDENTITY }
    }

    fn note(&mut self, member: &[u8]) {
        // A member that breaks the grammar says nothing.
        let Some((token, weight)) = list::weighted(member) else { return };
        let heard =
            |slot: &mut Option<Weight>| *slot = Some(slot.map_or(weight, |before| before.max(weight)));
        if token == b"*" {
            return heard(&mut self.others);
        }
        if let Some(coding) = Coding::from_token(token)
            && let Some(at) = Coding::ALL.iter().position(|other| *other == coding)
        {
            heard(&mut self.weights[at]);
        }
    }

    fn order(&self) -> Accepted {
        let mut ranked: Vec<(Weight, Coding)> = Vec::with_capacity(4);
        for (said, coding) in self.weights.iter().zip(Coding::ALL) {
            match (said.or(self.others), coding) {
                (Some(0), _) | (None, Coding::Gzip | Coding::Zstd | Coding::Brotli) => {}
                (Some(weight), coding) => ranked.push((weight, coding)),
                // RFC 9110 §12.5.3: acceptable unless excluded. Who names others and not this one likes those better.
                (None, Coding::Identity) => ranked.push((0, coding)),
            }
        }
        // Stable: among equals the order of `ALL` stays.
        ranked.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let mut accepted = Accepted { order: [Coding::Identity; 4], len: 0 };
        for (slot, (_, coding)) in accepted.order.iter_mut().zip(ranked) {
            *slot = coding;
            accepted.len += 1;
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &[Coding]) {
        assert!(Accepted::parse([value.as_bytes()]).iter().eq(expected.iter().copied()), "{value:?}");
    }

    #[test]
    fn weights_decide_and_the_smallest_coding_wins_a_tie() {
        use Coding::{Brotli, Gzip, Identity, Zstd};
        for (value, expected) in [
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip, Identity][..]),
            ("gzip;q=1.0, br;q=0.5", &[Gzip, Brotli, Identity]),
            ("gzip;q=0.001", &[Gzip, Identity]),
            ("gzip;q=0", &[Identity]),
            ("gzip ; Q=0.000 , br", &[Brotli, Identity]),
            ("X-GZIP", &[Gzip, Identity]),
            ("identity, gzip;q=0.5", &[Identity, Gzip]),
            ("identity;q=0.5, gzip;q=0.5", &[Gzip, Identity]),
            ("identity;q=0, gzip", &[Gzip]),
            ("identity;q=0", &[]),
            ("*;q=0", &[]),
            ("*;q=0, gzip", &[Gzip]),
            ("*", &[Brotli, Zstd, Gzip, Identity]),
            ("*;q=0.5, gzip;q=0", &[Brotli, Zstd, Identity]),
            ("identity;q=1, *;q=0", &[Identity]),
            ("", &[Identity]),
            (",, ,", &[Identity]),
            ("compress, deflate", &[Identity]),
        ] {
            check(value, expected);
        }
    }

    #[test]
    fn a_member_that_breaks_the_grammar_says_nothing() {
        for value in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=.5",
            "gzip;q=",
            "gzip;q=-1",
            "gzip;q=0.0001",
            "gzip;x",
            "xgzip",
        ] {
            check(value, &[Coding::Identity]);
        }
    }

    #[test]
    fn several_lines_are_one_list_and_no_line_asks_for_the_file_as_it_is() {
        let accepted = Accepted::parse([&b"gzip;q=0.5"[..], b"br"]);
        assert!(accepted.iter().eq([Coding::Brotli, Coding::Gzip, Coding::Identity]));
        assert_eq!(Accepted::parse([]), Accepted::IDENTITY);
        assert_eq!(accepted.choose(|coding| *coding == Coding::Gzip), Some(Coding::Gzip));
        assert_eq!(Accepted::parse([&b"identity;q=0"[..]]).choose(|_| true), None);
    }
}
