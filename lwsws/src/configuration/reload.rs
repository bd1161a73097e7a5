//! A configuration that is read again while it is served: what is equal goes on undisturbed, what has changed changes all at once, and
//! what cannot be served leaves everything as it was.
//!
//! Files and keys are read on the calling thread, which is not that of a loop. There, each site is made in a turn of its own.

use super::sites::{self, Prepared};
use super::{count, read, say};
use lws_config::{Change, Fate, Options, Plan};
use lws_server::tls::{self, Update};
use lws_server::{Handle, Limits, SiteChanges, SiteId};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long the threads of the server may take to change. Each has a turn for each site.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// What is served of a configuration, and how it is read again.
pub(crate) struct Reloader {
    folder: PathBuf,
    options: Options,
    limits: Limits,
    handle: Handle,
    served: Arc<Prepared>,
    /// The sites of its hosts.
    sites: Vec<SiteId>,
}

impl Reloader {
    pub(super) fn new(
        folder: PathBuf,
        options: Options,
        limits: Limits,
        handle: Handle,
        served: Arc<Prepared>,
        sites: Vec<SiteId>,
    ) -> Self {
        Self { folder, options, limits, handle, served, sites }
    }

    /// Reads the configuration and serves it. Answers what was done, a line for each thing.
    ///
    /// # Errors
    /// It cannot be served: what is served is as it was.
    pub(crate) fn reload(&mut self) -> io::Result<Vec<String>> {
        let config = read(&self.folder, &self.options)
            .ok_or_else(|| io::Error::other("the configuration has errors"))?;
        sites::remarks(&config).iter().for_each(|remark| say(&format!("{remark}\n")));
        let plan = Plan::between(self.served.config(), &config);
        let (served, updates) = Prepared::after(Some(&self.served), config)?;
        let served = Arc::new(served);
        let steps = self.steps(&plan, &served);
        let changes = self.changes(&steps, &served, updates);
        let added = self.change(changes)?;
        self.sites = sites_of(&steps, &self.sites, added);
        self.served = served;
        Ok(plan.to_string().lines().map(str::to_owned).collect())
    }

    /// What becomes of each host of the new configuration.
    fn steps(&self, plan: &Plan, served: &Prepared) -> Vec<Fate> {
        // A global value may show in every site.
        let all = plan.changes.iter().any(|change| matches!(change, Change::Global { .. }));
        let is_changed =
            |index: usize, old: usize| all || served.is_first(index) != self.served.is_first(old);
        let fates = Plan::fates(self.served.config(), served.config()).into_iter().enumerate();
        fates
            .map(|(index, fate)| match fate {
                Fate::Same(old) if is_changed(index, old) => Fate::Changed(old),
                fate => fate,
            })
            .collect()
    }

    fn changes(&self, steps: &[Fate], served: &Arc<Prepared>, updates: Vec<Update>) -> SiteChanges {
        let mut changes = SiteChanges::new();
        let stays = |index| {
            steps.iter().any(|fate| matches!(fate, Fate::Same(old) | Fate::Changed(old) if *old == index))
        };
        for (index, site) in self.sites.iter().enumerate() {
            if !stays(index) {
                changes = changes.remove_site(*site);
            }
        }
        for (index, fate) in steps.iter().enumerate() {
            let (served, limits) = (Arc::clone(served), self.limits.clone());
            let describe = move || served.site(index, &limits);
            changes = match fate {
                Fate::Same(_) => changes,
                Fate::Changed(old) => changes.replace_site(self.sites[*old], describe),
                Fate::New => changes.add_site(describe),
            };
        }
        changes.before(move || updates.into_iter().for_each(Update::apply))
    }

    /// Has the threads of the server change, and waits for them.
    fn change(&self, changes: SiteChanges) -> io::Result<Vec<SiteId>> {
        let (done, wait) = channel();
        let asked = self.handle.change_sites(changes, move |_, result| {
            let _ = done.send(result);
        });
        let ending = || io::Error::other("the server is ending");
        if !asked {
            return Err(ending());
        }
        wait.recv_timeout(CHANGE_TIMEOUT).unwrap_or_else(|_| Err(ending()))
    }

    /// TLS of all listeners.
    pub(crate) fn tls(&self) -> impl Iterator<Item = &tls::Server> {
        self.served.tls()
    }

    /// Hosts that are served now, for a person.
    pub(crate) fn hosts(&self) -> String {
        count(self.served.config().vhosts.len(), "virtual host")
    }
}

/// The sites of the hosts after these steps.
fn sites_of(steps: &[Fate], before: &[SiteId], added: Vec<SiteId>) -> Vec<SiteId> {
    let mut added = added.into_iter();
    let site = |fate: &Fate| match fate {
        Fate::Same(old) | Fate::Changed(old) => before.get(*old).copied(),
        Fate::New => added.next(),
    };
    steps.iter().filter_map(site).collect()
}
