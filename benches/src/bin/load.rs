//! `load`: drives a server over loopback, beside a bare epoll program where it compares.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use benches::cells::{self, Cell};
use benches::client::{Fleet, Plan, Span, Traffic};
use benches::loops::{self, server, turns};
use benches::process::{OWN_SERVER, Server};
use benches::{
    Result, ask, ceiling, compare, fanout, idle, machine, mix, relay, report, syscalls, threads, tls, wake,
};
use clap::{Args, Parser, Subcommand};

/// Measures a server over loopback: CPU time per message, latency, memory, system calls.
#[derive(Parser)]
#[command(name = "load")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The core of the servers that are started.
    #[arg(long, global = true, default_value_t = 0)]
    server_core: usize,
    /// The core of the client; the server's own for ping-pong without wake-ups across cores.
    #[arg(long, global = true, default_value_t = 1)]
    client_core: usize,
}

#[derive(Subcommand)]
enum Command {
    /// WebSocket messages that a server echoes
    Echo {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        shape: Shape,
        /// Where the server echoes.
        #[arg(long, default_value = "/echo")]
        path: String,
    },
    /// Bytes that a server echoes, without any protocol
    Raw {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        shape: Shape,
    },
    /// HTTP/1.1 keep-alive requests
    Hello {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        shape: Shape,
        /// What is asked for.
        #[arg(long, default_value = "/hello")]
        path: String,
        /// The content that must come back.
        #[arg(long, default_value = "Hello, world!")]
        expect: String,
    },
    /// Memory of idle WebSockets
    Idle {
        #[command(flatten)]
        target: Target,
        /// How many WebSockets idle.
        #[arg(long, default_value_t = 10_000, value_parser = connections())]
        connections: u64,
        /// Where the server echoes.
        #[arg(long, default_value = "/echo")]
        path: String,
    },
    /// Busy WebSockets beside idle ones, and alone
    Mix(Mix),
    /// What a second thread of the server wins
    Threads(TwoThreads),
    /// System calls of a server for each message
    Syscalls {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        shape: Shape,
        /// HTTP/1.1 `GET /hello` instead of WebSocket messages to `/echo`.
        #[arg(long)]
        hello: bool,
    },
    /// A table of loads beside bare epoll programs, in alternating rounds
    Compare(Compare),
    /// Handshakes, bulk and idle WebSockets over TLS, beside other servers
    Tls(Tls),
    /// The same echo on every loop, beside the built-in one, in alternating rounds. The feature `loops` brings them all
    Loops(Loops),
    /// What a turn of a flooded service takes on each loop, and how often an idle one is woken. The feature `loops` brings them all
    Turns {
        /// WebSockets that flood.
        #[arg(long, default_value_t = 64, value_parser = connections())]
        connections: u64,
        /// Messages of 16 B that each keeps on its way.
        #[arg(long, default_value_t = 256)]
        depth: usize,
        /// Seconds that they do.
        #[arg(long, default_value = "5", value_parser = seconds)]
        seconds: Duration,
        /// Seconds that idle ones idle.
        #[arg(long, default_value = "10", value_parser = seconds)]
        idle: Duration,
        /// The first of the ports to use.
        #[arg(long, default_value_t = DEFAULT_PORT + 100)]
        port: u16,
    },
    /// From another thread to the handler of a service that sleeps
    Wake {
        /// How often it is woken.
        #[arg(long, default_value_t = 2_000)]
        messages: usize,
        /// Seconds that it is left alone before.
        #[arg(long, default_value = "0.001", value_parser = seconds)]
        pause: Duration,
    },
    /// One message to many subscribers of a topic, beside a bare loop of sends, and the memory of idle event streams
    Fanout {
        /// Connections.
        #[arg(long, default_value_t = 5_000, value_parser = connections())]
        connections: u64,
        /// Messages of a round.
        #[arg(long, default_value_t = 40)]
        messages: usize,
        /// How often each is measured.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// The first of the ports to use.
        #[arg(long, default_value_t = DEFAULT_PORT + 200)]
        port: u16,
    },
    #[command(flatten)]
    Part(Part),
}

