//! What stands before endpoints.

use crate::test;
use lws_server::http::{Credentials, Method, Request, Response, Status};
use lws_server::layer::{Cors, Fields};
use lws_server::{Admission, Context, Gate, Methods, Peer, Route, ws};
use std::cell::Cell;
use std::rc::Rc;

struct Silent;

impl ws::Handler for Silent {}

fn guard(_: &mut Context<'_>, request: &Request<'_>, fields: &mut Fields) -> Result<(), Response> {
    fields.add("X-Guarded", "yes");
    match request.credentials()? {
        Some(Credentials::Bearer("sesame")) => Ok(()),
        _ => Err(Response::ask_for_token()),
    }
}

#[test]
fn a_layer_stands_before_requests_and_websockets_alike() {
    let t = test(|server| {
        server
            .get("/treasure", |_| Response::text("gold"))
            .post("/treasure", |request| Response::text(request.content().len().to_string()))
            .ws("/feed", |_| Silent)
            .layer(guard)
    });
    for http2 in [false, true] {
        let version = |request: lws_server::testing::Request| if http2 { request.http2() } else { request };
        let refused = version(t.get("/treasure")).send();
        assert_eq!((refused.status(), refused.field("WWW-Authenticate").as_deref()), (401, Some("Bearer")));
        assert_eq!(refused.field("X-Guarded").as_deref(), Some("yes"));
        assert_eq!(version(t.post("/treasure", vec![b'x'; 5_000])).send().status(), 401);
        let let_in = version(t.get("/treasure").field("Authorization", "Bearer sesame")).send();
        assert_eq!((let_in.text(), let_in.field("X-Guarded").as_deref()), ("gold", Some("yes")));
        let let_in = version(t.post("/treasure", "1234").field("Authorization", "Bearer sesame")).send();
        assert_eq!((let_in.text(), let_in.field("X-Guarded").as_deref()), ("4", Some("yes")));
        let malformed = version(t.get("/treasure").field("Authorization", "Bearer")).send();
        assert_eq!(malformed.status(), 400);

        let opening = || if http2 { t.ws("/feed").http2() } else { t.ws("/feed") };
        let refused = opening().try_connect().expect_err("without the word");
        assert_eq!((refused.status(), refused.field("X-Guarded").as_deref()), (401, Some("yes")));
        let let_in = opening().field("Authorization", "Bearer sesame").connect();
        assert_eq!(let_in.field("X-Guarded").as_deref(), Some("yes"));
    }
    assert_eq!(t.get("/nowhere").send().status(), 404, "what is not there is not guarded");
}

