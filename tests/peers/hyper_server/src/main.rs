//! A server on hyper, for our client: HTTP/1.1 and HTTP/2 with prior knowledge on one port. `hyper-server PORT`.
//!
//! `GET /long` is 3 MiB in chunks, every other GET is `Hello, world!`; what is posted comes back as it comes, and to `/collected` when all of it has
//! come.

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::error::Error;

type Body = BoxBody<Bytes, hyper::Error>;

/// Chunks of the long content, each of 64 KiB that are counted on.
const CHUNKS: u8 = 48;

fn whole(content: &'static [u8]) -> Body {
    Full::new(Bytes::from_static(content)).map_err(|never| match never {}).boxed()
}

fn long() -> Body {
    let mut left = 0..CHUNKS;
    let chunks = std::iter::from_fn(move || left.next().map(|n| Ok(Frame::data(vec![n; 64 << 10].into()))));
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(chunks)))
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let body = match (request.method(), request.uri().path()) {
        (&Method::POST, "/collected") => {
            let content = request.into_body().collect().await?.to_bytes();
            Full::new(content).map_err(|never| match never {}).boxed()
        }
        (&Method::POST, _) => request.into_body().boxed(),
        (_, "/long") => long(),
        _ => whole(b"Hello, world!"),
    };
    Ok(Response::new(body))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("hyper-server PORT")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(async move {
            let connection = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = connection.serve_connection(TokioIo::new(socket), service_fn(answer)).await {
                eprintln!("hyper: {error:?}");
            }
        });
    }
}
