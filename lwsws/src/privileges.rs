//! Becoming another user once everything is bound and read, with no way back.

use lws_config::Account;
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, setgid, setgroups, setuid};
use std::io;

/// Becomes `user` and `group`, for all threads of the process. Without a group it is that of the user; the group alone may be named, too.
/// The capabilities that are named stay with this thread and those that it starts from now on, and with no program that it runs.
///
/// # Errors
/// There is no such user or group, or the process may not become another one, or has not what it is to keep.
pub(crate) fn become_user(
    user: Option<&Account>,
    group: Option<&Account>,
    kept: &[String],
) -> io::Result<()> {
    let (uid, gid) = account(user, group)?;
    if (uid, gid) == (geteuid(), getegid()) {
        return Ok(());
    }
    // Groups first: who is no longer root cannot change them.
    setgroups(&[gid]).map_err(|error| refused("the groups of", gid.as_raw(), error))?;
    setgid(gid).map_err(|error| refused("group", gid.as_raw(), error))?;
    capabilities::keep(kept, || setuid(uid).map_err(|error| refused("user", uid.as_raw(), error)))?;
    if !uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other("the process is another user and could become root again"));
    }
    Ok(())
}

/// The numbers of the user and group that [`become_user`] will switch to. New files of the log are given to them, as they have to open
/// them again. `None` if the user stays.
///
/// # Errors
/// There is no such user or group.
pub(crate) fn owner(user: Option<&Account>, group: Option<&Account>) -> io::Result<Option<(u32, u32)>> {
    let (uid, gid) = account(user, group)?;
    let changes = (uid, gid) != (geteuid(), getegid());
    Ok(changes.then_some((uid.as_raw(), gid.as_raw())))
}

fn account(user: Option<&Account>, group: Option<&Account>) -> io::Result<(Uid, Gid)> {
    let (uid, primary) = match user {
        None => (geteuid(), None),
        Some(user) => find_user(user)?,
    };
    let gid = match group {
        None => primary.unwrap_or_else(getegid),
        Some(group) => find_group(group)?,
    };
    Ok((uid, gid))
}

#[cfg(target_os = "linux")]
mod capabilities {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities};
    use std::io;

    /// Keeps the named ones over a change of the user.
    pub(super) fn keep(names: &[String], change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if names.is_empty() {
            return change();
        }
        let set = |name: &String| match name.as_str() {
            "net-bind-service" => CapabilitySet::NET_BIND_SERVICE,
            "net-raw" => CapabilitySet::NET_RAW,
            _ => CapabilitySet::empty(),
        };
        let kept = names.iter().map(set).fold(CapabilitySet::empty(), CapabilitySet::union);
        set_keep_capabilities(true)?;
        change()?;
        let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
        let refused = |error| io::Error::other(format!("keep-capabilities {}: {error}", names.join(",")));
        set_capabilities(None, sets).map_err(refused)?;
        Ok(set_keep_capabilities(false)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod capabilities {
    use std::io;

    /// There are none here.
    pub(super) fn keep(names: &[String], change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match names.is_empty() {
            true => change(),
            false => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "keep-capabilities: this system has none"))
            }
        }
    }
}

fn find_user(user: &Account) -> io::Result<(Uid, Option<Gid>)> {
    match user {
        Account::Id(id) => {
            let uid = Uid::from_raw(*id);
            // A number needs no entry.
            Ok((uid, User::from_uid(uid)?.map(|user| user.gid)))
        }
        Account::Name(name) => match User::from_name(name)? {
            Some(user) => Ok((user.uid, Some(user.gid))),
            None => Err(io::Error::other(format!("there is no user \"{name}\""))),
        },
    }
}

fn find_group(group: &Account) -> io::Result<Gid> {
    match group {
        Account::Id(id) => Ok(Gid::from_raw(*id)),
        Account::Name(name) => match Group::from_name(name)? {
            Some(group) => Ok(group.gid),
            None => Err(io::Error::other(format!("there is no group \"{name}\""))),
        },
    }
}

fn refused(what: &str, id: u32, error: nix::Error) -> io::Error {
    io::Error::other(format!("cannot become {what} {id}: {error}"))
}
