//! What TLS costs servers: handshakes, bulk and idle WebSockets, beside others in the same rounds.
//!
//! The client is our own TLS on blocking sockets, one connection at a time. What is compared is CPU time of the servers, so
//! that it does not matter how fast the client is.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lws_loop_external::tls::{Provider, Session};
use lws_proto::Time;
use lws_tls::{Client, Roots};

use crate::process::Server;
use crate::procfs::{memory, schedule};
use crate::{Result, report};

/// Our server, with the files of the measurement.
pub const OWN_SERVER: &str = "{bin}/lwsws {dir} --port {port} --quiet --keep-alive-requests 1000000000 \
    --tls-cert {dir}/cert.pem --tls-key {dir}/key.pem";
/// nginx in one process, as its configuration in the folder says.
pub const NGINX: &str = "nginx -p {dir} -c {dir}/nginx.conf";
/// OpenSSL's own server, which serves the files of its folder and one connection at a time.
pub const OPENSSL: &str = "env -C {dir} openssl s_server -accept {port} -cert {dir}/cert.pem -key {dir}/key.pem \
    -quiet -WWW -num_tickets 2";

/// What is measured.
#[derive(Debug)]
pub struct Measurement {
    /// Servers by name; the first is ours.
    pub servers: Vec<(String, String)>,
    /// The first of the ports to use.
    pub port: u16,
    /// The core of the servers.
    pub core: usize,
    /// Rounds, of which the best counts for each server.
    pub rounds: usize,
    /// Connections of one round.
    pub handshakes: u32,
    /// MiB of one round.
    pub mib: usize,
    /// Idle WebSockets, on our server only.
    pub idle: usize,
}

/// A folder with certificate, key, file and configuration, which goes with the value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left lies in the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new(mib: usize, port: u16) -> Result<(Self, String)> {
        let folder = Self(std::env::temp_dir().join(format!("lws-load-tls-{}", std::process::id())));
        fs::create_dir_all(&folder.0)?;
        let (certificate, key) = certificate()?;
        fs::write(folder.0.join("cert.pem"), &certificate)?;
        fs::write(folder.0.join("key.pem"), key)?;
        fs::write(folder.0.join("bulk"), vec![0x5a; mib << 20])?;
        fs::write(folder.0.join("small"), "Hello, world!")?;
        let path = folder.0.display();
        let text = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; keepalive_requests 1000000; client_body_temp_path {path}/b;\n\
             proxy_temp_path {path}/p; fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n\
             server {{ listen 127.0.0.1:{port} ssl; root {path}; ssl_certificate {path}/cert.pem;\n\
             ssl_certificate_key {path}/key.pem; ssl_protocols TLSv1.3; }} }}\n"
        );
        fs::write(folder.0.join("nginx.conf"), text)?;
        Ok((folder, certificate))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

