//! A configuration that is read again while it is served: what is equal goes on undisturbed, what has changed changes all at once, and
//! what cannot be served leaves everything as it was.
//!
//! Files and keys are read on a thread of their own, which is not that of a loop, and which nothing waits for longer than a reload may take:
//! a disk may hang. On the loops each site is made in a turn of its own.

use super::sites::Prepared;
use super::{count, read, remarks, say};
use crate::log::Log;
use lws_config::{Change, Config, Fate, Options, Plan};
use lws_server::tls::{self, Update};
use lws_server::{Handle, Limits, SiteChanges, SiteId};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Where a configuration is read.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) folder: PathBuf,
    pub(super) options: Options,
}

/// What is served of a configuration, and how it is read again.
pub(crate) struct Reloader {
    source: Source,
    limits: Limits,
    handle: Handle,
    served: Arc<Prepared>,
    current: Current,
    /// The sites of its hosts.
    sites: Vec<SiteId>,
    /// How long each of both steps may take: files that are read, and threads that change.
    timeout: Duration,
    /// Reads files. It is left alone when that takes too long, and no other begins before it has ended.
    reading: Option<JoinHandle<()>>,
}

/// The configuration that is served now, for what ends it with the process.
#[derive(Clone)]
pub(super) struct Current(Arc<Mutex<Arc<Prepared>>>);

impl Current {
    pub(super) fn new(served: Arc<Prepared>) -> Self {
        Self(Arc::new(Mutex::new(served)))
    }

    pub(super) fn get(&self) -> Arc<Prepared> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, served: Arc<Prepared>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = served;
    }
}

/// A configuration that was read, with everything opened that it needs.
struct Acquired {
    served: Arc<Prepared>,
    plan: Plan,
    updates: Vec<Update>,
}

/// Whether changes that were asked for are still wanted: the first of the two sides that moves decides.
#[derive(Clone, Default)]
struct Wanted(Arc<AtomicU8>);

impl Wanted {
    const BEGUN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn decide(&self, state: u8) -> bool {
        self.0.compare_exchange(0, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Source {
    /// Reads the configuration and opens what it needs, in place of what is served.
    fn acquire(&self, served: &Prepared) -> io::Result<Acquired> {
        let config: Config = read(&self.folder, &self.options)
            .ok_or_else(|| io::Error::other("the configuration has errors"))?;
        remarks::remarks(&config, served.registry()).iter().for_each(|remark| say(&format!("{remark}\n")));
        let plan = Plan::between(served.config(), &config);
        let (served, updates) = served.followed_by(config)?;
        served.remarks().for_each(|remark| say(&format!("{remark}\n")));
        Ok(Acquired { served: Arc::new(served), plan, updates })
    }
}

impl Reloader {
    pub(super) fn new(
        source: Source,
        limits: Limits,
        handle: Handle,
        current: Current,
        sites: Vec<SiteId>,
        timeout: Duration,
    ) -> Self {
        let served = current.get();
        Self { source, limits, handle, served, current, sites, timeout, reading: None }
    }

    /// Reads the configuration and serves it. Answers what was done, a line for each thing.
    ///
    /// # Errors
    /// It cannot be served: what is served is as it was.
    pub(crate) fn reload(&mut self) -> io::Result<Vec<String>> {
        let Acquired { served, plan, updates } = self.acquire()?;
        let mut done: Vec<_> = plan.to_string().lines().map(str::to_owned).collect();
        let steps = self.steps(&plan, &served, &mut done);
        let changes = self.changes(&steps, &served, updates);
        let added = self.change(changes)?;
        self.sites = sites_of(&steps, &self.sites, added);
        self.current.set(Arc::clone(&served));
        // Of the protocols that are in both, nothing ends.
        std::mem::replace(&mut self.served, served).finish();
        Ok(done)
    }

    /// Reads files and keys, and waits for them.
    fn acquire(&mut self) -> io::Result<Acquired> {
        if self.reading.as_ref().is_some_and(|reading| !reading.is_finished()) {
            return Err(io::Error::other("the reload before this one still waits for a file"));
        }
        let (acquired, wait) = channel();
        let (source, served) = (self.source.clone(), Arc::clone(&self.served));
        let reading = thread::Builder::new().name("acquire".into()).spawn(move || {
            // Who asked may have given it up.
            let _ = acquired.send(source.acquire(&served));
        })?;
        self.reading = Some(reading);
        wait.recv_timeout(self.timeout).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => self.too_late("files and keys could not be read"),
                RecvTimeoutError::Disconnected => io::Error::other("reading files and keys has panicked"),
            })
        })
    }

    fn too_late(&self, what: &str) -> io::Error {
        let text = format!("{what} within {} s (--reload-timeout)", self.timeout.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    /// What becomes of each host of the new configuration. What of that the plan does not say is added to `done`.
    fn steps(&self, plan: &Plan, served: &Prepared, done: &mut Vec<String>) -> Vec<Fate> {
        // A global value may show in every site.
        let all = plan.changes.iter().any(|change| matches!(change, Change::Global { .. }));
        // And so does one host whose domains an authority validates at whichever host it reaches.
        let all = all || served.orders().answers_requests() != self.served.orders().answers_requests();
        let is_changed =
            |index: usize, old: usize| all || served.is_first(index) != self.served.is_first(old);
        let fates = Plan::fates(self.served.config(), served.config()).into_iter().enumerate();
        fates
            .map(|(index, fate)| match fate {
                Fate::Same(old) if is_changed(index, old) => Fate::Changed(old),
                Fate::Same(old) if !served.has_files_of(index, &self.served, old) => {
                    let name = &served.config().vhosts[index].name;
                    done.push(format!("~ {name}: its folders and passwords were opened again"));
                    Fate::Changed(old)
                }
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
        let wanted = Wanted::default();
        let begins = wanted.clone();
        let changes = changes.while_wanted(move || begins.decide(Wanted::BEGUN));
        let asked = self.handle.change_sites(changes, move |_, result| {
            let _ = done.send(result);
        });
        let ending = || io::Error::other("the server is ending");
        if !asked {
            return Err(ending());
        }
        loop {
            match wait.recv_timeout(self.timeout) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(ending()),
                Err(RecvTimeoutError::Timeout) if wanted.decide(Wanted::GIVEN_UP) => {
                    return Err(self.too_late("the threads of the server were not ready"));
                }
                // It has begun, so that every thread follows as soon as it turns again.
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Has the certificates ordered and renewed that come from authorities by the configuration that is served now.
    pub(crate) fn keep_certificates(&self, log: Option<&Log>) {
        self.served.orders().keep(log);
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
