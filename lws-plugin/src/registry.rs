//! The plugins of a process by the names of their protocols. Knows no site.

use crate::options::{Options, nearest};
use crate::plugin::{Plugin, SiteFacts, SiteProtocol, StartError};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// It is a part of the program.
    BuiltIn,
    /// It was loaded from this file.
    File(PathBuf),
}

impl fmt::Display for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A plugin that a registry has.
#[derive(Clone)]
pub struct Registered {
    plugin: Arc<dyn Plugin>,
    source: PluginSource,
}

impl Registered {
    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &dyn Plugin {
        &*self.plugin
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> &PluginSource {
        &self.source
    }

    /// Begins the protocol at a site.
    ///
    /// # Errors
    /// The site cannot be served so. A panic of the plugin is an error as well and goes no further.
    pub fn start(
        &self,
        site: &SiteFacts<'_>,
        options: &Options,
    ) -> Result<Arc<dyn SiteProtocol>, StartError> {
        // What the plugin had in hand is dropped with the panic: nothing of it is seen again.
        catch_unwind(AssertUnwindSafe(|| {
            self.plugin.check(options)?;
            self.plugin.start(site, options)
        }))
        .unwrap_or(Err(StartError::Panicked))
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("name", &self.plugin.name())
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Plugins by name. A name stands for one protocol: none takes the place of another.
#[derive(Clone, Debug, Default)]
pub struct Registry(BTreeMap<String, Registered>);

/// A protocol of the same name is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTaken {
    /// The name.
    pub name: String,
    /// Where the one comes from that has it.
    pub by: PluginSource,
}

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is a protocol \"{}\" already: {}", self.name, self.by)
    }
}

impl std::error::Error for NameTaken {}

/// No protocol has the name that a site asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProtocol {
    /// The name.
    pub name: String,
    /// The one that was probably meant.
    pub meant: Option<String>,
}

impl fmt::Display for UnknownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no protocol \"{}\"", self.name)?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean \"{meant}\"?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownProtocol {}

impl Registry {
    /// No plugins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a plugin that is a part of the program.
    ///
    /// # Errors
    /// Its name is taken: nothing has changed.
    pub fn add(&mut self, plugin: impl Plugin) -> Result<(), NameTaken> {
        self.register(Arc::new(plugin), PluginSource::BuiltIn)
    }

    /// Adds a plugin from anywhere.
    ///
    /// # Errors
    /// Its name is taken: nothing has changed.
    pub(crate) fn register(
        &mut self,
        plugin: Arc<dyn Plugin>,
        source: PluginSource,
    ) -> Result<(), NameTaken> {
        let name = plugin.name().to_owned();
        if let Some(other) = self.0.get(&name) {
            return Err(NameTaken { name, by: other.source.clone() });
        }
        self.0.insert(name, Registered { plugin, source });
        Ok(())
    }

    /// The plugin whose protocol has this name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str) -> Result<&Registered, UnknownProtocol> {
        self.0.get(name).ok_or_else(|| UnknownProtocol {
            name: name.to_owned(),
            meant: nearest(name, self.0.keys().map(String::as_str)).map(str::to_owned),
        })
    }

    /// All plugins, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Registered> {
        self.0.values()
    }
}
