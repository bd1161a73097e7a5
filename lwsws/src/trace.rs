//! `--trace`: spans of connections and requests, for who looks at a server that does something odd.

use clap::Args;
use std::io;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The option of tracing: what is written.
#[derive(Args, Debug)]
pub(crate) struct TraceArguments {
    /// Write spans of connections and requests to standard error: a level, or levels by module, such as info or
    /// lws_server::connection=debug,lws_server::request=info
    #[arg(long, value_name = "FILTER")]
    trace: Option<Targets>,
}

impl TraceArguments {
    /// Begins to write them, if that is wanted.
    ///
    /// # Errors
    /// Something else in this process collects spans.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let Some(filter) = &self.trace else { return Ok(()) };
        let lines = fmt::layer().with_ansi(false).with_writer(io::stderr);
        tracing_subscriber::registry().with(filter.clone()).with(lines).try_init().map_err(io::Error::other)
    }
}
