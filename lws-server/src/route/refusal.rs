//! What is answered when no endpoint answers.

use crate::http::{Response, Status};
use crate::layer::Cors;
use crate::route::methods::{Methods, allow};
use crate::route::resolve::Refusal;
use crate::site::served::ServedPath;
use crate::tls::Plain;
use lws_proto::Cause;
use lws_proto::http::{Head, Method, Target};

/// What the engine answered to a fault of the peer; zero if nothing.
pub(crate) fn status_of(cause: Cause) -> u16 {
    match cause {
        Cause::Violation(violation) => violation.status(),
        Cause::Limit(limit) => limit.status(),
        Cause::Timeout(deadline) => deadline.status(),
        _ => 0,
    }
}

/// The response to a request that no endpoint gets. `policy` is that of its listener for peers without TLS.
#[cold]
pub(crate) fn response(refusal: Refusal<'_>, head: &Head<'_>, policy: Plain) -> Response {
    match refusal {
        Refusal::Misdirected => error(head, Status::MISDIRECTED_REQUEST),
        Refusal::Plain => plain(head, policy),
        Refusal::Foreign => error(head, Status::FORBIDDEN),
        Refusal::Path => error(head, Status::BAD_REQUEST),
        Refusal::NotFound => error(head, Status::NOT_FOUND),
        Refusal::NotImplemented => error(head, Status::NOT_IMPLEMENTED),
        // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field".
        Refusal::UpgradeRequired(_) => Response::error(Status::UPGRADE_REQUIRED)
            .field("Upgrade", "websocket")
            .field("Sec-WebSocket-Version", "13"),
        Refusal::NotAllowed(path) => not_allowed(head, path),
        Refusal::Preflight(path) => not_allowed(head, Some(path)),
    }
}

/// An error in the form that its peer asks for: a page that `/error.css` may style, problem details (RFC 9457), or plain text.
fn error(head: &Head<'_>, status: Status) -> Response {
    let names = |kind: &str| {
        head.list("accept").any(|range| {
            let name = range.split(|byte| *byte == b';').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(kind.as_bytes())
        })
    };
    let json = names("application/problem+json") || names("application/json");
    let response = match (names("text/html"), json) {
        (false, false) => Response::error(status),
        (html, _) => {
            let page = lws_files::error_page(status, !html);
            Response::ok(page.content_type, page.bytes).status(status).reporting()
        }
    };
    response.field("Vary", "Accept")
}

/// The response to a request that came without TLS to where TLS is spoken.
fn plain(head: &Head<'_>, policy: Plain) -> Response {
    let refusal = || Response::error(Status::BAD_REQUEST);
    let (Plain::Redirect, Some(authority)) = (policy, head.authority()) else { return refusal() };
    let target = match head.parsed_target() {
        Some(Target::Origin { .. }) => head.target(),
        Some(Target::Absolute { .. }) => head.target().splitn(4, '/').nth(3).unwrap_or_default(),
        _ => return refusal(),
    };
    let port = authority.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = target.strip_prefix('/').unwrap_or(target);
    let location = format!("https://{}{port}/{path}", authority.host());
    Response::error(Status::PERMANENT_REDIRECT).field("Location", location)
}

/// The response to a method that a resource does not have; to OPTIONS it is what was asked for. RFC 9110 §9.3.7, §15.5.6.
fn not_allowed(head: &Head<'_>, path: Option<&ServedPath>) -> Response {
    let response = match head.method() {
        Method::Options => Response::new(Status::NO_CONTENT),
        _ => error(head, Status::METHOD_NOT_ALLOWED),
    };
    // A WebSocket is asked for with GET.
    let get = Methods::from(&[Method::Get]);
    let opening = path.and_then(|path| path.upgrade.as_ref()).map(|_| &get);
    let requests = path.into_iter().flat_map(|path| &path.requests).map(|(methods, _)| methods);
    let response = response.field("Allow", allow(opening.into_iter().chain(requests)));
    match path.filter(|_| head.method() == Method::Options) {
        Some(path) => preflight(response, head, path),
        None => response,
    }
}

/// The answer to an OPTIONS by which a browser asks whether a page of another origin may send a request. Fetch Standard §3.3.2.
fn preflight(response: Response, head: &Head<'_>, path: &ServedPath) -> Response {
    match preflight_of(head, path) {
        Some((cors, origin, method)) => cors.preflight(response, origin, method),
        None => response,
    }
}

/// The terms that a preflight asks about, with its origin and method, if the route of that method has any.
fn preflight_of<'a>(head: &Head<'a>, path: &'a ServedPath) -> Option<(&'a Cors, &'a str, &'a str)> {
    let text = |name| head.get(name).and_then(|value| std::str::from_utf8(value).ok());
    let (origin, method) = (text("Origin")?, text("Access-Control-Request-Method")?);
    let (_, served) = path.requests.iter().find(|(methods, _)| methods.allow_named(method))?;
    Some((served.terms.cors.as_ref()?, origin, method))
}

/// Whether a request is a preflight that the routes of its path answer.
pub(crate) fn is_preflight(path: &ServedPath, head: &Head<'_>) -> bool {
    head.method() == Method::Options && preflight_of(head, path).is_some()
}
