//! The client on the built-in loop, against the server of this workspace, with TLS and through proxies.

mod coalescing;
mod embedder;

use lws_client::ws::{Context, GaveUp, Handler, Message, Opened, ReconnectRules, SocketBuilder};
use lws_client::{
    Body, Cause, ClientApp, Options, Override, Phase, Proxy, ProxyRules, Request, Runtime, Tls, Versions,
};
use lws_loop_external::Address;
use lws_proto::MessageKind;
use lws_proto::ws::CloseCode;
use lws_server::http::Response;
use lws_server::{Builder, Handle, Payload, Sent, Server, WebSocket, ws};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tests::tls::Authority;

/// Longer than anything here takes, so that what does not come is a failure and not a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a thread of its own. Dropping it stops it.
struct Running {
    plain: SocketAddr,
    /// That of TLS, if there is one.
    last: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking(), "the server ends well");
        }
    }
}

/// Sends every message back.
struct Echo;

impl ws::Handler for Echo {
    fn message(&mut self, _: &mut lws_server::Context<'_>, stream: WebSocket<'_>, message: ws::Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
        }
    }
}

fn serve(describe: impl FnOnce(Builder) -> Builder + Send + 'static) -> Running {
    let (started, has_started) = channel();
    let thread = std::thread::spawn(move || {
        let builder = Server::builder()
            .listen("127.0.0.1:0")
            .any_host()
            .get("/hello", |request| Response::text(format!("hello by {:?}", request.version())))
            .get("/to", |_| Response::new(lws_server::http::Status::FOUND).field("location", "/hello"))
            .get("/long", |_| Response::ok("text/plain", vec![b'x'; LONG]))
            .post("/length", |request| Response::text(request.content().len().to_string()))
            .ws("/chat", |_| Echo);
        let server = describe(builder).build().expect("the server is built");
        let addresses: Vec<_> = server
            .addresses()
            .iter()
            .filter_map(|address| match address {
                lws_server::Address::Tcp(address) => Some(*address),
                _ => None,
            })
            .collect();
        started.send((addresses, server.handle())).expect("the test waits");
        server.run().expect("the server runs");
    });
    let (addresses, handle) = has_started.recv_timeout(PATIENCE).expect("the server starts");
    Running {
        plain: addresses[0],
        last: *addresses.last().expect("an address"),
        handle,
        thread: Some(thread),
    }
}

/// Octets of a response that comes in many reads.
const LONG: usize = 3 << 20;

fn serve_tls(authority: &Authority) -> Running {
    let tls = authority.issue(&["a.test"]).server();
    serve(move |builder| builder.listen_tls("127.0.0.1:0", tls))
}

/// Options that believe an authority, and find `a.test` at the server.
fn trusting(authority: &Authority, server: &Running) -> Options {
    let roots = authority.roots();
    let mut options = Options::default();
    options.tls = Tls::rustls(move |alpn| lws_tls::Client::builder().roots(roots.clone()).alpn(alpn).build());
    let addresses = vec![Address::Tcp(server.last)];
    options.resolve.push(Override { host: "a.test".into(), port: 0, addresses });
    options
}

fn get(url: &str) -> Request {
    Request::new("GET", url.parse().expect("a URL"))
}

#[test]
fn a_tool_fetches_and_waits() {
    let server = serve(|builder| builder);
    let mut runtime = Runtime::new(Options::default()).expect("a runtime");
    let response = runtime.fetch(&format!("http://{}/to", server.plain)).expect("a response");
    assert_eq!((response.status(), response.text().as_ref()), (200, "hello by Http11"));
    assert_eq!((response.timings.redirects, response.timings.connects), (1, 1));
    let mut request = Request::new("POST", format!("http://{}/length", server.plain).parse().expect("a URL"));
    request.body = Body::Bytes(vec![7; 3 << 20].into());
    let outcome = runtime.send(request, 100).expect("the loop runs");
    // Three MiB are more than the server takes at once, and it says so before they are sent.
    let response = outcome.expect("a response");
    assert!(matches!(response.status(), 200 | 413), "{}", response.status());
    let mut request = get(&format!("http://{}/hello", server.plain));
    request.options.get_or_insert_default().versions = Versions::Http2;
    assert_eq!(runtime.send(request, 100).expect("it runs").expect("a response").text(), "hello by Http2");
}

