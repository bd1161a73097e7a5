//! The endpoint of files at a path.

use super::transfer::Transfer;
use crate::Context;
use crate::http::{Exchange, Handler, HttpDate, Request, normalize_path};
use crate::route::endpoint::Endpoint;
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Files at a path.
pub(crate) struct Mount {
    /// Invariant: without a `/` at either end.
    prefix: Box<str>,
    mounted: Rc<Mounted>,
}

/// What all exchanges of a mount have in common, on one thread.
pub(crate) struct Mounted {
    pub(super) files: lws_files::Files,
    pub(super) disk_timeout: Duration,
    /// Whether a timer is set that closes files which were not used for a while.
    sweeping: Cell<bool>,
}

/// What no file is called: for paths that lead to none, which are answered as those are whose file is not there.
const NOWHERE: &str = "\0";

/// How often that is done, as long as anything is kept.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

impl Mounted {
    pub(super) fn new(files: lws_files::Files, disk_timeout: Duration) -> Self {
        Self { files, disk_timeout, sweeping: Cell::new(false) }
    }

    /// Closes what is open in case it is asked for again.
    pub(crate) fn close_kept(&self) {
        self.files.clear();
    }

    /// Sets the timer, unless it is. A mount that keeps nothing has none, so that an idle server sleeps.
    fn keep_swept(self: &Rc<Self>, cx: &mut Context<'_>) {
        if !self.sweeping.replace(true) {
            cx.state.keeping.push(Rc::clone(self));
            self.sweep_later(cx);
        }
    }

    fn sweep_later(self: &Rc<Self>, cx: &mut Context<'_>) {
        let mounted = Rc::clone(self);
        cx.after(SWEEP_PERIOD, move |cx| mounted.sweep(cx));
    }

    fn sweep(self: &Rc<Self>, cx: &mut Context<'_>) {
        if self.files.sweep(cx.now()) {
            self.sweep_later(cx);
        } else {
            self.sweeping.set(false);
            cx.state.keeping.retain(|keeping| !Rc::ptr_eq(keeping, self));
        }
    }
}

impl Mount {
    pub(super) fn new(path: &str, mounted: Mounted) -> Self {
        Self { prefix: path.trim_matches('/').into(), mounted: Rc::new(mounted) }
    }

    /// What the path of the request leads through below the mount.
    fn names_below<'r>(&self, request: &Request<'r>) -> Option<Cow<'r, str>> {
        let path = request.path();
        // A path in normal form leads through names that are written in it, unless one of them has an escape.
        if path.bytes().all(|byte| byte != b'%') {
            return self.below(path.strip_prefix('/').unwrap_or(path)).map(Cow::Borrowed);
        }
        let names = normalize_path(path)?;
        self.below(&names).map(|below| Cow::Owned(below.into()))
    }

    /// What follows the prefix in names joined by `/`.
    fn below<'n>(&self, names: &'n str) -> Option<&'n str> {
        if self.prefix.is_empty() {
            return Some(names);
        }
        match names.strip_prefix(&*self.prefix)? {
            // The mount itself, without its slash.
            "" => Some("."),
            below => below.strip_prefix('/'),
        }
    }
}

impl Endpoint for Mount {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        _: bool,
    ) -> Option<Box<dyn Handler>> {
        let names = self.names_below(request);
        let names = names.as_deref().unwrap_or(NOWHERE);
        let wanted = wanted(request, names, date(cx));
        self.mounted.keep_swept(cx);
        Transfer::begin(cx, &self.mounted, wanted, exchange)
    }
}

/// What is asked for.
fn wanted(request: &Request<'_>, names: &str, now: HttpDate) -> lws_files::Request {
    match request.head() {
        Some(head) => {
            let (path, query) = head.path_and_query();
            lws_files::Request::of_octets(head.method(), names, path, query, head.field_octets(), now)
        }
        None => {
            let (path, query) = (request.raw_path(), request.query());
            lws_files::Request::new(request.method(), names, path, query, request.fields(), now)
        }
    }
}

/// The date of the server.
pub(super) fn date(cx: &Context<'_>) -> HttpDate {
    HttpDate::from_unix(cx.unix_seconds().into())
}
