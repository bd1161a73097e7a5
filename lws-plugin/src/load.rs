//! Which files of a folder are plugins, and whether they may be loaded. Looks and judges; `sys.rs` loads.

use crate::native::NativePlugin;
use crate::plugin::Plugin;
use crate::registry::{NameTaken, PluginSource, Registry};
use crate::sys;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of one folder that are looked at. Past it the folder is refused: it is probably another one than was meant.
const FILES_MAX: usize = 256;

/// The bits of a mode that let others than the owner write.
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// A file of a plugin folder that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: RefusalReason,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for Refusal {}

/// Why a file was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// It cannot be looked at.
    Unreadable(String),
    /// It is no regular file.
    NotAFile,
    /// Somebody else may change it, who would then run code in this process.
    Distrusted(Distrust),
    /// The system did not load it, for the reason that it gives.
    Open(String),
    /// It has no `lwx_plugin_entry`, or answered NULL there.
    NoPlugin(&'static str),
    /// It is made for another version of the interface.
    Version {
        /// The version of the plugin.
        of_plugin: u32,
        /// That of this server.
        of_server: u32,
    },
    /// A struct has a size that it cannot have, or has something set that this server does not know.
    Size {
        /// The struct.
        of: &'static str,
        /// The size in bytes.
        bytes: usize,
    },
    /// Something is missing in a protocol, or has a value that it cannot have.
    Protocol {
        /// Which of the plugin's protocols, from zero on.
        index: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A protocol of the same name is there already.
    Taken(NameTaken),
}

/// What others may do to a file that is to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// It belongs to a user who is neither root nor this one; to root it has to belong where this process is root.
    Owner {
        /// The number of the owner.
        uid: u32,
    },
    /// Users other than its owner may write to it. Where this process is not root, its group may.
    Writable {
        /// The permissions.
        mode: u32,
    },
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner { uid } => write!(f, "it belongs to user {uid}, who may change it"),
            Self::Writable { mode } => {
                write!(f, "others than its owner may write to it (mode {:03o})", mode & 0o777)
            }
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Self::NotAFile => f.write_str("it is no regular file"),
            Self::Distrusted(distrust) => distrust.fmt(f),
            Self::Open(why) => write!(f, "it cannot be loaded: {why}"),
            Self::NoPlugin(why) => write!(f, "it is no plugin: {why}"),
            Self::Version { of_plugin, of_server } => {
                write!(
                    f,
                    "it is made for version {of_plugin} of the interface, and this server has {of_server}"
                )
            }
            Self::Size { of, bytes } => write!(
                f,
                "its {of} has {bytes} bytes, which is no size of this version, or has something set that this server does not know"
            ),
            Self::Protocol { index, problem } => write!(f, "its protocol {index} {problem}"),
            Self::Taken(taken) => taken.fmt(f),
        }
    }
}

/// Who may change a file or folder, as far as this process has to mind.
fn distrust(owner: u32, mode: u32, process: u32) -> Option<Distrust> {
    let is_root = process == 0;
    let writable = if is_root { GROUP_WRITES | OTHERS_WRITE } else { OTHERS_WRITE };
    if owner != 0 && owner != process {
        return Some(Distrust::Owner { uid: owner });
    }
    (mode & writable != 0).then_some(Distrust::Writable { mode })
}

fn distrusted(metadata: &Metadata) -> Option<Distrust> {
    distrust(metadata.uid(), metadata.mode(), rustix::process::geteuid().as_raw())
}

impl Registry {
    /// Loads each file of a folder whose name ends in `.so`, in the order of their names. Answers those that were refused; of a file that
    /// is refused no protocol is there. A file is never closed again: its code may be anywhere.
    ///
    /// A file must not be one that others may change: see [`Distrust`]. Loading runs code of it. To be called once for a folder, before the
    /// process becomes another user.
    ///
    /// # Errors
    /// The folder cannot be read, or others may write in it.
    pub fn load(&mut self, folder: &Path) -> io::Result<Vec<Refusal>> {
        let mut refusals = Vec::new();
        for path in candidates(folder)? {
            if let Err(reason) = self.load_file(&path) {
                refusals.push(Refusal { path, reason });
            }
        }
        Ok(refusals)
    }

    fn load_file(&mut self, path: &Path) -> Result<(), RefusalReason> {
        let plugins = open(path)?;
        // All of a file or nothing: half of a plugin is one that no one has tried.
        for (index, plugin) in plugins.iter().enumerate() {
            let name = plugin.name();
            let is_twice = plugins[..index].iter().any(|other| other.name() == name);
            let by = match self.find(name) {
                Ok(other) => other.source().clone(),
                Err(_) if is_twice => PluginSource::File(path.to_owned()),
                Err(_) => continue,
            };
            return Err(RefusalReason::Taken(NameTaken { name: name.to_owned(), by }));
        }
        for plugin in plugins {
            let source = PluginSource::File(path.to_owned());
            self.register(Arc::new(plugin), source).map_err(RefusalReason::Taken)?;
        }
        Ok(())
    }
}

/// The files of a folder that are to be loaded, by name.
fn candidates(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let wrong = |what: &dyn fmt::Display| io::Error::other(format!("{}: {what}", folder.display()));
    let metadata = fs::metadata(folder).map_err(|error| wrong(&error))?;
    if let Some(distrust) = distrusted(&metadata) {
        return Err(wrong(&distrust));
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| wrong(&error))? {
        let path = entry.map_err(|error| wrong(&error))?.path();
        if path.extension() == Some(OsStr::new("so")) {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(wrong(&format_args!("it has more than {FILES_MAX} files that could be plugins")));
        }
    }
    paths.sort();
    Ok(paths)
}

/// The protocols of a file. Runs code of it.
fn open(path: &Path) -> Result<Vec<NativePlugin>, RefusalReason> {
    let unreadable = |error: io::Error| RefusalReason::Unreadable(error.to_string());
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(RefusalReason::NotAFile);
    }
    if let Some(distrust) = distrusted(&metadata) {
        return Err(RefusalReason::Distrusted(distrust));
    }
    // A name without a slash would be looked for in the folders of the system.
    let path = fs::canonicalize(path).map_err(unreadable)?;
    Ok(sys::open(&path)?.into_iter().map(NativePlugin::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_trusted_that_root_or_this_user_alone_may_change() {
        let (root, user, other) = (0, 1_000, 1_001);
        for (owner, mode, process, expected) in [
            (root, 0o100_755, root, None),
            (root, 0o100_775, root, Some(Distrust::Writable { mode: 0o100_775 })),
            (root, 0o100_757, root, Some(Distrust::Writable { mode: 0o100_757 })),
            (user, 0o100_755, root, Some(Distrust::Owner { uid: user })),
            (root, 0o100_755, user, None),
            (user, 0o100_755, user, None),
            (user, 0o100_775, user, None),
            (user, 0o100_757, user, Some(Distrust::Writable { mode: 0o100_757 })),
            (other, 0o100_755, user, Some(Distrust::Owner { uid: other })),
        ] {
            assert_eq!(distrust(owner, mode, process), expected, "{owner} {mode:o} {process}");
        }
    }
}