#[test]
fn a_refused_connection_is_a_failure_with_an_address() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let mut runtime = Runtime::new(Options::default()).expect("a runtime");
    let failure =
        runtime.send(get(&format!("http://{address}/")), 100).expect("it runs").expect_err("nobody");
    assert_eq!((failure.phase, failure.kind()), (Phase::Tcp, std::io::ErrorKind::ConnectionRefused));
    assert_eq!((failure.address.as_deref(), failure.retryable), (Some(address.to_string().as_str()), true));
}

#[test]
fn tls_proves_the_name_chooses_the_version_and_is_part_of_the_pools_key() {
    let authority = Authority::new("ours");
    let server = serve_tls(&authority);
    let mut runtime = Runtime::new(trusting(&authority, &server)).expect("a runtime");
    let url = format!("https://a.test:{}/hello", server.last.port());
    let response = runtime.fetch(&url).expect("a response");
    assert_eq!(response.text(), "hello by Http2");
    let response = runtime.fetch(&url).expect("a response");
    assert_eq!(response.timings.connects, 0);
    let mut request = get(&url);
    request.options.get_or_insert_default().versions = Versions::Http1;
    let response = runtime.send(request, 100).expect("it runs").expect("a response");
    assert_eq!((response.text().as_ref(), response.timings.connects), ("hello by Http11", 1));
    // The same place with other roots: a connection that those trusted is none for these.
    let other = Authority::new("other").roots();
    let mut request = get(&url);
    request.options.get_or_insert_default().tls =
        Some(Tls::rustls(move |alpn| lws_tls::Client::builder().roots(other.clone()).alpn(alpn).build()));
    let failure = runtime.send(request, 100).expect("it runs").expect_err("nobody trusts it");
    assert_eq!(failure.phase, Phase::Tls);
    assert!(matches!(failure.cause, Cause::Tls(_)), "{failure}");
}

/// A server that answers every request with the same octets, and counts its connections.
fn canned(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while socket.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let _ = socket.write_all(answer.as_bytes());
                    }
                }
            });
        }
    });
    (address, connections)
}

#[test]
fn what_the_server_says_of_its_connection_is_kept_to() {
    for (fields, connections) in [
        ("", 1),
        ("Keep-Alive: timeout=5, max=100\r\n", 1),
        ("Keep-Alive: timeout=1\r\n", 2),
        ("Keep-Alive: max=0\r\n", 2),
        ("Connection: close\r\n", 2),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok").leak();
        let (address, counted) = canned(answer);
        let mut runtime = Runtime::new(Options::default()).expect("a runtime");
        for _ in 0..2 {
            assert_eq!(runtime.fetch(&format!("http://{address}/")).expect("a response").text(), "ok");
        }
        assert_eq!(counted.load(Ordering::SeqCst), connections, "{fields}");
    }
}

#[test]
fn a_unix_socket_takes_the_place_of_the_host() {
    let path = std::env::temp_dir().join(format!("lws-client-{}.sock", std::process::id()));
    let listen = format!("unix:{}", path.display());
    let _server = serve(move |builder| builder.listen(&listen));
    let mut runtime = Runtime::new(Options::default()).expect("a runtime");
    let mut request = get("http://localhost/hello");
    request.options.get_or_insert_default().connect_to = Some(Address::Unix(path));
    let response = runtime.send(request, 100).expect("it runs").expect("a response");
    assert_eq!(response.text(), "hello by Http11");
}

