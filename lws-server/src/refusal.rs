//! What is answered when nothing on the routes answers.

use crate::http::{Response, Status};
use crate::route::{self, Methods};
use crate::shared::Route;
use crate::tls::Plain;
use lws_proto::Cause;
use lws_proto::http::{Head, Method, Target, is_registered_method};
use lws_proto::ws::is_opening;

/// What the engine answered to a fault of the peer; zero if nothing.
pub(crate) fn status_of(cause: Cause) -> u16 {
    match cause {
        Cause::Violation(violation) => violation.status(),
        Cause::Limit(limit) => limit.status(),
        Cause::Timeout(deadline) => deadline.status(),
        _ => 0,
    }
}

/// The response to a request that was meant for another server. RFC 9110 §7.4.
#[cold]
pub(crate) fn misdirected() -> Response {
    Response::error(Status::MISDIRECTED_REQUEST)
}

/// The response to a request that a page of another origin has made. RFC 6455 §4.2.2.
#[cold]
pub(crate) fn foreign() -> Response {
    Response::error(Status::FORBIDDEN)
}

/// The response to a request that came without TLS to where TLS is spoken.
#[cold]
pub(crate) fn plain(head: &Head<'_>, policy: Plain) -> Response {
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

/// The response to a request that no endpoint takes.
#[cold]
pub(crate) fn refusal(head: &Head<'_>, path: Option<&str>, route: Option<&Route>) -> Response {
    let Some(path) = path else { return Response::error(Status::BAD_REQUEST) };
    let unknown = match head.method() {
        // RFC 9110 §9.1: one that is not recognised.
        Method::Other => !is_registered_method(head.method_name()),
        // RFC 8441 §4: an extended CONNECT for a protocol that is not spoken here.
        Method::Connect => head.connect_protocol().is_some() && !is_opening(head),
        _ => false,
    };
    match route {
        None if !path.is_empty() => Response::error(Status::NOT_FOUND),
        _ if unknown => Response::error(Status::NOT_IMPLEMENTED),
        // RFC 9110 §9.3.6: this is no proxy, so that CONNECT is for no resource that it has. `OPTIONS *` asks for the server.
        None => not_allowed(head.method(), route::allow([].iter())),
        Some(route) => {
            // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field".
            if route.websocket.is_some() && head.method() == Method::Get {
                return Response::error(Status::UPGRADE_REQUIRED)
                    .field("Upgrade", "websocket")
                    .field("Sec-WebSocket-Version", "13");
            }
            // A WebSocket is asked for with GET.
            let opening = route.websocket.is_some().then_some(&Methods::These(&[Method::Get]));
            let endpoints = route.endpoints.iter().map(|(methods, _)| methods);
            not_allowed(head.method(), route::allow(opening.into_iter().chain(endpoints)))
        }
    }
}

/// The response to a method that a resource does not have; to OPTIONS it is what was asked for. RFC 9110 §9.3.7, §15.5.6.
fn not_allowed(method: Method, allow: String) -> Response {
    let response = match method {
        Method::Options => Response::new(Status::NO_CONTENT),
        _ => Response::error(Status::METHOD_NOT_ALLOWED),
    };
    response.field("Allow", allow)
}
