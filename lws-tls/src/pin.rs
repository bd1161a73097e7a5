//! Certificates of servers that are trusted by themselves, without a root.

/// A certificate of a server that is accepted whatever its names and times are, and whoever has issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The certificate with this DER.
    Certificate(Vec<u8>),
    /// The certificate whose DER has this SHA-256 hash.
    Sha256([u8; 32]),
}
