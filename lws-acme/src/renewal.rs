//! When an authority wants a certificate to be renewed. RFC 9773 (ACME Renewal Information).
//!
//! Pure and without I/O, as everything here: a check says which request to send and takes the response.

use crate::failure::{Failure, FailureKind, Problem, text};
use crate::issuance::{Method, Request, Response, retry_after, unsigned};
use crate::jws::base64url;
use crate::schedule::part;
use crate::wire::{Directory, json};
use crate::{KeyError, RESPONSE_BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lws_proto::http::HttpDate;
use std::fmt;
use std::time::{Duration, SystemTime};

/// The shortest and the longest time until an authority is asked again, as RFC 9773 §4.3.2 suggests.
const RECHECK_MIN: Duration = Duration::from_secs(60);
const RECHECK_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The time until it is asked again where it does not say.
const RECHECK_DEFAULT: Duration = Duration::from_secs(6 * 60 * 60);

/// The octets of the object identifier of an AuthorityKeyIdentifier: 2.5.29.35. RFC 5280 §4.2.1.1.
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];

/// The tags of DER that stand in a certificate up to where it names its issuer's key. X.690 §8.
mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const OCTET_STRING: u8 = 0x04;
    pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(super) const SEQUENCE: u8 = 0x30;
    /// `[0]`, a primitive: the key identifier.
    pub(super) const KEY_IDENTIFIER: u8 = 0x80;
    /// `[0]`: the version of a certificate.
    pub(super) const VERSION: u8 = 0xa0;
    /// `[3]`: the extensions.
    pub(super) const EXTENSIONS: u8 = 0xa3;
}

/// The name by which an authority knows a certificate: the identifier of the key that signed it, and its serial number. RFC 9773 §4.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateId(Box<str>);

impl CertificateId {
    /// That of a certificate, as DER.
    ///
    /// # Errors
    /// It is no certificate, or does not name the key of its issuer.
    pub fn of_der(certificate: &[u8]) -> Result<Self, KeyError> {
        let id = key_and_serial(certificate).map(|(key, serial)| {
            let (key, serial) = (base64url(key), base64url(serial));
            Self(format!("{key}.{serial}").into())
        });
        id.ok_or_else(|| KeyError::new("the certificate does not name its issuer's key"))
    }