#[test]
fn the_layers_of_a_site_come_before_those_of_a_route() {
    let order = Rc::new(Cell::new(0));
    let step = |from: u32| {
        let order = Rc::clone(&order);
        move |_: &mut Context<'_>, _: &Request<'_>, fields: &mut Fields| {
            assert_eq!(order.replace(from + 1), from);
            fields.add("X-Step", from.to_string());
            Ok(())
        }
    };
    let route = Route::get("/", |_| Response::text("")).layer(step(3)).layer(step(2));
    let t = test(|server| server.layer(step(0)).route(route).layer(step(1)));
    let response = t.get("/").send();
    assert_eq!(response.fields("X-Step").collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    assert_eq!(order.get(), 4);
}

#[test]
fn a_preflight_is_answered_before_somebody_has_to_say_who_it_is() {
    let t = test(|server| {
        let gate = Gate::new(|_: &mut Context<'_>, _: &Request<'_>| {
            Admission::Refused(Response::error(Status::UNAUTHORIZED))
        });
        let text = |_: &Request<'_>| Response::text("");
        let items = Route::methods(Methods::from(&[Method::Put]), "/items", text);
        server.route(items.cors(Cors::origins(["https://app.example"])).authentication(gate))
    });
    let options = |method: &str| {
        let request = t.request("OPTIONS", "/items").field("Origin", "https://app.example");
        request.field("Access-Control-Request-Method", method).send()
    };
    assert_eq!((options("PUT").status(), options("DELETE").status()), (204, 401));
    assert_eq!(
        t.request("OPTIONS", "/items").send().status(),
        401,
        "what is no preflight asks what there is"
    );
    assert_eq!(t.request("PUT", "/items").send().status(), 401);
}

#[test]
fn a_preflight_is_answered_from_the_routes() {
    let cors =
        || Cors::origins(["https://app.example"]).credentials().fields(["Content-Type"]).expose(["X-Total"]);
    let t = test(|server| {
        let text = |_: &Request<'_>| Response::text("");
        server
            .route(Route::get("/items", text).cors(cors()))
            .route(Route::methods(Methods::from(&[Method::Put]), "/items", text).cors(cors()))
            .route(Route::post("/items", text))
            .route(Route::http("/any", text).cors(Cors::any()))
    });
    let preflight = |target: &str, origin: &str, method: &str| {
        let request = t.request("OPTIONS", target).field("Origin", origin);
        request.field("Access-Control-Request-Method", method).send()
    };
    let admitted = preflight("/items", "https://app.example", "PUT");
    assert_eq!(admitted.status(), 204);
    for (name, expected) in [
        ("Allow", Some("GET, HEAD, PUT, POST, OPTIONS")),
        ("Access-Control-Allow-Origin", Some("https://app.example")),
        ("Access-Control-Allow-Credentials", Some("true")),
        ("Access-Control-Allow-Methods", Some("PUT")),
        ("Access-Control-Allow-Headers", Some("Content-Type")),
        ("Access-Control-Max-Age", Some("600")),
        ("Vary", Some("Origin")),
    ] {
        assert_eq!(admitted.field(name).as_deref(), expected, "{name}");
    }
    let check = |target: &str, origin: &str, method: &str, expected: Option<&str>| {
        let answer = preflight(target, origin, method);
        assert_eq!(
            answer.field("Access-Control-Allow-Origin").as_deref(),
            expected,
            "{target} {origin} {method}"
        );
    };
    check("/items", "https://evil.example", "PUT", None);
    check("/items", "https://app.example", "POST", None);
    check("/items", "https://app.example", "DELETE", None);
    check("/any", "https://evil.example", "PATCH", Some("*"));
    check("/nowhere", "https://app.example", "GET", None);

    let read = t.get("/items").field("Origin", "https://app.example").send();
    assert_eq!(read.field("Access-Control-Allow-Origin").as_deref(), Some("https://app.example"));
    assert_eq!(read.field("Access-Control-Expose-Headers").as_deref(), Some("X-Total"));
    let foreign = t.get("/items").field("Origin", "https://evil.example").send();
    assert_eq!(
        (foreign.field("Access-Control-Allow-Origin"), foreign.field("Vary").as_deref()),
        (None, Some("Origin"))
    );
}

#[test]
fn a_connection_is_refused_before_its_first_octet() {
    let t = test(|server| {
        let local = |peer: &Peer| matches!(peer, Peer::Tcp(address) if address.ip().to_string().starts_with("192.0.2."));
        server.get("/", |_| Response::text("welcome")).on_accept(local)
    });
    assert_eq!(t.get("/").send().text(), "welcome");
    let refused = t.get("/").from(([203, 0, 113, 9], 4_711).into()).send();
    assert_eq!((refused.status(), refused.is_complete()), (0, false));
}

#[test]
fn rules_for_other_origins_hold_for_a_whole_site() {
    let t = test(|server| {
        let text = |_: &Request<'_>| Response::text("");
        server
            .layer(Cors::origins(["https://app.example"]).credentials())
            .get("/items", text)
            .route(Route::post("/items", text).layer(Cors::origins(["https://own.example"])))
    });
    let preflight = |origin: &str, method: &str| {
        let request = t.request("OPTIONS", "/items").field("Origin", origin);
        let answer = request.field("Access-Control-Request-Method", method).send();
        (answer.status(), answer.field("Access-Control-Allow-Origin"))
    };
    for (origin, method, admitted) in [
        ("https://app.example", "GET", true),
        ("https://app.example", "POST", false),
        ("https://own.example", "POST", true),
        ("https://evil.example", "GET", false),
    ] {
        let expected = (204, admitted.then(|| origin.to_owned()));
        assert_eq!(preflight(origin, method), expected, "{method} of {origin}");
    }
    let read = t.post("/items", "").field("Origin", "https://own.example").send();
    assert_eq!(
        read.fields("Access-Control-Allow-Origin").collect::<Vec<_>>(),
        ["https://own.example"],
        "two origins would be none"
    );
}

#[test]
fn a_field_that_cannot_be_written_is_a_500() {
    let t = test(|server| {
        let broken = |_: &mut Context<'_>, _: &Request<'_>, fields: &mut Fields| {
            fields.add("X-Before", "yes");
            fields.add("X-Broken", "a\r\nX-Smuggled: b");
            Ok(())
        };
        server.get("/", |_| Response::text("")).ws("/feed", |_| Silent).layer(broken)
    });
    let response = t.get("/").send();
    assert_eq!((response.status(), response.field("X-Before").as_deref()), (500, Some("yes")));
    assert_eq!(response.field("X-Smuggled"), None);
    assert_eq!(t.ws("/feed").try_connect().expect_err("a line that cannot be written").status(), 500);
}