/// Made by the same program that measures, so that no key lies anywhere.
fn certificate() -> Result<(String, String)> {
    let key = rcgen::KeyPair::generate()?;
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// What a round has cost a server.
#[derive(Clone, Copy)]
struct Cost {
    /// CPU time of the server.
    ran: Duration,
    elapsed: Duration,
}

/// Measures everything, and prints it.
///
/// # Errors
/// A server cannot be started, or answers something else than it should.
pub fn run(measurement: &Measurement) -> Result<()> {
    let nginx_port = measurement.port + 1;
    let (folder, certificate) = Folder::new(measurement.mib, nginx_port)?;
    let mut servers = Vec::new();
    for (index, (name, command)) in measurement.servers.iter().enumerate() {
        let port = measurement.port + u16::try_from(index)?;
        // The configuration of nginx names a port of its own.
        let port = if command == NGINX { nginx_port } else { port };
        let command = command.replace("{dir}", &folder.path().display().to_string());
        servers.push((name.as_str(), Server::start(&command, port, measurement.core)?));
    }
    let client = |sessions| -> Result<Arc<dyn Provider>> {
        let roots = Roots::pem(certificate.as_bytes());
        let client = Client::builder().roots(roots).versions(&["TLSv1.3"]).alpn(&[]).sessions_max(sessions);
        // The suite that all servers are asked for, whatever they prefer.
        Ok(client.cipher_suites(&["TLS_AES_128_GCM_SHA256"]).groups(&["x25519"]).build()?.to("localhost")?)
    };
    let (full, resuming) = (client(0)?, client(64)?);
    let shakes = f64::from(measurement.handshakes);
    println!(
        "TLS 1.3, TLS_AES_128_GCM_SHA256, x25519, ECDSA P-256; CPU time of the server, best of {} rounds",
        measurement.rounds
    );
    table(
        "full handshake and one small response",
        "µs each",
        shakes,
        1e6,
        &servers,
        measurement.rounds,
        |server| handshakes(server, &*full, measurement.handshakes),
    )?;
    table(
        "resumed handshake and one small response",
        "µs each",
        shakes,
        1e6,
        &servers,
        measurement.rounds,
        |server| handshakes(server, &*resuming, measurement.handshakes),
    )?;
    let mib = measurement.mib as f64;
    table(
        "bulk: one large file on one connection",
        "µs each MiB",
        mib,
        1e6,
        &servers,
        measurement.rounds,
        |server| bulk(server, &*full, measurement.mib << 20),
    )?;
    if let Some((_, server)) = servers.first() {
        idle(server, &*full, measurement.idle)?;
    }
    Ok(())
}

/// Rounds in which the servers take turns, and their best.
fn table(
    title: &str,
    unit: &str,
    operations: f64,
    scale: f64,
    servers: &[(&str, Server)],
    rounds: usize,
    mut round: impl FnMut(&Server) -> Result<Cost>,
) -> Result<()> {
    let mut best: BTreeMap<usize, Cost> = BTreeMap::new();
    for _ in 0..rounds {
        for (index, (name, server)) in servers.iter().enumerate() {
            let cost = round(server).map_err(|error| format!("{name}: {error}"))?;
            let least = best.entry(index).or_insert(cost);
            least.ran = least.ran.min(cost.ran);
            least.elapsed = least.elapsed.min(cost.elapsed);
        }
    }
    println!("{title}");
    let ours = best.get(&0).map_or(0.0, |cost| cost.ran.as_secs_f64());
    for (index, cost) in &best {
        let ran = cost.ran.as_secs_f64();
        println!(
            "  {:<10} {:>8} {unit}, {:>9} a second of CPU, {:.2} times ours; {:>7} a second on the wall",
            servers[*index].0,
            report::grouped(ran / operations * scale),
            report::grouped(operations / ran),
            ran / ours,
            report::grouped(operations / cost.elapsed.as_secs_f64()),
        );
    }
    Ok(())
}

/// Measures what `load` costs a server.
fn cost(server: &Server, load: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let (before, begin) = (schedule(server.id())?, Instant::now());
    load()?;
    Ok(Cost { elapsed: begin.elapsed(), ran: schedule(server.id())?.since(before).ran })
}

fn handshakes(server: &Server, tls: &dyn Provider, count: u32) -> Result<Cost> {
    cost(server, || {
        for _ in 0..count {
            let mut peer = Peer::connect(server.port, tls)?;
            peer.send(b"GET /small HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let answer = peer.read_until(|answer| answer.ends_with(b"Hello, world!"))?;
            if !answer.starts_with(b"HTTP/1.") {
                return Err("no answer".into());
            }
        }
        Ok(())
    })
}

fn bulk(server: &Server, tls: &dyn Provider, bytes: usize) -> Result<Cost> {
    let mut peer = Peer::connect(server.port, tls)?;
    cost(server, || {
        peer.send(b"GET /bulk HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut seen = 0;
        while seen < bytes {
            seen += peer.skip()?;
        }
        Ok(())
    })
}

/// Opens WebSockets on a server, and prints what each of them costs it.
fn idle(server: &Server, tls: &dyn Provider, count: usize) -> Result<()> {
    let settle = Duration::from_secs(1);
    sleep(settle);
    let before = memory(server.id())?;
    let opening = b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut peer = Peer::connect(server.port, tls)?;
        peer.send(opening)?;
        peer.read_until(|answer| answer.ends_with(b"\r\n\r\n"))?;
        peers.push(peer);
    }
    sleep(settle);
    let each =
        |now: crate::procfs::Memory| now.resident.saturating_sub(before.resident) as f64 / count as f64;
    let idle = each(memory(server.id())?);
    for peer in &mut peers {
        peer.send(b"\x82\x81\0\0\0\0x")?;
        peer.read_until(|answer| answer.ends_with(b"\x82\x01x"))?;
    }
    sleep(settle);
    println!("{count} idle WebSockets over TLS");
    println!(
        "  {:<10} {} bytes resident each, {} after an echo on each",
        "lws",
        report::grouped(idle),
        report::grouped(each(memory(server.id())?))
    );
    Ok(())
}

/// One connection.
struct Peer {
    session: Box<dyn Session>,
    socket: TcpStream,
    out: Vec<u8>,
    ciphertext: Vec<u8>,
    plaintext: Vec<u8>,
}

const BUFFER: usize = 64 << 10;

impl Peer {
    fn connect(port: u16, tls: &dyn Provider) -> Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let session = tls.session()?;
        let mut peer =
            Self { session, socket, out: Vec::new(), ciphertext: Vec::new(), plaintext: Vec::new() };
        peer.session.open(&mut [], &mut [], &mut peer.out)?;
        while peer.session.is_handshaking() {
            peer.flush()?;
            peer.receive(&mut |_| {})?;
        }
        peer.flush()?;
        Ok(peer)
    }

    fn flush(&mut self) -> Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.session.seal(Time::ZERO, &[bytes], &mut self.out);
        self.flush()
    }

    /// Reads once.
    fn receive(&mut self, deliver: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.ciphertext.resize(BUFFER, 0);
        self.plaintext.resize(BUFFER, 0);
        let n = self.socket.read(&mut self.ciphertext)?;
        if n == 0 {
            return Err("the connection ended".into());
        }
        let mut at = 0;
        loop {
            let opened =
                self.session.open(&mut self.ciphertext[at..n], &mut self.plaintext, &mut self.out)?;
            at += opened.taken;
            deliver(&self.plaintext[..opened.filled]);
            if at == n && !opened.more {
                return Ok(());
            }
        }
    }

    fn read_until(&mut self, done: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        let mut answer = Vec::new();
        while !done(&answer) {
            self.receive(&mut |bytes| answer.extend_from_slice(bytes))?;
        }
        // Many of these idle.
        (self.ciphertext, self.plaintext) = (Vec::new(), Vec::new());
        Ok(answer)
    }

    /// Reads once, and says how much that was.
    fn skip(&mut self) -> Result<usize> {
        let mut seen = 0;
        self.receive(&mut |bytes| seen += bytes.len())?;
        Ok(seen)
    }
}
