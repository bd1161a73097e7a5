//! What routes and sites say beside their endpoints: fields, canned responses, errors.

use crate::common::serve;
use lws_server::http::{Response, Status};
use lws_server::{Methods, Route, Server};

#[test]
fn fields_of_a_site_and_of_a_route_stand_on_every_response_and_the_routes_come_first() {
    let server = serve(|builder| {
        builder
            .field("X-Site", "1")
            .field("Access-Control-Allow-Origin", "*")
            .get("/plain", |_| Response::text("plain"))
            .route(
                Route::get("/own", |_| Response::error(Status::GONE))
                    .field("x-site", "2")
                    .field("X-Own", "3"),
            )
    });
    for (target, status, site, own) in
        [("/plain", 200, "1", None), ("/own", 410, "2", Some("3")), ("/none", 404, "1", None)]
    {
        let answer = server.get(target);
        let found = (answer.status, answer.field("x-site"), answer.field("x-own"));
        assert_eq!(found, (status, Some(site), own), "{target}");
        assert_eq!(answer.field("access-control-allow-origin"), Some("*"), "{target}");
    }
    assert_eq!(server.request("POST", "/own", "Content-Length: 0\r\n").field("x-site"), Some("1"));
}

#[test]
fn a_field_that_cannot_be_sent_is_an_error_of_the_description() {
    for (name, value) in
        [("a b", "x"), ("", "x"), ("x", "a\nb"), ("Content-Length", "1"), ("connection", "x")]
    {
        let of_site = Server::builder().listen("127.0.0.1:0").field(name, value).build();
        assert!(of_site.is_err_and(|error| error.to_string().contains("not a field")), "{name}: {value}");
        let route = Route::get("/", |_| Response::text("")).field(name, value);
        assert!(Server::builder().listen("127.0.0.1:0").route(route).build().is_err(), "{name}: {value}");
    }
}

#[test]
fn a_response_is_an_endpoint() {
    let closed = Response::text("closed for repairs\n")
        .status(Status::SERVICE_UNAVAILABLE)
        .field("Retry-After", "600");
    let server = serve(move |builder| {
        builder.route(Route::new(Methods::Any.into(), "/shop", closed)).route(Route::new(
            Methods::GET.into(),
            "/robots.txt",
            Response::text("User-agent: *\n"),
        ))
    });
    let answer = server.request("PUT", "/shop/1", "Content-Length: 0\r\n");
    assert_eq!((answer.status, answer.text()), (503, "closed for repairs\n"));
    assert_eq!(answer.field("retry-after"), Some("600"));
    assert_eq!(server.get("/robots.txt").text(), "User-agent: *\n");
    assert_eq!(server.request("HEAD", "/robots.txt", "").field("content-length"), Some("14"));
}

#[test]
fn an_error_is_a_page_problem_details_or_text_as_its_peer_asks() {
    let server = serve(|builder| builder.get("/here", |_| Response::text("")));
    for (accept, kind, part) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", "<h1>404</h1>"),
        ("application/json", "application/problem+json", "\"status\":404"),
        ("application/problem+json", "application/problem+json", "\"status\":404"),
        ("*/*", "text/plain; charset=utf-8", "404 Not Found"),
        ("image/png", "text/plain; charset=utf-8", "404 Not Found"),
    ] {
        let answer = server.request("GET", "/none", &format!("Accept: {accept}\r\n"));
        assert_eq!((answer.status, answer.field("content-type")), (404, Some(kind)), "{accept}");
        assert_eq!(answer.field("vary"), Some("Accept"));
        assert!(answer.text().contains(part), "{}", answer.text());
    }
    let refused = server.request("DELETE", "/here", "Accept: application/json\r\n");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert!(refused.text().contains("\"status\":405"));
}
