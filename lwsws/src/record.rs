//! `--record`: what happens to connections is written down, with a warning for as long as it is.

use crate::log::Log;
use clap::{Args, ValueEnum};
use lws_server::Builder;
use lws_server::record::{Folder, Output, Redaction};
use rustix::process::{Resource, getrlimit};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// How often the warning is repeated.
const WARNING_PERIOD: Duration = Duration::from_secs(60);

/// The options of recording: which connections, and in which form.
#[derive(Args, Debug)]
pub(crate) struct RecordArguments {
    /// Write down what happens to each connection: files in this directory, for their owner only. They hold what peers send
    /// and get, with credentials masked
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    record: Option<PathBuf>,

    /// Only connections from this address
    #[arg(long, value_name = "IP", requires = "record")]
    record_peer: Option<IpAddr>,

    /// What to write: for lws-replay, for Wireshark, or both
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Kind::Both, requires = "record")]
    record_as: Kind,

    /// Write credentials, too
    #[arg(long, requires = "record")]
    record_credentials: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Record,
    Pcapng,
    Both,
}

impl RecordArguments {
    /// Begins to record, if that is wanted. Files take descriptors: unless the number of connections was given there are fewer.
    pub(crate) fn begin(&self, builder: Builder, fewer: bool, log: Option<&Log>) -> io::Result<Builder> {
        let Some(path) = &self.record else { return Ok(builder) };
        let output = match self.record_as {
            Kind::Record => Output::Record,
            Kind::Pcapng => Output::Pcapng,
            Kind::Both => Output::Both,
        };
        let redaction = if self.record_credentials { Redaction::Nothing } else { Redaction::Credentials };
        let folder = Folder::new(path)?.output(output).redaction(redaction).peer(self.record_peer);
        let whose = self.record_peer.map_or_else(|| "everybody".to_owned(), |peer| peer.to_string());
        let credentials = if self.record_credentials { ", CREDENTIALS INCLUDED," } else { "" };
        let warning = format!(
            "lwsws: WARNING: what {whose} sends and gets{credentials} is written to {}",
            path.display()
        );
        warn(warning, log.cloned())?;
        let builder = builder.record(folder);
        Ok(match getrlimit(Resource::Nofile).current {
            // A socket and two files each.
            Some(limit) if fewer => {
                builder.connections_max(usize::try_from(limit / 3).unwrap_or(usize::MAX).max(1))
            }
            _ => builder,
        })
    }
}

/// Says so now, and again and again, in the log or on standard error.
fn warn(warning: String, log: Option<Log>) -> io::Result<()> {
    let say = move || match &log {
        Some(log) => log.line(warning.clone()),
        None => eprintln!("{warning}"),
    };
    thread::Builder::new().name("warning".into()).spawn(move || {
        loop {
            say();
            thread::sleep(WARNING_PERIOD);
        }
    })?;
    Ok(())
}
