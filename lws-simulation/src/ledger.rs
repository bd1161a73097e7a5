//! The ledger of exchanges: what the server's handler intended, and what the client received.
//!
//! Both sides are recorded independently and compared at the end of a run, which is an oracle of truth.

use lws_proto::{Cause, Time};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The accounts, by the numbers of exchanges.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: BTreeMap<u32, Account>,
    /// The number of live handlers of the server.
    pub(crate) handlers: u32,
    /// The number of live handlers that wait until their peer goes, because that is their purpose.
    pub(crate) waiting: u32,
    /// Violations that were found during the run.
    pub(crate) complaints: Vec<String>,
    /// The number of calls of handlers and clients.
    pub(crate) callbacks: u64,
}

/// One exchange, as both sides see it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// The number of octets that the handler intends to send.
    pub(crate) meant: Option<u64>,
    /// Whether the handler has handed over all of them.
    pub(crate) finished: bool,
    /// The cause of the exchange's end at the server.
    pub(crate) server: Option<Cause>,
    pub(crate) client: ClientSide,
}

/// The client's side of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientSide {
    pub(crate) begun: bool,
    /// The status code; zero before the head of a final response.
    pub(crate) status: u16,
    pub(crate) octets: u64,
    /// Whether the client received the end of the content.
    pub(crate) ended: bool,
    pub(crate) cause: Option<Cause>,
    /// Whether the client has paused it for good, so that it receives no end.
    pub(crate) stopped: bool,
    /// Whether the client itself gave it up, or its machine has vanished.
    pub(crate) left: bool,
    pub(crate) asked: Time,
    pub(crate) took: Duration,
}

/// The ledger, shared by all that write to it.
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

/// The octet at a position of content. A wrong octet shows that something was lost, doubled or mixed up.
pub(crate) fn octet(at: u64) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8
}

/// A piece of that content.
pub(crate) fn content(at: u64, len: usize) -> Vec<u8> {
    (at..at + len as u64).map(octet).collect()
}
