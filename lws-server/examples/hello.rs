//! Answers every request with a greeting, in any version of HTTP: `cargo run -p lws-server --example hello --
//! 127.0.0.1:7681`.

use lws_server::Server;
use lws_server::http::{Request, Response};

fn hello(_: &Request<'_>) -> Response {
    Response::ok("text/plain", "Hello, world!")
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    Server::builder().listen(&address).get("/", hello).post("/", hello).build()?.run()
}
