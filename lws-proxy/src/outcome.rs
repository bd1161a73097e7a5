//! What a client is answered when its request came to nothing: the status and the named cause. RFC 9209.

use lws_server::Cause as EngineCause;
use lws_server::client::{Cause, Deadline, Failure, Phase};
use lws_server::http::{Response, Status};
use std::io::ErrorKind;

/// Seconds after which a client is asked to come back where there was no room.
const RETRY_AFTER: &str = "1";

/// The answer in place of one that did not come; without a failure, in place of one that cannot be written.
pub(crate) fn response(failure: Option<&Failure>, name: &str) -> Response {
    let (status, error) = failure.map_or((Status::BAD_GATEWAY, "http_protocol_error"), classify);
    let response = Response::error(status).field("Proxy-Status", format!("{name}; error={error}"));
    if status == Status::SERVICE_UNAVAILABLE { response.field("Retry-After", RETRY_AFTER) } else { response }
}

/// Whether a failure is the upstream's, and not the client's or ours.
pub(crate) fn is_upstreams(failure: &Failure) -> bool {
    !matches!(failure.cause, Cause::Cancelled | Cause::Request(_) | Cause::TooManyWaiting)
        && failure.phase != Phase::Pool
}

/// The status and the error type of RFC 9209 §2.3.
fn classify(failure: &Failure) -> (Status, &'static str) {
    match (&failure.cause, failure.phase) {
        (Cause::TooManyWaiting | Cause::TimedOut(Deadline::Wait), _) => {
            (Status::SERVICE_UNAVAILABLE, "connection_limit_reached")
        }
        (Cause::Request(_), _) => (Status::BAD_REQUEST, "http_request_error"),
        (Cause::TimedOut(_), _) => (Status::GATEWAY_TIMEOUT, "http_response_timeout"),
        (Cause::Connect(ErrorKind::TimedOut, _), Phase::Dns) => (Status::GATEWAY_TIMEOUT, "dns_timeout"),
        (Cause::Connect(..), Phase::Dns) => (Status::BAD_GATEWAY, "dns_error"),
        (Cause::Connect(ErrorKind::TimedOut, _), _) => (Status::GATEWAY_TIMEOUT, "connection_timeout"),
        (Cause::Connect(ErrorKind::ConnectionRefused, _), _) => (Status::BAD_GATEWAY, "connection_refused"),
        (Cause::Connect(..), Phase::Tls) => (Status::BAD_GATEWAY, "tls_protocol_error"),
        (Cause::Connect(..), _) => (Status::BAD_GATEWAY, "destination_unavailable"),
        (Cause::Tls(_), _) => (Status::BAD_GATEWAY, "tls_certificate_error"),
        (Cause::Stream(EngineCause::Timeout(_)), _) => (Status::GATEWAY_TIMEOUT, "http_response_timeout"),
        (Cause::Stream(EngineCause::Disconnected | EngineCause::Truncated), _) => {
            (Status::BAD_GATEWAY, "http_response_incomplete")
        }
        (Cause::Stream(EngineCause::Reset(_) | EngineCause::Refused), _) => {
            (Status::BAD_GATEWAY, "connection_terminated")
        }
        (Cause::Stream(_), _) => (Status::BAD_GATEWAY, "http_protocol_error"),
        _ => (Status::BAD_GATEWAY, "proxy_internal_error"),
    }
}
