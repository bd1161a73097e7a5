//! Everything that one thread of a server serves, before anything of it is checked or opened.

use crate::server::options::ServerOptions;
use crate::site::Site;
use crate::thread::observers::Observers;
use std::io;

/// What a thread is built from.
pub(crate) struct Description {
    pub(crate) sites: Vec<Site>,
    pub(crate) options: ServerOptions,
    pub(crate) observers: Observers,
}

/// Describes a thread, on that thread.
pub(crate) type DescribeThread = Box<dyn Fn() -> io::Result<Description> + Send + Sync>;
