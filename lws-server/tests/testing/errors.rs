//! Responses that report an error, in the words of the application.

use crate::test;
use lws_server::http::{ErrorContent, ErrorReport, Rejection, Request, Response, Status};
use lws_server::testing::Server as Test;
use lws_server::{Builder, ws};

struct Silent;

impl ws::Handler for Silent {}

/// What a renderer has seen, as content.
fn shown(error: &ErrorReport<'_>) -> Option<ErrorContent> {
    let kind = error.preferred_type(&["text/html", "application/json"]).unwrap_or("text/plain");
    let text = format!("[{} {} {}]", error.status().code(), error.target().unwrap_or("?"), error.reason());
    Some(ErrorContent { content_type: kind.into(), content: text.into() })
}

fn serve(server: Builder) -> Builder {
    server
        .get("/fine", |_| Response::text("fine"))
        .get("/gone", |_| Response::error(Status::GONE).field("X-Kept", "yes"))
        .get("/own", |_| Response::error(Status::CONFLICT).content("mine"))
        .get("/moved", |_| Response::error(Status::FOUND).field("Location", "/"))
        .get("/query", |request: &Request<'_>| -> Result<Response, Rejection> {
            Ok(Response::text(request.query_pairs()?.require::<String>("q")?))
        })
        .post("/small", |_| Response::text(""))
        .get("/panic", |_| -> Response { panic!("on purpose") })
        .ws("/feed", |_| Silent)
        .content_bytes_max(4)
}

#[test]
fn every_refusal_is_in_the_words_of_the_application() {
    let t = test(|server| serve(server).errors(shown));
    for http2 in [false, true] {
        let version = |request: lws_server::testing::Request| if http2 { request.http2() } else { request };
        let check = |response: lws_server::testing::Response, status: u16, text: &str| {
            assert_eq!((response.status(), response.text()), (status, text));
            assert_eq!(response.field("Content-Type").as_deref(), Some("text/html"), "{text}");
        };
        check(version(t.get("/nowhere")).send(), 404, "[404 /nowhere Not Found]");
        check(version(t.post("/fine", "")).send(), 405, "[405 /fine Method Not Allowed]");
        check(version(t.request("BREW", "/fine")).send(), 501, "[501 /fine Not Implemented]");
        check(version(t.get("/feed")).send(), 426, "[426 /feed Upgrade Required]");
        check(version(t.get("/query?a=b")).send(), 400, "[400 /query?a=b q: it is missing]");
        check(version(t.get("/panic")).send(), 500, "[500 /panic Internal Server Error]");
        check(version(t.get("/gone")).send(), 410, "[410 /gone Gone]");
        assert_eq!(version(t.get("/gone")).send().field("X-Kept").as_deref(), Some("yes"));
        assert_eq!(version(t.post("/fine", "")).send().field("Allow").as_deref(), Some("GET, HEAD, OPTIONS"));
        // What the engine itself answers.
        check(version(t.post("/small", "12345")).send(), 413, "[413 ? the content is too large]");

        let json = version(t.get("/nowhere").field("Accept", "application/json")).send();
        assert_eq!(json.field("Content-Type").as_deref(), Some("application/json"));
        assert_eq!(json.field("Vary").as_deref(), Some("Accept"));
        let head = version(t.request("HEAD", "/nowhere")).send();
        assert_eq!((head.status(), head.text()), (404, ""));

        // What is no error, and what the application has said itself.
        assert_eq!(version(t.get("/fine")).send().text(), "fine");
        assert_eq!(version(t.get("/own")).send().text(), "mine");
        assert_eq!(version(t.get("/moved")).send().text(), "302 Found\n");
    }
}

#[test]
fn what_cannot_be_sent_is_left_to_the_server() {
    let broken = |error: &ErrorReport<'_>| -> Option<ErrorContent> {
        let content = |content_type: &'static str, bytes: usize| {
            let (content_type, content) = (content_type.into(), vec![b'x'; bytes].into());
            Some(ErrorContent { content_type, content })
        };
        match error.status().code() {
            404 => panic!("on purpose"),
            410 => content("text/plain\r\nX-Smuggled: y", 1),
            405 => content("text/plain", (1 << 20) + 1),
            413 => content("text/plain", (16 << 10) + 1),
            _ => None,
        }
    };
    let t = test(|server| serve(server).errors(broken));
    let check = |t: &Test, method: &str, target: &str, content: &str, status: u16, text: &str| {
        let response = t.request(method, target).content(content).send();
        assert_eq!((response.status(), response.text()), (status, text), "{target}");
    };
    check(&t, "GET", "/nowhere", "", 404, "404 Not Found\n");
    check(&t, "GET", "/gone", "", 410, "410 Gone\n");
    check(&t, "POST", "/fine", "", 405, "405 Method Not Allowed\n");
    check(&t, "POST", "/small", "12345", 413, "the content is too large");
    check(&t, "GET", "/query", "", 400, "q: it is missing\n");
}
