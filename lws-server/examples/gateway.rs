//! Answers with what another server says: `cargo run -p lws-server --features client --example gateway -- 127.0.0.1:7681
//! http://127.0.0.1:8080`.

use lws_server::Server;
use lws_server::client::{Fetch, Request, Url};
use lws_server::http::{Response, Status};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    let upstream = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let ask = move |request: &lws_server::http::Request<'_>| {
        let url = format!("{upstream}{}", request.target()).parse::<Url>();
        let url = url.map_err(|_| Response::error(Status::BAD_REQUEST))?;
        Ok::<_, Response>(Fetch::new(Request::new("GET", url), |_, outcome| match outcome {
            Ok(there) => {
                let status = Status::new(there.status()).unwrap_or(Status::BAD_GATEWAY);
                Response::text(there.body).status(status)
            }
            Err(failure) => Response::text(format!("{failure}\n")).status(Status::BAD_GATEWAY),
        }))
    };
    Server::builder().listen(&address).get("/", ask).build()?.run()
}
