//! A certificate that a server presents: its subject and its validity.

use crate::der;
use std::time::{Duration, SystemTime};

/// The certificate of a host, as it is presented now.
#[doc(alias = "lws_tls_vhost_cert_info")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// The name of the host: `example.com`, `*.example.com`; `None` is the default host.
    pub host: Option<Box<str>>,
    /// The subject in the form of RFC 4514; empty if it could not be read.
    pub subject: Box<str>,
    /// The first second of its validity. RFC 5280 §4.1.2.5.
    pub not_before: SystemTime,
    /// The last second of its validity.
    pub not_after: SystemTime,
}

impl Certificate {
    pub(crate) fn of(host: Option<&str>, certificate: &[u8]) -> Option<Self> {
        let (first, last) = der::validity(certificate)?;
        let subject = der::subject(certificate).unwrap_or_default();
        let (not_before, not_after) = (time(first)?, time(last)?);
        Some(Self { host: host.map(Into::into), subject, not_before, not_after })
    }
}

fn time(unix_seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(unix_seconds.unsigned_abs());
    match unix_seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(distance),
        false => SystemTime::UNIX_EPOCH.checked_add(distance),
    }
}
