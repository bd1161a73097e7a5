//! The sessions that the `auth-mask` of mounts is about: a signed cookie says what its session may do.

use lws_config::{Mount, Sessions as Named, Vhost};
use lws_server::Gate;
use lws_server::auth::Sessions;
use lws_server::http::CookieSigner;
use std::io::{self, Read};
use std::path::Path;

/// Octets that a key may have: more were meant for something else.
const KEY_BYTES_MAX: u64 = 4 << 10;

/// The sessions of a host, by the key that it names.
///
/// # Errors
/// The key cannot be read, or is too short or too long.
pub(super) fn sessions(named: &Named) -> io::Result<Sessions> {
    let signer = CookieSigner::new(&key(&named.key)?);
    let wrong =
        || named_error(&named.key, "a session-key has 32 octets at least, of a source of random octets");
    let sessions = Sessions::signed(named.cookie.clone(), signer.ok_or_else(wrong)?);
    Ok(match &named.login {
        Some(login) => sessions.login(login.clone()),
        None => sessions,
    })
}

/// The octets of a key. The end of a line behind it is what an editor has put there.
fn key(path: &Path) -> io::Result<Vec<u8>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut key = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(KEY_BYTES_MAX + 1).read_to_end(&mut key))
        .map_err(named)?;
    if key.len() as u64 > KEY_BYTES_MAX {
        return Err(named_error(path, "a session-key has 4 KiB at most"));
    }
    while key.last().is_some_and(|octet| matches!(octet, b'\n' | b'\r')) {
        key.pop();
    }
    Ok(key)
}

fn named_error(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{}: {what}", path.display()))
}

/// Whether the sessions that a mount asks for are known: without them it lets no request in.
pub(super) fn are_known(vhost: &Vhost, mount: &Mount) -> bool {
    mount.session_bits == 0 || vhost.sessions.is_some()
}

/// What lets in the sessions that a mount asks for, if it asks for any.
pub(super) fn gate(sessions: Option<&Sessions>, mount: &Mount) -> Option<Gate> {
    sessions.filter(|_| mount.session_bits != 0).map(|sessions| sessions.clone().gate(mount.session_bits))
}
