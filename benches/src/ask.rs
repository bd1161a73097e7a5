//! What a request costs our client: batches of requests for one URL, all of a batch at a time, as `multi.c` does with libcurl.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use lws_client::{Options, Request, Runtime, Tls, Url, Versions};

use crate::Result;
use crate::machine::own_cpu_time;

/// Bytes of a response that are gathered.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// The version of HTTP that is asked with.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Version {
    /// HTTP/1.1, on 6 connections.
    #[value(name = "1.1")]
    Http1,
    /// HTTP/2, on one.
    #[value(name = "2")]
    Http2,
}

/// How much is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// With which version.
    pub version: Version,
    /// How often `each` requests are begun; the first time is not counted.
    pub batches: u32,
    /// Requests of a batch.
    pub each: u32,
    /// What they ask for: a response with 200. Whatever certificate a server over TLS has, it is accepted.
    pub url: String,
}

/// CPU time of this process, user and system, for one request.
///
/// # Errors
/// When the URL is none, or a request fails.
pub fn run(ask: &Ask) -> Result<Duration> {
    let mut options = Options::default();
    options.limits.requests_per_connection_max = u32::MAX;
    options.request.versions = match ask.version {
        Version::Http1 => Versions::Http1,
        Version::Http2 => Versions::Http2,
    };
    options.tls = Tls::rustls(|protocols| {
        lws_tls::Client::builder().danger_accept_any_certificate().alpn(protocols).build()
    });
    let mut runtime = Runtime::new(options)?;
    let url: Url = ask.url.parse()?;
    batch(&mut runtime, &url, ask.each)?;
    let before = own_cpu_time();
    for _ in 0..ask.batches {
        batch(&mut runtime, &url, ask.each)?;
    }
    Ok((own_cpu_time() - before) / (ask.batches * ask.each).max(1))
}

/// Begins `count` requests and waits for all.
fn batch(runtime: &mut Runtime, url: &Url, count: u32) -> Result<()> {
    let left = Rc::new(RefCell::new((count, None)));
    runtime.with(|client| {
        for _ in 0..count {
            let left = Rc::clone(&left);
            client.collect(Request::new("GET", url.clone()), RESPONSE_BYTES_MAX, move |_, outcome| {
                let (left, failed) = &mut *left.borrow_mut();
                *left -= 1;
                match outcome {
                    Ok(response) if response.status() == 200 => {}
                    Ok(response) => *failed = Some(format!("status {}", response.status())),
                    Err(failure) => *failed = Some(failure.to_string()),
                }
            });
        }
    });
    runtime.run_until(|| left.borrow().0 == 0)?;
    let failed = left.borrow_mut().1.take();
    failed.map_or(Ok(()), |text| Err(io::Error::other(text).into()))
}
