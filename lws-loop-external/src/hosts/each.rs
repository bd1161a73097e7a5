//! The common part of hosts that watch each descriptor.

use crate::service::{Change, Service, Trigger, Wait};
use lws_proto::Time;
use std::io;
use std::os::fd::BorrowedFd;

/// Settles a service, and calls `apply` for each of its changes, with the descriptor that it is about. Returns how long
/// the host may sleep.
///
/// For hosts that let go of a descriptor at once: it is closed as soon as a [`Change::Remove`] was applied. An error of
/// `apply` means that the descriptor cannot be watched; for a `Remove` it is ignored.
pub fn settle<S: Service>(
    service: &mut S,
    now: Time,
    mut apply: impl FnMut(Change, BorrowedFd<'_>) -> io::Result<()>,
) -> Wait {
    let wait = service.settle(now);
    if !flush(service, &mut apply) {
        return wait;
    }
    // A removed descriptor, or one that cannot be watched, may have given the service more to do.
    let wait = service.settle(now);
    if flush(service, &mut apply) { Wait::Now } else { wait }
}

/// Applies the changes. Returns true if the service may have more to do because of them.
fn flush<S: Service>(
    service: &mut S,
    apply: &mut impl FnMut(Change, BorrowedFd<'_>) -> io::Result<()>,
) -> bool {
    let mut again = false;
    while let Some(change) = service.poll_change() {
        let (Change::Add { token, .. } | Change::Modify { token, .. } | Change::Remove { token, .. }) =
            change;
        // The service keeps a descriptor until `removed`, so there always is one here.
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

/// Detaches a service from its host, so that another host can have it: calls `forget` with every descriptor that the
/// host may have registered, and with some that it has not registered yet. In the child of a fork(2) it is not called,
/// as the registrations are shared with the parent ([`Service::is_forked`]).
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
    // The descriptors that the service announces to a new host include all that this host has.
    service.attach(Trigger::Level);
    while let Some(change) = service.poll_change() {
        let (Change::Add { token, .. } | Change::Modify { token, .. } | Change::Remove { token, .. }) =
            change;
        service.descriptor(token).into_iter().for_each(&mut forget);
    }
}
