//! Another route or another server decides who comes in: what proxies call forward authentication.

use crate::Context;
#[cfg(feature = "client")]
use crate::client::{self, Failure, Url};
use crate::http::Request;
#[cfg(feature = "client")]
use crate::http::subrequest::Grant;
#[cfg(feature = "client")]
use crate::http::{Response, Status};
use crate::route::guard::{Admission, Ask, Gate, Guard};
#[cfg(feature = "client")]
use std::time::Duration;

/// Asks another route of the site, or another server, whether a request may go on.
///
/// The question is a GET without content, with what the request is about in `X-Forwarded-Method`, `X-Forwarded-Proto`, `X-Forwarded-Host`,
/// `X-Forwarded-Uri` and `X-Forwarded-For`, whatever the client has said there. An answer of 2xx lets the request go on, and the request
/// gets the fields of it that [`copy`](Self::copy) names, in place of its own. Every other answer is the answer to the request: a redirect
/// to a page where people log in, say. Where there is no answer the request is answered 502, or 504 if it came too late: the request does not go on.
/// All of that holds for opening handshakes of WebSockets as well.
///
/// ```
/// use lws_server::auth::ForwardAuth;
/// use lws_server::{Route, Server, http::{Response, Status}};
///
/// let gate = ForwardAuth::route("/auth").copy(["Remote-User"]).gate();
/// let server = Server::builder()
///     .get("/auth", |request| match request.text("Authorization") {
///         Some("Bearer sesame") => Response::new(Status::NO_CONTENT).field("Remote-User", "ann"),
///         _ => Response::ask_for_token(),
///     })
///     .route(Route::get("/mail", |_| Response::text("no news")).authentication(gate));
/// ```
#[doc(alias = "auth_request")]
#[derive(Clone, Debug)]
#[must_use = "a route has its gate"]
pub struct ForwardAuth {
    decider: Decider,
    copied: Vec<String>,
}

#[derive(Clone, Debug)]
enum Decider {
    Route(String),
    #[cfg(feature = "client")]
    Server(AskedServer),
}

/// What is known of another server that is asked.
#[cfg(feature = "client")]
#[derive(Clone, Debug)]
struct AskedServer {
    url: Url,
    /// The names of fields of the request that it gets.
    sent: Vec<String>,
    timeout: Duration,
}

/// How long another server may take to decide.
#[cfg(feature = "client")]
const TIMEOUT: Duration = Duration::from_secs(10);

/// Content of its answer: an error page.
#[cfg(feature = "client")]
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// The fields of a request that another server gets unless the application names others: what shows who has sent it, and how to talk to them.
#[cfg(feature = "client")]
const SENT: [&str; 5] = ["Authorization", "Cookie", "Accept", "Accept-Language", "User-Agent"];

impl ForwardAuth {
    /// Asks the route at `path` of the site that the request is for. It gets all fields of the request but those about its content, its
    /// conditions and its ranges.
    pub fn route(path: impl Into<String>) -> Self {
        Self { decider: Decider::Route(path.into()), copied: Vec::new() }
    }

    /// Asks for `url`, with the client of the thread. Redirects are not followed, as they are answers.
    ///
    /// It gets `Authorization`, `Cookie`, `Accept`, `Accept-Language` and `User-Agent`, and waited for 10 seconds.
    #[cfg(feature = "client")]
    pub fn server(url: Url) -> Self {
        let sent = SENT.map(str::to_owned).to_vec();
        Self { decider: Decider::Server(AskedServer { url, sent, timeout: TIMEOUT }), copied: Vec::new() }
    }

    /// Sends another server these fields of the request, in place of those that it gets otherwise. A route gets all.
    #[cfg(feature = "client")]
    pub fn send<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        if let Decider::Server(server) = &mut self.decider {
            server.sent = names.into_iter().map(str::to_owned).collect();
        }
        self
    }

    /// How long another server may take. The request waits for 30 seconds at the most.
    #[cfg(feature = "client")]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        if let Decider::Server(server) = &mut self.decider {
            server.timeout = timeout;
        }
        self
    }

    /// The request gets these fields of an answer that lets it go on, in place of its own: also where the answer does not have them, as a
    /// client could have made them up.
    pub fn copy<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.copied.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// The gate for routes.
    #[must_use]
    pub fn gate(self) -> Gate {
        Gate::new(self)
    }
}

