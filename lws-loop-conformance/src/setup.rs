//! The setups of scenarios: a protocol over a transport. Every scenario runs on each row of [`SETUPS`] that it
//! fits.

use crate::random::Random;
use lws_loop_external::tls::Provider;
use lws_loop_external::{Address, ConnectOptions, ListenOptions, Speak};
use lws_proto::http::Scheme;
use lws_proto::{
    Config, Connection, Entropy, Expect, Limits, MessageKind, Misuse, Payload, Sent, Time, Writable, ws,
};
use lws_tls::{Client, Host, Identity, Roots};
use rcgen::{CertificateParams, KeyPair};
use socket2::SockRef;
use std::fmt;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// One row: a dialect over a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) dialect: Dialect,
    pub(crate) transport: Transport,
}

/// The protocol of a setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Raw bytes, with an end of each direction.
    Raw,
    /// Binary messages, after an opening handshake.
    WebSocket,
    /// Binary messages over HTTP/2, by extended CONNECT: one WebSocket on each connection.
    WebSocketOverHttp2,
}

/// The transport of a setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
    /// TLS over TCP. Adopted sockets have no TLS.
    Tls,
}

/// Every setup.
pub(crate) const SETUPS: [Setup; 7] = [
    Setup { dialect: Dialect::Raw, transport: Transport::Tcp },
    Setup { dialect: Dialect::WebSocket, transport: Transport::Tcp },
    Setup { dialect: Dialect::WebSocketOverHttp2, transport: Transport::Tcp },
    Setup { dialect: Dialect::Raw, transport: Transport::Unix },
    Setup { dialect: Dialect::Raw, transport: Transport::Tls },
    Setup { dialect: Dialect::WebSocket, transport: Transport::Tls },
    Setup { dialect: Dialect::WebSocketOverHttp2, transport: Transport::Tls },
];

/// Both sides of TLS.
struct Tls {
    server: lws_tls::Server,
    client: Arc<dyn Provider>,
    /// The client that offers `h2`.
    http2_client: Arc<dyn Provider>,
}

/// Both sides of TLS, with a certificate that is made once per process.
fn tls() -> Option<&'static Tls> {
    static TLS: OnceLock<Option<Tls>> = OnceLock::new();
    TLS.get_or_init(|| {
        let key = KeyPair::generate().ok()?;
        let certificate = CertificateParams::new(["localhost".to_owned()]).ok()?.self_signed(&key).ok()?;
        let identity = Identity::pem(certificate.pem(), key.serialize_pem());
        let server = lws_tls::Server::builder().default_host(Host::new(identity)).build().ok()?;
        let client = |protocol: &str| {
            let builder = Client::builder().roots(Roots::pem(certificate.pem())).alpn(&[protocol]);
            builder.build().and_then(|client| client.to("localhost")).ok()
        };
        Some(Tls { server, client: client("http/1.1")?, http2_client: client("h2")? })
    })
    .as_ref()
}

impl Setup {
    /// Whether each direction of a stream ends by itself.
    pub(crate) fn has_halves(self) -> bool {
        self.dialect == Dialect::Raw
    }

    /// Whether a connection can have several streams.
    pub(crate) fn shares(self) -> bool {
        self.dialect == Dialect::WebSocketOverHttp2
    }

    /// Whether a plain socket of the standard library can be the other end.
    pub(crate) fn takes_plain_peers(self) -> bool {
        self.has_halves() && self.transport != Transport::Tls
    }

    /// The configuration of both ends. Its deadlines are so long that a slow machine does not miss them.
    pub(crate) fn config(self) -> Arc<Config> {
        let patient = Duration::from_secs(600);
        let limits = Limits {
            head_timeout: patient,
            stalled_timeout: patient,
            h2_settings_timeout: patient,
            keep_alive_timeout: patient,
            ping_interval: patient,
            dead_peer_timeout: patient * 2,
            response_timeout: patient,
            close_timeout: patient,
            linger_timeout: patient,
            ..Limits::default()
        };
        let expect = match self.dialect {
            Dialect::Raw => Expect::Raw,
            Dialect::WebSocket | Dialect::WebSocketOverHttp2 => Expect::Http,
        };
        Arc::new(Config { limits, expect, ..Config::default() })
    }

    pub(crate) fn connect_options(self) -> ConnectOptions {
        let speak = match self.dialect {
            Dialect::Raw => Speak::Raw,
            Dialect::WebSocket => Speak::Http,
            Dialect::WebSocketOverHttp2 => Speak::Http2,
        };
        let tls = tls().filter(|_| self.transport == Transport::Tls).map(|tls| match speak {
            Speak::Http2 => Arc::clone(&tls.http2_client),
            Speak::Http | Speak::Raw => Arc::clone(&tls.client),
        });
        ConnectOptions { speak, tls, timeout: Duration::from_secs(60), ..ConnectOptions::default() }
    }