#[test]
fn other_threads_ask_by_a_handle() {
    let server = serve(|builder| builder);
    let url = format!("http://{}/hello", server.plain);
    let service = ClientApp::driver(Options::default()).expect("a service");
    let handle = service.handle();
    let (told, tell) = channel();
    let (end, ends) = channel::<()>();
    let asker = std::thread::spawn(move || {
        let task: lws_client::Task = Box::new(move |client| {
            let request = client.get(&url).expect("a URL");
            request
                .collect(100, move |_, outcome| drop(told.send(outcome.map(|response| response.status()))));
        });
        assert!(handle.send(task).is_ok());
        let status = tell.recv_timeout(PATIENCE).expect("an outcome").expect("a response");
        end.send(()).expect("the loop waits");
        status
    });
    let mut poll_loop = lws_loop_poll::PollLoop::new().expect("a loop");
    poll_loop.add(service).expect("there is room");
    while ends.try_recv().is_err() {
        poll_loop.run_once(Some(Duration::from_millis(20))).expect("it runs");
    }
    assert_eq!(asker.join().expect("it ends well"), 200);
}

// WebSockets.

struct Chat {
    notes: Rc<RefCell<Vec<String>>>,
}

impl Handler for Chat {
    fn open(&mut self, cx: &mut Context<'_>, _: &Opened) {
        cx.send(MessageKind::Text, "hello").expect("it is taken");
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) {
        self.notes.borrow_mut().push(String::from_utf8_lossy(message.bytes).into_owned());
        cx.close(CloseCode::NORMAL, "");
    }

    fn gave_up(self: Box<Self>, _: &mut Context<'_>, why: GaveUp) {
        self.notes.borrow_mut().push(format!("{why:?}"));
    }
}

fn chats(options: Options, url: &str, describe: impl FnOnce(SocketBuilder<'_>) -> SocketBuilder<'_>) {
    let mut runtime = Runtime::new(options).expect("a runtime");
    let notes = Rc::new(RefCell::new(Vec::new()));
    runtime.with(|client| {
        let builder = client.websocket(url).expect("a URL").reconnect(ReconnectRules::never());
        describe(builder).start(Chat { notes: Rc::clone(&notes) })
    });
    let until = Instant::now() + PATIENCE;
    runtime.run_until(|| notes.borrow().len() == 2 || Instant::now() > until).expect("it runs");
    assert_eq!(*notes.borrow(), ["hello", "Closed { code: 1000 (normal closure) }"], "{url}");
}

#[test]
fn a_websocket_goes_over_everything() {
    let authority = Authority::new("ours");
    let server = serve_tls(&authority);
    let deflate = || lws_proto::ws::Deflate::default();
    chats(Options::default(), &format!("ws://{}/chat", server.plain), |it| it);
    chats(Options::default(), &format!("ws://{}/chat", server.plain), |it| it.deflate(deflate()));
    let secure = format!("wss://a.test:{}/chat", server.last.port());
    chats(trusting(&authority, &server), &secure, |it| it);
    chats(trusting(&authority, &server), &secure, |it| {
        it.options(|options| options.versions = Versions::Http2).deflate(deflate())
    });
}

// Proxies.

/// A proxy on a thread: it reads what is asked with `greet`, which says where to, and hands octets on.
fn proxy(greet: fn(&mut TcpStream) -> Option<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut near in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let Some(to) = greet(&mut near) else { return };
                let far = TcpStream::connect(to).expect("the server listens");
                hand_on(near, far);
            });
        }
    });
    address
}

