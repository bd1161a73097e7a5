//! Ready hosts: a service in loops that somebody else has written.

#[cfg(feature = "mio")]
mod mio;

#[cfg(feature = "mio")]
pub use self::mio::OnMio;