    pub(crate) fn listen_options(self) -> ListenOptions {
        let tls = tls().filter(|_| self.transport == Transport::Tls).map(|tls| (&tls.server).into());
        ListenOptions { tls, ..ListenOptions::default() }
    }

    /// A unique address to listen on.
    pub(crate) fn address(self) -> Address {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        match self.transport {
            Transport::Tcp | Transport::Tls => Address::Tcp(([127, 0, 0, 1], 0).into()),
            Transport::Unix => {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let name = format!("lws-conformance-{}-{number}.sock", std::process::id());
                Address::Unix(std::env::temp_dir().join(name))
            }
        }
    }

    /// The client's engine of a connection that exists already.
    pub(crate) fn client(self, now: Time, config: &Arc<Config>) -> Result<Connection, Misuse> {
        let mut connection = match self.dialect {
            Dialect::Raw => Connection::client_raw(now, Arc::clone(config)),
            Dialect::WebSocket => Connection::client(now, Arc::clone(config), entropy(now)),
            Dialect::WebSocketOverHttp2 => {
                Connection::client_http2(now, Arc::clone(config), entropy(now), Scheme::Http)
            }
        };
        self.open(&mut connection, now)?;
        Ok(connection)
    }

    /// Two connected sockets that take little at a time, so that most writes are short.
    pub(crate) fn squeezed_pair(self) -> io::Result<(OwnedFd, OwnedFd)> {
        let (client, server): (OwnedFd, OwnedFd) = match self.transport {
            Transport::Tcp | Transport::Tls => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                let client = TcpStream::connect(listener.local_addr()?)?;
                (client.into(), listener.accept()?.0.into())
            }
            Transport::Unix => {
                let (client, server) = UnixStream::pair()?;
                (client.into(), server.into())
            }
        };
        // The system raises this to its minimum. The receive buffer keeps its size, since TCP waits for timers when a
        // window is smaller than a segment.
        SockRef::from(&client).set_send_buffer_size(1)?;
        SockRef::from(&server).set_send_buffer_size(1)?;
        Ok((client, server))
    }

    /// Sends the opening of a client.
    pub(crate) fn open(self, connection: &mut Connection, now: Time) -> Result<(), Misuse> {
        match self.dialect {
            Dialect::Raw => Ok(()),
            Dialect::WebSocket | Dialect::WebSocketOverHttp2 => {
                connection.connect_websocket(now, &ws::Connect::new("localhost", "/")).map(drop)
            }
        }
    }

    /// Sends content.
    pub(crate) fn send<'a>(self, permit: Writable<'a>, content: Payload<'_>) -> Result<Sent<'a>, Misuse> {
        match self.dialect {
            Dialect::Raw => {
                let permit = permit.into_raw().map_err(|_| Misuse::UnknownStream)?;
                permit.data(content, false).map(Sent::into_any)
            }
            Dialect::WebSocket | Dialect::WebSocketOverHttp2 => {
                let permit = permit.into_websocket().map_err(|_| Misuse::UnknownStream)?;
                permit.message(MessageKind::Binary, content, true).map(Sent::into_any)
            }
        }
    }

    /// Ends this side's direction.
    pub(crate) fn end(self, permit: Writable<'_>) -> Result<(), Misuse> {
        match self.dialect {
            Dialect::Raw => {
                let permit = permit.into_raw().map_err(|_| Misuse::UnknownStream)?;
                permit.data(Payload::Static(b""), true).map(drop)
            }
            Dialect::WebSocket | Dialect::WebSocketOverHttp2 => {
                let permit = permit.into_websocket().map_err(|_| Misuse::UnknownStream)?;
                permit.into_stream().close(ws::CloseCode::NORMAL, "")
            }
        }
    }
}

/// Pseudo-random bytes that are the same in every run.
fn entropy(now: Time) -> Box<dyn Entropy> {
    let mut random = Random::new(now.as_micros());
    Box::new(move |bytes: &mut [u8]| bytes.fill_with(|| random.next() as u8))
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dialect = match self.dialect {
            Dialect::Raw => "raw streams",
            Dialect::WebSocket => "WebSockets",
            Dialect::WebSocketOverHttp2 => "WebSockets on HTTP/2",
        };
        let transport = match self.transport {
            Transport::Tcp => "TCP",
            Transport::Unix => "Unix sockets",
            Transport::Tls => "TLS",
        };
        write!(f, "{dialect} over {transport}")
    }
}
