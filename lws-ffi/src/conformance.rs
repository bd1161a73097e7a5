//! Services that are no servers behind the functions of C: so the kit `lws-loop-conformance` drives the loops of C as it drives those of
//! Rust. For tests, behind the feature `conformance`.

use crate::error::Error;
use crate::service::host::{Host, release};
use crate::service::hosted::Hosted;
use crate::service::{Service, lwx_service_free};
use crate::sys::{Counted, Ref};
use lws_loop_external::{self as external, Service as _};
use std::any::Any;
use std::fmt;

/// A service that comes back as what it was.
pub(crate) trait Stranger: external::Service {
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<S: external::Service + 'static> Stranger for S {
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// A `lwx_service` around a service of a test, as it is after `lwx_service_start`: behind one descriptor. What hosts a service can be called
/// with it; what is about streams answers `LWX_E_STATE`.
pub struct Guest(Counted<Service>);

impl Guest {
    /// Puts a service behind the functions of C.
    ///
    /// # Errors
    /// [`Error::System`]: no descriptor is left.
    pub fn new<S: external::Service + 'static>(service: S) -> Result<Self, Error> {
        let host = Host::one(Hosted::Stranger(Box::new(service)))?;
        let guest = Service::new(None);
        guest.put_host(host);
        Ok(Self(Counted::new(guest)))
    }

    /// The handle as functions take it.
    #[must_use]
    pub fn lend(&self) -> Ref<'_, Service> {
        self.0.lend()
    }

    /// Whether the service is done, for programs on libuv: their loop ends by itself when nothing is left to wait for, and C does not ask.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let done =
            self.lend().counted().map(|guest| guest.with_host(|host| host.with(|service| service.is_done())));
        done == Some(Ok(true))
    }

    /// Takes the service from its host, frees the handle, and gives the service back.
    ///
    /// # Errors
    /// [`Error::State`] if the service is in a loop of libuv, which lets go of it in its own time; [`Error::Argument`] if it is no `S`.
    pub fn take<S: 'static>(self) -> Result<S, Error> {
        let hosted = {
            let service = self.lend().counted().ok_or(Error::Null)?;
            release(service.take_host()?, &service)
        };
        lwx_service_free(self.0);
        match hosted? {
            Hosted::Stranger(service) => {
                service.into_any().downcast().map(|service| *service).map_err(|_| Error::Argument)
            }
            Hosted::Server(_) => Err(Error::State),
        }
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guest").field(&self.0).finish()
    }
}
