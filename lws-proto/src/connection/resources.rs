//! What a connection has once, whatever it speaks and however many streams and tunnels are in it. It is an argument of whatever needs it.

use crate::Entropy;
use crate::budget::Account;
use alloc::boxed::Box;

/// Randomness, the count of what is held, and what a record is written to.
#[derive(Default)]
pub(crate) struct Resources {
    /// A client's; a server masks nothing.
    pub(crate) entropy: Option<Box<dyn Entropy>>,
    /// What is held for the peer.
    pub(crate) account: Account,
    #[cfg(feature = "record")]
    pub(crate) tape: Option<crate::record::Running>,
}
