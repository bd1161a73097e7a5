//! Who may come in: tokens, sessions, and others who are asked.

use crate::common::{Answer, Running, serve};
use lws_server::auth::{Bearer, ForwardAuth};
use lws_server::http::{self, Exchange, HeadBuf, Request, Response, Status};
use lws_server::{Admission, Ask, Builder, Context, Gate, Grant, Methods, Route, WebSocket, ws};

struct Silent;

impl ws::Handler for Silent {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, _: ws::Message<'_>) {
        let _ = stream.close(lws_proto::ws::CloseCode::NORMAL, "");
    }
}

/// What the one who is asked says, by a field that the request has.
fn decide(request: &Request<'_>) -> Response {
    let about = |name| request.text(name).unwrap_or("none").to_owned();
    match request.text("Key") {
        Some("right") => Response::new(Status::NO_CONTENT)
            .field("Remote-User", "ann")
            .field("Remote-User", "of the house")
            .field("Set-Cookie", "not=for-the-peer"),
        Some("login") => {
            Response::new(Status::SEE_OTHER).field("Location", "/login").field("Set-Cookie", "a=b")
        }
        Some("long") => Response::new(Status::OK).field("Remote-User", "x".repeat(20_000)),
        Some("about") => Response::text(format!(
            "{} {} {} {} {} {}",
            request.method_name(),
            about("X-Forwarded-Method"),
            about("X-Forwarded-Proto"),
            about("X-Forwarded-Host"),
            about("X-Forwarded-Uri"),
            about("X-Forwarded-For"),
        ))
        .status(Status::UNAUTHORIZED),
        Some("conditions") if request.get("If-None-Match").is_none() && request.get("Range").is_none() => {
            Response::new(Status::NO_CONTENT)
        }
        Some("panic") => panic!("it cannot decide"),
        _ => Response::error(Status::FORBIDDEN),
    }
}

/// Routes behind a gate that answer with what they got.
fn guarded(builder: Builder, gate: &Gate) -> Builder {
    let whoami = |request: &Request<'_>| {
        let users: Vec<_> = request.get_all("remote-user").map(String::from_utf8_lossy).collect();
        Response::text(format!("{}:{}", users.join("+"), request.content().len()))
    };
    builder
        .route(Route::methods(Methods::Any, "/whoami", whoami).authentication(gate.clone()))
        .route(Route::ws("/chat", |_| Silent).authentication(gate.clone()))
}

/// What is answered to content.
fn post(server: &Running, key: &str) -> (u16, String) {
    let mut peer = server.connect();
    peer.send(format!(
        "POST /whoami HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nKey: {key}\r\nContent-Length: 100000\r\n\r\n"
    ));
    peer.send(vec![b'c'; 100_000]);
    let answer = Answer::parse(&peer.rest());
    (answer.status, answer.text().to_owned())
}

/// The rows that hold for a route that is asked and for a server.
fn check(server: &Running) {
    const SPOOFED: &str =
        "Remote-User: root\r\nX-Forwarded-Uri: /elsewhere\r\nX-Forwarded-For: 192.0.2.1\r\n";
    let ask = |method: &str, fields: &str| {
        let answer = server.request(method, "/whoami?q=1", &format!("{SPOOFED}{fields}"));
        let text = answer.text().to_owned();
        (answer, text)
    };
    let (granted, text) = ask("GET", "Key: right\r\n");
    assert_eq!((granted.status, &*text), (200, "ann+of the house:0"));
    assert_eq!(granted.field("set-cookie"), None, "nothing of the answer reaches the peer");
    assert_eq!(ask("GET", "").0.status, 403);
    let (sent_away, _) = ask("GET", "Key: login\r\n");
    assert_eq!((sent_away.status, sent_away.field("location")), (303, Some("/login")));
    assert_eq!(sent_away.field("set-cookie"), Some("a=b"));
    let (told, about) = ask("DELETE", "Key: about\r\n");
    assert_eq!((told.status, &*about), (401, "GET DELETE http localhost /whoami?q=1 127.0.0.1"));
    let conditional = "Key: conditions\r\nIf-None-Match: *\r\nRange: bytes=0-0\r\n";
    assert_eq!(ask("GET", conditional).1, ":0", "what a client made up is gone");
    assert_eq!(post(server, "right"), (200, "ann+of the house:100000".to_owned()));
    assert_eq!(post(server, "wrong").0, 403);
    assert_eq!(post(server, "panic").0, 500);
    assert_eq!(server.open("/chat", "Key: wrong\r\n").1.status, 403);
    let (mut peer, opened) = server.open("/chat", "Key: right\r\n");
    assert_eq!(opened.status, 101);
    peer.send_text("end");
    assert_eq!(peer.frame().0, 8, "a close frame");
}

