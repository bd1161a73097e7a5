//! Pinned certificates: certificates of servers that are trusted without an issuer.

/// A pinned certificate of a server. It is accepted whatever its issuer, names and validity are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The certificate with this DER.
    Certificate(Vec<u8>),
    /// The certificate whose DER has this SHA-256 hash.
    Sha256([u8; 32]),
}
