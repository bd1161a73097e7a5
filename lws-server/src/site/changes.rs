//! Changes of several sites that happen together.

use crate::id::SiteId;
use crate::site::Site;
use std::fmt;

/// Describes a site, on each thread of the server.
pub(crate) type Describe = Box<dyn Fn() -> Site + Send + Sync>;

/// Sites that come, take the place of others and go, all at once: see [`Handle::change_sites`](crate::Handle::change_sites).
#[derive(Default)]
#[must_use = "nothing happens before `Handle::change_sites`"]
pub struct SiteChanges {
    pub(crate) steps: Vec<SiteChange>,
    pub(crate) before: Option<Box<dyn FnOnce() + Send>>,
    pub(crate) wanted: Option<Box<dyn FnOnce() -> bool + Send>>,
}

/// What becomes of one site.
pub(crate) enum SiteChange {
    Add(Describe),
    Replace(SiteId, Describe),
    Remove(SiteId),
}

impl SiteChanges {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a site. `describe` is called on each thread, as what a site calls belongs to one thread, and what it describes must be
    /// the same each time.
    pub fn add_site(mut self, describe: impl Fn() -> Site + Send + Sync + 'static) -> Self {
        self.steps.push(SiteChange::Add(Box::new(describe)));
        self
    }

    /// Has a site take the place of another, whose name it gets. Connections stay, and exchanges that run come to their end as they
    /// began. WebSockets of a path that both sites have stay, with their handlers, and get what is published there; those of a path
    /// that the new one has not get close code 1001. Limits and options hold for connections that are accepted from now on. A listener that both
    /// have stays as it is, with its socket and its TLS.
    pub fn replace_site(mut self, id: SiteId, describe: impl Fn() -> Site + Send + Sync + 'static) -> Self {
        self.steps.push(SiteChange::Replace(id, Box::new(describe)));
        self
    }

    /// Removes a site: see [`Context::remove_site`](crate::Context::remove_site). A listener that another site of these changes asks for stays open.
    pub fn remove_site(mut self, id: SiteId) -> Self {
        self.steps.push(SiteChange::Remove(id));
        self
    }

    /// Has `call` called when every thread is ready and nothing can fail any more, before the first request meets the new sites: to
    /// show new certificates, for example. It is called on the first thread, and is not to wait.
    pub fn before(mut self, call: impl FnOnce() + Send + 'static) -> Self {
        self.before = Some(Box::new(call));
        self
    }

    /// Has `call` asked, when every thread is ready, whether the changes are still wanted: who has waited too long for them may say no, and
    /// then nothing changes anywhere. It is called on the first thread, at most once, right before the first thing changes, and is not to wait.
    pub fn while_wanted(mut self, call: impl FnOnce() -> bool + Send + 'static) -> Self {
        self.wanted = Some(Box::new(call));
        self
    }

    /// Whether no site changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl fmt::Debug for SiteChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteChanges").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}
