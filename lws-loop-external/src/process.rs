//! Whether the service is still in the process whose host took it over, or in a child of that by fork(2).

/// The process whose host has the service.
#[derive(Debug, Default)]
pub(crate) struct HostProcess {
    /// The process whose host has taken over.
    pub(crate) id: Option<u32>,
    /// Whether the last look found this process to be a child of that one.
    was_forked: bool,
}

impl HostProcess {
    /// Notes that a host of this process takes over.
    pub(crate) fn attach(&mut self) {
        (self.id, self.was_forked) = (Some(std::process::id()), false);
    }

    /// Looks whether this process is a child. Done about once a second, as it may be a system call.
    pub(crate) fn look(&mut self) {
        self.was_forked = self.is_forked();
    }

    /// Whether this process is a child of the one whose host has the service, as the system says now.
    pub(crate) fn is_forked(&self) -> bool {
        self.id.is_some_and(|process| process != std::process::id())
    }

    /// Whether the last look found this process to be a child.
    #[inline]
    pub(crate) fn was_forked(&self) -> bool {
        self.was_forked
    }
}
