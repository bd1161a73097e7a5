//! What a server shows: whose certificate it is, and how long it is good.

use crate::der;
use std::time::{Duration, SystemTime};

/// The certificate of a host, as it is shown now.
#[doc(alias = "lws_tls_vhost_cert_info")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// The host: `example.com`, `*.example.com`; `None` is the default one.
    pub host: Option<Box<str>>,
    /// Its subject as RFC 4514 writes it; empty where it could not be read.
    pub subject: Box<str>,
    /// The first second in which it is good. RFC 5280 §4.1.2.5.
    pub not_before: SystemTime,
    /// The last one.
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
