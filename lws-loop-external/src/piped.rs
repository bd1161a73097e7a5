//! Connections over files: pipes, FIFOs and terminals, whose output may be a descriptor of its own.

use crate::net::Owned;
use crate::open::Open;
use crate::service::Interest;
use crate::token::ConnectionId;
use crate::transport::Files;
use std::os::fd::{AsFd, BorrowedFd};

/// A connection over files.
pub(crate) struct Piped<S> {
    open: Open<S>,
    output: Output,
}

/// The output of a connection over files.
enum Output {
    /// The descriptor that is read is written, too.
    Same,
    /// A descriptor of its own. Its entry of the table holds a duplicate for the host to watch.
    Other { descriptor: Owned, place: ConnectionId, interest: Interest },
    /// None, as this side has ended. Its entry of the table may still exist.
    Ended { place: Option<ConnectionId> },
}

impl<S> Piped<S> {
    pub(crate) fn new(open: Open<S>, output: Option<(Owned, ConnectionId)>) -> Self {
        let output = output.map_or(Output::Same, |(descriptor, place)| {
            let interest = Interest::NONE;
            Output::Other { descriptor, place, interest }
        });
        Self { open, output }
    }

    pub(crate) fn lend<'t>(&'t mut self, input: BorrowedFd<'t>) -> (&'t mut Open<S>, Files<'t>) {
        let output = match &self.output {
            Output::Same => Some(input),
            Output::Other { descriptor, .. } => Some(descriptor.as_fd()),
            Output::Ended { .. } => None,
        };
        (&mut self.open, Files::new(input, output))
    }

    pub(crate) fn open(&self) -> &Open<S> {
        &self.open
    }

    pub(crate) fn open_mut(&mut self) -> &mut Open<S> {
        &mut self.open
    }

    pub(crate) fn into_state(self) -> S {
        self.open.state
    }

    /// Ends the sending direction. A descriptor that serves both directions stays open, as it is still read.
    pub(crate) fn finish(&mut self) {
        self.output = match self.output {
            Output::Same => Output::Ended { place: None },
            Output::Other { place, .. } => Output::Ended { place: Some(place) },
            Output::Ended { place } => Output::Ended { place },
        };
    }

    /// Divides the connection's interest: returns what the input should be watched for, and keeps the rest for the
    /// output.
    pub(crate) fn divide(&mut self, wanted: Interest) -> Interest {
        match &mut self.output {
            Output::Other { interest, .. } => {
                *interest = Interest::WRITE.when(wanted.contains(Interest::WRITE));
                Interest::READ.when(wanted.contains(Interest::READ))
            }
            Output::Same | Output::Ended { .. } => wanted,
        }
    }

    /// The entry of the output, and what it should be watched for: `None` if it has ended.
    pub(crate) fn output(&self) -> Option<(ConnectionId, Option<Interest>)> {
        match &self.output {
            Output::Same => None,
            Output::Other { place, interest, .. } => Some((*place, Some(*interest))),
            Output::Ended { place } => place.map(|place| (place, None)),
        }
    }
}