fn hand_on(near: TcpStream, far: TcpStream) {
    let pairs = [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))];
    for (from, to) in pairs {
        let (mut from, mut to) = (from.expect("a socket"), to.expect("a socket"));
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

/// HTTP CONNECT, with credentials.
fn connect_proxy(near: &mut TcpStream) -> Option<SocketAddr> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        near.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("ASCII");
    if !head.contains("proxy-authorization: Basic dTpw") {
        near.write_all(b"HTTP/1.1 407 Who are you\r\nContent-Length: 4\r\n\r\nWho?").ok()?;
        return None;
    }
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?;
    let port: u16 = target.rsplit_once(':')?.1.parse().ok()?;
    near.write_all(b"HTTP/1.1 200 Go on\r\n\r\n").ok()?;
    Some(([127, 0, 0, 1], port).into())
}

/// SOCKS 5, by name.
fn socks_proxy(near: &mut TcpStream) -> Option<SocketAddr> {
    let mut bytes = [0; 3];
    near.read_exact(&mut bytes).ok()?;
    near.write_all(&[5, 0]).ok()?;
    let mut head = [0; 5];
    near.read_exact(&mut head).ok()?;
    let mut rest = vec![0; usize::from(head[4]) + 2];
    near.read_exact(&mut rest).ok()?;
    assert_eq!((head[3], &rest[..rest.len() - 2]), (3, &b"a.test"[..]), "the name is the proxy's to resolve");
    let port = u16::from_be_bytes([rest[rest.len() - 2], rest[rest.len() - 1]]);
    near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    Some(([127, 0, 0, 1], port).into())
}

#[test]
fn a_proxy_makes_tunnels_by_connect_and_by_socks() {
    let authority = Authority::new("ours");
    let server = serve_tls(&authority);
    let http = format!("http://u:p@{}", proxy(connect_proxy));
    let socks = format!("socks5h://{}", proxy(socks_proxy));
    for text in [http, socks] {
        let proxy: Proxy = text.parse().expect("a proxy");
        let through = || {
            let mut options = trusting(&authority, &server);
            options.resolve.clear();
            options.proxies = ProxyRules::all(proxy.clone());
            options
        };
        let mut runtime = Runtime::new(through()).expect("a runtime");
        let url = format!("https://a.test:{}", server.last.port());
        let response = runtime.fetch(&format!("{url}/hello")).expect("a response");
        assert_eq!(response.text(), "hello by Http2", "{text}");
        let mut request = get(&format!("{url}/hello"));
        request.options.get_or_insert_default().versions = Versions::Http1;
        let response = runtime.send(request.clone(), 100).expect("it runs").expect("a response");
        assert_eq!(response.text(), "hello by Http11", "{text}");
        let response = runtime.send(request, 100).expect("it runs").expect("a response");
        assert_eq!(response.timings.connects, 0, "a tunnel is used again");
        for versions in [Versions::Http1, Versions::Http2] {
            let mut long = get(&format!("{url}/long"));
            let options = long.options.get_or_insert_default();
            (options.versions, options.timeout) = (versions, Some(PATIENCE));
            let response = runtime.send(long, LONG).expect("it runs").expect("a response");
            assert_eq!(response.body.len(), LONG, "{text} {versions:?}");
        }
        let mut post = Request::new("POST", format!("{url}/length").parse().expect("a URL"));
        post.body = Body::Bytes(vec![7; 300_000].into());
        let response = runtime.send(post, 100).expect("it runs").expect("a response");
        assert_eq!(response.text(), "300000", "{text}");
        chats(through(), &format!("ws://a.test:{}/chat", server.plain.port()), |it| it);
        chats(through(), &format!("wss://a.test:{}/chat", server.last.port()), |it| it);
    }
}

#[test]
fn a_proxy_that_refuses_says_so() {
    let address = proxy(connect_proxy);
    let mut options = Options::default();
    options.proxies = ProxyRules::all(format!("http://{address}").parse().expect("a proxy"));
    let mut runtime = Runtime::new(options).expect("a runtime");
    let failure = runtime.send(get("https://a.test/"), 100).expect("it runs").expect_err("407");
    assert_eq!((failure.phase, &failure.cause), (Phase::Proxy, &Cause::ProxyStatus(407)), "{failure}");
    assert!(failure.retryable);
}
