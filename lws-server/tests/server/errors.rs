//! Refusals of the engine itself, in the words of the application.

use crate::common::{Answer, serve};
use lws_server::Limits;
use lws_server::http::{ErrorContent, ErrorReport, Response};
use std::time::Duration;

fn page(error: &ErrorReport<'_>) -> Option<ErrorContent> {
    let html = format!("<h1>{}</h1>{}", error.status().code(), error.reason());
    Some(ErrorContent { content_type: "text/html".into(), content: html.into() })
}

#[test]
fn what_cannot_be_understood_is_refused_in_the_words_of_the_application() {
    let server = serve(|builder| {
        let limits = Limits { head_timeout: Duration::from_millis(100), ..Limits::default() };
        builder.limits(limits).errors(page).get("/", |_| Response::text("fine"))
    });
    let long = "x".repeat(20_000);
    for (request, status, reason) in [
        ("GET\r\n\r\n".to_owned(), 400, "malformed request line"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400, "malformed field line"),
        ("GET / HTTP/7.0\r\nHost: a\r\n\r\n".to_owned(), 505, "HTTP version not supported"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..9_000]), 414, ""),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431, ""),
        // The rest does not come in time.
        ("GET / HTTP/1.1\r\nHost: a\r\n".to_owned(), 408, ""),
    ] {
        let mut peer = server.connect();
        peer.send(&request);
        let answer = Answer::parse(&peer.rest());
        assert_eq!(answer.status, status, "{reason}");
        let text = answer.text();
        assert!(text.starts_with(&format!("<h1>{status}</h1>")) && text.ends_with(reason), "{text}");
    }
}
