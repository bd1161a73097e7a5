//! Where messages of scripts go.

use crate::failure::Notice;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

/// Logs what scripts have to say.
pub(crate) type Log = Rc<dyn Fn(&Path, &Notice<'_>)>;

/// Reports on one script.
#[derive(Clone)]
pub(crate) struct Reporter {
    log: Log,
    script: Rc<Path>,
}

impl Reporter {
    pub(crate) fn new(log: Log, script: Rc<Path>) -> Self {
        Self { log, script }
    }

    pub(crate) fn report(&self, notice: &Notice<'_>) {
        (self.log)(&self.script, notice);
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("script", &self.script).finish_non_exhaustive()
    }
}

/// Writes to the standard error of this process, as servers do that have no log.
pub(crate) fn to_standard_error() -> Log {
    Rc::new(|script, notice| eprintln!("{}: {notice}", script.display()))
}
