//! Fetches a URL: `cargo run -p lws-client --example fetch -- [-i] [-v] [-d CONTENT] [-H NAME:VALUE] URL`.
//!
//! Redirects are followed and compressed content is taken apart. `-i` prints the head, `-v` the timings, `-d` posts.

use lws_client::{
    Body, Context, Failure, Options, ProxyRules, RedirectRules, Reply, Request, ResponseHead, Runtime,
    Timings,
};
use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;

/// What is asked of this program.
#[derive(Default)]
struct Arguments {
    head: bool,
    verbose: bool,
    content: Option<String>,
    fields: Vec<(String, String)>,
    url: String,
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments::default();
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "-i" => found.head = true,
            "-v" => found.verbose = true,
            "-d" => found.content = Some(given.next()?),
            "-H" => {
                let line = given.next()?;
                let (name, value) = line.split_once(':')?;
                found.fields.push((name.to_owned(), value.trim().to_owned()));
            }
            _ => found.url = argument,
        }
    }
    (!found.url.is_empty()).then_some(found)
}

/// Prints a response as it comes, and how far it is where somebody watches.
struct Print {
    head: bool,
    watched: bool,
    total: Option<u64>,
    outcome: Rc<RefCell<Option<Result<Timings, Failure>>>>,
}

impl Print {
    fn progress(&self, cx: &Context<'_>) {
        let done = cx.progress().bytes_received;
        match self.total {
            Some(total) if total > 0 => {
                let filled = usize::try_from(done * 40 / total).unwrap_or(40).min(40);
                eprint!("\r[{:<40}] {done} of {total}", "#".repeat(filled));
            }
            _ => eprint!("\r{done} bytes"),
        }
    }
}

impl Reply for Print {
    fn head(&mut self, _: &mut Context<'_>, head: ResponseHead) {
        self.total = head.content_length();
        if self.head {
            println!("{:?} {} {}", head.version, head.status, head.status.reason());
            for (name, value) in head.fields.iter() {
                println!("{name}: {}", value.escape_ascii());
            }
            println!();
        }
    }

    fn body(&mut self, cx: &mut Context<'_>, chunk: &mut [u8]) {
        if io::stdout().write_all(chunk).is_err() {
            return cx.cancel();
        }
        if self.watched {
            self.progress(cx);
        }
    }

    fn end(self: Box<Self>, _: &mut Context<'_>, outcome: Result<Timings, Failure>) {
        if self.watched {
            eprintln!();
        }
        self.outcome.replace(Some(outcome));
    }
}

fn main() -> io::Result<()> {
    let Some(arguments) = arguments() else {
        eprintln!("fetch [-i] [-v] [-d CONTENT] [-H NAME:VALUE] URL");
        std::process::exit(2);
    };
    let mut options = Options::default();
    options.proxies = ProxyRules::from_environment();
    options.user_agent = Some("lws-fetch".to_owned());
    options.request.redirects = RedirectRules::follow();
    options.request.decompress = true;
    let url = arguments.url.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut request = Request::new(if arguments.content.is_some() { "POST" } else { "GET" }, url);
    request.body = arguments.content.map_or(Body::Empty, |content| Body::Bytes(content.into()));
    for (name, value) in &arguments.fields {
        request.fields.add(name, value);
    }
    let outcome = Rc::new(RefCell::new(None));
    let watched = io::stderr().is_terminal() && !io::stdout().is_terminal();
    let reply = Print { head: arguments.head, watched, total: None, outcome: Rc::clone(&outcome) };
    let mut runtime = Runtime::new(options)?;
    runtime.with(|client| client.start(request, reply));
    runtime.run_until(|| outcome.borrow().is_some())?;
    match outcome.take() {
        Some(Err(failure)) => {
            eprintln!("fetch: {failure}");
            std::process::exit(1);
        }
        Some(Ok(timings)) if arguments.verbose => eprintln!("{timings:#?}"),
        _ => {}
    }
    io::stdout().flush()
}
