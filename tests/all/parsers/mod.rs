//! Where the HTTP parsers of the world differ: raw messages, and what each must come to here.
//!
//! Two parsers that disagree about one of these are how requests are smuggled and responses are split, so each row stands for a server, a proxy or a
//! client that once read it in another way. The kinds are those that differential testers have collected; the vectors are ours.
//! A row says only what is decided: taken as these messages, or refused by this rule. The sentences of the RFCs have their own tests.

mod chunks;
mod fields;
mod http2;
mod lengths;
mod request_lines;
mod responses;

use crate::support::{responses, served_to_end};
use lws_proto::{Cause, Violation};
use tests::{Delivered, Octets, Seen};

/// What a server must make of some octets.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// One request, as `METHOD TARGET CONTENT`; what follows is the next one.
    Taken(&'static str),
    /// One request, and nothing of what follows, as the connection ends with it.
    Last(&'static str),
    /// Refused by this rule, and nothing of what follows is looked at.
    Refused(Violation),
}

use Verdict::{Last, Refused, Taken};

/// What another parser may take for a part of what comes before it, or for a request of its own.
const HIDDEN: &[u8] = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
const SEEN_HIDDEN: &str = "GET /hidden ";

/// The requests that an application saw to their ends, as `METHOD TARGET CONTENT`.
fn requests(delivered: &Delivered) -> Vec<String> {
    let mut complete = Vec::new();
    let mut current = String::new();
    for seen in &delivered.seen.0 {
        let ended = match seen {
            Seen::Request { method, target, end, .. } => {
                current = format!("{method} {target} ");
                *end
            }
            Seen::Body { content, end } => {
                current.push_str(&content.0.escape_ascii().to_string());
                *end
            }
            _ => false,
        };
        if ended {
            complete.push(std::mem::take(&mut current));
        }
    }
    complete
}

/// A server makes `verdict` of `input`, however it is cut, with a request behind it.
fn check(input: &[u8], verdict: Verdict) {
    let shown = Octets(input.to_vec());
    let delivered = served_to_end([input, HIDDEN].concat());
    let (seen, causes) = (requests(&delivered), delivered.seen.causes());
    let statuses: Vec<u16> = responses(&delivered).iter().map(|response| response.status).collect();
    match verdict {
        Taken(request) => {
            assert_eq!(seen, [request, SEEN_HIDDEN], "{shown:?}: {:?}", delivered.seen);
            assert_eq!(statuses, [200, 200], "{shown:?}");
            assert_eq!(causes, [Cause::Complete; 2], "{shown:?}");
        }
        Last(request) => {
            assert_eq!(seen, [request], "{shown:?}: {:?}", delivered.seen);
            assert_eq!(statuses, [200], "{shown:?}");
            assert_eq!(causes, [Cause::Complete], "{shown:?}");
        }
        Refused(violation) => {
            assert_eq!(causes, [Cause::Violation(violation)], "{shown:?}: {:?}", delivered.seen);
            assert_eq!(seen, [] as [&str; 0], "{shown:?}");
            assert_eq!(statuses, [violation.status()], "{shown:?}");
            assert!(delivered.fin, "{shown:?}: FIN follows a refusal");
        }
    }
}

/// Each row: octets that stand between `before` and `after`, and what the whole comes to.
fn check_each(before: &[u8], rows: &[(&[u8], Verdict)], after: &[u8]) {
    for (row, verdict) in rows {
        check(&[before, row, after].concat(), *verdict);
    }
}
