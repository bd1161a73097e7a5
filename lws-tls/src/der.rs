//! The part of DER that is needed for the subject of a certificate, in the form of RFC 4514, and for its validity.
//!
//! Verifies nothing: trusted certificates were verified by rustls. A malformed certificate has no subject and no
//! validity.

/// The subject of an X.509 certificate, most specific part first: `CN=alice,O=Example`. RFC 5280 §4.1.2.6.
pub(crate) fn subject(certificate: &[u8]) -> Option<Box<str>> {
    // The subject follows serialNumber, signature, issuer and validity.
    let mut rest = field(certificate, 4)?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (relative, after) = element(rest, SET)?;
        names.push(relative_name(relative)?);
        rest = after;
    }
    // RFC 4514 §2.1: "starting with the last element of the sequence".
    names.reverse();
    Some(names.join(",").into())
}

/// The first and last second of the validity of an X.509 certificate, counted from the first of January 1970, UTC.
/// RFC 5280 §4.1.2.5.
pub(crate) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    // The validity follows serialNumber, signature and issuer.
    let (tag, begin, rest) = any(field(certificate, 3)?)?;
    let (end_tag, end, _) = any(rest)?;
    Some((unix_seconds(tag, begin)?, unix_seconds(end_tag, end)?))
}

/// Whether an X.509 certificate is that of an authority, according to its basic constraints. RFC 5280 §4.2.1.9.
pub(crate) fn is_authority(certificate: &[u8]) -> bool {
    let Some(mut rest) = extensions(certificate) else { return false };
    while let Some((extension, after)) = element(rest, SEQUENCE) {
        if let Some((BASIC_CONSTRAINTS, value)) = element(extension, OBJECT_IDENTIFIER) {
            // A flag for critical extensions may come first.
            let value = element(value, BOOLEAN).map_or(value, |(_, value)| value);
            let constraints = element(value, OCTET_STRING).and_then(|(octets, _)| element(octets, SEQUENCE));
            let authority = constraints.and_then(|(constraints, _)| element(constraints, BOOLEAN));
            return authority.is_some_and(|(flag, _)| flag != [0]);
        }
        rest = after;
    }
    false
}

/// The extensions of a certificate, if it has any. RFC 5280 §4.1.2.9.
fn extensions(certificate: &[u8]) -> Option<&[u8]> {
    let (mut tbs, _) = element(element(certificate, SEQUENCE)?.0, SEQUENCE)?;
    loop {
        let (tag, content, rest) = any(tbs)?;
        if tag == EXTENSIONS {
            return Some(element(content, SEQUENCE)?.0);
        }
        tbs = rest;
    }
}

