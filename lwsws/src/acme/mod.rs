//! Certificates that are ordered of authorities: what of a configuration is ordered, what is presented until it is there, and what
//! answers when authorities validate domains.
//!
//! Orders are placed and certificates renewed on a thread of their own (`keeper.rs`), with a client and a loop of its own: a start waits
//! for no authority, and no loop that serves waits for a disk. Everything here outlives the configuration that it was made for: a new
//! one takes over what it names, too.

mod authority;
mod keeper;
mod store;

use crate::certificate;
use crate::log::Log;
use lws_config::{Acme, AcmeChallenge, Config};
use lws_server::http::{Request, Response, Status};
use lws_server::tls::{CertificateSlot, Identity, Validations};
use lws_server::{Route, Site};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

/// Where authorities ask for what proves that a domain is ours. RFC 8555 §8.3.
const CHALLENGES: &str = "/.well-known/acme-challenge";

/// The orders of one configuration.
pub(crate) struct Orders {
    book: Arc<OrderBook>,
    orders: Vec<Order>,
}

/// A certificate that is ordered, and renewed.
#[derive(Clone)]
struct Order {
    acme: Acme,
    /// What is presented: the certificate, or one that was made here as long as there is none.
    slot: CertificateSlot,
    /// Whether what is presented is not what is ordered.
    is_missing: bool,
}

/// What the orders of all configurations of this process share.
#[derive(Default)]
struct OrderBook {
    tokens: Tokens,
    validations: Validations,
    wanted: Mutex<WantedOrders>,
    /// Other certificates are wanted.
    changed: Condvar,
}

/// What the keeper has to see to.
#[derive(Default)]
struct WantedOrders {
    orders: Vec<Order>,
    /// How often that has changed.
    changes: u64,
    /// Whether the keeper's thread runs.
    is_kept: bool,
}

/// Key authorizations by their tokens: what requests of http-01 are answered with. RFC 8555 §8.3.
#[derive(Clone, Default)]
struct Tokens(Arc<RwLock<HashMap<String, String>>>);

impl Orders {
    /// The orders of a configuration that takes the place of another one. What is kept of them is read, and what is missing is replaced
    /// by a certificate that is made here.
    ///
    /// # Errors
    /// The system has no random numbers for a key.
    pub(crate) fn after(before: Option<&Self>, config: &Config) -> io::Result<Self> {
        let book = before.map(|before| Arc::clone(&before.book)).unwrap_or_default();
        let mut orders: Vec<Order> = Vec::new();
        for acme in config.vhosts.iter().filter_map(|vhost| vhost.acme.as_ref()) {
            // Hosts of one file are equal in everything else: it was said when the configuration was read.
            if !orders.iter().any(|order| order.acme == *acme) {
                let known = before.and_then(|before| before.of_file(&acme.certificate_file()));
                orders.push(Order::new(acme, known)?);
            }
        }
        Ok(Self { book, orders })
    }

    /// Whether the orders of a configuration can be placed, which this program was built for.
    #[expect(clippy::unnecessary_wraps, reason = "a program that was built without says no")]
    pub(crate) fn check(_: &Config) -> io::Result<()> {
        Ok(())
    }

    fn of_file(&self, file: &PathBuf) -> Option<&Order> {
        self.orders.iter().find(|order| order.acme.certificate_file() == *file)
    }

    /// The certificate that a host presents which orders it so.
    pub(crate) fn identity(&self, acme: &Acme) -> Option<Identity> {
        self.of_file(&acme.certificate_file()).map(|order| Identity::slot(&order.slot))
    }

    /// What TLS answers authorities with that validate domains.
    pub(crate) fn validations(&self) -> Validations {
        self.book.validations.clone()
    }

    /// Whether some domain is validated by http-01.
    pub(crate) fn answers_requests(&self) -> bool {
        self.orders.iter().any(|order| order.acme.challenge == AcmeChallenge::Http01)
    }

    /// Adds what answers requests of authorities, if some domain is validated so. It comes before all mounts, and asks for no password.
    pub(crate) fn add_route(&self, site: &mut Site) {
        if self.answers_requests() {
            let tokens = self.book.tokens.clone();
            site.routes
                .push(Route::get(CHALLENGES, move |request: &Request<'_>| tokens.answer(request.path())));
        }
    }

    /// Has certificates ordered and renewed from now on: these, and no others.
    pub(crate) fn keep(&self, log: Option<&Log>) {
        let mut wanted = self.book.wanted();
        wanted.orders.clone_from(&self.orders);
        wanted.changes += 1;
        self.book.changed.notify_all();
        if wanted.is_kept || self.orders.is_empty() {
            return;
        }
        let (book, log) = (Arc::clone(&self.book), log.cloned());
        let started = thread::Builder::new().name("acme".into()).spawn(move || keeper::keep(&book, log));
        match started {
            Ok(_) => wanted.is_kept = true,
            Err(error) => eprintln!("lwsws: no certificate can be ordered: no thread: {error}"),
        }
    }
}

impl Order {
    fn new(acme: &Acme, known: Option<&Self>) -> io::Result<Self> {
        let file = acme.certificate_file();
        let (kept, is_missing) = match store::load(acme) {
            Ok(Some(kept)) => (Some(kept.slot), !kept.is_as_ordered),
            Ok(None) => (None, true),
            Err(error) => {
                eprintln!("lwsws: the certificate in {} cannot be used: {error}", file.display());
                (None, true)
            }
        };
        // Hosts that go on present what they have.
        let slot = match known.map(|known| known.slot.clone()).or(kept) {
            Some(slot) => slot,
            None => {
                let temporary = certificate::temporary(&acme.domains)?;
                CertificateSlot::new(&temporary).map_err(io::Error::other)?
            }
        };
        Ok(Self { acme: acme.clone(), slot, is_missing })
    }
}

impl OrderBook {
    fn wanted(&self) -> MutexGuard<'_, WantedOrders> {
        // It is replaced as a whole.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The orders, and how often they have changed.
    fn orders(&self) -> (Vec<Order>, u64) {
        let wanted = self.wanted();
        (wanted.orders.clone(), wanted.changes)
    }

    /// Returns when the orders have changed more often, or when the time is over.
    fn wait(&self, changes: u64, timeout: Duration) {
        let is_same = |wanted: &mut WantedOrders| wanted.changes == changes;
        // Why it returns is looked at anew.
        let _ = self.changed.wait_timeout_while(self.wanted(), timeout, is_same);
    }
}

impl Tokens {
    fn insert(&self, token: &str, key_authorization: &str) {
        let mut tokens = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(token.to_owned(), key_authorization.to_owned());
    }

    fn remove(&self, token: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(token);
    }

    fn answer(&self, path: &str) -> Response {
        let token = path.strip_prefix(CHALLENGES).and_then(|rest| rest.strip_prefix('/'));
        let tokens = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match token.and_then(|token| tokens.get(token)) {
            Some(key_authorization) => Response::ok("application/octet-stream", key_authorization.clone()),
            None => Response::error(Status::NOT_FOUND),
        }
    }
}
