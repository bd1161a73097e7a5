//! Requests to authorities, one at a time, with a loop of their own.

use lws_acme::{Method, RESPONSE_BYTES_MAX, Request, Response};
use lws_client::{Body, Options, Runtime, Tls};
use lws_server::tls::{self, Roots};
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long a request to an authority may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The client of an authority.
pub(super) struct AuthorityClient(Runtime);

impl AuthorityClient {
    /// A client of an authority whose certificate these roots vouch for, or those of the system.
    ///
    /// # Errors
    /// There are no descriptors or no memory for it.
    pub(super) fn new(roots: Option<&Path>) -> io::Result<Self> {
        let mut options = Options::default();
        // RFC 8555 §6.1: "ACME clients MUST send a User-Agent header field".
        options.user_agent = Some(concat!("lwsws/", env!("CARGO_PKG_VERSION")).to_owned());
        options.request.timeout = Some(REQUEST_TIMEOUT);
        if let Some(roots) = roots {
            let roots = Roots::file(roots);
            options.tls =
                Tls::rustls(move |alpn| tls::Client::builder().roots(roots.clone()).alpn(alpn).build());
        }
        Runtime::new(options).map(Self)
    }

    /// Sends a request, and hands over what comes of it: the time in Unix seconds and the response, or why there is none.
    pub(super) fn send(
        &mut self,
        request: &Request,
        take: impl FnOnce(Result<(i64, &Response<'_>), &dyn Display>),
    ) {
        let url = match request.url.parse() {
            Ok(url) => url,
            Err(error) => return take(Err(&format_args!("{}: {error}", request.url))),
        };
        let method = match request.method {
            Method::Head => "HEAD",
            Method::Post => "POST",
            _ => "GET",
        };
        let mut sent = lws_client::Request::new(method, url);
        if request.method == Method::Post {
            sent.fields.add("content-type", "application/jose+json");
            sent.body = Body::Bytes(request.body.clone().into());
        }
        match self.0.send(sent, RESPONSE_BYTES_MAX) {
            Ok(Ok(response)) => {
                let fields = &response.head.fields;
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let taken = Response {
                    status: response.status(),
                    nonce: fields.text("replay-nonce"),
                    location: fields.text("location"),
                    retry_after: fields.text("retry-after"),
                    body: &response.body,
                };
                take(Ok((i64::try_from(now.as_secs()).unwrap_or(i64::MAX), &taken)));
            }
            Ok(Err(failure)) => take(Err(&failure)),
            Err(error) => take(Err(&error)),
        }
    }
}