#[test]
fn another_route_decides_and_nothing_that_a_client_makes_up_is_believed() {
    let server = serve(|builder| {
        let gate = ForwardAuth::route("/auth").copy(["Remote-User"]).gate();
        guarded(builder, &gate).get("/auth", decide).get("/open", |_| Response::text("open"))
    });
    check(&server);
    // Where there is no answer the request does not go on.
    assert_eq!(server.request("GET", "/whoami", "Key: long\r\n").status, 500);
    assert_eq!(server.request("GET", "/whoami", "Key: panic\r\n").status, 500);
    assert_eq!(post(&server, "long").0, 500);
    assert_eq!(server.get("/open").status, 200);
    // One connection, and each request is decided about anew.
    let mut peer = server.connect();
    for (key, status) in [("right", "200"), ("wrong", "403"), ("right", "200")] {
        peer.send(format!("GET /whoami HTTP/1.1\r\nHost: localhost\r\nKey: {key}\r\n\r\n"));
        let head = String::from_utf8(peer.head()).expect("text");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.expect("a length").parse().expect("a number");
        for _ in 0..length {
            peer.exactly::<1>();
        }
    }
}

#[test]
fn a_gate_of_the_whole_site_holds_for_the_route_that_it_asks_and_asks_it_once() {
    let server = serve(|builder| {
        let gate = ForwardAuth::route("/auth").gate();
        builder.authentication(gate).get("/auth", decide).get("/page", |_| Response::text("page"))
    });
    assert_eq!(server.request("GET", "/page", "Key: right\r\n").text(), "page");
    assert_eq!(server.get("/page").status, 403);
    assert_eq!(server.request("GET", "/auth", "Key: right\r\n").status, 204);
}

#[test]
fn a_route_that_is_not_there_and_a_question_about_a_question_let_nobody_in() {
    let server = serve(|builder| {
        let asks = |path: &'static str| {
            Gate::new(move |_: &mut Context<'_>, _: &Request<'_>| -> Admission { Ask::new(path).into() })
        };
        let text = |_: &Request<'_>| Response::text("reached");
        builder
            .route(Route::get("/a", text).authentication(asks("/none")))
            .route(Route::get("/b", text).authentication(asks("/a")))
            .route(Route::get("/c", text).authentication(asks("no path")))
            .route(Route::get("/d", text).authentication(asks("/e")))
            .route(Route::get("/e", text))
    });
    for (path, status) in [("/a", 404), ("/b", 500), ("/c", 500), ("/d", 200)] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
}

/// Goes on with another request in place of the one that it gets.
struct Elsewhere(Option<HeadBuf>, &'static str);

impl http::Handler for Elsewhere {
    fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        if let Some(head) = self.0.take().and_then(|head| head.local_redirect(self.1)) {
            exchange.reroute(head);
        }
    }
}

