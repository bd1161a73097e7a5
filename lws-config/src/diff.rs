//! What has to be done to get from one configuration to another. Pure: nothing is opened or closed here.

use crate::model::{Config, Global, Listen, Mount, Vhost};
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// One step from a configuration to another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A value of `global` that takes effect at once.
    Global {
        /// The field of [`Global`].
        field: String,
    },
    /// A value of `global` that a running process cannot take over.
    NeedsRestart {
        /// The field of [`Global`].
        field: String,
    },
    /// A virtual host that comes.
    Added {
        /// Its name and where it listens.
        host: String,
    },
    /// A virtual host that goes: it accepts nothing more, and what runs may end.
    Removed {
        /// Its name and where it listens.
        host: String,
    },
    /// A virtual host that stays, with its connections, and has other options for what begins later.
    Changed {
        /// Its name and where it listens.
        host: String,
        /// Fields of [`Vhost`] that differ, but `mounts`.
        fields: Vec<String>,
        /// Paths of mounts that come.
        mounts_added: Vec<String>,
        /// Paths of mounts that go.
        mounts_removed: Vec<String>,
        /// Paths of mounts that lead elsewhere or have other options.
        mounts_changed: Vec<String>,
    },
}

/// The way from one configuration to another. Hosts that are equal in both are not mentioned: nothing happens to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps: what is global, hosts that go, those that come, those that change.
    pub changes: Vec<Change>,
}

/// What becomes of a virtual host on the way from one configuration to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was not there.
    New,
    /// It is as it was, at this index of the old configuration.
    Same(usize),
    /// It was there, at this index of the old configuration, and has other options now.
    Changed(usize),
}

/// Fields of [`Global`] that are fixed once a process runs.
const FIXED: [&str; 15] = [
    "user",
    "group",
    "threads",
    "descriptors",
    "kept_capabilities",
    "event_loop",
    "broker",
    "plugin_directories",
    "admin",
    "drain_delay",
    "log",
    "budgets",
    "peers",
    "requests_per_address",
    "connections_per_address",
];

impl Plan {
    /// The way from `old` to `new`. A host is the same one if its name and where it listens are the same.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut changes = global(&old.global, &new.global);
        let counterpart = |of: &Vhost, among: &[Vhost]| among.iter().position(|other| same(of, other));
        for vhost in old.vhosts.iter().filter(|vhost| counterpart(vhost, &new.vhosts).is_none()) {
            changes.push(Change::Removed { host: identity(vhost) });
        }
        for vhost in &new.vhosts {
            match counterpart(vhost, &old.vhosts) {
                None => changes.push(Change::Added { host: identity(vhost) }),
                Some(at) => changes.extend(changed(&old.vhosts[at], vhost)),
            }
        }
        Self { changes }
    }

    /// What becomes of each virtual host of `new`. Those of `old` that are not mentioned go.
    #[must_use]
    pub fn fates(old: &Config, new: &Config) -> Vec<Fate> {
        let fate = |vhost: &Vhost| match old.vhosts.iter().position(|other| same(vhost, other)) {
            None => Fate::New,
            Some(at) if changed(&old.vhosts[at], vhost).is_some() => Fate::Changed(at),
            Some(at) => Fate::Same(at),
        };
        new.vhosts.iter().map(fate).collect()
    }

    /// Whether both configurations mean the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether something can only be had by starting again.
    #[must_use]
    pub fn needs_restart(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::NeedsRestart { .. }))
    }
}

fn same(one: &Vhost, other: &Vhost) -> bool {
    one.listen == other.listen && one.name.eq_ignore_ascii_case(&other.name)
}

/// A host in words: `example.com port 443`.
fn identity(vhost: &Vhost) -> String {
    match &vhost.listen {
        Listen::Tcp { port, interface: None } => format!("{} port {port}", vhost.name),
        Listen::Tcp { port, interface: Some(interface) } => {
            format!("{} port {port} of {interface}", vhost.name)
        }
        Listen::Unix { path, .. } => format!("{} on {}", vhost.name, path.display()),
    }
}

fn global(old: &Global, new: &Global) -> Vec<Change> {
    let change = |field: String| match FIXED.contains(&field.as_str()) {
        true => Change::NeedsRestart { field },
        false => Change::Global { field },
    };
    differing(old, new).into_iter().map(change).collect()
}

fn changed(old: &Vhost, new: &Vhost) -> Option<Change> {
    let mut fields = differing(old, new);
    fields.retain(|field| field != "mounts");
    let find = |path: &str, among: &[Mount]| among.iter().position(|mount| mount.path == path);
    let paths = |of: &[Mount], without: &[Mount]| -> Vec<String> {
        let alone = of.iter().filter(|mount| find(&mount.path, without).is_none());
        alone.map(|mount| mount.path.clone()).collect()
    };
    let mounts_added = paths(&new.mounts, &old.mounts);
    let mounts_removed = paths(&old.mounts, &new.mounts);
    let differs = |mount: &&Mount| {
        find(&mount.path, &old.mounts).is_some_and(|at| !differing(&old.mounts[at], mount).is_empty())
    };
    let mounts_changed: Vec<String> =
        new.mounts.iter().filter(differs).map(|mount| mount.path.clone()).collect();
    let parts = [&fields, &mounts_added, &mounts_removed, &mounts_changed];
    if parts.iter().all(|part| part.is_empty()) {
        return None;
    }
    Some(Change::Changed { host: identity(new), fields, mounts_added, mounts_removed, mounts_changed })
}

/// The fields that differ. Where in a file something stands is none of them.
fn differing<T: Serialize>(old: &T, new: &T) -> Vec<String> {
    let members = |of: &T| match serde_json::to_value(of) {
        Ok(Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (members(old), members(new));
    debug_assert!(old.keys().eq(new.keys()), "one type has one set of fields");
    new.into_iter().filter(|(name, value)| old.get(name) != Some(value)).map(|(name, _)| name).collect()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global { field } => write!(f, "~ global {field}"),
            Self::NeedsRestart { field } => write!(f, "! global {field}: needs a restart"),
            Self::Added { host } => write!(f, "+ {host}"),
            Self::Removed { host } => write!(f, "- {host}"),
            Self::Changed { host, fields, mounts_added, mounts_removed, mounts_changed } => {
                write!(f, "~ {host}")?;
                if !fields.is_empty() {
                    write!(f, ": {}", fields.join(", "))?;
                }
                for (sign, mounts) in [('+', mounts_added), ('-', mounts_removed), ('~', mounts_changed)] {
                    for path in mounts {
                        write!(f, "\n    {sign} {path}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        Ok(())
    }
}
