//! Pages of other origins: what the Fetch Standard has browsers ask a server first, and what it lets a page read.

use super::{Fields, Layer};
use crate::Context;
use crate::http::{Method, Request, Response, Status};
use std::time::Duration;

/// Lets pages of other origins ask and read the answers: CORS, of the Fetch Standard §3.3.
///
/// What a browser asks before it sends a request (the "preflight", an OPTIONS) is answered from the routes: which methods there are need
/// not be said. A page that is not let in gets its answer without the fields that would let it read it; requests that change something are
/// kept from it by [`Origins`](crate::Origins).
///
/// ```
/// use lws_server::http::Response;
/// use lws_server::layer::Cors;
/// use lws_server::{Route, Server};
///
/// let cors = Cors::origins(["https://app.example"]).credentials().fields(["Content-Type"]);
/// let server = Server::builder().route(Route::post("/items", |_| Response::text("")).cors(cors));
/// ```
///
/// As a [layer of the site](crate::Builder::layer) it holds for every route that has no rules of its own.
#[derive(Clone, Debug)]
#[must_use = "a route has it"]
pub struct Cors {
    /// `None` for every origin.
    origins: Option<Vec<String>>,
    fields: Vec<String>,
    exposed: Vec<String>,
    credentials: bool,
    max_age: Duration,
}

impl Cors {
    /// Pages of every origin, without credentials.
    pub fn any() -> Self {
        Self { origins: None, fields: Vec::new(), exposed: Vec::new(), credentials: false, max_age: MAX_AGE }
    }

    /// Pages of these origins, such as `https://app.example`.
    pub fn origins<'o>(origins: impl IntoIterator<Item = &'o str>) -> Self {
        Self { origins: Some(origins.into_iter().map(str::to_ascii_lowercase).collect()), ..Self::any() }
    }

    /// Request fields that pages may send beside the few that every page may: `Content-Type` (of JSON), `Authorization`.
    pub fn fields<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.fields.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Response fields that pages may read beside the few that every page may.
    pub fn expose<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.exposed.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Lets cookies, client certificates and `Authorization` be sent, and what is answered to them be read. It has no effect for
    /// [`any`](Self::any) origin, of which browsers do not take it: every page of the web could act for the user.
    pub fn credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// How long a browser may keep the answer to a preflight. Default 10 minutes.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    fn admits(&self, origin: &str) -> bool {
        let is_listed =
            |origins: &Vec<String>| origins.iter().any(|known| known.eq_ignore_ascii_case(origin));
        self.origins.as_ref().is_none_or(is_listed)
    }

    /// The fields of every answer to a page that is let in.
    fn admit(&self, origin: &str, mut add: impl FnMut(&'static str, String)) {
        if self.origins.is_none() {
            add("Access-Control-Allow-Origin", "*".to_owned());
            return;
        }
        add("Access-Control-Allow-Origin", origin.to_owned());
        if self.credentials {
            add("Access-Control-Allow-Credentials", "true".to_owned());
        }
    }

    /// Adds to `response`, the answer to an OPTIONS, what a browser is to know before a page of `origin` may ask with `method`, one of
    /// the resource's own.
    pub(crate) fn preflight(&self, response: Response, origin: &str, method: &str) -> Response {
        let mut fields = vec![("Vary", "Origin".to_owned())];
        if self.admits(origin) {
            self.admit(origin, |name, value| fields.push((name, value)));
            fields.push(("Access-Control-Allow-Methods", method.to_owned()));
            if !self.fields.is_empty() {
                fields.push(("Access-Control-Allow-Headers", self.fields.join(", ")));
            }
            fields.push(("Access-Control-Max-Age", self.max_age.as_secs().to_string()));
        }
        fields.into_iter().fold(response, |response, (name, value)| response.field(name, value))
    }
}

/// The origin and the method that a preflight is about, if a request is one. Fetch Standard §3.3.2.
fn preflight_of<'a>(request: &Request<'a>) -> Option<(&'a str, &'a str)> {
    if request.method() != Method::Options {
        return None;
    }
    request.text("Origin").zip(request.text("Access-Control-Request-Method"))
}

const MAX_AGE: Duration = Duration::from_secs(600);

impl Layer for Cors {
    fn check(&self, _: &mut Context<'_>, request: &Request<'_>, fields: &mut Fields) -> Result<(), Response> {
        if let Some((origin, method)) = preflight_of(request) {
            // A route that takes every method takes this one.
            return Err(self.preflight(Response::new(Status::NO_CONTENT), origin, method));
        }
        if self.origins.is_some() {
            // Also where there is none: a cache must not give one page the answer to another.
            fields.add("Vary", "Origin");
        }
        if let Some(origin) = request.text("Origin").filter(|origin| self.admits(origin)) {
            self.admit(origin, |name, value| fields.add(name, value));
            if !self.exposed.is_empty() {
                fields.add("Access-Control-Expose-Headers", self.exposed.join(", "));
            }
        }
        Ok(())
    }

    fn cors(&self) -> Option<&Cors> {
        Some(self)
    }
}
