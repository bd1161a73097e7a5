//! A server on a thread of its own, an upstream that does what a script says, and a client that speaks octets.

use lws_proxy::{Proxy, Upstream};
use lws_server::{Builder, Handle, Server};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use test_kit::PATIENCE;
pub(crate) use test_kit::http::Answer;
use test_kit::http::{read_head, read_to_end};

/// A server that is running. Dropping it stops it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn serve(describe: impl FnOnce(Builder) -> Builder + Send + 'static) -> Running {
    let (started, has_started) = channel();
    let thread = std::thread::spawn(move || {
        let server = describe(Server::builder().listen("127.0.0.1:0")).build().expect("the server is built");
        let address = server.local_addr().expect("it listens");
        started.send((address, server.handle())).expect("the test waits");
        server.run().expect("the server runs");
    });
    let (address, handle) = has_started.recv_timeout(PATIENCE).expect("the server starts");
    Running { address, handle, thread: Some(thread) }
}

/// A proxy for everything, in front of these upstreams.
pub(crate) fn front(upstreams: &[String]) -> Running {
    front_with(upstreams, |proxy| proxy)
}

pub(crate) fn front_with(
    upstreams: &[String],
    change: impl FnOnce(Proxy) -> Proxy + Send + 'static,
) -> Running {
    let upstreams: Vec<Upstream> = upstreams.iter().map(|text| text.parse().expect("an upstream")).collect();
    serve(move |builder| {
        let mut upstreams = upstreams.into_iter();
        let proxy = Proxy::new(upstreams.next().expect("one at least"));
        builder.any_host().route(change(upstreams.fold(proxy, Proxy::and)).route("/"))
    })
}

impl Running {
    pub(crate) fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
        Peer(stream)
    }

    /// What is answered to `octets`, up to the end.
    pub(crate) fn ask(&self, octets: impl AsRef<[u8]>) -> Answer {
        let mut peer = self.connect();
        peer.send(octets);
        Answer::parse(&peer.rest())
    }

    pub(crate) fn request(&self, line: &str, fields: &str) -> Answer {
        self.ask(format!("{line} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{fields}\r\n"))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request(&format!("GET {target}"), "")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the server ends well");
        }
    }
}

/// A connection to the proxy.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.0.write_all(octets.as_ref()).expect("the server reads");
    }

    /// Up to an empty line.
    pub(crate) fn head(&mut self) -> String {
        String::from_utf8(read_head(&mut self.0)).expect("a head is ASCII")
    }

    /// Up to the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        read_to_end(&mut self.0)
    }
}

/// What a script does with a connection after a request.
pub(crate) enum Then {
    /// Waits for the next request.
    Keep,
    /// Ends the connection.
    Close,
}

/// An upstream that answers each request, up to the end of its head, with what a script says.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<(usize, String)>>>,
}

/// Answers with octets, and keeps or closes.
pub(crate) fn scripted(script: impl Fn(usize, &mut TcpStream) -> Then + Send + Sync + 'static) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("it is bound");
    let (heads, script) = (Arc::new(Mutex::new(Vec::new())), Arc::new(script));
    let noted = Arc::clone(&heads);
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let (mut stream, noted, script) =
                (stream.expect("a connection"), Arc::clone(&noted), Arc::clone(&script));
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
            std::thread::spawn(move || {
                loop {
                    let head = read_head(&mut stream);
                    if head.is_empty() {
                        return;
                    }
                    let count = {
                        let mut heads = noted.lock().expect("no script panics");
                        heads.push((connection, String::from_utf8_lossy(&head).into_owned()));
                        heads.len()
                    };
                    if let Then::Close = script(count, &mut stream) {
                        let _ = stream.shutdown(Shutdown::Both);
                        return;
                    }
                }
            });
        }
    });
    Scripted { address, heads }
}

/// Answers every request with the same octets.
pub(crate) fn answering(octets: impl Into<Vec<u8>>, close: bool) -> Scripted {
    let octets = octets.into();
    scripted(move |_, stream| {
        let _ = stream.write_all(&octets);
        if close { Then::Close } else { Then::Keep }
    })
}

impl Scripted {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads that have come, with the number of their connection.
    pub(crate) fn heads(&self) -> Vec<(usize, String)> {
        self.heads.lock().expect("no script panics").clone()
    }
}
