//! A million numbers, made while they are sent and no faster than they are read: `cargo run -p lws-server --example download --
//! 127.0.0.1:7681`.

use lws_server::Server;
use lws_server::http::{Response, Status};

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let numbers = |_: &lws_server::http::Request<'_>| {
        let lines = (1..=1_000_000).map(|number| format!("{number}\n"));
        Response::new(Status::OK).content_type("text/plain").into_streamed(lines)
    };
    Server::builder().listen(&address).get("/numbers", numbers).build()?.run()
}
