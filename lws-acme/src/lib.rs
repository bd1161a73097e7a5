//! Certificates by ACME (RFC 8555), without I/O: an [`Issuance`] says which request to send and takes the response, until it has
//! a certificate or a [`Failure`].
//!
//! Knows no socket, no clock, no file and no thread. Keys, the time and random numbers are arguments; requests are sent, answers
//! to challenges are published and files are kept by the caller. The challenges are http-01 (RFC 8555 §8.3) and tls-alpn-01
//! (RFC 8737); names are DNS names without wildcards, as those need a challenge in the DNS.
//!
//! ```
//! use lws_acme::{AccountKey, CertificateKey, ChallengeKind, Issuance, OrderRequest, Step};
//!
//! let account = AccountKey::generate()?;
//! let key = CertificateKey::generate()?;
//! let order = OrderRequest {
//!     directory: "https://ca.example/directory".into(),
//!     contacts: vec!["mailto:admin@example.org".into()],
//!     terms_agreed: true,
//!     domains: vec!["example.org".into()],
//!     challenge: ChallengeKind::Http01,
//!     external_account: None,
//!     replaces: None,
//! };
//! let request = key.request(&order.domains)?;
//! let mut issuance = Issuance::new(order, account, request);
//! match issuance.step() {
//!     Step::Send(request) => assert_eq!(request.url, "https://ca.example/directory"),
//!     step => panic!("{step:?}"),
//! }
//! // Whatever happens to the request goes back in: `received`, or
//! issuance.unanswered("no route to host");
//! assert!(matches!(issuance.step(), Step::Failed(failure) if failure.to_string().contains("no route")));
//! # Ok::<(), lws_acme::KeyError>(())
//! ```
//!
//! [`renewal()`] says when a certificate is renewed, unless a [`RenewalCheck`] learns that of the authority (RFC 9773), and [`Backoff`] how
//! long to wait after a failure.
#![forbid(unsafe_code)]

mod failure;
mod issuance;
mod jws;
mod key;
mod renewal;
mod schedule;
mod wire;

pub use failure::{Failure, FailureKind, Problem, Subproblem};
pub use issuance::{Issuance, Method, OrderRequest, Request, Response, Step};
pub use key::{AccountKey, CertificateKey, ExternalAccount, KeyError};
pub use renewal::{CertificateId, RenewalCheck, RenewalInfo, RenewalStep};
pub use schedule::{Backoff, latest_renewal, renewal};
pub use wire::{ChallengeKind, Validation};

/// The longest response in bytes that [`Issuance::received`] and [`RenewalCheck::received`] take; a longer one is
/// [`FailureKind::Malformed`]. A chain of certificates has a few KiB.
pub const RESPONSE_BYTES_MAX: usize = 128 << 10;
/// The most domains of one certificate, as authorities commonly allow.
pub const DOMAINS_MAX: usize = 100;

/// Whether this is a DNS name that a certificate can be ordered for: letters, digits and hyphens in labels of 63 characters at
/// most, at least two of them, 253 in all. A wildcard is none. It is safe as the name of a file.
#[must_use]
pub fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // The last label of an IPv4 address is a number; that of no domain is.
    let is_address =
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && name.contains('.') && !is_address && name.split('.').all(is_label)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
