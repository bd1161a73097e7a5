//! Sites: which of them a request is for, those that come and go while the server runs, and what stands at their routes.

use crate::common::{Answer, Peer, Running, serve};
use lws_server::http::{Answer as _, Exchange, Handler, Request, Response, Status};
use lws_server::ws::Message;
use lws_server::{
    Bind, Context, Endpoint, Handle, MessageKind, Methods, Route, RouteOptions, Server, Site, SiteChanges,
    SiteId, Takes, WebSocket, ws,
};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::channel;
use test_kit::{PATIENCE, eventually};

struct Silent;

impl ws::Handler for Silent {
    fn message(&mut self, _: &mut Context<'_>, _: WebSocket<'_>, message: Message<'_>) {
        assert_eq!(message.kind, MessageKind::Text);
    }
}

/// A site with a page that says its name, and WebSockets.
fn site<const COUNT: usize>(names: [&'static str; COUNT], text: &'static str) -> Site {
    let mut site = Site::new();
    site.settings.names = names.into();
    site.routes = vec![Route::get("/", move |_| Response::text(text)), Route::ws("/chat", |_| Silent)];
    site
}

fn asking(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

impl Running {
    /// The status and content of the page of this host.
    fn page(&self, host: &str) -> (u16, String) {
        let answer = self.ask(asking(host));
        (answer.status, answer.text().to_owned())
    }
}

/// Adds a site and waits until all threads have it, or have said why not.
fn add(handle: &Handle, describe: impl Fn() -> Site + Send + Sync + 'static) -> io::Result<SiteId> {
    let (says, hears) = channel();
    let asked = handle.add_site(describe, move |_, added| says.send(added).expect("the test waits"));
    assert!(asked, "the server is there");
    hears.recv_timeout(PATIENCE).expect("the outcome is reported")
}

/// A path for a socket that is not there before or after the test.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lws-{name}-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    fn address(&self) -> String {
        format!("unix:{}", self.0.display())
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn ask_unix(path: &Path, host: &str) -> Answer {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
    stream.write_all(asking(host).as_bytes()).expect("it reads");
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).expect("it answers");
    Answer::parse(&octets)
}

#[test]
fn a_request_is_for_the_site_that_has_its_name() {
    let server = serve(|builder| {
        builder
            .any_host()
            .get("/", |_| Response::text("default"))
            .site(site(["a.example"], "a"))
            .site(site(["*.a.example", "b.example"], "below a, and b"))
    });
    for (host, text) in [
        ("a.example", "a"),
        ("A.EXAMPLE.:80", "a"),
        ("x.a.example", "below a, and b"),
        ("x.y.a.example", "below a, and b"),
        ("b.example", "below a, and b"),
        ("c.example", "default"),
        ("localhost", "default"),
    ] {
        assert_eq!(server.page(host), (200, text.to_owned()), "{host}");
    }
    // A route belongs to its site alone.
    let opening = "GET /chat HTTP/1.1\r\nHost: c.example\r\nConnection: close\r\n\r\n";
    assert_eq!(server.ask(opening).text(), "default", "it is below the root there");
    assert_eq!(server.ask(opening.replace("c.example", "a.example")).status, 426);
}

#[test]
fn a_site_is_added_and_removed_on_every_thread_while_the_server_runs() {
    for threads in [1, 3] {
        let server = serve(move |builder| {
            builder
                .threads(threads, |builder| builder.host("old.example").get("/", |_| Response::text("old")))
        });
        assert_eq!(server.page("new.example").0, 421);
        let id = add(&server.handle, || site(["new.example"], "new")).expect("the site is added");
        // As many connections as reach every thread.
        for _ in 0..threads * 2 {
            assert_eq!(server.page("new.example"), (200, "new".into()), "{threads} threads");
        }
        assert_eq!(server.page("old.example"), (200, "old".into()));

        let open = |server: &Running| {
            let mut peer = server.connect();
            peer.send(
                "GET /chat HTTP/1.1\r\nHost: new.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            );
            assert!(peer.head().starts_with(b"HTTP/1.1 101 "));
            peer
        };
        let mut peers: Vec<Peer> = (0..threads * 2).map(|_| open(&server)).collect();
        assert!(server.handle.remove_site(id));
        assert!(!server.handle.remove_site(id), "it was removed");
        for peer in &mut peers {
            assert_eq!(peer.frame(), (8, 1001_u16.to_be_bytes().to_vec()), "{threads} threads");
        }
        // Every thread has removed it, as its WebSockets say.
        for _ in 0..threads * 2 {
            assert_eq!(server.page("new.example").0, 421);
            assert_eq!(server.page("old.example"), (200, "old".into()), "what is left goes on");
        }
        // Its name is free again.
        add(&server.handle, || site(["new.example"], "newer")).expect("the site is added");
        assert_eq!(server.page("new.example"), (200, "newer".into()));
    }
}

#[test]
fn a_site_brings_its_own_listeners_and_shares_those_of_others() {
    let path = SocketPath::new("sites");
    let server = serve(|builder| builder.host("old.example").get("/", |_| Response::text("old")));
    let at = |path: &SocketPath, names, text| {
        let address = path.address();
        move || {
            let mut site = site(names, text);
            site.settings.listen.push(Bind::new(address.clone()));
            site
        }
    };
    let one = add(&server.handle, at(&path, ["one.example"], "one")).expect("it listens");
    let two = add(&server.handle, at(&path, ["two.example"], "two")).expect("it listens there, too");
    assert_eq!(ask_unix(&path.0, "one.example").text(), "one");
    assert_eq!(ask_unix(&path.0, "two.example").text(), "two");
    assert_eq!(ask_unix(&path.0, "old.example").status, 421, "that site listens elsewhere");
    assert_eq!(server.page("one.example").0, 421);

    server.handle.remove_site(one);
    let (says, hears) = channel();
    server.handle.post(move |_| says.send(()).expect("the test waits"));
    hears.recv_timeout(PATIENCE).expect("the server goes on");
    assert_eq!(ask_unix(&path.0, "one.example").status, 421);
    assert_eq!(ask_unix(&path.0, "two.example").text(), "two", "the listener is still used");

    server.handle.remove_site(two);
    // The last site has closed the listener.
    eventually(|| UnixStream::connect(&path.0).is_err());
    assert_eq!(server.page("old.example"), (200, "old".into()));
}

#[test]
fn a_site_that_cannot_be_added_changes_nothing() {
    for threads in [1, 3] {
        let server = serve(move |builder| {
            builder
                .threads(threads, |builder| builder.host("old.example").get("/", |_| Response::text("old")))
        });
        let count = std::sync::atomic::AtomicUsize::new(0);
        let refused = [
            add(&server.handle, || site(["old.example"], "another")),
            add(&server.handle, || site(["not a name"], "new")),
            add(&server.handle, || {
                let mut site = site(["new.example"], "new");
                site.routes.push(Route::get("/", |_| Response::text("twice")));
                site
            }),
            add(&server.handle, || {
                let mut site = site(["new.example"], "new");
                site.settings.listen.push(Bind::new("192.0.2.1:1"));
                site
            }),
            add(&server.handle, || panic!("no description")),
        ];
        for (index, refused) in refused.iter().enumerate() {
            assert!(refused.is_err(), "{index}");
        }
        if threads > 1 {
            // The threads do not agree.
            let differs = add(&server.handle, move || {
                let mut site = site(["new.example"], "new");
                let path = format!("/{}", count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                site.routes.push(Route::get(path, |_| Response::text("")));
                site
            });
            assert!(differs.is_err());
        }
        for _ in 0..threads * 2 {
            assert_eq!(server.page("new.example").0, 421);
            assert_eq!(server.page("old.example"), (200, "old".into()));
        }
    }
}

#[test]
fn a_handler_adds_and_removes_sites_of_its_own_server() {
    /// Adds what the query names, and removes it when it is asked for again.
    struct Hosting(Rc<std::cell::Cell<Option<SiteId>>>);
    impl Endpoint for Hosting {
        fn request(
            &self,
            cx: &mut Context<'_>,
            _: &Request<'_>,
            exchange: Exchange<'_>,
            end: bool,
        ) -> Option<Box<dyn Handler>> {
            match self.0.take() {
                None => self.0.set(Some(cx.add_site(site(["new.example"], "new")).expect("it is added"))),
                Some(id) => assert!(cx.remove_site(id)),
            }
            Response::text("done").answer(cx, exchange, end)
        }
    }
    let server = serve(|builder| {
        builder.host("old.example").route(Route::new(Methods::POST.into(), "/sites", Hosting(Rc::default())))
    });
    let post = "POST /sites HTTP/1.1\r\nHost: old.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(server.page("new.example").0, 421);
    assert_eq!(server.ask(post).text(), "done");
    assert_eq!(server.page("new.example"), (200, "new".into()));
    assert_eq!(server.ask(post).text(), "done");
    assert_eq!(server.page("new.example").0, 421);
}

#[test]
fn the_options_of_a_route_hold_for_it_alone_and_the_order_does_not_count() {
    let counts = |request: &Request<'_>| Response::text(request.content().len().to_string());
    let server = serve(move |builder| {
        builder
            .route(Route::post("/small", counts).content_bytes_max(2))
            .post("/usual", counts)
            .content_bytes_max(4)
            .route(Route::post("/large", counts).content_bytes_max(8))
    });
    let post = |path: &str, length: usize| {
        let content = "x".repeat(length);
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{content}"
        );
        server.ask(request).status
    };
    for (path, most) in [("/small", 2), ("/usual", 4), ("/large", 8)] {
        assert_eq!((post(path, most), post(path, most + 1)), (200, 413), "{path}");
    }
}

#[test]
fn an_endpoint_of_ones_own_answers_requests_and_upgrades() {
    /// Counts what it is asked, which is the state of its route.
    #[derive(Default)]
    struct Counting(std::cell::Cell<u32>);
    impl Counting {
        fn count(&self) -> u32 {
            self.0.set(self.0.get() + 1);
            self.0.get()
        }
    }
    impl Endpoint for Counting {
        fn request(
            &self,
            cx: &mut Context<'_>,
            request: &Request<'_>,
            exchange: Exchange<'_>,
            end: bool,
        ) -> Option<Box<dyn Handler>> {
            let text = format!("{} {} {}", self.count(), request.path(), request.content_bytes_max());
            Response::text(text).answer(cx, exchange, end)
        }

        fn upgrade(
            &self,
            _: &mut Context<'_>,
            _: &Request<'_>,
        ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
            match self.count() {
                3 => Err(Response::error(Status::SERVICE_UNAVAILABLE)),
                _ => Ok(ws::Accepted::new(Box::new(Silent))),
            }
        }
    }
    let server = serve(|builder| {
        // Both kinds of requests lead to one endpoint.
        let requests = Route::new(Methods::GET.into(), "/count", Counting::default()).content_bytes_max(7);
        let mut upgrades = requests.clone();
        upgrades.takes = Takes::Upgrades;
        builder.route(requests).route(upgrades)
    });
    assert_eq!(server.get("/count/x").text(), "1 /count/x 7");
    assert_eq!(server.open("/count", "").1.status, 101);
    assert_eq!(server.open("/count", "").1.status, 503);
    assert_eq!(server.get("/count").text(), "4 /count 7");
}

#[test]
fn sites_as_data_are_all_that_a_server_needs() {
    let mut one = site(["one.example"], "one");
    one.settings.listen.push(Bind::new("127.0.0.1:0"));
    let mut options = RouteOptions::default();
    options.content_bytes_max = Some(1);
    one.settings.route_defaults = options;
    let two = site(["two.example"], "two");
    let server = Server::builder().site(one.clone()).site(two).build().expect("it listens");
    assert_eq!(server.addresses().len(), 1, "the second site is served where the first listens");

    let refused =
        |site: Site| Server::builder().site(site).build().map(drop).map_err(|error| error.to_string());
    assert_eq!(refused(Site::new()), Err("a server listens nowhere: `listen` says where".into()));
    one.routes.push(Route::get("/x/", |_| Response::text("")));
    one.routes.push(Route::http("/x", |_| Response::text("")));
    assert_eq!(refused(one), Err("served twice: /x".into()));
    let twice = Server::builder().listen("127.0.0.1:0").site(Site::new()).build().map(drop);
    assert!(twice.is_err(), "two sites without a name");
}

/// Changes sites and waits until all threads have done so, or have said why not.
fn change(handle: &Handle, changes: SiteChanges) -> io::Result<Vec<SiteId>> {
    let (says, hears) = channel();
    assert!(handle.change_sites(changes, move |_, changed| says.send(changed).expect("the test waits")));
    hears.recv_timeout(PATIENCE).expect("the outcome is reported")
}

#[test]
fn sites_change_all_together_and_what_stays_keeps_its_connections() {
    for threads in [1, 3] {
        let server = serve(move |builder| {
            builder
                .threads(threads, |builder| builder.host("old.example").get("/", |_| Response::text("old")))
        });
        let ids = change(
            &server.handle,
            SiteChanges::new().add_site(|| site(["a.example"], "a")).add_site(|| site(["b.example"], "b")),
        );
        let [a, b] = ids.expect("both are added")[..] else { panic!("two names") };
        let mut sockets: Vec<_> = (0..threads * 2).map(|_| open_at(&server, "a.example")).collect();
        let before = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let called = std::sync::Arc::clone(&before);
        let changes = SiteChanges::new()
            .replace_site(a, || {
                let mut site = site(["a.example"], "a, anew");
                site.routes.push(Route::get("/more", |_| Response::text("more")));
                site
            })
            .remove_site(b)
            .add_site(|| site(["b.example"], "another b"))
            .before(move || called.store(true, std::sync::atomic::Ordering::Release));
        assert_eq!(change(&server.handle, changes).expect("all change").len(), 1);
        assert!(before.load(std::sync::atomic::Ordering::Acquire));
        for _ in 0..threads * 2 {
            assert_eq!(server.page("a.example"), (200, "a, anew".into()), "{threads} threads");
            assert_eq!(server.page("b.example"), (200, "another b".into()));
            assert_eq!(server.page("old.example"), (200, "old".into()));
        }
        // WebSockets of a path that is still there stay, and get what is published at it.
        assert!(server.handle.publish("/chat", &ws::Broadcast::new(MessageKind::Text, "still here")).is_ok());
        for peer in &mut sockets {
            assert_eq!(peer.frame(), (1, b"still here".to_vec()), "{threads} threads");
        }
        // Those of a path that is gone do not.
        change(&server.handle, SiteChanges::new().replace_site(a, || without_chat("a.example")))
            .expect("it changes");
        for peer in &mut sockets {
            assert_eq!(peer.frame(), (8, 1001_u16.to_be_bytes().to_vec()), "{threads} threads");
        }
    }
}

fn without_chat(name: &'static str) -> Site {
    let mut site = site([name], "quiet");
    site.routes.truncate(1);
    site
}

fn open_at(server: &Running, host: &str) -> Peer {
    let mut peer = server.connect();
    peer.send(format!(
        "GET /chat HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    assert!(peer.head().starts_with(b"HTTP/1.1 101 "));
    peer
}

#[test]
fn changes_of_which_one_fails_change_nothing() {
    for threads in [1, 3] {
        let server = serve(move |builder| {
            builder
                .threads(threads, |builder| builder.host("old.example").get("/", |_| Response::text("old")))
        });
        let path = SocketPath::new(&format!("changes-{threads}"));
        let a = add(&server.handle, || site(["a.example"], "a")).expect("it is added");
        let listening = |path: &SocketPath| {
            let address = path.address();
            move || {
                let mut site = site(["new.example"], "new");
                site.settings.listen.push(Bind::new(address.clone()));
                site
            }
        };
        let mistakes: [fn(SiteChanges) -> SiteChanges; 3] = [
            |changes| changes.add_site(|| site(["old.example"], "twice")),
            |changes| changes.add_site(|| site(["not a name"], "")),
            |changes| changes.add_site(|| panic!("no description")),
        ];
        for (index, mistake) in mistakes.iter().enumerate() {
            let changes = SiteChanges::new()
                .remove_site(a)
                .add_site(listening(&path))
                .before(|| panic!("nothing is to change"));
            assert!(change(&server.handle, mistake(changes)).is_err(), "{index}");
            // What was bound is given back, when the loop has let go of it.
            eventually(|| !path.0.exists());
            assert_eq!(server.page("a.example"), (200, "a".into()), "{index}");
        }
        // A replacement of something that is not there.
        assert!(server.handle.remove_site(a));
        let gone = SiteChanges::new().replace_site(a, || site(["a.example"], "a"));
        assert!(change(&server.handle, gone).is_err());
        change(&server.handle, SiteChanges::new().add_site(listening(&path))).expect("everything is free");
        assert_eq!(ask_unix(&path.0, "new.example").text(), "new");
    }
}

#[test]
fn a_listener_stays_open_when_its_only_site_gives_way_to_another() {
    let server = serve(|builder| builder.host("old.example").get("/", |_| Response::text("old")));
    let path = SocketPath::new("stays");
    let at = |names, text| {
        let address = path.address();
        move || {
            let mut site = site(names, text);
            site.settings.listen.push(Bind::new(address.clone()));
            site
        }
    };
    let one = add(&server.handle, at(["one.example"], "one")).expect("it listens");
    let mut kept = UnixStream::connect(&path.0).expect("it listens");
    change(&server.handle, SiteChanges::new().remove_site(one).add_site(at(["two.example"], "two")))
        .expect("it changes");
    assert_eq!(ask_unix(&path.0, "two.example").text(), "two");
    kept.write_all(asking("two.example").as_bytes()).expect("its connection is open");
    let mut octets = Vec::new();
    kept.read_to_end(&mut octets).expect("it answers");
    assert_eq!(Answer::parse(&octets).text(), "two");
}

/// A site at a path, whose listener takes heads of so many octets if it is the one that says so.
fn limited(
    path: &SocketPath,
    name: &'static str,
    head_bytes_max: usize,
) -> impl Fn() -> Site + Send + Sync + use<> {
    let address = path.address();
    move || {
        let mut site = site([name], name);
        site.settings.limits.head_bytes_max = head_bytes_max;
        site.settings.listen.push(Bind::new(address.clone()));
        site
    }
}

/// The status of a request with a head of some two thousand octets.
fn ask_at_length(path: &SocketPath, host: &str) -> u16 {
    ask_unix(&path.0, &format!("{host}\r\nX: {}", "x".repeat(2_000))).status
}

#[test]
fn what_holds_at_a_listener_does_not_depend_on_the_order_of_its_sites() {
    const STRICT: (&str, usize) = ("a.example", 1_024);
    const LAX: (&str, usize) = ("b.example", 16 << 10);
    for order in [[STRICT, LAX], [LAX, STRICT]] {
        let path = SocketPath::new("order");
        let server = serve(|builder| builder.host("old.example").get("/", |_| Response::text("old")));
        let added =
            order.map(|(name, bytes)| add(&server.handle, limited(&path, name, bytes)).expect("added"));
        let ids = order.iter().zip(added).collect::<Vec<_>>();
        let id = |wanted: (&str, usize)| {
            ids.iter().find(|((name, _), _)| *name == wanted.0).expect("it was added").1
        };
        assert_eq!(ask_at_length(&path, "b.example"), 431, "the first name in the alphabet: {order:?}");
        // It changes, alone and with the other.
        let changes = SiteChanges::new().replace_site(id(STRICT), limited(&path, STRICT.0, 16 << 10));
        change(&server.handle, changes).expect("it changes");
        assert_eq!(ask_at_length(&path, "b.example"), 200, "{order:?}");
        let changes = SiteChanges::new()
            .replace_site(id(LAX), limited(&path, LAX.0, 16 << 10))
            .replace_site(id(STRICT), limited(&path, STRICT.0, STRICT.1));
        change(&server.handle, changes).expect("both change");
        assert_eq!(ask_at_length(&path, "b.example"), 431, "{order:?}");
        // It goes, and the other one stays as it is.
        change(&server.handle, SiteChanges::new().remove_site(id(STRICT))).expect("it goes");
        assert_eq!(ask_at_length(&path, "b.example"), 200, "{order:?}");
        // One whose name comes before that of the other comes behind it.
        add(&server.handle, limited(&path, "0.example", 1_024)).expect("added");
        assert_eq!(ask_at_length(&path, "b.example"), 431, "{order:?}");
    }
}

#[test]
fn a_site_that_is_removed_while_it_is_replaced_stays_away() {
    for threads in [1, 3] {
        let server = serve(move |builder| {
            builder
                .threads(threads, |builder| builder.host("old.example").get("/", |_| Response::text("old")))
        });
        let anew = || site(["a.example"], "anew");
        let is_away = |when: &str| {
            for _ in 0..threads * 2 {
                eventually(|| server.page("a.example").0 == 421);
                assert_eq!(server.page("old.example"), (200, "old".into()), "{threads} threads, {when}");
            }
            add(&server.handle, anew).expect("its name is free");
            assert_eq!(server.page("a.example"), (200, "anew".into()), "{threads} threads, {when}");
        };
        // Before anything has changed: all is refused.
        let a = add(&server.handle, || site(["a.example"], "a")).expect("it is added");
        let handle = server.handle.clone();
        let changes = SiteChanges::new().replace_site(a, anew).add_site(move || {
            handle.remove_site(a);
            site(["b.example"], "b")
        });
        let refused = change(&server.handle, changes).expect_err("it was removed").to_string();
        assert!(refused.contains("removed meanwhile"), "{refused}");
        assert_eq!(server.page("b.example").0, 421);
        is_away("before");
        // When the first thread is about to change: the others follow, and then it goes.
        let handle = server.handle.clone();
        let b = add(&server.handle, || site(["b.example"], "b")).expect("it is added");
        let changes =
            SiteChanges::new().replace_site(b, || site(["b.example"], "b, anew")).before(move || {
                handle.remove_site(b);
            });
        change(&server.handle, changes).expect("it changes");
        for _ in 0..threads * 2 {
            eventually(|| server.page("b.example").0 == 421);
        }
        assert!(!server.handle.remove_site(b), "it was removed");
        add(&server.handle, || site(["b.example"], "another")).expect("its name is free");
    }
}

#[test]
fn a_thread_that_cannot_follow_is_named() {
    use lws_server::ListenOptions;

    let server =
        serve(|builder| builder.threads(2, |builder| builder.host("old.example").ws("/chat", |_| Silent)));
    // Neither thread is over before these are.
    let sockets = [open_at(&server, "old.example"), open_at(&server, "old.example")];
    // The server ends when the first thread is about to change. That thread waits here until the second has closed its
    // WebSocket, and so opens no listener of its own any more.
    let seen = sockets.each_ref().map(|peer| peer.0.try_clone().expect("a descriptor"));
    let handle = server.handle.clone();
    let changes = SiteChanges::new()
        .add_site(|| {
            let mut site = site(["new.example"], "new");
            let mut bind = Bind::new("127.0.0.1:0");
            bind.options = Some(ListenOptions { reuse_port: true, ..ListenOptions::default() });
            site.settings.listen.push(bind);
            site
        })
        .before(move || {
            handle.drain();
            seen.iter().for_each(|socket| socket.set_nonblocking(true).expect("a socket"));
            eventually(|| seen.iter().any(|socket| socket.peek(&mut [0]).is_ok()));
        });
    let error = change(&server.handle, changes).expect_err("the second thread ends").to_string();
    assert!(error.contains("thread 1 has not followed"), "{error}");
    drop(sockets);
}