/// What stands elsewhere is for the peer, whatever its status is: a page to log in at is no grant.
#[test]
fn a_question_that_is_answered_by_another_route_grants_nothing() {
    let server = serve(|builder| {
        let gate = ForwardAuth::route("/auth").gate();
        guarded(builder, &gate)
            .route(Route::http("/auth", |request: &Request<'_>| Elsewhere(request.to_buf(), "/login")))
            .get("/login", |_| Response::text("please log in"))
    });
    assert_eq!(server.get("/whoami").text(), "please log in");
    assert_eq!(post(&server, "any").1, "please log in");
    assert_eq!(server.open("/chat", "").1.status, 200);
}

#[test]
fn a_request_that_is_asked_about_at_each_turn_goes_on_ten_times_all_the_same() {
    let server = serve(|builder| {
        let gate = ForwardAuth::route("/auth").gate();
        builder.route(Route::get("/auth", |_: &Request<'_>| Response::new(Status::NO_CONTENT))).route(
            Route::http("/again", |request: &Request<'_>| Elsewhere(request.to_buf(), "/again"))
                .authentication(gate),
        )
    });
    assert_eq!(server.get("/again").status, 500);
}

/// Grants after a while, and does what handlers do about content, which is not that of its own request.
struct Meddler;

impl http::Handler for Meddler {
    fn open(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, end: bool) {
        assert!(end, "a question has no content");
        exchange.limit_content(1_000);
        exchange.resume();
        exchange.set_timeout(Some(cx.now() + std::time::Duration::from_millis(50)));
    }

    fn timer(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        if let Ok(permit) = exchange.permit() {
            permit.reply(Response::new(Status::NO_CONTENT));
        }
    }
}

#[test]
fn content_of_the_request_that_waits_is_not_taken_by_what_is_asked() {
    let server = serve(|builder| {
        let gate = ForwardAuth::route("/auth").gate();
        guarded(builder, &gate).route(Route::http("/auth", |_| Meddler))
    });
    assert_eq!(post(&server, "any"), (200, ":100000".into()));
}

/// The authority of the target names the site, and not `Host`. RFC 9112 §3.2.2.
#[test]
fn the_site_that_is_guarded_is_the_one_that_decides() {
    let site = |name: &str| {
        let mut site = lws_server::Site::new();
        site.settings.names = [name].into();
        site
    };
    let server = serve(move |builder| {
        let mut guarded = site("guarded.example");
        let gate = ForwardAuth::route("/auth").gate();
        guarded.routes.push(Route::get("/auth", |request: &Request<'_>| {
            Response::text(request.text("X-Forwarded-Host").unwrap_or("none").to_owned())
                .status(Status::FORBIDDEN)
        }));
        guarded
            .routes
            .push(Route::get("/secret", |_: &Request<'_>| Response::text("secret")).authentication(gate));
        let mut open = site("open.example");
        open.routes.push(Route::get("/", |_: &Request<'_>| Response::text("open")));
        builder.site(guarded).site(open)
    });
    let mut peer = server.connect();
    peer.send(
        "GET http://guarded.example/secret HTTP/1.1\r\nHost: open.example\r\nConnection: close\r\n\r\n",
    );
    let answer = Answer::parse(&peer.rest());
    assert_eq!((answer.status, answer.text()), (403, "guarded.example"));
}

/// A layer of the site has one place: the question gives it back before the request itself needs it.
#[test]
fn what_layers_keep_for_a_question_is_free_for_the_request() {
    let server = serve(|builder| {
        let gate = ForwardAuth::route("/auth").gate();
        let one = lws_server::layer::ConcurrencyLimit::new(1);
        builder
            .layer(one)
            .authentication(gate)
            .get("/auth", |_: &Request<'_>| Response::new(Status::NO_CONTENT))
            .get("/page", |_: &Request<'_>| Response::text("page"))
    });
    for _ in 0..3 {
        assert_eq!(server.get("/page").text(), "page");
    }
}

/// Grants, and goes on as if the peer were to get something.
struct Talkative;

impl http::Handler for Talkative {
    fn open(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>, end: bool) {
        assert!(end, "a question has no content");
        exchange.interim(Status::EARLY_HINTS, [("Link", "</x>")]).expect("it is taken");
        let permit = exchange.permit().expect("the queue is empty");
        let sent = permit.respond(Status::OK, [("X", "y")], lws_server::Payload::Copy(b"some"), false);
        let mut exchange = sent.expect("it is taken").into_exchange();
        exchange.want_write();
        assert!(exchange.reborrow().permit().is_err(), "there is nothing to write any more");
        exchange.abort();
    }
}

#[test]
fn a_handler_that_grants_writes_nothing_whatever_it_does() {
    let server = serve(|builder| {
        let gate = ForwardAuth::route("/auth").gate();
        guarded(builder, &gate).route(Route::http("/auth", |_| Talkative))
    });
    let answer = server.get("/whoami");
    assert_eq!((answer.status, answer.text(), answer.field("x")), (200, ":0", None));
    assert_eq!(server.open("/chat", "").1.status, 101);
}

#[test]
fn what_is_asked_may_wait_and_its_guards_are_asked_first() {
    let server = serve(|builder| {
        let gate = ForwardAuth::route("/auth").copy(["Remote-User"]).gate();
        let later = Gate::new(|cx: &mut Context<'_>, request: &Request<'_>| {
            let (admission, decision) = Admission::later(cx);
            let decision = decision.expect("it is about a request");
            match request.get("Late") {
                Some(_) => decision.refuse(Response::error(Status::GONE)),
                None => decision.grant_with(Grant::new().field("Key", "right")),
            }
            admission
        });
        guarded(builder, &gate).route(Route::get("/auth", decide).authentication(later))
    });
    assert_eq!(server.get("/whoami").text(), "ann+of the house:0");
    assert_eq!(server.request("GET", "/whoami", "Late: 1\r\n").status, 410);
}

#[test]
fn a_token_that_is_known_lets_in_whose_it_is() {
    let server = serve(|builder| {
        let known = |_: &mut Context<'_>, token: &str| {
            (token == "sesame").then(|| Grant::new().field("Remote-User", "ann"))
        };
        guarded(builder, &Bearer::new("the \"api\"", known).gate())
    });
    const REALM: &str = "Bearer realm=\"the \\\"api\\\"\"";
    for (fields, status, challenge) in [
        ("", 401, Some(REALM.to_owned())),
        ("Authorization: Basic YTpi\r\n", 401, Some(REALM.to_owned())),
        ("Authorization: Bearer other\r\n", 401, Some(format!("{REALM}, error=\"invalid_token\""))),
        ("Authorization: Bearer\r\n", 400, Some(format!("{REALM}, error=\"invalid_request\""))),
        ("Authorization: Bearer sesame\r\n", 200, None),
    ] {
        let answer = server.request("GET", "/whoami", fields);
        assert_eq!(
            (answer.status, answer.field("www-authenticate")),
            (status, challenge.as_deref()),
            "{fields}"
        );
    }
    let right = "Remote-User: root\r\nAuthorization: Bearer sesame\r\n";
    assert_eq!(server.request("GET", "/whoami", right).text(), "ann:0");
    assert_eq!(server.open("/chat", "").1.status, 401);
    assert_eq!(server.open("/chat", right).1.status, 101);
}

#[cfg(feature = "cookies")]
#[test]
fn a_session_lets_in_who_has_its_rights() {
    use lws_server::auth::{Session, Sessions};
    let server = serve(|builder| {
        let find = |_: &mut Context<'_>, name: &str| {
            let rights = name.parse().ok()?;
            Some(Session::with(rights, Grant::new().field("Remote-User", name)))
        };
        guarded(builder, &Sessions::new("id", find).login("/login").gate(0b101))
    });
    const NAVIGATES: &str = "Sec-Fetch-Mode: navigate\r\n";
    for (method, fields, status) in [
        ("GET", "", 401),
        ("GET", "Cookie: id=none\r\n", 401),
        ("GET", NAVIGATES, 303),
        ("GET", "Accept: text/html,*/*\r\n", 303),
        ("GET", "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n", 401),
        ("POST", "Accept: text/html\r\n", 401),
        ("GET", "Cookie: id=4\r\n", 403),
        ("GET", "Cookie: a=b; id=7\r\n", 200),
    ] {
        assert_eq!(server.request(method, "/whoami", fields).status, status, "{method} {fields}");
    }
    assert_eq!(server.request("GET", "/whoami", "Cookie: id=5\r\n").text(), "5:0");
    assert_eq!(server.open("/chat", NAVIGATES).1.status, 303);
    assert_eq!(server.open("/chat", "Cookie: id=13\r\n").1.status, 101);
}

#[cfg(feature = "client")]
mod of_another_server {
    use super::*;
    use std::net::{SocketAddr, TcpListener};
    use std::time::Duration;
    use test_kit::PATIENCE;

    fn asking(address: SocketAddr, timeout: Duration) -> Running {
        serve(move |builder| {
            let url = format!("http://{address}/auth").parse().expect("a URL");
            let gate = ForwardAuth::server(url).send(["Key"]).copy(["Remote-User"]);
            guarded(builder, &gate.timeout(timeout).gate())
        })
    }

    #[test]
    fn another_server_decides_and_nothing_that_a_client_makes_up_is_believed() {
        let other = serve(|builder| {
            builder.get("/auth", |request| match request.get("Remote-User") {
                Some(_) => Response::error(Status::BAD_REQUEST),
                None => decide(request),
            })
        });
        check(&asking(other.address, PATIENCE));
    }

    #[test]
    fn a_server_that_does_not_answer_lets_nobody_in() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let server = asking(silent.local_addr().expect("it is bound"), Duration::from_millis(300));
        assert_eq!(server.get("/whoami").status, 504);
        assert_eq!(server.open("/chat", "").1.status, 504);
        drop(silent);
        assert_eq!(server.get("/whoami").status, 502);
        let talkative = serve(|builder| builder.get("/auth", |_| Response::text("x".repeat(1 << 20))));
        assert_eq!(asking(talkative.address, PATIENCE).get("/whoami").status, 502);
    }
}