/// What other commands and scripts start: one process each, bound to no core.
#[derive(Subcommand)]
enum Part {
    /// A server of one kind, as `fanout` starts it
    #[command(hide = true)]
    FanoutServer {
        kind: fanout::Kind,
        #[arg(long)]
        port: u16,
    },
    /// An echo on one loop, as `loops` starts it
    #[command(hide = true)]
    LoopServer {
        kind: server::Kind,
        #[arg(long)]
        port: u16,
    },
    /// A bare server, as `compare` starts it
    #[command(hide = true)]
    Ceiling {
        kind: ceiling::Kind,
        #[arg(long)]
        port: u16,
        /// Octets of the content that is answered, instead of that of `GET /hello`.
        #[arg(long)]
        content: Option<usize>,
    },
    /// A bare relay, as `benches/proxy.py` starts it
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        port: u16,
        /// The port that bytes go to.
        #[arg(long)]
        to: u16,
    },
    /// Requests of our own client, as `benches/proxy.py` has them sent: prints the CPU time of each, in microseconds
    #[command(hide = true)]
    Ask {
        version: ask::Version,
        /// How often requests are begun.
        batches: u32,
        /// How many at a time.
        each: u32,
        url: String,
    },
}

/// Which server.
#[derive(Args)]
struct Target {
    /// Starts this command; `{port}` becomes the port and `{bin}` the directory of this program. Without it and
    /// without `--port`, this workspace's own server.
    #[arg(long)]
    server: Option<String>,
    /// The server's port on 127.0.0.1. Without `--server`, it already listens there.
    #[arg(long)]
    port: Option<u16>,
    /// The process id of a server that is already there, to measure it.
    #[arg(long, conflicts_with = "server")]
    pid: Option<u32>,
}

/// How heavy and how long.
#[derive(Args)]
struct Shape {
    /// Connections.
    #[arg(long, default_value_t = 100, value_parser = connections())]
    connections: u64,
    /// Payload bytes of a message.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=64 << 20))]
    size: u64,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=4096))]
    depth: u64,
    #[command(flatten)]
    time: Time,
    /// Exactly so many messages instead of a time.
    #[arg(long)]
    messages: Option<u64>,
}

#[derive(Args, Clone, Copy)]
struct Time {
    /// Measured seconds of one run.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Seconds before them.
    #[arg(long, default_value = "0.2", value_parser = seconds)]
    warm_up: Duration,
}

#[derive(Args)]
struct Compare {
    /// The command of the server under test; `{port}` becomes the port and `{bin}` the directory of this program.
    #[arg(long, default_value = OWN_SERVER)]
    server: String,
    /// Another server, for a cross-check. It echoes at `/echo` and says hello at `/hello`.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = named)]
    also: Vec<(String, String)>,
    /// Which loads: `all`, `quick`, or names such as `128,1kx16,hello`.
    #[arg(long, default_value = "quick", value_parser = selection)]
    cells: Selection,
    /// Clean rounds of each load.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Rounds after which a load is left with the clean ones it has.
    #[arg(long, default_value_t = 30)]
    rounds_max: usize,
    /// Measured seconds of each server in one round.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    seconds: Duration,
    /// The first of the ports to use.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Exit with an error when a target is missed.
    #[arg(long)]
    gate: bool,
}

#[derive(Args)]
struct Tls {
    /// Leave nginx out.
    #[arg(long)]
    no_nginx: bool,
    /// Leave OpenSSL's s_server out.
    #[arg(long)]
    no_openssl: bool,
    /// The first of three ports to use.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Rounds, of which the best counts for each server.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections of one round.
    #[arg(long, default_value_t = 300)]
    handshakes: u32,
    /// MiB of one round.
    #[arg(long, default_value_t = 64)]
    mib: usize,
    /// How many WebSockets idle.
    #[arg(long, default_value_t = 2_000, value_parser = connections())]
    idle: u64,
}

impl Tls {
    fn measurement(&self, core: usize) -> tls::Measurement {
        let mut servers = vec![("lws".to_owned(), tls::OWN_SERVER.to_owned())];
        servers.extend((!self.no_nginx).then(|| ("nginx".to_owned(), tls::NGINX.to_owned())));
        servers.extend((!self.no_openssl).then(|| ("s_server".to_owned(), tls::OPENSSL.to_owned())));
        tls::Measurement {
            servers,
            port: self.port,
            core,
            rounds: self.rounds,
            handshakes: self.handshakes,
            mib: self.mib,
            idle: self.idle as usize,
        }
    }
}

#[derive(Args)]
struct Loops {
    /// Another server, which echoes WebSocket messages at `/echo`; `{port}` becomes the port and `{bin}` the directory
    /// of this program.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = named)]
    also: Vec<(String, String)>,
    /// Payload bytes of a message.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=64 << 20))]
    size: u64,
    /// Rounds of each number of connections.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Measured seconds of each server in one round.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    seconds: Duration,
    /// The first of the ports to use.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
}

