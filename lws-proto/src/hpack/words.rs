//! Octets looked at eight at a time: names and values are short, and their last few octets would cost more than the rest.

use crate::http::{is_field_byte, may_have_control};

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Folds `octets` in words of eight. What does not fill the last word is filled with octets that were folded already, or
/// stand there twice, or with zeros: together with the length the words say all.
#[inline]
pub(super) fn fold<T>(octets: &[u8], initial: T, mut step: impl FnMut(T, u64) -> T) -> T {
    let Some(last) = octets.last_chunk::<8>() else { return step(initial, short(octets)) };
    let (words, rest) = octets.as_chunks::<8>();
    let folded = words.iter().fold(initial, |folded, word| step(folded, u64::from_le_bytes(*word)));
    if rest.is_empty() { folded } else { step(folded, u64::from_le_bytes(*last)) }
}

/// Fewer than eight octets as a word.
#[inline]
fn short(octets: &[u8]) -> u64 {
    match (octets.first_chunk::<4>(), octets.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => octets.iter().fold(0, |word, &octet| word << 8 | u64::from(octet)),
    }
}

/// Whether `name` is `lower`, which has no upper-case letter, in whatever case.
#[inline]
pub(super) fn is_in_any_case(name: &[u8], lower: &[u8]) -> bool {
    // The bit of the case may differ, and that only where a letter stands.
    let same = |one: u64, other: u64| {
        let differ = one ^ other;
        differ & !(ONES * 0x20) == 0 && (differ << 1) & !one == 0
    };
    if name.len() != lower.len() {
        return false;
    }
    let (Some(name_end), Some(lower_end)) = (name.last_chunk::<8>(), lower.last_chunk::<8>()) else {
        return same(short(name), short(lower));
    };
    let words = name.as_chunks::<8>().0.iter().zip(lower.as_chunks::<8>().0);
    words
        .chain([(name_end, lower_end)])
        .all(|(one, other)| same(u64::from_le_bytes(*one), u64::from_le_bytes(*other)))
}

/// Whether one of eight octets is an upper-case letter.
#[inline]
pub(super) fn has_upper_case(word: u64) -> bool {
    let low = word & !TOPS;
    let from_a = low + ONES * (0x80 - b'A' as u64);
    let beyond_z = low + ONES * (0x7f - b'Z' as u64);
    from_a & !beyond_z & !word & TOPS != 0
}

/// Whether one of eight octets may not stand in a field value: a control character that is no tab.
#[inline]
pub(super) fn has_control(word: u64) -> bool {
    may_have_control(word) && !word.to_ne_bytes().iter().all(|&octet| is_field_byte(octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn fold_to_vec(octets: &[u8]) -> Vec<u64> {
        fold(octets, vec![], |mut words, word| {
            words.push(word);
            words
        })
    }

    #[test]
    fn every_octet_is_in_a_word() {
        for len in 0..40usize {
            let octets: Vec<u8> = (1..=len as u8).collect();
            let words = fold_to_vec(&octets);
            assert_eq!(words.len(), len.div_ceil(8).max(1));
            for octet in &octets {
                assert!(words.iter().any(|word| word.to_le_bytes().contains(octet)), "{octet} of {len}");
            }
        }
    }

    #[test]
    fn names_are_the_same_in_any_case_and_differ_in_any_octet() {
        for len in 1..=20 {
            let lower: Vec<u8> = b"x-and-y:of-some-name".iter().copied().take(len).collect();
            let upper = lower.to_ascii_uppercase();
            assert!(is_in_any_case(&lower, &lower) && is_in_any_case(&upper, &lower), "{len}");
            for at in 0..len {
                for octet in 0..=u8::MAX {
                    for mut name in [lower.clone(), upper.clone()] {
                        name[at] = octet;
                        assert_eq!(
                            is_in_any_case(&name, &lower),
                            name.eq_ignore_ascii_case(&lower),
                            "{octet} at {at} of {len}"
                        );
                    }
                }
            }
            assert!(!is_in_any_case(&lower[1..], &lower));
        }
    }

    #[test]
    fn upper_case_letters_are_seen_wherever_they_stand() {
        for octet in 0..=u8::MAX {
            for at in 0..8 {
                for filler in [0, b'a', b'@', b'[', 0x7f, 0xff] {
                    let mut word = [filler; 8];
                    word[at] = octet;
                    assert_eq!(
                        has_upper_case(u64::from_ne_bytes(word)),
                        octet.is_ascii_uppercase(),
                        "{word:?}"
                    );
                }
            }
        }
    }
}
