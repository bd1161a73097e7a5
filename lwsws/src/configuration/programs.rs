//! Mounts whose requests are answered by programs: `cgi://`. RFC 3875.

use lws_cgi::{Cgi, Limits};
use lws_config::Mount;
use lws_server::Route;
use std::io;
use std::path::Path;

/// The route of a mount.
///
/// # Errors
/// The program is not there, or expects to write to the connection itself.
pub(super) fn route(mount: &Mount, program: &Path) -> io::Result<Route> {
    let mut cgi = Cgi::program(program)?;
    for (name, value) in &mount.options {
        cgi = cgi.variable(name, value);
    }
    if let Some(directory) = &mount.cgi.directory {
        cgi = cgi.directory(directory);
    }
    if let Some(timeout) = mount.cgi.timeout {
        let mut limits = Limits::default();
        limits.time_max = timeout;
        limits.head_timeout = limits.head_timeout.min(timeout);
        cgi = cgi.limits(limits);
    }
    Ok(cgi.at(mount.path.clone()))
}

/// Whether a program must not be started as it would see more of the file system than the mount allows.
pub(super) fn is_confined(mount: &Mount) -> bool {
    mount.cgi.root.is_some()
}