#[derive(Args)]
struct Mix {
    /// The command of the server, which is started twice; `{port}` becomes the port and `{bin}` the directory of this
    /// program.
    #[arg(long, default_value = OWN_SERVER)]
    server: String,
    /// The first of the two ports to use.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// How many WebSockets idle.
    #[arg(long, default_value_t = 10_000, value_parser = connections())]
    idle: u64,
    /// How many WebSockets are busy.
    #[arg(long, default_value_t = 100, value_parser = connections())]
    connections: u64,
    /// Payload bytes of a message.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=64 << 20))]
    size: u64,
    /// Clean rounds.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Rounds after which it ends with the clean ones it has.
    #[arg(long, default_value_t = 30)]
    rounds_max: usize,
    /// Measured seconds of each server in one round.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    seconds: Duration,
    /// Where the server echoes.
    #[arg(long, default_value = "/echo")]
    path: String,
}

#[derive(Args)]
struct TwoThreads {
    /// The command of the server, which is started twice, with `--threads 1` and `--threads 2`; `{port}` becomes the port and
    /// `{bin}` the directory of this program.
    #[arg(long, default_value = OWN_SERVER)]
    server: String,
    /// The first of the two ports to use.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Connections.
    #[arg(long, default_value_t = 16, value_parser = connections())]
    connections: u64,
    /// Payload bytes of a message.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=64 << 20))]
    size: u64,
    /// Messages in flight on each connection.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=4096))]
    depth: u64,
    /// How often each is measured.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Measured seconds of each in one round.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Exit with an error when the target is missed.
    #[arg(long)]
    gate: bool,
}

impl TwoThreads {
    fn comparison(self) -> threads::Comparison {
        let plan = Plan {
            port: self.port,
            traffic: Traffic::WebSocket { path: "/echo".into() },
            connections: self.connections as usize,
            size: self.size as usize,
            depth: self.depth as usize,
            sources: 1,
        };
        threads::Comparison {
            server: self.server,
            port: self.port,
            plan,
            rounds: self.rounds.max(1),
            measure: self.seconds,
        }
    }
}

impl Mix {
    fn mix(self, core: usize) -> mix::Mix {
        let busy = Plan {
            port: self.port,
            traffic: Traffic::WebSocket { path: self.path.clone() },
            connections: self.connections as usize,
            size: self.size as usize,
            depth: 1,
            sources: 1,
        };
        mix::Mix {
            server: self.server,
            port: self.port,
            core,
            path: self.path,
            busy,
            idle: self.idle as usize,
            rounds: self.rounds,
            rounds_max: self.rounds_max.max(self.rounds),
            measure: self.seconds,
        }
    }
}

#[derive(Clone)]
struct Selection(Vec<Cell>);

