//! Becoming another user once everything is bound and read, with no way back.

use lws_config::Account;
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, setgid, setgroups, setuid};
use std::io;

/// Becomes `user` and `group`, for all threads of the process. Without a group it is that of the user; the group alone may be named, too.
///
/// # Errors
/// There is no such user or group, or the process may not become another one.
pub(crate) fn become_user(user: Option<&Account>, group: Option<&Account>) -> io::Result<()> {
    let (uid, primary) = match user {
        None => (geteuid(), None),
        Some(user) => find_user(user)?,
    };
    let gid = match group {
        None => primary.unwrap_or_else(getegid),
        Some(group) => find_group(group)?,
    };
    if (uid, gid) == (geteuid(), getegid()) {
        return Ok(());
    }
    // Groups first: who is no longer root cannot change them.
    setgroups(&[gid]).map_err(|error| refused("the groups of", gid.as_raw(), error))?;
    setgid(gid).map_err(|error| refused("group", gid.as_raw(), error))?;
    setuid(uid).map_err(|error| refused("user", uid.as_raw(), error))?;
    if !uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other("the process is another user and could become root again"));
    }
    Ok(())
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
