//! HTTP and WebSocket over TLS, and what becomes of peers that come without.

use crate::common::{Answer, Running, serve};
use lws_server::http::{Exchange, Handler, Request, Response, Status};
use lws_server::tls::{ClientCertificates, Event, Host, Identity, Listen, Plain, Server as Tls, UnknownName};
use lws_server::{Context, MessageKind, Payload, WebSocket, raw, ws};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tests::tls::{Authority, Issued, Side};

/// Asks over TLS for `octets`, and reads to the end.
fn ask(server: &Running, authority: &Authority, name: &str, octets: &str) -> Vec<u8> {
    let client = lws_tls_client(authority, name, None);
    converse(server, client, octets)
}

fn lws_tls_client(authority: &Authority, name: &str, identity: Option<Identity>) -> Side {
    let client = lws_tls::Client::builder().roots(authority.roots());
    let client = identity.into_iter().fold(client, lws_tls::ClientBuilder::identity);
    Side::new(&*client.build().expect("a client").to(name).expect("a name"))
}

fn converse(server: &Running, mut client: Side, octets: impl AsRef<[u8]>) -> Vec<u8> {
    let address = server.addresses.last().expect("an address");
    let mut socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout is set");
    client.receive(&[]);
    let mut sent = false;
    let mut bytes = vec![0; 64 << 10];
    loop {
        if !client.session.is_handshaking() && client.failure.is_none() && !sent {
            sent = true;
            client.seal(lws_server::Time::ZERO, &[octets.as_ref()]);
        }
        socket.write_all(&std::mem::take(&mut client.out)).expect("the server reads");
        match socket.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => client.receive(&bytes[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        client.closed || client.failure.is_some() || client.plaintext.is_empty(),
        "close_notify comes first"
    );
    client.plaintext
}

fn get(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// Says what TLS has agreed on.
struct Told;

impl Handler for Told {
    fn open(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        let told = match cx.tls() {
            None => "plain".into(),
            Some(tls) => format!(
                "{} {} {}",
                tls.version,
                tls.server_name.as_deref().unwrap_or("-"),
                tls.subject.as_deref().unwrap_or("-")
            ),
        };
        assert!(exchange.reply(Response::text(told)).is_ok());
    }
}

#[test]
fn a_handler_learns_what_tls_has_agreed_on() {
    let authority = Authority::new("root");
    let (issued, alice) = (authority.issue(&["a.example"]), authority.issue(&["alice"]));
    let host =
        Host::new(issued.identity()).client_certificates(ClientCertificates::Request(authority.roots()));
    let tls = Tls::builder().default_host(host).build().expect("a server");
    let server = serve(|builder| builder.listen_tls("127.0.0.1:0", tls).get("/", |_| Told));
    assert_eq!(server.get("/").text(), "plain");
    let answer = ask(&server, &authority, "a.example", &get("a.example", "/"));
    assert_eq!(Answer::parse(&answer).text(), "TLSv1.3 a.example -");
    let client = lws_tls_client(&authority, "a.example", Some(alice.identity()));
    let answer = converse(&server, client, get("a.example", "https://a.example/"));
    assert_eq!(Answer::parse(&answer).text(), "TLSv1.3 a.example CN=alice");
    let answer = ask(&server, &authority, "a.example", &get("a.example", "http://a.example/"));
    assert_eq!(Answer::parse(&answer).status, 421, "a plain URI on a connection with TLS");
}

#[test]
fn whoever_answers_sees_whose_certificate_it_was() {
    struct Greeter;
    impl ws::Handler for Greeter {
        fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
            let subject = cx.tls().and_then(|tls| tls.subject.clone()).unwrap_or_default();
            if let Ok(permit) = stream.permit() {
                let _ = permit.message(MessageKind::Text, Payload::Copy(subject.as_bytes()), true);
            }
        }
    }
    fn subject(request: &Request<'_>) -> String {
        request.tls().and_then(|tls| tls.subject.as_deref()).unwrap_or("nobody").to_owned()
    }
    let authority = Authority::new("root");
    let (issued, alice) = (authority.issue(&["a.example"]), authority.issue(&["alice"]));
    let host =
        Host::new(issued.identity()).client_certificates(ClientCertificates::Request(authority.roots()));
    let tls = Tls::builder().default_host(host).build().expect("a server");
    let server = serve(|builder| {
        builder
            .listen_tls("127.0.0.1:0", tls)
            .get("/", |request| Response::text(subject(request)))
            .post("/", |request| Response::text(subject(request)))
            .ws("/ws", |request| match &*subject(request) {
                "nobody" => Err(Response::error(Status::FORBIDDEN)),
                _ => Ok(Greeter),
            })
    });
    assert_eq!(server.get("/").text(), "nobody");
    let said = |identity: Option<&Issued>, octets: &[u8]| {
        let identity = identity.map(Issued::identity);
        converse(&server, lws_tls_client(&authority, "a.example", identity), octets)
    };
    let post =
        get("a.example", "/").replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi");
    for request in [&get("a.example", "/"), &post] {
        assert_eq!(Answer::parse(&said(Some(&alice), request.as_bytes())).text(), "CN=alice");
        assert_eq!(Answer::parse(&said(None, request.as_bytes())).text(), "nobody");
    }
    // An empty Close, masked with zeroes, ends the WebSocket.
    let close = b"\x88\x80\0\0\0\0";
    let opening = "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let told = said(Some(&alice), &[opening.as_bytes(), close].concat());
    let told = String::from_utf8_lossy(&told);
    assert!(told.starts_with("HTTP/1.1 101 ") && told.contains("CN=alice"), "{told}");
    let refused = said(None, opening.replace(": Upgrade", ": Upgrade, close").as_bytes());
    assert_eq!(Answer::parse(&refused).status, 403);
}

#[test]
fn a_request_for_another_host_than_the_connection_was_made_for_is_misdirected() {
    let authority = Authority::new("root");
    let (one, other) = (authority.issue(&["a.example", "b.example"]), authority.issue(&["c.example"]));
    let tls = Tls::builder()
        .host("a.example", Host::new(one.identity()))
        .host("*.a.example", Host::new(authority.issue(&["*.a.example"]).identity()))
        .host("c.example", Host::new(other.identity()))
        .unknown_name(UnknownName::Refuse)
        .build()
        .expect("a server");
    let server = serve(|builder| builder.listen_tls("127.0.0.1:0", tls).get("/", |_| Told));
    for (name, host, status) in [
        ("a.example", "a.example", 200),
        ("a.example", "A.EXAMPLE:1234", 200),
        ("a.example", "c.example", 421),
        ("a.example", "x.a.example", 421),
        ("x.a.example", "y.a.example", 200),
        ("c.example", "a.example", 421),
        ("c.example", "nowhere", 421),
    ] {
        let answer = Answer::parse(&ask(&server, &authority, name, &get(host, "/")));
        assert_eq!(answer.status, status, "{host} on a connection for {name}");
    }
    assert_eq!(ask(&server, &authority, "nowhere", &get("nowhere", "/")), b"", "unrecognized_name");
}

#[test]
fn a_client_that_asks_for_no_name_reaches_no_host_but_the_default_one() {
    let authority = Authority::new("root");
    let members = ClientCertificates::Require(authority.roots());
    let default = authority.issue(&["default.example", "127.0.0.1"]);
    let tls = Tls::builder()
        .default_host(Host::new(default.identity()))
        .host(
            "members.example",
            Host::new(authority.issue(&["members.example"]).identity()).client_certificates(members),
        )
        .build()
        .expect("a server");
    let server = serve(|builder| builder.listen_tls("127.0.0.1:0", tls).get("/", |_| Told));
    for (host, status) in [
        ("members.example", 421),
        ("Members.Example.:443", 421),
        ("default.example", 200),
        ("127.0.0.1", 200),
        ("[::1]:443", 200),
    ] {
        // The name of a server that is an address is not asked for.
        let answer = Answer::parse(&ask(&server, &authority, "127.0.0.1", &get(host, "/")));
        assert_eq!(answer.status, status, "{host}");
    }
}

#[test]
fn what_alpn_has_chosen_is_spoken_and_nothing_else() {
    const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let authority = Authority::new("root");
    let hosts = [("a.example", &["h2", "http/1.1"][..]), ("old.example", &["http/1.1"])];
    let tls = hosts.iter().fold(Tls::builder(), |tls, (name, alpn)| {
        tls.host(name, Host::new(authority.issue(&[name]).identity()).alpn(alpn))
    });
    let tls = tls.build().expect("a server");
    let server = serve(|builder| builder.listen_tls("127.0.0.1:0", tls).get("/", |_| Told));
    let said = |name: &str, alpn: &[&str], octets: &str| {
        let client = lws_tls::Client::builder().roots(authority.roots()).alpn(alpn).build();
        let provider = client.and_then(|client| client.to(name)).expect("a client");
        let said = converse(&server, Side::new(&*provider), octets);
        match &*said {
            [b'H', b'T', b'T', b'P', ..] => Answer::parse(&said).status,
            // A SETTINGS frame.
            [0, 0, _, 4, ..] => 2,
            other => panic!("{}", other.escape_ascii()),
        }
    };
    let request = &get("a.example", "/");
    let preface = &format!("{PREFACE}{}", "\0\0\x04\x07\0\0\0\0\0\0\0\0\0");
    assert_eq!(said("a.example", &["h2"], preface), 2);
    assert_eq!(said("a.example", &["h2"], request), 2, "a request of HTTP/1.1 is no preface");
    assert_eq!(said("a.example", &["http/1.1"], request), 200);
    assert_eq!(said("a.example", &["http/1.1"], preface), 505);
    assert_eq!(said("a.example", &[], request), 200);
    assert_eq!(said("a.example", &[], preface), 505);
    assert_eq!(said("old.example", &["h2", "http/1.1"], preface), 505, "a host that speaks HTTP/1.1 only");
}

#[test]
fn what_comes_without_tls_is_refused_redirected_served_or_closed() {
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example"]);
    let plain = |policy, request: &str| {
        let listen = Listen::from(issued.server()).plain(policy);
        let server = serve(move |builder| {
            builder.listen_tls("127.0.0.1:0", listen).host("a.example").get("/", |_| Told)
        });
        let mut socket = TcpStream::connect(server.addresses[1]).expect("it listens");
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        // Whatever becomes of those, TLS is served.
        let secure = Answer::parse(&ask(&server, &authority, "a.example", &get("a.example", "/")));
        assert_eq!(secure.status, 200);
        answer
    };
    let request = "GET /x?y HTTP/1.1\r\nHost: a.example:8443\r\n\r\n";
    let answer = Answer::parse(&plain(Plain::Refuse, request));
    assert_eq!((answer.status, answer.field("connection")), (400, Some("close")));
    let answer = Answer::parse(&plain(Plain::Redirect, request));
    let location = Some("https://a.example:8443/x?y");
    assert_eq!((answer.status, answer.field("location")), (308, location));
    assert_eq!(answer.field("connection"), Some("close"));
    let answer = Answer::parse(&plain(Plain::Redirect, &get("elsewhere", "/")));
    assert_eq!(
        (answer.status, answer.field("location")),
        (421, None),
        "no client is redirected to another server"
    );
    let answer = Answer::parse(&plain(Plain::Serve, &get("a.example", "/")));
    assert_eq!(answer.text(), "plain");
    assert_eq!(plain(Plain::Close, request), b"");
}

#[test]
fn browsers_are_asked_to_come_by_tls_only_where_they_came_by_it() {
    let authority = Authority::new("root");
    let tls = authority.issue(&["a.example"]).server();
    let server = serve(|builder| {
        builder
            .listen_tls("127.0.0.1:0", tls)
            .strict_transport_security(Duration::from_secs(600))
            .security_best_practices()
            .get("/", |_| Response::text("x").field("X-Own", "y"))
            .get("/handler", |_| Told)
    });
    for target in ["/", "/handler", "/missing"] {
        let plain = server.get(target);
        let secure = Answer::parse(&ask(&server, &authority, "a.example", &get("a.example", target)));
        assert_eq!(plain.field("strict-transport-security"), None);
        assert_eq!(
            secure.field("strict-transport-security"),
            Some("max-age=600; includeSubDomains"),
            "{target}"
        );
        for answer in [plain, secure] {
            assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{target}");
            assert_eq!(answer.field("x-frame-options"), Some("deny"));
            assert_eq!(answer.field("referrer-policy"), Some("no-referrer"));
            let policy = answer.field("content-security-policy").expect("a policy");
            assert!(policy.starts_with("default-src 'none'; ") && policy.ends_with("form-action 'self'"));
        }
    }
    assert_eq!(server.get("/").field("x-own"), Some("y"));
    let server = serve(|builder| builder.get("/", |_| Response::text("x")));
    assert_eq!(server.get("/").field("content-security-policy"), None, "unless it is asked for");
}

#[test]
fn a_peer_that_resets_in_its_handshake_keeps_its_address() {
    let tls = Authority::new("root").issue(&["a.example"]).server();
    let (tell, told) = channel();
    let server = serve(move |builder| {
        builder.listen_tls("127.0.0.1:0", tls).on_tls(move |peer, event| {
            tell.send((*peer, matches!(event, Event::Failed(_)))).expect("the test listens");
            true
        })
    });
    let mut socket = TcpStream::connect(server.addresses[1]).expect("it listens");
    let address = lws_server::Peer::Tcp(socket.local_addr().expect("an address"));
    // A ClientHello that is cut.
    socket.write_all(b"\x16\x03\x01\x02\x00\x01").expect("it reads");
    crate::http::reset(socket);
    assert_eq!(told.recv_timeout(Duration::from_secs(10)).expect("a failure"), (address, true));
}

#[test]
fn a_tls_observer_is_notified_of_handshakes_and_failures_and_may_refuse() {
    let authority = Authority::new("root");
    let tls = authority.issue(&["a.example"]).server();
    let (tell, told) = channel();
    let server = serve(move |builder| {
        builder.listen_tls("127.0.0.1:0", tls).get("/", |_| Told).on_tls(move |peer, event| {
            let (text, accept) = match event {
                Event::Established(info) => (info.to_string(), info.alpn.is_some()),
                Event::Failed(failure) => (failure.name().to_owned(), true),
                _ => (String::new(), true),
            };
            tell.send(format!("{:?} {text}", peer.ip().map(|ip| ip.is_loopback()))).is_ok() && accept
        })
    });
    let next = |told: &Receiver<String>| told.recv_timeout(Duration::from_secs(20)).expect("something");
    ask(&server, &authority, "a.example", &get("a.example", "/"));
    let established = next(&told);
    assert!(
        established.starts_with("Some(true) TLSv1.3 TLS_")
            && established.ends_with(" name=a.example alpn=http/1.1"),
        "{established}"
    );
    let other = Authority::new("other");
    assert_eq!(ask(&server, &other, "a.example", &get("a.example", "/")), b"");
    // The address of a peer that has reset the connection is not known any more.
    let failed = next(&told);
    assert!(failed.ends_with(" tls_alert_received"), "{failed}");
    let client = lws_tls::Client::builder().roots(authority.roots()).alpn(&[]).build().expect("a client");
    let client = Side::new(&*client.to("a.example").expect("a name"));
    assert_eq!(converse(&server, client, get("a.example", "/")), b"", "refused");
    assert!(next(&told).ends_with("name=a.example"));
    let refused = next(&told);
    assert!(refused.ends_with(" tls_refused"), "{refused}");
}

#[test]
fn a_raw_stream_runs_over_tls_too() {
    struct Shout;
    impl raw::Handler for Shout {
        fn chunk(
            &mut self,
            _: &mut Context<'_>,
            stream: lws_server::RawStream<'_>,
            chunk: &mut [u8],
            _: bool,
        ) {
            chunk.make_ascii_uppercase();
            if let Ok(permit) = stream.permit() {
                let _ = permit.data(lws_server::Payload::Copy(chunk), true);
            }
        }
    }
    let authority = Authority::new("root");
    let tls = authority.issue(&["a.example"]).server();
    let server = serve(|builder| builder.listen_raw_tls("127.0.0.1:0", tls, || Shout));
    let mut client = lws_tls_client(&authority, "a.example", None);
    client.receive(&[]);
    let mut socket = TcpStream::connect(server.addresses[1]).expect("it listens");
    let mut bytes = vec![0; 64 << 10];
    let mut sent = false;
    while !client.closed {
        if !client.session.is_handshaking() && client.failure.is_none() && !sent {
            sent = true;
            client.seal(lws_server::Time::ZERO, &[b"hello"]);
        }
        socket.write_all(&std::mem::take(&mut client.out)).expect("it reads");
        let n = socket.read(&mut bytes).expect("it answers");
        client.receive(&bytes[..n]);
    }
    assert_eq!(client.plaintext, b"HELLO");
}

#[test]
fn hosts_are_added_replaced_and_removed_while_connections_go_on() {
    let authority = Authority::new("root");
    let host = |name: &str| Host::new(authority.issue(&[name]).identity());
    let first = || Tls::builder().host("a.example", host("a.example")).unknown_name(UnknownName::Refuse);
    let tls = first().build().expect("a server");
    let shown = tls.clone();
    let server = serve(|builder| builder.any_host().listen_tls("127.0.0.1:0", tls).get("/", |_| Told));
    let status = |name: &str| match &*ask(&server, &authority, name, &get(name, "/")) {
        [] => None,
        answer => Some(Answer::parse(answer).status),
    };
    assert_eq!((status("a.example"), status("b.example")), (Some(200), None));
    let update = first().host("b.example", host("b.example")).prepare(&shown).expect("they can be read");
    assert_eq!(status("b.example"), None, "nothing has changed yet");
    update.apply();
    assert_eq!((status("a.example"), status("b.example")), (Some(200), Some(200)));
    assert!(first().host("a.example", host("a.example")).prepare(&shown).is_err(), "one name twice");
    assert!(
        Tls::builder().default_host(Host::new(Identity::files("/none", "/none"))).prepare(&shown).is_err()
    );
    assert_eq!(status("b.example"), Some(200), "what fails changes nothing");
    first().prepare(&shown).expect("they can be read").apply();
    assert_eq!((status("a.example"), status("b.example")), (Some(200), None));
    shown.reload().expect("the hosts of today are read again");
    assert_eq!(status("b.example"), None);
}
