//! What a server would do with a request, and why: for a person who wonders.
//!
//! Asks the same code that requests go through, so that it says nothing else.

use crate::Context;
use crate::route::resolve::{Refusal, Resolved, Step, resolve};
use crate::site::sites::Listener;
use lws_proto::http::{Head, Method};
use lws_proto::{Config, Connection, Event, Time};
use std::fmt;
use std::sync::Arc;

/// What a server would do with a request: see [`Context::explain`]. `Display` writes it as lines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Where the server listens for it.
    pub listener: String,
    /// The names of the site that it is for; `None` if no site has the name. A site without names has an empty list.
    pub site: Option<Vec<String>>,
    /// The path in normal form.
    pub path: String,
    /// The route, as it was described.
    pub route: Option<String>,
    /// Whether guards are asked before.
    pub guarded: bool,
    /// What is done: that an endpoint answers, or why none does.
    pub outcome: &'static str,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listener: {}", self.listener)?;
        match &self.site {
            Some(names) if names.is_empty() => f.write_str("site: the one without names\n")?,
            Some(names) => writeln!(f, "site: {}", names.join(", "))?,
            None => f.write_str("site: none has the name\n")?,
        }
        writeln!(f, "path: {}", self.path)?;
        match &self.route {
            Some(route) => writeln!(f, "route: {}", if route.is_empty() { "/" } else { route })?,
            None => f.write_str("route: none\n")?,
        }
        if self.guarded {
            f.write_str("guards are asked first\n")?;
        }
        write!(f, "outcome: {}", self.outcome)
    }
}

impl Context<'_> {
    /// What the server would do with a request for `uri`, such as `http://example.com/a/b`, at each of the listeners of this thread where it
    /// could come in: those with TLS for `https`. Nothing is asked or called. Empty if it is no such address, or there is no
    /// such listener.
    #[must_use]
    pub fn explain(&self, method: Method, uri: &str) -> Vec<Explanation> {
        let Some((scheme, rest)) = uri.split_once("://") else { return Vec::new() };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let is_clean = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_clean(authority) || !is_clean(path) || method.token().is_empty() {
            return Vec::new();
        }
        let request = format!("{} {path} HTTP/1.1\r\nHost: {authority}\r\n\r\n", method.token());
        let secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return Vec::new(),
        };
        let listeners = self.state.sites.listeners().filter(|listener| listener.tls.is_some() == secure);
        listeners
            .filter_map(|listener| with_head(&request, |head| explained(listener, head, secure)))
            .collect()
    }
}

fn explained(listener: &Listener, head: &Head<'_>, secure: bool) -> Explanation {
    let (site, arrival) = listener.site_named(head, secure);
    let Resolved { pattern, path, step, .. } = resolve(site.map(|site| &**site), head, arrival, false);
    Explanation {
        listener: listener.address().to_string(),
        site: site.map(|site| site.settings.names.listed.clone()),
        path: path.into_owned(),
        route: pattern.map(|pattern| pattern.as_str().to_owned()),
        guarded: step.guards().is_some_and(|guards| guards.any()),
        outcome: outcome(&step),
    }
}

fn outcome(step: &Step<'_>) -> &'static str {
    match step {
        Step::Request(_) => "its endpoint answers",
        Step::Upgrade(_) => "its endpoint opens a WebSocket",
        Step::Refuse(refusal) => match refusal {
            Refusal::Misdirected => "421: no site has the name",
            Refusal::Plain => "it came without TLS",
            Refusal::Foreign => "403: a page of another origin has made it",
            Refusal::Path => "400: the path has no normal form",
            Refusal::NotFound => "404: no route has the path",
            Refusal::NotImplemented => "501: the method is unknown",
            Refusal::UpgradeRequired(_) => "426: the route has WebSockets alone",
            Refusal::NotAllowed(_) => "405: the route does not have the method",
            Refusal::Preflight(_) => "204: a preflight, which the routes of the path answer",
        },
    }
}

/// Lends the head of a request, as the engine makes it.
fn with_head<R>(octets: &str, look: impl FnOnce(&Head<'_>) -> R) -> Option<R> {
    let mut connection = Connection::server(Time::ZERO, Arc::new(Config::default()));
    let mut octets = octets.as_bytes().to_vec();
    let mut feed = connection.receive(Time::ZERO, &mut octets);
    match feed.next_event() {
        Some(Event::Request { head, .. }) => Some(look(&head)),
        _ => None,
    }
}
