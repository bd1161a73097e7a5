//! Virtual hosts by name, a host for members only, and peers that come without TLS.
//!
//! ```text
//! cargo run -p lws-server --example tls_hosts -- ADDRESS FOLDER
//! ```
//!
//! The folder holds `default`, `a.example` and `members.example`, each as `.pem` and `.key`, and `roots.pem`, which has
//! issued the certificates of the members.

use lws_server::http::{Request, Response};
use lws_server::tls::{ClientCertificates, Host, Identity, Listen, Plain, Roots, Server as Tls};
use lws_server::ws::{Handler, Message};
use lws_server::{Context, Payload, Sent, Server, WebSocket};
use std::path::Path;
use std::time::Duration;

struct Echo;

impl Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
        }
    }
}

/// Says who the peer is.
fn whoami(request: &Request<'_>) -> Response {
    let subject = request.tls().and_then(|tls| tls.subject.as_deref()).unwrap_or("nobody");
    Response::text(format!("{subject}\n"))
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err(std::io::Error::other("usage: tls_hosts ADDRESS FOLDER"));
    };
    let folder = Path::new(&folder);
    let identity =
        |name: &str| Identity::files(folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let members = ClientCertificates::Require(Roots::file(folder.join("roots.pem")));
    let tls = Tls::builder()
        .default_host(Host::new(identity("default")))
        .host("*.a.example", Host::new(identity("a.example")))
        .host("a.example", Host::new(identity("a.example")).versions(&["TLSv1.3"]))
        .host("members.example", Host::new(identity("members.example")).client_certificates(members))
        .build()?;
    Server::builder()
        .listen_tls(&address, Listen::from(tls).plain(Plain::Serve))
        .strict_transport_security(Duration::from_secs(3_600))
        .security_best_practices()
        .get("/", |_| Response::text("hello\n"))
        .get("/whoami", whoami)
        .ws("/echo", |_| Echo)
        .on_tls(|peer, event| {
            eprintln!("{peer} {event:?}");
            true
        })
        .build()?
        .run()
}
