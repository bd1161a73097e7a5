//! The command line.

use crate::admin::AdminAddress;
use crate::certificate;
use crate::configuration::ConfigurationArguments;
use crate::files::FilesArguments;
use crate::log::{Format, Target};
use crate::loops;
use crate::plugins;
use crate::process::ProcessArguments;
use crate::proxy::Forward;
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use lws_server::tls::{self, Host, Identity, KeyLog};
use lws_server::ws::Deflate;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const AFTER_HELP: &str = "\
Siblings with the endings .br, .zst and .gz are sent to clients that accept them, and 404.html
where there is no file. Without DIR and --zip there are the pages of the demo, and
  /hello   a short text
  /echo    WebSocket messages, and what is posted, sent back
  /demo/*  the WebSockets of the demo

SIGTERM or SIGINT ends the server in an orderly way, a second one at once. SIGHUP reads
the configuration and certificates again, SIGUSR1 opens the access log again. SIGUSR2 runs
the program's file again, which serves in place of this process once it is ready, at the
same sockets; SIGWINCH does nothing.";

/// What the program shares with other processes.
#[derive(Debug, Default, Args)]
pub(crate) struct BrokerArguments {
    /// Share the drawing board and the counter of the demo, and those of ws-protocols, with other processes: by Redis (redis://HOST, rediss://,
    /// redis+unix:///SOCKET), NATS (nats://HOST:PORT) or, on one machine, a folder that they alone may enter (mesh:/FOLDER). Arguments can
    /// be seen by other users: a password is better in the key broker of a configuration
    #[arg(long = "broker", value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// Serves a directory over HTTP, or a demo without one
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Directory to serve; without it, the demo pages
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,

    /// Port to listen on; 0 lets the system choose
    #[arg(short, long, default_value_t = 7681)]
    port: u16,

    /// Address to listen on; 0.0.0.0 or :: for every one
    #[arg(short, long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,

    /// Listen on a Unix socket instead
    #[arg(short, long, value_name = "PATH", conflicts_with_all = ["port", "address"])]
    unix: Option<PathBuf>,

    /// Speak TLS with the certificates in this PEM file, the server's first; SIGHUP reads it again
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key in a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Use TLS with a new certificate that no client trusts: for trying out
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    tls_self_signed: bool,

    /// Write the secrets of all TLS sessions to this file, in the format of SSLKEYLOGFILE: who has it reads everything
    #[arg(long, value_name = "FILE")]
    tls_key_log: Option<PathBuf>,

    /// Write nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Where a line for each request goes: - for standard output, syslog, journal, or a file, which SIGUSR1 opens again
    #[arg(long, value_name = "TARGET", default_value = "-", conflicts_with = "quiet")]
    pub(crate) access_log: Target,

    /// What a line of the log looks like
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<Format>,

    /// Log nothing that went well at this path and below it, again for more: those that balancers ask every second
    #[arg(long = "log-skip", value_name = "PATH")]
    pub(crate) log_skipped: Vec<String>,

    /// Log every N-th of the requests that went well, and all others
    #[arg(long, value_name = "N")]
    pub(crate) log_sample: Option<u32>,

    /// Threads, each with connections of its own; 0 for one per processor
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) threads: usize,

    /// Let each thread listen, and the system spread the connections: SO_REUSEPORT. Otherwise the thread with the fewest
    /// gets the next one
    #[arg(long, conflicts_with = "unix")]
    pub(crate) reuse_port: bool,

    /// Most connections at a time, of all threads together [default: the limit of open files, less 32]
    #[arg(long, value_name = "N")]
    pub(crate) max_connections: Option<usize>,

    /// Bytes that may be held for all peers together: gathered content, messages in pieces, queued output; new work is refused past it
    #[arg(long, value_name = "BYTES", default_value_t = lws_server::SERVICE_BYTES_MAX)]
    pub(crate) held_bytes_max: usize,

    /// Microseconds that each thread works for all connections before it looks for new input; 0 for no bound
    #[arg(long, value_name = "MICROS", default_value_t = 1_000)]
    turn_time: u32,

    /// Print what one connection of each kind may cost at most, and end
    #[arg(long)]
    pub(crate) limits: bool,

    /// Compress WebSocket messages, where the peer offers it; perhaps with options such as
    /// compression_level=6,server_no_context_takeover=0
    #[arg(long, value_name = "NAME=VALUE,...", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = deflate)]
    pub(crate) deflate: Option<Deflate>,

    /// Most requests on one connection
    #[arg(long, value_name = "N", default_value_t = lws_server::Limits::default().keep_alive_requests_max)]
    pub(crate) keep_alive_requests: u32,

    /// Seconds that a connection may stand idle between two requests
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    keep_alive_timeout: u32,

    /// Seconds in which what a peer still sends is read and dropped after the last answer, so that no reset destroys that on
    /// its way
    #[arg(long, value_name = "SECS", default_value_t = 2)]
    linger_timeout: u32,

    /// Speak HTTP/1.1 only
    #[arg(long)]
    pub(crate) http1: bool,

    /// Go to HTTP/2 where a client without TLS asks for it with Upgrade: h2c. A front end that forwards that field takes what
    /// comes behind it for a tunnel, and applies none of its rules
    #[arg(long, conflicts_with = "http1")]
    pub(crate) upgrade_h2c: bool,

    /// Pass on everything below PATH to another server, again for more: http://HOST:PORT, https://, h2c://, h2:// (HTTP/2 alone) or
    /// unix:SOCKET. A path in the URL, as in /api=http://127.0.0.1:3000/, stands in place of PATH
    #[arg(long = "proxy", value_name = "PATH=URL")]
    pub(crate) proxies: Vec<Forward>,

    /// A name to answer for, again for more. Otherwise every name; but on loopback addresses and Unix sockets only localhost
    /// and loopback addresses
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,

    /// Answer for every name on loopback addresses and Unix sockets, too: behind a proxy that looks at names itself
    #[arg(long, conflicts_with = "hosts")]
    pub(crate) any_host: bool,

    /// Let pages of this origin, such as `https://example.com`, open WebSockets and post, too; again for more. Those of this
    /// server may always
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub(crate) origins: Vec<String>,

    /// Let the pages of every origin open WebSockets and post
    #[arg(long, conflicts_with = "origins")]
    pub(crate) any_origin: bool,
    #[cfg(feature = "record")]
    #[command(flatten)]
    pub(crate) record: crate::record::RecordArguments,
    #[cfg(feature = "tracing")]
    #[command(flatten)]
    pub(crate) trace: crate::trace::TraceArguments,

    /// Seconds that connections get to end in
    #[arg(long, value_name = "SECS", default_value_t = 10)]
    drain_timeout: u32,

    /// Seconds between the first no of /readyz and the closing of the listeners, in which a balancer learns of it
    #[arg(long, value_name = "SECS", default_value_t = 0)]
    drain_delay: u32,

    /// Where operators and collectors come: /metrics, /healthz, /readyz, POST /reload, POST /drain. A path for a Unix socket that
    /// its user alone may open, or a loopback address with its port
    #[arg(long, value_name = "ADDR|PATH")]
    pub(crate) admin: Option<AdminAddress>,

    #[command(flatten)]
    pub(crate) broker: BrokerArguments,

    #[command(flatten, next_help_heading = "Process")]
    pub(crate) process: ProcessArguments,

    #[command(flatten, next_help_heading = "Files")]
    pub(crate) files: FilesArguments,

    #[command(flatten, next_help_heading = "Configuration files")]
    pub(crate) configuration: ConfigurationArguments,
}

impl Arguments {
    /// The address as the server takes it.
    pub(crate) fn listen(&self) -> String {
        match &self.unix {
            Some(path) => format!("unix:{}", path.display()),
            None => SocketAddr::new(self.address, self.port).to_string(),
        }
    }

    /// TLS, if it is wanted.
    pub(crate) fn tls(&self) -> io::Result<Option<tls::Server>> {
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(certificates), Some(key)) => Identity::files(certificates, key),
            _ if self.tls_self_signed => certificate::self_signed(self.address)?,
            _ => return Ok(None),
        };
        let mut server = tls::Server::builder().default_host(Host::new(identity));
        if self.http1 {
            server = server.alpn(&["http/1.1"]);
        }
        if let Some(path) = &self.tls_key_log {
            server = server.key_log(KeyLog::file(path)?);
            eprintln!(
                "lwsws: the secrets of all TLS sessions go to {}: who has it reads everything",
                path.display()
            );
        }
        let server = server.build()?;
        certificate::complain_of_times(&server);
        Ok(Some(server))
    }

    /// What is served, for a person.
    pub(crate) fn what(&self) -> String {
        match self.files.archive().or(self.directory.as_deref()) {
            Some(path) => path.display().to_string(),
            None => "the demo".into(),
        }
    }

    pub(crate) fn keep_alive_timeout(&self) -> Duration {
        Duration::from_secs(self.keep_alive_timeout.into())
    }

    pub(crate) fn linger_timeout(&self) -> Duration {
        Duration::from_secs(self.linger_timeout.into())
    }

    pub(crate) fn turn_time(&self) -> Duration {
        match self.turn_time {
            0 => Duration::MAX,
            micros => Duration::from_micros(micros.into()),
        }
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout.into())
    }

    pub(crate) fn drain_delay(&self) -> Duration {
        Duration::from_secs(self.drain_delay.into())
    }

    /// What can only be seen by looking.
    fn check(&self) -> Result<(), String> {
        match &self.directory {
            Some(directory) if !directory.exists() => {
                Err(format!("there is no directory {}", directory.display()))
            }
            Some(directory) if !directory.is_dir() => {
                Err(format!("not a directory: {}", directory.display()))
            }
            _ => Ok(()),
        }
    }
}

/// permessage-deflate with options by the names of libwebsockets.
fn deflate(options: &str) -> Result<Deflate, String> {
    let mut deflate = Deflate::default();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, "1"));
        deflate.set_option(name, value).map_err(|error| format!("{option}: {error}"))?;
    }
    Ok(deflate)
}

/// The arguments; or, after telling why not in one line, the status to end with.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    let protocols = plugins::built_in_names();
    let help = format!(
        "{AFTER_HELP}\n\nProtocols that are built in: {protocols}.\nLoops that are built in: {}.",
        loops::names()
    );
    let matches = Arguments::command().after_help(help).try_get_matches();
    let arguments = matches.and_then(|matches| Arguments::from_arg_matches(&matches)).map_err(|error| {
        if error.use_stderr() {
            // What is wrong, up to the empty line before hints: missing arguments stand on lines of their own.
            let text = error.to_string();
            let lines: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
            wrong(lines.join(" ").trim_start_matches("error: "))
        } else {
            // Help or version, as asked for. If standard output is closed they are lost, which is no error.
            let _ = error.print();
            ExitCode::SUCCESS
        }
    })?;
    arguments.check().map_err(|error| wrong(&error))?;
    Ok(arguments)
}

fn wrong(what: &str) -> ExitCode {
    eprintln!("lwsws: {what} (lwsws --help tells more)");
    ExitCode::from(2)
}
