//! A client for the peers' tests: many requests at a time through the pool of `lws-client`.
//!
//! ```text
//! pool-client URL COUNT PARALLEL [--bytes N] [--http1 | --http2] [--insecure]
//! ```
//!
//! Asks COUNT times, PARALLEL of them at a time, and wants the same 200 each time; with `--bytes` it posts content, different for each
//! request, and compares it with what comes back. Over HTTP/1.1 with `--http1`, over HTTP/2 alone with `--http2`, and otherwise what ALPN
//! chooses. Prints how many connections it took.

use lws_client::{Body, Context, Failure, Options, Request, Response, Runtime, Tls, Url, Versions};
use lws_proto::Bytes;
use std::cell::RefCell;
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;

/// Bytes of a response that are gathered.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(reported) => {
            println!("{reported}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("pool-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (plain, rest) =
        arguments.split_at_checked(3).ok_or("usage: pool-client URL COUNT PARALLEL [OPTION]...")?;
    let (url, count, parallel): (Url, usize, usize) =
        (plain[0].parse()?, plain[1].parse()?, plain[2].parse()?);
    let mut options = Options::default();
    let mut bytes = None;
    let mut rest = rest.iter().map(String::as_str);
    while let Some(option) = rest.next() {
        match option {
            "--bytes" => bytes = Some(rest.next().ok_or("--bytes needs a number")?.parse()?),
            "--http1" => options.request.versions = Versions::Http1,
            "--http2" => options.request.versions = Versions::Http2,
            "--insecure" => {
                options.tls = Tls::rustls(|protocols| {
                    lws_tls::Client::builder().danger_accept_any_certificate().alpn(protocols).build()
                });
            }
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    let mut runtime = Runtime::new(options)?;
    let asking =
        Rc::new(RefCell::new(Asking { url, bytes, left: count, under_way: 0, first: None, failed: None }));
    runtime.with(|client| {
        for _ in 0..parallel {
            ask(client, &asking);
        }
    });
    runtime.run_until(|| asking.borrow().is_done())?;
    if let Some(failed) = asking.borrow_mut().failed.take() {
        return Err(failed.into());
    }
    let stats = runtime.with(|client| client.stats());
    Ok(format!(
        "{count} requests on {} connections, {} begun again",
        stats.connects_total, stats.retries_total
    ))
}

/// What is still to be asked.
struct Asking {
    url: Url,
    /// How much is posted with each.
    bytes: Option<usize>,
    left: usize,
    under_way: usize,
    /// What came of the first GET.
    first: Option<Vec<u8>>,
    failed: Option<String>,
}

impl Asking {
    fn is_done(&self) -> bool {
        self.under_way == 0 && (self.left == 0 || self.failed.is_some())
    }

    /// The next request, and what is to come back if that is known.
    fn next(&mut self) -> Option<(Request, Option<Bytes>)> {
        if self.left == 0 || self.failed.is_some() {
            return None;
        }
        let (number, url) = (self.left, self.url.clone());
        self.left -= 1;
        self.under_way += 1;
        let Some(len) = self.bytes else { return Some((Request::new("GET", url), None)) };
        let content: Bytes = (0..len).map(|at| (number + at + at / 251) as u8).collect();
        let mut request = Request::new("POST", url);
        request.body = Body::Bytes(content.clone());
        Some((request, Some(content)))
    }

    fn compare(&mut self, sent: Option<&Bytes>, outcome: Result<Response, Failure>) -> Result<(), String> {
        let response = outcome.map_err(|failure| failure.to_string())?;
        if response.status() != 200 {
            return Err(format!("answered with {}: {}", response.status(), response.text()));
        }
        let same = match sent {
            Some(sent) => response.body == *sent,
            None => *self.first.get_or_insert_with(|| response.body.clone()) == response.body,
        };
        if same {
            Ok(())
        } else {
            Err(format!("{} bytes that are not what they should be", response.body.len()))
        }
    }
}

fn ask(client: &mut lws_client::Client, asking: &Rc<RefCell<Asking>>) {
    let Some((request, sent)) = asking.borrow_mut().next() else { return };
    let asking = Rc::clone(asking);
    client.collect(request, RESPONSE_BYTES_MAX, move |cx: &mut Context<'_>, outcome| {
        {
            let asking = &mut *asking.borrow_mut();
            asking.under_way -= 1;
            if let Err(text) = asking.compare(sent.as_ref(), outcome) {
                asking.failed.get_or_insert(text);
            }
        }
        ask(cx.client(), &asking);
    });
}
