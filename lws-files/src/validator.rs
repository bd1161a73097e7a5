//! Entity tags. RFC 9110 §8.8.3.

use crate::Coding;
use std::fmt;
use std::sync::Arc;

/// Names one version of one representation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag {
    weak: bool,
    /// Invariant: only `etagc`, without the quotes.
    opaque: Arc<str>,
}

impl EntityTag {
    /// A strong tag: two representations that share it are equal octet for octet. `opaque` is what stands between the quotes;
    /// `None` if it has anything but visible ASCII characters, or a quote.
    #[must_use]
    pub fn strong(opaque: &str) -> Option<Self> {
        let valid = opaque.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e));
        valid.then(|| Self { weak: false, opaque: opaque.into() })
    }

    /// A tag made of the length and of a hash of whatever tells versions apart. It is the same after a restart.
    #[must_use]
    pub fn of_version(len: u64, version: &[u8]) -> Self {
        // FNV-1a. It tells versions apart, not adversaries.
        let hash = version.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { weak: false, opaque: format!("{len:x}-{hash:016x}").into() }
    }

    /// This tag as a weak one: two representations that share it may differ in their octets.
    #[must_use]
    pub fn weakened(self) -> Self {
        Self { weak: true, ..self }
    }

    /// The tag of this representation compressed on the way: it names both the version and the coding, so that no cache takes
    /// one for the other.
    #[must_use]
    pub fn coded(&self, coding: Coding) -> Self {
        match coding {
            Coding::Identity => self.clone(),
            _ => Self { weak: self.weak, opaque: format!("{}-{}", self.opaque, coding.token()).into() },
        }
    }

    /// Whether it is weak.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// What stands between the quotes.
    #[must_use]
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// What stands between the quotes, without the coding that [`EntityTag::coded`] has added.
    fn version(opaque: &[u8]) -> &[u8] {
        let coded = Coding::ALL.iter().filter(|coding| **coding != Coding::Identity);
        coded
            .filter_map(|coding| opaque.strip_suffix(coding.token().as_bytes())?.strip_suffix(b"-"))
            .next()
            .unwrap_or(opaque)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.opaque)
    }
}

/// A member of a list of entity tags in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed<'a> {
    /// `*`
    Any,
    /// `opaque-tag`, without its quotes.
    Strong(&'a [u8]),
    /// `weak opaque-tag`, without its quotes.
    Weak(&'a [u8]),
}

impl<'a> Listed<'a> {
    /// The first tag of `value`, and what follows it. `None` if there is none.
    pub(crate) fn parse(value: &'a [u8]) -> Option<(Self, &'a [u8])> {
        if let Some(rest) = value.strip_prefix(b"*") {
            return Some((Self::Any, rest));
        }
        let (weak, quoted) = match value.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, value),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|&byte| byte == b'"')?;
        let opaque = &inner[..end];
        Some((if weak { Self::Weak(opaque) } else { Self::Strong(opaque) }, &inner[end + 1..]))
    }

    /// RFC 9110 §8.8.3.2.
    pub(crate) fn matches_strongly(self, tag: &EntityTag) -> bool {
        matches!(self, Self::Strong(opaque) if !tag.weak && opaque == tag.opaque.as_bytes())
    }

    /// RFC 9110 §8.8.3.2.
    pub(crate) fn matches_weakly(self, tag: &EntityTag) -> bool {
        matches!(self, Self::Strong(opaque) | Self::Weak(opaque) if opaque == tag.opaque.as_bytes())
    }

    /// Whether it names the same version, in whichever coding that was made of it on the way.
    pub(crate) fn is_version_of(self, tag: &EntityTag) -> bool {
        matches!(self, Self::Strong(opaque)
            if !tag.weak && EntityTag::version(opaque) == EntityTag::version(tag.opaque.as_bytes()))
    }
}

/// The members of the lists in `values`. What follows a member that is no tag is not looked at.
pub(crate) fn listed(values: &[Box<[u8]>]) -> impl Iterator<Item = Listed<'_>> {
    values.iter().flat_map(|value| {
        let mut rest = &value[..];
        std::iter::from_fn(move || {
            let skipped = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b',')).count();
            let (tag, behind) = Listed::parse(&rest[skipped..])?;
            rest = behind;
            Some(tag)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_ends_with_its_second_quote() {
        for (value, tag, rest) in [
            ("\"a,b\", \"c\"", Listed::Strong(b"a,b"), ", \"c\""),
            ("W/\"\"x", Listed::Weak(b""), "x"),
            ("*", Listed::Any, ""),
        ] {
            assert_eq!(Listed::parse(value.as_bytes()), Some((tag, rest.as_bytes())), "{value}");
        }
        for value in ["", "a", "\"a", "w/\"a\"", "W/", "W/*"] {
            assert_eq!(Listed::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_weak_tag_never_matches_strongly() {
        let tag = EntityTag::strong("a").expect("a letter");
        assert!(Listed::Weak(b"a").matches_weakly(&tag) && Listed::Strong(b"a").matches_strongly(&tag));
        assert!(!Listed::Weak(b"a").matches_strongly(&tag));
        let weak = tag.weakened();
        assert!(Listed::Strong(b"a").matches_weakly(&weak) && !Listed::Strong(b"a").matches_strongly(&weak));
        assert_eq!(weak.to_string(), "W/\"a\"");
    }

    #[test]
    fn a_coded_tag_is_another_one_of_the_same_version() {
        let tag = EntityTag::of_version(3, b"abc");
        let coded = tag.coded(Coding::Brotli);
        assert_eq!(coded.opaque(), format!("{}-br", tag.opaque()));
        assert_ne!(tag, coded);
        assert!(Listed::Strong(coded.opaque().as_bytes()).is_version_of(&tag));
        assert!(Listed::Strong(tag.opaque().as_bytes()).is_version_of(&coded));
        assert!(!Listed::Strong(coded.opaque().as_bytes()).matches_weakly(&tag));
        assert!(!Listed::Strong(b"other-br").is_version_of(&tag));
    }

    #[test]
    fn a_tag_is_visible_ascii_without_quotes() {
        for opaque in ["a b", "a\"", "\u{e9}", "\n", "\u{7f}"] {
            assert_eq!(EntityTag::strong(opaque), None, "{opaque:?}");
        }
    }
}
