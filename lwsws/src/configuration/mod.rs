//! Configurations in files: reading one, what is done with it besides serving, and serving.

mod documents;
mod explain;
mod limits;
mod programs;
mod protocols;
mod reload;
mod remarks;
mod sessions;
mod sites;
mod stamp;

use reload::{Current, Source};

pub(crate) use reload::Reloader;

use crate::acme::Orders;
use crate::arguments::BrokerArguments;
use crate::broker::Sharing;
use crate::log::Log;
use crate::plugins;
use crate::privileges;
use clap::Args;
use lws_config::{Config, Global, LogRules, Options, Plan, Report};
use lws_plugin::Registry;
use lws_server::{Builder, DriverOptions, Handle, Limits, PeerLimits, SiteId};
use sites::Prepared;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// What is to be done with a configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigurationArguments {
    /// Folder of a configuration as libwebsockets' lwsws has it: a file conf, and perhaps files in conf.d
    #[arg(short, long, value_name = "DIR",
        conflicts_with_all = ["directory", "port", "address", "unix", "tls_cert", "tls_self_signed", "tls_key_log", "reuse_port", "http1",
            "upgrade_h2c", "hosts", "any_host", "origins", "any_origin", "deflate", "proxies", "zip", "listing", "spa", "auth", "cors",
            "cache"])]
    config: Option<PathBuf>,

    /// Folder that _lws_ddir_ in a configuration stands for
    #[arg(long, value_name = "DIR", requires = "config", default_value = "/usr/share")]
    data_directory: PathBuf,

    /// Folder of plugins, again for more: libraries with protocols that hosts name in ws-protocols. With those that plugin-dir names
    #[arg(long = "plugin-dir", value_name = "DIR", requires = "config")]
    plugin_directories: Vec<PathBuf>,

    /// Seconds that a reload may wait for files, keys and threads: past it everything stays as it was
    #[arg(long, value_name = "SECS", requires = "config", default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..))]
    reload_timeout: u32,

    /// Read the configuration, say everything that is wrong with it, and end
    #[arg(long, requires = "config")]
    test: bool,

    /// Print the configuration as it was understood, without secrets, and end
    #[arg(long, requires = "config", conflicts_with = "test")]
    print: bool,

    /// Print what differs from another configuration, as steps from that one, and end
    #[arg(long, value_name = "DIR", requires = "config", conflicts_with_all = ["test", "print"])]
    diff: Option<PathBuf>,

    /// Say what the server would do with a request for this address, and why, without serving anything, and end
    #[arg(long, value_name = "URI", requires = "config", conflicts_with_all = ["test", "print", "diff"])]
    explain: Option<String>,

    /// Print the JSON schema of the files, which editors complete and check keys by, and end
    #[arg(long, conflicts_with = "config")]
    schema: bool,
}

impl ConfigurationArguments {
    /// What is wanted besides serving, with the status to end with.
    pub(crate) fn run(&self, broker: &BrokerArguments) -> Option<ExitCode> {
        if self.schema {
            return Some(print(&format!("{}\n", lws_config::schema())));
        }
        let folder = self.config.as_deref()?;
        let options = self.options();
        if let Some(uri) = &self.explain {
            let read = self.read_with_plugins(folder, &options);
            return Some(
                read.map_or_else(|status| status, |(config, plugins)| explain::explain(config, plugins, uri)),
            );
        }
        if self.test {
            return Some(self.run_test(folder, &options, broker));
        }
        if self.print {
            let read = self.read_with_plugins(folder, &options);
            return Some(
                read.map_or_else(|status| status, |(config, plugins)| print_config(&config, &plugins)),
            );
        }
        let before = self.diff.as_deref()?;
        Some(match (read(before, &options), read(folder, &options)) {
            (Some(before), Some(after)) => print(&Plan::between(&before, &after).to_string()),
            _ => ExitCode::FAILURE,
        })
    }

    /// What peers may have of connections of each host, and the size of a receive buffer in bytes; without a configuration what the command
    /// line says. `None` if there is one that cannot be used.
    pub(crate) fn limits(&self, base: &Limits) -> Option<(Vec<Limits>, usize)> {
        let default = DriverOptions::default();
        let Some(folder) = self.config.as_deref() else {
            return Some((vec![base.clone()], default.receive_buffer_bytes));
        };
        let config = read(folder, &self.options())?;
        if let Err(error) = limits::check(&config, base) {
            say(&format!("lwsws: {error}\n"));
            return None;
        }
        let hosts = config.vhosts.iter().map(|vhost| limits::of_host(base, &config.global, vhost)).collect();
        Some((hosts, limits::driver_options(default, &config.global).receive_buffer_bytes))
    }