/// The content of a field of the certificate that is a sequence. `before` counts the fields before it, without the
/// version.
fn field(certificate: &[u8], before: usize) -> Option<&[u8]> {
    let (mut tbs, _) = element(element(certificate, SEQUENCE)?.0, SEQUENCE)?;
    if tbs.first() == Some(&VERSION) {
        tbs = any(tbs)?.2;
    }
    for _ in 0..before {
        tbs = any(tbs)?.2;
    }
    Some(element(tbs, SEQUENCE)?.0)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`. RFC 5280 §4.1.2.5.1, §4.1.2.5.2.
fn unix_seconds(tag: u8, time: &[u8]) -> Option<i64> {
    let century_digits = match tag {
        UTC_TIME => 0,
        GENERALIZED_TIME => 2,
        _ => return None,
    };
    let digits = time.strip_suffix(b"Z").filter(|digits| digits.len() == 12 + century_digits)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut pairs = digits.chunks_exact(2).map(|pair| i64::from((pair[0] - b'0') * 10 + (pair[1] - b'0')));
    let century = if tag == GENERALIZED_TIME { pairs.next() } else { None };
    let year = pairs.next()?;
    // "Where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY".
    let year = century.unwrap_or(if year >= 50 { 19 } else { 20 }) * 100 + year;
    let (month, day) = (pairs.next()?, pairs.next()?);
    let seconds = pairs.fold(0, |seconds, pair| seconds * 60 + pair);
    Some(days(year, month, day) * 86_400 + seconds)
}

/// The days since the first of January 1970 in the Gregorian calendar. Years begin with March here, so that a leap day
/// is the last day of a year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];

/// The content of the first element, which must have this tag, and the bytes behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The tag and content of the first element, and the bytes behind it.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 3))?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// A relative distinguished name, such as `CN=alice`; several attributes are joined by `+`. RFC 4514 §2.2.
fn relative_name(mut set: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while !set.is_empty() {
        let (pair, rest) = element(set, SEQUENCE)?;
        let (oid, value) = element(pair, OBJECT_IDENTIFIER)?;
        let (tag, value, _) = any(value)?;
        parts.push(format!("{}={}", attribute(oid), escaped(tag, value)));
        set = rest;
    }
    Some(parts.join("+"))
}

/// The short name of an attribute type in RFC 4514 §3, and otherwise its object identifier.
fn attribute(oid: &[u8]) -> String {
    match oid {
        [0x55, 4, 3] => "CN".into(),
        [0x55, 4, 5] => "serialNumber".into(),
        [0x55, 4, 6] => "C".into(),
        [0x55, 4, 7] => "L".into(),
        [0x55, 4, 8] => "ST".into(),
        [0x55, 4, 9] => "STREET".into(),
        [0x55, 4, 10] => "O".into(),
        [0x55, 4, 11] => "OU".into(),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC".into(),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID".into(),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress".into(),
        oid => dotted(oid),
    }
}

fn dotted(oid: &[u8]) -> String {
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for byte in oid {
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                arcs.push((arc / 40).min(2));
                arc -= arcs[0] * 40;
            }
            arcs.push(std::mem::take(&mut arc));
        }
    }
    arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// An attribute value, escaped by RFC 4514 §2.4. Control characters are escaped, too.
fn escaped(tag: u8, value: &[u8]) -> String {
    let text = match tag {
        BMP_STRING => {
            let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8_lossy(value).into_owned(),
    };
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (at, character) in text.chars().enumerate() {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => out.extend(['\\', character]),
            '#' | ' ' if at == 0 => out.extend(['\\', character]),
            ' ' if at == last => out.push_str("\\ "),
            character if character.is_control() => {
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    out.push_str(&format!("\\{byte:02X}"));
                }
            }
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn certificate(parts: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_subject_is_read_from_its_last_part_and_escaped() {
        let check = |parts: &[(DnType, &str)], expected: &str| {
            assert_eq!(subject(&certificate(parts)).as_deref(), Some(expected));
        };
        check(&[], "");
        check(&[(DnType::CommonName, "alice")], "CN=alice");
        check(
            &[(DnType::CountryName, "DE"), (DnType::OrganizationName, "A, B"), (DnType::CommonName, "#x ")],
            "CN=\\#x\\ ,O=A\\, B,C=DE",
        );
        check(&[(DnType::CommonName, "a\nb=c")], "CN=a\\0Ab\\=c");
        check(&[(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 311, 1]), "x")], "1.3.6.1.4.1.311.1=x");
    }

    #[test]
    fn an_authority_is_recognised_by_its_basic_constraints() {
        use rcgen::{BasicConstraints, IsCa};
        for (is_ca, expected) in [
            (IsCa::NoCa, false),
            (IsCa::ExplicitNoCa, false),
            (IsCa::Ca(BasicConstraints::Unconstrained), true),
            (IsCa::Ca(BasicConstraints::Constrained(1)), true),
        ] {
            let mut params = CertificateParams::new(["a.example".to_owned()]).expect("names");
            params.is_ca = is_ca;
            let key = KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate").der().to_vec();
            assert_eq!(is_authority(&certificate), expected, "{is_ca:?}");
            assert!((0..certificate.len()).all(|cut| !is_authority(&certificate[..cut])), "{is_ca:?}");
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let check =
            |tag, text: &str, expected| assert_eq!(unix_seconds(tag, text.as_bytes()), expected, "{text}");
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "000229235959Z", Some(951_868_799));
        check(UTC_TIME, "500101000000Z", Some(-631_152_000));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000));
        check(GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
        for text in ["", "Z", "700101000000", "7001010000Z", "70010100000xZ", "19700101000000Z"] {
            check(UTC_TIME, text, None);
        }
        check(BMP_STRING, "700101000000Z", None);
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("names");
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2024, 3, 1), rcgen::date_time_ymd(2100, 2, 28));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        assert_eq!(validity(certificate.der()), Some((1_709_251_200, 4_107_456_000)));
    }

    #[test]
    fn what_is_cut_or_no_certificate_has_no_subject_and_no_times() {
        let whole = certificate(&[(DnType::CommonName, "alice")]);
        for cut in 0..whole.len() {
            assert_eq!(subject(&whole[..cut]), None, "{cut} bytes");
            assert_eq!(validity(&whole[..cut]), None, "{cut} bytes");
        }
        assert_eq!(subject(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
