//! Identities, deadlines, compression, and errors in words of its own: `cargo run -p lws-server --example layers -- 127.0.0.1:7681`.

use lws_server::Server;
use lws_server::http::{ErrorContent, ErrorReport, Response};
use lws_server::layer::{Compress, ContentLimit, Cors, Deadline, RequestIdentity};
use std::time::Duration;

fn page(error: &ErrorReport<'_>) -> Option<ErrorContent> {
    let (code, reason) = (error.status().code(), error.status().reason());
    let html = format!("<!doctype html><title>{reason}</title><h1>{code}: {reason}</h1>\n");
    Some(ErrorContent { content_type: "text/html; charset=utf-8".into(), content: html.into() })
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    Server::builder()
        .listen(&address)
        .errors(page)
        .layer(RequestIdentity::new())
        .layer(Deadline::after(Duration::from_secs(1)))
        .layer(ContentLimit::new(1_000))
        .layer(Compress::new())
        .layer(Cors::any())
        .get("/work", |request| {
            let identity = request.identity().unwrap_or_default();
            Response::text(format!(
                "{identity}\n{}",
                "All work and no play makes Jack a dull boy.\n".repeat(200)
            ))
        })
        .get_async("/never", |_| std::future::pending::<Response>())
        .post("/work", |request| Response::text(request.content().len().to_string()))
        .build()?
        .run()
}