    /// The configuration that is to be served, if one is, with everything opened that it needs.
    ///
    /// # Errors
    /// It cannot be used. The findings have been printed, except for the last one.
    pub(crate) fn prepare(&self, broker: &BrokerArguments) -> io::Result<Option<Served>> {
        let Some(folder) = &self.config else { return Ok(None) };
        let config = read(folder, &self.options());
        let config = config
            .ok_or_else(|| io::Error::other(format!("{} cannot be served as it is", folder.display())))?;
        let sharing = sharing(&config, broker)?;
        let registry = Arc::new(self.registry(&config, &sharing)?);
        remarks::remarks(&config, &registry).iter().for_each(|remark| say(&format!("{remark}\n")));
        let (folder, options) = (folder.clone(), self.options());
        let reload_timeout = Duration::from_secs(self.reload_timeout.into());
        let prepared = Arc::new(Prepared::new(config, registry)?);
        prepared.remarks().for_each(|remark| say(&format!("{remark}\n")));
        let current = Current::new(Arc::clone(&prepared));
        Ok(Some(Served { prepared, current, folder, options, reload_timeout, sharing }))
    }

    /// The plugins of a configuration: those that are built in, and those of its folders and of the command line's.
    ///
    /// # Errors
    /// A file was refused, or a folder cannot be read.
    fn registry(&self, config: &Config, sharing: &Sharing) -> io::Result<Registry> {
        let folders: Vec<_> =
            config.global.plugin_directories.iter().chain(&self.plugin_directories).cloned().collect();
        plugins::registry(&folders, sharing)
    }

    /// A configuration that can be used, and its plugins; or, after saying why not, the status to end with.
    fn read_with_plugins(
        &self,
        folder: &Path,
        options: &Options,
    ) -> Result<(Config, Arc<Registry>), ExitCode> {
        let config = read(folder, options).ok_or(ExitCode::FAILURE)?;
        let registry = self.registry(&config, &Sharing::none()).map_err(complain)?;
        Ok((config, Arc::new(registry)))
    }

    /// Says everything that is wrong with a configuration and its plugins. Protocols do not begin for that.
    fn run_test(&self, folder: &Path, options: &Options, broker: &BrokerArguments) -> ExitCode {
        let (config, report) = Config::read(folder, options);
        tell(&report);
        let mut fails = report.fails_check();
        let registry = self.registry(&config, &Sharing::none()).map_err(complain);
        fails |= registry.is_err();
        if let Ok(registry) = &registry {
            let mut findings = protocols::unknown(&config, registry);
            findings.extend(protocols::wrong_options(&config, registry));
            findings.iter().for_each(|finding| say(&format!("{finding}\n")));
            fails |= !findings.is_empty();
        }
        if fails {
            eprintln!("lwsws: {} cannot be served as it is", folder.display());
            return ExitCode::FAILURE;
        }
        let checked = limits::check(&config, &Limits::default()).and_then(|()| Orders::check(&config));
        let checked = checked.and_then(|()| sharing(&config, broker).map(drop));
        if let Err(error) = checked {
            return complain(error);
        }
        let names = registry.map(|registry| plugins::names(&registry)).unwrap_or_default();
        let (hosts, mounts) =
            (config.vhosts.len(), config.vhosts.iter().map(|vhost| vhost.mounts.len()).sum::<usize>());
        let (hosts, mounts) = (count(hosts, "virtual host"), count(mounts, "mount"));
        print(&format!("protocols: {names}\n{}: {hosts} and {mounts}\n", folder.display()))
    }

    fn options(&self) -> Options {
        let mut options = Options::default();
        options.data_directory.clone_from(&self.data_directory);
        options
    }
}

/// What the command line or else a configuration has the program share.
///
/// # Errors
/// No broker has that URL, or none was built in.
fn sharing(config: &Config, broker: &BrokerArguments) -> io::Result<Sharing> {
    Sharing::by(broker.url.as_deref().or(config.global.broker.as_deref()))
}

