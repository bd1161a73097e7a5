//! Says who asks, behind a proxy that says so itself: `cargo run -p lws-server --features proxies --example proxied -- 127.0.0.1:7681`.
//!
//! HAProxy does with `server ours 127.0.0.1:7681 send-proxy-v2`, and `curl --haproxy-protocol` pretends to be one.

use lws_server::http::{Response, TrustedProxies};
use lws_server::{ProxyProtocol, Server};

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let proxies = TrustedProxies::new(["127.0.0.1"])?;
    Server::builder()
        .listen(&address)
        .proxy_protocol(ProxyProtocol::from(proxies))
        .access_log(|record| println!("{record}"))
        .get_with("/", |cx, _| Response::text(format!("{}\n", cx.peer())))
        .build()?
        .run()
}
