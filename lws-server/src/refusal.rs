//! What is answered when nothing on the routes answers.

use crate::http::{Response, Status};
use crate::route;
use crate::shared::Route;
use crate::tls::Plain;
use lws_proto::Cause;
use lws_proto::http::{Head, Method, Target};
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
    let method = head.method();
    let Some(path) = path else { return Response::error(Status::BAD_REQUEST) };
    match route {
        // RFC 9110 §9.3.6: this is no proxy. A WebSocket that is asked for over HTTP/2 is as good as a GET.
        _ if method == Method::Connect && !is_opening(head) => Response::error(Status::NOT_IMPLEMENTED),
        _ if path.is_empty() => Response::new(Status::NO_CONTENT).field("Allow", route::allow([].iter())),
        None => Response::error(Status::NOT_FOUND),
        // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field".
        Some(route) if route.endpoints.is_empty() => Response::error(Status::UPGRADE_REQUIRED)
            .field("Upgrade", "websocket")
            .field("Sec-WebSocket-Version", "13"),
        Some(route) => {
            let allow = route::allow(route.endpoints.iter().map(|(methods, _)| methods));
            match method {
                // RFC 9110 §9.1: one that is not recognised, on no route at all.
                Method::Other => return Response::error(Status::NOT_IMPLEMENTED),
                Method::Options => Response::new(Status::NO_CONTENT),
                _ => Response::error(Status::METHOD_NOT_ALLOWED),
            }
            .field("Allow", allow)
        }
    }
}
