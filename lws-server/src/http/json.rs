//! JSON in and out, and problem details. RFC 8259, RFC 9457.

use super::{Rejection, Request, Response, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::borrow::Cow;

impl Request<'_> {
    /// Reads the content as JSON. Its type must be `application/json`, or one that ends with `+json`.
    ///
    /// # Errors
    /// 415: it is said to be something else; 400: it is no JSON; 422: it is, but not what is wanted here. The reason says where.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        let media_type = self.media_type()?;
        let is_json =
            media_type.is_some_and(|it| it.is("application/json") || it.essence().ends_with("+json"));
        if !is_json {
            return Err(Rejection::unsupported("the content is to be application/json"));
        }
        serde_json::from_slice(self.content()).map_err(|error| {
            let status = match error.classify() {
                serde_json::error::Category::Data => Status::UNPROCESSABLE_CONTENT,
                _ => Status::BAD_REQUEST,
            };
            Rejection::new(status, error.to_string())
        })
    }
}

impl Response {
    /// 200 with `value` as JSON. What cannot be written as JSON, such as a map whose keys are no text, becomes a 500.
    pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(text) => Self::json(text),
            Err(_) => Self::error(Status::INTERNAL_SERVER_ERROR),
        }
    }
}

/// What went wrong, for a program and a person. RFC 9457.
///
/// ```
/// use lws_server::http::{Problem, Response, Status};
///
/// let response: Response = Problem::new(Status::FORBIDDEN)
///     .kind("https://example.com/probs/out-of-credit")
///     .title("You do not have enough credit.")
///     .detail("Your current balance is 30, but that costs 50.")
///     .member("balance", 30)
///     .into();
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "it is a response"]
pub struct Problem {
    status: Status,
    members: Map<String, Value>,
}

impl Problem {
    /// A problem that the status code says enough of: of the type `about:blank`, with the reason phrase as its title. RFC 9457 §4.2.1.
    pub fn new(status: Status) -> Self {
        let members = Map::from_iter([
            ("status".to_owned(), status.code().into()),
            ("title".to_owned(), status.reason().into()),
        ]);
        Self { status, members }
    }

    /// A URI that names the kind of the problem. RFC 9457 §3.1.1.
    pub fn kind(self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.member("type", uri.into())
    }

    /// What all problems of the kind have in common. RFC 9457 §3.1.3.
    pub fn title(self, title: impl Into<Cow<'static, str>>) -> Self {
        self.member("title", title.into())
    }

    /// What this one is about. RFC 9457 §3.1.4.
    pub fn detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.member("detail", detail.into())
    }

    /// A member of the kind's own. RFC 9457 §3.2.
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }
}

impl From<Problem> for Response {
    fn from(Problem { status, members }: Problem) -> Self {
        Self::ok("application/problem+json", Value::Object(members).to_string()).status(status)
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        Self::new(rejection.status()).detail(rejection.reason().to_owned())
    }
}