    /// That of the first certificate in PEM text, whatever stands around it.
    ///
    /// # Errors
    /// There is none, or as of [`of_der`](Self::of_der).
    pub fn of_pem(pem: &str) -> Result<Self, KeyError> {
        let begun = pem.split_once("-----BEGIN CERTIFICATE-----").map(|(_, rest)| rest);
        let inner = begun.and_then(|rest| rest.split_once("-----END CERTIFICATE-----"));
        let (inner, _) = inner.ok_or_else(|| KeyError::new("there is no certificate"))?;
        let base64: String = inner.split_ascii_whitespace().collect();
        Self::of_der(&STANDARD.decode(base64).map_err(KeyError::new)?)
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Octets of DER that have not been read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and content. X.690 §8.1.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // A certificate has less than 16 MiB.
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, if it has this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// The content of the next element with this tag, behind whatever others.
    fn find(&mut self, tag: u8) -> Option<&'a [u8]> {
        std::iter::from_fn(|| self.next()).find(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// The identifier of the issuer's key and the serial number, without their tags and lengths. RFC 5280 §4.1.
fn key_and_serial(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let signed = Der(certificate).expect(tag::SEQUENCE)?;
    let mut fields = Der(Der(signed).expect(tag::SEQUENCE)?);
    fields.expect(tag::VERSION)?;
    let serial = fields.expect(tag::INTEGER)?;
    let mut extensions = Der(Der(fields.find(tag::EXTENSIONS)?).expect(tag::SEQUENCE)?);
    loop {
        let mut extension = Der(extensions.expect(tag::SEQUENCE)?);
        if extension.expect(tag::OBJECT_IDENTIFIER)? == AUTHORITY_KEY_IDENTIFIER {
            let value = extension.find(tag::OCTET_STRING)?;
            let key = Der(Der(value).expect(tag::SEQUENCE)?).expect(tag::KEY_IDENTIFIER)?;
            return Some((key, serial));
        }
    }
}

/// What an authority says about the renewal of a certificate. RFC 9773 §4.2.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalInfo {
    /// The first moment of the window.
    pub start: SystemTime,
    /// Its last moment.
    pub end: SystemTime,
    /// A page about the reason, if there is one.
    pub explanation: Option<String>,
    /// How long until it is to be asked again: a minute to a day.
    pub recheck: Duration,
}

impl RenewalInfo {
    /// The moment at which to renew: one of the window, so that not all come at once. A `chance` of 0 is `start`, `u32::MAX` is `end`. It may
    /// be in the past: then the certificate is renewed at once.
    #[must_use]
    pub fn moment(&self, chance: u32) -> SystemTime {
        let window = self.end.duration_since(self.start).unwrap_or_default();
        self.start + part(window, chance)
    }

    fn parse(response: &Response<'_>, unix_seconds: i64) -> Result<Self, FailureKind> {
        let value = json(response.body)?;
        let window = &value["suggestedWindow"];
        let moment = |name: &str| {
            let text = window[name].as_str().and_then(moment);
            text.ok_or_else(|| FailureKind::Malformed(format!("\"{name}\" of a window is no time")))
        };
        let (start, end) = (moment("start")?, moment("end")?);
        if end <= start {
            return Err(FailureKind::Malformed("a window ends no later than it begins".into()));
        }
        let asked = response.retry_after.and_then(|text| retry_after(text, unix_seconds));
        let url = &value["explanationURL"];
        Ok(Self {
            start,
            end,
            explanation: url.is_string().then(|| text(url)),
            recheck: asked.unwrap_or(RECHECK_DEFAULT).clamp(RECHECK_MIN, RECHECK_MAX),
        })
    }
}

/// A `date-time` of RFC 3339 §5.6, to the second. `None` before the year 1970.
fn moment(text: &str) -> Option<SystemTime> {
    fn number<N: std::str::FromStr>(digits: Option<&str>) -> Option<N> {
        digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
    }
    let byte = |at: usize| text.as_bytes().get(at).copied();
    let is_form =
        [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')].iter().all(|(at, sign)| byte(*at) == Some(*sign))
            && matches!(byte(10), Some(b'T' | b't' | b' '));
    let day = [number(text.get(0..4))?, number(text.get(5..7))?, number(text.get(8..10))?];
    let time = [number(text.get(11..13))?, number(text.get(14..16))?, number(text.get(17..19))?];
    let at = HttpDate::from_utc(day, time).filter(|_| is_form)?;
    let rest = text.get(19..)?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            fraction.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        Some(_) => return None,
        None => rest,
    };
    let seconds = at.unix_seconds() - offset(zone)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// The seconds that a `time-offset` is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let number = |digits: &str, max: i64| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|number| is_number && *number <= max)
    };
    Some(sign * (number(hours, 23)? * 3_600 + number(minutes, 59)? * 60))
}

/// What a [`RenewalCheck`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalStep<'a> {
    /// A request is to be sent. Its outcome goes to [`RenewalCheck::received`] or [`RenewalCheck::unanswered`].
    Send(&'a Request),
    /// This is what the authority says; `None` if it says nothing about renewals.
    Done(Option<&'a RenewalInfo>),
    /// It has not answered, or not so that it can be understood.
    Failed(&'a Failure),
}

/// One question to an authority: when a certificate is to be renewed. RFC 9773 §4. Nothing of it is signed.
#[derive(Debug)]
pub struct RenewalCheck {
    certificate: CertificateId,
    stage: CheckStage,
    outcome: CheckOutcome,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CheckStage {
    Directory,
    RenewalInfo,
}

impl CheckStage {
    fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::RenewalInfo => "renewal information",
        }
    }
}

/// What is known so far.
#[derive(Debug)]
enum CheckOutcome {
    Asking(Request),
    Answered(Option<RenewalInfo>),
    Failed(Failure),
}

impl RenewalCheck {
    /// A question about a certificate to the authority with this directory: an `https` URL.
    #[must_use]
    pub fn new(directory: &str, certificate: CertificateId) -> Self {
        let outcome = CheckOutcome::Asking(unsigned(Method::Get, directory));
        Self { certificate, stage: CheckStage::Directory, outcome }
    }

    /// What is to be done now.
    #[must_use]
    pub fn step(&self) -> RenewalStep<'_> {
        match &self.outcome {
            CheckOutcome::Asking(request) => RenewalStep::Send(request),
            CheckOutcome::Answered(info) => RenewalStep::Done(info.as_ref()),
            CheckOutcome::Failed(failure) => RenewalStep::Failed(failure),
        }
    }

    /// Takes the response to the request of [`RenewalStep::Send`]; without one nothing happens. `unix_seconds` is the time, for dates in
    /// `Retry-After`.
    pub fn received(&mut self, unix_seconds: i64, response: &Response<'_>) {
        if !matches!(self.outcome, CheckOutcome::Asking(_)) {
            return;
        }
        let taken = self.take(unix_seconds, response);
        self.outcome = taken.unwrap_or_else(|kind| {
            let retry_after = response.retry_after.and_then(|text| retry_after(text, unix_seconds));
            CheckOutcome::Failed(Failure { during: self.stage.name(), kind, retry_after })
        });
    }

    /// The request of [`RenewalStep::Send`] got no response, for this reason. Without such a request nothing happens.
    pub fn unanswered(&mut self, why: impl fmt::Display) {
        if matches!(self.outcome, CheckOutcome::Asking(_)) {
            let kind = FailureKind::Unanswered(why.to_string());
            self.outcome =
                CheckOutcome::Failed(Failure { during: self.stage.name(), kind, retry_after: None });
        }
    }

    fn take(&mut self, unix_seconds: i64, response: &Response<'_>) -> Result<CheckOutcome, FailureKind> {
        if response.body.len() > RESPONSE_BYTES_MAX {
            return Err(FailureKind::Malformed(format!("more than {RESPONSE_BYTES_MAX} bytes")));
        }
        if !(200..300).contains(&response.status) {
            let problem = Problem::parse(response.body);
            return Err(FailureKind::Refused { status: response.status, problem });
        }
        if self.stage == CheckStage::RenewalInfo {
            return RenewalInfo::parse(response, unix_seconds).map(|info| CheckOutcome::Answered(Some(info)));
        }
        let Some(url) = Directory::parse(response.body)?.renewal_info else {
            return Ok(CheckOutcome::Answered(None));
        };
        self.stage = CheckStage::RenewalInfo;
        let url = format!("{}/{}", url.trim_end_matches('/'), self.certificate);
        Ok(CheckOutcome::Asking(unsigned(Method::Get, &url)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [&head[..], content].concat()
    }

    /// As much of a certificate as counts, with the key and the serial number of the example in RFC 9773 §4.1.
    fn example() -> Vec<u8> {
        let key = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c,
            0xde, 0x01, 0xc8, 0xd4,
        ];
        let identifier =
            element(tag::OCTET_STRING, &element(tag::SEQUENCE, &element(tag::KEY_IDENTIFIER, &key)));
        let named = |oid: &[u8], value: &[u8]| {
            element(tag::SEQUENCE, &[element(tag::OBJECT_IDENTIFIER, oid), value.to_vec()].concat())
        };
        let other =
            named(&[0x55, 0x1d, 0x13], &[element(1, &[0xff]), element(tag::OCTET_STRING, &[])].concat());
        let extensions =
            element(tag::SEQUENCE, &[other, named(AUTHORITY_KEY_IDENTIFIER, &identifier)].concat());
        let fields = [
            element(tag::VERSION, &element(tag::INTEGER, &[2])),
            element(tag::INTEGER, &[0x00, 0x87, 0x65, 0x43, 0x21]),
            element(tag::SEQUENCE, &[0; 100]),
            element(tag::EXTENSIONS, &extensions),
        ];
        element(
            tag::SEQUENCE,
            &[element(tag::SEQUENCE, &fields.concat()), element(tag::SEQUENCE, &[])].concat(),
        )
    }

    #[test]
    fn a_certificate_has_the_name_of_the_example() {
        let der = example();
        let expected = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";
        assert_eq!(CertificateId::of_der(&der).map(|id| id.to_string()), Ok(expected.into()));
        let pem = format!(
            "Directory: x\n-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n\
             -----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(&der)
        );
        assert_eq!(CertificateId::of_pem(&pem).map(|id| id.to_string()), Ok(expected.into()));
        for cut in 0..der.len() {
            assert!(CertificateId::of_der(&der[..cut]).is_err(), "{cut} bytes");
        }
        assert!(CertificateId::of_pem("").is_err());
        // One that signed itself names no other key.
        let own = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        assert!(CertificateId::of_der(own.cert.der()).is_err());
    }

    #[test]
    fn a_time_is_that_of_rfc_3339() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2025-01-02T04:00:00Z", 1_735_790_400),
            ("2024-02-29T23:59:60.123456z", 1_709_251_200),
            ("2025-01-02t05:30:00+01:30", 1_735_790_400),
            ("2025-01-01 20:00:00-08:00", 1_735_790_400),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            let since =
                moment(text).map(|at| at.duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs());
            assert_eq!(since, Some(seconds), "{text}");
            for cut in (0..text.len()).filter(|cut| !text[..*cut].ends_with(['Z', 'z'])) {
                assert_eq!(moment(&text[..cut]), None, "{}", &text[..cut]);
            }
        }
        for text in [
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-01-32T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-04-31T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:60:00Z",
            "2025-01-01T00:00:61Z",
            "2025-01-01T00:00:00",
            "2025-01-01T00:00:00.Z",
            "2025-01-01T00:00:00+1:00",
            "2025-01-01T00:00:00+24:00",
            "1969-12-31T23:59:59Z",
            "+025-01-01T00:00:00Z",
            "2025-01-01T00:00:00Zx",
            "2025/01/01T00:00:00Z",
            "\u{ff12}025-01-01T00:00:00Z",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn the_moment_is_in_the_window_and_by_chance() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let info = RenewalInfo { start: at(100), end: at(200), explanation: None, recheck: RECHECK_MIN };
        for (chance, seconds) in [(0, 100), (u32::MAX / 4, 124), (u32::MAX, 200)] {
            let moment = info.moment(chance).duration_since(SystemTime::UNIX_EPOCH).expect("later");
            assert_eq!(moment.as_secs(), seconds, "{chance}");
        }
    }
}
