//! Asynchronous functions as handlers, in a task of tokio: `cargo run -p lws-server --example async_tokio -- 127.0.0.1:7681`.

use lws_loop_external::hosts::OnTokio;
use lws_server::Server;
use lws_server::http::{OwnedRequest, Rejection, Response};
use std::time::Duration;
use tokio::time::sleep;

/// Sleeps for so many milliseconds as the query says, and no thread with it.
async fn slow(request: OwnedRequest) -> Result<Response, Rejection> {
    let millis: u64 = request.as_request().query_pairs()?.require("ms")?;
    sleep(Duration::from_millis(millis)).await;
    Ok(Response::text(format!("{millis} ms later\n")))
}

async fn length(request: OwnedRequest) -> Response {
    sleep(Duration::from_millis(1)).await;
    Response::text(format!("{}\n", request.into_content().len()))
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server =
            Server::builder().listen(&address).get_async("/slow", slow).post_async("/length", length);
        OnTokio::new(server.build()?.into_service())?.run().await
    })
}
