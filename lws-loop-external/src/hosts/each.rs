//! What every host does that watches each descriptor, whatever it watches them with.

use crate::service::{Change, Service, Trigger, Wait};
use lws_proto::Time;
use std::io;
use std::os::fd::BorrowedFd;

/// Lets a service do what is due, and hands each of its changes to `apply`, with the descriptor that it is about. Answers how
/// long the host may sleep.
///
/// For hosts that let go of a descriptor at once: after a [`Change::Remove`] was applied it is closed. An error says that
/// a descriptor cannot be watched; of a `Remove` it counts for nothing.
pub fn settle<S: Service>(
    service: &mut S,
    now: Time,
    mut apply: impl FnMut(Change, BorrowedFd<'_>) -> io::Result<()>,
) -> Wait {
    let wait = service.settle(now);
    if !flush(service, &mut apply) {
        return wait;
    }
    // What has gone, or cannot be watched, may have given it more to do.
    let wait = service.settle(now);
    if flush(service, &mut apply) { Wait::Now } else { wait }
}

/// True if the service may have more to do because of the changes.
fn flush<S: Service>(
    service: &mut S,
    apply: &mut impl FnMut(Change, BorrowedFd<'_>) -> io::Result<()>,
) -> bool {
    let mut again = false;
    while let Some(change) = service.poll_change() {
        let (Change::Add { token, .. } | Change::Modify { token, .. } | Change::Remove { token, .. }) =
            change;
        // It is there until the service hears that the host has let go.
        let Some(descriptor) = service.descriptor(token) else { continue };
        match (change, apply(change, descriptor)) {
            (Change::Remove { token, .. }, _) => {
                service.removed(token);
                again = true;
            }
            (Change::Add { token, .. } | Change::Modify { token, .. }, Err(error)) => {
                service.refused(token, error);
                again = true;
            }
            (_, Ok(())) => {}
        }
    }
    again
}

/// Takes a service away from its host: `forget` is called with every descriptor that the host may have, and with some
/// that it has not yet. Another host can have the service then. In the child of a fork(2) nothing is forgotten, as that would be
/// the parent's ([`Service::is_forked`]).
pub fn detach<S: Service>(service: &mut S, mut forget: impl FnMut(BorrowedFd<'_>)) {
    if service.is_forked() {
        return;
    }
    while let Some(change) = service.poll_change() {
        if let Change::Remove { token, .. } = change {
            service.descriptor(token).into_iter().for_each(&mut forget);
            service.removed(token);
        }
    }
    // What it announces to a new host is what this one has.
    service.attach(Trigger::Level);
    while let Some(change) = service.poll_change() {
        let (Change::Add { token, .. } | Change::Modify { token, .. } | Change::Remove { token, .. }) =
            change;
        service.descriptor(token).into_iter().for_each(&mut forget);
    }
}
