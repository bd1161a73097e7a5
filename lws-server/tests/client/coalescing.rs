//! HTTP/2 connections that are used for several origins, over TLS: RFC 9113 §9.1.1.

use super::{PATIENCE, Running, get, serve};
use lws_client::{ClientApp, Context, Failure, Options, Request, Response, Tls, Versions};
use lws_loop_external::{Driver, Query, ResolveError, Resolver};
use lws_loop_poll::{PollLoop, ServiceId};
use lws_server::http::Response as Answer;
use lws_server::tls::{Host, Server};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tests::tls::Authority;

/// Names that differ in nothing but where they lead: those below `far` to another address of this machine.
struct Names;

impl Resolver for Names {
    fn resolve(&mut self, query: Query) {
        let address = match query.name() {
            name if name.ends_with("far.test") => IpAddr::from([127, 0, 0, 2]),
            name if name.ends_with(".test") => IpAddr::from([127, 0, 0, 1]),
            _ => return query.answer(Err(ResolveError::NoAddress)),
        };
        let port = query.port();
        query.answer(Ok(vec![SocketAddr::new(address, port)]));
    }
}

/// A server for `names` with one certificate and with another one for `own`, which it keeps apart. It says which name its TLS has asked for, and
/// in `conn` which connection it is.
fn server(authority: &Authority, names: &[&str], own: &str) -> Running {
    let default = Host::new(authority.issue(names).identity()).alpn(&["h2", "http/1.1"]);
    let apart = Host::new(authority.issue(&[own]).identity()).alpn(&["h2", "http/1.1"]);
    let tls = Server::builder().default_host(default).host(own, apart).build().expect("a server");
    serve(|builder| {
        builder.listen_tls("0.0.0.0:0", tls).get("/name", |request| {
            let asked = request.tls().and_then(|tls| tls.server_name.as_deref()).unwrap_or("-").to_owned();
            Answer::text(format!("{asked} {:?}", request.version()))
        })
    })
}

/// A client on a loop, which waits for one response after the other.
struct World {
    poll_loop: PollLoop<Driver<ClientApp>>,
    service: ServiceId,
    port: u16,
}

impl World {
    fn new(authority: &Authority, server: &Running, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        options.tls = trusting(authority);
        options.coalesce = true;
        change(&mut options);
        let mut driver = ClientApp::driver(options).expect("a service");
        driver.set_resolver(Names);
        let mut poll_loop = PollLoop::new().expect("a loop");
        let service = poll_loop.add(driver).expect("there is room");
        Self { poll_loop, service, port: server.last.port() }
    }

    fn ask(&mut self, host: &str, change: impl FnOnce(&mut Request)) -> Result<Response, Failure> {
        let mut request = get(&format!("https://{host}:{}/name", self.port));
        change(&mut request);
        let outcome = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&outcome);
        let now = self.poll_loop.now();
        self.poll_loop.service_mut(self.service).expect("the service").with(now, |app, cx| {
            let done = move |_: &mut Context<'_>, result| drop(slot.replace(Some(result)));
            app.client().collect(request, 1_000, done);
            app.act(cx);
        });
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(result) = outcome.take() {
                return result;
            }
            assert!(Instant::now() < give_up, "no outcome");
            self.poll_loop.run_once(Some(Duration::from_millis(20))).expect("it runs");
        }
    }

    /// The name that TLS has asked for on the connection that a request for `host` was sent on.
    #[track_caller]
    fn check(&mut self, host: &str, asked: &str) {
        let response = self.ask(host, |_| {}).expect("a response");
        assert_eq!((response.status(), &*response.text()), (200, &*format!("{asked} Http2")), "{host}");
    }

    fn connects(&mut self) -> u64 {
        let now = self.poll_loop.now();
        let service = self.poll_loop.service_mut(self.service).expect("the service");
        service.with(now, |app, _| app.client().stats().connects_total)
    }
}

fn trusting(authority: &Authority) -> Tls {
    let roots = authority.roots();
    Tls::rustls(move |alpn| lws_tls::Client::builder().roots(roots.clone()).alpn(alpn).build())
}

#[test]
fn origins_of_one_certificate_and_one_address_share_a_connection() {
    let authority = Authority::new("root");
    let server = server(&authority, &["a.test", "b.test", "*.w.test"], "apart.test");
    let mut world = World::new(&authority, &server, |_| {});
    for host in ["a.test", "b.test", "x.w.test", "y.w.test", "b.test", "a.test"] {
        world.check(host, "a.test");
    }
    assert_eq!(world.connects(), 1);
}

