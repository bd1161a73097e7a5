//! What the server's handler meant each exchange to be, and what its client got of it.
//!
//! The two are written down apart, and compared at the end of a run: an oracle of truth.

use lws_proto::{Cause, Time};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// What was written down, by the numbers of exchanges.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: BTreeMap<u32, Account>,
    /// Handlers of the server that are there.
    pub(crate) handlers: u32,
    /// Of these the ones that wait, by what they are for, until their peer goes: nothing else ends them.
    pub(crate) waiting: u32,
    /// What is wrong and was seen at once.
    pub(crate) complaints: Vec<String>,
    /// Calls of handlers and of clients.
    pub(crate) callbacks: u64,
}

/// One exchange, as both sides have it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// Octets that the handler would have sent in all.
    pub(crate) meant: Option<u64>,
    /// The handler has handed over all that it meant to.
    pub(crate) finished: bool,
    /// Why the exchange ended at the server.
    pub(crate) server: Option<Cause>,
    pub(crate) client: ClientSide,
}

/// What the client got.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientSide {
    pub(crate) begun: bool,
    /// Zero before the head of a final response.
    pub(crate) status: u16,
    pub(crate) octets: u64,
    /// The client got the end of the content.
    pub(crate) ended: bool,
    pub(crate) cause: Option<Cause>,
    /// The client has paused it for good, so that it gets no end.
    pub(crate) stopped: bool,
    /// The client itself gave it up, or its machine is gone.
    pub(crate) left: bool,
    pub(crate) asked: Time,
    pub(crate) took: Duration,
}

/// The ledger, as all who write it hold it.
pub(crate) type Shared = Rc<RefCell<Ledger>>;

impl Ledger {
    pub(crate) fn account(&mut self, number: u32) -> &mut Account {
        self.accounts.entry(number).or_default()
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = (u32, &Account)> {
        self.accounts.iter().map(|(number, account)| (*number, account))
    }

    pub(crate) fn complain(&mut self, text: String) {
        self.complaints.push(text);
    }
}

/// The octet at a place of content: a wrong one shows that something was left out, doubled or mixed up.
pub(crate) fn octet(at: u64) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8
}

/// A piece of that content.
pub(crate) fn content(at: u64, len: usize) -> Vec<u8> {
    (at..at + len as u64).map(octet).collect()
}