/// The configuration of a folder, if it can be used. What is wrong with it is written to standard error.
fn read(folder: &Path, options: &Options) -> Option<Config> {
    let (config, report) = Config::read(folder, options);
    tell(&report);
    (!report.has_errors()).then_some(config)
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Prints a configuration, and the plugins that it has.
fn print_config(config: &Config, registry: &Registry) -> ExitCode {
    // It is JSON that was written a moment ago.
    let mut value: serde_json::Value = serde_json::from_str(&config.to_json()).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.insert("plugins".into(), plugins::to_json(registry));
    }
    print(&format!("{value:#}\n"))
}

fn complain(error: io::Error) -> ExitCode {
    say(&format!("lwsws: {error}\n"));
    ExitCode::FAILURE
}

fn tell(report: &Report) {
    say(&report.to_string());
}

/// Writes to standard error. A reader that has gone is no failure: the status says it, too.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A configuration that is served.
#[derive(Clone)]
pub(crate) struct Served {
    prepared: Arc<Prepared>,
    current: Current,
    folder: PathBuf,
    options: Options,
    reload_timeout: Duration,
    sharing: Sharing,
}

impl Served {
    /// What is shared with other processes.
    pub(crate) fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    /// Threads, if the configuration says how many.
    pub(crate) fn threads(&self) -> Option<usize> {
        self.prepared.config().global.threads.map(|threads| usize::from(threads.max(1)))
    }

    /// Hosts, for a person.
    pub(crate) fn what(&self) -> String {
        count(self.prepared.config().vhosts.len(), "virtual host")
    }

    /// TLS of all listeners, whose certificates may be read again.
    pub(crate) fn tls(&self) -> Vec<lws_server::tls::Server> {
        self.prepared.tls().cloned().collect()
    }

    /// Has the certificates ordered and renewed that come from authorities.
    pub(crate) fn keep_certificates(&self, log: Option<&Log>) {
        self.prepared.orders().keep(log);
    }

    /// Descriptors that the process may have, if the configuration says how many.
    pub(crate) fn descriptors(&self) -> Option<u64> {
        self.prepared.config().global.descriptors
    }

    fn global(&self) -> &Global {
        &self.prepared.config().global
    }

    /// The loop that the configuration wants, by its name.
    pub(crate) fn event_loop(&self) -> Option<&str> {
        self.global().event_loop.as_deref()
    }

    /// Sizes and budgets of each thread's service, in place of those that were there before.
    pub(crate) fn driver_options(&self, options: DriverOptions) -> DriverOptions {
        limits::driver_options(options, self.global())
    }

    /// What the configuration says of a budget of the whole server.
    pub(crate) fn budget(&self, name: &str) -> Option<u64> {
        self.global().budgets.get(name)
    }

    /// Where operators come.
    pub(crate) fn admin(&self) -> Option<&str> {
        self.global().admin.as_deref()
    }

    pub(crate) fn drain_delay(&self) -> Option<Duration> {
        self.global().drain_delay
    }

    /// What is logged of requests, and how.
    pub(crate) fn log_rules(&self) -> &LogRules {
        &self.global().log
    }

    /// What one peer may have.
    pub(crate) fn peer_limits(&self) -> PeerLimits {
        limits::peers(self.global())
    }

    /// The user and group that [`become_user`](Self::become_user) becomes, if they are other ones.
    ///
    /// # Errors
    /// There is none of that name.
    pub(crate) fn owner(&self) -> io::Result<Option<(u32, u32)>> {
        privileges::owner(self.global().user.as_ref(), self.global().group.as_ref())
    }

    /// Becomes the user that the configuration names, if it does.
    ///
    /// # Errors
    /// The process may not, or there is none of that name.
    pub(crate) fn become_user(&self) -> io::Result<()> {
        let global = &self.prepared.config().global;
        if global.user.is_none() && global.group.is_none() {
            return Ok(());
        }
        privileges::become_user(global.user.as_ref(), global.group.as_ref(), &global.kept_capabilities)
    }

    /// What reads it again, once a server has these sites of it.
    pub(crate) fn reloader(&self, handle: Handle, sites: &[SiteId], limits: Limits) -> Reloader {
        let source = Source { folder: self.folder.clone(), options: self.options.clone() };
        Reloader::new(source, limits, handle, self.current.clone(), sites.to_vec(), self.reload_timeout)
    }

    /// Ends the protocols of what was served last. To be called when the server has gone.
    pub(crate) fn finish(&self) {
        self.current.get().finish();
    }

    /// What one thread serves.
    pub(crate) fn describe(&self, builder: Builder, limits: &Limits) -> Builder {
        self.prepared.sites(limits).into_iter().fold(builder, Builder::site)
    }
}