const DEFAULT_PORT: u16 = 9100;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    machine::raise_descriptor_limit();
    match cli.command {
        Command::Part(part) => part.run().map(|()| ExitCode::SUCCESS),
        Command::Threads(arguments) => {
            // Neither the server nor the client is bound to a core.
            let gate = arguments.gate;
            let met = threads::run(&arguments.comparison())?;
            Ok(if gate && !met { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        command => {
            machine::pin(cli.client_core);
            measure(command, cli.server_core)
        }
    }
}

impl Part {
    fn run(self) -> Result<()> {
        match self {
            Self::FanoutServer { kind, port } => fanout::serve(kind, port),
            Self::LoopServer { kind, port } => server::run(kind, port),
            Self::Ceiling { kind, port, content } => {
                let content = content.map_or_else(|| ceiling::HELLO.to_vec(), |length| vec![b'x'; length]);
                ceiling::Ceiling::bind(kind, port, &content)?.run()
            }
            Self::Relay { port, to } => relay::Relay::bind(port, to)?.run(),
            Self::Ask { version, batches, each, url } => {
                let needed = ask::run(&ask::Ask { version, batches, each, url })?;
                println!("{:.3}", needed.as_secs_f64() * 1e6);
                Ok(())
            }
        }
    }
}

/// Measures with the server on its core.
fn measure(command: Command, core: usize) -> Result<ExitCode> {
    match command {
        Command::Part(_) | Command::Threads(_) => {}
        Command::Fanout { connections, messages, rounds, port } => {
            let connections = connections as usize;
            fanout::run(&fanout::Fanout { connections, messages, rounds: rounds.max(1), port, core })?;
            fanout::run_events(connections, port + 2, core)?;
        }
        Command::Echo { target, shape, path } => single(&target, &shape, Traffic::WebSocket { path }, core)?,
        Command::Raw { target, shape } => single(&target, &shape, Traffic::Raw, core)?,
        Command::Hello { target, shape, path, expect } => {
            single(&target, &shape, Traffic::Http { path, content: expect }, core)?;
        }
        Command::Idle { target, connections, path } => {
            let server = Running::get(&target, core)?;
            idle::run(&idle::plan(server.port, &path, connections as usize), server.known_id()?)?;
        }
        Command::Mix(arguments) => {
            mix::run(&arguments.mix(core))?;
        }
        Command::Syscalls { target, shape, hello } => {
            let server = Running::get(&target, core)?;
            let traffic = if hello {
                Traffic::Http { path: "/hello".into(), content: "Hello, world!".into() }
            } else {
                Traffic::WebSocket { path: "/echo".into() }
            };
            let plan = shape.plan(server.port, traffic);
            syscalls::run(&plan, shape.messages.unwrap_or(100_000), server.known_id()?)?;
        }
        Command::Tls(arguments) => tls::run(&arguments.measurement(core))?,
        Command::Loops(Loops { also, size, rounds, seconds, port }) => {
            let size = size as usize;
            loops::run(&loops::Loops { also, size, rounds, measure: seconds, port, core })?;
        }
        Command::Turns { connections, depth, seconds, idle, port } => {
            let connections = connections as usize;
            turns::run(&turns::Turns { connections, depth, measure: seconds, idle, port, core })?;
        }
        Command::Wake { messages, pause } => wake::run(&wake::Wake { messages, pause, core })?,
        Command::Compare(arguments) => return compare(arguments, core),
    }
    Ok(ExitCode::SUCCESS)
}

/// One run and its report.
fn single(target: &Target, shape: &Shape, traffic: Traffic, core: usize) -> Result<()> {
    let server = Running::get(target, core)?;
    let plan = shape.plan(server.port, traffic);
    let outcome = Fleet::open(&plan)?.run(shape.span(), server.id)?;
    print!("{}", report::run(&plan, &outcome));
    match outcome.tally.bad {
        0 => Ok(()),
        bad => Err(format!("{bad} replies were wrong").into()),
    }
}

fn compare(arguments: Compare, core: usize) -> Result<ExitCode> {
    let mut servers = vec![("lws".to_string(), arguments.server)];
    servers.extend(arguments.also);
    let met = compare::run(&compare::Comparison {
        servers,
        cells: arguments.cells.0,
        rounds: arguments.rounds,
        rounds_max: arguments.rounds_max.max(arguments.rounds),
        measure: arguments.seconds,
        port: arguments.port,
        core,
    })?;
    Ok(if arguments.gate && !met { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A server that was started for this call, or was already there.
struct Running {
    port: u16,
    id: Option<u32>,
    /// Ends the process when the call is over.
    _started: Option<Server>,
}

impl Running {
    fn get(target: &Target, core: usize) -> Result<Self> {
        if let (None, Some(port)) = (&target.server, target.port) {
            return Ok(Self { port, id: target.pid, _started: None });
        }
        let command = target.server.as_deref().unwrap_or(OWN_SERVER);
        let server = Server::start(command, target.port.unwrap_or(DEFAULT_PORT), core)?;
        Ok(Self { port: server.port, id: Some(server.id()), _started: Some(server) })
    }

    fn known_id(&self) -> Result<u32> {
        self.id.ok_or_else(|| "the server's process id is needed: give --pid or --server".into())
    }
}

impl Shape {
    fn plan(&self, port: u16, traffic: Traffic) -> Plan {
        Plan {
            port,
            traffic,
            connections: self.connections as usize,
            size: self.size as usize,
            depth: self.depth as usize,
            sources: 1,
        }
    }

    fn span(&self) -> Span {
        match self.messages {
            Some(messages) => Span::Messages(messages),
            None => Span::Time { warm_up: self.time.warm_up, measure: self.time.seconds },
        }
    }
}

/// A process may rarely have more than 20,000 descriptors.
fn connections() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=19_900)
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let seconds = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn selection(text: &str) -> std::result::Result<Selection, String> {
    cells::select(text).map(Selection)
}

fn named(text: &str) -> std::result::Result<(String, String), String> {
    let (name, command) = text.split_once('=').ok_or("write NAME=COMMAND")?;
    Ok((name.into(), command.into()))
}
