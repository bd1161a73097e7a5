//! An HTTP/2 client for the peers' tests: many requests on one connection, by prior knowledge.
//!
//! ```text
//! http2-client URL COUNT          asks COUNT times, and wants the same 200 each time
//! http2-client URL COUNT BYTES    posts BYTES of content COUNT times, each of its own, and compares it with what comes back
//! ```

use lws_proto::http::{Scheme, Status};
use lws_proto::{Bytes, Cause, Config, Connection, Event, Misuse, Payload, Request, StreamKey, Time};
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use tests::transport::{Failure, SystemEntropy, Transport};

/// Requests at a time: more than a server takes streams, so that some wait.
const PARALLEL: usize = 150;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [url, count] => run(url, count, None),
        [url, count, bytes] => run(url, count, Some(bytes)),
        _ => Err("usage: http2-client URL COUNT [BYTES]".into()),
    };
    match done {
        Ok(reported) => {
            println!("{reported}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("http2-client: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(url: &str, count: &str, bytes: Option<&str>) -> Result<String, Failure> {
    let rest =
        url.strip_prefix("http://").ok_or_else(|| format!("a URL begins with http://, unlike {url:?}"))?;
    let (authority, target) = rest.split_at(rest.find('/').ok_or("a URL has a path")?);
    let mut transport = Transport::open(authority)?;
    let config = Arc::new(Config::default());
    let mut connection = Connection::client_http2(Time::ZERO, config, Box::new(SystemEntropy), Scheme::Http);
    let mut asking = Asking {
        authority,
        target,
        left: count.parse()?,
        bytes: bytes.map(str::parse).transpose()?,
        under_way: HashMap::new(),
        good: 0,
        first: None,
    };
    let mut buffer = vec![0; 64 << 10];
    loop {
        asking.ask(&mut connection, transport.time())?;
        while let Some(event) = connection.next_event() {
            asking.event(event)?;
        }
        if asking.is_done() {
            connection.drain(transport.time());
        }
        transport.write(&mut connection);
        let interest = connection.interest();
        if interest.close {
            break;
        }
        if interest.service {
            continue;
        }
        let received = transport.read(&mut connection, &mut buffer)?;
        let mut feed = connection.receive(transport.time(), received);
        while let Some(event) = feed.next_event() {
            asking.event(event)?;
        }
    }
    if asking.is_done() {
        Ok(format!("{} requests were answered", asking.good))
    } else {
        Err(format!("the connection ended after {} answers", asking.good).into())
    }
}

/// What was asked, and what has come of it.
struct Asking<'a> {
    authority: &'a str,
    target: &'a str,
    /// Requests that have not been made.
    left: usize,
    /// How much is posted with each.
    bytes: Option<usize>,
    under_way: HashMap<StreamKey, Exchange>,
    good: usize,
    /// What came of the first GET.
    first: Option<Vec<u8>>,
}

/// One request, and as much of its response as has come.
struct Exchange {
    content: Bytes,
    status: Option<Status>,
    received: Vec<u8>,
}

impl Asking<'_> {
    fn is_done(&self) -> bool {
        self.left == 0 && self.under_way.is_empty()
    }

    /// Makes as many requests as may be under way, or as the queue takes of those for which the server has no stream yet; half of
    /// the content goes with the head, the other half when there is a permit.
    fn ask(&mut self, connection: &mut Connection, now: Time) -> Result<(), Failure> {
        while self.left > 0 && self.under_way.len() < PARALLEL {
            let method = if self.bytes.is_some() { "POST" } else { "GET" };
            let request = Request { method, target: self.target, host: self.authority };
            let fields = [("user-agent", "lws-proto")];
            let content = content(self.left, self.bytes.unwrap_or(0));
            let half = content.slice(..content.len() / 2);
            let end = self.bytes.is_none();
            let sent = match connection.request(now, &request, fields, Payload::Own(half), end) {
                // Those that wait are asked first: there is room again when one of them has been answered.
                Err(Misuse::QueueFull) => break,
                sent => sent?,
            };
            let key = sent.key();
            if !end {
                sent.again();
            }
            self.under_way.insert(key, Exchange { content, status: None, received: Vec::new() });
            self.left -= 1;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), Failure> {
        let key = event.key();
        let Some(exchange) = self.under_way.get_mut(&key) else { return Ok(()) };
        match event {
            Event::Response { head, .. } => exchange.status = head.status(),
            Event::Body { chunk, .. } => exchange.received.extend_from_slice(chunk),
            Event::Writable(permit) => {
                let rest = exchange.content.slice(exchange.content.len() / 2..);
                permit.into_exchange().expect("an exchange").data(Payload::Own(rest), true)?;
            }
            Event::Closed { cause, .. } => {
                if let Some(exchange) = self.under_way.remove(&key) {
                    self.compare(exchange, cause)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compare(&mut self, exchange: Exchange, cause: Cause) -> Result<(), Failure> {
        let Exchange { content, status, received } = exchange;
        if cause == Cause::Refused {
            // The request was sent before the server's limit of streams was known.
            self.left += 1;
            return Ok(());
        }
        if status != Some(Status::OK) || !cause.is_clean() {
            return Err(format!("answered with {status:?}: {cause}").into());
        }
        let same = match self.bytes {
            Some(_) => received == content,
            None => *self.first.get_or_insert_with(|| received.clone()) == received,
        };
        if !same {
            return Err(format!("{} bytes came back, which are not what was sent", received.len()).into());
        }
        self.good += 1;
        Ok(())
    }
}

/// Content that no other request has.
fn content(number: usize, len: usize) -> Bytes {
    let seed = number.to_le_bytes();
    (0..len).map(|at| seed[at % seed.len()].wrapping_add((at / 251) as u8)).collect()
}
