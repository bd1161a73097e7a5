//! What gateways have in common, whatever is behind them: where they stand, and what holds for each of their scripts.

use crate::failure::Notice;
use crate::limits::{Limits, WithoutLength};
use crate::meta::Settings;
use crate::relay::Terms;
use crate::report::{self, Log, Reporter};
use lws_server::{Endpoint, Methods, Route, Takes};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

/// Scripts that answer requests: an endpoint. [`Cgi`](crate::Cgi) and [`FastCgi`](crate::FastCgi) are its two kinds.
#[derive(Clone)]
#[must_use = "it is an endpoint of a route"]
pub struct Gateway<S> {
    pub(crate) scripts: S,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) without_length: WithoutLength,
    log: Log,
    /// The path that it stands at, without a slash at its end.
    pub(crate) mount: String,
    /// Requests that are with scripts.
    pub(crate) running: Rc<Cell<usize>>,
}

impl<S> Gateway<S> {
    pub(crate) fn to(scripts: S) -> Self {
        Self {
            scripts,
            settings: Settings::default(),
            limits: Limits::default(),
            without_length: WithoutLength::default(),
            log: report::to_standard_error(),
            mount: String::new(),
            running: Rc::default(),
        }
    }

    /// Sets a variable of every script, in place of whatever the request would make of it. A program that is started has a usual `PATH`
    /// unless one is set.
    #[doc(alias = "cgi-env")]
    pub fn variable(mut self, name: impl Into<String>, value: impl AsRef<OsStr>) -> Self {
        self.settings.given.push((name.into(), value.as_ref().as_bytes().to_vec()));
        self
    }

    /// Hands `Authorization` on, to a script that checks passwords by itself. RFC 3875 §9.2.
    pub fn authorization(mut self) -> Self {
        self.settings.authorization = true;
        self
    }

    /// Says that a guard of the route has checked Basic credentials
    /// ([`Route::authentication`]): their user is `REMOTE_USER`. RFC 3875 §4.1.11.
    pub fn authenticated(mut self) -> Self {
        self.settings.authenticated = true;
        self
    }

    /// Sets what a script may take.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What is done with content whose length is not known. PHP takes it for none, so that [`WithoutLength::Stream`] is not for it.
    pub fn without_length(mut self, rule: WithoutLength) -> Self {
        self.without_length = rule;
        self
    }

    /// Logs what scripts have to say, with the path of each. By default it goes to the standard error of this process.
    pub fn log(mut self, log: impl Fn(&Path, &Notice<'_>) + 'static) -> Self {
        self.log = Rc::new(log);
        self
    }

    /// The route of all paths that begin with `path`, for every method.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Route
    where
        Self: Endpoint,
    {
        let path = path.into();
        path.trim_end_matches('/').clone_into(&mut self.mount);
        Route::new(Takes::Requests(Methods::Any), path, self)
    }

    /// What holds for an exchange with the script that is called so in the log.
    pub(crate) fn terms(&self, script: Rc<Path>) -> Terms {
        Terms {
            limits: self.limits.clone(),
            without_length: self.without_length,
            reporter: Reporter::new(Rc::clone(&self.log), script),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Gateway<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scripts, mount, limits, .. } = self;
        let mut debug = f.debug_struct("Gateway");
        debug.field("scripts", scripts).field("mount", mount).field("limits", limits).finish_non_exhaustive()
    }
}