#[test]
fn a_name_that_the_certificate_does_not_have_needs_a_connection_of_its_own() {
    let authority = Authority::new("root");
    let server = server(&authority, &["a.test", "*.w.test"], "other.test");
    let mut world = World::new(&authority, &server, |_| {});
    world.check("a.test", "a.test");
    world.check("other.test", "other.test");
    // A wildcard is for one label.
    assert!(world.ask("x.y.w.test", |_| {}).is_err());
    world.check("a.test", "a.test");
    assert_eq!(world.connects(), 3);
}

#[test]
fn a_name_that_leads_elsewhere_needs_a_connection_of_its_own() {
    let authority = Authority::new("root");
    let server = server(&authority, &["a.test", "far.test", "b.far.test"], "apart.test");
    let mut world = World::new(&authority, &server, |_| {});
    world.check("a.test", "a.test");
    world.check("far.test", "far.test");
    assert_eq!(world.connects(), 2);
    world.check("b.far.test", "far.test");
    assert_eq!(world.connects(), 2, "that one is at the second address");
}

#[test]
fn an_override_of_the_address_counts_as_where_a_name_leads() {
    let authority = Authority::new("root");
    let server = server(&authority, &["a.test", "b.test", "far.test"], "apart.test");
    let port = server.last.port();
    let here = lws_loop_external::Address::Tcp(([127, 0, 0, 1], port).into());
    let mut world = World::new(&authority, &server, |options| {
        options.resolve.push(lws_client::Override {
            host: "far.test".into(),
            port: 0,
            addresses: vec![here],
        });
    });
    world.check("a.test", "a.test");
    world.check("far.test", "a.test");
    assert_eq!(world.connects(), 1);
}

#[test]
fn another_tls_or_no_wish_to_share_means_a_connection_for_each() {
    let authority = Authority::new("root");
    let server = server(&authority, &["a.test", "b.test"], "apart.test");
    let mut world = World::new(&authority, &server, |options| options.coalesce = false);
    world.check("a.test", "a.test");
    world.check("b.test", "b.test");
    assert_eq!(world.connects(), 2, "it is off by default");

    let mut world = World::new(&authority, &server, |_| {});
    world.check("a.test", "a.test");
    let other = trusting(&authority);
    let with = |change: fn(&mut lws_client::RequestOptions, &Tls)| {
        let other = other.clone();
        move |request: &mut Request| change(request.options.get_or_insert_default(), &other)
    };
    type Change = fn(&mut lws_client::RequestOptions, &Tls);
    let rows: [(&str, Change); 4] = [
        ("another TLS", |options, tls| options.tls = Some(tls.clone())),
        ("a name of its own", |options, tls| options.tls = Some(tls.clone().server_name("b.test"))),
        ("a tag", |options, _| options.isolation = Some("t".into())),
        ("a version", |options, _| options.versions = Versions::Http1),
    ];
    for (n, (what, change)) in rows.into_iter().enumerate() {
        let response = world.ask("b.test", with(change)).expect("a response");
        assert!(response.text().starts_with("b.test "), "{what}: {}", response.text());
        assert_eq!(world.connects(), 2 + n as u64, "{what}");
    }
    // Where names are not verified, no certificate covers another one.
    let mut world = World::new(&authority, &server, |options| {
        options.tls =
            Tls::rustls(|alpn| lws_tls::Client::builder().danger_accept_any_certificate().alpn(alpn).build());
    });
    world.check("a.test", "a.test");
    world.check("b.test", "b.test");
}

#[test]
fn a_misdirected_request_is_asked_once_more_on_a_connection_of_its_own_and_that_is_remembered() {
    let authority = Authority::new("root");
    // The first certificate has the name, and the server keeps it apart all the same.
    let server = server(&authority, &["a.test", "b.test"], "b.test");
    let mut world = World::new(&authority, &server, |_| {});
    world.check("a.test", "a.test");
    let response = world
        .ask("b.test", |request| {
            request.method = "POST".into();
            request.url = request.url.join(b"/length").expect("a URL");
            request.body = lws_client::Body::Bytes("four".into());
        })
        .expect("a response");
    assert_eq!((response.status(), &*response.text()), (200, "4"), "whatever the method");
    assert_eq!(world.connects(), 2);
    world.check("b.test", "b.test");
    world.check("a.test", "a.test");
    assert_eq!(world.connects(), 2, "no request is misdirected a second time");
}
