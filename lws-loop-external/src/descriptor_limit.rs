//! How many descriptors this process may have open.

/// The number of connections that fit into the limit of open files, less `kept` for listeners, files and the rest
/// of the program.
pub(crate) fn default_connections_max(kept: usize) -> usize {
    descriptors_max().saturating_sub(kept).max(1)
}

/// The limit of open files of this process: RLIMIT_NOFILE.
#[must_use]
pub fn descriptors_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}
