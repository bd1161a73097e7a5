//! Whether the service is still in the process whose host took it over, or in a child of that by fork(2).

/// The process of the host.
#[derive(Debug, Default)]
pub(crate) struct HostProcess {
    /// The process whose host has taken over.
    pub(crate) id: Option<u32>,
    /// The last look found this process to be another one.
    was_forked: bool,
}

impl HostProcess {
    /// A host of this process takes over.
    pub(crate) fn attach(&mut self) {
        (self.id, self.was_forked) = (Some(std::process::id()), false);
    }

    /// Asks the system. Done about once a second, as it is a system call.
    pub(crate) fn look(&mut self) {
        self.was_forked = self.is_forked();
    }

    /// Whether this process is a child of the one whose host has the service, as the system says now.
    pub(crate) fn is_forked(&self) -> bool {
        self.id.is_some_and(|process| process != std::process::id())
    }

    /// What the last look has found.
    #[inline]
    pub(crate) fn was_forked(&self) -> bool {
        self.was_forked
    }
}
