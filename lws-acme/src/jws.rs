//! JSON Web Signatures of requests: RFC 7515 in the flattened form that RFC 8555 §6.2 asks for.

use crate::key::{AccountKey, ExternalAccount, KeyError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Whose request it is.
pub(crate) enum Signer<'a> {
    /// The key itself, as there is no account yet.
    Key,
    /// The account with this URL.
    Account(&'a str),
}

/// The body of a request: `payload` signed for one URL and one nonce. An empty payload reads what is at the URL: RFC 8555 §6.3.
pub(crate) fn signed(
    key: &AccountKey,
    signer: &Signer<'_>,
    nonce: &str,
    url: &str,
    payload: &str,
) -> Result<String, KeyError> {
    let mut header = json!({ "alg": "ES256", "nonce": nonce, "url": url });
    match signer {
        Signer::Key => header["jwk"] = serde_json::from_str(&key.jwk()).unwrap_or(Value::Null),
        Signer::Account(url) => header["kid"] = (*url).into(),
    }
    let (header, payload) = (base64url(header.to_string().as_bytes()), base64url(payload.as_bytes()));
    let signature = base64url(&key.sign(format!("{header}.{payload}").as_bytes())?);
    Ok(json!({ "protected": header, "payload": payload, "signature": signature }).to_string())
}

/// The public key of an account, signed with that of the one which it is bound to, for one URL. RFC 8555 §7.3.4.
pub(crate) fn binding(key: &AccountKey, external: &ExternalAccount, url: &str) -> Value {
    let header = json!({ "alg": "HS256", "kid": external.key_id(), "url": url });
    let (header, payload) = (base64url(header.to_string().as_bytes()), base64url(key.jwk().as_bytes()));
    let signature = base64url(&external.sign(format!("{header}.{payload}").as_bytes()));
    json!({ "protected": header, "payload": payload, "signature": signature })
}

/// RFC 4648 §5, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An ECDSA signature on P-256 as two numbers of 32 octets, out of `SEQUENCE { INTEGER, INTEGER }`. RFC 7518 §3.4, RFC 3279 §2.2.3.
pub(crate) fn fixed_signature(der: &[u8]) -> Option<[u8; 64]> {
    let (numbers, rest) = element(der, 0x30)?;
    let (r, numbers) = element(numbers, 0x02)?;
    let (s, numbers) = element(numbers, 0x02)?;
    let mut fixed = [0; 64];
    let (first, second) = fixed.split_at_mut(32);
    right_aligned(r, first)?;
    right_aligned(s, second)?;
    (rest.is_empty() && numbers.is_empty()).then_some(fixed)
}

/// The content of an element with this tag, and what stands behind the element. All lengths here are below 128.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    if found != tag || length >= 0x80 {
        return None;
    }
    rest.split_at_checked(length.into())
}

/// Writes a positive number without its leading zeros to the end of `out`.
fn right_aligned(number: &[u8], out: &mut [u8]) -> Option<()> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = &number[zeros..];
    let start = out.len().checked_sub(digits.len())?;
    out[start..].copy_from_slice(digits);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_two_numbers_of_32_octets_however_short_they_are() {
        let check = |r: &[u8], s: &[u8], expected: Option<(u8, u8)>| {
            let integer = |n: &[u8]| [&[2, u8::try_from(n.len()).expect("short")], n].concat();
            let numbers = [integer(r), integer(s)].concat();
            let der = [&[0x30, u8::try_from(numbers.len()).expect("short")], &*numbers].concat();
            let fixed = fixed_signature(&der);
            assert_eq!(fixed.map(|fixed| (fixed[31], fixed[63])), expected, "{r:?} {s:?}");
            for cut in 0..der.len() {
                assert_eq!(fixed_signature(&der[..cut]), None, "{cut} bytes");
            }
            assert_eq!(fixed_signature(&[&*der, &[0]].concat()), None);
        };
        check(&[1], &[2], Some((1, 2)));
        check(&[0, 0xff], &[0x7f, 0x01], Some((0xff, 1)));
        check(&[&[0], &[0xee; 32][..]].concat(), &[0x11; 32], Some((0xee, 0x11)));
        check(&[0x11; 33], &[1], None);
    }
}