/// What a request is about, as other proxies say it.
fn about(cx: &Context<'_>, request: &Request<'_>) -> [(&'static str, Vec<u8>); 5] {
    let scheme = if cx.tls().is_some() { "https" } else { "http" };
    // The site was chosen by the authority of the target, which overrides `Host`. RFC 9112 §3.2.2.
    let authority = request.head().and_then(|head| head.authority());
    let host = authority.map_or_else(String::new, |authority| authority.to_string());
    let uri = match request.query() {
        Some(query) => format!("{}?{query}", request.raw_path()),
        None if request.raw_path().is_empty() => request.target().to_owned(),
        None => request.raw_path().to_owned(),
    };
    let peer = cx.peer().ip().map(|address| address.to_canonical().to_string()).unwrap_or_default();
    [
        ("X-Forwarded-Method", request.method_name().into()),
        ("X-Forwarded-Proto", scheme.into()),
        ("X-Forwarded-Host", host.into()),
        ("X-Forwarded-Uri", uri.into()),
        ("X-Forwarded-For", peer.into()),
    ]
}

impl Guard for ForwardAuth {
    fn admit(&self, cx: &mut Context<'_>, request: &Request<'_>) -> Admission {
        match &self.decider {
            Decider::Route(path) => {
                let ask = Ask::new(path.clone()).copy(self.copied.iter().map(String::as_str));
                about(cx, request).into_iter().fold(ask, |ask, (name, value)| ask.field(name, value)).into()
            }
            #[cfg(feature = "client")]
            Decider::Server(server) => self.ask(server, cx, request),
        }
    }
}

#[cfg(feature = "client")]
impl ForwardAuth {
    fn ask(&self, server: &AskedServer, cx: &mut Context<'_>, request: &Request<'_>) -> Admission {
        let mut question = client::Request::new("GET", server.url.clone());
        question.options.get_or_insert_default().timeout = Some(server.timeout);
        for (name, value) in request.fields() {
            if server.sent.iter().any(|sent| sent.eq_ignore_ascii_case(name)) {
                question.fields.add(name, value);
            }
        }
        for (name, value) in about(cx, request) {
            question.fields.set(name, value);
        }
        let (Admission::Later(later), Some(decision)) = Admission::later(cx) else {
            return Response::error(Status::INTERNAL_SERVER_ERROR).into();
        };
        let copied = self.copied.clone();
        let pending = cx.fetch(question, ANSWER_BYTES_MAX, move |_, outcome| match outcome {
            Ok(answer) if answer.head.status.is_success() => decision.grant_with(granted(&copied, &answer)),
            Ok(answer) => decision.refuse(relayed(answer)),
            Err(failure) => decision.refuse(Response::error(unanswered(&failure))),
        });
        // Who is not there any more is not asked about.
        later.holding(pending).into()
    }
}

/// What a request gets of the answer that lets it go on.
#[cfg(feature = "client")]
fn granted(copied: &[String], answer: &client::Response) -> Grant {
    copied.iter().fold(Grant::new(), |grant, name| {
        let values = answer.head.fields.get_all(name);
        values.fold(grant.without(name), |grant, value| grant.and_field(name, value))
    })
}

/// The answer of another server as the answer to the request, without what was about the connection to that one.
#[cfg(feature = "client")]
fn relayed(answer: client::Response) -> Response {
    const OF_THE_CONNECTION: [&str; 8] = [
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let fields = &answer.head.fields;
    let is_relayed = |name: &str| {
        !OF_THE_CONNECTION.iter().any(|known| known.eq_ignore_ascii_case(name))
            && !fields.has_token("connection", name)
    };
    let text = |value: &[u8]| std::str::from_utf8(value).ok().map(str::to_owned);
    let kept = fields.iter().filter(|(name, _)| is_relayed(name));
    let kept = kept.filter_map(|(name, value)| Some((name.to_owned(), text(value)?)));
    let response = Response::new(answer.head.status);
    kept.fold(response, |response, (name, value)| response.field(name, value)).content(answer.body)
}

#[cfg(feature = "client")]
fn unanswered(failure: &Failure) -> Status {
    match failure.cause {
        client::Cause::TimedOut(_) => Status::GATEWAY_TIMEOUT,
        _ => Status::BAD_GATEWAY,
    }
}
