//! Resources that a connection has once, whatever its protocol and its number of streams. Functions that need them take
//! them as an argument.

use crate::Entropy;
use crate::budget::Account;
use alloc::boxed::Box;

/// Entropy, the account of held memory, and the tape of a record.
#[derive(Default)]
pub(crate) struct Resources {
    /// The entropy of a client. `None` for a server, which masks nothing.
    pub(crate) entropy: Option<Box<dyn Entropy>>,
    /// The account of memory that is held for the peer.
    pub(crate) account: Account,
    #[cfg(feature = "record")]
    pub(crate) tape: Option<crate::record::Running>,
}
