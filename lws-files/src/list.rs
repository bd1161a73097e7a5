//! Lists of tokens and their weights. RFC 9110 §5.6.1 and §12.4.2.

/// The members of one field line, without white space around them and without empty ones. A comma in a quoted string divides too.
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// A member and its weight in thousandths, which is the last of its parameters or 1. `None` if the weight breaks the grammar, or if
/// a parameter has no value.
pub(crate) fn weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next()?;
    let mut weight = 1000;
    for parameter in parts {
        let equals = parameter.iter().position(|&byte| byte == b'=')?;
        if parameter[..equals].eq_ignore_ascii_case(b"q") {
            weight = thousandths(&parameter[equals + 1..])?;
        }
    }
    Some((name, weight))
}

/// `qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )`
fn thousandths(value: &[u8]) -> Option<u16> {
    let (&whole, rest) = value.split_first()?;
    let digits = match rest.split_first() {
        None => rest,
        Some((b'.', digits)) if digits.len() <= 3 => digits,
        Some(_) => return None,
    };
    let mut fraction = 0;
    for place in 0..3 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        fraction = fraction * 10 + u16::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    match (whole, fraction) {
        (b'0', fraction) => Some(fraction),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_has_three_digits_at_most_and_ends_at_one() {
        for (value, weight) in
            [("0", 0), ("0.", 0), ("0.5", 500), ("0.123", 123), ("1", 1000), ("1.000", 1000)]
        {
            assert_eq!(thousandths(value.as_bytes()), Some(weight), "{value}");
        }
        for value in ["", "2", "1.1", "0.1234", "00", ".5", "0,5", "0.a", "+1"] {
            assert_eq!(thousandths(value.as_bytes()), None, "{value}");
        }
    }
}
