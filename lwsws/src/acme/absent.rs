//! In place of orders of certificates, where the program was built without them.

use crate::log::Log;
use lws_config::{Acme, Config};
use lws_server::Site;
use lws_server::tls::{Identity, Validations};
use std::io;

/// No orders.
pub(crate) struct Orders;

impl Orders {
    /// No orders of a configuration.
    ///
    /// # Errors
    /// It has some.
    pub(crate) fn after(_: Option<&Self>, config: &Config) -> io::Result<Self> {
        Self::check(config).map(|()| Self)
    }

    /// Whether the orders of a configuration can be placed.
    ///
    /// # Errors
    /// It has some.
    pub(crate) fn check(config: &Config) -> io::Result<()> {
        match config.vhosts.iter().find(|vhost| vhost.acme.is_some()) {
            None => Ok(()),
            Some(vhost) => {
                let why = "this program was built without \"acme\": cargo build --features acme";
                Err(io::Error::other(format!("{}: {why}", vhost.location)))
            }
        }
    }

    pub(crate) fn identity(&self, _: &Acme) -> Option<Identity> {
        None
    }

    pub(crate) fn validations(&self) -> Validations {
        Validations::default()
    }

    pub(crate) fn answers_requests(&self) -> bool {
        false
    }

    pub(crate) fn add_route(&self, _: &mut Site) {}

    pub(crate) fn keep(&self, _: Option<&Log>) {}
}
